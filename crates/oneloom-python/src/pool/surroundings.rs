//! What a pool needs of Python: somebody who starts its workers and reaps them, the *keeper*, and somebody who calls what
//! is to be called when a future ends, the *caller*. Both are threads of Python's, because they run its code; what they
//! have to do comes to them through channels, from threads that have no interpreter.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oneloom_exec::launch::{Exit, Launcher, Seat as RawSeat, Status};
use oneloom_exec::packet::Packet;
use oneloom_exec::pool::Pool;
use oneloom_exec::seat;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::calls;
use crate::future::{Dispatch, Outcome, Promise};
use crate::shared::error;

/// So many workers that have ended are remembered, for those tasks that are told only now.
const REMEMBERED: usize = 8;

/// A worker as Python knows it.
pub struct WorkerObject(pub Py<PyAny>);

/// How a process ended, if it is a child of this one: it stays for multiprocessing to reap.
fn look_at_end(pid: u32) -> Status {
    // SAFETY: plain data that the call fills in.
    let (looked, info) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        (libc::waitid(libc::P_PID, pid, &raw mut info, how), info)
    };
    // SAFETY: the call has filled in what belongs to the end of a child, or left zeros.
    let (child, status) = unsafe { (info.si_pid(), info.si_status()) };
    match info.si_code {
        _ if looked != 0 || child == 0 => Status::Unknown,
        libc::CLD_EXITED => Status::Code(status),
        _ => Status::Signal(status),
    }
}

/// What the keeper is to do.
enum Chore {
    Launch(RawSeat),
    Reap(u32),
    /// Start the caller.
    Call,
    Over,
}

/// What the caller is to do.
enum Calling {
    End(Promise, Option<Outcome>),
    Record(Packet),
    Over,
}

#[derive(Default)]
struct Workers {
    living: HashMap<u32, Arc<WorkerObject>>,
    ended: VecDeque<(u32, Arc<WorkerObject>)>,
}

/// See the module's first lines.
pub struct Surroundings {
    chores: Sender<Chore>,
    to_keep: Mutex<Receiver<Chore>>,
    calls: Sender<Calling>,
    to_call: Mutex<Receiver<Calling>>,
    /// Whether the caller was asked for.
    calling: AtomicBool,
    /// Who makes objects of what the workers answer, where the pool has a way of its own: see `answers`.
    reader: Option<u64>,
    workers: Mutex<Workers>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// A channel's other end stands in the same object, so nothing is ever refused.
impl Surroundings {
    /// Nothing to do yet.
    pub fn new(reader: Option<u64>) -> Self {
        let ((chores, to_keep), (calls, to_call)) = (channel(), channel());
        Self {
            chores,
            to_keep: Mutex::new(to_keep),
            calls,
            to_call: Mutex::new(to_call),
            calling: AtomicBool::new(false),
            reader,
            workers: Mutex::default(),
        }
    }

    /// Those that had ended long before this one, and were all reaped: to be dropped with the interpreter.
    fn forget_long_before(&self, pid: u32) -> Vec<(u32, Arc<WorkerObject>)> {
        let ended = &mut locked(&self.workers).ended;
        let reaped = ended.iter().position(|(other, _)| *other == pid).unwrap_or(0);
        ended.drain(..reaped.saturating_sub(REMEMBERED)).collect()
    }

    /// The worker with this pid, which may have ended just now.
    pub fn worker(&self, pid: u32) -> Option<Arc<WorkerObject>> {
        let workers = locked(&self.workers);
        let ended = workers.ended.iter().rev().find(|(other, _)| *other == pid).map(|(_, worker)| worker);
        ended.or_else(|| workers.living.get(&pid)).cloned()
    }

    /// Who reads the answers, where that is not this package's own way.
    pub fn reader(&self) -> Option<u64> {
        self.reader
    }

    fn call(&self, calling: Calling) {
        if !self.calling.swap(true, Ordering::AcqRel) {
            let _ = self.chores.send(Chore::Call);
        }
        let _ = self.calls.send(calling);
    }
}

impl Launcher for Surroundings {
    fn launch(&self, seat: RawSeat) {
        let _ = self.chores.send(Chore::Launch(seat));
    }

    fn ended(&self, _worker: u32, pid: u32) -> Exit {
        {
            let mut workers = locked(&self.workers);
            if let Some(worker) = workers.living.remove(&pid) {
                // The keeper forgets it in the end: without the interpreter no object is to be dropped.
                workers.ended.push_back((pid, worker));
            }
        }
        // All that there is to say of it comes from the worker's own object, when somebody asks.
        let exit = Exit { status: look_at_end(pid), text: None };
        let _ = self.chores.send(Chore::Reap(pid));
        exit
    }

