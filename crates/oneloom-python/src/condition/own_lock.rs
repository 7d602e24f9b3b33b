//! A condition's lock: how a wait lets go of it and takes it again, in a thread and in a coroutine.

use std::sync::{Arc, Mutex};

use oneloom_sync::raw::ReleaseError;
use oneloom_wait::owner::Owner;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::Condition;
use crate::lock::{DropInLock, Lock};
use crate::once::intern;
use crate::rlock::{DropInRLock, RLock};
use crate::waiting::{Holds, Waiting};

/// A condition's lock, where it is one of ours and nothing is derived from it: what a subclass says counts.
pub enum Own {
    Lock(Py<Lock>),
    RLock(Py<RLock>),
}

impl Own {
    /// The lock, if it is one of ours.
    pub fn of(lock: &Bound<'_, PyAny>) -> Option<Self> {
        let (python, class) = (lock.py(), lock.get_type());
        let is = |ours: [Bound<'_, PyType>; 2]| ours.iter().any(|ours| class.is(ours));
        if is([python.get_type::<Lock>(), python.get_type::<DropInLock>()]) {
            lock.cast::<Lock>().ok().map(|lock| Self::Lock(lock.clone().unbind()))
        } else if is([python.get_type::<RLock>(), python.get_type::<DropInRLock>()]) {
            lock.cast::<RLock>().ok().map(|lock| Self::RLock(lock.clone().unbind()))
        } else {
            None
        }
    }

    pub fn clone_ref(&self, python: Python<'_>) -> Self {
        match self {
            Self::Lock(lock) => Self::Lock(lock.clone_ref(python)),
            Self::RLock(lock) => Self::RLock(lock.clone_ref(python)),
        }
    }

    pub fn owner(&self, python: Python<'_>) -> Owner {
        match self {
            Self::Lock(lock) => lock.get().owner(python),
            Self::RLock(lock) => lock.get().owner(python),
        }
    }

    /// Whether the caller holds it, as far as that can be said.
    pub fn may_be_held(&self, python: Python<'_>) -> bool {
        match self {
            Self::Lock(lock) => lock.get().raw().may_be_held_by(lock.get().owner(python)),
            Self::RLock(lock) => lock.get()._is_owned(python),
        }
    }

    fn let_go(self, owner: Owner) -> Result<Saved, ReleaseError> {
        match self {
            Self::Lock(own) => {
                let scoped = own.get().raw().release_hold(|| owner)?;
                Ok(Saved::Lock { own, scoped })
            }
            Self::RLock(own) => {
                let count = own.get().raw().release_all(owner)?;
                Ok(Saved::RLock { own, count })
            }
        }
    }
}

/// What takes a lock again as it was held.
pub enum Saved {
    /// A lock of ours, and whether `with` had taken it.
    Lock { own: Py<Lock>, scoped: bool },
    /// A lock of ours, and how often it was taken.
    RLock { own: Py<RLock>, count: u64 },
    /// What `_release_save` gave.
    State(Py<PyAny>),
    /// Once.
    Nothing,
}

impl Saved {
    /// Takes the lock again after a wait, as it was held before.
    pub fn restore(self, lock: &Bound<'_, PyAny>) -> PyResult<()> {
        let python = lock.py();
        match self {
            Self::Lock { own, scoped } => own.get()._acquire_restore(python, scoped),
            Self::RLock { own, count } => own.get()._acquire_restore(python, count),
            Self::State(state) => lock.call_method1(intern!(python, "_acquire_restore"), (state,)).map(drop),
            Self::Nothing => lock.call_method0(intern!(python, "acquire")).map(drop),
        }
    }
}

/// Lets go of a condition's lock once its waiter is in line.
pub struct LettingGo {
    lock: Py<PyAny>,
    /// A lock of ours with who holds it: it needs no interpreter.
    own: Option<(Own, Owner)>,
    /// What came of it, once it was tried.
    pub outcome: Option<PyResult<Saved>>,
}

impl LettingGo {
    /// Lets go of `lock`, which is `own` if it is one of ours, for the caller.
    pub fn new(python: Python<'_>, lock: &Py<PyAny>, own: Option<&Own>) -> Self {
        let own = own.map(|own| (own.clone_ref(python), own.owner(python)));
        Self { lock: lock.clone_ref(python), own, outcome: None }
    }

