//! The queues: one class for every order, as the standard library has them, and `SimpleQueue`.
//!
//! What differs between the orders stands behind [`Flavour`]; for those that compare items see `priority`.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use oneloom_sync::raw::Name;

use oneloom_sync::raw::queue::{
    Fifo, GetCall, JoinCall, Lifo, PutCall, QueueStatistics as QueueCounters, RawQueue, ShutDown, Store,
    TooManyDone,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::arguments::{Timeout, Truth, lenient_deadline, name, queue_deadline};
use crate::environment::{notifying, wait};
use crate::errors;
use crate::port;
use crate::statistics::QueueStatistics;
use crate::waiting::Waiting;

/// What queues hold.
pub type Item = Py<PyAny>;

/// What a queue of one order can do.
pub trait Flavour: Send + Sync {
    /// Puts an item, or raises `Full` or `ShutDown`.
    fn put(&self, python: Python<'_>, item: Item, block: bool, timeout: Timeout) -> PyResult<()>;
    /// Gets an item, or raises `Empty` or `ShutDown`.
    fn get(&self, python: Python<'_>, block: bool, timeout: Timeout) -> PyResult<Item>;
    /// Puts an item if there is a place; false if there is none.
    fn put_now(&self, python: Python<'_>, item: &Item) -> PyResult<bool>;
    /// Gets an item if there is one.
    fn get_now(&self, python: Python<'_>) -> PyResult<Option<Item>>;
    /// An awaitable that puts an item.
    fn put_later(self: Arc<Self>, python: Python<'_>, item: Item, timeout: Timeout) -> PyResult<Waiting>;
    /// An awaitable that gets an item.
    fn get_later(self: Arc<Self>, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting>;
    /// Waits until all work is done; false when the time is over.
    fn join(&self, python: Python<'_>, timeout: Timeout) -> PyResult<bool>;
    /// An awaitable that waits until all work is done.
    fn join_later(self: Arc<Self>, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting>;
    /// Reports an item as done.
    fn task_done(&self) -> Result<(), TooManyDone>;
    /// Shuts the queue down; returns the items that nobody is to get.
    fn shut_down(&self, python: Python<'_>, immediate: bool) -> PyResult<Vec<Item>>;
    /// Takes every item out without telling anybody.
    fn clear(&self) -> Vec<Item>;
    /// Shows every item to the garbage collector.
    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError>;
    /// Lengths and limits.
    fn figures(&self) -> Figures<'_>;
    /// Changes up to how many items it takes.
    fn set_maxsize(&self, maxsize: usize);
    /// Names the queue, if it has no name yet.
    fn set_name(&self, name: Name);
    /// Slow-path events.
    fn statistics(&self) -> QueueCounters;
}

/// What a queue shows of itself.
pub struct Figures<'a> {
    length: usize,
    maxsize: usize,
    unfinished: usize,
    is_shut_down: bool,
    name: Option<&'a str>,
}

impl<'a> Figures<'a> {
    /// The figures of a state machine.
    pub fn of<S: Store>(raw: &'a RawQueue<S>) -> Self {
        Self {
            length: raw.len(),
            maxsize: raw.maxsize(),
            unfinished: raw.unfinished(),
            is_shut_down: raw.is_shut_down(),
            name: raw.given_name(),
        }
    }
}

/// What a put gives: nothing, or an error.
pub fn put_result(python: Python<'_>, output: Option<Result<(), ShutDown>>) -> PyResult<()> {
    match output {
        Some(Ok(())) => Ok(()),
        Some(Err(ShutDown)) => Err(errors::SHUT_DOWN.error(python)),
        None => Err(errors::FULL.error(python)),
    }
}

/// What a get gives: an item, or an error.
pub fn get_result<T>(python: Python<'_>, output: Option<Result<T, ShutDown>>) -> PyResult<T> {
    match output {
        Some(Ok(item)) => Ok(item),
        Some(Err(ShutDown)) => Err(errors::SHUT_DOWN.error(python)),
        None => Err(errors::EMPTY.error(python)),
    }
}

/// Over at once.
const NOW: (bool, Timeout) = (false, None);

impl<S: Store<Item = Item> + 'static> Flavour for RawQueue<S> {
    #[inline]
    fn put(&self, python: Python<'_>, item: Item, block: bool, timeout: Timeout) -> PyResult<()> {
        let mut call = PutCall::<S>::new(item);
        put_result(python, wait(python, self, &mut call, || queue_deadline(block, timeout))?)
    }

    #[inline]
    fn get(&self, python: Python<'_>, block: bool, timeout: Timeout) -> PyResult<Item> {
        let mut call = GetCall::<S>::default();
        get_result(python, wait(python, self, &mut call, || queue_deadline(block, timeout))?)
    }

    fn put_now(&self, python: Python<'_>, item: &Item) -> PyResult<bool> {
        let mut call = PutCall::<S>::new(item.clone_ref(python));
        match wait(python, self, &mut call, || queue_deadline(NOW.0, NOW.1))? {
            None => Ok(false),
            ended => put_result(python, ended).map(|()| true),
        }
    }

    fn get_now(&self, python: Python<'_>) -> PyResult<Option<Item>> {
        match wait(python, self, &mut GetCall::<S>::default(), || queue_deadline(NOW.0, NOW.1))? {
            None => Ok(None),
            ended => get_result(python, ended).map(Some),
        }
    }

    fn put_later(self: Arc<Self>, python: Python<'_>, item: Item, timeout: Timeout) -> PyResult<Waiting> {
        let finish = |python: Python<'_>, put| put_result(python, Some(put)).map(|()| python.None());
        let late = |python: Python<'_>| Err(errors::FULL.error(python));
        Waiting::new(python, self, PutCall::<S>::new(item), timeout, finish, late)
    }

    fn get_later(self: Arc<Self>, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        let finish = |python: Python<'_>, got| get_result(python, Some(got));
        let late = |python: Python<'_>| Err(errors::EMPTY.error(python));
        Waiting::new(python, self, GetCall::<S>::default(), timeout, finish, late)
    }

    fn join(&self, python: Python<'_>, timeout: Timeout) -> PyResult<bool> {
        let mut call = JoinCall::<S>::default();
        Ok(wait(python, self, &mut call, || Ok(lenient_deadline(timeout)))?.is_some())
    }

    fn join_later(self: Arc<Self>, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        Waiting::yes_or_no(python, self, JoinCall::<S>::default(), timeout, |()| true)
    }

    fn task_done(&self) -> Result<(), TooManyDone> {
        RawQueue::task_done(self)
    }

    fn shut_down(&self, python: Python<'_>, immediate: bool) -> PyResult<Vec<Item>> {
        Ok(notifying(python, || RawQueue::shut_down(self, immediate)))
    }

    fn clear(&self) -> Vec<Item> {
        RawQueue::clear(self)
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let mut result = Ok(());
        self.for_each(|item| {
            if result.is_ok() {
                result = visit.call(item);
            }
        });
        result
    }

    fn figures(&self) -> Figures<'_> {
        Figures::of(self)
    }

    fn set_maxsize(&self, maxsize: usize) {
        RawQueue::set_maxsize(self, maxsize);
    }

    fn set_name(&self, name: Name) {
        RawQueue::set_name(self, name);
    }

    fn statistics(&self) -> QueueCounters {
        RawQueue::statistics(self)
    }
}

/// A first-in-first-out queue for threads and coroutines at once.
///
/// Takes up to `maxsize` items, below one any number; `name` is shown in messages and dumps. Waiters are served in
/// order of arrival; what is given up, timed out or cancelled, has put or taken nothing. `for` and `async for` take
/// items until the queue is shut down and empty; they do not call `task_done`.
///
/// >>> import oneloom
/// >>> jobs = oneloom.Queue(10)
/// >>> jobs.put("sweep")
/// >>> jobs.put("mop")
/// >>> jobs.shutdown()
/// >>> list(jobs)
/// ['sweep', 'mop']
#[pyclass(frozen, subclass, weakref, dict, module = "oneloom")]
pub struct Queue {
    flavour: Arc<dyn Flavour>,
    /// As it was given: the standard library shows a negative one as it is.
    shown_maxsize: AtomicIsize,
}

impl Queue {
    /// A queue of the given order.
    pub fn with(flavour: Arc<dyn Flavour>) -> Self {
        Self { flavour, shown_maxsize: AtomicIsize::new(0) }
    }
}

/// A queue's `maxsize`: anything below one means any number of items.
pub fn capacity(maxsize: isize) -> usize {
    maxsize.try_into().unwrap_or(0)
}

/// The result that stands for "not at once" between a coroutine shell and its native half.
fn pending(python: Python<'_>) -> Item {
    python.get_type::<Waiting>().into_any().unbind()
}

#[pymethods]
impl Queue {
    /// Takes whatever a subclass's `__init__` takes; ours says what is meant.
    #[new]
    #[pyo3(signature = (*args, **kwargs), text_signature = "(maxsize=0, *, name=None)")]
    fn new(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        let _ = (args, kwargs);
        Self::with(Arc::new(RawQueue::<Fifo<Item>>::new(0, Name::NONE)))
    }

    #[pyo3(signature = (maxsize=0, *, name=None))]
    fn __init__(&self, python: Python<'_>, maxsize: isize, name: Option<&str>) {
        self.set_maxsize(python, maxsize);
        self.flavour.set_name(self::name(name));
    }

    #[classmethod]
    fn __class_getitem__(class: &Bound<'_, PyType>, item: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        errors::generic_alias(class, item)
    }

    /// Put an item, waiting for a free place where there is none.
    ///
    /// Waits for at most `timeout` seconds (None: no limit), with `block=False` not at all. `queue.Full` if there
    /// was no place in time; `ShutDown` if the queue was shut down; ValueError for a negative timeout.
    #[pyo3(signature = (item, block=Truth(true), timeout=None), text_signature = "($self, item, block=True, timeout=None)")]
    #[inline]
    fn put(&self, python: Python<'_>, item: Item, block: Truth, timeout: Timeout) -> PyResult<()> {
        if timeout.is_some() {
            queue_deadline(block.0, timeout)?;
        }
        self.flavour.put(python, item, block.0, timeout)
    }

    /// Take an item and return it, waiting for one where there is none.
    ///
    /// Waits for at most `timeout` seconds (None: no limit), with `block=False` not at all. `queue.Empty` if none
    /// came in time; `ShutDown` if the queue was shut down and is empty; ValueError for a negative timeout.
    #[pyo3(signature = (block=Truth(true), timeout=None), text_signature = "($self, block=True, timeout=None)")]
    #[inline]
    fn get(&self, python: Python<'_>, block: Truth, timeout: Timeout) -> PyResult<Item> {
        if timeout.is_some() {
            queue_deadline(block.0, timeout)?;
        }
        self.flavour.get(python, block.0, timeout)
    }

    /// Put an item without waiting. `queue.Full` if there is no place; `ShutDown` if the queue was shut down.
    fn put_nowait(&self, python: Python<'_>, item: Item) -> PyResult<()> {
        self.flavour.put(python, item, NOW.0, NOW.1)
    }

    /// Take an item without waiting. `queue.Empty` if there is none; `ShutDown` if there will be none.
    fn get_nowait(&self, python: Python<'_>) -> PyResult<Item> {
        self.flavour.get(python, NOW.0, NOW.1)
    }

    /// Say that the work on an item is done; with the last one, `join` returns. ValueError if all were done already.
    fn task_done(&self, python: Python<'_>) -> PyResult<()> {
        notifying(python, || self.flavour.task_done())
            .map_err(|TooManyDone| PyValueError::new_err("task_done() called too many times"))
    }

    /// Wait until `task_done` was called for every item that was put.
    ///
    /// With `timeout` seconds, waits no longer than that and returns whether all was done; without, returns None.
    #[pyo3(signature = (timeout=None))]
    fn join(&self, python: Python<'_>, timeout: Timeout) -> PyResult<Option<bool>> {
        let done = self.flavour.join(python, timeout)?;
        // Without a time limit there is nothing to tell, and the standard library tells nothing.
        Ok(timeout.map(|_| done))
    }

    /// How many items are there now; by the time the caller looks, others may have changed it.
    fn qsize(&self) -> usize {
        self.flavour.figures().length
    }

    /// Whether there are no items now.
    fn empty(&self) -> bool {
        self.qsize() == 0
    }

    /// Whether there are `maxsize` items now; never without a limit.
    fn full(&self) -> bool {
        let figures = self.flavour.figures();
        figures.maxsize != 0 && figures.length >= figures.maxsize
    }

    /// How many items there is place for; below one, any number. May be changed: whoever finds place then goes on.
    #[getter]
    fn maxsize(&self) -> isize {
        self.shown_maxsize.load(Ordering::Relaxed)
    }

    #[setter]
    fn set_maxsize(&self, python: Python<'_>, maxsize: isize) {
        self.shown_maxsize.store(maxsize, Ordering::Relaxed);
        notifying(python, || self.flavour.set_maxsize(capacity(maxsize)));
    }

    /// How many items were put for which `task_done` was not called yet.
    #[getter]
    fn unfinished_tasks(&self) -> usize {
        self.flavour.figures().unfinished
    }

    /// Whether the queue was shut down.
    #[getter]
    fn is_shutdown(&self) -> bool {
        self.flavour.figures().is_shut_down
    }

    /// The name that was given, for messages and dumps; None without one.
    #[getter]
    fn name(&self) -> Option<&str> {
        self.flavour.figures().name
    }

    /// End the queue: puts raise `ShutDown` from now on, and so do gets once it is empty.
    ///
    /// With `immediate=True` the items that are left are dropped, each counted as done. Whoever waits learns of it.
    #[pyo3(signature = (immediate=false))]
    fn shutdown(&self, python: Python<'_>, immediate: bool) -> PyResult<()> {
        // What is left is dropped here, after the queue has let go of everything: destructors may call it.
        self.flavour.shut_down(python, immediate).map(drop)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Option<Item>> {
        let python = slf.py();
        match slf.get().flavour.get(python, true, None) {
            Err(error) if error.is_instance(python, errors::SHUT_DOWN.class(python)?) => Ok(None),
            got => got.map(Some),
        }
    }

    fn _put_now(&self, python: Python<'_>, item: Item) -> PyResult<bool> {
        port::require_loop(python)?;
        self.flavour.put_now(python, &item)
    }

    fn _get_now(&self, python: Python<'_>) -> PyResult<Item> {
        port::require_loop(python)?;
        Ok(self.flavour.get_now(python)?.unwrap_or_else(|| pending(python)))
    }

    fn _put_later(&self, python: Python<'_>, item: Item, timeout: Timeout) -> PyResult<Waiting> {
        queue_deadline(true, timeout)?;
        self.flavour.clone().put_later(python, item, timeout)
    }

    fn _get_later(&self, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        queue_deadline(true, timeout)?;
        self.flavour.clone().get_later(python, timeout)
    }

    fn _join_later(&self, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        self.flavour.clone().join_later(python, timeout)
    }

    /// Who waits now, and what the slow path has seen since the queue was made; see `QueueStatistics`.
    fn statistics(&self) -> QueueStatistics {
        self.flavour.statistics().into()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let figures = slf.get().flavour.figures();
        let name = figures.name.map_or_else(String::new, |name| format!(" '{name}'"));
        let limit = if figures.maxsize == 0 { String::new() } else { format!("/{}", figures.maxsize) };
        let end = if figures.is_shut_down { ", shut down" } else { "" };
        Ok(format!(
            "<oneloom.{}{name} at {:#x}: items={}{limit}, unfinished={}{end}>",
            slf.get_type().name()?,
            slf.as_ptr() as usize,
            figures.length,
            figures.unfinished,
        ))
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a queue of this process cannot be pickled: its items stand in this process",
        ))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.flavour.visit(&visit)
    }

    fn __clear__(&self) {
        drop(self.flavour.clear());
    }
}

/// A queue that gives out first what was put last; otherwise a `Queue`.
///
/// >>> import oneloom
/// >>> stack = oneloom.LifoQueue()
/// >>> stack.put(1)
/// >>> stack.put(2)
/// >>> stack.get()
/// 2
#[pyclass(frozen, subclass, extends = Queue, module = "oneloom")]
pub struct LifoQueue;

#[pymethods]
impl LifoQueue {
    #[new]
    #[pyo3(signature = (*args, **kwargs), text_signature = "(maxsize=0, *, name=None)")]
    fn new(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        let _ = (args, kwargs);
        let raw = RawQueue::<Lifo<Item>>::new(0, Name::NONE);
        PyClassInitializer::from(Queue::with(Arc::new(raw))).add_subclass(Self)
    }
}

/// A first-in-first-out queue without a limit and without a tally of unfinished work.
///
/// `name` is shown in messages and dumps.
///
/// >>> import oneloom
/// >>> lines = oneloom.SimpleQueue()
/// >>> lines.put("first")
/// >>> lines.get()
/// 'first'
/// >>> lines.get(timeout=0.01)
/// Traceback (most recent call last):
///     ...
/// _queue.Empty
#[pyclass(frozen, subclass, weakref, module = "oneloom")]
pub struct SimpleQueue {
    raw: Arc<RawQueue<Fifo<Item>>>,
}

#[pymethods]
impl SimpleQueue {
    #[new]
    #[pyo3(signature = (*, name=None))]
    fn new(name: Option<&str>) -> Self {
        Self { raw: Arc::new(RawQueue::new(0, self::name(name))) }
    }

    #[classmethod]
    fn __class_getitem__(class: &Bound<'_, PyType>, item: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        errors::generic_alias(class, item)
    }

    /// Put an item. Never waits: `block` and `timeout` are there because `Queue.put` has them. `ShutDown` if the
    /// queue was shut down.
    #[pyo3(signature = (item, block=Truth(true), timeout=None), text_signature = "($self, item, block=True, timeout=None)")]
    fn put(&self, python: Python<'_>, item: Item, block: Truth, timeout: Timeout) -> PyResult<()> {
        // There is always a place, so neither says anything; they are there for Queue's sake.
        let _ = (block.0, timeout);
        Flavour::put(&*self.raw, python, item, true, None)
    }

    /// Take an item and return it, waiting for one where there is none; arguments and errors as for `Queue.get`.
    #[pyo3(signature = (block=Truth(true), timeout=None), text_signature = "($self, block=True, timeout=None)")]
    #[inline]
    fn get(&self, python: Python<'_>, block: Truth, timeout: Timeout) -> PyResult<Item> {
        if timeout.is_some() {
            queue_deadline(block.0, timeout)?;
        }
        Flavour::get(&*self.raw, python, block.0, timeout)
    }

    /// Put an item, as `put` does. `ShutDown` if the queue was shut down.
    fn put_nowait(&self, python: Python<'_>, item: Item) -> PyResult<()> {
        Flavour::put(&*self.raw, python, item, true, None)
    }

    /// Take an item without waiting. `queue.Empty` if there is none; `ShutDown` if there will be none.
    fn get_nowait(&self, python: Python<'_>) -> PyResult<Item> {
        Flavour::get(&*self.raw, python, NOW.0, NOW.1)
    }

    /// How many items are there now; by the time the caller looks, others may have changed it.
    fn qsize(&self) -> usize {
        self.raw.len()
    }

    /// Whether there are no items now.
    fn empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// The name that was given, for messages and dumps; None without one.
    #[getter]
    fn name(&self) -> Option<&str> {
        self.raw.given_name()
    }

    /// Whether the queue was shut down.
    #[getter]
    fn is_shutdown(&self) -> bool {
        self.raw.is_shut_down()
    }

    /// End the queue: puts raise `ShutDown` from now on, and so do gets once it is empty.
    ///
    /// With `immediate=True` the items that are left are dropped. Whoever waits learns of it.
    #[pyo3(signature = (immediate=false))]
    fn shutdown(&self, python: Python<'_>, immediate: bool) {
        drop(notifying(python, || self.raw.shut_down(immediate)));
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Option<Item>> {
        let python = slf.py();
        match Flavour::get(&*slf.get().raw, python, true, None) {
            Err(error) if error.is_instance(python, errors::SHUT_DOWN.class(python)?) => Ok(None),
            got => got.map(Some),
        }
    }

    fn _put_now(&self, python: Python<'_>, item: Item) -> PyResult<bool> {
        port::require_loop(python)?;
        self.raw.put_now(python, &item)
    }

    fn _get_now(&self, python: Python<'_>) -> PyResult<Item> {
        port::require_loop(python)?;
        Ok(self.raw.get_now(python)?.unwrap_or_else(|| pending(python)))
    }

    fn _put_later(&self, python: Python<'_>, item: Item, timeout: Timeout) -> PyResult<Waiting> {
        queue_deadline(true, timeout)?;
        self.raw.clone().put_later(python, item, timeout)
    }

    fn _get_later(&self, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        queue_deadline(true, timeout)?;
        self.raw.clone().get_later(python, timeout)
    }

    /// Who waits now, and what the slow path has seen since the queue was made; see `QueueStatistics`.
    fn statistics(&self) -> QueueStatistics {
        self.raw.statistics().into()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let raw = &slf.get().raw;
        let name = raw.given_name().map_or_else(String::new, |name| format!(" '{name}'"));
        let class = slf.get_type();
        Ok(format!("<oneloom.{}{name} at {:#x}: items={}>", class.name()?, slf.as_ptr() as usize, raw.len()))
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a queue of this process cannot be pickled: its items stand in this process",
        ))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.raw.visit(&visit)
    }

    fn __clear__(&self) {
        drop(self.raw.clear());
    }
}
