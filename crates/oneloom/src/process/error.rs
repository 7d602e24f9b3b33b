//! Why a process was not started, and why it gave no result.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::shared;

/// Why a process was not started.
#[derive(Debug)]
pub enum SpawnError {
    /// `main` did not call [`init`](super::init), or has not yet.
    NotReady,
    /// [`init`](super::init) was not told of the function, which has this name.
    Unknown(&'static str),
    /// The argument could not be written: what its `Serialize` says.
    Encoding(String),
    /// There is no shared memory for its family.
    Shared(shared::Error),
    /// The system refused.
    System(io::Error),
}

impl From<io::Error> for SpawnError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady => formatter.write_str(
                "no process was started: call oneloom::process::init first in main, for a child runs this program's \
                 main, too (a test needs harness = false and a main of its own)",
            ),
            Self::Unknown(name) => write!(
                formatter,
                "no process was started: oneloom::process::init was not told of {name}: add it there"
            ),
            Self::Encoding(error) => {
                write!(formatter, "no process was started: the argument could not be written: {error}")
            }
            Self::Shared(error) => write!(formatter, "no process was started: {error}"),
            Self::System(error) => write!(formatter, "no process was started: {error}"),
        }
    }
}

impl std::error::Error for SpawnError {}

/// Why a process gave no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// Its function panicked, with this message.
    Panicked(String),
    /// It ended before its function returned: by a signal, or because something called `exit`.
    Died(ExitStatus),
    /// It exited before it came to [`init`](super::init).
    NotRun(ExitStatus),
    /// It could not run its function, for this reason: the argument can't be read, for example.
    Refused(String),
    /// The result can't be read: what its `Deserialize` says.
    Encoding(String),
    /// Nobody knows how it ended: the program has `SIGCHLD` ignored, or waits for all children itself.
    Lost(String),
}

impl fmt::Display for JoinError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(message) => write!(formatter, "the process's function panicked: {message}"),
            Self::Died(status) => {
                write!(formatter, "the process ended before its function returned: {status}{}", hint(*status))
            }
            Self::NotRun(status) => write!(
                formatter,
                "the process ended before it came to its function ({status}): oneloom::process::init must stand first \
                 in main, before arguments are looked at (a test needs harness = false and a main of its own)"
            ),
            Self::Refused(why) => write!(formatter, "the process did not give a result: {why}"),
            Self::Encoding(error) => write!(formatter, "the process's result can't be read: {error}"),
            Self::Lost(error) => write!(
                formatter,
                "how the process ended is not known ({error}): something else in this program waits for its children"
            ),
        }
    }
}

/// What often sends a signal.
fn hint(status: ExitStatus) -> &'static str {
    match status.signal() {
        Some(9) => ", sent by somebody, or by the kernel where the machine or the container is out of memory",
        Some(6) => ", as after a panic that aborts",
        _ => "",
    }
}

impl std::error::Error for JoinError {}