    /// Lets go of the lock; whether that worked.
    pub fn let_go(&mut self) -> bool {
        let released = match self.own.take() {
            Some((own, owner)) => {
                own.let_go(owner).map_err(|_| PyRuntimeError::new_err("cannot wait on un-acquired lock"))
            }
            None => Python::attach(|python| release_foreign(self.lock.bind(python))),
        };
        let done = released.is_ok();
        self.outcome = Some(released);
        done
    }
}

/// Lets go of a lock by its own methods.
pub fn release_foreign(lock: &Bound<'_, PyAny>) -> PyResult<Saved> {
    let python = lock.py();
    match lock.getattr_opt(intern!(python, "_release_save"))? {
        Some(save) => Ok(Saved::State(save.call0()?.unbind())),
        None => lock.call_method0(intern!(python, "release")).map(|_| Saved::Nothing),
    }
}

/// An awaitable that takes a lock again which is not ours, or is derived from one of ours.
fn restore_foreign<'py>(lock: &Bound<'py, PyAny>, state: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let python = lock.py();
    match lock.getattr_opt(intern!(python, "_restore_later"))? {
        Some(restore) => restore.call1((state,)),
        None => lock.call_method0(intern!(python, "acquire_async")),
    }
}

/// What a coroutine's wait and its [`SavedLock`] share; both belong to one coroutine, so nobody waits for it.
pub fn locked(shared: &Mutex<LettingGo>) -> std::sync::MutexGuard<'_, LettingGo> {
    shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A condition's lock that a waiting coroutine has let go of.
#[pyclass(frozen, module = "oneloom._native")]
pub struct SavedLock {
    pub condition: Py<Condition>,
    pub shared: Arc<Mutex<LettingGo>>,
}

#[pymethods]
impl SavedLock {
    /// An awaitable that takes the lock again, or None where there is nothing to take. May be asked again, where
    /// the awaitable was cancelled. Raises what went wrong when the lock was let go of.
    fn restore(&self, python: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let lock = self.condition.get().lock.bind(python);
        let outcome = locked(&self.shared).outcome.take();
        let Some(saved) = outcome.transpose()? else { return Ok(None) };
        // Once it is taken there is nothing left to take, whatever interrupts the coroutine in that instant.
        let shared = self.shared.clone();
        let taken = move || {
            let saved = locked(&shared).outcome.take();
            drop(saved);
        };
        let ours = |waiting: Waiting| Bound::new(python, waiting).map(Bound::into_any);
        let awaitable = match &saved {
            Saved::Lock { own, scoped } => Lock::restoring(own.bind(python), *scoped, taken).and_then(ours),
            Saved::RLock { own, count } => RLock::restoring(own.bind(python), *count, taken).and_then(ours),
            Saved::State(state) => restore_foreign(lock, state.bind(python)),
            Saved::Nothing => lock.call_method0(intern!(python, "acquire_async")),
        };
        locked(&self.shared).outcome = Some(Ok(saved));
        awaitable.map(|awaitable| Some(awaitable.unbind()))
    }

    /// Takes the lock again here and now, for a coroutine that blocks rather than own a lock before it runs.
    fn restore_blocking(&self, python: Python<'_>) -> PyResult<()> {
        let outcome = locked(&self.shared).outcome.take();
        outcome.transpose()?.map_or(Ok(()), |saved| saved.restore(self.condition.get().lock.bind(python)))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.condition)?;
        // Ours to show, since the call in line, which shares it, can't. Locks of our own lead nowhere.
        let Ok(letting_go) = self.shared.try_lock() else { return Ok(()) };
        visit.call(&letting_go.lock)?;
        match &letting_go.outcome {
            Some(Ok(Saved::State(state))) => visit.call(state),
            _ => Ok(()),
        }
    }
}
