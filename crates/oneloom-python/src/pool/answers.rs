//! What becomes of a task: how its future learns of it, and how its reader makes objects of it.

use std::sync::{Arc, OnceLock};

use oneloom_exec::packet::Packet;
use oneloom_exec::task::{End, Failure, Refusal, Report};
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;

use super::packing::{Arrived, Known};
use super::surroundings::{Surroundings, WorkerObject};
use crate::future::{Outcome, Promise, Unpack};
use crate::shared::pickling::imported;

/// A task in the pool.
pub struct Task {
    pub promise: Promise,
    pub known: Arc<Known>,
    pub surroundings: Arc<Surroundings>,
    /// How many bytes it took to send.
    pub weight: usize,
}

impl Report for Task {
    fn running(&self, running: bool) {
        if running {
            self.promise.start(None);
        } else {
            self.promise.unstart();
        }
    }

    fn ended(self: Box<Self>, end: End) {
        let has_reader = self.surroundings.reader().is_some();
        let end = match end {
            End::Succeeded(reply) => Ended::Succeeded(reply.packet),
            End::Failed(reply) => Ended::Failed(reply.packet),
            End::Lost(Failure::Terminated) if has_reader => Ended::Died(None, 0),
            End::Lost(Failure::Cancelled | Failure::Terminated) => {
                self.promise.finish(Outcome::Cancelled);
                return;
            }
            End::Lost(Failure::Died { pid, .. }) => Ended::Died(self.surroundings.worker(pid), pid),
            End::Lost(Failure::TimedOut { pid }) => Ended::TimedOut(pid),
            End::Lost(Failure::Refused(refusal)) => {
                let last = match &refusal {
                    Refusal::Launch { pid: Some(pid), .. } => self.surroundings.worker(*pid),
                    _ => None,
                };
                Ended::Refused(refusal, last)
            }
            End::Lost(Failure::Memory(failure)) => Ended::NotSent(failure),
        };
        let says_failed = match &end {
            Ended::Succeeded(packet) => {
                has_reader && packet.bytes().is_ok_and(|bytes| bytes.first() == Some(&FAILED))
            }
            _ => false,
        };
        let came = match &end {
            Ended::Succeeded(packet) | Ended::Failed(packet) => packet.bytes().map_or(0, <[u8]>::len),
            _ => 0,
        };
        let (known, surroundings, weight) = (self.known, self.surroundings, self.weight + came);
        let answer = Answer { end: Some(end), arrived: None, says_failed, known, surroundings, weight };
        self.promise.finish(Outcome::Packed(Box::new(answer)));
    }
}

enum Ended {
    Succeeded(Packet),
    Failed(Packet),
    Died(Option<Arc<WorkerObject>>, u32),
    TimedOut(u32),
    Refused(Refusal, Option<Arc<WorkerObject>>),
    NotSent(oneloom_shm::error::Error),
}

/// A task's end, to be unpacked by whoever reads it first.
struct Answer {
    /// None once what it brought stands in `arrived`.
    end: Option<Ended>,
    /// What has arrived, and whether it is a result.
    arrived: Option<(Arrived, bool)>,
    /// It is for the pool's reader, and no value.
    says_failed: bool,
    known: Arc<Known>,
    surroundings: Arc<Surroundings>,
    /// How many bytes went and came.
    weight: usize,
}

/// The first byte of bytes for a pool's reader that stand for an error.
const FAILED: u8 = 1;

/// Known by a number and no object: what falls away in a thread without the interpreter must not be one of Python's.
static READ: OnceLock<Py<PyAny>> = OnceLock::new();

static RESULTS: [OnceLock<Py<PyAny>>; 4] = [const { OnceLock::new() }; 4];
const NAMES: [&str; 4] = ["raised", "unreadable", "died", "timed_out"];

/// A function of `oneloom._pool.results`.
fn from_results<'py>(python: Python<'py>, index: usize) -> PyResult<&'py Bound<'py, PyAny>> {
    imported(python, &RESULTS[index], "oneloom._pool.results", &[NAMES[index]])
}

