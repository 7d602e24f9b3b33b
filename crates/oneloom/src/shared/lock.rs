//! What the shared locks have in common: who takes them, how a dead owner is told, what a guard does.

use std::fmt;

use oneloom_shm::mutex::Taken;
use oneloom_wait::owner::{self, Kind, Owner, registry};

use super::Error;

/// The calling thread's name.
pub(super) fn here() -> u64 {
    owner::current().to_bits()
}

/// A name for an async task, as long as it holds something that is its own.
pub(super) struct Task(Owner);

impl Task {
    pub fn new() -> Result<Self, Error> {
        let owner = registry().take(Kind::Task, Owner::NOBODY, 0);
        let found = owner.is_somebody().then(|| Self(owner));
        found.ok_or_else(|| Error::System("too many tasks of this process hold or want locks".into()))
    }

    pub fn name(&self) -> u64 {
        self.0.to_bits()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        registry().retire(self.0);
    }
}

pub(super) fn told<G>(taken: Taken, guard: G) -> Result<G, LockError<G>> {
    match taken {
        Taken::Clean => Ok(guard),
        Taken::Recovered => Err(LockError::OwnerDied(guard)),
    }
}

/// Shows which process holds a lock.
pub(super) fn show_holder(fields: &mut fmt::DebugStruct<'_, '_>, owner: Option<(u32, u64)>) {
    match owner {
        None => fields.field("locked", &false),
        Some((0, _)) => fields.field("locked", &true).field("holder", &format_args!("a process that died")),
        Some((pid, _)) => fields.field("locked", &true).field("holder", &format_args!("process {pid}")),
    };
}

/// Why a lock was not taken in peace.
pub enum LockError<G> {
    /// It *was* taken, from a process that died while it held the lock: what it protects may be half-changed.
    OwnerDied(G),
    /// Shared memory failed; the lock was not taken.
    Failed(Error),
}

impl<G> LockError<G> {
    /// The guard, for whom it is no matter that the owner died.
    ///
    /// # Errors
    /// If shared memory failed.
    pub fn into_guard(self) -> Result<G, Error> {
        match self {
            Self::OwnerDied(guard) => Ok(guard),
            Self::Failed(error) => Err(error),
        }
    }
}

impl<G> From<Error> for LockError<G> {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Without the guard.
impl<G> fmt::Debug for LockError<G> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnerDied(_) => formatter.write_str("OwnerDied(..)"),
            Self::Failed(error) => formatter.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl<G> fmt::Display for LockError<G> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnerDied(_) => formatter.write_str(
                "the process that held the shared lock has died: what it protects may be half-changed; set it right, \
                 and go on with the guard that is in this error",
            ),
            Self::Failed(error) => error.fmt(formatter),
        }
    }
}

impl<G> std::error::Error for LockError<G> {}

/// Gives a guard with the fields `mutex` and `name` what every one has.
macro_rules! guard {
    ($guard:ident) => {
        impl $guard<'_> {
            /// Whether the lock was taken over from a process that died.
            pub fn recovered(&self) -> bool {
                self.mutex.held.raw().is_recovered()
            }
        }

        impl Drop for $guard<'_> {
            fn drop(&mut self) {
                self.mutex.unlock(self.name);
            }
        }

        impl std::fmt::Debug for $guard<'_> {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter
                    .debug_struct(stringify!($guard))
                    .field("mutex", self.mutex)
                    .field("recovered", &self.recovered())
                    .finish()
            }
        }
    };
}
pub(super) use guard;
