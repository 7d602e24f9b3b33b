//! What processes share: any thread and any async task of any process of a family uses the *same object*, and a process
//! that is killed takes nothing with it.
//!
//! A family is a process and all that it starts by [`Process`](crate::process::Process). Its objects stand in one piece of
//! memory without a name in the file system, which grows as it is needed and goes with the family's last process. A value
//! of these types is a handle: clone it for another thread, pass it to a child as an argument, send it through a
//! queue. Serialized it is some bytes, which another family refuses.
//!
//! | | |
//! |---|---|
//! | [`Mutex`], [`ReentrantMutex`] | one holder at a time; they hold no data |
//! | [`Semaphore`] | permits to share |
//! | [`Event`] | a flag to wait for |
//! | [`Condvar`] | waiting, under a mutex, for what others change under it |
//! | [`Barrier`] | parties wait for each other |
//! | [`Queue<T>`], [`ByteQueue`], [`PriorityQueue<T>`] | many producers, many consumers; bounds, `join`, `shutdown` |
//!
//! Any process of the family may be killed at any instant. Nobody else waits for ever then: a [`Mutex`] goes to the next
//! who wants it, who gets it as the error [`LockError::OwnerDied`]; a [`Queue`] loses no item but the one that the
//! killed process had just taken.
//!
//! There is an example on the [front page](crate#several-processes).
//!
//! Calls that may wait have the same four forms as in one process. What can fail here and not there is the memory itself,
//! so that every call gives a `Result`: [`Error`] says why. A thread that waits for a lock and certainly never gets it, since
//! threads of several processes wait for each other, panics as it would in one process, and names them all.
//!
//! These are the faces; the memory, and how it survives a death, is the crate `oneloom-shm`.

mod barrier;
mod condvar;
mod event;
mod lock;
mod mutex;
mod object;
mod queue;
mod reentrant;
mod semaphore;

pub use barrier::{Arrival, Barrier, BarrierError};
pub use condvar::Condvar;
pub use event::Event;
pub use lock::LockError;
pub use mutex::{AsyncMutexGuard, Mutex, MutexGuard};
pub use oneloom_shm::error::Error;
pub use queue::{
    Bounds, ByPriority, ByteQueue, Bytes, Encoding, Fifo, GetError, Iter, Lent, Order, PriorityQueue,
    PutError, Queue, QueueOf, Serde,
};
pub use reentrant::{AsyncReentrantMutexGuard, ReentrantMutex, ReentrantMutexGuard};
pub use semaphore::{Permit, ReleaseError, Semaphore};
