//! `ProcessPool`, as far as it is native: handing in tasks, and the life of the engine behind it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use oneloom_exec::message::TaskId;
use oneloom_exec::pool::{Pool, Settings};
use oneloom_exec::task::Limits;
use oneloom_sync::raw::{EventCall, RawEvent};
use oneloom_wait::fork;
use oneloom_wait::wait::Handle;
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::os::fd::AsRawFd;

use super::answers::{Task, refused};
use super::packing::{Functions, pack_call, unpicklable};
use super::surroundings::{PoolKeeper, Surroundings};
use crate::arguments::{Timeout, lenient_deadline, seconds};
use crate::environment::wait;
use crate::future::{Cancel, Future, Outcome, Promise};
use crate::shared::error;
use crate::waiting::{Visible, Waiting};

/// The engine of a process pool, and what its tasks have in common.
struct Content {
    engine: Pool,
    surroundings: Arc<Surroundings>,
    functions: Functions,
    limits: Limits,
    born: u32,
}

impl Drop for Content {
    fn drop(&mut self) {
        // A pool that nobody has any more does what it was given, and ends. In the child of a fork it is the parent's.
        if fork::generation() == self.born {
            // Where nobody can attach, nobody has to detach.
            let shut_down = || self.engine.shut_down(false);
            if Python::try_attach(|python| python.detach(shut_down)).is_none() {
                shut_down();
            }
        }
    }
}

/// The native part of `oneloom.ProcessPool`.
#[pyclass(frozen, subclass, weakref, module = "oneloom._native_pool")]
pub struct ProcessPool {
    content: OnceLock<Content>,
}

/// Takes a future's task out of the pool.
struct Canceller {
    engine: Pool,
    /// 0 until it is in the pool.
    task: AtomicU64,
}

impl Cancel for Canceller {
    fn cancel(&self, running: bool) -> bool {
        let task = TaskId(self.task.load(Ordering::Acquire));
        // Others may be changing the pool, and some of those wait for memory.
        task != TaskId::NONE && Python::attach(|python| python.detach(|| self.engine.cancel(task, running)))
    }

    fn can_help(&self) -> bool {
        true
    }

    fn help(&self, done: &dyn Fn() -> bool) {
        self.engine.help(done);
    }
}

impl ProcessPool {
    fn content(&self) -> PyResult<&Content> {
        self.content.get().ok_or_else(|| PyRuntimeError::new_err("ProcessPool.__init__() was not called"))
    }

    /// `told_as` is whose name messages tell, if it is not the function's own.
    fn hand_in<'py>(
        &self,
        limits: Option<Limits>,
        told_as: Option<&Bound<'py, PyAny>>,
        function: &Bound<'py, PyAny>,
        positional: &Bound<'py, PyTuple>,
        named: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Future>> {
        let (python, content) = (function.py(), self.content()?);
        let known = content.functions.know(function)?;
        let told = told_as.map_or_else(|| Ok(known.clone()), |function| content.functions.know(function))?;
        let canceller =
            Arc::new(Canceller { engine: content.engine.clone(), task: AtomicU64::new(TaskId::NONE.0) });
        let promise = Promise::new(Some(canceller.clone()), Some(content.surroundings.clone()));
        let future = promise.future(python)?;
        let packet = match pack_call(content.engine.segment(), &known, function, positional, named) {
            Ok(packet) => packet,
            Err(failure) if failure.is_instance_of::<PyException>(python) => {
                let all = (function, positional, named).into_pyobject(python)?;
                let called = if told_as.is_some() { "chunk" } else { "call" };
                let failure =
                    unpicklable(&all.into_any(), called, &format!("a call of {}", told.name), &failure);
                promise.finish_attached(python, Outcome::Error(failure.into_value(python).into_any()))?;
                return Ok(future);
            }
            Err(failure) => return Err(failure),
        };
        let weight = packet.bytes().map_or(0, <[u8]>::len);
        let task =
            Box::new(Task { promise, known: told, surroundings: content.surroundings.clone(), weight });
        let limits = limits.unwrap_or(content.limits);
        match python.detach(|| content.engine.submit(packet, limits, task)) {
            Ok(task) => canceller.task.store(task.0, Ordering::Release),
            Err(refusal) => return Err(refused(python, &refusal, None)),
        }
        Ok(future)
    }
}

/// The end of a pool, to wait for.
struct Over(Pool);

impl Visible for Over {}

// SAFETY: the event stands in what the pool shares, which stays where it is while this has it.
unsafe impl Handle for Over {
    type Primitive = RawEvent;

    fn primitive(&self) -> &RawEvent {
        self.0.over()
    }
}

