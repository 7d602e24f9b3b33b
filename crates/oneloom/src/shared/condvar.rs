//! Waiting, under a shared lock, for what other processes change under it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use oneloom_shm::condition::{Condition as Raw, Content, LettingGo, Notified, NotifiedCall};
use oneloom_shm::mutex::LockCall;
use oneloom_wait::clock::Deadline;

use super::Error;
use super::lock::{LockError, told};
use super::mutex::{AsyncMutexGuard, Mutex, MutexGuard, alone};
use super::object::{Held, face, raw, wait_async, wait_for_ever, wait_patiently, wait_until};

raw!(Raw, Content);
face!(Condvar);

/// A place to wait, under a [`Mutex`], for news of what the mutex protects.
///
/// Waiting lets go of the mutex, and has it again when it returns. Who waits longest is notified first. If whoever was
/// notified dies before it has the mutex again, the notification goes to the next; if the mutex's owner dies, somebody
/// who waits goes on, and is told by [`LockError::OwnerDied`].
///
/// # Examples
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// use oneloom::shared::{Condvar, LockError, Mutex};
///
/// let (mutex, changed) = (Mutex::new()?, Condvar::new()?);
/// let ready = AtomicBool::new(false); // of several processes, this would stand where all of them see it
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         let _guard = mutex.lock();
///         ready.store(true, Ordering::Relaxed);
///         changed.notify_all()
///     });
///     let guard = mutex.lock().or_else(LockError::into_guard)?;
///     changed.wait_while(guard, || !ready.load(Ordering::Relaxed)).or_else(LockError::into_guard).map(drop)
/// })?;
/// # Ok::<(), oneloom::shared::Error>(())
/// ```
pub struct Condvar {
    held: Held<Raw>,
}

impl Condvar {
    fn over(held: Held<Raw>) -> Self {
        Self { held }
    }

