//! Pools of processes: the face of `oneloom_exec` that Python sees, on the owner's side and on the workers'.
//!
//! - `packing`: calls and results as bytes.
//! - `answers`: what becomes of a task.
//! - `surroundings`: the threads of Python's that a pool needs, and what they do.
//! - `processes`, `worker`: the classes.

mod answers;
mod packing;
mod processes;
mod surroundings;
mod worker;

use pyo3::prelude::*;

/// Makes the module `oneloom._native_pool`, whose stub is a page of its own.
pub fn register(python: Python<'_>) -> PyResult<()> {
    const NAME: &str = "oneloom._native_pool";
    let module = PyModule::new(python, NAME)?;
    module.add_class::<processes::ProcessPool>()?;
    module.add_class::<surroundings::PoolKeeper>()?;
    module.add_class::<surroundings::PoolSeat>()?;
    module.add_class::<worker::PoolWorker>()?;
    python.import("sys")?.getattr("modules")?.set_item(NAME, module)
}