fn limits(timeout: Timeout, retries: u32) -> Limits {
    Limits { timeout: timeout.map(|timeout| seconds(timeout).max(Duration::from_nanos(1))), retries }
}

#[pymethods]
impl ProcessPool {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "()")]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        Self { content: OnceLock::new() }
    }

    /// Makes the engine; gives what the pool's threads ask for work. `reader` makes objects of what functions return,
    /// which are bytes then: see `answers`.
    #[pyo3(signature = (workers, tasks_per_worker, timeout, retries, reader=None))]
    fn _begin(
        &self,
        python: Python<'_>,
        workers: usize,
        tasks_per_worker: Option<u64>,
        timeout: Timeout,
        retries: u32,
        reader: Option<u64>,
    ) -> PyResult<PoolKeeper> {
        let surroundings = Arc::new(Surroundings::new(reader));
        let settings = Settings { workers, tasks_per_worker };
        let engine = python.detach(|| Pool::new(settings, surroundings.clone())).map_err(error)?;
        let keeper = PoolKeeper { surroundings: surroundings.clone(), engine: engine.clone() };
        let content = Content {
            engine,
            surroundings,
            functions: Functions::default(),
            limits: limits(timeout, retries),
            born: fork::generation(),
        };
        drop(self.content.set(content));
        Ok(keeper)
    }

    /// The number of the family of shared objects, and the descriptor of its memory.
    fn _family(&self) -> PyResult<(u64, Option<i32>)> {
        let segment = self.content()?.engine.segment();
        Ok((segment.family(), segment.descriptor().map(|descriptor| descriptor.as_raw_fd())))
    }

    /// Have a worker call `function(*args, **kwargs)`; its future has what comes of it.
    ///
    /// What can't be pickled is the future's error, at once. RuntimeError once the pool is shut down.
    #[pyo3(signature = (function, /, *args, **kwargs))]
    fn submit<'py>(
        &self,
        function: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Future>> {
        self.hand_in(None, None, function, args, kwargs)
    }

    /// The same with limits of its own.
    fn _submit_with<'py>(
        &self,
        timeout: Timeout,
        retries: u32,
        function: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Future>> {
        self.hand_in(Some(limits(timeout, retries)), None, function, args, kwargs)
    }

    /// Hands in several calls of `function` as one task, which `run` makes of them.
    fn _submit_run_with<'py>(
        &self,
        timeout: Timeout,
        retries: u32,
        run: &Bound<'py, PyAny>,
        function: &Bound<'py, PyAny>,
        star: bool,
        items: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Future>> {
        let arguments = (function, star, items).into_pyobject(run.py())?;
        self.hand_in(Some(limits(timeout, retries)), Some(function), run, &arguments, None)
    }

    fn _shut_down(&self, python: Python<'_>, cancel: bool) -> PyResult<()> {
        let engine = &self.content()?.engine;
        python.detach(|| engine.shut_down(cancel));
        Ok(())
    }

    fn _terminate(&self, python: Python<'_>) -> PyResult<()> {
        let engine = &self.content()?.engine;
        python.detach(|| engine.terminate());
        Ok(())
    }

    /// Waits until all tasks and workers have ended; whether they had in time.
    fn _wait_over(&self, python: Python<'_>, timeout: Timeout) -> PyResult<bool> {
        let Content { engine, born, .. } = self.content()?;
        // Nothing of it ends in the child of a fork, which has none of its threads.
        if fork::generation() != *born {
            return Ok(true);
        }
        Ok(wait(python, engine.over(), &mut EventCall, || Ok(lenient_deadline(timeout)))?.is_some())
    }

    /// An awaitable that waits for the same.
    fn _over_later(&self, python: Python<'_>) -> PyResult<Waiting> {
        let over = Over(self.content()?.engine.clone());
        Waiting::yes_or_no(python, over, EventCall, None, |()| true)
    }

    /// How many tasks wait and run, and how many workers there are.
    fn _counts(&self, python: Python<'_>) -> PyResult<(usize, usize, usize)> {
        let engine = &self.content()?.engine;
        let counts = python.detach(|| engine.counts());
        Ok((counts.pending, counts.running, counts.workers))
    }

    /// The pids of the workers, by number.
    fn _workers(&self, python: Python<'_>) -> PyResult<Vec<(u32, u32)>> {
        let engine = &self.content()?.engine;
        Ok(python.detach(|| engine.workers()))
    }

    /// Starts workers ahead of tasks, until there are so many.
    fn _launch(&self, python: Python<'_>, workers: usize) -> PyResult<()> {
        let engine = &self.content()?.engine;
        python.detach(|| engine.launch(workers));
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.content.get().map_or(Ok(()), |content| content.functions.visit(&visit))
    }
}
