//! Why a shared queue did not do what it was asked.

use std::fmt;

use crate::shared::Error;

/// Why an item was not put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutError {
    /// There was no place in time.
    Full,
    /// The queue was shut down.
    ShutDown,
    /// The item could not be written: what its `Serialize` says.
    Encoding(String),
    /// Shared memory failed: there is none left, for example.
    Failed(Error),
}

/// Why no item was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GetError {
    /// There was none in time.
    Empty,
    /// The queue was shut down and nothing is left.
    ShutDown,
    /// An item *was* taken, and could not be read: what its `Deserialize` says.
    Encoding(String),
    /// Shared memory failed.
    Failed(Error),
}

impl From<Error> for PutError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Error> for GetError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

const SHUT_DOWN: &str = "the queue was shut down: \
     whoever called shutdown() expected no further item, and no getter that waits for one";

impl fmt::Display for PutError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => formatter
                .write_str("the queue stayed full: get items faster, wait longer, or give it a higher bound"),
            Self::ShutDown => formatter.write_str(SHUT_DOWN),
            Self::Encoding(error) => {
                write!(formatter, "the item could not be written, nothing was put: {error}")
            }
            Self::Failed(error) => error.fmt(formatter),
        }
    }
}

impl fmt::Display for GetError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str(
                "the queue stayed empty: wait longer, or let producers call shutdown() when they are done",
            ),
            Self::ShutDown => formatter.write_str(SHUT_DOWN),
            Self::Encoding(error) => write!(
                formatter,
                "an item was taken and could not be read ({error}): use the same type at both ends of the queue"
            ),
            Self::Failed(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for PutError {}
impl std::error::Error for GetError {}
