//! What can go wrong with shared memory.

use std::fmt;

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no memory left: the system's own refusal.
    Memory(String),
    /// The segment may not grow as far.
    Limit {
        /// How many bytes were asked for.
        wanted: u64,
        /// How many the segment may have at most.
        limit: u64,
    },
    /// A queue can never take as many items at once.
    TooMany {
        /// How many there were.
        items: u64,
        /// How many the queue takes.
        maxsize: u64,
    },
    /// A queue can never take as many bytes at once.
    TooLarge {
        /// How many items there were.
        items: u64,
        /// How many bytes they had.
        bytes: u64,
        /// How many the queue takes.
        max_bytes: u64,
    },
    /// The family has as many processes as it can have.
    Processes,
    /// Process ids mean something else here than where the segment was made.
    Namespace,
    /// The handle names a family that this process does not belong to.
    Foreign,
    /// The handle's object is gone, or it was never one.
    Gone,
    /// The handle is of another kind of object.
    Kind,
    /// These bytes are no handle, or one of another version.
    Handle(&'static str),
    /// This is no segment of ours, or one of another version.
    Segment(String),
    /// The segment's content contradicts itself.
    Corrupt(&'static str),
    /// A setting of the environment makes no sense.
    Setting(String),
    /// The system refused something else.
    System(String),
}

impl Error {
    /// The system's refusal of what `doing` says.
    pub fn system(doing: &str, error: impl fmt::Display) -> Self {
        Self::System(format!("{doing}: {error}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(error) => write!(
                out,
                "shared memory could not grow ({error}): take items out of queues, or give the machine or the container more memory"
            ),
            Self::Limit { wanted, limit } => write!(
                out,
                "shared memory may not grow beyond {limit} bytes (ONELOOM_SHARED_MAX_BYTES), and {wanted} are needed: take items out of queues"
            ),
            Self::TooMany { items, maxsize } => write!(
                out,
                "{items} items at once can never fit into a queue with maxsize={maxsize}: put fewer at a time"
            ),
            Self::TooLarge { items, bytes, max_bytes } => write!(
                out,
                "{} of {bytes} bytes can never fit into a queue with max_bytes={max_bytes}",
                if *items == 1 { "an item".into() } else { format!("{items} items at once") }
            ),
            Self::Processes => write!(
                out,
                "this family has {} living processes already, which is all there can be",
                crate::layout::PROCESSES
            ),
            Self::Namespace => out.write_str(
                "shared objects can't be used across PID namespaces: whether their owner lives could not be told; \
                 start the process in the same namespace as its parent",
            ),
            Self::Foreign => out.write_str(
                "this shared object belongs to another family of processes: pass it to a child as an argument when it \
                 is started, or send it through a shared queue of the same family",
            ),
            Self::Gone => out.write_str("this shared object is gone: nobody in its family holds it any more"),
            Self::Kind => out.write_str("this handle is of another kind of shared object"),
            Self::Handle(what) => write!(out, "not a handle of a shared object: {what}"),
            Self::Segment(what) => write!(out, "not a segment of this version of oneloom: {what}"),
            Self::Corrupt(what) => write!(
                out,
                "shared memory contradicts itself ({what}): something other than oneloom has written to it"
            ),
            Self::Setting(what) | Self::System(what) => out.write_str(what),
        }
    }
}

impl std::error::Error for Error {}
