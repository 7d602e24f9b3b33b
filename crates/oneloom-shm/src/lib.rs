//! Locks and queues in memory that processes share, surviving the death of any of them at any instruction.
//!
//! One growing segment serves a family of processes: the one that made it and all that it starts. This crate knows
//! bytes, not what they mean. From the bottom:
//!
//! - [`error`]: what can go wrong with shared memory.
//! - [`step`]: the points at which tests kill a process.
//! - [`layout`]: the map of the segment's bytes, told in `LAYOUT.md`.
//! - [`segment`], [`family`]: the memory itself, and which segments this process knows.
//! - [`member`]: processes as records with generations, and whether one is alive.
//! - [`latch`]: the short internal lock that survives its holder.
//! - [`arena`]: blocks of memory, and what becomes of those whose owner died.
//! - [`event_count`]: a word to sleep on, for threads and tasks of all processes.
//! - [`wait`], [`monitor`]: sleeping there, and the threads that watch deaths and answer the doorbell.
//! - [`payload`], [`flow`]: items on their way; what queues of every order have in common.
//! - [`handle`]: how an object is named across processes.
//! - [`mutex`], [`event`], [`queue`]: what users use.
//!
//! Under a model checker there is the event count alone: all else needs a kernel.

#[cfg(not(any(loom, shuttle)))]
pub mod arena;
#[cfg(not(any(loom, shuttle)))]
pub mod error;
#[cfg(not(any(loom, shuttle)))]
pub mod event;
pub mod event_count;
#[cfg(not(any(loom, shuttle)))]
pub mod family;
#[cfg(not(any(loom, shuttle)))]
pub mod flow;
#[cfg(not(any(loom, shuttle)))]
pub mod handle;
#[cfg(not(any(loom, shuttle)))]
pub mod latch;
#[cfg(not(any(loom, shuttle)))]
pub mod layout;
#[cfg(not(any(loom, shuttle)))]
pub mod member;
#[cfg(not(any(loom, shuttle)))]
pub mod monitor;
#[cfg(not(any(loom, shuttle)))]
pub mod mutex;
#[cfg(not(any(loom, shuttle)))]
pub mod payload;
#[cfg(not(any(loom, shuttle)))]
pub mod queue;
#[cfg(not(any(loom, shuttle)))]
pub mod segment;
#[cfg(not(any(loom, shuttle)))]
pub mod step;
#[cfg(not(any(loom, shuttle)))]
pub mod wait;
