//! A lock that processes share, and that its holder may take again.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use oneloom_shm::mutex::Taken;
use oneloom_shm::reentrant::{Content, ReentrantCall, ReentrantMutex as Raw};

use super::Error;
use super::lock::{LockError, Task, guard, here, show_holder, told};
use super::object::{Held, face, raw, wait, wait_async, wait_for_ever};

raw!(Raw, Content, named);
face!(ReentrantMutex);

/// As [`Mutex`](super::Mutex), but the thread that holds it may lock it again; it is free when all guards are dropped.
///
/// # Examples
///
/// ```
/// use oneloom::shared::{LockError, ReentrantMutex};
///
/// let ledger = ReentrantMutex::with_name("ledger")?;
/// let outer = ledger.lock().or_else(LockError::into_guard)?;
/// let inner = ledger.lock().or_else(LockError::into_guard)?;
/// assert_eq!(ledger.depth(), 2);
/// # Ok::<(), oneloom::shared::Error>(())
/// ```
pub struct ReentrantMutex {
    held: Held<Raw>,
}

impl ReentrantMutex {
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

    /// Waits until nobody else holds the lock, and takes it, once more if this thread holds it. Dropping the guard gives
    /// that back.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`] has taken it, too, from a process that died.
    ///
    /// # Panics
    /// If threads in a cycle, of whatever processes, certainly wait for each other for ever. One of them panics, and then
    /// the others go on.
    #[track_caller]
    pub fn lock(&self) -> Result<ReentrantMutexGuard<'_>, LockError<ReentrantMutexGuard<'_>>> {
        let name = here();
        let taken = if self.held.raw().try_lock(name)? {
            Taken::Clean
        } else {
            wait_for_ever(&mut ReentrantCall { mutex: self.held.raw(), name, count: 1 })?
        };
        told(taken, ReentrantMutexGuard::new(self, name))
    }

    /// Takes the lock if nobody else holds it now, or its owner has died; `None` if not. Never waits.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<Option<ReentrantMutexGuard<'_>>, LockError<ReentrantMutexGuard<'_>>> {
        self.lock_timeout(Duration::ZERO)
    }

    /// As [`lock`](Self::lock), for `timeout` at most; `None` when that is over.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock).
    pub fn lock_timeout(
        &self,
        timeout: Duration,
    ) -> Result<Option<ReentrantMutexGuard<'_>>, LockError<ReentrantMutexGuard<'_>>> {
        let name = here();
        match wait(&mut ReentrantCall { mutex: self.held.raw(), name, count: 1 }, Some(timeout))? {
            Some(taken) => told(taken, ReentrantMutexGuard::new(self, name)).map(Some),
            None => Ok(None),
        }
    }

    /// As [`lock`](Self::lock), for async code on any executor. Which task awaits can't be known, so every call is one of
    /// its own: a task that holds the lock and awaits it again waits for ever. Dropping the future before it is ready
    /// takes nothing.
    ///
    /// # Errors
    /// As for [`lock`](Self::lock).
    pub async fn lock_async(
        &self,
    ) -> Result<AsyncReentrantMutexGuard<'_>, LockError<AsyncReentrantMutexGuard<'_>>> {
        let task = Task::new()?;
        let name = task.name();
        let taken = wait_async(ReentrantCall { mutex: self.held.raw().clone(), name, count: 1 }).await?;
        told(taken, AsyncReentrantMutexGuard { mutex: self, name, _task: task })
    }

    /// Whether somebody holds the lock now; by the time one looks at the answer, it may be wrong.
    pub fn is_locked(&self) -> bool {
        self.held.raw().is_locked()
    }

    /// How many guards whoever holds it has.
    pub fn depth(&self) -> u32 {
        self.held.raw().count()
    }

    /// Gives back what `name` holds once. What fails is what nobody could be told.
    fn unlock(&self, name: u64) {
        let _ = self.held.raw().unlock(name);
    }
}

/// Shows which process holds it.
impl fmt::Debug for ReentrantMutex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = self.held.debug(formatter, "ReentrantMutex");
        show_holder(&mut fields, self.held.raw().owner());
        fields.field("depth", &self.depth()).finish()
    }
}

/// That a thread holds a [`ReentrantMutex`]; dropped, on that same thread, it gives that back.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct ReentrantMutexGuard<'a> {
    mutex: &'a ReentrantMutex,
    name: u64,
    /// It stays on its thread.
    here: PhantomData<*const ()>,
}

impl<'a> ReentrantMutexGuard<'a> {
    fn new(mutex: &'a ReentrantMutex, name: u64) -> Self {
        Self { mutex, name, here: PhantomData }
    }
}

/// That an async task holds a [`ReentrantMutex`]; dropped, on whichever thread the task runs by then, it releases it.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct AsyncReentrantMutexGuard<'a> {
    mutex: &'a ReentrantMutex,
    name: u64,
    /// Ends after the hold.
    _task: Task,
}

guard!(ReentrantMutexGuard);
guard!(AsyncReentrantMutexGuard);
