//! What processes share: the classes of `oneloom.shared`, around `oneloom_shm`.
//!
//! - `waiting`: how Python's threads and coroutines wait for another process.
//! - `pickling`, `buffer`: what goes through a queue, as bytes; and buffers that are received without a copy.
//! - `flow`: what the classes of queues have in common.
//! - `many`, `receipts`: many items at once; items that are pending until they are done.
//! - `lock`, `rlock`, `semaphore`, `condition`, `barrier`, `event`, `queue`, `priority`: the classes.

mod barrier;
pub mod buffer;
mod condition;
mod event;
mod flow;
mod lock;
mod many;
pub mod pickling;
mod priority;
mod queue;
mod receipts;
mod rlock;
mod semaphore;
mod waiting;

use std::os::fd::{AsRawFd, RawFd};

use oneloom_shm::error::Error;
use oneloom_shm::handle::{Handle, Object, Shared};
use oneloom_shm::{family, segment, step};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::errors::OwnerDiedWarning;
use crate::once::intern;
use crate::statistics::SharedStatistics;

/// Adds the classes and this module's functions.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let python = module.py();
    // Under names of their own here: they call themselves like the classes of this process alone.
    module.add("SharedStatistics", python.get_type::<SharedStatistics>())?;
    module.add("SharedLock", python.get_type::<lock::SharedLock>())?;
    module.add("SharedRLock", python.get_type::<rlock::SharedRLock>())?;
    module.add("SharedSemaphore", python.get_type::<semaphore::SharedSemaphore>())?;
    module.add("SharedBoundedSemaphore", python.get_type::<semaphore::SharedBoundedSemaphore>())?;
    module.add("SharedCondition", python.get_type::<condition::SharedCondition>())?;
    module.add("SharedBarrier", python.get_type::<barrier::SharedBarrier>())?;
    module.add("SharedEvent", python.get_type::<event::SharedEvent>())?;
    module.add("SharedQueueStatistics", python.get_type::<crate::statistics::SharedQueueStatistics>())?;
    module.add("SharedQueue", python.get_type::<queue::SharedQueue>())?;
    module.add("SharedPriorityQueue", python.get_type::<priority::SharedPriorityQueue>())?;
    module.add_class::<waiting::LongJoin>()?;
    module.add_function(wrap_pyfunction!(_join_family, module)?)?;
    module.add_function(wrap_pyfunction!(_kill_at, module)?)
}

/// Joins the family whose descriptor came with the start of this process.
#[pyfunction]
fn _join_family(descriptor: RawFd) -> PyResult<()> {
    // SAFETY: multiprocessing has put the descriptor there for this process, and nobody else knows of it.
    family::join(unsafe { segment::adopt(descriptor) }).map_err(error)
}

/// For tests: kills this process when it passes a step of a protocol after `passes` times unharmed. Gives the names
/// of all steps; with an empty name, nothing else.
#[pyfunction]
fn _kill_at(name: &str, passes: u32) -> Vec<String> {
    let named = |step: &step::Step| format!("{step:?}");
    if let Some(step) = step::Step::ALL.iter().find(|step| named(step) == name) {
        step::kill_at(*step, passes);
    }
    step::Step::ALL.iter().map(named).collect()
}

/// What shared memory says, as Python's exceptions.
pub fn error(error: Error) -> PyErr {
    let words = error.to_string();
    match error {
        Error::Memory(_) | Error::Limit { .. } => PyOSError::new_err((libc::ENOSPC, words)),
        Error::Processes | Error::Namespace | Error::Corrupt(_) => PyRuntimeError::new_err(words),
        Error::TooMany { .. }
        | Error::TooLarge { .. }
        | Error::Setting(_)
        | Error::Foreign
        | Error::Gone
        | Error::Kind
        | Error::Handle(_)
        | Error::Segment(_) => PyValueError::new_err(words),
        Error::System(_) => PyOSError::new_err(words),
    }
}

/// Tells whoever took something over from the dead what may be half-changed.
///
/// # Errors
/// Where warnings are errors.
fn warn_of_death(python: Python<'_>, words: &str) -> PyResult<()> {
    let words = std::ffi::CString::new(words).unwrap_or_default();
    PyErr::warn(python, &python.get_type::<OwnerDiedWarning>(), &words, 1)
}

/// The object that bytes name.
fn open<T: Shared>(handle: &[u8]) -> PyResult<Object<T>> {
    Handle::from_bytes(handle).and_then(Object::open).map_err(error)
}

/// How an object pickles: as its handle, which brings the segment's descriptor to a child that is being started.
fn reduce<T: Shared>(slf: &Bound<'_, PyAny>, object: &Object<T>, name: Option<&str>) -> PyResult<Py<PyAny>> {
    reduce_with(slf, object, name, Vec::new())
}

/// The same with more of what `_open` takes.
fn reduce_with<T: Shared>(
    slf: &Bound<'_, PyAny>,
    object: &Object<T>,
    name: Option<&str>,
    more: Vec<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let python = slf.py();
    let handle = object.handle().to_bytes();
    let family =
        (object.segment().family(), object.segment().descriptor().map(|descriptor| descriptor.as_raw_fd()));
    let reduce = python.import("oneloom.shared")?.getattr(intern!(python, "_reduce"))?;
    Ok(reduce.call1((slf.get_type(), handle.as_slice(), name, family.0, family.1, more))?.unbind())
}

/// `oneloom.shared.Class 'name' 0x…`: the number is the same in every process.
fn title<T: Shared>(slf: &Bound<'_, PyAny>, object: &Object<T>, name: Option<&str>) -> PyResult<String> {
    let name = crate::describe::quoted(name);
    Ok(format!("oneloom.shared.{} {name}number {:#x}", slf.get_type().name()?, object.number()))
}
