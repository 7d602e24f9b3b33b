//! The thread pool: submitting a task and a worker's loop, without a line of Python for each task.
//!
//! What waits to be done, and whom to wake, is decided by [`Jobs`]; what becomes of a task, by its [`Promise`]. A worker
//! is a Python thread that runs [`ThreadWorker::run`]; Python's half of the pool (`oneloom._pool.threads`) starts it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use oneloom_exec::threads::{Jobs, Seat, Taken, WaitCall};
use oneloom_wait::background;
use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::Deadlock;
use oneloom_wait::owner::flag;
use oneloom_wait::wait::{Environment, Judgement, block};
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::handed_over::ThreadTask;
use super::thread_task::{Running, Task, Terms, set_running};
use crate::arguments::{Timeout, seconds};
use crate::calls;
use crate::environment::{PythonThread, detached};
use crate::errors::INITIALIZER;
use crate::future::{Cancel, Dispatch, Future, Outcome, Promise};
use crate::once::intern;
use crate::owner;

/// A pool as its workers have it.
struct Team {
    jobs: Jobs<Task>,
    terms: Arc<Terms>,
    /// Starts a thread that runs the worker that it is given.
    hire: Py<PyAny>,
    initializer: Option<(Py<PyAny>, Py<PyTuple>)>,
    /// After so many tasks a worker makes room for another.
    most_tasks: Option<u64>,
    /// What the initializer raised: no task is run any more.
    refused: OnceLock<Py<PyAny>>,
    /// By seat, as far as seats were taken.
    running: Mutex<Vec<Arc<Running>>>,
}

impl Cancel for Team {
    fn cancel(&self, _running: bool) -> bool {
        // A task that has not begun is passed over by the worker that takes it. One that runs is told.
        true
    }
}

impl Dispatch for Team {
    fn dispatch(&self, promise: Promise, outcome: Option<Outcome>) {
        // Only for what ends late and has callbacks: a thread for each, so that none holds up the others.
        let call = move || {
            Python::try_attach(|python| {
                if let Err(error) = promise.dispatched(python, outcome) {
                    error.write_unraisable(python, None);
                }
                drop(promise);
            });
        };
        // Where the system has no thread left, they are not called.
        let _ = background::spawn("oneloom-callback", call);
    }
}

impl Team {
    fn submit<'py>(
        self: &Arc<Self>,
        python: Python<'py>,
        terms: Arc<Terms>,
        function: Py<PyAny>,
        args: Py<PyTuple>,
        kwargs: Option<Py<PyDict>>,
    ) -> PyResult<Bound<'py, Future>> {
        let promise = Promise::in_crew(self.jobs.crew().clone(), self.clone(), self.clone());
        let future = promise.future(python)?;
        if let Some(reason) = self.refused.get() {
            promise.finish(Outcome::Error(refusal(python, reason)?));
            return Ok(future);
        }
        let task = Task { promise: promise.clone(), function, args, kwargs, terms };
        match self.jobs.add(task) {
            Ok(None) => {}
            Ok(Some(seat)) => {
                if let Err((error, unused)) = self.hire(python, seat) {
                    if let Some(seat) = unused {
                        self.jobs.give_back(seat);
                    }
                    if self.jobs.workers() == 0 {
                        promise.finish_attached(python, Outcome::Cancelled)?;
                        return Err(error);
                    }
                    // Others will run it; but Ctrl-C while the thread was started is not theirs to hear of.
                    if !error.is_instance_of::<PyException>(python) {
                        return Err(error);
                    }
                }
            }
            Err(_task) => {
                return Err(PyRuntimeError::new_err("cannot schedule new futures after shutdown"));
            }
        }
        Ok(future)
    }

    /// Has a worker started.
    ///
    /// # Errors
    /// Why it was not, with the seat, unless its thread runs all the same.
    fn hire(self: &Arc<Self>, python: Python<'_>, seat: Seat) -> Result<(), (PyErr, Option<Seat>)> {
        let worker = ThreadWorker { place: Mutex::new(Some((self.clone(), seat))) };
        let worker = Bound::new(python, worker).map_err(|error| (error, None))?;
        let hired = self.hire.call1(python, (&worker,));
        // Whoever else has the worker, a thread that never ran, finds no place any more.
        hired.map(drop).map_err(|error| (error, worker.get().take_place().map(|(_, seat)| seat)))
    }

    /// What the worker of a seat runs.
    fn running_at(&self, seat: &Seat) -> Arc<Running> {
        let mut all = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() <= seat.index() {
            all.resize_with(seat.index() + 1, Arc::default);
        }
        all[seat.index()].clone()
    }

    /// A worker's life.
    ///
    /// # Errors
    /// What a callback raised that is no `Exception`: the thread ends with it.
    fn work(self: &Arc<Self>, python: Python<'_>, seat: &mut Seat) -> PyResult<()> {
        let me = owner::thread(python);
        self.jobs.sit(seat, me);
        if !self.initialise(python)? {
            return Ok(());
        }
        let running = &self.running_at(seat);
        set_running(Some(running.clone()));
        let mut turn = Turn::begin();
        let mut tasks = 0;
        loop {
            match self.jobs.take(seat) {
                Taken::Job(task) => {
                    task.run(python, me, running)?;
                    tasks += 1;
                    // In a pool that ends, no other is started.
                    if self.most_tasks.is_some_and(|most| tasks >= most) && !self.jobs.is_closed() {
                        return Ok(());
                    }
                    turn.took_place(python);
                }
                Taken::Nothing => {
                    self.wait(python)?;
                    turn = Turn::begin();
                }
                Taken::End => return Ok(()),
            }
        }
    }

    fn wait(&self, python: Python<'_>) -> PyResult<()> {
        let mut call = WaitCall::default();
        let (_, raised) = detached(python, true, |environment| {
            // Nothing but a job and the end ends it.
            let _ = block(&self.jobs, &mut call, Deadline::Never, &mut Idle(environment));
        });
        raised.map_or(Ok(()), Err)
    }

    /// Calls the initializer. False if it has raised here or elsewhere; then all that is to be done fails.
    fn initialise(&self, python: Python<'_>) -> PyResult<bool> {
        if let (None, Some((function, args))) = (self.refused.get(), &self.initializer) {
            if let Err(error) = calls::call(function.bind(python), args.bind(python), None) {
                let _ = self.refused.set(error.into_value(python).into_any());
            }
        }
        let Some(reason) = self.refused.get() else { return Ok(true) };
        for task in self.jobs.drain() {
            if task.promise.start(None) {
                let outcome = Outcome::Error(refusal(python, reason)?);
                drop((task.function, task.args, task.kwargs));
                task.promise.finish_attached(python, outcome)?;
            }
        }
        Ok(false)
    }

    /// Shows what it has to the garbage collector.
    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.hire)?;
        visit.call(self.refused.get())?;
        if let Some((function, args)) = &self.initializer {
            visit.call(function)?;
            visit.call(args)?;
        }
        // Those of a task that is not over are in use.
        if Arc::strong_count(&self.terms) == 1 { visit.call(&self.terms.context) } else { Ok(()) }
    }

    /// Cancels what nobody has begun.
    fn cancel_pending(&self, python: Python<'_>) -> PyResult<()> {
        let mut result = Ok(());
        for task in self.jobs.drain() {
            drop((task.function, task.args, task.kwargs));
            result = result.and(task.promise.finish_attached(python, Outcome::Cancelled).map(drop));
        }
        result
    }
}