    fn record(&self, _pid: u32, record: Packet) {
        self.call(Calling::Record(record));
    }

    fn over(&self) {
        let _ = self.calls.send(Calling::Over);
        let _ = self.chores.send(Chore::Over);
    }
}

impl Dispatch for Surroundings {
    fn dispatch(&self, promise: Promise, outcome: Option<Outcome>) {
        self.call(Calling::End(promise, outcome));
    }
}

/// What a pool's own threads ask for work.
#[pyclass(frozen, module = "oneloom._native_pool")]
pub struct PoolKeeper {
    pub surroundings: Arc<Surroundings>,
    pub engine: Pool,
}

#[pymethods]
impl PoolKeeper {
    /// Lets the pool finish what it was given, and end.
    fn shut_down(&self, python: Python<'_>) {
        python.detach(|| self.engine.shut_down(false));
    }

    /// Ends the pool now.
    fn terminate(&self, python: Python<'_>) {
        python.detach(|| self.engine.terminate());
    }

    /// What the keeper is to do next: a `PoolSeat` to start a worker for, the object of a worker that has ended, True to
    /// start the caller; None at the end. Waits for it.
    fn next(&self, python: Python<'_>) -> PyResult<Py<PyAny>> {
        loop {
            let chore = python.detach(|| locked(&self.surroundings.to_keep).recv());
            match chore {
                Ok(Chore::Launch(seat)) => {
                    let surroundings = self.surroundings.clone();
                    let (number, bytes) = (seat.worker(), seat.to_bytes());
                    let seat = PoolSeat { number, bytes, seat: Mutex::new(Some(seat)), surroundings };
                    return Ok(Bound::new(python, seat)?.into_any().unbind());
                }
                Ok(Chore::Reap(pid)) => {
                    drop(self.surroundings.forget_long_before(pid));
                    if let Some(worker) = self.surroundings.worker(pid) {
                        return Ok(worker.0.clone_ref(python));
                    }
                }
                Ok(Chore::Call) => return Ok(crate::waiting::truth(python, true)),
                Ok(Chore::Over) | Err(_) => {
                    // Here, where there is an interpreter: what falls away without one is kept behind a lock that the
                    // child of a fork may wait for.
                    let workers = std::mem::take(&mut *locked(&self.surroundings.workers));
                    drop(workers);
                    return Ok(python.None());
                }
            }
        }
    }

    /// Calls what is to be called when futures end, and `handle` with each record of a worker's, until the end.
    fn call(&self, python: Python<'_>, handle: &Bound<'_, PyAny>) {
        loop {
            let calling = python.detach(|| locked(&self.surroundings.to_call).recv());
            let called = match calling {
                Ok(Calling::End(promise, outcome)) => promise.dispatched(python, outcome),
                Ok(Calling::Record(packet)) => packet
                    .bytes()
                    .map_err(error)
                    .and_then(|bytes| PyTuple::new(python, [PyBytes::new(python, bytes)]))
                    .and_then(|args| calls::call(handle, &args, None).map(drop)),
                Ok(Calling::Over) | Err(_) => return,
            };
            if let Err(failure) = called {
                failure.write_unraisable(python, None);
            }
        }
    }
}

/// A place for a worker that is to be started.
#[pyclass(frozen, module = "oneloom._native_pool")]
pub struct PoolSeat {
    number: u32,
    bytes: [u8; seat::LENGTH],
    /// None once it has said how it went.
    seat: Mutex<Option<RawSeat>>,
    surroundings: Arc<Surroundings>,
}

impl PoolSeat {
    fn take(&self) -> Option<RawSeat> {
        locked(&self.seat).take()
    }
}

#[pymethods]
impl PoolSeat {
    /// What the worker gets.
    fn to_bytes<'py>(&self, python: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(python, &self.bytes)
    }

    /// Its number in the pool.
    fn number(&self) -> u32 {
        self.number
    }

    /// Says that this process was started for it.
    fn launched(&self, python: Python<'_>, pid: u32, worker: Py<PyAny>) {
        let before = locked(&self.surroundings.workers).living.insert(pid, Arc::new(WorkerObject(worker)));
        drop(before);
        if let Some(seat) = self.take() {
            python.detach(|| seat.launched(pid));
        }
    }

    /// Says why none could be started.
    fn failed(&self, python: Python<'_>, why: String) {
        if let Some(seat) = self.take() {
            python.detach(|| seat.failed(why));
        }
    }
}
