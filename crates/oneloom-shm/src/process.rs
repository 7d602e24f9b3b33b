//! What the system knows of processes: who calls, when it started, whether it is alive.
//!
//! In a model the processes are threads, and the model is their system.

use std::os::fd::OwnedFd;

#[cfg(not(shuttle))]
mod system;
#[cfg(not(shuttle))]
pub use system::{examine, id, namespace, started};

#[cfg(shuttle)]
pub mod modelled;
#[cfg(shuttle)]
pub use modelled::{examine, id, namespace, started};

/// What can be said about a process.
pub enum Life {
    /// It is no more, or only a zombie, or the pid is another's.
    Dead,
    /// It lives, and this becomes readable when it has ended.
    Watched(OwnedFd),
    /// It seems to live, but can't be watched.
    Alive,
}
