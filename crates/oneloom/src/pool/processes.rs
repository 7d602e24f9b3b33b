//! A pool of processes, which run functions of this program.

use std::fmt;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;

use oneloom_exec::launch::Seat;
use oneloom_exec::launch::{Exit, Launcher, Status, reap};
use oneloom_exec::packet::Packet;
use oneloom_exec::pool::{Pool, Settings};
use oneloom_exec::task::{End, Failure, Limits, Refusal, Reply, Report};
use oneloom_shm::{family, start};
use oneloom_sync::environment::Patient;
use oneloom_sync::raw::EventCall;
use oneloom_wait::background;
use oneloom_wait::clock::Deadline;
use oneloom_wait::wait::block;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::future::Promise;
use super::worker::{PANIC, RESULT};
use super::{Future, TaskError};
use crate::process::functions::{registered, written};
use crate::process::letter::Letter;
use crate::shared;

/// Processes that run functions of this program, at most so many at a time.
///
/// They are this program, started once more when tasks come: `main` begins with
/// [`process::init`](crate::process::init), which is told of the functions. Arguments and results are values that serde
/// can write and read, the objects of [`shared`] among them.
///
/// A process that dies takes the task with it that it ran, and no other: what it had not begun moves on, and another
/// process takes its place. Dropped, the pool finishes what was submitted, and waits for that. If this program is
/// killed, its pool's processes end at once.
///
/// ```standalone_crate
/// use oneloom::pool::{ProcessPool, TaskError};
/// use oneloom::process;
///
/// fn square(number: u64) -> u64 {
///     number * number
/// }
///
/// fn crash(_: ()) {
///     std::process::abort()
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     process::init(|functions| {
///         functions.add(square);
///         functions.add(crash);
///     });
///
///     let pool = ProcessPool::new(2)?;
///     let squares: Vec<_> = (0..100).map(|number| pool.submit(square, number)).collect();
///     let crashed = pool.submit(crash, ());
///     let total: u64 = squares.into_iter().map(|square| square.wait()).sum::<Result<_, _>>()?;
///     assert_eq!(total, 328_350);
///     assert!(matches!(crashed.wait(), Err(TaskError::Died { .. })));
///     Ok(())
/// }
/// ```
pub struct ProcessPool {
    pool: Pool,
}

impl ProcessPool {
    /// A pool of at most `workers` processes, at least one. None is started before there is a task.
    ///
    /// # Errors
    /// If there is no shared memory or no thread for it.
    pub fn new(workers: usize) -> Result<Self, shared::Error> {
        Self::with_settings(Settings { workers, tasks_per_worker: None })
    }

    /// The same; with `tasks_per_worker`, a process is replaced after so many tasks.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    ///
    /// ```standalone_crate
    /// # use oneloom::pool::{ProcessPool, Settings, TaskError};
    /// # use oneloom::process;
    /// fn own_id(_: ()) -> u32 {
    ///     std::process::id()
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # process::init(|functions| functions.add(own_id));
    /// let pool = ProcessPool::with_settings(Settings { workers: 1, tasks_per_worker: Some(1) })?;
    /// assert_ne!(pool.submit(own_id, ()).wait()?, pool.submit(own_id, ()).wait()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_settings(settings: Settings) -> Result<Self, shared::Error> {
        Ok(Self { pool: Pool::new(settings, Arc::new(Program))? })
    }

    /// Has a process run `function` with `argument`.
    ///
    /// The function is one that [`process::init`](crate::process::init) was told of, or the future gives
    /// [`TaskError::NotRun`]. Costs a few microseconds and what serde needs.
    pub fn submit<A, R, F>(&self, function: F, argument: A) -> Future<R>
    where
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned + Send + 'static,
        F: Fn(A) -> R + Send + Sync + 'static,
    {
        self.submit_with(Limits::default(), function, argument)
    }

    /// The same with limits: how long one run may take, after which its process is killed, and how often it is tried again
    /// when it panicked, took too long, or its process died.
    ///
    /// ```standalone_crate
    /// # use oneloom::pool::{Limits, ProcessPool, TaskError};
    /// # use oneloom::process;
    /// # use std::time::Duration;
    /// fn for_ever(_: ()) {
    ///     loop {
    ///         std::thread::park();
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # process::init(|functions| functions.add(for_ever));
    /// let pool = ProcessPool::new(1)?;
    /// let limits = Limits { timeout: Some(Duration::from_millis(50)), retries: 1 };
    /// assert_eq!(pool.submit_with(limits, for_ever, ()).wait(), Err(TaskError::TimedOut));
    /// # Ok(())
    /// # }
    /// ```
    pub fn submit_with<A, R, F>(&self, limits: Limits, function: F, argument: A) -> Future<R>
    where
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned + Send + 'static,
        F: Fn(A) -> R + Send + Sync + 'static,
    {
        let (promise, future) = Promise::new(None);
        let asked = registered(&function).and_then(|name| written(name, &argument));
        let packet = asked.map_err(|error| error.to_string()).and_then(|asked| {
            Packet::copy_of(self.pool.segment(), &[&asked], 0).map_err(|error| error.to_string())
        });
        match packet {
            Err(why) => promise.finish(Err(TaskError::NotRun(why))),
            // Where the pool takes none, the promise goes with the task, and says so.
            Ok(packet) => {
                if let Ok(task) = self.pool.submit(packet, limits, Box::new(Task(promise))) {
                    future.is_of(self.pool.clone(), task);
                }
            }
        }
        future
    }

    /// Takes no more tasks. Those that were submitted are run; waits for nothing.
    pub fn shutdown(&self) {
        self.pool.shut_down(false);
    }

    /// Takes no more tasks, kills its processes, and ends the tasks that have not ended with [`TaskError::Cancelled`].
    /// Waits for nothing: the processes have ended when the pool was dropped.
    pub fn terminate(&self) {
        self.pool.terminate();
    }

    /// The ids of the processes that it has now: those that were started and whose end was not seen yet.
    pub fn processes(&self) -> Vec<u32> {
        self.pool.workers().into_iter().map(|(_, pid)| pid).collect()
    }
}

impl Drop for ProcessPool {
    fn drop(&mut self) {
        if self.pool.is_here() {
            self.shutdown();
            // Nothing else ends such a wait.
            let _ = block(self.pool.over(), &mut EventCall, Deadline::Never, &mut Patient);
        }
    }
}

impl fmt::Debug for ProcessPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.pool.counts();
        formatter
            .debug_struct("ProcessPool")
            .field("pending", &counts.pending)
            .field("running", &counts.running)
            .field("workers", &counts.workers)
            .finish()
    }
}

