//! The native `Future`: what Python sees of a promise. `oneloom.Future` inherits from it and from the standard library's.

use oneloom_sync::raw::RawOnce;
use oneloom_sync::raw::once::DoneCall;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration, PyTimeoutError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use std::sync::Arc;

use super::content::{Content, Packing, State};
use super::ending::ended_already;
use super::observed::{Observed, observe};
use super::reading::End;
use super::{ADOPTED, Inner, Outcome, Promise};
use crate::arguments::{Timeout, Truth};
use crate::environment::notifying;
use crate::errors::{ASYNC_CANCELLED, CANCELLED, generic_alias};
use crate::port;
use crate::waiting::{Held, Holds, Waiting};

/// What a call will come to; see `oneloom.Future`.
#[pyclass(frozen, subclass, module = "oneloom._native_future")]
pub struct Future {
    promise: Promise,
}

impl Holds for Future {
    type Primitive = RawOnce;

    fn raw(&self) -> &RawOnce {
        &self.inner().once
    }
}

impl Future {
    pub(super) fn inner(&self) -> &Inner {
        &self.promise.0
    }

    fn state(&self) -> State {
        self.inner().state()
    }

    fn ended(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<End> {
        let inner = slf.get().inner();
        if !inner.wait(slf.py(), timeout)? {
            let text = format!("{} has not ended within {} s", slf.repr()?, timeout.unwrap_or_default());
            return Err(PyTimeoutError::new_err(text));
        }
        inner.end(slf.py())
    }

    /// What a coroutine that awaits it gets.
    fn awaited(&self, python: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.inner().end(python)? {
            End::Value(value) => Ok(value),
            End::Error(error) => Err(not_a_value(python, self.inner().raise(error.into_bound(python)))),
            End::Cancelled => Err(ASYNC_CANCELLED.error(python)),
        }
    }

    fn set(slf: &Bound<'_, Self>, outcome: Outcome) -> PyResult<()> {
        if slf.get().inner().finish(slf.py(), Some(slf), outcome)? {
            Ok(())
        } else {
            Err(ended_already(slf)?)
        }
    }

    /// Assigns from outside what stands behind the gate; gives what is to be dropped outside.
    fn assign<T>(&self, act: impl FnOnce(&mut Content) -> T) {
        let mut content = self.inner().enter();
        content.assigned = true;
        let unneeded = act(&mut content);
        drop(content);
        drop(unneeded);
    }
}

#[pymethods]
impl Future {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "()")]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        let adopted = ADOPTED.take();
        let promise =
            adopted.unwrap_or_else(|| Promise(Arc::new(Inner::new(Content::new(None, None), false, None))));
        Self { promise }
    }

    fn __init__(&self) {}

    /// Whether it has ended: it has an outcome, or was cancelled.
    fn done(&self) -> bool {
        self.state().has_ended()
    }

    /// Whether it was cancelled.
    fn cancelled(&self) -> bool {
        self.state().is_cancelled()
    }

    /// Whether its task runs now.
    fn running(&self) -> bool {
        self.state() == State::Running
    }

    /// Wait for the outcome, for at most `timeout` seconds (None: no limit): give the value, or raise the exception.
    ///
    /// TimeoutError when the time is over, CancelledError if it was cancelled, DeadlockError if it can never end.
    #[pyo3(signature = (timeout=None))]
    fn result(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<Py<PyAny>> {
        match Self::ended(slf, timeout)? {
            End::Value(value) => Ok(value),
            End::Error(error) => Err(slf.get().inner().raise(error.into_bound(slf.py()))),
            End::Cancelled => Err(CANCELLED.error(slf.py())),
        }
    }

    /// Wait for the outcome, for at most `timeout` seconds (None: no limit): the exception, None if there is a value.
    ///
    /// Raises as `result` does, but for the exception.
    #[pyo3(signature = (timeout=None))]
    fn exception(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<Option<Py<PyAny>>> {
        match Self::ended(slf, timeout)? {
            End::Value(_) => Ok(None),
            End::Error(error) => Ok(Some(error)),
            End::Cancelled => Err(CANCELLED.error(slf.py())),
        }
    }

    /// Cancel it, if its task does not run yet; with `running=True` a running one as well, where its pool can end it.
    /// Whether it is cancelled.
    #[pyo3(signature = (running=Truth(false)), text_signature = "(self, running=False)")]
    fn cancel(slf: &Bound<'_, Self>, running: Truth) -> PyResult<bool> {
        slf.get().inner().cancel(slf.py(), slf, running.0)
    }

    /// Have `fn` called with this future when it ends; at once, if it has.
    ///
    /// It is called by whoever brings the end. An exception in it is logged by the logger `concurrent.futures`.
    #[pyo3(signature = (r#fn))]
    fn add_done_callback(slf: &Bound<'_, Self>, r#fn: Bound<'_, PyAny>) -> PyResult<()> {
        slf.get().inner().add_callback(slf, r#fn)
    }

    /// Bring a value. InvalidStateError if there is an end already.
    fn set_result(slf: &Bound<'_, Self>, result: Py<PyAny>) -> PyResult<()> {
        Self::set(slf, Outcome::Value(result))
    }

    /// Bring an exception. InvalidStateError if there is an end already.
    fn set_exception(slf: &Bound<'_, Self>, exception: Py<PyAny>) -> PyResult<()> {
        let outcome =
            if exception.is_none(slf.py()) { Outcome::Value(exception) } else { Outcome::Error(exception) };
        Self::set(slf, outcome)
    }

    /// Say that the task runs from now on; False if it was cancelled, so that it must not.
    ///
    /// RuntimeError if it runs already, or has ended.
    fn set_running_or_notify_cancel(slf: &Bound<'_, Self>) -> PyResult<bool> {
        slf.get().inner().start(slf.py(), slf)
    }

    /// Waits for the end, for at most `timeout` seconds; whether there is one.
    #[pyo3(signature = (timeout=None))]
    fn _wait(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<bool> {
        slf.get().inner().wait(slf.py(), timeout)
    }

    /// Whether it has ended with an exception, as far as that is known without unpacking it.
    fn _failed(&self) -> bool {
        self.inner().has_failed()
    }

    /// How many bytes its task and what came of it took to send; 0 if nothing was sent.
    #[getter]
    fn _weight(&self) -> usize {
        self.inner().enter().weight
    }

    fn __await__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let python = slf.py();
        port::require_loop(python)?;
        let handle = Held(slf.clone().unbind());
        if slf.get().inner().once.is_done() {
            return Ok(Bound::new(python, Ready { future: handle.0 })?.into_any());
        }
        slf.get().inner().require_pool()?;
        let finish = |python: Python<'_>, handle: &Held<Self>, ()| handle.0.get().awaited(python);
        let late = |python: Python<'_>, _: &Held<Self>| Ok(python.None());
        let waiting = Waiting::around(python, handle, DoneCall::default(), None, finish, late)?;
        Ok(Bound::new(python, waiting)?.into_any())
    }

    #[getter]
    fn _state(&self) -> &'static str {
        self.state().name()
    }

    #[setter(_state)]
    fn assign_state(&self, python: Python<'_>, state: &str) -> PyResult<()> {
        let state =
            State::named(state).ok_or_else(|| PyValueError::new_err(format!("no such state: {state}")))?;
        self.assign(|content| content.state = state);
        if state.has_ended() {
            notifying(python, || self.inner().once.finish());
        }
        Ok(())
    }

    #[getter]
    fn _result(&self, python: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.inner().end(python)? {
            End::Value(value) => Ok(Some(value)),
            _ => Ok(None),
        }
    }

    #[setter(_result)]
    fn assign_result(&self, result: Py<PyAny>) {
        self.assign(|content| {
            (content.value.replace(result), std::mem::replace(&mut content.packing, Packing::Open))
        });
    }

    #[getter]
    fn _exception(&self, python: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.inner().end(python)? {
            End::Error(error) => Ok(Some(error)),
            _ => Ok(None),
        }
    }

    #[setter(_exception)]
    fn assign_exception(&self, exception: Option<Py<PyAny>>) {
        self.assign(|content| (std::mem::replace(&mut content.error, exception), content.traceback.take()));
    }

    #[getter]
    fn _condition(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Ok(observe(slf)?.condition)
    }

    #[setter(_condition)]
    fn assign_condition(slf: &Bound<'_, Self>, condition: Py<PyAny>) -> PyResult<()> {
        Self::replace(slf, |observed| std::mem::replace(&mut observed.condition, condition))
    }

    #[getter]
    fn _waiters(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Ok(observe(slf)?.waiters)
    }

    #[setter(_waiters)]
    fn assign_waiters(slf: &Bound<'_, Self>, waiters: Py<PyAny>) -> PyResult<()> {
        Self::replace(slf, |observed| std::mem::replace(&mut observed.waiters, waiters))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let python = slf.py();
        let state = slf.get().state();
        let type_name = |thing: Py<PyAny>| thing.bind(python).get_type().name().map(|name| name.to_string());
        let outcome = match state {
            State::Finished => match slf.get().inner().end(python)? {
                End::Value(value) => format!(" returned {}", type_name(value)?),
                End::Error(error) => format!(" raised {}", type_name(error)?),
                End::Cancelled => String::new(),
            },
            _ => String::new(),
        };
        let name = slf.get_type().name()?;
        Ok(format!("<{name} at {:#x} state={}{outcome}>", slf.as_ptr() as usize, state.described()))
    }

    #[classmethod]
    fn __class_getitem__(class: &Bound<'_, PyType>, item: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        generic_alias(class, item)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // A pool that has the promise holds all of it; and it does not come to have it between two looks, since nobody
        // could give it.
        if Arc::strong_count(&self.promise.0) > 1 {
            return Ok(());
        }
        let content = self.inner().enter();
        visit.call(&content.value)?;
        visit.call(&content.error)?;
        visit.call(&content.traceback)?;
        visit.call(&content.own)?;
        if let Some(observed) = &content.observed {
            visit.call(&observed.condition)?;
            visit.call(&observed.waiters)?;
        }
        content.callbacks.iter().try_for_each(|callback| visit.call(callback))
    }

    fn __clear__(&self) {
        if Arc::strong_count(&self.promise.0) > 1 {
            return;
        }
        // Not its state: who is torn down with it may still ask.
        let mut content = self.inner().enter();
        let objects = content.take_objects();
        drop(content);
        drop(objects);
    }
}

impl Drop for Future {
    fn drop(&mut self) {
        // The last to have the promise may be a thread without the interpreter. What falls away there is kept behind a lock
        // of pyo3's, for which the child of a fork might wait.
        if Arc::strong_count(&self.promise.0) > 1 {
            let mut content = self.inner().enter();
            let objects = (!content.is_shared).then(|| content.take_objects());
            drop(content);
            drop(objects);
        }
    }
}

/// What a coroutine is to be raised: a `StopIteration` would be taken for a value there.
fn not_a_value(python: Python<'_>, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyStopIteration>(python) {
        return error;
    }
    let told = PyRuntimeError::new_err("the future that is awaited has raised StopIteration");
    told.set_cause(python, Some(error));
    told
}

impl Future {
    fn replace<T>(slf: &Bound<'_, Self>, act: impl FnOnce(&mut Observed) -> T) -> PyResult<()> {
        observe(slf)?;
        slf.get().assign(|content| content.observed.as_deref_mut().map(act));
        Ok(())
    }
}

/// Awaits a future that has ended.
#[pyclass(frozen, module = "oneloom._native_future")]
struct Ready {
    future: Py<Future>,
}

#[pymethods]
impl Ready {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, python: Python<'_>) -> PyResult<Py<PyAny>> {
        Err(PyStopIteration::new_err((self.future.get().awaited(python)?,)))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.future)
    }
}
