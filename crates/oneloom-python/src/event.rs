//! `Event`.

use oneloom_sync::raw::{EventCall, RawEvent};
use pyo3::prelude::*;

use crate::arguments::{Timeout, lenient_deadline, name};
use crate::describe;
use crate::environment::{notifying, wait};
use crate::port;
use crate::statistics::Statistics;
use crate::waiting::{Held, Holds, Waiting};

/// A flag that threads and coroutines wait for.
#[pyclass(frozen, subclass, weakref, module = "oneloom")]
pub struct Event {
    raw: RawEvent,
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
    #[pyo3(signature = (*, name=None))]
    fn new(name: Option<&str>) -> Self {
        Self { raw: RawEvent::new(self::name(name)) }
    }

    fn is_set(&self) -> bool {
        self.raw.is_set()
    }

    fn set(&self, python: Python<'_>) {
        notifying(python, || self.raw.set());
    }

    fn clear(&self) {
        self.raw.clear();
    }

    #[pyo3(signature = (timeout=None))]
    fn wait(&self, python: Python<'_>, timeout: Timeout) -> PyResult<bool> {
        Ok(wait(python, &self.raw, &mut EventCall, || Ok(lenient_deadline(timeout)))?.is_some())
    }

    fn _wait_now(&self, python: Python<'_>) -> PyResult<bool> {
        port::require_loop(python)?;
        Ok(self.raw.is_set())
    }

    fn _wait_later(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<Waiting> {
        Waiting::yes_or_no(slf.py(), Held(slf.clone().unbind()), EventCall, timeout, |()| true)
    }

    #[getter]
    fn name(&self) -> Option<&str> {
        self.raw.given_name()
    }

    fn statistics(&self) -> Statistics {
        self.raw.statistics().into()
    }

    fn _at_fork_reinit(&self) {
        // Nothing to do: the first use after a fork forgets the parent's waiters.
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let raw = &slf.get().raw;
        let state = if raw.is_set() { "set" } else { "unset" };
        Ok(format!("<{}: {state}>", describe::title(slf.as_any(), raw.given_name())?))
    }
}
