//! `oneloom.shared.Semaphore` and `BoundedSemaphore`.

use std::sync::Arc;

use oneloom_shm::family;
use oneloom_shm::mutex::Taken;
use oneloom_shm::semaphore::{AcquireCall, ReleaseError, Returned, Semaphore};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use super::waiting::{later, wait};
use super::{error, open, reduce, title, warn_of_death};
use crate::arguments::{Timeout, Truth, Whole, lenient_deadline};
use crate::describe::quoted;
use crate::environment::notifying;
use crate::port;
use crate::statistics::SharedStatistics;
use crate::waiting::{Done, Waiting, truth};

/// A number of permits, for threads, coroutines and processes at once.
///
/// `value` permits are there at first; ValueError if it is negative. A permit that `with` or `async with` took is its
/// process's: if that dies, whoever gets the permit next gets an `OwnerDiedWarning`, too, since what it stands for may
/// be half-used. Permits that a bare `acquire` took have no owners: anybody may give one back, and more than there
/// were, and the death of whoever took one brings none back. `name` is shown in messages.
///
/// >>> import oneloom.shared
/// >>> connections = oneloom.shared.Semaphore(2)
/// >>> with connections:
/// ...     connections.acquire(timeout=0.1)
/// True
/// >>> connections.release()
#[pyclass(frozen, subclass, weakref, module = "oneloom.shared", name = "Semaphore")]
pub struct SharedSemaphore {
    raw: Arc<Semaphore>,
    name: Option<String>,
}

impl SharedSemaphore {
    fn with(python: Python<'_>, value: Whole, bounded: bool, name: Option<String>) -> PyResult<Self> {
        let value = u64::try_from(value.0)
            .map_err(|_| PyValueError::new_err("semaphore initial value must be >= 0"))?;
        // Asking for memory may have to wait for another process.
        let made = python.detach(|| family::home().and_then(|home| Semaphore::new(home, value, bounded)));
        Ok(Self { raw: Arc::new(made.map_err(error)?), name })
    }

    fn opened(handle: &[u8], name: Option<String>) -> PyResult<Self> {
        Ok(Self { raw: Arc::new(Semaphore::from_object(open(handle)?)), name })
    }

    /// Tells whoever got a permit of the dead. Where warnings are errors, gives it back first.
    fn told(
        python: Python<'_>,
        raw: &Semaphore,
        name: Option<&str>,
        scoped: bool,
        taken: Taken,
    ) -> PyResult<()> {
        if taken == Taken::Clean {
            return Ok(());
        }
        let words = format!(
            "a process that held a permit of the shared semaphore {}has died, and this is that permit: what it \
             stands for may be half-used",
            quoted(name)
        );
        warn_of_death(python, &words).inspect_err(|_| {
            let returned = if scoped { Returned::Scoped } else { Returned::Plainly(1) };
            // It was just taken, so this can't fail but for shared memory itself.
            let _ = Self::give_back(python, raw, returned);
        })
    }

    fn give_back(python: Python<'_>, raw: &Semaphore, returned: Returned) -> Result<(), ReleaseError> {
        if notifying(python, || raw.try_release(returned))? {
            Ok(())
        } else {
            python.detach(|| raw.release(returned))
        }
    }

    fn take(&self, python: Python<'_>, scoped: bool, timeout: Timeout) -> PyResult<bool> {
        let mut taken = self.raw.try_acquire(scoped).map_err(error)?;
        if taken.is_none() {
            let mut call = AcquireCall { semaphore: self.raw.clone(), scoped };
            taken = wait(python, &mut call, lenient_deadline(timeout))?;
        }
        let Some(taken) = taken else { return Ok(false) };
        Self::told(python, &self.raw, self.name.as_deref(), scoped, taken)?;
        Ok(true)
    }

    fn returned(&self, python: Python<'_>, returned: Returned) -> PyResult<()> {
        Self::give_back(python, &self.raw, returned).map_err(|failure| match failure {
            ReleaseError::TooMany => PyValueError::new_err("Semaphore released too many times"),
            ReleaseError::NotHeld => PyRuntimeError::new_err(
                "no permit of this semaphore was taken by `with` in this process, so there is none to give back: \
                 the child of a fork does not hold what its parent does",
            ),
            ReleaseError::Failed(failure) => error(failure),
        })
    }
}

#[pymethods]
impl SharedSemaphore {
    #[new]
    #[pyo3(signature = (value=Whole(1), *, name=None), text_signature = "(value=1, *, name=None)")]
    fn new(python: Python<'_>, value: Whole, name: Option<String>) -> PyResult<Self> {
        Self::with(python, value, false, name)
    }

