//! A mutex over data, for threads and async tasks at once.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use oneloom_wait::const_unless_modelled;

use crate::cell::{Guarded, Hold, OfTask, OfThread};
use crate::raw::{Name, RawMutex};
use crate::statistics::{Shown, Statistics};

/// Data that one holder at a time may use, be it a thread or an async task.
///
/// Locking acquires and unlocking releases: whatever a holder did happens before whatever the next one does.
/// Without contention either is one compare-and-swap, some 10 ns. Waiters queue first in, first out; a running
/// thread may be faster than one that has just been woken, but after a millisecond of that the mutex is handed
/// over. Under contention a thread looks again for some microseconds, then sleeps. Waiting allocates nothing.
///
/// There is no poisoning: when a thread panics while it holds the mutex, the guard is dropped, the mutex is free,
/// and the data is as the panic left it.
///
/// A thread that waits in [`lock`](Self::lock) for something that certainly never happens (it holds the mutex
/// itself; two threads want each other's) panics instead of hanging, and the message names everybody involved.
///
/// A `Mutex<()>` takes 64 bytes, a cache line.
///
/// # Examples
///
/// ```
/// use oneloom_sync::Mutex;
///
/// static TOTAL: Mutex<u64> = Mutex::new(0);
///
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| *TOTAL.lock() += 1);
///     }
/// });
/// assert_eq!(*TOTAL.lock(), 4);
/// ```
pub struct Mutex<T: ?Sized> {
    guarded: Guarded<RawMutex, T>,
}

#[cfg(not(any(loom, shuttle)))]
const _: () = assert!(size_of::<Mutex<()>>() <= 64);

impl<T> Mutex<T> {
    const_unless_modelled! {
        /// An unlocked mutex over `value`.
        ///
        /// ```
        /// # use oneloom_sync::Mutex;
        /// let balance = Mutex::new(100);
        /// assert_eq!(*balance.lock(), 100);
        /// ```
        pub fn new(value: T) -> Self {
            Self { guarded: Guarded::new(Name::NONE, value) }
        }
    }

    /// An unlocked mutex that reports and `Debug` call `name`.
    ///
    /// ```
    /// # use oneloom_sync::Mutex;
    /// let balance = Mutex::with_name("balance", 100);
    /// assert_eq!(balance.name(), Some("balance"));
    /// ```
    pub fn with_name(name: &str, value: T) -> Self {
        Self { guarded: Guarded::new(Name::new(name), value) }
    }

    /// The data; owning the mutex means that nobody holds it.
    ///
    /// ```
    /// # use oneloom_sync::Mutex;
    /// assert_eq!(Mutex::new(5).into_inner(), 5);
    /// ```
    pub fn into_inner(self) -> T {
        self.guarded.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until the mutex is free, and takes it. Dropping the guard releases it.
    ///
    /// # Panics
    /// If it can certainly never be free for this thread: the thread holds it already, or the threads in a cycle
    /// wait for each other like this. One of them panics, before it sleeps, and then the others go on.
    ///
    /// ```
    /// # use oneloom_sync::Mutex;
    /// let balance = Mutex::new(100);
    /// *balance.lock() -= 30;
    /// assert_eq!(*balance.lock(), 70);
    /// ```
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { hold: self.guarded.lock() }
    }

