//! `oneloom.shared.Queue`.

use oneloom_shm::family;
use oneloom_shm::flow::{AnyQueue, ShutDown};
use oneloom_shm::queue::{Bounds, PutCall, Queue};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::error;
use super::flow::{Flow, ended, unless_ended};
use super::many;
use super::pickling::{Packed, pack};
use crate::arguments::{Timeout, Truth, queue_deadline};
use crate::environment::notifying;
use crate::errors;
use crate::port;
use crate::statistics::SharedQueueStatistics;
use crate::waiting::Waiting;

/// A first-in-first-out queue for threads, coroutines and processes at once.
///
/// Takes up to `maxsize` items, below one any number: then it grows as far as there is memory, so a program may put
/// everything before anybody reads. With `max_bytes`, the items in it have no more bytes than that together, as they are
/// pickled: a put waits for place, and is a ValueError where the item can never fit. Exact `bytes` are sent as they are. Pass it to a child as an
/// argument, or through another shared queue. `name` is shown in messages.
///
/// Buffers that pickle beside their object (NumPy arrays, memoryviews) are written once and received as read-only views
/// of shared memory, which stays as long as anybody has a view. With `copy=True` every receiver gets private memory
/// instead, as writable as it was. `bytes` and `bytearray` are always copied, once on each side.
///
/// With `acknowledge=True` an item that was taken is pending until `task_done`: if its receiver's process ends or is killed
/// before that, it is given to another one, ahead of all others. So nothing is lost, and what was half done is done again.
///
/// A process may be killed at any instant: nobody else waits for ever, no item arrives torn or twice, and none is lost
/// but what a receiver had just taken when it died. A timed-out or cancelled call has put or taken nothing. `for` and `async for`
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
    flow: Flow<Queue>,
}

impl SharedQueue {
    /// `None`: there is no place now, or something is in the way.
    #[inline]
    fn put_at_once(&self, python: Python<'_>, packed: &Packed<'_>) -> PyResult<Option<Result<(), ShutDown>>> {
        let Some((bytes, mark)) = packed.bytes() else { return Ok(None) };
        notifying(python, || self.flow.raw.try_put(bytes, mark)).map_err(error)
    }

    fn put_blocking(&self, item: &Bound<'_, PyAny>, block: bool, timeout: Timeout) -> PyResult<()> {
        let packed = pack(item)?;
        let given = self.put_at_once(item.py(), &packed)?;
        self.flow.put(item.py(), given, &packed, PutCall::new, block, timeout)
    }

    #[inline]
    fn take(&self, python: Python<'_>, block: bool, timeout: Timeout) -> PyResult<Py<PyAny>> {
        if self.flow.raw.acknowledges() {
            many::get_one(&self.flow, python, block, timeout)
        } else {
            self.flow.get(python, block, timeout)
        }
    }
}

#[pymethods]
impl SharedQueue {
    #[new]
    #[pyo3(signature = (maxsize=0, max_bytes=None, *, acknowledge=false, copy=false, name=None))]
    fn new(
        python: Python<'_>,
        maxsize: isize,
        max_bytes: Option<isize>,
        acknowledge: bool,
        copy: bool,
        name: Option<String>,
    ) -> PyResult<Self> {
        let max_bytes = match max_bytes {
            None => 0,
            Some(bytes) if bytes > 0 => bytes as u64,
            Some(_) => {
                return Err(PyValueError::new_err("'max_bytes' must be positive, or None for no bound"));
            }
        };
        let bounds = Bounds { maxsize: maxsize.try_into().unwrap_or(0), max_bytes };
        let made = python.detach(|| {
            let queue = Queue::bounded(family::home()?, bounds, acknowledge)?;
            queue.set_copies(copy);
            Ok(queue)
        });
        Ok(Self { flow: Flow::new(made.map_err(error)?, name) })
    }

    #[staticmethod]
    fn _open(handle: &[u8], name: Option<String>) -> PyResult<Self> {
        Ok(Self { flow: Flow::open(handle, name)? })
    }

