//! `oneloom.shared.Condition`, over a shared lock.

use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};

use oneloom_shm::condition::{Condition, LettingGo, NotHeld, Notified, NotifiedCall};
use oneloom_shm::family;
use oneloom_shm::mutex::{Holder, LockCall, Mutex, Taken};
use oneloom_shm::reentrant::{ReentrantCall, ReentrantMutex};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;

use super::lock::{SharedLock, warn};
use super::rlock::SharedRLock;
use super::waiting::{later, wait, wait_uninterrupted};
use super::{error, open, reduce_with, title};
use crate::arguments::{Timeout, Truth, lenient_deadline};
use crate::environment::notifying;
use crate::owner;
use crate::statistics::SharedStatistics;
use crate::waiting::{Waiting, truth};

/// A place to wait for news, with a lock around it, for threads, coroutines and processes at once.
///
/// `lock` is a `Lock` or `RLock` of `oneloom.shared`, by default an `RLock` of its own; TypeError for anything else.
/// Several conditions may share one. Whoever notifies or waits must hold it. `name` is shown in messages. Passed to
/// another process, it brings its lock along.
///
/// A notification that was given to a process which then died goes to the next who waits. If a process dies while it
/// holds the lock, one of those who wait goes on as if notified, takes the lock over, and gets an `OwnerDiedWarning`.
///
/// >>> import oneloom.shared
/// >>> changed = oneloom.shared.Condition()
/// >>> news = oneloom.shared.Queue()
/// >>> news.put("ready")
/// >>> with changed:
/// ...     changed.wait_for(news.qsize, timeout=1)
/// 1
#[pyclass(frozen, weakref, module = "oneloom.shared", name = "Condition")]
pub struct SharedCondition {
    raw: Arc<Condition>,
    lock: Around,
    name: Option<String>,
}

/// The lock around a condition.
enum Around {
    Lock(Py<SharedLock>),
    RLock(Py<SharedRLock>),
}

impl Around {
    fn of(lock: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(lock) = lock.cast::<SharedLock>() {
            Ok(Self::Lock(lock.clone().unbind()))
        } else if let Ok(lock) = lock.cast::<SharedRLock>() {
            Ok(Self::RLock(lock.clone().unbind()))
        } else {
            Err(PyTypeError::new_err(format!(
                "a shared condition needs a lock that processes share, a Lock or RLock of oneloom.shared, not {}",
                lock.repr()?
            )))
        }
    }

    fn object(&self, python: Python<'_>) -> Py<PyAny> {
        match self {
            Self::Lock(lock) => lock.clone_ref(python).into_any(),
            Self::RLock(lock) => lock.clone_ref(python).into_any(),
        }
    }

    /// The lock as the caller may hold it.
    fn hold(&self, python: Python<'_>) -> Hold {
        let name = owner::current(python).to_bits();
        let (raw, words) = match self {
            Self::Lock(lock) => (Raw::Lock(lock.get().raw().clone()), lock.get().name()),
            Self::RLock(lock) => (Raw::RLock(lock.get().raw().clone()), lock.get().name()),
        };
        Hold { raw, name, words: words.map(String::from), saved: None }
    }
}

enum Raw {
    Lock(Arc<Mutex>),
    RLock(Arc<ReentrantMutex>),
}

/// How a lock was held that was let go of.
#[derive(Clone, Copy)]
enum Saved {
    /// Whether `with` had taken it.
    Lock { scoped: bool },
    /// How often it was taken.
    RLock { count: u32 },
}

/// A lock as somebody holds it, who lets go of it and takes it again.
struct Hold {
    raw: Raw,
    /// Who.
    name: u64,
    /// The lock's own name, for messages.
    words: Option<String>,
    saved: Option<Saved>,
}

impl Hold {
    fn is_held(&self) -> bool {
        match &self.raw {
            Raw::Lock(lock) => lock.may_unlock(|| self.name).is_ok(),
            Raw::RLock(lock) => lock.count_of(self.name).is_ok_and(|count| count > 0),
        }
    }

    /// Takes the lock again as it was held; signal handlers wait until that is done.
    fn restore(&self, python: Python<'_>, saved: Saved) -> PyResult<()> {
        let taken = match (&self.raw, saved) {
            (Raw::Lock(lock), Saved::Lock { scoped }) => {
                let holder = Holder { name: self.name, scoped };
                wait_uninterrupted(python, &mut LockCall { mutex: lock.clone(), holder })?
            }
            (Raw::RLock(lock), Saved::RLock { count }) => {
                let mut call = ReentrantCall { mutex: lock.clone(), name: self.name, count };
                wait_uninterrupted(python, &mut call)?
            }
            _ => return Ok(()),
        };
        told(python, self.words.as_deref(), taken)
    }
}

/// Tells whoever took the lock over; it keeps the lock, even where warnings are errors.
fn told(python: Python<'_>, words: Option<&str>, taken: Taken) -> PyResult<()> {
    if taken == Taken::Clean { Ok(()) } else { warn(python, words) }
}

