//! `Semaphore` and `BoundedSemaphore`.

use oneloom_sync::raw::{AcquireCall, Name, OverRelease, RawSemaphore};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::arguments::{Timeout, Truth, Whole, lenient_deadline, name};
use crate::describe;
use crate::environment::{notifying, wait};
use crate::initialised::Initialised;
use crate::port;
use crate::statistics::Statistics;
use crate::waiting::{Done, Held, Holds, Waiting};

/// A number of permits, for threads and coroutines at once.
///
/// `value` permits are there at first; ValueError if it is negative. Permits have no owners: anybody may give one
/// back, and more than there were. Waiters are served as by `Lock`. `name` is shown in messages and dumps.
///
/// >>> import oneloom
/// >>> connections = oneloom.Semaphore(2)
/// >>> with connections:
/// ...     connections.acquire(timeout=0.1)
/// True
/// >>> connections.release()
#[pyclass(frozen, subclass, weakref, dict, module = "oneloom")]
pub struct Semaphore {
    raw: Initialised<RawSemaphore>,
}

impl Holds for Semaphore {
    type Primitive = RawSemaphore;

    fn raw(&self) -> &RawSemaphore {
        &self.raw
    }
}

impl Semaphore {
    fn initialise(&self, value: i64, bounded: bool, name: Option<&str>) -> PyResult<()> {
        let value = u64::try_from(value)
            .map_err(|_| PyValueError::new_err("semaphore initial value must be >= 0"))?;
        self.raw.initialise(RawSemaphore::new(value, bounded.then_some(value), self::name(name)));
        Ok(())
    }
}

#[pymethods]
impl Semaphore {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "(value=1, *, name=None)")]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        Self { raw: Initialised::or(|| RawSemaphore::new(1, None, Name::NONE)) }
    }

    #[pyo3(signature = (value=Whole(1), *, name=None))]
    fn __init__(&self, value: Whole, name: Option<&str>) -> PyResult<()> {
        self.initialise(value.0, false, name)
    }

    /// Take a permit; True if one was taken.
    ///
    /// With `blocking=False`, False at once where there is none. Otherwise waits, for at most `timeout` seconds
    /// (None: no limit; below zero: not at all), and returns False when they are over. ValueError for a timeout
    /// without blocking.
    #[pyo3(signature = (blocking=Truth(true), timeout=None), text_signature = "($self, blocking=True, timeout=None)")]
    fn acquire(&self, python: Python<'_>, blocking: Truth, timeout: Timeout) -> PyResult<bool> {
        if !blocking.0 && timeout.is_some() {
            return Err(PyValueError::new_err("can't specify timeout for non-blocking acquire"));
        }
        let timeout = if blocking.0 { timeout } else { Some(0.0) };
        Ok(wait(python, &*self.raw, &mut AcquireCall, || Ok(lenient_deadline(timeout)))?.is_some())
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
        notifying(python, || self.raw.release(permits))
            .map_err(|OverRelease| PyValueError::new_err("Semaphore released too many times"))
    }

    #[inline]
    fn __enter__(&self, python: Python<'_>) -> PyResult<bool> {
        if !self.raw.try_acquire() {
            wait(python, &*self.raw, &mut AcquireCall, || Ok(lenient_deadline(None)))?;
        }
        Ok(true)
    }

    #[inline]
    fn __exit__(
        &self,
        python: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.release(python, 1)
    }

    fn _acquire_now(&self, python: Python<'_>, scoped: bool) -> PyResult<bool> {
        // Permits have no owners.
        let _ = scoped;
        port::require_loop(python)?;
        Ok(self.raw.try_acquire())
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
        _kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        slf.get().release(slf.py(), 1)?;
        Done::awaitable(slf.py())
    }

    fn _acquire_later(slf: &Bound<'_, Self>, scoped: bool, timeout: Timeout) -> PyResult<Waiting> {
        let _ = scoped;
        Waiting::yes_or_no(slf.py(), Held(slf.clone().unbind()), AcquireCall, timeout, |()| true)
    }

    /// The number of permits that are there now.
    #[getter]
    fn _value(&self) -> u64 {
        self.raw.value()
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
        let bound = raw.bound().map_or_else(String::new, |bound| format!("/{bound}"));
        Ok(format!("<{}: value={}{bound}>", describe::title(slf.as_any(), raw.given_name())?, raw.value()))
    }
}

/// A semaphore that refuses to have more permits than at first.
///
/// >>> import oneloom
/// >>> connections = oneloom.BoundedSemaphore(2)
/// >>> connections.release()
/// Traceback (most recent call last):
///     ...
/// ValueError: Semaphore released too many times
#[pyclass(frozen, subclass, extends = Semaphore, module = "oneloom")]
pub struct BoundedSemaphore;

#[pymethods]
impl BoundedSemaphore {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "(value=1, *, name=None)")]
    fn new(
        _arguments: &Bound<'_, PyTuple>,
        _keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        let base = Semaphore { raw: Initialised::or(|| RawSemaphore::new(1, Some(1), Name::NONE)) };
        PyClassInitializer::from(base).add_subclass(Self)
    }

    #[pyo3(signature = (value=Whole(1), *, name=None))]
    fn __init__(slf: &Bound<'_, Self>, value: Whole, name: Option<&str>) -> PyResult<()> {
        slf.as_super().get().initialise(value.0, true, name)
    }
}
