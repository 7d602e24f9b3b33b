//! How Python's threads and coroutines wait for another process.

use std::pin::Pin;
use std::task::{Context, Poll};

use oneloom_shm::deadlock::Join;
use oneloom_shm::wait::{Call, Stop, Waiting as CallFuture, block};
use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::{Certainty, Deadlock};
use oneloom_wait::owner::Owner;
use oneloom_wait::wait::{Account, Judgement};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::marker::Ungil;
use pyo3::prelude::*;

use super::error;
use crate::environment::{detached, raise_soon};
use crate::owner;
use crate::report::{self, BlockingTask};
use crate::waiting::{AsyncCall, Waiting};

/// Runs a call detached; `None` when the deadline passed.
///
/// # Errors
/// What a signal handler raised meanwhile, or what shared memory says.
pub fn wait<C>(python: Python<'_>, call: &mut C, deadline: Deadline) -> PyResult<Option<C::Output>>
where
    C: Call + Ungil + Send,
    C::Output: Send,
{
    // Until the error's text is made: it names the task.
    let _task = BlockingTask::note(python, owner::thread(python));
    let (ended, raised) = detached(python, false, |environment| block(call, deadline, environment));
    match ended {
        Ok(output) => Ok(Some(output)),
        Err(Stop::TimedOut) => Ok(None),
        Err(Stop::Interrupted) => raised.map_or(Ok(None), Err),
        Err(Stop::Deadlock(deadlock)) => Err(report::error(python, &deadlock)),
        Err(Stop::Failed(failure)) => Err(error(failure)),
    }
}

/// Runs a call that must end with its result: signal handlers wait until it has.
///
/// # Errors
/// `DeadlockError`, or what shared memory says, without the result.
pub fn wait_uninterrupted<C>(python: Python<'_>, call: &mut C) -> PyResult<C::Output>
where
    C: Call + Ungil + Send,
    C::Output: Send,
{
    let _task = BlockingTask::note(python, owner::thread(python));
    loop {
        let (ended, raised) = detached(python, true, |environment| block(call, Deadline::Never, environment));
        // By a handler that ran while the wait was shown to others: it is raised once this has its result.
        raised.into_iter().for_each(|raised| raise_soon(python, raised));
        match ended {
            Ok(output) => return Ok(output),
            Err(Stop::Deadlock(deadlock)) => return Err(report::error(python, &deadlock)),
            Err(Stop::Failed(failure)) => return Err(error(failure)),
            // Neither has an end of its own.
            Err(Stop::TimedOut | Stop::Interrupted) => {}
        }
    }
}

/// A call with the words for its ends.
struct Spoken<C: Call, Finish, Late> {
    future: CallFuture<C>,
    finish: Finish,
    late: Late,
    /// Who waits.
    task: Owner,
}

// SAFETY: a shared reference only asks what is waited for, which is what processes share.
unsafe impl<C: Call, Finish, Late> Sync for Spoken<C, Finish, Late> {}

impl<C, Finish, Late> AsyncCall for Spoken<C, Finish, Late>
where
    C: Call + Send,
    C::Output: Send,
    Finish: Fn(Python<'_>, C::Output) -> PyResult<Py<PyAny>> + Send,
    Late: Fn(Python<'_>) -> PyResult<Py<PyAny>> + Send,
{
    fn poll(&mut self, python: Python<'_>, context: &mut Context<'_>) -> Poll<PyResult<Py<PyAny>>> {
        // A context may not leave the thread, for all that the compiler knows; a waker may.
        let (waker, future) = (context.waker().clone(), &mut self.future);
        let polled = python.detach(|| Pin::new(future).poll(&mut Context::from_waker(&waker)));
        polled.map(|ended| (self.finish)(python, ended.map_err(error)?))
    }

    fn expire(&mut self, python: Python<'_>) -> PyResult<Py<PyAny>> {
        match python.detach(|| self.future.expire()).map_err(error)? {
            Some(output) => (self.finish)(python, output),
            None => (self.late)(python),
        }
    }

    fn cancel(&mut self) {
        // What it gives up may stand behind a latch.
        Python::attach(|python| python.detach(|| self.future.cancel()));
    }

    fn examine(&mut self, python: Python<'_>) -> Option<Deadlock> {
        let task = self.task;
        let told = self.future.awaited(|resource| report::account(python, task, resource))?;
        let text = match told {
            Ok(account) => account.text,
            Err(error) => {
                raise_soon(python, error);
                String::new()
            }
        };
        python.detach(|| self.future.examine(task, &text))
    }

    fn may_deadlock(&self) -> bool {
        self.future.awaited(|_| ()).is_some()
    }

    /// What is waited for stands in shared memory, and holds nothing of this interpreter.
    fn visit(&self, _visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        Ok(())
    }
}

/// An awaitable for `call`. `finish` makes its result; `late` says what a passed timeout gives or raises.
pub fn later<C>(
    python: Python<'_>,
    call: C,
    timeout: Option<f64>,
    finish: impl Fn(Python<'_>, C::Output) -> PyResult<Py<PyAny>> + Send + 'static,
    late: impl Fn(Python<'_>) -> PyResult<Py<PyAny>> + Send + 'static,
) -> PyResult<Waiting>
where
    C: Call + Send + 'static,
    C::Output: Send,
{
    let (future, task) = (CallFuture::new(call), owner::current(python));
    Waiting::over(python, Box::new(Spoken { future, finish, late, task }), timeout)
}

/// A thread's wait for the end of a process, which lasts: shown to those who look for deadlocks, until it is left. The wait
/// itself is Python's.
#[pyclass(unsendable, module = "oneloom._native")]
pub struct LongJoin {
    pid: u32,
    name: String,
    join: Option<Join>,
}

#[pymethods]
impl LongJoin {
    #[new]
    fn new(pid: u32, name: String) -> Self {
        Self { pid, name, join: None }
    }

    /// Shows the wait and looks whether it can ever end; `suspicious` says whether a suspicion is to be reported.
    fn look(&mut self, python: Python<'_>, suspicious: bool) -> PyResult<()> {
        if self.join.is_none() {
            // It may have come into the family only now.
            let mut told = Ok(());
            self.join = Join::new(self.pid, self.name.clone(), |resource| {
                report::account(python, owner::thread(python), resource).unwrap_or_else(|error| {
                    told = Err(error);
                    Account { text: String::new(), may_end: true }
                })
            });
            told?;
        }
        let Some(join) = &mut self.join else { return Ok(()) };
        let found = python.detach(|| look(join));
        let worth = |deadlock: &Deadlock| suspicious || deadlock.certainty == Certainty::Certain;
        let Some(deadlock) = found.filter(worth) else { return Ok(()) };
        if report::judge(python, &deadlock)? == Judgement::Raise {
            self.join = None;
            return Err(report::error(python, &deadlock));
        }
        python.detach(|| join.show());
        Ok(())
    }

    /// The wait is over.
    fn leave(&mut self) {
        self.join = None;
    }
}

fn look(join: &mut Join) -> Option<Deadlock> {
    join.show();
    join.examine()
}