    #[classmethod]
    fn __class_getitem__(class: &Bound<'_, PyType>, item: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        errors::generic_alias(class, item)
    }

    /// Put an item, waiting for a free place where there is none.
    ///
    /// Waits for at most `timeout` seconds (None: no limit), with `block=False` not at all. `queue.Full` if there
    /// was no place in time; `ShutDown` if the queue was shut down; ValueError for a negative timeout, or an item of more
    /// than `max_bytes`; OSError (ENOSPC) if there is no memory for it; whatever pickling it raises.
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
        self.take(python, block.0, timeout)
    }

    /// Put an item without waiting. `queue.Full` if there is no place; `ShutDown` if the queue was shut down.
    fn put_nowait(&self, item: &Bound<'_, PyAny>) -> PyResult<()> {
        self.put_blocking(item, false, None)
    }

    /// Take an item without waiting. `queue.Empty` if there is none; `ShutDown` if there will be none.
    fn get_nowait(&self, python: Python<'_>) -> PyResult<Py<PyAny>> {
        self.take(python, false, None)
    }

    /// Put all of these items, or none, waiting until there is place for all of them; nobody's items come in between.
    ///
    /// `items` is anything to iterate over. Waits and raises as `put` does; ValueError for more than `maxsize` or `max_bytes`.
    /// Many are put several times as fast as one after the other. Where others put single items meanwhile, it may be long
    /// before there is place for many.
    ///
    /// >>> import oneloom.shared
    /// >>> jobs = oneloom.shared.Queue()
    /// >>> jobs.put_many(["sweep", "mop", "dust"])
    /// >>> jobs.get_many(2)
    /// ['sweep', 'mop']
    #[pyo3(signature = (items, block=Truth(true), timeout=None), text_signature = "($self, items, block=True, timeout=None)")]
    fn put_many(&self, items: &Bound<'_, PyAny>, block: Truth, timeout: Timeout) -> PyResult<()> {
        many::put(&self.flow, items, block.0, timeout)
    }

    /// Take items and return them as a list: up to `n`, or all there are, at least one, waiting where there is none.
    ///
    /// Waits and raises as `get` does. After a shutdown, what is left, then `ShutDown`. ValueError if `n` is not
    /// positive. If one item does not unpickle, its exception has the others as its attribute `items`. A process that
    /// is killed here takes no more than this call's items with it.
    #[pyo3(signature = (n=None, block=Truth(true), timeout=None), text_signature = "($self, n=None, block=True, timeout=None)")]
    fn get_many(
        &self,
        python: Python<'_>,
        n: Option<isize>,
        block: Truth,
        timeout: Timeout,
    ) -> PyResult<Py<PyAny>> {
        many::get(&self.flow, python, n, block.0, timeout)
    }

    /// Say that the work on an item is done; with the last one, `join` returns. ValueError if all were done already.
    ///
    /// With `acknowledge=True`: on the oldest item that this thread or task has taken and not reported, ValueError if there
    /// is none. `task_done(item)` reports this very object, whoever in this process took it; ValueError if that is not
    /// pending here. Without `acknowledge` it does not matter which item it was.
    #[pyo3(signature = (item=many::Named(None)), text_signature = "($self, item=...)")]
    fn task_done(&self, python: Python<'_>, item: many::Named<'_>) -> PyResult<()> {
        many::task_done(&self.flow, python, item.0.as_ref())
    }

    /// Wait until `task_done` was called for every item that was put, in whatever process.
    ///
    /// With `timeout` seconds, waits no longer than that and returns whether all was done; without, returns None.
    #[pyo3(signature = (timeout=None))]
    fn join(&self, python: Python<'_>, timeout: Timeout) -> PyResult<Option<bool>> {
        self.flow.join(python, timeout)
    }

    /// How many items are there now; by the time the caller looks, others may have changed it.
    fn qsize(&self) -> PyResult<u64> {
        self.flow.raw.len().map_err(error)
    }

    /// Whether there are no items now.
    fn empty(&self) -> PyResult<bool> {
        self.flow.raw.is_empty().map_err(error)
    }

    /// Whether there are `maxsize` items now; never without a limit.
    fn full(&self) -> PyResult<bool> {
        self.flow.full()
    }

    /// How many items there is place for; 0 for any number.
    #[getter]
    fn maxsize(&self) -> u64 {
        self.flow.raw.maxsize()
    }

    /// How many bytes its items may have together, as they are pickled; None for any number.
    #[getter]
    fn max_bytes(&self) -> Option<u64> {
        Some(self.flow.raw.bounds().max_bytes).filter(|bytes| *bytes != 0)
    }

    /// Whether items are given to another receiver if theirs dies before `task_done`.
    #[getter]
    fn acknowledge(&self) -> bool {
        self.flow.raw.acknowledges()
    }

    /// How many items were put for which `task_done` was not called yet.
    #[getter]
    fn unfinished_tasks(&self) -> PyResult<u64> {
        self.flow.raw.unfinished().map_err(error)
    }

    /// Whether the queue was shut down.
    #[getter]
    fn is_shutdown(&self) -> bool {
        self.flow.raw.is_shut_down()
    }

    /// Who waits now. Costs four system calls.
    fn statistics(&self, python: Python<'_>) -> SharedQueueStatistics {
        self.flow.statistics(python)
    }

    /// The name that was given, for messages; None without one.
    #[getter]
    fn name(&self) -> Option<&str> {
        self.flow.name()
    }

    /// End the queue: puts raise `ShutDown` from now on, and so do gets once it is empty, in every process.
    ///
    /// With `immediate=True` the items that are left are dropped, each counted as done. Whoever waits learns of it.
    #[pyo3(signature = (immediate=false))]
    fn shutdown(&self, python: Python<'_>, immediate: bool) -> PyResult<()> {
        self.flow.shut_down(python, immediate)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, python: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        if self.flow.raw.acknowledges() {
            return unless_ended(python, many::get_one(&self.flow, python, true, None));
        }
        self.flow.next(python)
    }

    fn _put_now(&self, item: &Bound<'_, PyAny>) -> PyResult<bool> {
        let python = item.py();
        port::require_loop(python)?;
        match self.put_at_once(python, &pack(item)?)? {
            None => Ok(false),
            given => ended(python, given, &errors::FULL).map(|()| true),
        }
    }

    fn _get_now(&self, python: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.flow.raw.acknowledges() {
            port::require_loop(python)?;
            return Ok(python.get_type::<Waiting>().into_any().unbind());
        }
        self.flow.get_now(python)
    }

    fn _put_later(&self, item: &Bound<'_, PyAny>, timeout: Timeout) -> PyResult<Waiting> {
        queue_deadline(true, timeout)?;
        self.flow.put_later(item.py(), &pack(item)?, PutCall::new, timeout)
    }

    fn _get_later(&self, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        if self.flow.raw.acknowledges() {
            return many::get_some_time(&self.flow, python, Some(1), timeout, many::one);
        }
        self.flow.get_later(python, timeout)
    }

    fn _put_many_later(&self, items: &Bound<'_, PyAny>, timeout: Timeout) -> PyResult<Waiting> {
        many::put_some_time(&self.flow, items, timeout)
    }

    fn _get_many_later(&self, python: Python<'_>, n: Option<isize>, timeout: Timeout) -> PyResult<Waiting> {
        many::get_some_time(&self.flow, python, n, timeout, many::all)
    }

    fn _join_later(&self, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        self.flow.join_later(python, timeout)
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        slf.get().flow.reduce(slf.as_any())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let flow = &slf.get().flow;
        let bytes = match flow.raw.bounds().max_bytes {
            0 => String::new(),
            most => format!(", bytes={}/{most}", flow.raw.bytes().map_err(error)?),
        };
        let pending = if flow.raw.acknowledges() {
            let (held, orphans) = flow.raw.held();
            format!(", pending={}", held.saturating_sub(orphans))
        } else {
            String::new()
        };
        flow.describe(slf.as_any(), &format!("{bytes}{pending}"))
    }
}
