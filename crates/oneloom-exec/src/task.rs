//! A task's limits, and how it can end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use oneloom_shm::error::Error;

use crate::launch::Exit;
use crate::packet::Packet;

/// What a task may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// How long one run may take, from when a worker is given the task; then that is killed. `None` is without a limit, and
    /// no limit is shorter than 5 ms.
    pub timeout: Option<Duration>,
    /// How often it is tried again when it failed, its worker died, or it took too long.
    pub retries: u32,
}

/// Who is told what becomes of a task.
pub trait Report: Send {
    /// It runs from now on, or (false) does not any more and will be tried again or moves to another worker. Called
    /// inside the pool's lock: note it, and do no more.
    fn running(&self, running: bool) {
        let _ = running;
    }

    /// It has ended. Called once, outside all locks, on whatever thread reads the mail or ended it: runs no foreign code,
    /// and waits for nothing.
    fn ended(self: Box<Self>, end: End);
}

/// How a task ended.
#[derive(Debug)]
pub enum End {
    /// Its worker says that it succeeded.
    Succeeded(Reply),
    /// Its worker says that it failed, for the last time.
    Failed(Reply),
    /// It has no answer.
    Lost(Failure),
}

/// What a worker answered.
#[derive(Debug)]
pub struct Reply {
    /// What it says.
    pub packet: Packet,
    /// How long it took, from taking the task to answering.
    pub took: Duration,
    /// The worker's process.
    pub pid: u32,
}

/// Why a task has no answer.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The process that ran it has ended.
    Died {
        /// Which one.
        pid: u32,
        /// How.
        exit: Exit,
    },
    /// It took longer than it may, and its worker was killed.
    TimedOut {
        /// Which one.
        pid: u32,
    },
    /// Somebody cancelled it.
    Cancelled,
    /// No worker can be had for it.
    Refused(Refusal),
    /// The pool was terminated.
    Terminated,
    /// It could not be handed over.
    Memory(Error),
}

/// Why a pool takes no tasks.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// A worker said so: what it said.
    Worker(Arc<Packet>),
    /// Workers could not be started, or ended before they were ready, several times in a row.
    Launch {
        /// What there is to say.
        why: String,
        /// The last one's process, if it had one.
        pid: Option<u32>,
    },
    /// It was shut down.
    ShutDown,
    /// It is the parent's, and this is the child of a fork.
    Forked,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(_) => out.write_str("a worker of the pool could not begin"),
            Self::Launch { why, .. } => out.write_str(why),
            Self::ShutDown => out.write_str("the pool was shut down: it takes no more tasks"),
            Self::Forked => out.write_str(
                "this pool is the parent's: a process that was forked from it makes one of its own",
            ),
        }
    }
}

impl std::error::Error for Refusal {}
