//! `Queue` and `LifoQueue`, the Python classes; what differs between the orders stands behind `flavour`.
//!
//! Once somebody touches what only the standard library's own queue has, such as `mutex`, or a subclass overrides a
//! hook, such as `_put`, the queue is handed over, and every method goes on in `standard`.

use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Arc, OnceLock};

use oneloom_sync::raw::Name;
use oneloom_sync::raw::queue::{Fifo, Lifo, RawQueue, TooManyDone};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::arguments::{Maxsize, Timeout, Truth, lenient_deadline, name, queue_deadline};
use crate::describe;
use crate::environment::notifying;
use crate::errors;
use crate::flavour::{Figures, Flavour, Item, Limit, pending, seconds_left};
use crate::initialised::Written;
use crate::port;
use crate::standard;
use crate::statistics::QueueStatistics;
use crate::waiting::Waiting;

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
    pub(crate) flavour: Arc<dyn Flavour>,
    /// As it was given: the standard library shows a negative one as it is.
    pub(crate) shown_maxsize: AtomicIsize,
    /// What goes on in this queue's place once it was handed over; see `standard`.
    pub(crate) standard: OnceLock<Py<PyAny>>,
    written: Written,
}

impl Queue {
    /// A queue of the given order.
    pub fn with(flavour: Arc<dyn Flavour>) -> Self {
        Self { flavour, shown_maxsize: AtomicIsize::new(0), standard: OnceLock::new(), written: Written::YES }
    }

    /// The timeout of a put. A negative one is refused only where there may be no place, as in the standard library.
    fn put_timeout(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<Timeout> {
        match timeout {
            Some(seconds) if seconds < 0.0 && Self::maxsize(slf)?.le(0)? => Ok(Some(0.0)),
            _ => Ok(timeout),
        }
    }
}

/// A queue's `maxsize`: anything below one means any number of items.
pub fn capacity(maxsize: isize) -> usize {
    maxsize.try_into().unwrap_or(0)
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

    #[pyo3(signature = (maxsize=Maxsize(0), *, name=None))]
    fn __init__(slf: &Bound<'_, Self>, maxsize: Maxsize, name: Option<&str>) -> PyResult<()> {
        let Maxsize(maxsize) = maxsize;
        let this = slf.get();
        this.flavour.set_name(self::name(name));
        if standard::is_wanted(slf)? {
            return standard::begin(slf, maxsize);
        }
        this.shown_maxsize.store(maxsize, Ordering::Relaxed);
        notifying(slf.py(), || this.flavour.set_maxsize(capacity(maxsize)));
        Ok(())
    }

    #[classmethod]
    fn __class_getitem__(class: &Bound<'_, PyType>, item: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        errors::generic_alias(class, item)
    }

    /// Put an item, waiting for a free place where there is none.
    ///
    /// Waits for at most `timeout` seconds (None: no limit), with `block=False` not at all. `queue.Full` if there
    /// was no place in time; `ShutDown` if the queue was shut down; ValueError for a negative timeout, unless there is
    /// place for any number of items.
    #[pyo3(signature = (item, block=Truth(true), timeout=None), text_signature = "($self, item, block=True, timeout=None)")]
    #[inline]
    fn put(slf: &Bound<'_, Self>, item: Item, block: Truth, timeout: Timeout) -> PyResult<()> {
        let limit = Limit::new(block.0, Self::put_timeout(slf, timeout)?)?;
        slf.get().flavour.put(slf.py(), item, &limit).or_else(|failure| standard::put(slf, failure, &limit))
    }

    /// Take an item and return it, waiting for one where there is none.
    ///
    /// Waits for at most `timeout` seconds (None: no limit), with `block=False` not at all. `queue.Empty` if none
    /// came in time; `ShutDown` if the queue was shut down and is empty; ValueError for a negative timeout.
    #[pyo3(signature = (block=Truth(true), timeout=None), text_signature = "($self, block=True, timeout=None)")]
    #[inline]
    fn get(slf: &Bound<'_, Self>, block: Truth, timeout: Timeout) -> PyResult<Item> {
        let limit = Limit::new(block.0, timeout)?;
        slf.get().flavour.get(slf.py(), &limit).or_else(|failure| standard::get(slf, failure, &limit))
    }

    /// Put an item without waiting. `queue.Full` if there is no place; `ShutDown` if the queue was shut down.
    fn put_nowait(slf: &Bound<'_, Self>, item: Item) -> PyResult<()> {
        let limit = Limit::now();
        slf.get().flavour.put(slf.py(), item, &limit).or_else(|failure| standard::put(slf, failure, &limit))
    }

    /// Take an item without waiting. `queue.Empty` if there is none; `ShutDown` if there will be none.
    fn get_nowait(slf: &Bound<'_, Self>) -> PyResult<Item> {
        let limit = Limit::now();
        slf.get().flavour.get(slf.py(), &limit).or_else(|failure| standard::get(slf, failure, &limit))
    }

    /// Say that the work on an item is done; with the last one, `join` returns. ValueError if all were done already.
    fn task_done(slf: &Bound<'_, Self>) -> PyResult<()> {
        let flavour = &slf.get().flavour;
        notifying(slf.py(), || flavour.task_done()).or_else(|TooManyDone| match standard::instead(slf)? {
            Some(standard) => standard.call_method0("task_done").map(drop),
            None => Err(PyValueError::new_err("task_done() called too many times")),
        })
    }

    /// Wait until `task_done` was called for every item that was put.
    ///
    /// With `timeout` seconds, waits no longer than that and returns whether all was done; without, returns None.
    #[pyo3(signature = (timeout=None))]
    fn join(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<Option<bool>> {
        let deadline = lenient_deadline(timeout);
        let mut done = slf.get().flavour.join(slf.py(), deadline)?;
        let standard = if done { standard::instead(slf)? } else { None };
        if let Some(standard) = standard {
            done = standard.call_method1("join", (seconds_left(deadline),))?.is_truthy()?;
        }
        // Without a time limit there is nothing to tell, and the standard library tells nothing.
        Ok(timeout.map(|_| done))
    }

    /// How many items are there now; by the time the caller looks, others may have changed it.
    fn qsize<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        // Looked at first: if the queue is still here after that, so were its items.
        let length = slf.get().flavour.len();
        match standard::instead(slf)? {
            Some(standard) => standard.call_method1("qsize", (slf,)),
            None => Ok(length.into_pyobject(slf.py())?.into_any()),
        }
    }

    /// Whether there are no items now.
    fn empty(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let length = slf.get().flavour.len();
        match standard::instead(slf)? {
            Some(standard) => standard.call_method1("empty", (slf,))?.is_truthy(),
            None => Ok(length == 0),
        }
    }

    /// Whether there are `maxsize` items now; never without a limit.
    fn full(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let Figures { length, maxsize, .. } = slf.get().flavour.figures();
        match standard::instead(slf)? {
            Some(standard) => standard.call_method1("full", (slf,))?.is_truthy(),
            None => Ok(maxsize != 0 && length >= maxsize),
        }
    }

    /// How many items there is place for; below one, any number. May be changed: whoever finds place then goes on.
    #[getter]
    fn maxsize<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        match standard::instead(slf)? {
            Some(standard) => standard.getattr("maxsize"),
            None => Ok(slf.get().shown_maxsize.load(Ordering::Relaxed).into_pyobject(slf.py())?.into_any()),
        }
    }

