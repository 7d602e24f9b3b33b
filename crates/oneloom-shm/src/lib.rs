//! Locks and queues in memory that processes share, surviving the death of any of them at any instruction.
//!
//! One growing segment serves a family of processes: the one that made it and all that it starts. This crate knows
//! bytes, not what they mean. From the bottom:
//!
//! - [`error`]: what can go wrong with shared memory.
//! - [`step`]: the points at which tests kill a process.
//! - [`layout`]: the map of the segment's bytes, told in `LAYOUT.md`.
//! - [`segment`], [`family`]: the memory itself, and which segments this process knows.
//! - [`process`], [`member`]: what the system knows of processes; processes as records with generations.
//! - [`latch`]: the short internal lock that survives its holder.
//! - [`arena`]: blocks of memory, and what becomes of those whose owner died.
//! - [`event_count`]: a word to sleep on, for threads and tasks of all processes.
//! - [`wait`], [`monitor`]: sleeping there, and the threads that watch deaths and answer the doorbell.
//! - [`payload`], [`flow`]: items on their way; what queues of every order have in common.
//! - [`waits`], [`deadlock`]: who waits, for other processes to read, and waits that can never end.
//! - [`handle`]: how an object is named across processes.
//! - [`mutex`], [`reentrant`], [`semaphore`], [`event`], [`condition`], [`barrier`], [`queue`], [`priority`]: what users
//!   use.
//! - [`start`]: starting this program once more, with the segment's descriptor.
//!
//! In shuttle's models a segment stands on the heap, and processes are threads that [`process`] kills; in loom's there is
//! the event count alone.

#[cfg(not(loom))]
pub mod arena;
#[cfg(not(loom))]
pub mod barrier;
#[cfg(not(loom))]
pub mod condition;
#[cfg(not(loom))]
pub mod deadlock;
#[cfg(not(loom))]
pub mod error;
#[cfg(not(loom))]
pub mod event;
pub mod event_count;
#[cfg(not(loom))]
pub mod family;
#[cfg(not(loom))]
pub mod flow;
#[cfg(not(loom))]
pub mod handle;
#[cfg(not(any(loom, shuttle)))]
pub mod held;
#[cfg(not(loom))]
pub mod holding;
#[cfg(not(loom))]
pub mod latch;
#[cfg(not(loom))]
pub mod layout;
#[cfg(not(loom))]
pub mod member;
#[cfg(not(loom))]
pub mod monitor;
#[cfg(not(loom))]
pub mod mutex;
#[cfg(not(loom))]
pub mod parcel;
#[cfg(not(loom))]
pub mod payload;
#[cfg(not(loom))]
pub mod priority;
#[cfg(not(loom))]
pub mod process;
#[cfg(not(loom))]
pub mod queue;
#[cfg(not(loom))]
pub mod reentrant;
#[cfg(not(loom))]
pub mod segment;
#[cfg(not(loom))]
pub mod semaphore;
#[cfg(not(loom))]
pub mod start;
pub mod step;
#[cfg(not(loom))]
pub mod unborn;
#[cfg(not(loom))]
pub mod wait;
#[cfg(not(loom))]
pub mod waits;
