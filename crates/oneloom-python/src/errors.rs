//! The one table of exceptions: the standard library's own wherever it has one.

use pyo3::exceptions::{PyRuntimeError, PyRuntimeWarning};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

pyo3::create_exception!(
    oneloom,
    DeadlockError,
    PyRuntimeError,
    "A wait that can never end: the message names who takes part, who holds what and where each waits."
);
pyo3::create_exception!(
    oneloom,
    DeadlockWarning,
    PyRuntimeWarning,
    "A wait that perhaps can never end: somebody outside may still help, so nothing is raised."
);

/// Adds oneloom's own exceptions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let python = module.py();
    module.add("DeadlockError", python.get_type::<DeadlockError>())?;
    module.add("DeadlockWarning", python.get_type::<DeadlockWarning>())
}

/// An exception class that is imported when it is first raised.
pub struct Imported {
    module: &'static str,
    name: &'static str,
    class: PyOnceLock<Py<PyType>>,
}

impl Imported {
    const fn new(module: &'static str, name: &'static str) -> Self {
        Self { module, name, class: PyOnceLock::new() }
    }

    /// The class.
    pub fn class<'py>(&self, python: Python<'py>) -> PyResult<&Bound<'py, PyType>> {
        self.class.import(python, self.module, self.name)
    }

    /// An instance without arguments.
    pub fn error(&self, python: Python<'_>) -> PyErr {
        match self.class(python) {
            Ok(class) => PyErr::from_type(class.clone(), ()),
            Err(error) => error,
        }
    }
}

/// `queue.Empty`.
pub static EMPTY: Imported = Imported::new("queue", "Empty");
/// `queue.Full`.
pub static FULL: Imported = Imported::new("queue", "Full");
/// `queue.ShutDown`, or oneloom's own where the standard library has none.
pub static SHUT_DOWN: Imported = Imported::new("oneloom.queue", "ShutDown");
/// `threading.BrokenBarrierError`.
pub static BROKEN_BARRIER: Imported = Imported::new("threading", "BrokenBarrierError");
