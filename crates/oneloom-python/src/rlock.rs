//! `RLock`, and its drop-in for `threading.RLock`.

use oneloom_sync::raw::{RawReentrantMutex, ReentrantLockCall, ReleaseError};
use oneloom_wait::owner::Owner;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::arguments::{Timeout, Truth, lock_deadline, name};
use crate::describe;
use crate::environment::{notifying, wait, wait_uninterrupted};
use crate::errors;
use crate::lock::{Rules, async_timeout};
use crate::statistics::Statistics;
use crate::waiting::{Done, Held, Holds, Waiting};

/// A lock that its owner may take again, for threads and coroutines at once.
///
/// Owned by the running asyncio task where there is one, else by the thread. It is free again when its owner has
/// released it as often as it took it. Waiters are served as by `Lock`. `name` is shown in messages and dumps.
///
/// >>> import oneloom
/// >>> lock = oneloom.RLock()
/// >>> with lock:
/// ...     with lock:
/// ...         lock.locked()
/// True
#[pyclass(frozen, subclass, weakref, module = "oneloom")]
pub struct RLock {
    raw: RawReentrantMutex,
    rules: Rules,
}

impl Holds for RLock {
    type Primitive = RawReentrantMutex;

    fn raw(&self) -> &RawReentrantMutex {
        &self.raw
    }
}

impl RLock {
    /// An unlocked lock.
    pub fn with(rules: Rules, name: Option<&str>) -> Self {
        Self { raw: RawReentrantMutex::of_kind(self::name(name), &"RLock"), rules }
    }

    /// Who calls, as far as this lock is concerned.
    #[inline]
    pub fn owner(&self, python: Python<'_>) -> Owner {
        self.rules.owner(python)
    }

    /// An awaitable that takes the lock as often as `_release_save` gave it back, and then says so by `taken`.
    pub fn restoring(
        slf: &Bound<'_, Self>,
        count: u64,
        taken: impl Fn() + Send + 'static,
    ) -> PyResult<Waiting> {
        let python = slf.py();
        let call = ReentrantLockCall { owner: slf.get().owner(python), count };
        let taken = move |()| {
            taken();
            true
        };
        Waiting::yes_or_no(python, Held(slf.clone().unbind()), call, None, taken)
    }

    fn not_held(&self, error: ReleaseError) -> PyErr {
        PyRuntimeError::new_err(match (self.rules, error) {
            // A program's output ought to be the same on either module.
            (Rules::DropIn, _) => "cannot release un-acquired lock",
            (Rules::Unified, ReleaseError::NotHeld) => "cannot release un-acquired lock: nobody holds it",
            (Rules::Unified, ReleaseError::NotOwner(_)) => {
                "cannot release un-acquired lock: another thread or task holds it"
            }
        })
    }
}

#[pymethods]
impl RLock {
    #[new]
    #[pyo3(signature = (*, name=None))]
    fn new(name: Option<&str>) -> Self {
        Self::with(Rules::Unified, name)
    }

    /// Take the lock, once more if the caller holds it already; True if it was taken.
    ///
    /// With `blocking=False`, False at once where another one holds it. Otherwise waits, for at most `timeout`
    /// seconds (None or -1: no limit), and returns False when they are over. ValueError for another negative
    /// timeout, or a timeout without blocking; OverflowError beyond 292 years; `DeadlockError` where the wait could
    /// never end.
    #[pyo3(signature = (blocking=Truth(true), timeout=None), text_signature = "($self, blocking=True, timeout=-1)")]
    pub fn acquire(&self, python: Python<'_>, blocking: Truth, timeout: Timeout) -> PyResult<bool> {
        if timeout.is_some() {
            lock_deadline(blocking.0, timeout)?;
        }
        let mut call = ReentrantLockCall::new(self.owner(python));
        Ok(wait(python, &self.raw, &mut call, || lock_deadline(blocking.0, timeout))?.is_some())
    }

    /// Give one hold back; with the last one a waiter goes on. RuntimeError if the caller does not hold the lock.
    #[inline]
    pub fn release(&self, python: Python<'_>) -> PyResult<()> {
        let owner = self.owner(python);
        notifying(python, || self.raw.release(owner)).map(drop).map_err(|error| self.not_held(error))
    }

    /// Whether somebody holds the lock.
    pub fn locked(&self) -> bool {
        self.raw.is_locked()
    }

