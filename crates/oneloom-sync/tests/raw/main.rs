//! The state machines, driven by plain threads and by futures that are polled by hand.

#![allow(missing_docs)]

mod barrier;
mod condvar;
mod event;
mod harness;
mod mixed;
mod once;
mod priority;
mod reentrant;
mod semaphore;
