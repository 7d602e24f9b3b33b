//! Permits that processes share.

use std::fmt;
use std::time::Duration;

use oneloom_shm::mutex::Taken;
use oneloom_shm::semaphore::{self, AcquireCall, Content, Returned, Semaphore as Raw};

use super::Error;
use super::lock::{LockError, told};
use super::object::{Held, face, raw, wait, wait_async, wait_for_ever};

raw!(Raw, Content);
face!(Semaphore);

/// Permits that threads and async tasks of all processes of the family take and give back.
///
/// A [`Permit`] gives itself back, and when its process dies before, so does the death: whoever gets it then gets it as
/// [`LockError::OwnerDied`]. What was taken by [`consume`](Self::consume) has no owner: it comes back by
/// [`release`](Self::release) alone, by anybody; so a semaphore can count news from one process to another.
///
/// # Examples
///
/// ```
/// use oneloom::shared::{LockError, Semaphore};
///
/// let downloads = Semaphore::bounded(2)?;
/// let one = downloads.acquire().or_else(LockError::into_guard)?;
/// let other = downloads.acquire().or_else(LockError::into_guard)?;
/// assert_eq!(downloads.available(), 0);
/// drop(one);
/// assert_eq!(downloads.available(), 1);
/// # Ok::<(), oneloom::shared::Error>(())
/// ```
pub struct Semaphore {
    held: Held<Raw>,
}

impl Semaphore {
    fn over(held: Held<Raw>) -> Self {
        Self { held }
    }

    /// A semaphore with so many permits, to which any number may be added.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(permits: u64) -> Result<Self, Error> {
        Self::make(None, permits, false)
    }

    /// A semaphore that never has more permits than these.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn bounded(permits: u64) -> Result<Self, Error> {
        Self::make(None, permits, true)
    }

    /// A semaphore with so many permits, `bounded` to these or not, which messages and `Debug` call `name`.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn with_name(name: &str, permits: u64, bounded: bool) -> Result<Self, Error> {
        Self::make(Some(name), permits, bounded)
    }

    fn make(name: Option<&str>, permits: u64, bounded: bool) -> Result<Self, Error> {
        Held::create(name, |segment| Raw::new(segment, permits, bounded)).map(Self::over)
    }

    /// Waits until there is a permit, and takes it. Dropping it gives it back.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`] has taken one, too, from a process that died.
    pub fn acquire(&self) -> Result<Permit<'_>, LockError<Permit<'_>>> {
        let taken = wait_for_ever(&mut self.call(true))?;
        told(taken, Permit { semaphore: self })
    }

    /// Takes a permit if there is one now, or one of a process that died; `None` if not. Never waits for one.
    ///
    /// # Errors
    /// As for [`acquire`](Self::acquire).
    pub fn try_acquire(&self) -> Result<Option<Permit<'_>>, LockError<Permit<'_>>> {
        self.acquire_timeout(Duration::ZERO)
    }

    /// As [`acquire`](Self::acquire), for `timeout` at most; `None` when that is over.
    ///
    /// # Errors
    /// As for [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<Permit<'_>>, LockError<Permit<'_>>> {
        match wait(&mut self.call(true), Some(timeout))? {
            Some(taken) => told(taken, Permit { semaphore: self }).map(Some),
            None => Ok(None),
        }
    }

    /// As [`acquire`](Self::acquire), for async code on any executor. Dropping the future before it is ready takes
    /// nothing.
    ///
    /// # Errors
    /// As for [`acquire`](Self::acquire).
    pub async fn acquire_async(&self) -> Result<Permit<'_>, LockError<Permit<'_>>> {
        let semaphore = self.held.raw().clone();
        let taken = wait_async(AcquireCall { semaphore, scoped: true }).await?;
        told(taken, Permit { semaphore: self })
    }

    /// Waits until there is a permit, and takes it for good.
    ///
    /// # Errors
    /// If shared memory fails.
    ///
    /// ```
    /// # use oneloom::shared::Semaphore;
    /// let news = Semaphore::new(0)?;
    /// news.release(1).unwrap();
    /// news.consume()?;
    /// assert!(!news.try_consume()?);
    /// # Ok::<(), oneloom::shared::Error>(())
    /// ```
    pub fn consume(&self) -> Result<(), Error> {
        wait_for_ever(&mut self.call(false)).map(drop)
    }

    /// Takes a permit for good if there is one now; whether there was. Never waits for one.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn try_consume(&self) -> Result<bool, Error> {
        self.consume_timeout(Duration::ZERO)
    }

    /// As [`consume`](Self::consume), for `timeout` at most; whether there was a permit by then.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn consume_timeout(&self, timeout: Duration) -> Result<bool, Error> {
        Ok(wait(&mut self.call(false), Some(timeout))?.is_some())
    }

    /// As [`consume`](Self::consume), for async code on any executor. Dropping the future before it is ready takes
    /// nothing.
    ///
    /// # Errors
    /// If shared memory fails.
    pub async fn consume_async(&self) -> Result<(), Error> {
        wait_async(AcquireCall { semaphore: self.held.raw().clone(), scoped: false }).await.map(|_: Taken| ())
    }

    /// Adds so many permits; as many waiters go on.
    ///
    /// # Errors
    /// [`ReleaseError`] says why nothing was added.
    pub fn release(&self, permits: u64) -> Result<(), ReleaseError> {
        match self.held.raw().release(Returned::Plainly(permits)) {
            Ok(()) => Ok(()),
            Err(semaphore::ReleaseError::Failed(error)) => Err(ReleaseError::Failed(error)),
            Err(_) => Err(ReleaseError::TooMany { bound: self.held.raw().bound().unwrap_or(u64::MAX) }),
        }
    }

    /// How many permits there are now; by the time one looks at it, it may be wrong.
    pub fn available(&self) -> u64 {
        self.held.raw().value()
    }

    /// The most that there may be; `None` is any number.
    pub fn bound(&self) -> Option<u64> {
        self.held.raw().bound()
    }

    fn call(&self, scoped: bool) -> AcquireCall<&Raw> {
        AcquireCall { semaphore: &**self.held.raw(), scoped }
    }
}

/// Shows how many permits there are.
impl fmt::Debug for Semaphore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = self.held.debug(formatter, "Semaphore");
        fields.field("available", &self.available());
        if let Some(bound) = self.bound() {
            fields.field("bound", &bound);
        }
        fields.finish()
    }
}

/// A permit of a [`Semaphore`]; dropped, on whatever thread, it gives itself back.
#[must_use = "the permit is given back at once if it is not kept"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // What fails is what nobody could be told: shared memory itself, or a place that somebody else has filled.
        let _ = self.semaphore.held.raw().release(Returned::Scoped);
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Permit").field("semaphore", self.semaphore).finish()
    }
}

/// Why no permits were added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseError {
    /// There would be more than there may be.
    TooMany {
        /// How many there may be.
        bound: u64,
    },
    /// Shared memory failed.
    Failed(Error),
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { bound } => write!(
                formatter,
                "the semaphore would have more than its {bound} permits: a permit gives itself back, release() is for \
                 consumed ones"
            ),
            Self::Failed(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for ReleaseError {}
