//! How a future comes to its end, and who is told: those who wait, the standard library's waiters, the callbacks.
//!
//! An unobserved future's end is one step behind its gate; then whoever waits is woken, and callbacks are called where
//! there is an interpreter. An observed one's takes place under its condition, as the standard library has it.

use std::sync::Arc;

use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::class::Future;
use super::content::State;
use super::observed;
use super::{Dispatch, Inner, Outcome, Promise};
use crate::calls;
use crate::environment::notifying;
use crate::errors::INVALID_STATE;
use crate::once::intern;

impl Promise {
    /// Brings the outcome, without the interpreter. False if there was an end already.
    ///
    /// Where Python is needed for it, the pool's [`Dispatch`] sees to that; without one it is done here.
    pub fn finish(&self, outcome: Outcome) -> bool {
        let mut content = self.0.enter();
        if content.cancelling > 0 && matches!(outcome, Outcome::Cancelled) {
            content.is_taken_out = true;
            return true;
        }
        if !content.claim() {
            drop(content);
            return false;
        }
        let (dispatch, left) = if content.observed.is_some() {
            (content.dispatch.take(), Some(outcome))
        } else {
            let needs_python = !content.callbacks.is_empty();
            let mut unneeded = content.settle(outcome);
            drop(content);
            let dispatch = unneeded.dispatch.take();
            drop(unneeded);
            self.0.once.finish();
            if !needs_python {
                return true;
            }
            (dispatch, None)
        };
        self.hand_over(dispatch, left);
        true
    }

    fn hand_over(&self, dispatch: Option<Arc<dyn Dispatch>>, outcome: Option<Outcome>) {
        match dispatch {
            Some(dispatch) => dispatch.dispatch(self.clone(), outcome),
            None => drop(Python::try_attach(|python| {
                if let Err(error) = self.dispatched(python, outcome) {
                    error.write_unraisable(python, None);
                }
            })),
        }
    }

    /// Brings the outcome where Python runs, callbacks and all. False if there was an end already.
    ///
    /// # Errors
    /// What a callback raised that is no `Exception`.
    pub fn finish_attached(&self, python: Python<'_>, outcome: Outcome) -> PyResult<bool> {
        self.0.finish(python, None, outcome)
    }

    /// Does what was given to a [`Dispatch`].
    ///
    /// # Errors
    /// As for `finish_attached`.
    pub fn dispatched(&self, python: Python<'_>, outcome: Option<Outcome>) -> PyResult<()> {
        match outcome {
            None => self.0.call_callbacks(python, None),
            Some(outcome) if self.0.state() != State::Cancelled => {
                let end = |inner: &Inner| observed::end(python, inner, None, outcome, true);
                self.0.end_observed(python, None, end).map(drop)
            }
            Some(_) => self.0.notify_cancelled(python, None),
        }
    }

    /// Says that a cancelled future's task is certain not to run.
    pub(super) fn notify_cancelled(&self) {
        let (to_tell, dispatch) = self.0.note_cancelled();
        if to_tell {
            self.hand_over(dispatch, Some(Outcome::Cancelled));
        }
    }
}

impl Inner {
    /// Brings the outcome; `future` is this future, where the caller has it. False if there was an end already.
    pub(super) fn finish(
        &self,
        python: Python<'_>,
        future: Option<&Bound<'_, Future>>,
        outcome: Outcome,
    ) -> PyResult<bool> {
        let mut content = self.enter();
        if content.observed.is_some() {
            drop(content);
            return self
                .end_observed(python, future, |inner| observed::end(python, inner, future, outcome, false));
        }
        if !content.claim() {
            drop(content);
            return Ok(false);
        }
        let has_callbacks = !content.callbacks.is_empty();
        let unneeded = content.settle(outcome);
        drop(content);
        drop(unneeded);
        notifying(python, || self.once.finish());
        if has_callbacks {
            self.call_callbacks(python, future)?;
        }
        Ok(true)
    }

    /// Has an observed future ended by `end`, which says whether it has, and tells the rest.
    fn end_observed(
        &self,
        python: Python<'_>,
        future: Option<&Bound<'_, Future>>,
        end: impl FnOnce(&Self) -> PyResult<bool>,
    ) -> PyResult<bool> {
        let ended = end(self);
        // Also where a waiter could not be told.
        if !matches!(ended, Ok(false)) && self.state().has_ended() {
            notifying(python, || self.once.finish());
            self.call_callbacks(python, future)?;
        }
        ended
    }

    /// Cancels it if it does not run yet; with `running` also if it does and the pool can end it. True if it is cancelled.
    pub(super) fn cancel(
        &self,
        python: Python<'_>,
        future: &Bound<'_, Future>,
        running: bool,
    ) -> PyResult<bool> {
        let canceller = {
            let mut content = self.enter();
            let runs = content.state == State::Running;
            let is_over = content.claimed || content.state.has_ended();
            if is_over || (runs && (!running || content.canceller.is_none())) {
                return Ok(content.state.is_cancelled());
            }
            let canceller = content.canceller.clone();
            content.cancelling += u32::from(canceller.is_some());
            canceller
        };
        let agreed = canceller.as_deref().is_none_or(|canceller| canceller.cancel(running));
        let is_taken_out = canceller.is_some() && self.is_taken_out(python, agreed);
        if is_taken_out || (agreed && running && canceller.is_some()) {
            self.finish(python, Some(future), Outcome::Cancelled)?;
        } else if agreed {
            self.mark_cancelled(python, future)?;
        }
        Ok(self.state().is_cancelled())
    }