impl LettingGo for Hold {
    fn let_go(&mut self) -> bool {
        self.saved = match &self.raw {
            Raw::Lock(lock) => lock.unlock(|| self.name).ok().map(|scoped| Saved::Lock { scoped }),
            Raw::RLock(lock) => lock.unlock_all(self.name).ok().map(|count| Saved::RLock { count }),
        };
        self.saved.is_some()
    }

    fn is_abandoned(&self) -> bool {
        match &self.raw {
            Raw::Lock(lock) => lock.is_abandoned(),
            Raw::RLock(lock) => lock.is_abandoned(),
        }
    }
}

fn not_held(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!("cannot {what} on un-acquired lock"))
}

impl SharedCondition {
    fn require_owned(&self, python: Python<'_>, what: &str) -> PyResult<()> {
        if self.lock.hold(python).is_held() { Ok(()) } else { Err(not_held(what)) }
    }
}

#[pymethods]
impl SharedCondition {
    #[new]
    #[pyo3(signature = (lock=None, *, name=None))]
    fn new(python: Python<'_>, lock: Option<Bound<'_, PyAny>>, name: Option<String>) -> PyResult<Self> {
        let lock = match lock.filter(|lock| !lock.is_none()) {
            Some(lock) => Around::of(&lock)?,
            None => Around::RLock(Py::new(python, SharedRLock::new(python, name.clone())?)?),
        };
        // Asking for memory may have to wait for another process.
        let raw = python.detach(|| family::home().and_then(Condition::new)).map_err(error)?;
        Ok(Self { raw: Arc::new(raw), lock, name })
    }

    #[staticmethod]
    fn _open(handle: &[u8], name: Option<String>, lock: &Bound<'_, PyAny>) -> PyResult<Self> {
        let raw = Arc::new(Condition::from_object(open(handle)?));
        Ok(Self { raw, lock: Around::of(lock)?, name })
    }

    /// Take the condition's lock, as the lock's own `acquire` does.
    #[pyo3(signature = (blocking=Truth(true), timeout=None), text_signature = "($self, blocking=True, timeout=None)")]
    fn acquire(&self, python: Python<'_>, blocking: Truth, timeout: Timeout) -> PyResult<bool> {
        match &self.lock {
            Around::Lock(lock) => lock.get().acquire(python, blocking, timeout),
            Around::RLock(lock) => lock.get().acquire(python, blocking, timeout),
        }
    }

    /// Give the condition's lock back. RuntimeError as the lock's own `release` raises it.
    fn release(&self, python: Python<'_>) -> PyResult<()> {
        match &self.lock {
            Around::Lock(lock) => SharedLock::release(lock.bind(python)),
            Around::RLock(lock) => lock.get().release(python),
        }
    }

    fn __enter__(&self, python: Python<'_>) -> PyResult<bool> {
        match &self.lock {
            Around::Lock(lock) => lock.get().__enter__(python),
            Around::RLock(lock) => lock.get().__enter__(python),
        }
    }

    fn __exit__(
        &self,
        python: Python<'_>,
        kind: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        match &self.lock {
            Around::Lock(lock) => SharedLock::__exit__(lock.bind(python), kind, value, traceback),
            Around::RLock(lock) => lock.get().__exit__(python, kind, value, traceback),
        }
    }

