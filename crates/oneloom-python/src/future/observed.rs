//! The standard library's face of a future: its condition and its waiters, made when somebody looks at them.
//!
//! From then on the future ends as the standard library has it, under the condition and with the state changed in there,
//! so that `concurrent.futures.wait` and `as_completed` see the end exactly once.

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::class::Future;
use super::content::State;
use super::{Inner, Outcome};
use crate::once::intern;

/// What was looked at.
pub struct Observed {
    pub condition: Py<PyAny>,
    pub waiters: Py<PyAny>,
}

impl Observed {
    fn clone_ref(&self, python: Python<'_>) -> Self {
        Self { condition: self.condition.clone_ref(python), waiters: self.waiters.clone_ref(python) }
    }
}

/// What the future shows; made if nobody has looked before.
pub fn observe(future: &Bound<'_, Future>) -> PyResult<Observed> {
    let (python, inner) = (future.py(), future.get().inner());
    if let Some(observed) = &inner.enter().observed {
        return Ok(observed.clone_ref(python));
    }
    let condition =
        python.import(intern!(python, "threading"))?.call_method0(intern!(python, "Condition"))?;
    let made = Observed { condition: condition.unbind(), waiters: PyList::empty(python).into_any().unbind() };
    let mut spare = Some(Box::new(made));
    let mut content = inner.enter();
    if content.observed.is_none() {
        content.observed = spare.take();
        if inner.is_pooled && !content.state.is_over() && content.own.is_none() {
            content.own = Some(future.clone().unbind());
        }
    }
    let observed = content.observed.as_deref().map(|observed| observed.clone_ref(python));
    drop(content);
    // Another thread was faster.
    drop(spare);
    Ok(observed.expect("there is one by now, and it stays"))
}

/// Brings the outcome; `is_claimed` says that the caller has claimed the right to. False if there was an end already.
///
/// # Errors
/// What the condition or a waiter raised. The state tells whether the future has ended.
pub fn end(
    python: Python<'_>,
    inner: &Inner,
    future: Option<&Bound<'_, Future>>,
    outcome: Outcome,
    is_claimed: bool,
) -> PyResult<bool> {
    // Whatever comes in between: nobody else could try again.
    let outcome = outcome.unpacked(python).unwrap_or_else(|error| Outcome::of(python, Err(error)));
    let tell = match outcome {
        Outcome::Error(_) => intern!(python, "add_exception"),
        Outcome::Cancelled => intern!(python, "add_cancelled"),
        _ => intern!(python, "add_result"),
    };
    inner.under_condition(python, future, |observed, future| {
        let mut content = inner.enter();
        if !is_claimed && !content.claim() {
            drop(content);
            return Ok(false);
        }
        let unneeded = content.settle(outcome);
        drop(content);
        drop(unneeded);
        let told = tell_waiters(observed, tell, future);
        observed.condition.call_method0(python, intern!(python, "notify_all"))?;
        told.map(|()| true)
    })
}

/// Cancels it unless it runs. False if it does, or there was an end already.
///
/// # Errors
/// As for `end`.
pub fn cancel(python: Python<'_>, inner: &Inner) -> PyResult<bool> {
    inner.under_condition(python, None, |observed, _| {
        let mut content = inner.enter();
        if content.state != State::Pending || !content.claim() {
            return Ok(false);
        }
        content.state = State::Cancelled;
        drop(content);
        observed.condition.call_method0(python, intern!(python, "notify_all")).map(|_| true)
    })
}

/// Says that a cancelled future's task is certain not to run.
pub fn notify_cancelled(
    python: Python<'_>,
    inner: &Inner,
    future: Option<&Bound<'_, Future>>,
) -> PyResult<()> {
    let told = inner.under_condition(python, future, |observed, future| {
        let first = {
            let mut content = inner.enter();
            let first = content.state == State::Cancelled;
            content.state = State::Notified;
            first
        };
        if first { tell_waiters(observed, intern!(python, "add_cancelled"), future) } else { Ok(()) }
    });
    let own = inner.enter().own.take();
    drop(own);
    told
}

fn tell_waiters(
    observed: &Observed,
    tell: &Bound<'_, pyo3::types::PyString>,
    future: Option<&Bound<'_, Future>>,
) -> PyResult<()> {
    let Some(future) = future else { return Ok(()) };
    for waiter in observed.waiters.bind(future.py()).try_iter()? {
        waiter?.call_method1(tell, (future,))?;
    }
    Ok(())
}

impl Inner {
    /// Acts under the condition of an observed future. Gives the future itself, where it is known.
    pub(super) fn under_condition<R>(
        &self,
        python: Python<'_>,
        future: Option<&Bound<'_, Future>>,
        act: impl FnOnce(&Observed, Option<&Bound<'_, Future>>) -> PyResult<R>,
    ) -> PyResult<R> {
        let (observed, own) = {
            let content = self.enter();
            let observed = content.observed.as_deref().map(|observed| observed.clone_ref(python));
            (observed, content.own.as_ref().map(|own| own.bind(python).clone()))
        };
        let observed = observed.expect("only an observed future has a condition");
        observed.condition.call_method0(python, intern!(python, "__enter__"))?;
        let acted = act(&observed, future.or(own.as_ref()));
        let none = python.None();
        let left =
            observed.condition.call_method1(python, intern!(python, "__exit__"), (&none, &none, &none));
        acted.and_then(|result| left.map(|_| result))
    }
}
