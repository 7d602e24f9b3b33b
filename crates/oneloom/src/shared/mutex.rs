//! A lock that processes share.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;

use oneloom_shm::mutex::{Content, Holder, LockCall, Mutex as Raw, Taken};
use oneloom_wait::owner::Owner;

use super::Error;
use super::lock::{LockError, guard, here, show_holder, told};
use super::object::{Held, face, raw, wait, wait_async, wait_for_ever};

raw!(Raw, Content, named);
face!(Mutex);

/// Lets one holder at a time go on, be it a thread or an async task, of whatever process of the family.
///
/// It holds no data: what it protects (a file, a device, other shared objects) stands elsewhere. Locking acquires
/// and unlocking releases, as one atomic instruction each where nobody else wants it.
///
/// If a process dies while it holds the lock, the next one who wants it gets it as [`LockError::OwnerDied`], with the
/// guard inside, as from a poisoned mutex of the standard library: what the lock protects may be half-changed.
/// A panic under a guard only releases it, as any end of its scope.
///
/// # Examples
///
/// ```
/// use oneloom::shared::{LockError, Mutex};
///
/// # fn example() -> Result<(), oneloom::shared::Error> {
/// let ledger = Mutex::with_name("ledger")?;
/// let _guard = match ledger.lock() {
///     Ok(guard) => guard,
///     Err(LockError::OwnerDied(guard)) => {
///         // ... set right what was half-changed ...
///         guard
///     }
///     Err(LockError::Failed(error)) => return Err(error),
/// };
/// assert!(ledger.is_locked());
/// # Ok(())
/// # }
/// # example().unwrap();
/// ```
pub struct Mutex {
    held: Held<Raw>,
}

impl Mutex {
    fn over(held: Held<Raw>) -> Self {
        Self { held }
    }

    /// A lock that nobody holds.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new() -> Result<Self, Error> {
        Held::create(None, Raw::new).map(Self::over)
    }

    /// A lock that nobody holds, which messages and `Debug` call `name`.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn with_name(name: &str) -> Result<Self, Error> {
        Held::create(Some(name), Raw::new).map(Self::over)
    }

    /// Waits until the lock is free, and takes it. Dropping the guard releases it.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`] has taken it, too, from a process that died.
    ///
    /// # Panics
    /// If it can certainly never be free for this thread: the thread holds it already, or the threads in a cycle, of
    /// whatever processes, wait for each other like this. One of them panics, and then the others go on.
    ///
    /// ```
    /// # use oneloom::shared::{LockError, Mutex};
    /// let ledger = Mutex::new()?;
    /// let guard = ledger.lock().or_else(LockError::into_guard)?; // whether its owner died or not
    /// assert!(ledger.is_locked());
    /// drop(guard);
    /// assert!(!ledger.is_locked());
    /// # Ok::<(), oneloom::shared::Error>(())
    /// ```
    #[track_caller]
    pub fn lock(&self) -> Result<MutexGuard<'_>, LockError<MutexGuard<'_>>> {
        let holder = alone(here());
        let taken = if self.held.raw().try_lock(holder)? {
            Taken::Clean
        } else {
            wait_for_ever(&mut LockCall { mutex: self.held.raw(), holder })?
        };
        told(taken, MutexGuard::new(self, holder.name))
    }

    /// Takes the lock if it is free now, or its owner has died; `None` if not. Never waits.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock).
    ///
    /// ```
    /// # use oneloom::shared::{LockError, Mutex};
    /// let ledger = Mutex::new()?;
    /// let guard = ledger.try_lock().unwrap();
    /// assert!(guard.is_some());
    /// assert!(ledger.try_lock().unwrap().is_none());
    /// # Ok::<(), oneloom::shared::Error>(())
    /// ```
    pub fn try_lock(&self) -> Result<Option<MutexGuard<'_>>, LockError<MutexGuard<'_>>> {
        self.lock_timeout(Duration::ZERO)
    }

    /// As [`lock`](Self::lock), for `timeout` at most; `None` when that is over.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock).
    ///
    /// ```
    /// # use oneloom::shared::{LockError, Mutex};
    /// # use std::time::Duration;
    /// let ledger = Mutex::new()?;
    /// let guard = ledger.lock().unwrap();
    /// assert!(ledger.lock_timeout(Duration::from_millis(1)).unwrap().is_none());
    /// # Ok::<(), oneloom::shared::Error>(())
    /// ```
    pub fn lock_timeout(
        &self,
        timeout: Duration,
    ) -> Result<Option<MutexGuard<'_>>, LockError<MutexGuard<'_>>> {
        let holder = alone(here());
        match wait(&mut LockCall { mutex: self.held.raw(), holder }, Some(timeout))? {
            Some(taken) => told(taken, MutexGuard::new(self, holder.name)).map(Some),
            None => Ok(None),
        }
    }

    /// As [`lock`](Self::lock), for async code on any executor. The guard may be held across `await` and may move between
    /// threads with its task. Dropping the future before it is ready takes nothing.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock).
    ///
    /// ```
    /// # use oneloom::shared::Mutex;
    /// # pollster::block_on(async {
    /// let ledger = Mutex::new().unwrap();
    /// let guard = ledger.lock_async().await.unwrap();
    /// assert!(!guard.recovered());
    /// # });
    /// ```
    pub async fn lock_async(&self) -> Result<AsyncMutexGuard<'_>, LockError<AsyncMutexGuard<'_>>> {
        // Who awaits is not known, and nobody needs it: the guard alone releases.
        let holder = alone(Owner::NOBODY.to_bits());
        let taken = wait_async(LockCall { mutex: self.held.raw().clone(), holder }).await?;
        told(taken, AsyncMutexGuard::new(self, holder.name))
    }

    /// Whether somebody holds the lock now; by the time one looks at the answer, it may be wrong.
    pub fn is_locked(&self) -> bool {
        self.held.raw().is_locked()
    }

    pub(super) fn raw(&self) -> &Arc<Raw> {
        self.held.raw()
    }

    /// Gives back what `name` holds. What fails is what nobody could be told: shared memory itself, or a guard that
    /// came into this process by a fork, and never was this process's.
    pub(super) fn unlock(&self, name: u64) {
        let _ = self.held.raw().unlock(|| name);
    }
}

