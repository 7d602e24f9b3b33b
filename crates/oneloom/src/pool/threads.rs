//! A pool of threads, which run closures.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use oneloom_exec::threads::{Jobs, Seat, Taken, WaitCall};
use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::Deadlock;
use oneloom_wait::owner::{self, flag};
use oneloom_wait::wait::{Environment, Judgement, block};

use super::{Future, TaskError};
use crate::pool::future::Promise;

type Job = Box<dyn FnOnce() + Send>;

struct Team {
    jobs: Jobs<Job>,
    name: String,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Threads that run closures, at most so many at a time. They are started when they are needed.
///
/// Dropped, it finishes what was submitted, and waits for that. A task that panics gives [`TaskError::Panicked`] to whoever
/// waits for it, and the pool goes on. One that waits for another of its own pool, while no worker is left to run that,
/// panics and says who waits for whom.
///
/// ```
/// use oneloom::pool::{TaskError, ThreadPool};
///
/// let pool = ThreadPool::with_name(1, "small");
/// let outer = {
///     let pool = std::sync::Arc::new(pool);
///     let inner = pool.clone();
///     pool.submit(move || inner.submit(|| 42).wait().unwrap())
/// };
/// let Err(TaskError::Panicked(message)) = outer.wait() else { panic!("it waited for ever") };
/// assert!(message.contains("which no worker is free to begin"), "{message}");
/// ```
pub struct ThreadPool {
    team: Arc<Team>,
}

impl ThreadPool {
    /// A pool of at most `workers` threads, at least one. None is started before there is a task.
    pub fn new(workers: usize) -> Self {
        Self::with_name(workers, "pool")
    }

    /// The same; `name` and a number are what its threads are called.
    pub fn with_name(workers: usize, name: &str) -> Self {
        let team = Team { jobs: Jobs::new(workers), name: name.into(), threads: Mutex::default() };
        Self { team: Arc::new(team) }
    }

    /// Has a worker run `task`.
    ///
    /// After [`shutdown`](Self::shutdown) the future gives [`TaskError::PoolEnded`]. Costs a few allocations, and a
    /// system call only where a thread has to be started or woken.
    ///
    /// # Panics
    /// When the system has no thread left, and the pool has none yet.
    pub fn submit<T: Send + 'static>(&self, task: impl FnOnce() -> T + Send + 'static) -> Future<T> {
        let (promise, future) = Promise::new(Some(self.team.jobs.crew().clone()));
        let job: Job = Box::new(move || {
            if promise.start(Some(owner::current())) {
                let called = catch_unwind(AssertUnwindSafe(task));
                promise.finish(called.map_err(|panic| TaskError::Panicked(message_of(&*panic))));
            }
        });
        match self.team.jobs.add(job) {
            Ok(Some(seat)) => self.team.hire(seat),
            Ok(None) => {}
            // The promise goes with the job, and says so.
            Err(refused) => drop(refused),
        }
        future
    }

    /// Takes no more tasks. Those that were submitted are run; waits for nothing.
    pub fn shutdown(&self) {
        self.team.jobs.close();
    }

    /// The most threads that it may have.
    pub fn workers(&self) -> usize {
        self.team.jobs.most_workers()
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.shutdown();
        let threads = std::mem::take(&mut *self.team.threads());
        // A task may be the last to have the pool: it can't wait for itself.
        for handle in threads.into_iter().filter(|handle| handle.thread().id() != thread::current().id()) {
            // What panics in a task was caught.
            let _ = handle.join();
        }
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ThreadPool")
            .field("name", &self.team.name)
            .field("workers", &self.team.jobs.workers())
            .field("pending", &self.team.jobs.len())
            .field("shut_down", &self.team.jobs.is_closed())
            .finish()
    }
}

impl Team {
    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hire(self: &Arc<Self>, seat: Seat) {
        let name = format!("{}-{}", self.name, seat.index());
        let mut hired = Hired { team: self.clone(), seat: Some(seat) };
        match thread::Builder::new().name(name).spawn(move || hired.work()) {
            Ok(handle) => self.threads().push(handle),
            // Others will run it, if there are any.
            Err(error) => {
                assert!(self.jobs.workers() > 0, "no thread could be started for the pool: {error}")
            }
        }
    }

    fn work(&self, mut seat: Seat) {
        self.jobs.sit(&seat, owner::current());
        loop {
            match self.jobs.take(&mut seat) {
                Taken::Job(job) => {
                    // Dropping what nobody waits for, or waking who does, may panic, too.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
                Taken::Nothing => {
                    // Nothing but a job and the end ends it.
                    let _ = block(&self.jobs, &mut WaitCall::default(), Deadline::Never, &mut Idle);
                }
                Taken::End => break,
            }
        }
        let replacement = self.jobs.leave(seat);
        debug_assert!(replacement.is_none(), "it leaves when nothing is left");
    }
}

/// A seat, and who is to sit in it.
struct Hired {
    team: Arc<Team>,
    /// None once it works.
    seat: Option<Seat>,
}

impl Hired {
    fn work(&mut self) {
        if let Some(seat) = self.seat.take() {
            self.team.work(seat);
        }
    }
}

impl Drop for Hired {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            // Its thread could not be started.
            self.team.jobs.give_back(seat);
        }
    }
}

/// A worker that waits for something to do: nobody misses what never comes.
struct Idle;

impl Environment for Idle {
    fn flags(&self) -> u32 {
        flag::IDLE
    }

    fn judge(&mut self, _deadlock: &Deadlock) -> Judgement {
        Judgement::KeepWaiting
    }
}

/// What a panic says.
fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "(without a message)".to_owned())
}