    /// The pool has answered who wanted to cancel; whether it has said of the task that it is taken out.
    fn is_taken_out(&self, python: Python<'_>, agreed: bool) -> bool {
        self.enter().cancelling -= 1;
        loop {
            let content = self.enter();
            let is_open = !content.is_taken_out && !content.state.has_ended();
            // Refused, perhaps, because another has just been told yes, who is about to hear of it.
            if agreed || !is_open || content.cancelling == 0 {
                return content.is_taken_out;
            }
            drop(content);
            python.detach(std::thread::yield_now);
        }
    }

    /// Cancels it unless it runs; whoever would have run it is told when they ask.
    fn mark_cancelled(&self, python: Python<'_>, future: &Bound<'_, Future>) -> PyResult<()> {
        let mut content = self.enter();
        if content.observed.is_some() {
            drop(content);
            return self
                .end_observed(python, Some(future), |inner| observed::cancel(python, inner))
                .map(drop);
        }
        if content.state == State::Pending && content.claim() {
            content.state = State::Cancelled;
            drop(content);
            notifying(python, || self.once.finish());
            self.call_callbacks(python, Some(future))?;
        }
        Ok(())
    }

    /// Says that a cancelled future's task is certain not to run.
    pub(super) fn notify_cancelled(
        &self,
        python: Python<'_>,
        future: Option<&Bound<'_, Future>>,
    ) -> PyResult<()> {
        if self.note_cancelled().0 { observed::notify_cancelled(python, self, future) } else { Ok(()) }
    }

    /// The same behind the gate; whether the waiters of an observed one are to be told, and by whom.
    fn note_cancelled(&self) -> (bool, Option<Arc<dyn Dispatch>>) {
        let mut content = self.enter();
        let is_cancelled = content.state == State::Cancelled;
        let to_tell = is_cancelled && content.observed.is_some();
        if is_cancelled && !to_tell {
            content.state = State::Notified;
        }
        let mut unneeded = content.let_go();
        drop(content);
        (to_tell, unneeded.dispatch.take())
    }

    /// What `set_running_or_notify_cancel` does.
    pub(super) fn start(&self, python: Python<'_>, future: &Bound<'_, Future>) -> PyResult<bool> {
        let mut content = self.enter();
        let state = content.state;
        if state == State::Pending && !content.claimed {
            content.state = State::Running;
            return Ok(true);
        }
        drop(content);
        if state == State::Cancelled {
            return self.notify_cancelled(python, Some(future)).map(|()| false);
        }
        let text =
            (intern!(python, "Future %s in unexpected state: %s"), future.as_ptr() as usize, state.name());
        logger(python)?.call_method1(intern!(python, "critical"), text)?;
        Err(PyRuntimeError::new_err("Future in unexpected state"))
    }

    /// Calls those who wanted to be told, in their order. Once: they are taken out.
    fn call_callbacks(&self, python: Python<'_>, future: Option<&Bound<'_, Future>>) -> PyResult<()> {
        let (callbacks, unneeded, own) = {
            let mut content = self.enter();
            // The waiters of a cancelled future are told of it later.
            let is_over = content.state.is_over() || content.observed.is_none();
            let own = content.own.as_ref().map(|own| own.bind(python).clone());
            (std::mem::take(&mut content.callbacks), is_over.then(|| content.own.take()), own)
        };
        drop(unneeded);
        let Some(future) = future.or(own.as_ref()) else { return Ok(()) };
        callbacks.into_iter().try_for_each(|callback| call(&callback.into_bound(python), future))
    }

    /// Has `callback` called with the future when it ends; at once if it has.
    pub(super) fn add_callback(
        &self,
        future: &Bound<'_, Future>,
        callback: Bound<'_, PyAny>,
    ) -> PyResult<()> {
        {
            let mut content = self.enter();
            if !content.state.has_ended() {
                content.callbacks.push(callback.unbind());
                if self.is_pooled && content.own.is_none() {
                    content.own = Some(future.clone().unbind());
                }
                return Ok(());
            }
        }
        call(&callback, future)
    }
}

/// Calls one that wanted to be told. An exception is logged, and hinders nobody.
fn call(callback: &Bound<'_, PyAny>, future: &Bound<'_, Future>) -> PyResult<()> {
    let python = callback.py();
    match calls::call(callback, &PyTuple::new(python, [future])?, None) {
        Err(error) if error.is_instance_of::<PyException>(python) => {
            let module = python.import(intern!(python, "oneloom._future"))?;
            module
                .call_method1(intern!(python, "log_failed_callback"), (future, error.into_value(python)))?;
            Ok(())
        }
        called => called.map(drop),
    }
}

fn logger(python: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    python.import(intern!(python, "concurrent.futures._base"))?.getattr(intern!(python, "LOGGER"))
}

/// What `set_result` and `set_exception` say of a future that has its end.
pub(super) fn ended_already(future: &Bound<'_, Future>) -> PyResult<PyErr> {
    let state = future.get().inner().state().name();
    let text = format!("{state}: {}", future.repr()?);
    Ok(PyErr::from_type(INVALID_STATE.class(future.py())?.clone(), (text,)))
}
