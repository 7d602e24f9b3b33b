//! Waiting itself: who sleeps, who wakes whom, who waits for whom.
//!
//! This crate is the floor of oneloom. It knows how a thread or an async task waits and nothing of
//! what it waits for. The layers, from the bottom:
//!
//! - [`atomic`]: where every atomic of the workspace comes from, so that model checkers can stand in.
//! - [`word`]: one futex word; the only sleeping system call.
//! - [`fork`]: a number that changes when the process is forked.
//! - [`made`]: a place for one thing that is made when it is first wanted.
//! - [`gate`]: the short internal lock in front of a primitive's waiters, aware of forks.
//! - [`waiter`]: the first-in-first-out list of parked threads and [`Waker`](std::task::Waker)s.
//! - [`wait`]: the one engine that every blocking call and every future runs on.
//! - [`spin`]: how long it pays to look again before sleeping.
//! - [`owner`]: slots with generations for threads and tasks, readable by another process.
//! - [`graph`]: who waits for whom, and when a cycle is certain.
//! - [`quiescence`]: whether anything in this process can still move.
//! - [`inbox`]: wakes for an event loop from outside.
//! - [`background`]: threads of oneloom's own.
//!
//! `PROTOCOL.md` beside this crate's manifest tells the interleavings that the code must survive.

#[macro_use]
pub mod atomic;
pub mod background;
pub mod clock;
pub mod fork;
pub mod gate;
pub mod graph;
pub mod inbox;
pub mod made;
pub mod owner;
pub mod quiescence;
pub mod spin;
pub mod wait;
pub mod waiter;
pub mod word;
