//! `oneloom.shared.RLock`.

use std::sync::Arc;

use oneloom_shm::family;
use oneloom_shm::mutex::{ReleaseError, Taken};
use oneloom_shm::reentrant::{ReentrantCall, ReentrantMutex};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::lock::{holder, warn};
use super::waiting::{later, wait};
use super::{error, open, reduce, title};
use crate::arguments::{Timeout, Truth, lock_deadline};
use crate::environment::notifying;
use crate::errors;
use crate::lock::async_timeout;
use crate::owner;
use crate::port;
use crate::statistics::SharedStatistics;
use crate::waiting::{Done, Waiting, truth};

/// A lock that its owner may take again, for threads, coroutines and processes at once.
///
/// Owned by the running asyncio task where there is one, else by the thread, and by that process: the child of a fork
/// does not own what its parent holds. It is free again when its owner has released it as often as it took it. If its
/// owner's process dies, it goes to the next one who wants it, as `Lock` does: `OwnerDiedWarning`, `recovered`. `name`
/// is shown in messages.
///
/// >>> import oneloom.shared
/// >>> lock = oneloom.shared.RLock()
/// >>> with lock:
/// ...     with lock:
/// ...         lock.locked()
/// True
#[pyclass(frozen, weakref, module = "oneloom.shared", name = "RLock")]
pub struct SharedRLock {
    raw: Arc<ReentrantMutex>,
    name: Option<String>,
}

/// Who calls.
#[inline]
fn me(python: Python<'_>) -> u64 {
    owner::current(python).to_bits()
}

impl SharedRLock {
    pub fn raw(&self) -> &Arc<ReentrantMutex> {
        &self.raw
    }

    fn call(&self, python: Python<'_>) -> ReentrantCall<Arc<ReentrantMutex>> {
        ReentrantCall { mutex: self.raw.clone(), name: me(python), count: 1 }
    }

    fn told(python: Python<'_>, raw: &ReentrantMutex, name: Option<&str>, taken: Taken) -> PyResult<()> {
        if taken == Taken::Clean {
            return Ok(());
        }
        warn(python, name).inspect_err(|_| {
            // It was just taken by this owner, so this can't fail but for shared memory itself.
            let _ = raw.unlock(me(python));
        })
    }

    fn take(&self, python: Python<'_>, blocking: bool, timeout: Timeout) -> PyResult<bool> {
        if self.raw.try_lock(me(python)).map_err(error)? {
            return Ok(true);
        }
        let Some(taken) = wait(python, &mut self.call(python), lock_deadline(blocking, timeout)?)? else {
            return Ok(false);
        };
        Self::told(python, &self.raw, self.name.as_deref(), taken)?;
        Ok(true)
    }
}

#[pymethods]
impl SharedRLock {
    #[new]
    #[pyo3(signature = (*, name=None))]
    pub fn new(python: Python<'_>, name: Option<String>) -> PyResult<Self> {
        // Asking for memory may have to wait for another process.
        let raw = python.detach(|| family::home().and_then(ReentrantMutex::new)).map_err(error)?;
        Ok(Self { raw: Arc::new(raw.named(name.clone())), name })
    }

    #[staticmethod]
    fn _open(handle: &[u8], name: Option<String>) -> PyResult<Self> {
        Ok(Self { raw: Arc::new(ReentrantMutex::from_object(open(handle)?).named(name.clone())), name })
    }

    /// Take the lock, once more if the caller holds it already; True if it was taken.
    ///
    /// With `blocking=False`, False at once where another one holds it. Otherwise waits, for at most `timeout`
    /// seconds (None or -1: no limit), and returns False when they are over. ValueError for another negative timeout,
    /// or a timeout without blocking; OverflowError beyond 292 years. `OwnerDiedWarning` if the process that held it
    /// has died.
    #[pyo3(signature = (blocking=Truth(true), timeout=None), text_signature = "($self, blocking=True, timeout=None)")]
    pub fn acquire(&self, python: Python<'_>, blocking: Truth, timeout: Timeout) -> PyResult<bool> {
        if timeout.is_some() {
            lock_deadline(blocking.0, timeout)?;
        }
        self.take(python, blocking.0, timeout)
    }

    /// Give one hold back; with the last one a waiter goes on. RuntimeError if the caller does not hold the lock.
    #[inline]
    pub fn release(&self, python: Python<'_>) -> PyResult<()> {
        notifying(python, || self.raw.unlock(me(python))).map_err(|failure| match failure {
            ReleaseError::NotHeld => {
                PyRuntimeError::new_err("cannot release un-acquired lock: nobody holds it")
            }
            ReleaseError::NotOwner { pid } if pid == std::process::id() => {
                PyRuntimeError::new_err("cannot release un-acquired lock: another thread or task holds it")
            }
            ReleaseError::NotOwner { pid } => {
                PyRuntimeError::new_err(format!("cannot release un-acquired lock: process {pid} holds it"))
            }
            ReleaseError::Failed(failure) => error(failure),
        })
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
        self.take(python, true, None)
    }

    #[inline]
    pub fn __exit__(
        &self,
        python: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if !value.is_none() && errors::comes_of_deadlock(value) && !self._is_owned(python)? {
            return Ok(());
        }
        self.release(python)
    }

    fn _acquire_now(&self, python: Python<'_>, scoped: bool) -> PyResult<bool> {
        // Every hold of an RLock is its owner's alone, by `with` or not.
        let _ = scoped;
        port::require_loop(python)?;
        self.raw.try_lock(me(python)).map_err(error)
    }

    fn _acquire_later(&self, python: Python<'_>, scoped: bool, timeout: Timeout) -> PyResult<Waiting> {
        let _ = scoped;
        let (raw, name) = (self.raw.clone(), self.name.clone());
        let finish = move |python: Python<'_>, taken| {
            Self::told(python, &raw, name.as_deref(), taken).map(|()| truth(python, true))
        };
        later(python, self.call(python), async_timeout(timeout)?, finish, move |python| {
            Ok(truth(python, false))
        })
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
        &self,
        python: Python<'_>,
        kind: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        self.__exit__(python, kind, value, traceback)?;
        Done::awaitable(python)
    }

    fn _is_owned(&self, python: Python<'_>) -> PyResult<bool> {
        Ok(self._recursion_count(python)? > 0)
    }

    fn _recursion_count(&self, python: Python<'_>) -> PyResult<u32> {
        self.raw.count_of(me(python)).map_err(error)
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
        let (state, count) = (holder(this.raw.owner()), this.raw.count());
        let times = if count > 1 { format!(", {count} times") } else { String::new() };
        Ok(format!("<{}: {state}{times}>", title(slf.as_any(), this.raw.object(), this.name.as_deref())?))
    }
}
