//! The Python face of oneloom: conversions, attaching and detaching, signals, forks, one exception table.
//!
//! The only crate that names `pyo3`, and it holds no synchronization logic: every class here is a state
//! machine of `oneloom_sync::raw` with Python's argument rules and errors around it.
//!
//! - `environment`: how a Python thread blocks: detached, interruptible, told of deadlocks.
//! - `owner`: who calls: the running asyncio task, else the thread.
//! - `waiting` and `port`: how a coroutine waits: an awaitable over a future, woken through its loop's inbox.
//! - `arguments`, `errors`: what goes in and what comes out.
//! - one module for each family of classes.

mod arguments;
mod environment;
mod errors;
mod lock;
mod owner;
mod port;
mod queue;
mod waiting;

use pyo3::prelude::*;

/// The native module `oneloom._native`.
#[pymodule(gil_used = false)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<lock::Lock>()?;
    // Under a name of its own here: it calls itself `Lock`, like the class that it stands in for.
    module.add("DropInLock", module.py().get_type::<lock::DropInLock>())?;
    module.add_class::<queue::Queue>()?;
    module.add_class::<queue::LifoQueue>()?;
    module.add_class::<queue::SimpleQueue>()?;
    module.add_class::<waiting::Waiting>()?;
    errors::register(module)
}
