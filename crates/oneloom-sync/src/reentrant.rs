//! A mutex over data that the thread which holds it may lock again.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use oneloom_wait::const_unless_modelled;

use crate::cell::{Guarded, Hold, OfTask, OfThread};
use crate::raw::{Name, RawReentrantMutex};
use crate::statistics::{Shown, Statistics};

/// Data that one thread at a time may use; that thread may lock again while it holds the mutex.
///
/// Since a thread may have several guards, each gives a shared reference only: what is to be changed stands in a
/// [`Cell`](std::cell::Cell) or [`RefCell`](std::cell::RefCell) inside. The mutex is free when all guards are gone.
///
/// Everything else is as for [`Mutex`](crate::Mutex): locking acquires and unlocking releases; without contention
/// either costs some 10 ns, locking again a few; waiters queue first in, first out; there is no poisoning; a
/// certain deadlock panics in [`lock`](Self::lock).
///
/// An async task has no identity by which the mutex could recognise it: a task that holds it and locks it again
/// waits for itself, until the future is dropped.
///
/// # Examples
///
/// ```
/// use oneloom_sync::ReentrantMutex;
/// use std::cell::RefCell;
///
/// static LOG: ReentrantMutex<RefCell<Vec<&str>>> = ReentrantMutex::new(RefCell::new(Vec::new()));
///
/// fn log(line: &'static str) {
///     LOG.lock().borrow_mut().push(line);
/// }
///
/// let together = LOG.lock();
/// log("first");
/// log("second");
/// assert_eq!(*together.borrow(), ["first", "second"]);
/// ```
pub struct ReentrantMutex<T: ?Sized> {
    guarded: Guarded<RawReentrantMutex, T>,
}

impl<T> ReentrantMutex<T> {
    const_unless_modelled! {
        /// An unlocked mutex over `value`.
        ///
        /// ```
        /// # use oneloom_sync::ReentrantMutex;
        /// assert_eq!(*ReentrantMutex::new(5).lock(), 5);
        /// ```
        pub fn new(value: T) -> Self {
            Self { guarded: Guarded::new_reentrant(Name::NONE, value) }
        }
    }

    /// An unlocked mutex that reports and `Debug` call `name`.
    ///
    /// ```
    /// # use oneloom_sync::ReentrantMutex;
    /// assert_eq!(ReentrantMutex::with_name("tree", 5).name(), Some("tree"));
    /// ```
    pub fn with_name(name: &str, value: T) -> Self {
        Self { guarded: Guarded::new_reentrant(Name::new(name), value) }
    }

    /// The data; owning the mutex means that nobody holds it.
    ///
    /// ```
    /// # use oneloom_sync::ReentrantMutex;
    /// assert_eq!(ReentrantMutex::new(5).into_inner(), 5);
    /// ```
    pub fn into_inner(self) -> T {
        self.guarded.into_inner()
    }
}

