//! `Ends`: the ends of many futures and threads, as they come, for one thread or coroutine that waits for them.
//!
//! Things of another kind are expected, and told of by `arrive`.

use oneloom_sync::raw::RawOnce;
use oneloom_sync::raw::ends::{ArrivedCall, RawEnds};
use oneloom_wait::wait::Handle;
use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::class::Future;
use crate::arguments::{Timeout, lenient_deadline};
use crate::completion::Completion;
use crate::environment::{notifying, wait};
use crate::port;
use crate::waiting::{Held, Holds, Waiting};

/// What has an end.
pub enum Thing {
    Future(Held<Future>),
    Thread(Held<Completion>),
}

// SAFETY: as for `Held`, one of which it is.
unsafe impl Handle for Thing {
    type Primitive = RawOnce;

    fn primitive(&self) -> &RawOnce {
        match self {
            Self::Future(future) => future.primitive(),
            Self::Thread(completion) => completion.primitive(),
        }
    }
}

/// The ends of many things, by index, as they come. One waits for them.
#[pyclass(frozen, module = "oneloom._native_future")]
pub struct Ends {
    raw: RawEnds<Thing>,
}

impl Holds for Ends {
    type Primitive = RawEnds<Thing>;

    fn raw(&self) -> &RawEnds<Thing> {
        &self.raw
    }
}

#[pymethods]
impl Ends {
    #[new]
    fn new() -> Self {
        Self { raw: RawEnds::default() }
    }

    /// Watches a future, or a thread's completion; its end arrives as `index`.
    fn watch(&self, index: u32, thing: &Bound<'_, PyAny>) -> PyResult<()> {
        let thing = if let Ok(future) = thing.cast::<Future>() {
            future.get().inner().require_pool()?;
            Thing::Future(Held(future.clone().unbind()))
        } else if let Ok(completion) = thing.cast::<Completion>() {
            Thing::Thread(Held(completion.clone().unbind()))
        } else {
            return Err(PyTypeError::new_err("only futures and completions can be watched"));
        };
        self.raw.watch(index, thing);
        Ok(())
    }

    /// Says that something else will end, of which `arrive` tells.
    fn expect(&self, index: u32) {
        self.raw.expect(index);
    }

    /// Says that something else has ended.
    fn arrive(&self, python: Python<'_>, index: u32) {
        notifying(python, || self.raw.arrive(index));
    }

    /// Waits until `count` have arrived that were not taken yet; False when the time was over first.
    #[pyo3(signature = (count, timeout=None))]
    fn wait(&self, python: Python<'_>, count: usize, timeout: Timeout) -> PyResult<bool> {
        let deadline = lenient_deadline(timeout);
        // Something that had arrived before the last look may have set the event since.
        while !self.raw.want(count) {
            if wait(python, &self.raw, &mut ArrivedCall::default(), || Ok(deadline))?.is_none() {
                return Ok(self.raw.want(count));
            }
        }
        Ok(true)
    }

    fn _wait_now(&self, python: Python<'_>, count: usize) -> PyResult<bool> {
        port::require_loop(python)?;
        Ok(self.raw.want(count))
    }

    fn _wait_later(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<Waiting> {
        let call = ArrivedCall::default();
        Waiting::yes_or_no(slf.py(), Held(slf.clone().unbind()), call, timeout, |()| true)
    }

    /// Takes what has arrived, in its order.
    fn take(&self) -> Vec<u32> {
        self.raw.take()
    }

    /// Watches nothing any more.
    fn close(&self) {
        self.raw.close();
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.raw.visit(|thing| match thing {
            Thing::Future(future) => visit.call(&future.0),
            Thing::Thread(completion) => visit.call(&completion.0),
        })
    }

    fn __clear__(&self) {
        self.raw.close();
    }
}
