//! The state machines under every face: owners are given, errors are returned, nothing panics.

pub mod barrier;
pub mod condvar;
pub mod ends;
pub mod event;
pub mod heap;
pub mod line;
pub mod mutex;
pub mod once;
pub mod priority;
pub mod queue;
pub mod reentrant;
pub mod semaphore;

pub use barrier::{ArriveCall, Arrived, Broken, RawBarrier};
pub use condvar::{NotifiedCall, RawCondvar};
pub use ends::{ArrivedCall, RawEnds};
pub use event::{EventCall, RawEvent};
pub use heap::Heap;
pub use line::{Counters, Line, Name};
pub use mutex::{LockCall, RawMutex, ReleaseError};
pub use once::{DoneCall, RawOnce};
pub use priority::{Count, RawPriorityQueue, Reentered, SortCall, Sorting, Unput};
pub use reentrant::{RawReentrantMutex, ReentrantLockCall};
pub use semaphore::{AcquireCall, OverRelease, RawSemaphore};