    #[inline]
    pub fn __enter__(&self, python: Python<'_>) -> PyResult<bool> {
        let owner = self.owner(python);
        if !self.raw.try_lock(owner) {
            wait(python, &self.raw, &mut ReentrantLockCall::new(owner), || lock_deadline(true, None))?;
        }
        Ok(true)
    }

    #[inline]
    pub fn __exit__(
        &self,
        python: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if !value.is_none() && errors::comes_of_deadlock(value) && !self._is_owned(python) {
            return Ok(());
        }
        self.release(python)
    }

    pub fn _acquire_now(&self, python: Python<'_>, scoped: bool) -> PyResult<bool> {
        // Every hold of an RLock is its owner's alone, by `with` or not.
        let _ = scoped;
        Ok(self.raw.try_lock(self.rules.owner_on_loop(python)?))
    }

    /// `async with`: takes it for the block; waits in the coroutine where it has to. RuntimeError where no
    /// asyncio loop runs.
    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let python = slf.py();
        if slf.get()._acquire_now(python, true)? {
            return Done::awaitable(python);
        }
        Ok(Py::new(python, Self::_acquire_later(slf, true, None)?.silent())?.into_any())
    }

    /// Releases what `async with` took.
    fn __aexit__(
        slf: &Bound<'_, Self>,
        kind: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        slf.get().__exit__(slf.py(), kind, value, traceback)?;
        Done::awaitable(slf.py())
    }

    pub fn _acquire_later(slf: &Bound<'_, Self>, scoped: bool, timeout: Timeout) -> PyResult<Waiting> {
        let _ = scoped;
        let python = slf.py();
        let call = ReentrantLockCall::new(slf.get().owner(python));
        Waiting::yes_or_no(python, Held(slf.clone().unbind()), call, async_timeout(timeout)?, |()| true)
    }

    pub fn _is_owned(&self, python: Python<'_>) -> bool {
        self.raw.is_owned_by(self.owner(python))
    }

    pub fn _recursion_count(&self, python: Python<'_>) -> u64 {
        self.raw.recursion_count(self.owner(python))
    }

    pub fn _release_save(&self, python: Python<'_>) -> PyResult<u64> {
        let owner = self.owner(python);
        notifying(python, || self.raw.release_all(owner)).map_err(|error| self.not_held(error))
    }

    pub fn _acquire_restore(&self, python: Python<'_>, count: u64) -> PyResult<()> {
        let mut call = ReentrantLockCall { owner: self.owner(python), count };
        wait_uninterrupted(python, &self.raw, &mut call)
    }

    fn _restore_later(slf: &Bound<'_, Self>, count: u64) -> PyResult<Waiting> {
        Self::restoring(slf, count, || ())
    }

    fn _at_fork_reinit(&self) {
        self.raw.reset_after_fork();
    }

    /// The name that was given, for messages and dumps; None without one. What is assigned is kept, but shown nowhere.
    #[getter]
    fn name<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        describe::name(slf.as_any(), slf.get().raw.given_name())
    }

    #[setter]
    fn set_name(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        describe::set_name(slf.as_any(), name)
    }

    /// Who waits now, and what the slow path has seen since the object was made; see `Statistics`.
    fn statistics(&self) -> Statistics {
        self.raw.statistics().into()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let raw = &slf.get().raw;
        let state = if raw.is_locked() { "locked" } else { "unlocked" };
        Ok(format!(
            "<{state} oneloom.{} object {}owner={} count={} at {:#x}>",
            slf.get_type().name()?,
            describe::quoted(raw.given_name()),
            crate::report::who(slf.py(), raw.holder())?,
            raw.count(),
            slf.as_ptr() as usize
        ))
    }
}

/// `threading.RLock`: owned by the thread, whichever task runs in it.
///
/// Further arguments are ignored, as the standard library ignores them.
///
/// >>> from oneloom import threading
/// >>> lock = threading.RLock()
/// >>> with lock, lock:
/// ...     pass
#[pyclass(frozen, subclass, extends = RLock, module = "oneloom.threading", name = "RLock")]
pub struct DropInRLock;

#[pymethods]
impl DropInRLock {
    #[new]
    #[pyo3(signature = (*_arguments, name=None, **_keywords))]
    fn new(
        _arguments: &Bound<'_, PyTuple>,
        name: Option<&str>,
        _keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(RLock::with(Rules::DropIn, name)).add_subclass(Self)
    }
}