/// One who alone may release.
pub(super) fn alone(name: u64) -> Holder {
    Holder { name, scoped: true }
}

/// Shows which process holds it.
impl fmt::Debug for Mutex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = self.held.debug(formatter, "Mutex");
        show_holder(&mut fields, self.held.raw().owner());
        fields.finish()
    }
}

/// That a thread holds a [`Mutex`]; dropped, on that same thread, it releases it.
///
/// ```compile_fail
/// # use oneloom::shared::Mutex;
/// let ledger: &'static Mutex = Box::leak(Box::new(Mutex::new().unwrap()));
/// let guard = ledger.lock().unwrap();
/// std::thread::spawn(move || drop(guard));
/// ```
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct MutexGuard<'a> {
    mutex: &'a Mutex,
    name: u64,
    /// It stays on its thread.
    here: PhantomData<*const ()>,
}

impl<'a> MutexGuard<'a> {
    pub(super) fn new(mutex: &'a Mutex, name: u64) -> Self {
        Self { mutex, name, here: PhantomData }
    }

    /// Without releasing it.
    pub(super) fn dissolve(self) -> (&'a Mutex, u64) {
        let this = ManuallyDrop::new(self);
        (this.mutex, this.name)
    }
}

/// That an async task holds a [`Mutex`]; dropped, on whichever thread the task runs by then, it releases it.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct AsyncMutexGuard<'a> {
    mutex: &'a Mutex,
    name: u64,
}

impl<'a> AsyncMutexGuard<'a> {
    pub(super) fn new(mutex: &'a Mutex, name: u64) -> Self {
        Self { mutex, name }
    }

    /// Without releasing it.
    pub(super) fn dissolve(self) -> (&'a Mutex, u64) {
        let this = ManuallyDrop::new(self);
        (this.mutex, this.name)
    }
}

guard!(MutexGuard);
guard!(AsyncMutexGuard);
