//! Semaphores: permits that threads and async tasks take and give back.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use oneloom_wait::const_unless_modelled;
use oneloom_wait::wait::Waiting;

use crate::environment;
use crate::raw::Name;
use crate::raw::semaphore::{AcquireCall, OverRelease, RawSemaphore};
use crate::statistics::Statistics;

/// Permits to share: so many may do something at the same time, the others wait.
///
/// Releasing releases and acquiring acquires: what was done before a release happens before what whoever gets that
/// permit does. Without contention either is one compare-and-swap, some 10 ns. Waiters queue first in, first out;
/// a running thread may be faster than one that has just been woken, but after a millisecond of that a permit is
/// handed over. No call panics in a deadlock: permits have no names, so who might release one can't be known.
///
/// Permits may be added at any time; where that would be a mistake, take a [`BoundedSemaphore`].
///
/// # Examples
///
/// ```
/// use oneloom_sync::Semaphore;
///
/// static CONNECTIONS: Semaphore = Semaphore::new(2);
///
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| {
///             let _permit = CONNECTIONS.acquire();
///             // at most two threads are here at the same time
///         });
///     }
/// });
/// assert_eq!(CONNECTIONS.available(), 2);
/// ```
pub struct Semaphore {
    raw: RawSemaphore,
}

impl Semaphore {
    const_unless_modelled! {
        /// A semaphore with `permits` to begin with.
        ///
        /// ```
        /// # use oneloom_sync::Semaphore;
        /// assert_eq!(Semaphore::new(2).available(), 2);
        /// ```
        pub fn new(permits: u64) -> Self {
            Self { raw: RawSemaphore::new(permits, None, Name::NONE) }
        }
    }

    /// A semaphore with `permits` to begin with, which reports and `Debug` call `name`.
    ///
    /// ```
    /// # use oneloom_sync::Semaphore;
    /// assert_eq!(Semaphore::with_name("connections", 2).name(), Some("connections"));
    /// ```
    pub fn with_name(name: &str, permits: u64) -> Self {
        Self { raw: RawSemaphore::new(permits, None, Name::new(name)) }
    }

    /// Waits until there is a permit, and takes it. Dropping the [`Permit`] gives it back.
    ///
    /// ```
    /// # use oneloom_sync::Semaphore;
    /// let connections = Semaphore::new(2);
    /// let permit = connections.acquire();
    /// assert_eq!(connections.available(), 1);
    /// ```
    #[inline]
    pub fn acquire(&self) -> Permit<'_> {
        acquire(&self.raw)
    }

    /// Takes a permit if there is one now. Never waits.
    ///
    /// ```
    /// # use oneloom_sync::Semaphore;
    /// assert!(Semaphore::new(0).try_acquire().is_none());
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        try_acquire(&self.raw)
    }

    /// As [`acquire`](Self::acquire), for `timeout` at most; `None` when that is over.
    ///
    /// ```
    /// # use oneloom_sync::Semaphore;
    /// # use std::time::Duration;
    /// assert!(Semaphore::new(0).acquire_timeout(Duration::from_millis(1)).is_none());
    /// ```
    pub fn acquire_timeout(&self, timeout: Duration) -> Option<Permit<'_>> {
        acquire_timeout(&self.raw, timeout)
    }

    /// As [`acquire`](Self::acquire), for async code on any executor. Dropping the future before it is ready gives
    /// up the place in line; a permit that had been handed to it by then goes to the next.
    ///
    /// ```
    /// # use oneloom_sync::Semaphore;
    /// # pollster::block_on(async {
    /// let connections = Semaphore::new(2);
    /// let permit = connections.acquire_async().await;
    /// assert_eq!(connections.available(), 1);
    /// # });
    /// ```
    pub async fn acquire_async(&self) -> Permit<'_> {
        acquire_async(&self.raw).await
    }

    /// Adds permits.
    ///
    /// # Panics
    /// Above 2⁶³ - 1 permits.
    ///
    /// ```
    /// # use oneloom_sync::Semaphore;
    /// let connections = Semaphore::new(0);
    /// connections.release(2);
    /// assert_eq!(connections.available(), 2);
    /// ```
    #[inline]
    #[track_caller]
    pub fn release(&self, permits: u64) {
        self.raw.release(permits).expect("a semaphore counts up to 2^63 - 1 permits");
    }

    /// How many permits there are now; by the time one looks at it, it may be wrong.
    ///
    /// ```
    /// # use oneloom_sync::Semaphore;
    /// assert_eq!(Semaphore::new(2).available(), 2);
    /// ```
    pub fn available(&self) -> u64 {
        self.raw.value()
    }

    /// The name it was given.
    ///
    /// ```
    /// # use oneloom_sync::Semaphore;
    /// assert_eq!(Semaphore::new(2).name(), None);
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.raw.given_name()
    }

    /// Who waits now, and what happened on the slow path.
    ///
    /// ```
    /// # use oneloom_sync::Semaphore;
    /// assert_eq!(Semaphore::new(2).statistics().waiting, 0);
    /// ```
    pub fn statistics(&self) -> Statistics {
        self.raw.statistics().into()
    }
}