    /// Let go of the lock, wait to be notified, and take the lock again; whether there was a notification.
    ///
    /// Waits for at most `timeout` seconds (None: no limit). However it ends, the lock is held again, as it was
    /// before; only where taking it again would never end, `DeadlockError` leaves it untaken. RuntimeError if the
    /// lock is not held. `OwnerDiedWarning` if a process died that held the lock: then it may be that nobody notified.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, python: Python<'_>, timeout: Timeout) -> PyResult<bool> {
        self.require_owned(python, "wait")?;
        let mut call = NotifiedCall::new(self.raw.clone(), self.lock.hold(python));
        let deadline = lenient_deadline(timeout);
        let waited = if deadline.remaining().is_some_and(|left| left.is_zero()) {
            // Somebody else is to have the lock for a moment all the same.
            notifying(python, || call.lock.let_go());
            Ok(None)
        } else {
            wait(python, &mut call, deadline)
        };
        python.detach(|| call.give_up());
        let Some(saved) = call.lock.saved.take() else {
            // Nothing was let go of: the wait never began.
            return waited.and_then(|_| Err(not_held("wait")));
        };
        // What ended the wait is told rather than what came of taking the lock again. A notification is kept until then.
        match (waited, call.lock.restore(python, saved)) {
            (Err(error), Err(second)) => {
                error.set_context(python, Some(second));
                Err(error)
            }
            (waited, taken) => waited.and_then(|notified| taken.map(|()| notified.is_some())),
        }
    }

    /// Let the `n` go on who have waited longest, once the lock is free. RuntimeError if the lock is not held.
    #[pyo3(signature = (n=1))]
    fn notify(&self, python: Python<'_>, n: isize) -> PyResult<()> {
        self.require_owned(python, "notify")?;
        let count = n.try_into().unwrap_or(0);
        if notifying(python, || self.raw.try_notify(count)).map_err(error)? {
            return Ok(());
        }
        python.detach(|| self.raw.notify(count)).map_err(error)
    }

    /// Let everybody go on who waits, once the lock is free. RuntimeError if the lock is not held.
    fn notify_all(&self, python: Python<'_>) -> PyResult<()> {
        self.notify(python, isize::MAX)
    }

    /// Whether somebody holds the condition's lock.
    fn locked(&self) -> bool {
        match &self.lock {
            Around::Lock(lock) => lock.get().raw().is_locked(),
            Around::RLock(lock) => lock.get().raw().is_locked(),
        }
    }

    /// The lock, for the coroutine shells.
    #[getter]
    fn _lock(&self, python: Python<'_>) -> Py<PyAny> {
        self.lock.object(python)
    }

    fn _is_owned(&self, python: Python<'_>) -> bool {
        self.lock.hold(python).is_held()
    }

    /// An awaitable that lets go of the lock and waits for a notification, and what takes the lock again.
    fn _wait_later(&self, python: Python<'_>, timeout: Timeout) -> PyResult<(Waiting, SharedSavedLock)> {
        self.require_owned(python, "wait")?;
        let between = Between(Arc::new(StdMutex::new(Parts { hold: self.lock.hold(python), seat: None })));
        let call = NotifiedCall::new(self.raw.clone(), between.clone());
        let mine = between.clone();
        let finish = move |python: Python<'_>, notified: Result<Notified<Arc<Condition>>, NotHeld>| {
            mine.parts().seat = Some(notified.map_err(|NotHeld| not_held("wait"))?);
            Ok(truth(python, true))
        };
        let waiting = later(python, call, timeout, finish, |python| Ok(truth(python, false)))?;
        Ok((waiting, SharedSavedLock { between }))
    }

    /// Who waits now; see `Statistics`.
    fn statistics(&self) -> SharedStatistics {
        SharedStatistics { waiting: self.raw.waiting() }
    }

    /// The name that was given, for messages; None without one.
    #[getter]
    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let this = slf.get();
        reduce_with(slf.as_any(), this.raw.object(), this.name.as_deref(), vec![this.lock.object(slf.py())])
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        Ok(format!(
            "<{}: waiting={}, {}>",
            title(slf.as_any(), this.raw.object(), this.name.as_deref())?,
            this.raw.waiting(),
            this.lock.object(slf.py()).bind(slf.py()).repr()?
        ))
    }
}

/// What a coroutine's wait and its [`SharedSavedLock`] share; both belong to one coroutine, so nobody waits for it.
#[derive(Clone)]
struct Between(Arc<StdMutex<Parts>>);

struct Parts {
    hold: Hold,
    /// Where it was notified, until it has the lock again.
    seat: Option<Notified<Arc<Condition>>>,
}

impl Between {
    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock is held again.
    fn taken(&self, python: Python<'_>, taken: Taken) -> PyResult<Py<PyAny>> {
        let (seat, words) = {
            let mut parts = self.parts();
            parts.hold.saved = None;
            (parts.seat.take(), parts.hold.words.clone())
        };
        drop(seat);
        told(python, words.as_deref(), taken).map(|()| truth(python, true))
    }
}

impl LettingGo for Between {
    fn let_go(&mut self) -> bool {
        self.parts().hold.let_go()
    }

    fn is_abandoned(&self) -> bool {
        self.parts().hold.is_abandoned()
    }
}

/// The lock of a shared condition that a waiting coroutine has let go of.
#[pyclass(frozen, module = "oneloom._native")]
pub struct SharedSavedLock {
    between: Between,
}

#[pymethods]
impl SharedSavedLock {
    /// An awaitable that takes the lock again, or None where there is nothing to take. May be asked again, where
    /// the awaitable was cancelled.
    fn restore(&self, python: Python<'_>) -> PyResult<Option<Waiting>> {
        let between = self.between.clone();
        let finish = move |python: Python<'_>, taken| between.taken(python, taken);
        let late = |python: Python<'_>| Ok(truth(python, false));
        let parts = self.between.parts();
        let name = parts.hold.name;
        match (&parts.hold.raw, parts.hold.saved) {
            (Raw::Lock(lock), Some(Saved::Lock { scoped })) => {
                let call = LockCall { mutex: lock.clone(), holder: Holder { name, scoped } };
                later(python, call, None, finish, late).map(Some)
            }
            (Raw::RLock(lock), Some(Saved::RLock { count })) => {
                let call = ReentrantCall { mutex: lock.clone(), name, count };
                later(python, call, None, finish, late).map(Some)
            }
            _ => Ok(None),
        }
    }
}
