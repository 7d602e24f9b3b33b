//! `oneloom.shared.Lock`.

use std::sync::Arc;

use oneloom_shm::family;
use oneloom_shm::mutex::{Holder, LockCall, Mutex, ReleaseError, Taken};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::waiting::{later, wait};
use super::{error, open, reduce, title, warn_of_death};
use crate::arguments::{Timeout, Truth, lock_deadline};
use crate::describe::quoted;
use crate::environment::notifying;
use crate::errors;
use crate::lock::async_timeout;
use crate::owner;
use crate::port;
use crate::statistics::SharedStatistics;
use crate::waiting::{Done, Waiting, truth};

/// A mutual exclusion lock for threads, coroutines and processes at once.
///
/// Owned by the running asyncio task where there is one, else by the thread. What `with` or `async with` took, only
/// that owner may release; what a bare `acquire` took, anybody in the family of processes. Pass it to a child as an
/// argument, or through a shared queue. `name` is shown in messages.
///
/// If its owner's process dies, by whatever cause, the lock goes to the next one who wants it, who gets an
/// `OwnerDiedWarning`, and finds `recovered` to be true: what the lock protects may be half-changed.
///
/// Taking and releasing a lock that nobody else wants costs one atomic instruction each.
///
/// >>> import oneloom.shared
/// >>> lock = oneloom.shared.Lock(name="accounts")
/// >>> with lock:
/// ...     lock.locked()
/// True
#[pyclass(frozen, weakref, module = "oneloom.shared", name = "Lock")]
pub struct SharedLock {
    raw: Arc<Mutex>,
    name: Option<String>,
}

/// Tells whoever took a lock over from the dead.
///
/// # Errors
/// Where warnings are errors.
pub fn warn(python: Python<'_>, name: Option<&str>) -> PyResult<()> {
    let words = format!(
        "the process that held the shared lock {}has died: what the lock protects may be half-changed; \
         `recovered` says so until the release",
        quoted(name)
    );
    warn_of_death(python, &words)
}

/// Whose a lock is, for its `repr`.
pub fn holder(owner: Option<(u32, u64)>) -> String {
    match owner {
        None => "unlocked".into(),
        Some((0, _)) => "held by a process that died".into(),
        Some((pid, _)) => format!("held by process {pid}"),
    }
}

impl SharedLock {
    pub fn raw(&self) -> &Arc<Mutex> {
        &self.raw
    }

    #[inline]
    fn holder(python: Python<'_>, scoped: bool) -> Holder {
        Holder { name: owner::current(python).to_bits(), scoped }
    }

    /// Tells whoever took the lock of what may be half-changed. Where warnings are errors, gives it back first.
    fn told(python: Python<'_>, raw: &Mutex, name: Option<&str>, taken: Taken) -> PyResult<()> {
        if taken == Taken::Clean {
            return Ok(());
        }
        warn(python, name).inspect_err(|_| {
            // It was just taken by this owner, so this can't fail but for shared memory itself.
            let _ = raw.unlock(|| owner::current(python).to_bits());
        })
    }

    fn take(&self, python: Python<'_>, scoped: bool, blocking: bool, timeout: Timeout) -> PyResult<bool> {
        let holder = Self::holder(python, scoped);
        if self.raw.try_lock(holder).map_err(error)? {
            return Ok(true);
        }
        let mut call = LockCall { mutex: self.raw.clone(), holder };
        let Some(taken) = wait(python, &mut call, lock_deadline(blocking, timeout)?)? else {
            return Ok(false);
        };
        Self::told(python, &self.raw, self.name.as_deref(), taken)?;
        Ok(true)
    }

    #[cold]
    fn not_released(slf: &Bound<'_, Self>, failure: ReleaseError) -> PyErr {
        match failure {
            ReleaseError::NotHeld => PyRuntimeError::new_err("release unlocked lock"),
            ReleaseError::NotOwner { pid } => {
                let this = slf.get();
                PyRuntimeError::new_err(format!(
                    "{} was taken by `with` in {}, and only that may release it",
                    title(slf.as_any(), this.raw.object(), this.name.as_deref()).unwrap_or_default(),
                    if pid == std::process::id() {
                        "another thread or task".into()
                    } else {
                        format!("process {pid}")
                    },
                ))
            }
            ReleaseError::Failed(failure) => error(failure),
        }
    }
}

