//! Mutex to Queue for threads and async tasks alike, over `oneloom-wait`.
//!
//! Each primitive is a small state machine that does not know who waits for it. Every call that may wait
//! comes in four forms: blocking, `_timeout`, `try_` and `_async`; the last runs on any executor.
//!
//! - [`raw`]: the state machines, for embeddings that bring their own idea of an owner and of errors.
//! - The modules beside it are Rust's faces of them: guards over data, panics on certain deadlocks.
//! - [`environment`]: what a Rust thread has to say to a blocking call, for faces of other crates, too.
//!
//! Unsafe code stands in one module, `cell`: the data under a guard and the one-shot cell's slot.

#![deny(unsafe_code)]

mod barrier;
mod cell;
mod condvar;
pub mod environment;
mod event;
mod mutex;
mod one_shot;
mod priority_queue;
mod queue;
mod queue_error;
pub mod raw;
mod reentrant;
mod semaphore;
mod simple_queue;
mod statistics;

pub use barrier::{Arrival, Barrier, BrokenBarrier};
pub use condvar::Condvar;
pub use event::Event;
pub use mutex::{AsyncMutexGuard, Mutex, MutexGuard};
pub use one_shot::{AlreadySet, OneShot};
pub use priority_queue::{PriorityIter, PriorityQueue};
pub use queue::{Iter, LifoQueue, Queue, QueueOf};
pub use queue_error::{GetError, PutError, ShutDown};
pub use raw::Counters;
pub use raw::queue::{Fifo, Lifo, QueueStatistics, Store};
pub use reentrant::{AsyncReentrantMutexGuard, ReentrantMutex, ReentrantMutexGuard};
pub use semaphore::{BoundedSemaphore, Permit, Semaphore, TooManyPermits};
pub use simple_queue::SimpleQueue;
pub use statistics::Statistics;
