//! `Barrier`.

use std::ops::Deref;

use oneloom_sync::raw::Name;
use oneloom_sync::raw::barrier::{ArriveCall, Arrived, Broken, RawBarrier};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::arguments::{Timeout, Whole, lenient_deadline, name};
use crate::describe;
use crate::environment::{notifying, wait};
use crate::errors;
use crate::initialised::Initialised;
use crate::port;
use crate::statistics::Statistics;
use crate::waiting::{Held, Holds, Waiting};

/// A meeting point for a fixed number of threads and coroutines.
///
/// `parties` wait for each other, and then all go on; ValueError below one, TypeError for an `action` that can't be
/// called. `action`, a callable, is called by the last to arrive, before the others go on; where it raises, the
/// barrier breaks. `timeout` in seconds is the default for `wait`. `name` is shown in messages and dumps.
///
/// >>> import oneloom
/// >>> barrier = oneloom.Barrier(2)
/// >>> other = oneloom.Thread(target=barrier.wait)
/// >>> other.start()
/// >>> sorted([barrier.wait(), other.result()])
/// [0, 1]
#[pyclass(frozen, subclass, weakref, dict, module = "oneloom")]
pub struct Barrier(Initialised<Content>);

/// What a barrier is made of.
pub struct Content {
    raw: RawBarrier,
    action: Option<Py<PyAny>>,
    timeout: Timeout,
}

impl Deref for Barrier {
    type Target = Content;

    fn deref(&self) -> &Content {
        &self.0
    }
}

impl Holds for Barrier {
    type Primitive = RawBarrier;

    fn raw(&self) -> &RawBarrier {
        &self.raw
    }
}

fn broken(python: Python<'_>) -> PyErr {
    errors::BROKEN_BARRIER.error(python)
}

impl Barrier {
    /// What the last party does before the others go on.
    fn act(&self, python: Python<'_>, round: u64) -> PyResult<()> {
        let acted = match &self.action {
            Some(action) => action.call0(python).map(drop),
            None => Ok(()),
        };
        if let Err(error) = acted {
            notifying(python, || self.raw.abort_round(round));
            return Err(error);
        }
        notifying(python, || self.raw.release(round)).map_err(|Broken| broken(python))
    }

    fn passed(&self, python: Python<'_>, arrived: Result<Arrived, Broken>) -> PyResult<u32> {
        match arrived {
            Err(Broken) => Err(broken(python)),
            Ok(Arrived::Passed { index }) => Ok(index),
            Ok(Arrived::Last { index, round }) => self.act(python, round).map(|()| index),
        }
    }
}

#[pymethods]
impl Barrier {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "(parties, action=None, timeout=None, *, name=None)")]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        Self(Initialised::or(|| Content { raw: RawBarrier::new(1, Name::NONE), action: None, timeout: None }))
    }

    #[pyo3(signature = (parties, action=None, timeout=None, *, name=None))]
    fn __init__(
        &self,
        python: Python<'_>,
        parties: Whole,
        action: Option<Py<PyAny>>,
        timeout: Timeout,
        name: Option<&str>,
    ) -> PyResult<()> {
        let parties = u32::try_from(parties.0)
            .ok()
            .filter(|parties| (1..=RawBarrier::MAXIMUM).contains(parties))
            .ok_or_else(|| PyValueError::new_err("parties must be > 0"))?;
        if action.as_ref().is_some_and(|action| !action.bind(python).is_callable()) {
            return Err(PyTypeError::new_err("action must be callable"));
        }
        self.0.initialise(Content { raw: RawBarrier::new(parties, self::name(name)), action, timeout });
        Ok(())
    }

    /// Wait until all parties have arrived; which one this was, from 0 to `parties` - 1.
    ///
    /// Waits for at most `timeout` seconds (None: the barrier's own); when they are over, or an exception ends the
    /// wait, the barrier is broken for all. `threading.BrokenBarrierError` if it is broken, or was reset meanwhile.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, python: Python<'_>, timeout: Timeout) -> PyResult<u32> {
        let timeout = timeout.or(self.timeout);
        let mut call = ArriveCall::new(self.action.is_some());
        let waited = wait(python, &self.raw, &mut call, || Ok(lenient_deadline(timeout)));
        match waited {
            Ok(Some(arrived)) => self.passed(python, arrived),
            Ok(None) => {
                notifying(python, || call.leave(&self.raw));
                Err(broken(python))
            }
            Err(error) => {
                notifying(python, || call.leave(&self.raw));
                Err(error)
            }
        }
    }

    fn _wait_later(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<Waiting> {
        let this = slf.get();
        let finish = |python: Python<'_>, barrier: &Held<Self>, arrived| {
            let index = barrier.0.get().passed(python, arrived)?;
            Ok(index.into_pyobject(python)?.into_any().unbind())
        };
        // A cancelled task has merely not arrived, as in asyncio; one whose time is over breaks the barrier, as
        // in threading.
        let mut call = ArriveCall::new(this.action.is_some());
        call.breaks = false;
        let late = |python: Python<'_>, barrier: &Held<Self>| {
            notifying(python, || barrier.0.get().raw.abort());
            Err(broken(python))
        };
        Waiting::around(slf.py(), Held(slf.clone().unbind()), call, timeout.or(this.timeout), finish, late)
    }

    fn _require_loop(&self, python: Python<'_>) -> PyResult<()> {
        port::require_loop(python)
    }

    /// Make the barrier empty and whole again; whoever waits gets `BrokenBarrierError`.
    fn reset(&self, python: Python<'_>) {
        notifying(python, || self.raw.reset());
    }

    /// Break the barrier: whoever waits, or comes later, gets `BrokenBarrierError` until `reset`.
    fn abort(&self, python: Python<'_>) {
        notifying(python, || self.raw.abort());
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
        let title = describe::title(slf.as_any(), raw.given_name())?;
        if raw.is_broken() {
            return Ok(format!("<{title}: broken>"));
        }
        Ok(format!("<{title}: waiters={}/{}>", raw.waiting(), raw.parties()))
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        let action = self.0.get().and_then(|content| content.action.as_ref());
        action.map_or(Ok(()), |action| visit.call(action))
    }
}