impl<T: ?Sized> ReentrantMutex<T> {
    /// Waits until the mutex is free or this thread's own, and takes it once more.
    ///
    /// # Panics
    /// If it can certainly never be free for this thread: the threads in a cycle wait for each other like this.
    /// One of them panics, before it sleeps, and then the others go on.
    ///
    /// ```
    /// # use oneloom_sync::ReentrantMutex;
    /// let tree = ReentrantMutex::new(5);
    /// let (outer, inner) = (tree.lock(), tree.lock());
    /// assert_eq!(*outer, *inner);
    /// ```
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> ReentrantMutexGuard<'_, T> {
        ReentrantMutexGuard { hold: self.guarded.lock() }
    }

    /// Takes the mutex if it is free or this thread's own now. Never waits, never panics.
    ///
    /// ```
    /// # use oneloom_sync::ReentrantMutex;
    /// let tree = ReentrantMutex::new(5);
    /// let guard = tree.lock();
    /// assert!(tree.try_lock().is_some());
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| assert!(tree.try_lock().is_none()));
    /// });
    /// ```
    #[inline]
    pub fn try_lock(&self) -> Option<ReentrantMutexGuard<'_, T>> {
        self.guarded.try_lock().map(|hold| ReentrantMutexGuard { hold })
    }

    /// As [`lock`](Self::lock), for `timeout` at most; `None` when that is over. Never panics.
    ///
    /// ```
    /// # use oneloom_sync::ReentrantMutex;
    /// # use std::time::Duration;
    /// let tree = ReentrantMutex::new(5);
    /// assert!(tree.lock_timeout(Duration::from_millis(1)).is_some());
    /// ```
    pub fn lock_timeout(&self, timeout: Duration) -> Option<ReentrantMutexGuard<'_, T>> {
        self.guarded.lock_timeout(timeout).map(|hold| ReentrantMutexGuard { hold })
    }

    /// As [`lock`](Self::lock), for async code on any executor, but not to be taken again: see the type's
    /// description. Dropping the future before it is ready gives up the place in line.
    ///
    /// ```
    /// # use oneloom_sync::ReentrantMutex;
    /// # pollster::block_on(async {
    /// let tree = ReentrantMutex::new(5);
    /// assert_eq!(*tree.lock_async().await, 5);
    /// # });
    /// ```
    pub async fn lock_async(&self) -> AsyncReentrantMutexGuard<'_, T> {
        AsyncReentrantMutexGuard { hold: self.guarded.lock_async().await }
    }

    /// Whether somebody holds the mutex now; by the time one looks at the answer, it may be wrong.
    ///
    /// ```
    /// # use oneloom_sync::ReentrantMutex;
    /// assert!(!ReentrantMutex::new(()).is_locked());
    /// ```
    pub fn is_locked(&self) -> bool {
        self.guarded.is_locked()
    }

    /// How many guards the calling thread has.
    ///
    /// ```
    /// # use oneloom_sync::ReentrantMutex;
    /// let tree = ReentrantMutex::new(5);
    /// let guards = [tree.lock(), tree.lock()];
    /// assert_eq!(tree.depth(), 2);
    /// ```
    pub fn depth(&self) -> u64 {
        self.guarded.depth()
    }

    /// The data; borrowing the mutex exclusively means that nobody holds it.
    ///
    /// ```
    /// # use oneloom_sync::ReentrantMutex;
    /// let mut tree = ReentrantMutex::new(5);
    /// *tree.get_mut() = 6;
    /// assert_eq!(*tree.lock(), 6);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.guarded.get_mut()
    }

    /// The name it was given.
    ///
    /// ```
    /// # use oneloom_sync::ReentrantMutex;
    /// assert_eq!(ReentrantMutex::new(()).name(), None);
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.guarded.name()
    }

    /// Who waits now, and what happened on the slow path.
    ///
    /// ```
    /// # use oneloom_sync::ReentrantMutex;
    /// assert_eq!(ReentrantMutex::new(()).statistics().waiting, 0);
    /// ```
    pub fn statistics(&self) -> Statistics {
        self.guarded.statistics()
    }
}

impl<T: Default> Default for ReentrantMutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for ReentrantMutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

/// Shows the data if this thread may use it now, otherwise who holds it; and who waits.
impl<T: ?Sized + fmt::Debug> fmt::Debug for ReentrantMutex<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("ReentrantMutex");
        if let Some(name) = self.name() {
            fields.field("name", &name);
        }
        let depth = self.depth();
        match self.try_lock() {
            Some(guard) => fields.field("data", &&*guard).field("depth", &depth),
            None => fields
                .field("data", &format_args!("<locked>"))
                .field("holder", &self.guarded.holder().map(Shown)),
        };
        fields.field("waiting", &self.statistics().waiting).finish()
    }
}

/// That a thread holds a [`ReentrantMutex`]: gives the data, and undoes its locking when dropped, on that thread.
///
/// ```compile_fail
/// # use oneloom_sync::ReentrantMutex;
/// static TREE: ReentrantMutex<u64> = ReentrantMutex::new(0);
/// let guard = TREE.lock();
/// std::thread::spawn(move || drop(guard));
/// ```
#[must_use = "the mutex is released at once if the guard is not kept"]
pub struct ReentrantMutexGuard<'a, T: ?Sized> {
    hold: Hold<'a, RawReentrantMutex, T, OfThread>,
}

/// That an async task holds a [`ReentrantMutex`]: gives the data, and releases the mutex when dropped, on whichever
/// thread the task runs by then.
#[must_use = "the mutex is released at once if the guard is not kept"]
pub struct AsyncReentrantMutexGuard<'a, T: ?Sized> {
    hold: Hold<'a, RawReentrantMutex, T, OfTask>,
}

impl<T: ?Sized> Deref for ReentrantMutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.hold
    }
}

impl<T: ?Sized> Deref for AsyncReentrantMutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.hold
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ReentrantMutexGuard<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for AsyncReentrantMutexGuard<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}
