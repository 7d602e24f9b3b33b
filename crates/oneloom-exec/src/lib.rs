//! Pools: who runs which task, what happens when that one dies, takes too long or fails.
//!
//! A task is bytes and a [`task::Report`]: what it does is known to whoever embeds this crate, here nobody knows. A
//! process pool from the bottom:
//!
//! - [`message`]: what the pool's owner and its workers tell each other, byte by byte.
//! - [`packet`]: a task's or an answer's bytes, with room for a message's head.
//! - [`task`]: limits, and how a task can end.
//! - [`seat`]: a worker's place, as bytes.
//! - [`launch`]: how workers are started: by whoever embeds this.
//! - [`desk`]: the worker's side.
//! - [`dispatch`]: who runs what, decided: a state machine.
//! - [`pool`]: the owner's side: the machine, the mailbox, and the two threads around them.
//! - [`threads`]: the jobs of a thread pool, which stand in its process's own memory.
//! - [`deadlines`]: a thread that sees to the time limits of a thread pool's jobs.
//!
//! Each worker has a queue of its own, in which a few tasks lie that it will take next; all workers answer through one,
//! the mailbox. A worker takes one task at a time and answers it before it takes the next. So what a dead worker was
//! given, has not answered and has not left in its queue is the task that it ran: that one alone pays for its death.
//!
//! In loom's models there are the jobs of threads alone.

#![forbid(unsafe_code)]
#[cfg(not(loom))]
pub mod deadlines;
#[cfg(not(loom))]
pub mod desk;
#[cfg(not(loom))]
pub mod dispatch;
#[cfg(not(loom))]
pub mod launch;
#[cfg(not(loom))]
pub mod message;
#[cfg(not(loom))]
pub mod packet;
#[cfg(not(loom))]
pub mod pool;
#[cfg(not(loom))]
pub mod seat;
#[cfg(not(loom))]
pub mod task;
pub mod threads;
