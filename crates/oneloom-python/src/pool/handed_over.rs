//! What is left to do when a thread pool is handed over: each task as an object that Python code runs, cancels or keeps.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::thread_task::{Running, Task};
use crate::future::Future;
use crate::owner;

/// A task that nobody has begun, as the standard library's executor has it in its queue.
#[pyclass(frozen, module = "oneloom._native_pool")]
pub struct ThreadTask {
    task: Mutex<Option<Task>>,
    /// Its future.
    #[pyo3(get)]
    future: Py<Future>,
    /// What it calls, and with what.
    #[pyo3(get, name = "fn")]
    function: Py<PyAny>,
    /// The arguments by position.
    #[pyo3(get)]
    args: Py<PyTuple>,
    /// The arguments by name.
    #[pyo3(get)]
    kwargs: Py<PyDict>,
}

impl ThreadTask {
    pub(super) fn new(python: Python<'_>, task: Task) -> PyResult<Self> {
        task.promise.leave_crew();
        Ok(Self {
            future: task.promise.own_or_other_future(python)?,
            function: task.function.clone_ref(python),
            args: task.args.clone_ref(python),
            kwargs: task
                .kwargs
                .as_ref()
                .map_or_else(|| PyDict::new(python).unbind(), |named| named.clone_ref(python)),
            task: Mutex::new(Some(task)),
        })
    }
}

#[pymethods]
impl ThreadTask {
    /// Runs it, unless its future was cancelled. Once. Who calls it has a context on CPython 3.14, which it needs not.
    #[pyo3(signature = (_context=None, /))]
    fn run(&self, python: Python<'_>, _context: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        task.map_or(Ok(()), |task| task.run(python, owner::thread(python), &Running::default()))
    }
}
