//! `_native.Batches`: the fast half of the iterator that `map` gives. Results come in batches, which Python code fetches;
//! giving them out one by one is done here.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::once::intern;

/// In a batch: what an item has raised, in the place of its value.
#[pyclass(frozen, module = "oneloom._native_pool")]
pub struct Raised {
    /// The exception.
    #[pyo3(get)]
    error: Py<PyAny>,
}

#[pymethods]
impl Raised {
    #[new]
    fn new(error: Py<PyAny>) -> Self {
        Self { error }
    }

    /// For another process: with the traceback as text, and in words where it can't go there.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let module = slf.py().import(intern!(slf.py(), "oneloom._pool.map"))?;
        module.call_method1(intern!(slf.py(), "raised_elsewhere"), (&slf.get().error,))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.error)
    }
}

/// Gives what stands in batches one by one, and asks `_next_batch()` for more, which gives None at the end.
#[pyclass(frozen, subclass, weakref, module = "oneloom._native_pool")]
pub struct Batches {
    ahead: Mutex<Ahead>,
}

#[derive(Default)]
struct Ahead {
    /// What is left of each; none is empty.
    batches: VecDeque<std::vec::IntoIter<Py<PyAny>>>,
}

impl Batches {
    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pop(&self) -> Option<Py<PyAny>> {
        let mut ahead = self.ahead();
        let first = ahead.batches.front_mut()?;
        let item = first.next();
        if first.len() == 0 {
            ahead.batches.pop_front();
        }
        item
    }
}

#[pymethods]
impl Batches {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "()")]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        Self { ahead: Mutex::default() }
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let python = slf.py();
        loop {
            if let Some(item) = slf.get().pop() {
                return match item.bind(python).cast_exact::<Raised>() {
                    Ok(raised) => Err(PyErr::from_value(raised.get().error.bind(python).clone())),
                    Err(_) => Ok(Some(item)),
                };
            }
            let batch = slf.call_method0(intern!(python, "_next_batch"))?;
            if batch.is_none() {
                return Ok(None);
            }
            slf.get()._add(batch.cast::<PyList>()?);
        }
    }

    /// Whether `next` has something to give at once.
    fn _left(&self) -> bool {
        !self.ahead().batches.is_empty()
    }

    /// Adds a batch, a list of at least one item.
    fn _add(&self, batch: &Bound<'_, PyList>) {
        let items: Vec<_> = batch.iter().map(Bound::unbind).collect();
        if !items.is_empty() {
            self.ahead().batches.push_back(items.into_iter());
        }
    }

    /// Drops what was not given.
    fn _drop(&self) {
        let ahead = std::mem::take(&mut *self.ahead());
        drop(ahead);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Nobody stays in there for long; where somebody is, everything counts as in use.
        let Ok(ahead) = self.ahead.try_lock() else { return Ok(()) };
        ahead.batches.iter().flat_map(|batch| batch.as_slice()).try_for_each(|item| visit.call(item))
    }

    fn __clear__(&self) {
        self._drop();
    }
}