    /// Takes the mutex if it is free now. Never waits, never panics.
    ///
    /// ```
    /// # use oneloom_sync::Mutex;
    /// let balance = Mutex::new(100);
    /// let guard = balance.lock();
    /// assert!(balance.try_lock().is_none());
    /// ```
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.guarded.try_lock().map(|hold| MutexGuard { hold })
    }

    /// As [`lock`](Self::lock), for `timeout` at most; `None` when that is over. Never panics.
    ///
    /// ```
    /// # use oneloom_sync::Mutex;
    /// # use std::time::Duration;
    /// let balance = Mutex::new(100);
    /// let guard = balance.lock();
    /// assert!(balance.lock_timeout(Duration::from_millis(1)).is_none());
    /// ```
    pub fn lock_timeout(&self, timeout: Duration) -> Option<MutexGuard<'_, T>> {
        let hold = self.guarded.lock_timeout(timeout)?;
        Some(MutexGuard { hold })
    }

    /// As [`lock`](Self::lock), for async code on any executor. The guard may be held across `await` and may move
    /// between threads with its task.
    ///
    /// Dropping the future before it is ready gives up the place in line; a mutex that had been handed to it by
    /// then goes to the next. A future never panics in a deadlock, since whoever polls it may still drop it.
    ///
    /// ```
    /// # use oneloom_sync::Mutex;
    /// # pollster::block_on(async {
    /// let balance = Mutex::new(100);
    /// *balance.lock_async().await -= 30;
    /// assert_eq!(*balance.lock_async().await, 70);
    /// # });
    /// ```
    pub async fn lock_async(&self) -> AsyncMutexGuard<'_, T> {
        AsyncMutexGuard { hold: self.guarded.lock_async().await }
    }

    /// Whether somebody holds the mutex now; by the time one looks at the answer, it may be wrong.
    ///
    /// ```
    /// # use oneloom_sync::Mutex;
    /// assert!(!Mutex::new(()).is_locked());
    /// ```
    pub fn is_locked(&self) -> bool {
        self.guarded.is_locked()
    }

    /// The data; borrowing the mutex exclusively means that nobody holds it.
    ///
    /// ```
    /// # use oneloom_sync::Mutex;
    /// let mut balance = Mutex::new(100);
    /// *balance.get_mut() = 0;
    /// assert_eq!(*balance.lock(), 0);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.guarded.get_mut()
    }

    /// The name it was given.
    ///
    /// ```
    /// # use oneloom_sync::Mutex;
    /// assert_eq!(Mutex::new(()).name(), None);
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.guarded.name()
    }

    /// Who waits now, and what happened on the slow path.
    ///
    /// ```
    /// # use oneloom_sync::Mutex;
    /// assert_eq!(Mutex::new(()).statistics().waiting, 0);
    /// ```
    pub fn statistics(&self) -> Statistics {
        self.guarded.statistics()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

/// Shows the data if the mutex is free now, otherwise who holds it; and who waits.
impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("Mutex");
        if let Some(name) = self.name() {
            fields.field("name", &name);
        }
        match self.try_lock() {
            Some(guard) => fields.field("data", &&*guard),
            None => fields
                .field("data", &format_args!("<locked>"))
                .field("holder", &self.guarded.holder().map(Shown)),
        };
        fields.field("waiting", &self.statistics().waiting).finish()
    }
}

/// That a thread holds a [`Mutex`]: gives the data, and releases the mutex when dropped, on that same thread.
///
/// It can't be sent to another thread. That is what makes a deadlock certain: nobody else can release.
///
/// ```compile_fail
/// # use oneloom_sync::Mutex;
/// static TOTAL: Mutex<u64> = Mutex::new(0);
/// let guard = TOTAL.lock();
/// std::thread::spawn(move || drop(guard));
/// ```
#[must_use = "the mutex is released at once if the guard is not kept"]
pub struct MutexGuard<'a, T: ?Sized> {
    pub(crate) hold: Hold<'a, RawMutex, T, OfThread>,
}

/// That an async task holds a [`Mutex`]: gives the data, and releases the mutex when dropped, on whichever thread
/// the task runs by then.
#[must_use = "the mutex is released at once if the guard is not kept"]
pub struct AsyncMutexGuard<'a, T: ?Sized> {
    pub(crate) hold: Hold<'a, RawMutex, T, OfTask>,
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.hold
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.hold
    }
}

impl<T: ?Sized> Deref for AsyncMutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.hold
    }
}

impl<T: ?Sized> DerefMut for AsyncMutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.hold
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for AsyncMutexGuard<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for AsyncMutexGuard<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}
