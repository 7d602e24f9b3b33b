//! `Lock`, and its drop-in for `threading.Lock`.

use oneloom_sync::raw::{LockCall, RawMutex, ReleaseError};
use oneloom_wait::owner::Owner;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::arguments::{lock_deadline, name};
use crate::environment::{notifying, wait};
use crate::owner;
use crate::port;
use crate::waiting::{Held, Holds, Waiting};

/// Whose the holds are, and who may end them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// The running task's, else the thread's; what `with` took, only its owner may release.
    Unified,
    /// The thread's; anybody may release.
    DropIn,
}

/// A mutual exclusion lock for threads and coroutines at once.
#[pyclass(frozen, subclass, weakref, module = "oneloom")]
pub struct Lock {
    raw: RawMutex,
    rules: Rules,
}

impl Holds for Lock {
    type Primitive = RawMutex;

    fn raw(&self) -> &RawMutex {
        &self.raw
    }
}

impl Lock {
    #[inline]
    fn owner(&self, python: Python<'_>) -> Owner {
        match self.rules {
            Rules::Unified => owner::current(python),
            Rules::DropIn => owner::thread(python),
        }
    }

    #[inline]
    fn call(&self, python: Python<'_>, scoped: bool) -> LockCall {
        LockCall { owner: self.owner(python), scoped: scoped && self.rules == Rules::Unified }
    }
}

#[pymethods]
impl Lock {
    #[new]
    #[pyo3(signature = (*, name=None))]
    fn new(name: Option<&str>) -> Self {
        Self { raw: RawMutex::new(self::name(name)), rules: Rules::Unified }
    }

    #[pyo3(signature = (blocking=true, timeout=None))]
    fn acquire(&self, python: Python<'_>, blocking: bool, timeout: Option<f64>) -> PyResult<bool> {
        let mut call = self.call(python, false);
        if timeout.is_some() {
            lock_deadline(blocking, timeout)?;
        }
        Ok(wait(python, &self.raw, &mut call, || lock_deadline(blocking, timeout))?.is_some())
    }

    fn release(&self, python: Python<'_>) -> PyResult<()> {
        notifying(python, || self.raw.release(|| self.owner(python))).map_err(|error| match error {
            ReleaseError::NotHeld => PyRuntimeError::new_err("release unlocked lock"),
            ReleaseError::NotOwner(_) => PyRuntimeError::new_err(
                "this lock is held by a `with` block of another thread or task, and only that may release it",
            ),
        })
    }

    fn locked(&self) -> bool {
        self.raw.is_locked()
    }

    #[inline]
    fn __enter__(&self, python: Python<'_>) -> PyResult<bool> {
        let mut call = self.call(python, true);
        if self.raw.try_lock(call.owner, call.scoped) {
            return Ok(true);
        }
        wait(python, &self.raw, &mut call, || lock_deadline(true, None))?;
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
        self.release(python)
    }

    #[pyo3(signature = (scoped))]
    fn _acquire_now(&self, python: Python<'_>, scoped: bool) -> PyResult<bool> {
        port::require_loop(python)?;
        let call = self.call(python, scoped);
        Ok(self.raw.try_lock(call.owner, call.scoped))
    }

    #[pyo3(signature = (scoped, timeout=None))]
    fn _acquire_later(slf: &Bound<'_, Self>, scoped: bool, timeout: Option<f64>) -> PyResult<Waiting> {
        let python = slf.py();
        if let Some(timeout) = timeout {
            lock_deadline(true, Some(timeout))?;
        }
        let call = slf.get().call(python, scoped);
        let timeout = timeout.filter(|timeout| *timeout != -1.0);
        Waiting::yes_or_no(python, Held(slf.clone().unbind()), call, timeout, |()| true)
    }

    #[getter]
    fn name(&self) -> Option<&str> {
        self.raw.given_name()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let state = if slf.get().raw.is_locked() { "locked" } else { "unlocked" };
        let name = slf.get().raw.given_name().map_or_else(String::new, |name| format!("'{name}' "));
        Ok(format!("<{state} oneloom.{} object {name}at {:#x}>", slf.get_type().name()?, slf.as_ptr() as usize))
    }
}

/// `threading.Lock`: owned by the thread, released by anybody.
#[pyclass(frozen, subclass, extends = Lock, module = "oneloom", name = "Lock")]
pub struct DropInLock;

#[pymethods]
impl DropInLock {
    #[new]
    #[pyo3(signature = (*, name=None))]
    fn new(name: Option<&str>) -> PyClassInitializer<Self> {
        let base = Lock { raw: RawMutex::new(self::name(name)), rules: Rules::DropIn };
        PyClassInitializer::from(base).add_subclass(Self)
    }
}
