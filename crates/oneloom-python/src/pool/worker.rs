//! A worker of a process pool: it takes a call, makes it, and answers, until there are no more.

use std::sync::OnceLock;

use oneloom_exec::desk::{Desk, Order, Verdict};
use oneloom_exec::packet::Packet;
use oneloom_shm::wait::Stop;
use oneloom_wait::fork;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

use super::packing::{Arrived, Found, pack_bytes, pack_result, unpicklable};
use crate::environment::detached;
use crate::once::intern;
use crate::report;
use crate::shared::error;
use crate::shared::pickling::imported;

/// A worker's place in its pool.
#[pyclass(frozen, module = "oneloom._native_pool")]
pub struct PoolWorker {
    desk: Desk,
    /// The fork generation of the process that sits there.
    born: u32,
}

#[pymethods]
impl PoolWorker {
    /// Takes the place that these bytes name; the process ends with the pool's owner from now on.
    #[new]
    fn new(python: Python<'_>, seat: &[u8]) -> PyResult<Self> {
        let desk = python.detach(|| Desk::sit(seat)).map_err(error)?;
        Ok(Self { desk, born: fork::generation() })
    }

    /// Says that no worker of the pool can begin, and why, as bytes for `oneloom._pool.results`.
    fn refuse(&self, python: Python<'_>, why: &[u8]) -> PyResult<()> {
        let packet = pack_bytes(python, self.desk.segment(), why)?;
        python.detach(|| self.desk.refuse(packet)).map_err(error)
    }

    /// Sends a record to the owner.
    fn tell(&self, python: Python<'_>, record: &[u8]) -> PyResult<()> {
        let packet = pack_bytes(python, self.desk.segment(), record)?;
        python.detach(|| self.desk.record(packet)).map_err(error)
    }

    /// Does tasks until there are no more.
    fn run(&self, python: Python<'_>) -> PyResult<()> {
        let desk = &self.desk;
        python.detach(|| desk.ready()).map_err(error)?;
        let (mut found, mut buffer) = (Found::default(), Vec::new());
        loop {
            let order = match desk.try_next(&mut buffer).map_err(error)? {
                Some(order) => order,
                None => self.wait(python, std::mem::take(&mut buffer))?,
            };
            let Order::Task(ticket, packet) = order else { return Ok(()) };
            let arrived = Arrived::new(python, packet)?;
            let (verdict, packet) = perform(python, desk, &mut found, &arrived)?;
            if fork::generation() != self.born {
                // A child of the task has come back from it: the answer is its parent's to give.
                return Ok(());
            }
            if let Arrived::Small(mut bytes, ..) = arrived {
                bytes.clear();
                buffer = bytes;
            }
            flush(python);
            python.detach(|| desk.answer(ticket, verdict, packet)).map_err(error)?;
            // Builtins can follow each other without a line of Python in between, where handlers would run.
            python.check_signals()?;
        }
    }
}

impl PoolWorker {
    fn wait(&self, python: Python<'_>, mut buffer: Vec<u8>) -> PyResult<Order> {
        loop {
            let buffer = std::mem::take(&mut buffer);
            let (ended, raised) = detached(python, false, |environment| self.desk.next(buffer, environment));
            match ended {
                Ok(order) => return Ok(order),
                Err(Stop::Failed(failure)) => return Err(error(failure)),
                Err(Stop::Deadlock(deadlock)) => return Err(report::error(python, &deadlock)),
                Err(Stop::TimedOut | Stop::Interrupted) => raised.map_or(Ok(()), Err)?,
            }
        }
    }
}

fn perform(
    python: Python<'_>,
    desk: &Desk,
    found: &mut Found,
    arrived: &Arrived,
) -> PyResult<(Verdict, Packet)> {
    let call = match found.call(python, arrived) {
        Ok(call) => call,
        Err(failure) => return failed(python, desk, &failure, "unreadable", ""),
    };
    let result = match call.make() {
        Ok(result) => result,
        Err(failure) => return failed(python, desk, &failure, "failed", &call.name()),
    };
    match pack_result(desk.segment(), &result) {
        Ok(packet) => Ok((Verdict::Succeeded, packet)),
        Err(failure) => {
            let what = format!("the result of {}", call.name());
            let failure = unpicklable(&result, "result", &what, &failure);
            let (_, packet) = failed(python, desk, &failure, "failed", &call.name())?;
            Ok((Verdict::FailedForGood, packet))
        }
    }
}

/// How a failure is told. What is no `Exception` is not to be tried again, nor what never began.
fn failed(
    python: Python<'_>,
    desk: &Desk,
    failure: &PyErr,
    how: &'static str,
    name: &str,
) -> PyResult<(Verdict, Packet)> {
    let module = python.import(intern!(python, "oneloom._pool.worker"))?;
    // Unlike `value`, this brings the traceback along on CPython 3.11.
    let told = module.call_method1(how, (failure.clone_ref(python).into_value(python), name))?;
    let again = how == "failed" && failure.is_instance_of::<PyException>(python);
    let verdict = if again { Verdict::Failed } else { Verdict::FailedForGood };
    Ok((verdict, pack_bytes(python, desk.segment(), told.extract()?)?))
}

/// Lets out what the task has written.
fn flush(python: Python<'_>) {
    static SYS: OnceLock<Py<PyAny>> = OnceLock::new();
    let Ok(sys) = imported(python, &SYS, "sys", &[]) else { return };
    for name in [intern!(python, "stdout"), intern!(python, "stderr")] {
        // A stream that is closed or broken is the task's own affair.
        let stream = sys.getattr(name).ok().filter(|stream| !stream.is_none());
        let _ = stream.map(|stream| stream.call_method0(intern!(python, "flush")));
    }
}
