//! `oneloom.shared.Event`.

use std::sync::Arc;

use oneloom_shm::event::{Event, EventCall};
use oneloom_shm::family;
use pyo3::prelude::*;

use super::waiting::{later, wait};
use super::{error, open, reduce, title};
use crate::arguments::{Timeout, lenient_deadline};
use crate::environment::notifying;
use crate::port;
use crate::statistics::SharedStatistics;
use crate::waiting::{Waiting, truth};

/// A flag that threads, coroutines and processes wait for, lowered at first.
///
/// Pass it to a child as an argument, or through a shared queue. `name` is shown in messages. Asking costs one load. If
/// a process dies while it raises the flag, it is up or it is not; nobody waits for ever for one that is up.
///
/// >>> import oneloom.shared
/// >>> ready = oneloom.shared.Event()
/// >>> ready.wait(timeout=0.01)
/// False
/// >>> ready.set()
/// >>> ready.wait()
/// True
#[pyclass(frozen, weakref, module = "oneloom.shared", name = "Event")]
pub struct SharedEvent {
    raw: Arc<Event>,
    name: Option<String>,
}

#[pymethods]
impl SharedEvent {
    #[new]
    #[pyo3(signature = (*, name=None))]
    fn new(python: Python<'_>, name: Option<String>) -> PyResult<Self> {
        // Asking for memory may have to wait for another process.
        let raw = python.detach(|| family::home().and_then(Event::new)).map_err(error)?;
        Ok(Self { raw: Arc::new(raw), name })
    }

    #[staticmethod]
    fn _open(handle: &[u8], name: Option<String>) -> PyResult<Self> {
        Ok(Self { raw: Arc::new(Event::from_object(open(handle)?)), name })
    }

    /// Whether the flag is up.
    fn is_set(&self) -> bool {
        self.raw.is_set()
    }

    /// Raise the flag; everybody who waits goes on, in every process. Raising it again changes nothing.
    fn set(&self, python: Python<'_>) -> PyResult<()> {
        notifying(python, || self.raw.set()).map_err(error)
    }

    /// Lower the flag; whoever waited when it was raised goes on all the same.
    fn clear(&self) {
        self.raw.clear();
    }

    /// Wait until the flag is up, for at most `timeout` seconds (None: no limit); whether it was up in time.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, python: Python<'_>, timeout: Timeout) -> PyResult<bool> {
        if self.raw.is_set() {
            return Ok(true);
        }
        let mut call = EventCall::new(self.raw.clone());
        Ok(wait(python, &mut call, lenient_deadline(timeout))?.is_some())
    }

    fn _wait_now(&self, python: Python<'_>) -> PyResult<bool> {
        port::require_loop(python)?;
        Ok(self.raw.is_set())
    }

    fn _wait_later(&self, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        let finish = move |python: Python<'_>, ()| Ok(truth(python, true));
        later(python, EventCall::new(self.raw.clone()), timeout, finish, move |python| {
            Ok(truth(python, false))
        })
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
        let state = if this.raw.is_set() { "set" } else { "unset" };
        Ok(format!("<{}: {state}>", title(slf.as_any(), this.raw.object(), this.name.as_deref())?))
    }
}
