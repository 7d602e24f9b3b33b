//! How a Python thread blocks: detached from the interpreter, interruptible, told of deadlocks.

use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::Deadlock;
use oneloom_wait::inbox::Local;
use oneloom_wait::owner::flag;
use oneloom_wait::wait::{Call, Environment, Judgement, Stop, block};
use pyo3::marker::Ungil;
use pyo3::prelude::*;

use crate::report::{self, BlockingTask};
use crate::{owner, port};

/// Runs a call that must end with its result: signal handlers wait until it has.
///
/// # Errors
/// `DeadlockError` only.
pub fn wait_uninterrupted<C>(python: Python<'_>, primitive: &C::Primitive, call: &mut C) -> PyResult<()>
where
    C: Call<Output = ()> + Ungil + Send,
    C::Primitive: Sync,
{
    if notifying(python, || call.attempt(primitive)).is_some() {
        return Ok(());
    }
    wait_detached(python, primitive, call, Deadline::Never, false).map(drop)
}

/// What a blocked Python thread answers to the wait engine. Used while detached.
struct PythonThread {
    flags: u32,
    /// Whether handlers of signals may run: on the main thread, in a wait that may end without its result.
    interruptible: bool,
    /// What a signal handler raised.
    raised: Option<PyErr>,
}

impl Environment for PythonThread {
    fn flags(&self) -> u32 {
        self.flags
    }

    fn is_interruptible(&self) -> bool {
        self.interruptible
    }

    fn interrupted(&mut self) -> bool {
        if self.interruptible {
            self.raised = Python::attach(|python| python.check_signals()).err();
        }
        self.raised.is_some()
    }

    fn judge(&mut self, deadlock: &Deadlock) -> Judgement {
        // No interpreter any more: nobody is left to be told.
        Python::try_attach(|python| report::judge(python, deadlock)).unwrap_or(Judgement::KeepWaiting)
    }

    fn may_still_move(&mut self) -> bool {
        Python::try_attach(report::may_still_move).unwrap_or(true)
    }
}

/// Runs a call: attached while it need not wait, detached while it does. `None` when the deadline passed.
///
/// # Errors
/// What a signal handler raised meanwhile, or `DeadlockError`.
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
    let deadline = deadline()?;
    if deadline.remaining().is_some_and(|left| left.is_zero()) {
        return Ok(None);
    }
    wait_detached(python, primitive, call, deadline, true)
}

#[cold]
fn wait_detached<C>(
    python: Python<'_>,
    primitive: &C::Primitive,
    call: &mut C,
    deadline: Deadline,
    interruptible: bool,
) -> PyResult<Option<C::Output>>
where
    C: Call + Ungil + Send,
    C::Primitive: Sync,
    C::Output: Send,
{
    let _task = BlockingTask::note(python, owner::thread(python));
    let on_loop = if owner::running_loop(python).is_some() { flag::ON_LOOP } else { 0 };
    let main = report::is_main_thread(python);
    let flags = on_loop | report::exit_flag(main);
    let interruptible = interruptible && main;
    let mut environment = PythonThread { flags, interruptible, raised: None };
    let ended = python.detach(|| block(primitive, call, deadline, &mut environment));
    match ended {
        Ok(output) => Ok(Some(output)),
        Err(Stop::TimedOut) => Ok(None),
        Err(Stop::Interrupted) => match environment.raised.take() {
            Some(error) => Err(error),
            // The call itself ended it, and its caller knows why.
            None => Ok(None),
        },
        Err(Stop::Deadlock(deadlock)) => Err(report::error(python, &deadlock)),
    }
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
        port::drain_here(python, &inbox);
    }
    result
}
