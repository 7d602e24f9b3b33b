//! The Python face of oneloom: conversions, attaching and detaching, signals, forks, one exception table.
//!
//! The only crate that names `pyo3`, and it holds no synchronization logic: every class here is a state
//! machine of `oneloom_sync::raw` with Python's argument rules and errors around it.
//!
//! - `environment`: how a Python thread blocks: detached, interruptible, told of deadlocks.
//! - `owner`: who calls: the running asyncio task, else the thread.
//! - `waiting` and `port`: how a coroutine waits: an awaitable over a future, woken through its loop's inbox.
//! - `arguments`, `errors`: what goes in and what comes out.
//! - one module for each family of classes. Their `///` comments are Python's docstrings, examples included.
#![allow(clippy::doc_lazy_continuation, reason = "an example's `>>>` is Python's prompt, not a quotation")]

mod arguments;
mod barrier;
mod calls;
mod completion;
mod condition;
mod describe;
mod environment;
mod errors;
mod event;
mod flavour;
mod fork;
mod future;
mod initialised;
mod lock;
mod once;
mod owner;
mod pool;
mod port;
mod priority;
mod queue;
mod report;
mod rlock;
mod semaphore;
mod shared;
mod signal;
mod simple_queue;
mod standard;
mod statistics;
mod waiting;

use pyo3::prelude::*;

/// The native module `oneloom._native`.
#[pymodule(gil_used = false)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<lock::Lock>()?;
    module.add_class::<rlock::RLock>()?;
    module.add_class::<semaphore::Semaphore>()?;
    module.add_class::<semaphore::BoundedSemaphore>()?;
    module.add_class::<event::Event>()?;
    module.add_class::<condition::Condition>()?;
    module.add_class::<barrier::Barrier>()?;
    module.add_class::<queue::Queue>()?;
    module.add_class::<queue::LifoQueue>()?;
    module.add_class::<priority::PriorityQueue>()?;
    module.add_class::<simple_queue::SimpleQueue>()?;
    module.add_class::<standard::Hook>()?;
    module.add_class::<completion::Completion>()?;
    module.add_class::<statistics::Statistics>()?;
    module.add_class::<statistics::QueueStatistics>()?;
    module.add_class::<waiting::Waiting>()?;
    // Under names of their own here: they call themselves like the classes that they stand in for.
    let python = module.py();
    lock::register(module)?;
    module.add("DropInRLock", python.get_type::<rlock::DropInRLock>())?;
    module.add("DropInCondition", python.get_type::<condition::DropInCondition>())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    shared::register(module)?;
    future::register(python)?;
    pool::register(python)?;
    errors::register(module)?;
    report::register(module)?;
    signal::register(module)?;
    fork::register(module)
}
