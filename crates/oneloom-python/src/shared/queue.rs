//! `oneloom.shared.Queue`.

use std::cell::RefCell;
use std::sync::Arc;

use oneloom_shm::error::Error;
use oneloom_shm::family;
use oneloom_shm::flow::{AnyQueue, GetCall, JoinCall, ShutDown, TooManyDone};
use oneloom_shm::payload::Item;
use oneloom_shm::queue::{PutCall, Queue};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::pickling::{pack, unpack};
use super::waiting::{later, wait};
use super::{error, open, reduce, title};
use crate::arguments::{Timeout, Truth, lenient_deadline, queue_deadline};
use crate::environment::notifying;
use crate::errors::{self, Imported};
use crate::port;
use crate::waiting::{Waiting, truth};

thread_local! {
    /// What small items are copied to, used again and again.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A first-in-first-out queue for threads, coroutines and processes at once.
///
/// Takes up to `maxsize` items, below one any number: then it grows as far as there is memory, so a program may put
/// everything before anybody reads. Items are pickled; exact `bytes` are sent as they are. Pass it to a child as an
/// argument, or through another shared queue. `name` is shown in messages.
///
/// A process may be killed at any instant: nobody else waits for ever, no item arrives torn or twice, and none is lost
/// but the one that a receiver died with. A timed-out or cancelled call has put or taken nothing. `for` and `async for`
/// take items until the queue is shut down and empty; they do not call `task_done`.
///
/// >>> import oneloom.shared
/// >>> jobs = oneloom.shared.Queue(10)
/// >>> jobs.put("sweep")
/// >>> jobs.put("mop")
/// >>> jobs.shutdown()
/// >>> list(jobs)
/// ['sweep', 'mop']
#[pyclass(frozen, weakref, module = "oneloom.shared", name = "Queue")]
pub struct SharedQueue {
    raw: Arc<Queue>,
    name: Option<String>,
}

/// What a call gives, or the error for its end: `late` if there is nothing.
fn ended<T>(python: Python<'_>, given: Option<Result<T, ShutDown>>, late: &Imported) -> PyResult<T> {
    match given {
        Some(Ok(given)) => Ok(given),
        Some(Err(ShutDown)) => Err(errors::SHUT_DOWN.error(python)),
        None => Err(late.error(python)),
    }
}

fn got(python: Python<'_>, given: Option<Result<Item, ShutDown>>) -> PyResult<Py<PyAny>> {
    let unpacked = match ended(python, given, &errors::EMPTY)? {
        Item::Small { mut bytes, mark } => {
            let unpacked = unpack(python, &bytes, mark);
            bytes.clear();
            BUFFER.set(bytes);
            unpacked
        }
        Item::Large(payload) => {
            let unpacked = unpack(python, payload.bytes().map_err(error)?, payload.mark);
            // Giving the memory back may have to wait for another process.
            python.detach(|| drop(payload));
            unpacked
        }
    };
    unpacked.map(Bound::unbind)
}

impl SharedQueue {
    /// `None`: there is no place now, or something is in the way.
    #[inline]
    fn put_at_once(
        &self,
        python: Python<'_>,
        bytes: &[u8],
        mark: u32,
    ) -> PyResult<Option<Result<(), ShutDown>>> {
        notifying(python, || self.raw.try_put(bytes, mark)).map_err(error)
    }

    fn put_blocking(&self, item: &Bound<'_, PyAny>, block: bool, timeout: Timeout) -> PyResult<()> {
        let python = item.py();
        let (bytes, mark) = pack(item)?;
        let mut given = self.put_at_once(python, bytes.as_bytes(), mark)?;
        if given.is_none() {
            let mut call = PutCall::new(self.raw.clone(), bytes.as_bytes(), mark);
            given = notifying(python, || wait(python, &mut call, queue_deadline(block, timeout)?))?;
        }
        ended(python, given, &errors::FULL)
    }

    /// `None`: there is no item now, or something is in the way.
    #[inline]
    fn get_at_once(&self, python: Python<'_>) -> PyResult<Option<Result<Item, ShutDown>>> {
        // Unpickling runs foreign code, which may come here again: so the buffer is taken, not borrowed.
        let mut buffer = BUFFER.take();
        let given = notifying(python, || self.raw.try_get(&mut buffer)).map_err(error)?;
        if given.is_none() {
            BUFFER.set(buffer);
        }
        Ok(given)
    }

    fn get_blocking(&self, python: Python<'_>, block: bool, timeout: Timeout) -> PyResult<Py<PyAny>> {
        let mut given = self.get_at_once(python)?;
        if given.is_none() {
            let mut call = GetCall { queue: self.raw.clone(), buffer: BUFFER.take() };
            given = notifying(python, || wait(python, &mut call, queue_deadline(block, timeout)?))?;
        }
        got(python, given)
    }
}

#[pymethods]
impl SharedQueue {
    #[new]
    #[pyo3(signature = (maxsize=0, *, name=None))]
    fn new(python: Python<'_>, maxsize: isize, name: Option<String>) -> PyResult<Self> {
        let maxsize = maxsize.try_into().unwrap_or(0);
        let made = python.detach(|| family::home().and_then(|segment| Queue::new(segment, maxsize)));
        let raw = made.map_err(error)?;
        Ok(Self { raw: Arc::new(raw), name })
    }

    #[staticmethod]
    fn _open(handle: &[u8], name: Option<String>) -> PyResult<Self> {
        Ok(Self { raw: Arc::new(Queue::from_object(open(handle)?)), name })
    }

    #[classmethod]
    fn __class_getitem__(class: &Bound<'_, PyType>, item: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        errors::generic_alias(class, item)
    }

    /// Put an item, waiting for a free place where there is none.
    ///
    /// Waits for at most `timeout` seconds (None: no limit), with `block=False` not at all. `queue.Full` if there
    /// was no place in time; `ShutDown` if the queue was shut down; ValueError for a negative timeout; OSError (ENOSPC)
    /// if there is no memory for it; whatever pickling it raises.
    #[pyo3(signature = (item, block=Truth(true), timeout=None), text_signature = "($self, item, block=True, timeout=None)")]
    #[inline]
    fn put(&self, item: &Bound<'_, PyAny>, block: Truth, timeout: Timeout) -> PyResult<()> {
        if timeout.is_some() {
            queue_deadline(block.0, timeout)?;
        }
        self.put_blocking(item, block.0, timeout)
    }

    /// Take an item and return it, waiting for one where there is none.
    ///
    /// Waits for at most `timeout` seconds (None: no limit), with `block=False` not at all. `queue.Empty` if none
    /// came in time; `ShutDown` if the queue was shut down and is empty; ValueError for a negative timeout; whatever
    /// unpickling the item raises, which takes it out of the queue all the same.
    #[pyo3(signature = (block=Truth(true), timeout=None), text_signature = "($self, block=True, timeout=None)")]
    #[inline]
    fn get(&self, python: Python<'_>, block: Truth, timeout: Timeout) -> PyResult<Py<PyAny>> {
        if timeout.is_some() {
            queue_deadline(block.0, timeout)?;
        }
        self.get_blocking(python, block.0, timeout)
    }

    /// Put an item without waiting. `queue.Full` if there is no place; `ShutDown` if the queue was shut down.
    fn put_nowait(&self, item: &Bound<'_, PyAny>) -> PyResult<()> {
        self.put_blocking(item, false, None)
    }

    /// Take an item without waiting. `queue.Empty` if there is none; `ShutDown` if there will be none.
    fn get_nowait(&self, python: Python<'_>) -> PyResult<Py<PyAny>> {
        self.get_blocking(python, false, None)
    }

    /// Say that the work on an item is done; with the last one, `join` returns. ValueError if all were done already.
    fn task_done(&self, python: Python<'_>) -> PyResult<()> {
        notifying(python, || self.raw.task_done())
            .map_err(error)?
            .map_err(|TooManyDone| PyValueError::new_err("task_done() called too many times"))
    }

    /// Wait until `task_done` was called for every item that was put, in whatever process.
    ///
    /// With `timeout` seconds, waits no longer than that and returns whether all was done; without, returns None.
    #[pyo3(signature = (timeout=None))]
    fn join(&self, python: Python<'_>, timeout: Timeout) -> PyResult<Option<bool>> {
        let mut call = JoinCall { queue: self.raw.clone() };
        let done = wait(python, &mut call, lenient_deadline(timeout))?.is_some();
        // Without a time limit there is nothing to tell, and the standard library tells nothing.
        Ok(timeout.map(|_| done))
    }

    /// How many items are there now; by the time the caller looks, others may have changed it.
    fn qsize(&self) -> PyResult<u64> {
        self.raw.len().map_err(error)
    }

    /// Whether there are no items now.
    fn empty(&self) -> PyResult<bool> {
        self.raw.is_empty().map_err(error)
    }

    /// Whether there are `maxsize` items now; never without a limit.
    fn full(&self) -> PyResult<bool> {
        Ok(self.raw.maxsize() != 0 && self.qsize()? >= self.raw.maxsize())
    }

    /// How many items there is place for; 0 for any number.
    #[getter]
    fn maxsize(&self) -> u64 {
        self.raw.maxsize()
    }

    /// How many items were put for which `task_done` was not called yet.
    #[getter]
    fn unfinished_tasks(&self) -> PyResult<u64> {
        self.raw.unfinished().map_err(error)
    }

    /// Whether the queue was shut down.
    #[getter]
    fn is_shutdown(&self) -> bool {
        self.raw.is_shut_down()
    }

    /// The name that was given, for messages; None without one.
    #[getter]
    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// End the queue: puts raise `ShutDown` from now on, and so do gets once it is empty, in every process.
    ///
    /// With `immediate=True` the items that are left are dropped, each counted as done. Whoever waits learns of it.
    #[pyo3(signature = (immediate=false))]
    fn shutdown(&self, python: Python<'_>, immediate: bool) -> PyResult<()> {
        let raw = &self.raw;
        notifying(python, || python.detach(|| raw.shut_down(immediate))).map_err(error)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, python: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.get_blocking(python, true, None) {
            Err(failure) if failure.is_instance(python, errors::SHUT_DOWN.class(python)?) => Ok(None),
            got => got.map(Some),
        }
    }

    fn _put_now(&self, item: &Bound<'_, PyAny>) -> PyResult<bool> {
        let python = item.py();
        port::require_loop(python)?;
        let (bytes, mark) = pack(item)?;
        match self.put_at_once(python, bytes.as_bytes(), mark)? {
            None => Ok(false),
            given => ended(python, given, &errors::FULL).map(|()| true),
        }
    }

    fn _get_now(&self, python: Python<'_>) -> PyResult<Py<PyAny>> {
        port::require_loop(python)?;
        match self.get_at_once(python)? {
            None => Ok(python.get_type::<Waiting>().into_any().unbind()),
            given => got(python, given),
        }
    }

    fn _put_later(&self, item: &Bound<'_, PyAny>, timeout: Timeout) -> PyResult<Waiting> {
        queue_deadline(true, timeout)?;
        let (bytes, mark) = pack(item)?;
        let call = PutCall::new(self.raw.clone(), bytes.as_bytes().to_vec(), mark);
        let finish =
            |python: Python<'_>, put| ended(python, Some(put), &errors::FULL).map(|()| python.None());
        later(item.py(), call, timeout, finish, |python| Err(errors::FULL.error(python)))
    }

    fn _get_later(&self, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        queue_deadline(true, timeout)?;
        let call = GetCall { queue: self.raw.clone(), buffer: Vec::new() };
        let finish = |python: Python<'_>, given| got(python, Some(given));
        later(python, call, timeout, finish, |python| Err(errors::EMPTY.error(python)))
    }

    fn _join_later(&self, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        let call = JoinCall { queue: self.raw.clone() };
        later(
            python,
            call,
            timeout,
            move |python, ()| Ok(truth(python, true)),
            move |python| Ok(truth(python, false)),
        )
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        reduce(slf.as_any(), slf.get().raw.object(), slf.get().name.as_deref())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        let items =
            this.raw.len().map_or_else(|failure: Error| failure.to_string(), |items| items.to_string());
        let limit = if this.raw.maxsize() == 0 { String::new() } else { format!("/{}", this.raw.maxsize()) };
        let end = if this.raw.is_shut_down() { ", shut down" } else { "" };
        Ok(format!(
            "<{}: items={items}{limit}{end}>",
            title(slf.as_any(), this.raw.object(), this.name.as_deref())?
        ))
    }
}
