//! The one table of exceptions: the standard library's own wherever it has one.

use std::sync::OnceLock;

use pyo3::exceptions::{PyException, PyRuntimeError, PyRuntimeWarning};
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::once::kept;

pyo3::create_exception!(
    oneloom,
    DeadlockError,
    PyRuntimeError,
    "A wait that can never end: the message names who takes part, who holds what and where each waits."
);
pyo3::create_exception!(
    oneloom,
    OwnerDiedWarning,
    PyRuntimeWarning,
    "A shared lock was taken over from a process that died holding it: what it protects may be half-changed."
);
pyo3::create_exception!(
    oneloom,
    DeadlockWarning,
    PyRuntimeWarning,
    "A wait that perhaps can never end: somebody outside may still help, so nothing is raised."
);

pyo3::create_exception!(
    oneloom.queue,
    OwnShutDown,
    PyException,
    "Raised when put or get is called on a queue that was shut down."
);

/// Adds oneloom's own exceptions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let python = module.py();
    let standard = python.import("queue")?.getattr("ShutDown");
    let shut_down = standard.unwrap_or_else(|_| {
        let own = python.get_type::<OwnShutDown>().into_any();
        // The name under which the standard library knows it from 3.13 on.
        let _ = own.setattr("__name__", "ShutDown").and_then(|()| own.setattr("__qualname__", "ShutDown"));
        own
    });
    module.add("ShutDown", shut_down)?;
    module.add("DeadlockError", python.get_type::<DeadlockError>())?;
    module.add("DeadlockWarning", python.get_type::<DeadlockWarning>())?;
    module.add("OwnerDiedWarning", python.get_type::<OwnerDiedWarning>())
}

/// Whether an exception that leaves a `with` is a `DeadlockError`, or was raised while there was one: then a wait
/// inside may have been unable to take the lock again, and there may be nothing to give back.
#[cold]
pub fn comes_of_deadlock(value: &Bound<'_, PyAny>) -> bool {
    const DEPTH: usize = 100;
    std::iter::successors(Some(value.clone()), |value| value.getattr("__context__").ok())
        .take(DEPTH)
        .any(|value| value.is_instance_of::<DeadlockError>())
}

/// `class[item]`, for annotations.
pub fn generic_alias(class: &Bound<'_, PyType>, item: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let alias = class.py().import("types")?.getattr("GenericAlias")?;
    Ok(alias.call1((class, item))?.unbind())
}

/// A class, an exception's as a rule, that is imported when it is first needed.
pub struct Imported {
    module: &'static str,
    name: &'static str,
    class: OnceLock<Py<PyType>>,
}

impl Imported {
    const fn new(module: &'static str, name: &'static str) -> Self {
        Self { module, name, class: OnceLock::new() }
    }

    /// The class.
    pub fn class<'py>(&self, python: Python<'py>) -> PyResult<&Bound<'py, PyType>> {
        let import = || Ok(python.import(self.module)?.getattr(self.name)?.cast_into::<PyType>()?.unbind());
        kept(&self.class, import).map(|class: &Py<PyType>| class.bind(python))
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
pub static SHUT_DOWN: Imported = Imported::new("oneloom._native", "ShutDown");
/// `threading.BrokenBarrierError`.
pub static BROKEN_BARRIER: Imported = Imported::new("threading", "BrokenBarrierError");
/// `concurrent.futures.CancelledError`.
pub static CANCELLED: Imported = Imported::new("concurrent.futures._base", "CancelledError");
/// `concurrent.futures.InvalidStateError`.
pub static INVALID_STATE: Imported = Imported::new("concurrent.futures._base", "InvalidStateError");
/// `asyncio.CancelledError`.
pub static ASYNC_CANCELLED: Imported = Imported::new("asyncio.exceptions", "CancelledError");
/// `oneloom.Future`, which is imported when there is a first future to be made.
pub static FUTURE: Imported = Imported::new("oneloom._future", "Future");
/// `oneloom.InitializerError`.
pub static INITIALIZER: Imported = Imported::new("oneloom._pool.base", "InitializerError");