#[pymethods]
impl SharedLock {
    #[new]
    #[pyo3(signature = (*, name=None))]
    fn new(python: Python<'_>, name: Option<String>) -> PyResult<Self> {
        // Asking for memory may have to wait for another process.
        let raw = python.detach(|| family::home().and_then(Mutex::new)).map_err(error)?;
        Ok(Self { raw: Arc::new(raw.named(name.clone())), name })
    }

    #[staticmethod]
    fn _open(handle: &[u8], name: Option<String>) -> PyResult<Self> {
        Ok(Self { raw: Arc::new(Mutex::from_object(open(handle)?).named(name.clone())), name })
    }

    /// Take the lock; True if it was taken.
    ///
    /// With `blocking=False`, False at once where it is held. Otherwise waits, for at most `timeout` seconds (None
    /// or -1: no limit), and returns False when they are over. ValueError for another negative timeout, or a timeout
    /// without blocking; OverflowError beyond 292 years. `OwnerDiedWarning` if the process that held it has died.
    #[pyo3(signature = (blocking=Truth(true), timeout=None), text_signature = "($self, blocking=True, timeout=None)")]
    pub fn acquire(&self, python: Python<'_>, blocking: Truth, timeout: Timeout) -> PyResult<bool> {
        if timeout.is_some() {
            lock_deadline(blocking.0, timeout)?;
        }
        self.take(python, false, blocking.0, timeout)
    }

    /// Give the lock back; a waiter goes on.
    ///
    /// RuntimeError if nobody holds it, or if `with` took it in another thread, task or process.
    #[inline]
    pub fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        let python = slf.py();
        notifying(python, || slf.get().raw.unlock(|| owner::current(python).to_bits()))
            .map(drop)
            .map_err(|failure| Self::not_released(slf, failure))
    }

    /// Whether somebody holds the lock.
    fn locked(&self) -> bool {
        self.raw.is_locked()
    }

    /// Whether whoever holds the lock took it over from a process that died.
    #[getter]
    fn recovered(&self) -> bool {
        self.raw.is_recovered()
    }

    #[inline]
    pub fn __enter__(&self, python: Python<'_>) -> PyResult<bool> {
        self.take(python, true, true, None)
    }

    #[inline]
    pub fn __exit__(
        slf: &Bound<'_, Self>,
        _kind: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let held = |lock: &Self| lock.raw.may_unlock(|| owner::current(slf.py()).to_bits()) == Ok(true);
        if !value.is_none() && errors::comes_of_deadlock(value) && !held(slf.get()) {
            return Ok(());
        }
        Self::release(slf)
    }

    fn _acquire_now(&self, python: Python<'_>, scoped: bool) -> PyResult<bool> {
        port::require_loop(python)?;
        self.raw.try_lock(Self::holder(python, scoped)).map_err(error)
    }

    fn _acquire_later(&self, python: Python<'_>, scoped: bool, timeout: Timeout) -> PyResult<Waiting> {
        let call = LockCall { mutex: self.raw.clone(), holder: Self::holder(python, scoped) };
        let (raw, name) = (self.raw.clone(), self.name.clone());
        let finish = move |python: Python<'_>, taken| {
            Self::told(python, &raw, name.as_deref(), taken).map(|()| truth(python, true))
        };
        later(python, call, async_timeout(timeout)?, finish, move |python| Ok(truth(python, false)))
    }

    /// `async with`: takes it for the block; waits in the coroutine where it has to. RuntimeError where no
    /// asyncio loop runs.
    fn __aenter__(&self, python: Python<'_>) -> PyResult<Py<PyAny>> {
        if self._acquire_now(python, true)? {
            return Done::awaitable(python);
        }
        Ok(Py::new(python, self._acquire_later(python, true, None)?.silent())?.into_any())
    }

    /// Releases what `async with` took.
    fn __aexit__(
        slf: &Bound<'_, Self>,
        kind: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        Self::__exit__(slf, kind, value, traceback)?;
        Done::awaitable(slf.py())
    }

    /// Who waits now; see `Statistics`.
    fn statistics(&self) -> SharedStatistics {
        SharedStatistics { waiting: self.raw.waiting() }
    }

    /// The name that was given, for messages; None without one.
    #[getter]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        reduce(slf.as_any(), slf.get().raw.object(), slf.get().name.as_deref())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        let state = holder(this.raw.owner());
        Ok(format!("<{}: {state}>", title(slf.as_any(), this.raw.object(), this.name.as_deref())?))
    }
}
