//! What became of a future: waiting for it, unpacking it, and raising what it ended with.

use std::sync::Arc;

use oneloom_sync::raw::once::DoneCall;
use oneloom_sync::raw::{Name, RawOnce};
use oneloom_wait::clock::Deadline;
use oneloom_wait::fork;
use pyo3::exceptions::{PyBaseException, PyException, PyRuntimeError};
use pyo3::ffi;
use pyo3::prelude::*;

use super::content::{Packing, State};
use super::{Inner, Outcome, Unpack};
use crate::arguments::{Timeout, lenient_deadline};
use crate::environment::{notifying, wait};
use crate::once::intern;
use crate::owner;

/// Whoever waits for less than this, in seconds, does nothing else meanwhile.
const HELPED: f64 = 0.01;

/// How a future has ended.
pub enum End {
    Value(Py<PyAny>),
    Error(Py<PyAny>),
    Cancelled,
}

impl Outcome {
    /// The same, unpacked.
    ///
    /// # Errors
    /// What is no `Exception`, and so not the outcome's own.
    pub(super) fn unpacked(self, python: Python<'_>) -> PyResult<Self> {
        match self {
            Self::Packed(mut packed) => unpack(python, &mut *packed),
            other => Ok(other),
        }
    }
}

fn unpack(python: Python<'_>, packed: &mut dyn Unpack) -> PyResult<Outcome> {
    match packed.unpack(python) {
        Ok(outcome) => outcome.unpacked(python),
        Err(error) if error.is_instance_of::<PyException>(python) => {
            Ok(Outcome::Error(error.into_value(python).into_any()))
        }
        Err(error) => Err(error),
    }
}

impl Inner {
    /// Waits for the end, for at most `timeout` seconds; whether there is one.
    ///
    /// # Errors
    /// `RuntimeError` where nobody can bring an end; what was raised meanwhile.
    pub(super) fn wait(&self, python: Python<'_>, timeout: Timeout) -> PyResult<bool> {
        if self.once.is_done() {
            return Ok(true);
        }
        self.require_pool()?;
        let canceller = self.enter().canceller.clone();
        let is_worth = timeout.is_none_or(|timeout| timeout >= HELPED);
        if let Some(canceller) = canceller.filter(|canceller| is_worth && canceller.can_help()) {
            python.detach(|| canceller.help(&|| self.once.is_done()));
        }
        let mut call = DoneCall::default();
        Ok(wait(python, &self.once, &mut call, || Ok(lenient_deadline(timeout)))?.is_some())
    }

    /// Whether it has ended with an error, as far as that is known.
    pub(super) fn has_failed(&self) -> bool {
        let content = self.enter();
        content.state == State::Finished && (content.will_fail || content.error.is_some())
    }

    /// # Errors
    /// `RuntimeError` in the child of a fork that has not got the pool.
    pub(super) fn require_pool(&self) -> PyResult<()> {
        if self.is_pooled && self.born != fork::generation() && !self.once.is_done() {
            return Err(PyRuntimeError::new_err(
                "the future has no result: its pool did not come along when this process forked",
            ));
        }
        Ok(())
    }

    /// How it ended, once it has.
    ///
    /// # Errors
    /// What was raised meanwhile.
    pub(super) fn end(&self, python: Python<'_>) -> PyResult<End> {
        loop {
            let mut content = self.enter();
            if content.assigned && content.observed.is_some() {
                // Whoever assigns does so under the condition, step by step.
                drop(content);
                self.under_condition(python, None, |_, _| {
                    self.enter().assigned = false;
                    Ok(())
                })?;
                continue;
            }
            if content.state.is_cancelled() {
                return Ok(End::Cancelled);
            }
            if let Some(error) = &content.error {
                return Ok(End::Error(error.clone_ref(python)));
            }
            match &mut content.packing {
                Packing::Open => {
                    let value = content.value.as_ref().map(|value| value.clone_ref(python));
                    return Ok(End::Value(value.unwrap_or_else(|| python.None())));
                }
                Packing::Unpacking(end) => {
                    let end = end.clone();
                    drop(content);
                    wait(python, &*end, &mut DoneCall::default(), || Ok(Deadline::Never))?;
                }
                Packing::Packed(_) => {
                    drop(content);
                    self.unpack(python)?;
                }
            }
        }
    }

    /// Unpacks, unless another thread has begun to.
    fn unpack(&self, python: Python<'_>) -> PyResult<()> {
        let unpacking = Arc::new(RawOnce::new(Name::NONE, "unpacking"));
        unpacking.set_owner(owner::thread(python));
        let found = {
            let mut content = self.enter();
            match &content.packing {
                Packing::Packed(_) => {
                    std::mem::replace(&mut content.packing, Packing::Unpacking(unpacking.clone()))
                }
                _ => Packing::Open,
            }
        };
        let Packing::Packed(mut packed) = found else { return Ok(()) };
        let unpacked = unpack(python, &mut *packed);
        let mut content = self.enter();
        content.packing = Packing::Open;
        // What was there was assigned meanwhile.
        let (unneeded, raised) = match unpacked {
            Ok(Outcome::Error(error)) => (content.error.replace(error), Ok(())),
            Ok(Outcome::Value(value)) => (content.value.replace(value), Ok(())),
            Ok(_) => (None, Ok(())),
            Err(error) => {
                content.packing = Packing::Packed(packed);
                (None, Err(error))
            }
        };
        drop(content);
        drop(unneeded);
        notifying(python, || unpacking.finish());
        raised
    }

    /// Raises what it ended with, as often as asked: each time with the traceback that it came with, so that none grows.
    ///
    /// # Errors
    /// That.
    pub(super) fn raise(&self, error: Bound<'_, PyAny>) -> PyErr {
        let python = error.py();
        if !error.is_instance_of::<PyBaseException>() {
            // A class, or something else that was set: what `raise` makes of it.
            return PyErr::from_value(error);
        }
        let attribute = intern!(python, "__traceback__");
        let known = self.enter().traceback.as_ref().map(|known| known.clone_ref(python));
        let restored = match known {
            Some(traceback) => error.setattr(attribute, traceback),
            None => error.getattr(attribute).map(|traceback| {
                let mut traceback = Some(traceback.unbind());
                let mut content = self.enter();
                if content.traceback.is_none() {
                    content.traceback = traceback.take();
                }
                drop(content);
            }),
        };
        if let Err(failed) = restored {
            return failed;
        }
        // As `raise` does it: what is being handled becomes its context.
        // SAFETY: attached, with an exception and its class.
        unsafe { ffi::PyErr_SetObject(error.get_type().as_ptr().cast(), error.as_ptr()) };
        PyErr::fetch(python)
    }
}