    /// A condition variable that nobody waits at.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new() -> Result<Self, Error> {
        Held::create(None, Raw::new).map(Self::over)
    }

    /// A condition variable that nobody waits at, which messages and `Debug` call `name`.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn with_name(name: &str) -> Result<Self, Error> {
        Held::create(Some(name), Raw::new).map(Self::over)
    }

    /// Lets the one go on that has waited longest.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn notify_one(&self) -> Result<(), Error> {
        self.notify_many(1)
    }

    /// Lets the `count` go on that have waited longest.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn notify_many(&self, count: usize) -> Result<(), Error> {
        self.held.raw().notify(count)
    }

    /// Lets everybody go on who waits.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn notify_all(&self) -> Result<(), Error> {
        self.notify_many(usize::MAX)
    }

    /// Lets go of the mutex, waits to be notified, and takes the mutex again.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`] has taken the mutex, too, from a process that died.
    ///
    /// # Panics
    /// If the mutex can certainly never be had again, as [`Mutex::lock`].
    #[track_caller]
    pub fn wait<'a>(&self, guard: MutexGuard<'a>) -> Result<MutexGuard<'a>, LockError<MutexGuard<'a>>> {
        let (mutex, name) = guard.dissolve();
        let mut call = NotifiedCall::new(self.held.raw().clone(), Interval { mutex, name, held: true });
        let Ok(notified) = wait_for_ever(&mut call)? else { unreachable!("a guard holds its mutex") };
        let unused = Unused::new(self, notified);
        let taken = wait_for_ever(&mut LockCall { mutex: mutex.raw(), holder: alone(name) })?;
        unused.use_up();
        told(taken, MutexGuard::new(mutex, name))
    }

    /// As [`wait`](Self::wait), for `timeout` at most, and as long as it takes to have the mutex again; whether it was
    /// notified. Never panics.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_timeout<'a>(
        &self,
        guard: MutexGuard<'a>,
        timeout: Duration,
    ) -> Result<(MutexGuard<'a>, bool), LockError<(MutexGuard<'a>, bool)>> {
        self.wait_until(guard, Deadline::after(Some(timeout)))
    }

    fn wait_until<'a>(
        &self,
        guard: MutexGuard<'a>,
        deadline: Deadline,
    ) -> Result<(MutexGuard<'a>, bool), LockError<(MutexGuard<'a>, bool)>> {
        let (mutex, name) = guard.dissolve();
        let mut call = NotifiedCall::new(self.held.raw().clone(), Interval { mutex, name, held: true });
        let notified = wait_until(&mut call, deadline)?.and_then(Result::ok);
        // What was not notified gives up its place before it waits for the mutex.
        drop(call);
        let unused = notified.map(|notified| Unused::new(self, notified));
        let taken = wait_patiently(&mut LockCall { mutex: mutex.raw(), holder: alone(name) })?;
        let notified = unused.map(Unused::use_up).is_some();
        told(taken, (MutexGuard::new(mutex, name), notified))
    }

    /// Waits for as long as `condition` holds, which is asked under the mutex.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait); whether `condition` holds is not known then.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_while<'a>(
        &self,
        mut guard: MutexGuard<'a>,
        mut condition: impl FnMut() -> bool,
    ) -> Result<MutexGuard<'a>, LockError<MutexGuard<'a>>> {
        while condition() {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// As [`wait_while`](Self::wait_while), for `timeout` at most; false if `condition` still held then. Never panics.
    ///
    /// # Errors
    /// As for [`wait_while`](Self::wait_while).
    pub fn wait_while_timeout<'a>(
        &self,
        mut guard: MutexGuard<'a>,
        mut condition: impl FnMut() -> bool,
        timeout: Duration,
    ) -> Result<(MutexGuard<'a>, bool), LockError<(MutexGuard<'a>, bool)>> {
        let deadline = Deadline::after(Some(timeout));
        let mut notified = true;
        while condition() {
            if !notified {
                return Ok((guard, false));
            }
            (guard, notified) = self.wait_until(guard, deadline)?;
        }
        Ok((guard, true))
    }

    /// As [`wait`](Self::wait), for async code on any executor. Dropping the future leaves the mutex to others; what it had
    /// been notified of goes to the next.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub async fn wait_async<'a>(
        &self,
        guard: AsyncMutexGuard<'a>,
    ) -> Result<AsyncMutexGuard<'a>, LockError<AsyncMutexGuard<'a>>> {
        let (mutex, name) = guard.dissolve();
        let interval = Interval { mutex, name, held: true };
        let notified = wait_async(NotifiedCall::new(self.held.raw().clone(), interval)).await?;
        let Ok(notified) = notified else { unreachable!("a guard holds its mutex") };
        let unused = Unused::new(self, notified);
        let taken = wait_async(LockCall { mutex: mutex.raw().clone(), holder: alone(name) }).await?;
        unused.use_up();
        told(taken, AsyncMutexGuard::new(mutex, name))
    }

    /// As [`wait_while`](Self::wait_while), for async code on any executor.
    ///
    /// # Errors
    /// As for [`wait_while`](Self::wait_while).
    pub async fn wait_while_async<'a>(
        &self,
        mut guard: AsyncMutexGuard<'a>,
        mut condition: impl FnMut() -> bool,
    ) -> Result<AsyncMutexGuard<'a>, LockError<AsyncMutexGuard<'a>>> {
        while condition() {
            guard = self.wait_async(guard).await?;
        }
        Ok(guard)
    }

    /// How many wait now; by the time one looks at it, it may be wrong.
    pub fn waiting(&self) -> usize {
        self.held.raw().waiting()
    }
}

/// A mutex between the guard that was given and the one that comes back.
struct Interval<'a> {
    mutex: &'a Mutex,
    name: u64,
    held: bool,
}

impl LettingGo for Interval<'_> {
    fn let_go(&mut self) -> bool {
        self.held = false;
        self.mutex.raw().unlock(|| self.name).is_ok()
    }

    fn is_abandoned(&self) -> bool {
        self.mutex.raw().is_abandoned()
    }
}

impl Drop for Interval<'_> {
    fn drop(&mut self) {
        if self.held {
            self.mutex.unlock(self.name);
        }
    }
}

/// A notification that goes to the next if the mutex is not had again.
struct Unused<'a> {
    condvar: &'a Condvar,
    /// The seat, until the mutex is had again.
    notified: Option<Notified<Arc<Raw>>>,
}

impl<'a> Unused<'a> {
    fn new(condvar: &'a Condvar, notified: Notified<Arc<Raw>>) -> Self {
        Self { condvar, notified: Some(notified) }
    }

    fn use_up(mut self) {
        self.notified = None;
    }
}

impl Drop for Unused<'_> {
    fn drop(&mut self) {
        if let Some(notified) = self.notified.take() {
            // What fails is what nobody could be told.
            let _ = self.condvar.notify_one();
            // Last: if this process dies in between, the notification is still there, and goes to the next.
            drop(notified);
        }
    }
}

/// Shows how many wait.
impl fmt::Debug for Condvar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.held.debug(formatter, "Condvar").field("waiting", &self.waiting()).finish()
    }
}
