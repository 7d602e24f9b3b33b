//! `Event`.

use std::sync::OnceLock;

use oneloom_sync::raw::{EventCall, Name, RawEvent};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::arguments::{Timeout, lenient_deadline, name};
use crate::condition::DropInCondition;
use crate::describe;
use crate::environment::{notifying, wait};
use crate::initialised::Initialised;
use crate::lock::DropInLock;
use crate::port;
use crate::statistics::Statistics;
use crate::waiting::{Held, Holds, Waiting};

/// A flag that threads and coroutines wait for, lowered at first.
///
/// `name` is shown in messages and dumps. Asking costs one load; raising a flag that nobody waits for, one atomic
/// instruction.
///
/// >>> import oneloom
/// >>> ready = oneloom.Event()
/// >>> ready.wait(timeout=0.01)
/// False
/// >>> ready.set()
/// >>> ready.wait()
/// True
#[pyclass(frozen, subclass, weakref, dict, module = "oneloom")]
pub struct Event {
    raw: Initialised<RawEvent>,
    condition: OnceLock<Py<PyAny>>,
}

impl Holds for Event {
    type Primitive = RawEvent;

    fn raw(&self) -> &RawEvent {
        &self.raw
    }
}

#[pymethods]
impl Event {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "(*, name=None)")]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        Self { raw: Initialised::or(|| RawEvent::new(Name::NONE)), condition: OnceLock::new() }
    }

    #[pyo3(signature = (*, name=None))]
    fn __init__(&self, name: Option<&str>) {
        self.raw.initialise(RawEvent::new(self::name(name)));
    }

    /// Whether the flag is up.
    fn is_set(&self) -> bool {
        self.raw.is_set()
    }

    /// Raise the flag; everybody who waits goes on. Raising it again changes nothing.
    fn set(&self, python: Python<'_>) {
        notifying(python, || self.raw.set());
    }

    /// Lower the flag; whoever was woken before goes on all the same.
    fn clear(&self) {
        self.raw.clear();
    }

    /// Wait until the flag is up, for at most `timeout` seconds (None: no limit); whether it was up in time.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, python: Python<'_>, timeout: Timeout) -> PyResult<bool> {
        Ok(wait(python, &*self.raw, &mut EventCall, || Ok(lenient_deadline(timeout)))?.is_some())
    }

    fn _wait_now(&self, python: Python<'_>) -> PyResult<bool> {
        port::require_loop(python)?;
        Ok(self.raw.is_set())
    }

    fn _wait_later(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<Waiting> {
        Waiting::yes_or_no(slf.py(), Held(slf.clone().unbind()), EventCall, timeout, |()| true)
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

    /// The first use after a fork forgets the parent's waiters by itself; what is left is the lock below.
    fn _at_fork_reinit(&self, python: Python<'_>) -> PyResult<()> {
        self._cond(python)?.call_method0(python, "_at_fork_reinit").map(drop)
    }

    /// A condition around nothing, for programs that borrow the standard event's own to lock something.
    #[getter]
    fn _cond(&self, python: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.condition.get().is_none() {
            let lock = Bound::new(python, DropInLock::named(None))?;
            let made = python.get_type::<DropInCondition>().call1((lock,))?.unbind();
            // Somebody may have been faster.
            drop(self.condition.set(made));
        }
        Ok(self.condition.get().map_or_else(|| python.None(), |made| made.clone_ref(python)))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let raw = &slf.get().raw;
        let state = if raw.is_set() { "set" } else { "unset" };
        Ok(format!("<{}: {state}>", describe::title(slf.as_any(), raw.given_name())?))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if self.raw.is_written() { visit.call(self.condition.get()) } else { Ok(()) }
    }
}