impl Answer {
    /// Takes hold of what the worker has sent. What else there is to tell stays, for those who try again.
    fn arrive(&mut self, python: Python<'_>) -> PyResult<()> {
        let (packet, succeeded) = match self.end.take() {
            Some(Ended::Succeeded(packet)) => (packet, true),
            Some(Ended::Failed(packet)) => (packet, false),
            other => {
                self.end = other;
                return Ok(());
            }
        };
        self.arrived = Some((Arrived::new(python, packet)?, succeeded));
        Ok(())
    }

    /// Leaves it to the pool's reader, which gets the bytes that the function has returned, None if the worker has none,
    /// and gives whether it is a value and what it is.
    fn read_by(&mut self, python: Python<'_>, reader: u64) -> PyResult<Outcome> {
        let told = match &self.arrived {
            Some((arrived, true)) => Some(arrived.result(python)?),
            Some(_) => return self.read(python),
            None => None,
        };
        let (is_value, what): (bool, Py<PyAny>) =
            imported(python, &READ, "oneloom.concurrent.futures.process", &["_read"])?
                .call1((reader, told))?
                .extract()?;
        Ok(if is_value { Outcome::Value(what) } else { Outcome::Error(what) })
    }

    fn read(&self, python: Python<'_>) -> PyResult<Outcome> {
        let Some((arrived, succeeded)) = &self.arrived else { return Ok(Outcome::Cancelled) };
        let name = &*self.known.name;
        let read = arrived.result(python).and_then(|result| {
            if *succeeded {
                return Ok(Outcome::Value(result.unbind()));
            }
            Ok(Outcome::Error(from_results(python, 0)?.call1((result,))?.unbind()))
        });
        match read {
            Err(failure) if failure.is_instance_of::<PyException>(python) => {
                let told =
                    from_results(python, 1)?.call1((name, failure.clone_ref(python).into_value(python)))?;
                Ok(Outcome::Error(told.unbind()))
            }
            read => read,
        }
    }
}

impl Unpack for Answer {
    fn unpack(&mut self, python: Python<'_>) -> PyResult<Outcome> {
        let surroundings = self.surroundings.clone();
        self.arrive(python)?;
        if let Some(reader) = surroundings.reader() {
            return self.read_by(python, reader);
        }
        let name = &*self.known.name;
        let error = match &self.end {
            None | Some(Ended::Succeeded(_) | Ended::Failed(_)) => return self.read(python),
            Some(Ended::Died(worker, pid)) => {
                let worker = worker.as_ref().map(|worker| worker.0.clone_ref(python));
                from_results(python, 2)?.call1((worker, *pid, name))?.unbind()
            }
            Some(Ended::TimedOut(pid)) => from_results(python, 3)?.call1((*pid, name))?.unbind(),
            Some(Ended::Refused(refusal, last)) => return Err(refused(python, refusal, last.as_deref())),
            Some(Ended::NotSent(failure)) => return Err(crate::shared::error(failure.clone())),
        };
        Ok(Outcome::Error(error))
    }

    fn has_failed(&self) -> bool {
        match (&self.end, &self.arrived) {
            (Some(Ended::Succeeded(_)), _) => self.says_failed,
            (None, Some((_, succeeded))) => !succeeded || self.says_failed,
            _ => true,
        }
    }

    fn weight(&self) -> usize {
        self.weight
    }
}

/// Why a pool takes no tasks, or has no worker for them; then, the `last` one that did not come to be ready.
pub fn refused(python: Python<'_>, refusal: &Refusal, last: Option<&WorkerObject>) -> PyErr {
    static REFUSED: OnceLock<Py<PyAny>> = OnceLock::new();
    let told = match refusal {
        Refusal::ShutDown => return PyRuntimeError::new_err("cannot schedule new futures after shutdown"),
        Refusal::Worker(packet) => packet.bytes().ok(),
        _ => None,
    };
    let launch = matches!(refusal, Refusal::Launch { .. });
    let last = last.map(|worker| worker.0.clone_ref(python));
    let made = imported(python, &REFUSED, "oneloom._pool.results", &["refused"])
        .and_then(|refused| refused.call1((refusal.to_string(), launch, last, told)));
    made.map_or_else(|error| error, PyErr::from_value)
}
