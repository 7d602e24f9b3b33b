//! How workers come to be, which is for whoever embeds this crate to say.

use std::fmt;

use crate::packet::Packet;
use crate::seat::{LENGTH, Place};

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

/// A place for a worker that is to be launched. Dropped, it says that nobody was.
pub struct Seat {
    place: Place,
    /// Who is told the process, or why there is none. None once that was said.
    told: Option<Told>,
}

pub(crate) type Told = Box<dyn FnOnce(Result<u32, String>) + Send>;

impl Seat {
    pub(crate) fn new(place: Place, told: Told) -> Self {
        Self { place, told: Some(told) }
    }

    /// The worker's number in its pool.
    pub fn worker(&self) -> u32 {
        self.place.worker
    }

    /// What the worker's process is to get, which belongs to the owner's family.
    pub fn to_bytes(&self) -> [u8; LENGTH] {
        self.place.to_bytes()
    }

    /// A process was started, and nobody has waited for it yet.
    pub fn launched(mut self, pid: u32) {
        self.tell(Ok(pid));
    }

    /// No process was started, for this reason.
    pub fn failed(mut self, why: String) {
        self.tell(Err(why));
    }

    fn tell(&mut self, how: Result<u32, String>) {
        if let Some(told) = self.told.take() {
            told(how);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.tell(Err("nobody started a worker".into()));
    }
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
