//! `SimpleQueue`: a queue's order, waiting and end, and nothing else.

use std::sync::Arc;

use oneloom_sync::raw::queue::{Fifo, RawQueue};
use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::arguments::{Timeout, Truth, name, queue_deadline};
use crate::describe;
use crate::environment::notifying;
use crate::errors;
use crate::flavour::{Flavour, Item, Limit, pending};
use crate::port;
use crate::statistics::QueueStatistics;
use crate::waiting::Waiting;

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

impl SimpleQueue {
    #[inline]
    fn take(&self, python: Python<'_>, limit: &Limit) -> PyResult<Item> {
        self.raw.get(python, limit).map_err(|failure| failure.error(python))
    }
}

#[pymethods]
impl SimpleQueue {
    /// A subclass's `__init__` may take other arguments.
    #[new]
    #[classmethod]
    #[pyo3(signature = (*arguments, **keywords), text_signature = "(*, name=None)")]
    fn new(
        class: &Bound<'_, PyType>,
        arguments: &Bound<'_, PyTuple>,
        keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let given = keywords.map(|keywords| keywords.get_item("name")).transpose()?.flatten();
        let others = arguments.len() + keywords.map_or(0, |keywords| keywords.len());
        let name = match given {
            _ if !class.is(class.py().get_type::<Self>()) => None,
            _ if others > usize::from(given.is_some()) => {
                return Err(PyTypeError::new_err("SimpleQueue() takes no argument but name="));
            }
            Some(given) => given.extract::<Option<String>>()?,
            None => None,
        };
        Ok(Self { raw: Arc::new(RawQueue::new(0, self::name(name.as_deref()))) })
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
        self.put_nowait(python, item)
    }

    /// Take an item and return it, waiting for one where there is none; arguments and errors as for `Queue.get`.
    #[pyo3(signature = (block=Truth(true), timeout=None), text_signature = "($self, block=True, timeout=None)")]
    #[inline]
    fn get(&self, python: Python<'_>, block: Truth, timeout: Timeout) -> PyResult<Item> {
        self.take(python, &Limit::new(block.0, timeout)?)
    }

    /// Put an item, as `put` does. `ShutDown` if the queue was shut down.
    fn put_nowait(&self, python: Python<'_>, item: Item) -> PyResult<()> {
        self.raw.put(python, item, &Limit::now()).map_err(|failure| failure.error(python))
    }

    /// Take an item without waiting. `queue.Empty` if there is none; `ShutDown` if there will be none.
    fn get_nowait(&self, python: Python<'_>) -> PyResult<Item> {
        self.take(python, &Limit::now())
    }

    /// How many items are there now; by the time the caller looks, others may have changed it.
    fn qsize(&self) -> usize {
        self.raw.len()
    }

    /// Whether there are no items now.
    fn empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// The name that was given, for messages and dumps; None without one. What is assigned is kept, but shown nowhere.
    #[getter]
    fn name<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        describe::name(slf.as_any(), slf.get().raw.given_name())
    }

    #[setter]
    fn set_name(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        describe::set_name(slf.as_any(), name)
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
        match slf.get().take(python, &Limit::forever()) {
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
