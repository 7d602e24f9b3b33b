//! Pools, as Python sees them.
//!
//! - `threads`: the thread pool, and its workers.
//! - `thread_task`: what those run.
//! - `handed_over`: its tasks, where the standard library's executor goes on with them.
//! - `batches`: the iterator that `map` gives.
//!
//! Those of processes are the face of `oneloom_exec`, on the owner's side and on the workers':
//!
//! - `packing`: calls and results as bytes.
//! - `answers`: what becomes of a task.
//! - `surroundings`: the threads of Python's that a pool needs, and what they do.
//! - `processes`, `worker`: the classes.

mod answers;
mod batches;
mod handed_over;
mod packing;
mod processes;
mod surroundings;
mod thread_task;
mod threads;
mod worker;

use pyo3::prelude::*;

/// Makes the module `oneloom._native_pool`, whose stub is a page of its own.
pub fn register(python: Python<'_>) -> PyResult<()> {
    const NAME: &str = "oneloom._native_pool";
    let module = PyModule::new(python, NAME)?;
    module.add_class::<batches::Batches>()?;
    module.add_class::<batches::Raised>()?;
    module.add_class::<threads::ThreadPool>()?;
    module.add_class::<threads::ThreadWorker>()?;
    module.add_class::<handed_over::ThreadTask>()?;
    module.add_function(wrap_pyfunction!(thread_task::cancelled, &module)?)?;
    module.add_class::<processes::ProcessPool>()?;
    module.add_class::<surroundings::PoolKeeper>()?;
    module.add_class::<surroundings::PoolSeat>()?;
    module.add_class::<worker::PoolWorker>()?;
    python.import("sys")?.getattr("modules")?.set_item(NAME, module)
}
