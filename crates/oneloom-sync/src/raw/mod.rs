//! The state machines under every face: owners are given, errors are returned, nothing panics.

pub mod line;
pub mod mutex;
pub mod queue;
pub mod reentrant;

pub use line::{Counters, Line, Name};
pub use mutex::{LockCall, RawMutex, ReleaseError};
pub use reentrant::{RawReentrantMutex, ReentrantLockCall};
