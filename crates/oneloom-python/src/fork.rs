//! What Python's own fork hook tells: the calling thread is the one that lives on in the child.
//!
//! Forks that no hook sees are noticed too, when their surviving thread first waits.

use pyo3::prelude::*;

use crate::signal;

/// Adds this module's functions.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(_after_fork, module)?)
}

/// Runs in the child of `os.fork`.
#[pyfunction]
fn _after_fork() -> PyResult<()> {
    oneloom_wait::owner::confirm_after_fork();
    signal::after_fork()
}
