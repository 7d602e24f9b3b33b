//! Mutex to Queue for threads and async tasks alike, over `oneloom-wait`.
//!
//! Each primitive is a small state machine that does not know who waits for it. Every call that may wait
//! comes in four forms: blocking, `_timeout`, `try_` and `_async`; the last runs on any executor.
//!
//! - [`raw`]: the state machines, for embeddings that bring their own idea of an owner and of errors.
//! - The modules beside it are Rust's faces of them: guards over data, panics on certain deadlocks.
//!
//! Unsafe code stands in one module, `cell`: the data under a guard and the one-shot cell's slot.

#![deny(unsafe_code)]

mod cell;
mod environment;
mod mutex;
mod queue;
mod queue_error;
pub mod raw;
mod simple_queue;
mod statistics;

pub use environment::describe;
pub use mutex::{AsyncMutexGuard, Mutex, MutexGuard};
pub use queue::{Iter, LifoQueue, Queue, QueueOf};
pub use queue_error::{GetError, PutError, ShutDown};
pub use raw::Counters;
pub use raw::queue::{Fifo, Lifo, QueueStatistics, Store};
pub use simple_queue::SimpleQueue;
pub use statistics::Statistics;
