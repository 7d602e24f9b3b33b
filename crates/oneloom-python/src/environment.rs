//! How a Python thread blocks: detached from the interpreter, interruptible, told of deadlocks.

use std::ffi::{c_int, c_void};

use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::{Deadlock, Resource};
use oneloom_wait::inbox::Local;
use oneloom_wait::owner::flag;
use oneloom_wait::wait::{Account, Call, Environment, Judgement, Stop, block};
use pyo3::ffi;
use pyo3::marker::Ungil;
use pyo3::prelude::*;

use crate::report::{self, BlockingTask};
use crate::{owner, port};

/// Runs a call that must end with its result: signal handlers wait until it has.
///
/// # Errors
/// `DeadlockError`, without the result. With it, what was raised while a deadlock was looked for.
pub fn wait_uninterrupted<C>(python: Python<'_>, primitive: &C::Primitive, call: &mut C) -> PyResult<()>
where
    C: Call<Output = ()> + Ungil + Send,
    C::Primitive: Sync,
{
    if notifying(python, || call.attempt(primitive)).is_some() {
        return Ok(());
    }
    wait_detached(python, primitive, call, Deadline::Never, true).map(drop)
}

/// What a blocked Python thread answers to the wait engine. Used while detached.
pub struct PythonThread {
    flags: u32,
    /// Whether the call must have its result before anything else.
    must_finish: bool,
    /// Whether this is the thread on which handlers of signals run.
    is_main: bool,
    /// What was raised meanwhile, by a signal handler or by a report. The first ends the wait, if it may end.
    raised: Option<PyErr>,
}

impl PythonThread {
    /// Asks what Python code has to answer; `otherwise` where that raises, or where there is no interpreter any
    /// more and nobody is left to be told.
    fn ask<T>(&mut self, otherwise: T, question: impl FnOnce(Python<'_>) -> PyResult<T>) -> T {
        match Python::try_attach(question) {
            Some(Ok(answer)) => answer,
            Some(Err(error)) => {
                self.raised.get_or_insert(error);
                otherwise
            }
            None => otherwise,
        }
    }
}

impl Environment for PythonThread {
    fn flags(&self) -> u32 {
        self.flags
    }

    fn is_interruptible(&self) -> bool {
        self.is_main && !self.must_finish
    }

    fn interrupted(&mut self) -> bool {
        if self.is_interruptible() && self.raised.is_none() {
            self.ask((), |python| python.check_signals());
        }
        self.raised.is_some() && !self.must_finish
    }

    fn account(&mut self, resource: &dyn Resource) -> Account {
        let unseen = Account { text: String::new(), may_end: true };
        self.ask(unseen, |python| report::account(python, owner::thread(python), resource))
    }

    fn judge(&mut self, deadlock: &Deadlock) -> Judgement {
        self.ask(Judgement::KeepWaiting, |python| report::judge(python, deadlock))
    }

    fn may_still_move(&mut self) -> bool {
        self.ask(true, report::may_still_move)
    }
}

/// Runs a call: attached while it need not wait, detached while it does. `None` when the deadline passed.
///
/// # Errors
/// What was raised meanwhile, by a signal handler or by a report of a deadlock, or `DeadlockError`.
#[inline]
pub fn wait<C>(
    python: Python<'_>,
    primitive: &C::Primitive,
    call: &mut C,
    deadline: impl FnOnce() -> PyResult<Deadline>,
) -> PyResult<Option<C::Output>>
where
    C: Call + Ungil + Send,
    C::Primitive: Sync,
    C::Output: Send,
{
    if let Some(output) = notifying(python, || call.attempt(primitive)) {
        return Ok(Some(output));
    }
    wait_longer(python, primitive, call, deadline)
}

/// [`wait`] for a call that was tried in vain.
///
/// # Errors
/// As for `wait`.
pub fn wait_longer<C>(
    python: Python<'_>,
    primitive: &C::Primitive,
    call: &mut C,
    deadline: impl FnOnce() -> PyResult<Deadline>,
) -> PyResult<Option<C::Output>>
where
    C: Call + Ungil + Send,
    C::Primitive: Sync,
    C::Output: Send,
{
    let deadline = deadline()?;
    if deadline.remaining().is_some_and(|left| left.is_zero()) {
        return Ok(None);
    }
    wait_detached(python, primitive, call, deadline, false)
}

#[cold]
fn wait_detached<C>(
    python: Python<'_>,
    primitive: &C::Primitive,
    call: &mut C,
    deadline: Deadline,
    must_finish: bool,
) -> PyResult<Option<C::Output>>
where
    C: Call + Ungil + Send,
    C::Primitive: Sync,
    C::Output: Send,
{
    // Until the error's text is made: it names the task.
    let _task = BlockingTask::note(python, owner::thread(python));
    let (ended, raised) =
        detached(python, must_finish, |environment| block(primitive, call, deadline, environment));
    let ended = match ended {
        Ok(output) => Ok(Some(output)),
        // Interrupted without an error: the call itself ended it, and its caller knows why.
        Err(Stop::TimedOut | Stop::Interrupted) => Ok(None),
        Err(Stop::Deadlock(deadlock)) => Err(report::error(python, &deadlock)),
    };
    match raised {
        None => ended,
        Some(raised) => {
            if let Err(error) = ended {
                raised.set_context(python, Some(error));
            }
            Err(raised)
        }
    }
}

/// Runs `wait` detached, with what a blocked Python thread answers; also gives what was raised meanwhile.
pub fn detached<R: Send>(
    python: Python<'_>,
    must_finish: bool,
    wait: impl FnOnce(&mut PythonThread) -> R + Ungil + Send,
) -> (R, Option<PyErr>) {
    let on_loop = if owner::running_loop(python).is_some() { flag::ON_LOOP } else { 0 };
    let is_main = report::is_main_thread(python);
    let flags = on_loop | report::exit_flag(is_main);
    let mut environment = PythonThread { flags, must_finish, is_main, raised: None };
    let result = python.detach(|| wait(&mut environment));
    (result, environment.raised)
}

/// Runs what may wake coroutines of the loop on this very thread, and tells that loop afterwards: cheaper
/// than waking it from outside.
#[inline]
pub fn notifying<R>(python: Python<'_>, act: impl FnOnce() -> R) -> R {
    if !port::in_use() {
        return act();
    }
    let scope = Local::open();
    let result = act();
    for inbox in scope.finish() {
        if let Err(error) = port::drain_here(python, &inbox) {
            raise_soon(python, error);
        }
    }
    result
}

/// Lets an error be raised by the caller's own code, as soon as that goes on: where a result is to be given first,
/// which must not be lost. On the main thread it is a signal handler's, as a rule; others run none, and write it.
#[cold]
pub fn raise_soon(python: Python<'_>, error: PyErr) {
    if !report::is_main_thread(python) {
        return error.write_unraisable(python, None);
    }
    let argument = Box::into_raw(Box::new(error));
    // SAFETY: the box is taken back exactly once, by the call, or here where it was not accepted.
    unsafe {
        if ffi::Py_AddPendingCall(Some(raise), argument.cast()) != 0 {
            Box::from_raw(argument).write_unraisable(python, None);
        }
    }
}

/// A pending call of `raise_soon`.
extern "C" fn raise(error: *mut c_void) -> c_int {
    // SAFETY: only `raise_soon` names this function, with a box that nobody else has; the interpreter calls it
    // once, attached.
    unsafe { Box::from_raw(error.cast::<PyErr>()).restore(Python::assume_attached()) };
    -1
}