    #[staticmethod]
    fn _open(handle: &[u8], name: Option<String>) -> PyResult<Self> {
        Self::opened(handle, name)
    }

    /// Take a permit; True if one was taken.
    ///
    /// With `blocking=False`, False at once where there is none. Otherwise waits, for at most `timeout` seconds
    /// (None: no limit; below zero: not at all), and returns False when they are over. ValueError for a timeout
    /// without blocking. `OwnerDiedWarning` for a permit that `with` took in a process that has died.
    #[pyo3(signature = (blocking=Truth(true), timeout=None), text_signature = "($self, blocking=True, timeout=None)")]
    fn acquire(&self, python: Python<'_>, blocking: Truth, timeout: Timeout) -> PyResult<bool> {
        if !blocking.0 && timeout.is_some() {
            return Err(PyValueError::new_err("can't specify timeout for non-blocking acquire"));
        }
        self.take(python, false, if blocking.0 { timeout } else { Some(0.0) })
    }

    /// Give `n` permits back; as many waiters go on.
    ///
    /// ValueError if `n` is below one, or if a `BoundedSemaphore` would have more permits than at first.
    #[pyo3(signature = (n=1))]
    fn release(&self, python: Python<'_>, n: i64) -> PyResult<()> {
        let permits = u64::try_from(n)
            .ok()
            .filter(|permits| *permits > 0)
            .ok_or_else(|| PyValueError::new_err("n must be one or more"))?;
        self.returned(python, Returned::Plainly(permits))
    }

    #[inline]
    fn __enter__(&self, python: Python<'_>) -> PyResult<bool> {
        self.take(python, true, None)
    }

    #[inline]
    fn __exit__(
        &self,
        python: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.returned(python, Returned::Scoped)
    }

    fn _acquire_now(&self, python: Python<'_>, scoped: bool) -> PyResult<bool> {
        port::require_loop(python)?;
        let Some(taken) = self.raw.try_acquire(scoped).map_err(error)? else { return Ok(false) };
        Self::told(python, &self.raw, self.name.as_deref(), scoped, taken)?;
        Ok(true)
    }

    fn _acquire_later(&self, python: Python<'_>, scoped: bool, timeout: Timeout) -> PyResult<Waiting> {
        let call = AcquireCall { semaphore: self.raw.clone(), scoped };
        let (raw, name) = (self.raw.clone(), self.name.clone());
        let finish = move |python: Python<'_>, taken| {
            Self::told(python, &raw, name.as_deref(), scoped, taken).map(|()| truth(python, true))
        };
        later(python, call, timeout, finish, move |python| Ok(truth(python, false)))
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
        _kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        self.returned(python, Returned::Scoped)?;
        Done::awaitable(python)
    }

    /// The number of permits that are there now.
    #[getter]
    fn _value(&self) -> u64 {
        self.raw.value()
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
        reduce(slf.as_any(), slf.get().raw.object(), slf.get().name.as_deref())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        let bound = this.raw.bound().map_or_else(String::new, |bound| format!("/{bound}"));
        let title = title(slf.as_any(), this.raw.object(), this.name.as_deref())?;
        Ok(format!("<{title}: value={}{bound}>", this.raw.value()))
    }
}

/// A semaphore that refuses to have more permits than at first.
///
/// >>> import oneloom.shared
/// >>> connections = oneloom.shared.BoundedSemaphore(2)
/// >>> connections.release()
/// Traceback (most recent call last):
///     ...
/// ValueError: Semaphore released too many times
#[pyclass(frozen, extends = SharedSemaphore, module = "oneloom.shared", name = "BoundedSemaphore")]
pub struct SharedBoundedSemaphore;

#[pymethods]
impl SharedBoundedSemaphore {
    #[new]
    #[pyo3(signature = (value=Whole(1), *, name=None), text_signature = "(value=1, *, name=None)")]
    fn new(python: Python<'_>, value: Whole, name: Option<String>) -> PyResult<PyClassInitializer<Self>> {
        let base = SharedSemaphore::with(python, value, true, name)?;
        Ok(PyClassInitializer::from(base).add_subclass(Self))
    }

    #[staticmethod]
    fn _open(python: Python<'_>, handle: &[u8], name: Option<String>) -> PyResult<Py<Self>> {
        let base = SharedSemaphore::opened(handle, name)?;
        Py::new(python, PyClassInitializer::from(base).add_subclass(Self))
    }
}