/// A [`Semaphore`] that never has more permits than it began with: releasing more is an error.
///
/// # Examples
///
/// ```
/// use oneloom_sync::BoundedSemaphore;
///
/// static CONNECTIONS: BoundedSemaphore = BoundedSemaphore::new(2);
///
/// let permit = CONNECTIONS.acquire();
/// drop(permit);
/// assert!(CONNECTIONS.release(1).is_err());
/// ```
pub struct BoundedSemaphore {
    raw: RawSemaphore,
}

impl BoundedSemaphore {
    const_unless_modelled! {
        /// A semaphore with `permits`.
        ///
        /// ```
        /// # use oneloom_sync::BoundedSemaphore;
        /// assert_eq!(BoundedSemaphore::new(2).available(), 2);
        /// ```
        pub fn new(permits: u64) -> Self {
            Self { raw: RawSemaphore::new(permits, Some(permits), Name::NONE) }
        }
    }

    /// A semaphore with `permits`, which reports and `Debug` call `name`.
    ///
    /// ```
    /// # use oneloom_sync::BoundedSemaphore;
    /// assert_eq!(BoundedSemaphore::with_name("connections", 2).name(), Some("connections"));
    /// ```
    pub fn with_name(name: &str, permits: u64) -> Self {
        Self { raw: RawSemaphore::new(permits, Some(permits), Name::new(name)) }
    }

    /// Waits until there is a permit, and takes it. Dropping the [`Permit`] gives it back.
    ///
    /// ```
    /// # use oneloom_sync::BoundedSemaphore;
    /// let connections = BoundedSemaphore::new(2);
    /// let permit = connections.acquire();
    /// assert_eq!(connections.available(), 1);
    /// ```
    #[inline]
    pub fn acquire(&self) -> Permit<'_> {
        acquire(&self.raw)
    }

    /// Takes a permit if there is one now. Never waits.
    ///
    /// ```
    /// # use oneloom_sync::BoundedSemaphore;
    /// assert!(BoundedSemaphore::new(0).try_acquire().is_none());
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        try_acquire(&self.raw)
    }

    /// As [`acquire`](Self::acquire), for `timeout` at most; `None` when that is over.
    ///
    /// ```
    /// # use oneloom_sync::BoundedSemaphore;
    /// # use std::time::Duration;
    /// assert!(BoundedSemaphore::new(0).acquire_timeout(Duration::from_millis(1)).is_none());
    /// ```
    pub fn acquire_timeout(&self, timeout: Duration) -> Option<Permit<'_>> {
        acquire_timeout(&self.raw, timeout)
    }

    /// As [`acquire`](Self::acquire), for async code on any executor. Dropping the future before it is ready gives
    /// up the place in line; a permit that had been handed to it by then goes to the next.
    ///
    /// ```
    /// # use oneloom_sync::BoundedSemaphore;
    /// # pollster::block_on(async {
    /// let connections = BoundedSemaphore::new(2);
    /// let permit = connections.acquire_async().await;
    /// assert_eq!(connections.available(), 1);
    /// # });
    /// ```
    pub async fn acquire_async(&self) -> Permit<'_> {
        acquire_async(&self.raw).await
    }

    /// Gives permits back that were [forgotten](Permit::forget).
    ///
    /// # Errors
    /// [`TooManyPermits`] if there would be more than the semaphore began with; nothing has changed then.
    ///
    /// ```
    /// # use oneloom_sync::{BoundedSemaphore, TooManyPermits};
    /// let connections = BoundedSemaphore::new(2);
    /// connections.acquire().forget();
    /// assert_eq!(connections.release(2), Err(TooManyPermits { bound: 2 }));
    /// assert_eq!(connections.release(1), Ok(()));
    /// ```
    pub fn release(&self, permits: u64) -> Result<(), TooManyPermits> {
        self.raw.release(permits).map_err(|OverRelease| TooManyPermits { bound: self.bound() })
    }

    /// How many permits there are now; by the time one looks at it, it may be wrong.
    ///
    /// ```
    /// # use oneloom_sync::BoundedSemaphore;
    /// assert_eq!(BoundedSemaphore::new(2).available(), 2);
    /// ```
    pub fn available(&self) -> u64 {
        self.raw.value()
    }

    /// How many permits it began with.
    ///
    /// ```
    /// # use oneloom_sync::BoundedSemaphore;
    /// assert_eq!(BoundedSemaphore::new(2).bound(), 2);
    /// ```
    pub fn bound(&self) -> u64 {
        self.raw.bound().unwrap_or(RawSemaphore::MAXIMUM)
    }

    /// The name it was given.
    ///
    /// ```
    /// # use oneloom_sync::BoundedSemaphore;
    /// assert_eq!(BoundedSemaphore::new(2).name(), None);
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.raw.given_name()
    }

    /// Who waits now, and what happened on the slow path.
    ///
    /// ```
    /// # use oneloom_sync::BoundedSemaphore;
    /// assert_eq!(BoundedSemaphore::new(2).statistics().waiting, 0);
    /// ```
    pub fn statistics(&self) -> Statistics {
        self.raw.statistics().into()
    }
}

