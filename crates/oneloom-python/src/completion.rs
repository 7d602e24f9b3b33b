//! `Completion`: the end of something, once. `Thread` joins on it.

use oneloom_sync::raw::{Name, RawOnce, once::DoneCall};
use pyo3::prelude::*;

use crate::arguments::{Timeout, lenient_deadline};
use crate::environment::{notifying, wait};
use crate::owner;
use crate::port;
use crate::waiting::{Held, Holds, Waiting};

/// Something that ends once, and whoever waits for that. Knows which thread will end it.
#[pyclass(frozen, module = "oneloom._native")]
pub struct Completion {
    raw: RawOnce,
}

impl Holds for Completion {
    type Primitive = RawOnce;

    fn raw(&self) -> &RawOnce {
        &self.raw
    }
}

#[pymethods]
impl Completion {
    #[new]
    fn new() -> Self {
        Self { raw: RawOnce::new(Name::NONE, "thread") }
    }

    /// Says that the calling thread is the one that will finish.
    fn claim(&self, python: Python<'_>) {
        self.raw.set_owner(owner::thread(python));
    }

    /// Ends it; whoever waits goes on.
    fn finish(&self, python: Python<'_>) {
        notifying(python, || self.raw.finish());
    }

    /// Whether it has ended.
    fn done(&self) -> bool {
        self.raw.is_done()
    }

    /// Waits until it has ended; False when the time was over first.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, python: Python<'_>, timeout: Timeout) -> PyResult<bool> {
        let mut call = DoneCall::default();
        Ok(wait(python, &self.raw, &mut call, || Ok(lenient_deadline(timeout)))?.is_some())
    }

    fn _wait_now(&self, python: Python<'_>) -> PyResult<bool> {
        port::require_loop(python)?;
        Ok(self.raw.is_done())
    }

    fn _wait_later(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<Waiting> {
        let call = DoneCall::default();
        Waiting::yes_or_no(slf.py(), Held(slf.clone().unbind()), call, timeout, |()| true)
    }
}