/// A task, as its pool knows it.
struct Task<R>(Promise<R>);

impl<R: DeserializeOwned + Send + 'static> Report for Task<R> {
    fn running(&self, running: bool) {
        if running {
            // Cancelling is the pool's affair, which has not done it.
            let _ = self.0.start(None);
        } else {
            self.0.set_aside();
        }
    }

    fn ended(self: Box<Self>, end: End) {
        match end {
            End::Succeeded(reply) | End::Failed(reply) => self.0.bring(Box::new(move || read(&reply))),
            End::Lost(failure) => self.0.finish(Err(lost(failure))),
        }
    }
}

fn read<R: DeserializeOwned>(reply: &Reply) -> Result<R, TaskError> {
    let unreadable = |why: String| TaskError::NotRun(format!("its result can't be read: {why}"));
    let bytes = reply.packet.bytes().map_err(|error| unreadable(error.to_string()))?;
    let text = || String::from_utf8_lossy(bytes).into_owned();
    match reply.packet.mark() {
        RESULT => postcard::from_bytes(bytes).map_err(|error| unreadable(error.to_string())),
        PANIC => Err(TaskError::Panicked(text())),
        _ => Err(TaskError::NotRun(text())),
    }
}

fn lost(failure: Failure) -> TaskError {
    match failure {
        Failure::Died { pid, exit } => match exit.status {
            Status::Code(code) => TaskError::Died { pid, status: ExitStatus::from_raw(code << 8) },
            Status::Signal(signal) => TaskError::Died { pid, status: ExitStatus::from_raw(signal) },
            Status::Unknown => TaskError::Lost { pid },
        },
        Failure::TimedOut { .. } => TaskError::TimedOut,
        Failure::Cancelled | Failure::Terminated => TaskError::Cancelled,
        Failure::Refused(Refusal::ShutDown) => TaskError::PoolEnded,
        Failure::Refused(refusal) => TaskError::NotRun(refusal.to_string()),
        Failure::Memory(error) => TaskError::NotRun(error.to_string()),
    }
}

/// Starts this program as a worker.
struct Program;

impl Launcher for Program {
    fn launch(&self, seat: Seat) {
        // Where the system has no thread left, the seat goes with what it was to do, and says that nobody was started.
        let _ = background::spawn("oneloom-launch", move || match start_worker(&seat) {
            Ok(pid) => seat.launched(pid),
            Err(why) => seat.failed(why),
        });
    }

    fn ended(&self, _worker: u32, pid: u32) -> Exit {
        Exit { status: reap(pid), text: None }
    }
}

fn start_worker(seat: &Seat) -> Result<u32, String> {
    let letter = Letter::new().and_then(|letter| letter.seat(&seat.to_bytes()).map(|()| letter));
    let letter = letter.map_err(|error| format!("no memory for what a worker is to know: {error}"))?;
    let segment = family::home().map_err(|error| error.to_string())?;
    let segment = segment.descriptor().ok_or("the family's memory can't be shared")?;
    let child = start::again([letter.as_fd(), segment])
        .map_err(|error| format!("no process was started: {error}"))?;
    Ok(child.id())
}