#[inline]
fn acquire(raw: &RawSemaphore) -> Permit<'_> {
    environment::wait(raw, &mut AcquireCall);
    Permit { raw }
}

#[inline]
fn try_acquire(raw: &RawSemaphore) -> Option<Permit<'_>> {
    raw.try_acquire().then(|| Permit { raw })
}

fn acquire_timeout(raw: &RawSemaphore, timeout: Duration) -> Option<Permit<'_>> {
    environment::wait_for(raw, &mut AcquireCall, timeout).map(|()| Permit { raw })
}

async fn acquire_async(raw: &RawSemaphore) -> Permit<'_> {
    Waiting::new(raw, AcquireCall).await;
    Permit { raw }
}

/// A permit that was taken; dropping it gives it back. It may change threads.
#[must_use = "the permit is given back at once if it is not kept"]
pub struct Permit<'a> {
    raw: &'a RawSemaphore,
}

impl Permit<'_> {
    /// Keeps the permit from being given back: the semaphore has one less from now on, or somebody calls `release`.
    ///
    /// ```
    /// # use oneloom_sync::Semaphore;
    /// let connections = Semaphore::new(2);
    /// connections.acquire().forget();
    /// assert_eq!(connections.available(), 1);
    /// ```
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        // It fits, unless somebody has released a permit that nobody had taken: then it is back already.
        let _ = self.raw.release(1);
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Permit").finish_non_exhaustive()
    }
}

fn show(raw: &RawSemaphore, kind: &str, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut fields = formatter.debug_struct(kind);
    if let Some(name) = raw.given_name() {
        fields.field("name", &name);
    }
    fields.field("available", &raw.value());
    if let Some(bound) = raw.bound() {
        fields.field("bound", &bound);
    }
    fields.field("waiting", &raw.statistics().0).finish()
}

/// Shows the permits and who waits.
impl fmt::Debug for Semaphore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&self.raw, "Semaphore", formatter)
    }
}

/// Shows the permits and who waits.
impl fmt::Debug for BoundedSemaphore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&self.raw, "BoundedSemaphore", formatter)
    }
}

/// There would have been more permits than a [`BoundedSemaphore`] began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TooManyPermits {
    /// How many it began with.
    pub bound: u64,
}

impl fmt::Display for TooManyPermits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "the semaphore would have more than its {} permits: a permit gives itself back, release() is for forgotten ones",
            self.bound
        )
    }
}

impl Error for TooManyPermits {}