    #[setter]
    fn set_maxsize(slf: &Bound<'_, Self>, maxsize: &Bound<'_, PyAny>) -> PyResult<()> {
        let this = slf.get();
        if !this.flavour.is_handed_over() {
            let Maxsize(maxsize) = maxsize.extract()?;
            this.shown_maxsize.store(maxsize, Ordering::Relaxed);
            notifying(slf.py(), || this.flavour.set_maxsize(capacity(maxsize)));
        }
        match standard::instead(slf)? {
            Some(standard) => standard.setattr("maxsize", maxsize),
            None => Ok(()),
        }
    }

    /// How many items were put for which `task_done` was not called yet.
    #[getter]
    fn unfinished_tasks<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let unfinished = slf.get().flavour.figures().unfinished;
        match standard::instead(slf)? {
            Some(standard) => standard.getattr("unfinished_tasks"),
            None => Ok(unfinished.into_pyobject(slf.py())?.into_any()),
        }
    }

    #[setter]
    fn set_unfinished_tasks(slf: &Bound<'_, Self>, number: &Bound<'_, PyAny>) -> PyResult<()> {
        standard::of(slf)?.setattr("unfinished_tasks", number)
    }

    /// Whether the queue was shut down.
    #[getter]
    fn is_shutdown(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let is_shut_down = slf.get().flavour.figures().is_shut_down;
        match standard::instead(slf)? {
            Some(standard) => standard.getattr("is_shutdown")?.is_truthy(),
            None => Ok(is_shut_down),
        }
    }

    #[setter]
    fn set_is_shutdown(slf: &Bound<'_, Self>, is_shutdown: &Bound<'_, PyAny>) -> PyResult<()> {
        standard::of(slf)?.setattr("is_shutdown", is_shutdown)
    }

    /// The name that was given, for messages and dumps; None without one. What is assigned is kept, but shown nowhere.
    #[getter]
    fn name<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        describe::name(slf.as_any(), slf.get().flavour.figures().name)
    }

    #[setter]
    fn set_name(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        describe::set_name(slf.as_any(), name)
    }

    /// What goes on in this queue's place; the queue is handed over to it if it was not yet.
    #[getter]
    fn _standard<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        standard::of(slf)
    }

    /// End the queue: puts raise `ShutDown` from now on, and so do gets once it is empty.
    ///
    /// With `immediate=True` the items that are left are dropped, each counted as done. Whoever waits learns of it.
    #[pyo3(signature = (immediate=Truth(false)), text_signature = "($self, immediate=False)")]
    fn shutdown(slf: &Bound<'_, Self>, immediate: Truth) -> PyResult<()> {
        // What is left is dropped here, after the queue has let go of everything: destructors may call it.
        slf.get().flavour.shut_down(slf.py(), immediate.0).map(drop)?;
        match standard::instead(slf)? {
            Some(standard) => standard.call_method1("shutdown", (slf, immediate.0)).map(drop),
            None => Ok(()),
        }
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Option<Item>> {
        let python = slf.py();
        match Self::get(slf, Truth(true), None) {
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
    fn statistics(slf: &Bound<'_, Self>) -> PyResult<QueueStatistics> {
        let mut counters = slf.get().flavour.statistics();
        if let Some(standard) = standard::instead(slf)? {
            standard::count(&standard, &mut counters)?;
        }
        Ok(counters.into())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let mut figures = slf.get().flavour.figures();
        if let Some(standard) = standard::instead(slf)? {
            standard::look(slf, &standard, &mut figures)?;
        }
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

    fn __getstate__(&self) -> PyResult<()> {
        // Not `__reduce__`: a subclass that knows what to keep of itself may say so here, as in the standard library.
        Err(PyTypeError::new_err(
            "a queue of this process cannot be pickled: its items stand in this process",
        ))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if !self.written.is_so() {
            return Ok(());
        }
        self.standard.get().map_or(Ok(()), |standard| visit.call(standard))?;
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
