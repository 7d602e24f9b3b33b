//! `oneloom.shared.Barrier`.

use std::sync::Arc;

use oneloom_shm::barrier::{ArriveCall, Arrived, Barrier, Broken, MAXIMUM};
use oneloom_shm::family;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use super::waiting::{later, wait};
use super::{error, open, reduce_with, title};
use crate::arguments::{Timeout, Whole, lenient_deadline};
use crate::errors;
use crate::port;
use crate::statistics::SharedStatistics;
use crate::waiting::Waiting;

/// A meeting point for a fixed number of threads, coroutines and processes.
///
/// `parties` wait for each other, and then all go on; ValueError below one or above 1048576, TypeError for an `action`
/// that can't be called. `action`, a callable, is called by the last to arrive, before the others go on; where it
/// raises, the barrier breaks. `timeout` in seconds is the default for `wait`. `name` is shown in messages. Passed to
/// another process, it brings `action` along, which must pickle unless the process is forked.
///
/// A process that dies while one of its parties waits, or calls `action`, breaks the barrier for the others.
///
/// >>> import oneloom, oneloom.shared
/// >>> barrier = oneloom.shared.Barrier(2)
/// >>> other = oneloom.Thread(target=barrier.wait)
/// >>> other.start()
/// >>> sorted([barrier.wait(), other.result()])
/// [0, 1]
#[pyclass(frozen, weakref, module = "oneloom.shared", name = "Barrier")]
pub struct SharedBarrier {
    raw: Arc<Barrier>,
    action: Option<Py<PyAny>>,
    timeout: Timeout,
    name: Option<String>,
}

fn broken(python: Python<'_>) -> PyErr {
    errors::BROKEN_BARRIER.error(python)
}

/// What the last party does before the others go on.
fn act(python: Python<'_>, raw: &Barrier, action: Option<&Py<PyAny>>, round: u64) -> PyResult<()> {
    let acted = action.map_or(Ok(()), |action| action.call0(python).map(drop));
    if let Err(raised) = acted {
        python.detach(|| raw.abort_round(round)).map_err(error)?;
        return Err(raised);
    }
    python.detach(|| raw.release(round)).map_err(error)?.map_err(|Broken| broken(python))
}

fn passed(
    python: Python<'_>,
    raw: &Barrier,
    action: Option<&Py<PyAny>>,
    arrived: Result<Arrived, Broken>,
) -> PyResult<u32> {
    match arrived {
        Err(Broken) => Err(broken(python)),
        Ok(Arrived::Passed { index }) => Ok(index),
        Ok(Arrived::Last { index, round }) => act(python, raw, action, round).map(|()| index),
    }
}

#[pymethods]
impl SharedBarrier {
    #[new]
    #[pyo3(signature = (parties, action=None, timeout=None, *, name=None))]
    fn new(
        python: Python<'_>,
        parties: Whole,
        action: Option<Py<PyAny>>,
        timeout: Timeout,
        name: Option<String>,
    ) -> PyResult<Self> {
        if parties.0 < 1 {
            return Err(PyValueError::new_err("parties must be > 0"));
        }
        let parties =
            u32::try_from(parties.0).ok().filter(|parties| *parties <= MAXIMUM).ok_or_else(|| {
                PyValueError::new_err(format!("a shared barrier has at most {MAXIMUM} parties"))
            })?;
        if action.as_ref().is_some_and(|action| !action.bind(python).is_callable()) {
            return Err(PyTypeError::new_err("action must be callable"));
        }
        // Asking for memory may have to wait for another process.
        let raw = python.detach(|| family::home().and_then(|home| Barrier::new(home, parties)));
        Ok(Self { raw: Arc::new(raw.map_err(error)?), action, timeout, name })
    }

    #[staticmethod]
    fn _open(
        handle: &[u8],
        name: Option<String>,
        action: Option<Py<PyAny>>,
        timeout: Timeout,
    ) -> PyResult<Self> {
        Ok(Self { raw: Arc::new(Barrier::from_object(open(handle)?)), action, timeout, name })
    }

    /// Wait until all parties have arrived; which one this was, from 0 to `parties` - 1.
    ///
    /// Waits for at most `timeout` seconds (None: the barrier's own); when they are over, or an exception ends the
    /// wait, the barrier is broken for all. `threading.BrokenBarrierError` if it is broken, or was reset meanwhile, or
    /// if a process that waits here has died.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, python: Python<'_>, timeout: Timeout) -> PyResult<u32> {
        let deadline = lenient_deadline(timeout.or(self.timeout));
        let mut call = ArriveCall::new(self.raw.clone(), self.action.is_some(), true);
        let waited = wait(python, &mut call, deadline);
        if let Ok(Some(arrived)) = waited {
            return passed(python, &self.raw, self.action.as_ref(), arrived);
        }
        python.detach(|| call.leave()).map_err(error)?;
        Err(waited.err().unwrap_or_else(|| broken(python)))
    }

    fn _wait_later(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<Waiting> {
        let this = slf.get();
        let (raw, again) = (this.raw.clone(), this.raw.clone());
        let action = this.action.as_ref().map(|action| action.clone_ref(slf.py()));
        let finish = move |python: Python<'_>, arrived| {
            let index = passed(python, &raw, action.as_ref(), arrived)?;
            Ok(index.into_pyobject(python)?.into_any().unbind())
        };
        // A cancelled task has merely not arrived, as in asyncio; one whose time is over breaks the barrier, as
        // in threading.
        let call = ArriveCall::new(this.raw.clone(), this.action.is_some(), false);
        let late = move |python: Python<'_>| {
            python.detach(|| again.abort()).map_err(error)?;
            Err(broken(python))
        };
        later(slf.py(), call, timeout.or(this.timeout), finish, late)
    }

    fn _require_loop(&self, python: Python<'_>) -> PyResult<()> {
        port::require_loop(python)
    }

    /// Make the barrier empty and whole again; whoever waits gets `BrokenBarrierError`.
    fn reset(&self, python: Python<'_>) -> PyResult<()> {
        python.detach(|| self.raw.reset()).map_err(error)
    }

    /// Break the barrier: whoever waits, or comes later, gets `BrokenBarrierError` until `reset`.
    fn abort(&self, python: Python<'_>) -> PyResult<()> {
        python.detach(|| self.raw.abort()).map_err(error)
    }

    /// How many must arrive.
    #[getter]
    fn parties(&self) -> u32 {
        self.raw.parties()
    }

    /// How many have arrived and wait.
    #[getter]
    fn n_waiting(&self) -> u32 {
        self.raw.waiting()
    }

    /// Whether the barrier is broken.
    #[getter]
    fn broken(&self) -> bool {
        self.raw.is_broken()
    }

    /// Who waits now; see `Statistics`.
    fn statistics(&self) -> SharedStatistics {
        SharedStatistics { waiting: self.raw.waiting_at_all() }
    }

    /// The name that was given, for messages; None without one.
    #[getter]
    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let (python, this) = (slf.py(), slf.get());
        let action = this.action.as_ref().map_or_else(|| python.None(), |action| action.clone_ref(python));
        let timeout = this.timeout.into_pyobject(python)?.unbind();
        reduce_with(slf.as_any(), this.raw.object(), this.name.as_deref(), vec![action, timeout])
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        let title = title(slf.as_any(), this.raw.object(), this.name.as_deref())?;
        if this.raw.is_broken() {
            return Ok(format!("<{title}: broken>"));
        }
        Ok(format!("<{title}: waiters={}/{}>", this.raw.waiting(), this.raw.parties()))
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.action.as_ref().map_or(Ok(()), |action| visit.call(action))
    }
}