/// What a task fails with whose pool's initializer has raised.
fn refusal(python: Python<'_>, reason: &Py<PyAny>) -> PyResult<Py<PyAny>> {
    let text = format!(
        "no worker could be made ready: the pool's initializer raised {}",
        reason.bind(python).get_type().name()?
    );
    let error = INITIALIZER.class(python)?.call1((text,))?;
    error.setattr(intern!(python, "__cause__"), reason)?;
    Ok(error.unbind())
}

/// How long this thread has kept the interpreter. Functions written in C never let go of it by themselves, and between
/// two of them nobody else would.
struct Turn {
    since: Instant,
    tasks: u32,
}

impl Turn {
    /// As long as the interpreter lets a thread keep it while others want it.
    const LONGEST: Duration = Duration::from_millis(5);
    /// The clock is looked at once in so many tasks.
    const LOOK_EVERY: u32 = 8;

    fn begin() -> Self {
        Self { since: Instant::now(), tasks: 0 }
    }

    fn took_place(&mut self, python: Python<'_>) {
        self.tasks += 1;
        if self.tasks % Self::LOOK_EVERY == 0 && self.since.elapsed() >= Self::LONGEST {
            python.detach(|| {});
            *self = Self::begin();
        }
    }
}

/// A worker that waits for something to do: nobody misses what never comes.
struct Idle<'a>(&'a mut PythonThread);

impl Environment for Idle<'_> {
    fn flags(&self) -> u32 {
        self.0.flags() | flag::IDLE
    }

    fn judge(&mut self, _deadlock: &Deadlock) -> Judgement {
        Judgement::KeepWaiting
    }

    fn may_still_move(&mut self) -> bool {
        self.0.may_still_move()
    }
}

/// What a thread of the pool runs.
#[pyclass(frozen, module = "oneloom._native_pool")]
pub struct ThreadWorker {
    /// None once its thread runs: the traceback of what a task has raised keeps this object, and must not keep the pool.
    place: Mutex<Option<(Arc<Team>, Seat)>>,
}

