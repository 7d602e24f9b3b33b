//! The state machines, driven by plain threads and by futures that are polled by hand.

#![cfg(not(any(loom, shuttle)))]
#![allow(missing_docs)]

mod barrier;
mod condvar;
mod ends;
mod event;
mod graph;
mod handover;
mod harness;
mod mixed;
mod once;
mod priority;
mod reentrant;
mod semaphore;
