//! A task of a thread pool: what it calls, and who ends it.
//!
//! A thread can't be killed. A task that takes too long, or is cancelled while it runs, ends for those who wait for it
//! at once, and is told by `oneloom.cancelled()`; what it still returns is dropped.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use oneloom_exec::deadlines::{Alarm, Due};
use oneloom_wait::owner::Owner;
use pyo3::exceptions::{PyException, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::calls;
use crate::future::{Outcome, Promise, Unpack};
use crate::once::intern;

/// What holds for tasks.
pub struct Terms {
    pub timeout: Option<Duration>,
    pub retries: u32,
    /// The context of which each task gets a copy.
    pub context: Option<Py<PyAny>>,
}

/// See the module.
pub struct Task {
    pub promise: Promise,
    pub function: Py<PyAny>,
    pub args: Py<PyTuple>,
    pub kwargs: Option<Py<PyDict>>,
    pub terms: Arc<Terms>,
}

/// What a worker runs now. Locked by attached threads only, and for a moment.
pub type Running = Mutex<Option<Promise>>;

thread_local! {
    /// What the calling worker runs.
    static RUNS: RefCell<Option<Arc<Running>>> = const { RefCell::new(None) };
}

/// Says where to look for what the calling thread runs, if it is a worker.
pub fn set_running(running: Option<Arc<Running>>) {
    RUNS.set(running);
}

/// Whether the task that the calling thread runs need not go on: its time is over, or it was cancelled meanwhile.
///
/// False where no task of a thread pool runs. A task that may run for long asks now and then, and returns; asking costs
/// some 30 ns.
///
/// >>> import oneloom
/// >>> began, noticed = oneloom.Event(), oneloom.Event()
/// >>> def search():
/// ...     began.set()
/// ...     while not oneloom.cancelled():
/// ...         pass    # look at the next thing
/// ...     noticed.set()
/// >>> with oneloom.ThreadPool(1) as pool:
/// ...     future = pool.submit(search)
/// ...     began.wait(), future.cancel(running=True), noticed.wait()
/// (True, True, True)
#[pyfunction]
pub fn cancelled() -> bool {
    RUNS.with_borrow(|running| running.as_ref().is_some_and(|running| is_over(running)))
}

fn is_over(running: &Running) -> bool {
    running.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(Promise::is_done)
}

/// A task with a time limit.
struct Late {
    promise: Promise,
    timeout: Duration,
}

/// What a task ends with that took too long.
struct TimedOut(Duration);

static ALARM: Alarm<Late> = Alarm::new();

impl Due for Late {
    fn due(self) {
        self.promise.finish(Outcome::Packed(Box::new(TimedOut(self.timeout))));
    }
}

impl Unpack for TimedOut {
    fn unpack(&mut self, _python: Python<'_>) -> PyResult<Outcome> {
        let text = format!(
            "the task has not ended within {} s; its thread goes on until it returns (oneloom.cancelled() tells it)",
            self.0.as_secs_f64()
        );
        Err(PyTimeoutError::new_err(text))
    }

    fn has_failed(&self) -> bool {
        true
    }
}

impl Task {
    /// Runs it, unless it was cancelled. `running` is told what runs meanwhile.
    ///
    /// # Errors
    /// What a callback raised that is no `Exception`.
    pub fn run(self, python: Python<'_>, me: Owner, running: &Running) -> PyResult<()> {
        let Self { promise, function, args, kwargs, terms } = self;
        // With a time limit somebody else may end it, too.
        if !promise.start(terms.timeout.is_none().then_some(me)) {
            return Ok(());
        }
        let set =
            |runs| std::mem::replace(&mut *running.lock().unwrap_or_else(PoisonError::into_inner), runs);
        set(Some(promise.clone()));
        let ticket = terms.timeout.and_then(|timeout| {
            let late = Late { promise: promise.clone(), timeout };
            // Where there is no thread left for it, the task has all the time it takes.
            ALARM.add(Instant::now() + timeout, late).ok()
        });
        let mut tries_left = terms.retries;
        let called = loop {
            match call(python, &function, &args, kwargs.as_ref(), terms.context.as_ref()) {
                Err(error)
                    if tries_left > 0
                        && error.is_instance_of::<PyException>(python)
                        && !promise.is_done() =>
                {
                    tries_left -= 1;
                }
                called => break called,
            }
        };
        if let Some(ticket) = ticket {
            drop(ALARM.remove(ticket));
        }
        drop((function, args, kwargs));
        set(None);
        promise.finish_attached(python, Outcome::of(python, called)).map(drop)
    }
}

fn call(
    python: Python<'_>,
    function: &Py<PyAny>,
    args: &Py<PyTuple>,
    kwargs: Option<&Py<PyDict>>,
    context: Option<&Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let (function, args) = (function.bind(python), args.bind(python));
    let kwargs = kwargs.map(|kwargs| kwargs.bind(python));
    let called = if let Some(context) = context {
        let copy = context.bind(python).call_method0(intern!(python, "copy"))?;
        let whole = std::iter::once(function.clone()).chain(args.iter());
        let whole = PyTuple::new(python, whole.collect::<Vec<_>>())?;
        calls::call(&copy.getattr(intern!(python, "run"))?, &whole, kwargs)
    } else {
        calls::call(function, args, kwargs)
    };
    called.map(Bound::unbind)
}