impl ThreadWorker {
    fn take_place(&self) -> Option<(Arc<Team>, Seat)> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for ThreadWorker {
    fn drop(&mut self) {
        // Its thread has never run it: the initializer of an executor has raised.
        if let Some((team, seat)) = self.take_place() {
            team.jobs.give_back(seat);
        }
    }
}

#[pymethods]
impl ThreadWorker {
    /// Do the pool's tasks, until there are none any more or another worker takes over.
    fn run(&self, python: Python<'_>) -> PyResult<()> {
        let Some((team, mut seat)) = self.take_place() else { return Ok(()) };
        loop {
            let ended = team.work(python, &mut seat);
            set_running(None);
            let Some(next) = team.jobs.leave(seat) else { return ended };
            let Err((_, Some(unused))) = team.hire(python, next) else { return ended };
            // No other can be started: this one goes on.
            if let Err(error) = ended {
                error.write_unraisable(python, None);
            }
            seat = unused;
        }
    }
}

/// The native half of `oneloom.ThreadPool`.
#[pyclass(frozen, subclass, weakref, module = "oneloom._native_pool")]
pub struct ThreadPool {
    team: OnceLock<Arc<Team>>,
}

impl ThreadPool {
    #[inline]
    fn team(&self) -> PyResult<&Arc<Team>> {
        self.team.get().ok_or_else(|| {
            PyRuntimeError::new_err("the pool's __init__ was not called: call super().__init__()")
        })
    }
}

#[pymethods]
impl ThreadPool {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "()")]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        Self { team: OnceLock::new() }
    }

    /// Says what pool it is. `hire(worker)` is to start a thread that runs `worker.run()`.
    #[expect(clippy::too_many_arguments, reason = "a pool has as many settings")]
    fn _open(
        &self,
        workers: usize,
        hire: Py<PyAny>,
        initializer: Option<Py<PyAny>>,
        initargs: Py<PyTuple>,
        most_tasks: Option<u64>,
        timeout: Timeout,
        retries: u32,
        context: Option<Py<PyAny>>,
    ) {
        let team = Team {
            jobs: Jobs::new(workers),
            terms: Arc::new(Terms { timeout: timeout.map(seconds), retries, context }),
            hire,
            initializer: initializer.map(|function| (function, initargs)),
            most_tasks,
            refused: OnceLock::new(),
            running: Mutex::default(),
        };
        drop(self.team.set(Arc::new(team)));
    }

    /// Have a worker call `function(*args, **kwargs)`; its future has what comes of it.
    ///
    /// RuntimeError once the pool is shut down.
    #[pyo3(signature = (function, /, *args, **kwargs), text_signature = "($self, function, /, *args, **kwargs)")]
    fn submit<'py>(
        &self,
        python: Python<'py>,
        function: Py<PyAny>,
        args: Py<PyTuple>,
        kwargs: Option<Py<PyDict>>,
    ) -> PyResult<Bound<'py, Future>> {
        let team = self.team()?;
        team.submit(python, team.terms.clone(), function, args, kwargs)
    }

    #[expect(clippy::too_many_arguments, reason = "a task and its settings")]
    fn _submit_with<'py>(
        &self,
        python: Python<'py>,
        timeout: Timeout,
        retries: u32,
        context: Option<Py<PyAny>>,
        function: Py<PyAny>,
        args: Py<PyTuple>,
        kwargs: Option<Py<PyDict>>,
    ) -> PyResult<Bound<'py, Future>> {
        let terms = Arc::new(Terms { timeout: timeout.map(seconds), retries, context });
        self.team()?.submit(python, terms, function, args, kwargs)
    }

    /// Takes no more tasks; with `cancel`, cancels what has not begun.
    fn _close(&self, python: Python<'_>, cancel: bool) -> PyResult<()> {
        let team = self.team()?;
        team.jobs.close();
        if cancel { team.cancel_pending(python) } else { Ok(()) }
    }

    /// Takes no more tasks; gives those that nobody has begun.
    fn _hand_over(&self, python: Python<'_>) -> PyResult<Vec<ThreadTask>> {
        let jobs = &self.team()?.jobs;
        jobs.close();
        jobs.drain().into_iter().map(|task| ThreadTask::new(python, task)).collect()
    }

    /// Cancels what runs, for those who wait for it.
    fn _cancel_running(&self, python: Python<'_>) -> PyResult<()> {
        let mut result = Ok(());
        let all = self.team()?.running.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for running in all {
            let promise = running.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(promise) = promise {
                result = result.and(promise.finish_attached(python, Outcome::Cancelled).map(drop));
            }
        }
        result
    }

    /// How many workers there are, how many tasks nobody has begun, and whether the pool was shut down.
    fn _figures(&self) -> PyResult<(usize, usize, bool)> {
        let jobs = &self.team()?.jobs;
        Ok((jobs.workers(), jobs.len(), jobs.is_closed()))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.team.get() {
            // Else a worker or a task has it, too; and none comes to have it between two looks.
            Some(team) if Arc::strong_count(team) == 1 => team.visit(&visit),
            _ => Ok(()),
        }
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        // What was submitted is done, and then the workers end.
        if let Some(team) = self.team.get() {
            team.jobs.close();
        }
    }
}
