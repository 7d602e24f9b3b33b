//! A condition variable: waiting, under a mutex, for what others change under it.

use std::fmt;
use std::time::Duration;

use oneloom_wait::clock::Deadline;
use oneloom_wait::const_unless_modelled;
use oneloom_wait::wait::Waiting;

use crate::cell::Interval;
use crate::environment;
use crate::mutex::{AsyncMutexGuard, MutexGuard};
use crate::raw::Name;
use crate::raw::condvar::{NotifiedCall, RawCondvar};
use crate::statistics::Statistics;

/// Lets threads and async tasks wait, while they don't hold a [`Mutex`](crate::Mutex), for a change of its data.
///
/// A wait takes the guard, releases the mutex, sleeps until it is notified, and takes the mutex again. Whoever
/// changes the data under the mutex and then notifies misses nobody. Waiters are notified first come first, a
/// notification goes to somebody who waits when it is given, and one whose receiver gives up in that instant goes
/// to the next. There are no spurious wake-ups; still, by the time a waiter has the mutex again somebody else
/// may have changed the data, and so [`wait_while`](Self::wait_while) is nearly always what is wanted.
///
/// Notifying costs some 10 ns while nobody waits. One condition variable may serve several mutexes.
///
/// # Examples
///
/// ```
/// use oneloom_sync::{Condvar, Mutex};
///
/// static LEVEL: Mutex<u32> = Mutex::new(0);
/// static RISEN: Condvar = Condvar::new();
///
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         let level = RISEN.wait_while(LEVEL.lock(), |level| *level < 3);
///         assert_eq!(*level, 3);
///     });
///     for _ in 0..3 {
///         *LEVEL.lock() += 1;
///         RISEN.notify_all();
///     }
/// });
/// ```
pub struct Condvar {
    raw: RawCondvar,
}

impl Condvar {
    const_unless_modelled! {
        /// A condition variable that nobody waits for.
        ///
        /// ```
        /// # use oneloom_sync::Condvar;
        /// assert_eq!(Condvar::new().notify_all(), 0);
        /// ```
        pub fn new() -> Self {
            Self { raw: RawCondvar::new(Name::NONE) }
        }
    }

    /// A condition variable that reports and `Debug` call `name`.
    ///
    /// ```
    /// # use oneloom_sync::Condvar;
    /// assert_eq!(Condvar::with_name("risen").name(), Some("risen"));
    /// ```
    pub fn with_name(name: &str) -> Self {
        Self { raw: RawCondvar::new(Name::new(name)) }
    }

    /// Lets the first of those who wait go on. Whether there was one.
    ///
    /// ```
    /// # use oneloom_sync::Condvar;
    /// assert!(!Condvar::new().notify_one());
    /// ```
    #[inline]
    pub fn notify_one(&self) -> bool {
        self.raw.notify(1) == 1
    }

    /// Lets up to `count` of those who wait go on; returns how many.
    ///
    /// ```
    /// # use oneloom_sync::Condvar;
    /// assert_eq!(Condvar::new().notify_many(2), 0);
    /// ```
    pub fn notify_many(&self, count: usize) -> usize {
        self.raw.notify(count)
    }

    /// Lets everybody go on who waits; returns how many.
    ///
    /// ```
    /// # use oneloom_sync::Condvar;
    /// assert_eq!(Condvar::new().notify_all(), 0);
    /// ```
    pub fn notify_all(&self) -> usize {
        self.raw.notify_all()
    }

