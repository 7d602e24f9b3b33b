//! Why a queue did not do what it was asked. Errors give the item back.

use std::error::Error;
use std::fmt;

/// The queue was shut down. For a put, with the item that it no longer takes.
///
/// ```
/// use oneloom_sync::{Queue, ShutDown};
///
/// let jobs = Queue::new();
/// jobs.shutdown();
/// let ShutDown(job) = jobs.put("dust").unwrap_err();
/// assert_eq!(job, "dust");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShutDown<T = ()>(pub T);

/// Why an item was not put; it comes back.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum PutError<T> {
    /// There was no place in time.
    Full(T),
    /// The queue was shut down.
    ShutDown(T),
}

/// Why no item was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GetError {
    /// There was none in time.
    Empty,
    /// The queue was shut down and nothing is left.
    ShutDown,
}

impl<T> ShutDown<T> {
    /// The item.
    ///
    /// ```
    /// # use oneloom_sync::ShutDown;
    /// assert_eq!(ShutDown("dust").into_inner(), "dust");
    /// ```
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> PutError<T> {
    /// The item.
    ///
    /// ```
    /// # use oneloom_sync::PutError;
    /// assert_eq!(PutError::Full("dust").into_inner(), "dust");
    /// ```
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(item) | Self::ShutDown(item) => item,
        }
    }
}

impl<T> From<ShutDown<T>> for PutError<T> {
    fn from(error: ShutDown<T>) -> Self {
        Self::ShutDown(error.0)
    }
}

impl From<ShutDown> for GetError {
    fn from(_: ShutDown) -> Self {
        Self::ShutDown
    }
}

/// Without the item, so that any item will do.
impl<T> fmt::Debug for ShutDown<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ShutDown(..)")
    }
}

/// Without the item, so that any item will do.
impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::ShutDown(_) => "ShutDown(..)",
        })
    }
}

const SHUT_DOWN: &str = "the queue was shut down: \
     whoever called shutdown() expected no further item, and no getter that waits for one";

impl<T> fmt::Display for ShutDown<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(SHUT_DOWN)
    }
}

impl<T> fmt::Display for PutError<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full(_) => {
                "the queue stayed full: get items faster, wait longer, or give it a higher bound"
            }
            Self::ShutDown(_) => SHUT_DOWN,
        })
    }
}

impl fmt::Display for GetError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Empty => {
                "the queue stayed empty: wait longer, or let producers call shutdown() when they are done"
            }
            Self::ShutDown => SHUT_DOWN,
        })
    }
}

impl<T> Error for ShutDown<T> {}
impl<T> Error for PutError<T> {}
impl Error for GetError {}
