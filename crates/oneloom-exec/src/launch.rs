//! How workers come to be, which is for whoever embeds this crate to say.

use std::fmt;

use crate::packet::Packet;
use crate::seat::Seat;

/// What a pool needs of its surroundings.
pub trait Launcher: Send + Sync {
    /// Starts a process that gets [`Seat::to_bytes`] and gives it to [`Desk::sit`](crate::desk::Desk::sit), and says so by
    /// [`Seat::launched`] or [`Seat::failed`], now or from another thread. Must not wait; called outside all locks.
    fn launch(&self, seat: Seat);

    /// How that process has ended, which it has: reaps it where it is this process's own. On a thread of the pool's own.
    fn ended(&self, worker: u32, pid: u32) -> Exit;

    /// A worker hands something on. Called in the order in which it did so, inside the pool's lock: note it, and do no more.
    fn record(&self, pid: u32, record: Packet) {
        let _ = (pid, record);
    }

    /// All tasks and all workers have ended, everybody was told, and nothing will be asked of this any more.
    fn over(&self) {}
}

/// How a process ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exit {
    /// By itself or by a signal.
    pub status: Status,
    /// What it left to say about it, if anything: a stack, for example.
    pub text: Option<String>,
}

/// See [`Exit`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// With this exit status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Somebody else has waited for it, or nobody could.
    Unknown,
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(out, "exited with status {code}"),
            Self::Signal(signal) => write!(out, "was killed by signal {signal}"),
            Self::Unknown => {
                out.write_str("ended; how is not known, because somebody else has waited for it")
            }
        }
    }
}

/// How a child of this process ended, which it has; it is reaped.
pub fn reap(pid: u32) -> Status {
    use rustix::process::{Pid, WaitOptions, waitpid};
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Status::Unknown };
    match waitpid(Some(pid), WaitOptions::NOHANG) {
        Ok(Some((_, status))) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Status::Code(code),
            (_, Some(signal)) => Status::Signal(signal),
            _ => Status::Unknown,
        },
        _ => Status::Unknown,
    }
}