    /// Releases the mutex, waits until it is notified, and takes the mutex again.
    ///
    /// # Panics
    /// If taking the mutex again would be a certain deadlock, as [`Mutex::lock`](crate::Mutex::lock) does; the
    /// notification then goes to the next.
    ///
    /// ```
    /// # use oneloom_sync::{Condvar, Mutex};
    /// let (lamp, switched) = (Mutex::new(false), Condvar::new());
    /// std::thread::scope(|scope| {
    ///     let mut on = lamp.lock();
    ///     scope.spawn(|| {
    ///         *lamp.lock() = true;
    ///         switched.notify_one();
    ///     });
    ///     while !*on {
    ///         on = switched.wait(on);
    ///     }
    /// });
    /// ```
    #[track_caller]
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let mut interval = Interval::new(guard.hold);
        environment::wait(&self.raw, &mut NotifiedCall::new(|| interval.let_go()));
        let unused = Unused(&self.raw);
        let hold = interval.retake();
        std::mem::forget(unused);
        MutexGuard { hold }
    }

    /// As [`wait`](Self::wait), for `timeout` at most. Whether it was notified by then; the mutex is taken again
    /// in either case, which may take longer. Never panics.
    ///
    /// ```
    /// # use oneloom_sync::{Condvar, Mutex};
    /// # use std::time::Duration;
    /// let (lamp, switched) = (Mutex::new(false), Condvar::new());
    /// let (on, notified) = switched.wait_timeout(lamp.lock(), Duration::from_millis(1));
    /// assert!(!*on && !notified);
    /// ```
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        self.wait_until(guard, Deadline::after(Some(timeout)))
    }

    fn wait_until<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Deadline,
    ) -> (MutexGuard<'a, T>, bool) {
        let mut interval = Interval::new(guard.hold);
        let mut call = NotifiedCall::new(|| interval.let_go());
        let notified = environment::wait_until(&self.raw, &mut call, deadline).is_some();
        (MutexGuard { hold: interval.retake_patiently() }, notified)
    }

    /// Waits, as [`wait`](Self::wait) does, as long as `condition` says so of the data.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    ///
    /// ```
    /// # use oneloom_sync::{Condvar, Mutex};
    /// let (level, risen) = (Mutex::new(3), Condvar::new());
    /// assert_eq!(*risen.wait_while(level.lock(), |level| *level < 3), 3);
    /// ```
    #[track_caller]
    pub fn wait_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while condition(&mut guard) {
            guard = self.wait(guard);
        }
        guard
    }

    /// As [`wait_while`](Self::wait_while), for `timeout` at most. Whether the condition is over. Never panics
    /// unless `condition` does.
    ///
    /// ```
    /// # use oneloom_sync::{Condvar, Mutex};
    /// # use std::time::Duration;
    /// let (level, risen) = (Mutex::new(2), Condvar::new());
    /// let (level, enough) =
    ///     risen.wait_while_timeout(level.lock(), |level| *level < 3, Duration::from_millis(1));
    /// assert!(*level == 2 && !enough);
    /// ```
    pub fn wait_while_timeout<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        let deadline = Deadline::after(Some(timeout));
        let mut notified = true;
        while condition(&mut guard) {
            if !notified {
                return (guard, false);
            }
            (guard, notified) = self.wait_until(guard, deadline);
        }
        (guard, true)
    }

    /// As [`wait`](Self::wait), for async code on any executor, under a guard that
    /// [`Mutex::lock_async`](crate::Mutex::lock_async) gave.
    ///
    /// Dropping the future before it is ready leaves the mutex released; a notification that it had received by
    /// then goes to the next.
    ///
    /// ```
    /// # use oneloom_sync::{Condvar, Mutex};
    /// # pollster::block_on(async {
    /// let (lamp, switched) = (Mutex::new(false), Condvar::new());
    /// let switch = async {
    ///     *lamp.lock_async().await = true;
    ///     switched.notify_one();
    /// };
    /// let walk = async {
    ///     let mut on = lamp.lock_async().await;
    ///     while !*on {
    ///         on = switched.wait_async(on).await;
    ///     }
    /// };
    /// futures_lite::future::zip(walk, switch).await;
    /// # });
    /// ```
    pub async fn wait_async<'a, T: ?Sized>(&self, guard: AsyncMutexGuard<'a, T>) -> AsyncMutexGuard<'a, T> {
        let mut interval = Interval::new(guard.hold);
        Waiting::new(&self.raw, NotifiedCall::new(|| interval.let_go())).await;
        let unused = Unused(&self.raw);
        let hold = interval.retake().await;
        std::mem::forget(unused);
        AsyncMutexGuard { hold }
    }

    /// Waits, as [`wait_async`](Self::wait_async) does, as long as `condition` says so of the data.
    ///
    /// ```
    /// # use oneloom_sync::{Condvar, Mutex};
    /// # pollster::block_on(async {
    /// let (level, risen) = (Mutex::new(3), Condvar::new());
    /// assert_eq!(*risen.wait_while_async(level.lock_async().await, |level| *level < 3).await, 3);
    /// # });
    /// ```
    pub async fn wait_while_async<'a, T: ?Sized>(
        &self,
        mut guard: AsyncMutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> AsyncMutexGuard<'a, T> {
        while condition(&mut guard) {
            guard = self.wait_async(guard).await;
        }
        guard
    }

    /// The name it was given.
    ///
    /// ```
    /// # use oneloom_sync::Condvar;
    /// assert_eq!(Condvar::new().name(), None);
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.raw.given_name()
    }

    /// Who waits now, and what happened to those who waited.
    ///
    /// ```
    /// # use oneloom_sync::Condvar;
    /// assert_eq!(Condvar::new().statistics().waiting, 0);
    /// ```
    pub fn statistics(&self) -> Statistics {
        self.raw.statistics().into()
    }
}

/// A notification that was received and is not used yet: dropping it passes it on.
struct Unused<'a>(&'a RawCondvar);

impl Drop for Unused<'_> {
    fn drop(&mut self) {
        self.0.notify(1);
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows who waits.
impl fmt::Debug for Condvar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("Condvar");
        if let Some(name) = self.name() {
            fields.field("name", &name);
        }
        fields.field("waiting", &self.statistics().waiting).finish()
    }
}
