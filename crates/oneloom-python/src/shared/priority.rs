//! `oneloom.shared.PriorityQueue`.

use oneloom_shm::family;
use oneloom_shm::flow::{AnyQueue, ShutDown};
use oneloom_shm::priority::{Priority, PriorityQueue, PutCall};
use pyo3::Borrowed;
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyType};

use super::error;
use super::flow::{Flow, ended};
use super::pickling::{Packed, pack};
use crate::arguments::{Timeout, Truth, queue_deadline};
use crate::environment::notifying;
use crate::errors;
use crate::port;
use crate::statistics::SharedQueueStatistics;
use crate::waiting::Waiting;

/// A queue for threads, coroutines and processes at once, from which the item with the smallest priority leaves first.
///
/// Each item is put with a priority, an integer or a float; items of one priority leave as they came. Integers and floats
/// are in one exact order. Otherwise as `oneloom.shared.Queue`: up to `maxsize` items, below one any number; items are
/// pickled, and never compared; large buffers are received as read-only views, with `copy=True` as private memory; a process that is killed takes no more with it than the item that it had just received.
///
/// >>> import oneloom.shared
/// >>> jobs = oneloom.shared.PriorityQueue()
/// >>> jobs.put("mop", 2)
/// >>> jobs.put("extinguish", -1.5)
/// >>> jobs.put("sweep", priority=2)
/// >>> jobs.shutdown()
/// >>> list(jobs)
/// ['extinguish', 'mop', 'sweep']
#[pyclass(frozen, weakref, module = "oneloom.shared", name = "PriorityQueue")]
pub struct SharedPriorityQueue {
    flow: Flow<PriorityQueue>,
}

/// A priority as callers write it.
struct Urgency(Priority);

impl<'py> FromPyObject<'_, 'py> for Urgency {
    type Error = PyErr;

    #[inline]
    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let number = match object.cast::<PyFloat>() {
            Ok(float) => float.value(),
            Err(_) => match object.extract::<i64>() {
                Ok(number) => return Ok(Self(number.into())),
                Err(failure) if failure.is_instance_of::<PyOverflowError>(object.py()) => {
                    return Err(PyOverflowError::new_err(format!(
                        "the priority {} is beyond 64 bits: use one from -2**63 to 2**63-1, or a float",
                        object.repr()?
                    )));
                }
                // What is no integer may still be as good as a float.
                Err(_) => object.extract()?,
            },
        };
        let priority = Priority::try_from(number);
        Ok(Self(priority.map_err(|refusal| PyValueError::new_err(refusal.to_string()))?))
    }
}

/// What an item has that comes without a priority.
const USUAL: fn() -> Urgency = || Urgency(Priority::from(0));

impl SharedPriorityQueue {
    /// `None`: there is no place now, or something is in the way.
    #[inline]
    fn put_at_once(
        &self,
        python: Python<'_>,
        packed: &Packed<'_>,
        priority: Priority,
    ) -> PyResult<Option<Result<(), ShutDown>>> {
        let Some((bytes, mark)) = packed.bytes() else { return Ok(None) };
        notifying(python, || self.flow.raw.try_put(bytes, mark, priority)).map_err(error)
    }

    fn put_blocking(
        &self,
        item: &Bound<'_, PyAny>,
        priority: Priority,
        block: bool,
        timeout: Timeout,
    ) -> PyResult<()> {
        let packed = pack(item)?;
        let given = self.put_at_once(item.py(), &packed, priority)?;
        let call = |queue, item| PutCall::new(queue, item, priority);
        self.flow.put(item.py(), given, &packed, call, block, timeout)
    }
}

#[pymethods]
impl SharedPriorityQueue {
    #[new]
    #[pyo3(signature = (maxsize=0, *, copy=false, name=None))]
    fn new(python: Python<'_>, maxsize: isize, copy: bool, name: Option<String>) -> PyResult<Self> {
        let made = python.detach(|| {
            let queue = PriorityQueue::new(family::home()?, maxsize.try_into().unwrap_or(0))?;
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

    /// Put an item with a priority, waiting for a free place where there is none.
    ///
    /// The smallest priority leaves first: an integer of up to 64 bits (OverflowError beyond) or a float (ValueError for
    /// NaN). Waits for at most `timeout` seconds (None: no limit), with `block=False` not at all. `queue.Full` if there
    /// was no place in time; `ShutDown` if the queue was shut down; ValueError for a negative timeout; OSError (ENOSPC)
    /// if there is no memory for it; whatever pickling it raises.
    #[pyo3(
        signature = (item, priority=USUAL(), block=Truth(true), timeout=None),
        text_signature = "($self, item, priority=0, block=True, timeout=None)"
    )]
    #[inline]
    fn put(
        &self,
        item: &Bound<'_, PyAny>,
        priority: Urgency,
        block: Truth,
        timeout: Timeout,
    ) -> PyResult<()> {
        if timeout.is_some() {
            queue_deadline(block.0, timeout)?;
        }
        self.put_blocking(item, priority.0, block.0, timeout)
    }

    /// Take the item with the smallest priority and return it, waiting for one where there is none.
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
        self.flow.get(python, block.0, timeout)
    }

    /// Put an item without waiting. `queue.Full` if there is no place; `ShutDown` if the queue was shut down.
    #[pyo3(signature = (item, priority=USUAL()), text_signature = "($self, item, priority=0)")]
    fn put_nowait(&self, item: &Bound<'_, PyAny>, priority: Urgency) -> PyResult<()> {
        self.put_blocking(item, priority.0, false, None)
    }

    /// Take an item without waiting. `queue.Empty` if there is none; `ShutDown` if there will be none.
    fn get_nowait(&self, python: Python<'_>) -> PyResult<Py<PyAny>> {
        self.flow.get(python, false, None)
    }

    /// Say that the work on an item is done; with the last one, `join` returns. ValueError if all were done already.
    fn task_done(&self, python: Python<'_>) -> PyResult<()> {
        self.flow.task_done(python)
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
        self.flow.next(python)
    }

    fn _put_now(&self, item: &Bound<'_, PyAny>, priority: Urgency) -> PyResult<bool> {
        let python = item.py();
        port::require_loop(python)?;
        match self.put_at_once(python, &pack(item)?, priority.0)? {
            None => Ok(false),
            given => ended(python, given, &errors::FULL).map(|()| true),
        }
    }

    fn _get_now(&self, python: Python<'_>) -> PyResult<Py<PyAny>> {
        self.flow.get_now(python)
    }

    fn _put_later(&self, item: &Bound<'_, PyAny>, priority: Urgency, timeout: Timeout) -> PyResult<Waiting> {
        queue_deadline(true, timeout)?;
        let call = |queue, item| PutCall::new(queue, item, priority.0);
        self.flow.put_later(item.py(), &pack(item)?, call, timeout)
    }

    fn _get_later(&self, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        self.flow.get_later(python, timeout)
    }

    fn _join_later(&self, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        self.flow.join_later(python, timeout)
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        slf.get().flow.reduce(slf.as_any())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        slf.get().flow.describe(slf.as_any(), "")
    }
}
