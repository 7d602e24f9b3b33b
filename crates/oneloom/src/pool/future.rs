//! What a task will come to.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use oneloom_exec::message::TaskId;
use oneloom_exec::pool::Pool;
use oneloom_sync::environment::{Plain, refuse};
use oneloom_sync::raw::once::DoneCall;
use oneloom_sync::raw::{Name, RawOnce};
use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::Crew;
use oneloom_wait::owner::Owner;
use oneloom_wait::wait::{Stop, Waiting, block};

/// Why a task has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskError {
    /// It panicked; this is what it said.
    Panicked(String),
    /// It was cancelled.
    Cancelled,
    /// The pool takes no more tasks.
    PoolEnded,
    /// The process that ran it ended: by itself, by a signal, or killed by somebody.
    Died {
        /// Which one it was.
        pid: u32,
        /// How it ended.
        status: ExitStatus,
    },
    /// The process that ran it ended, and how nobody knows: the program has `SIGCHLD` ignored, or waits for all children
    /// itself.
    Lost {
        /// Which one it was.
        pid: u32,
    },
    /// It took longer than it may, and its process was killed.
    TimedOut,
    /// It could not be handed to a process, or what came back can't be read: for this reason.
    NotRun(String),
}

impl fmt::Display for TaskError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(message) => write!(formatter, "the task panicked: {message}"),
            Self::Cancelled => formatter.write_str("the task was cancelled"),
            Self::PoolEnded => formatter.write_str("the pool was shut down, and takes no more tasks"),
            Self::Died { pid, status } => write!(formatter, "process {pid}, which ran the task, {status}"),
            Self::Lost { pid } => write!(
                formatter,
                "process {pid}, which ran the task, ended; how is not known: something else in this program waits for \
                 its children"
            ),
            Self::TimedOut => {
                formatter.write_str("the task took longer than it may, and its process was killed")
            }
            Self::NotRun(why) => write!(formatter, "the task was not run: {why}"),
        }
    }
}

impl Error for TaskError {}

/// What only its reader makes an outcome of.
pub(super) type Brought<T> = Box<dyn FnOnce() -> Result<T, TaskError> + Send>;

enum State<T> {
    Pending,
    Running,
    Value(Result<T, TaskError>),
    Brought(Brought<T>),
    Taken,
}

struct Inner<T> {
    once: Arc<RawOnce>,
    state: Mutex<State<T>>,
    /// The task in its pool of processes, if it is in one.
    origin: OnceLock<(Pool, TaskId)>,
}

impl<T> Inner<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, outcome: State<T>, even_if_running: bool) -> bool {
        let mut state = self.state();
        match *state {
            State::Pending => {}
            State::Running if even_if_running => {}
            _ => return false,
        }
        *state = outcome;
        drop(state);
        self.once.finish();
        true
    }
}

type Awaiting = Waiting<Arc<RawOnce>, DoneCall>;

/// The other end of a [`Future`]: whoever brings the outcome has it.
pub(super) struct Promise<T>(Arc<Inner<T>>);

impl<T> Promise<T> {
    /// A promise that one of `crew` will keep, if that is known, and its future.
    pub(super) fn new(crew: Option<Arc<Crew>>) -> (Self, Future<T>) {
        let once = Arc::new(RawOnce::new(Name::NONE, "future").by_crew(crew));
        let inner = Arc::new(Inner { once, state: Mutex::new(State::Pending), origin: OnceLock::new() });
        (Self(inner.clone()), Future { inner, waiting: None })
    }

    /// The task runs from now on: on `by`, where only that thread can end it. False if it was cancelled.
    pub(super) fn start(&self, by: Option<Owner>) -> bool {
        let mut state = self.0.state();
        let starts = matches!(*state, State::Pending);
        if starts {
            *state = State::Running;
            self.0.once.set_at_work(by);
        }
        starts
    }

    /// The task will begin anew.
    pub(super) fn set_aside(&self) {
        let mut state = self.0.state();
        if matches!(*state, State::Running) {
            *state = State::Pending;
        }
    }

    /// Brings what its reader makes the outcome of.
    pub(super) fn bring(&self, brought: Brought<T>) {
        self.0.settle(State::Brought(brought), true);
    }

    /// Brings the outcome, unless there is one.
    pub(super) fn finish(&self, outcome: Result<T, TaskError>) {
        self.0.settle(State::Value(outcome), true);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        // Nobody is left to bring it: its pool has ended.
        self.0.settle(State::Value(Err(TaskError::PoolEnded)), true);
    }
}

/// What a task will come to: to wait for on a thread, or to await on any executor.
///
/// Dropping it leaves the task as it is.
///
/// ```
/// use oneloom::pool::ThreadPool;
///
/// let pool = ThreadPool::new(1);
/// let answer = pool.submit(|| 6 * 7);
/// assert_eq!(answer.wait(), Ok(42));
/// ```
pub struct Future<T> {
    inner: Arc<Inner<T>>,
    /// How it waits, once it was polled.
    waiting: Option<Pin<Box<Awaiting>>>,
}

impl<T> Future<T> {
    /// Its task is this one.
    pub(super) fn is_of(&self, pool: Pool, task: TaskId) {
        // Said once, by whoever made the future.
        let _ = self.inner.origin.set((pool, task));
    }

    /// Reads for a moment what its pool's processes answer, where that is faster than to wait for another thread.
    fn help(&self) {
        if let Some((pool, _)) = self.inner.origin.get() {
            pool.help(&|| self.is_done());
        }
    }

    /// Waits until the task has ended; gives its value, or why there is none.
    ///
    /// # Errors
    /// [`TaskError`] says why.
    ///
    /// # Panics
    /// In a certain deadlock: when it waits for a task that lies behind workers which all wait like this.
    #[track_caller]
    pub fn wait(self) -> Result<T, TaskError> {
        self.help();
        match block(&*self.inner.once, &mut DoneCall::default(), Deadline::Never, &mut Plain) {
            Ok(()) => self.take(),
            Err(Stop::Deadlock(deadlock)) => refuse(&deadlock),
            Err(_) => unreachable!("a wait without a deadline and without interruptions"),
        }
    }

    /// As [`wait`](Self::wait), for `timeout` at most.
    ///
    /// # Errors
    /// This future, if the task had not ended by then.
    ///
    /// ```
    /// # use oneloom::pool::ThreadPool;
    /// # use std::time::Duration;
    /// let pool = ThreadPool::new(1);
    /// let slow = pool.submit(|| std::thread::sleep(Duration::from_millis(50)));
    /// let slow = slow.wait_timeout(Duration::from_millis(1)).unwrap_err();
    /// assert_eq!(slow.wait(), Ok(()));
    /// ```
    pub fn wait_timeout(self, timeout: Duration) -> Result<Result<T, TaskError>, Self> {
        let deadline = Deadline::after(Some(timeout));
        match block(&*self.inner.once, &mut DoneCall::default(), deadline, &mut Plain) {
            Ok(()) => Ok(self.take()),
            Err(_) => Err(self),
        }
    }

    /// The outcome, if there is one.
    ///
    /// # Errors
    /// This future, if the task has not ended.
    ///
    /// ```
    /// # use oneloom::pool::{TaskError, ThreadPool};
    /// let pool = ThreadPool::new(1);
    /// pool.shutdown();
    /// assert_eq!(pool.submit(|| 42).try_wait().ok(), Some(Err(TaskError::PoolEnded)));
    /// ```
    pub fn try_wait(self) -> Result<Result<T, TaskError>, Self> {
        if self.is_done() { Ok(self.take()) } else { Err(self) }
    }

    /// Whether the task has ended. Never waits.
    ///
    /// ```
    /// # use oneloom::pool::ThreadPool;
    /// let pool = ThreadPool::new(1);
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let task = pool.submit(move || told.recv().unwrap());
    /// assert!(!task.is_done());
    /// tell.send(1).unwrap();
    /// assert_eq!(task.wait(), Ok(1));
    /// ```
    pub fn is_done(&self) -> bool {
        self.inner.once.is_done()
    }

    /// Cancels the task if it has not begun; whether it did.
    ///
    /// ```
    /// # use oneloom::pool::{TaskError, ThreadPool};
    /// let pool = ThreadPool::new(1);
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let first = pool.submit(move || told.recv().unwrap());
    /// let second = pool.submit(|| unreachable!("nobody runs it"));
    /// assert!(second.cancel());
    /// tell.send(1).unwrap();
    /// assert_eq!(first.wait(), Ok(1));
    /// assert_eq!(second.wait(), Err::<(), _>(TaskError::Cancelled));
    /// ```
    pub fn cancel(&self) -> bool {
        match self.inner.origin.get() {
            Some((pool, task)) => pool.cancel(*task, false),
            None => self.inner.settle(State::Value(Err(TaskError::Cancelled)), false),
        }
    }

    /// Cancels the task even if it runs, where a process of its own runs it: that is killed, and nothing else it was
    /// given is lost. Whether it did; a closure that a thread runs can't be ended.
    ///
    /// ```standalone_crate
    /// # use oneloom::pool::{ProcessPool, TaskError};
    /// # use oneloom::process;
    /// # use std::time::Duration;
    /// fn sleep(seconds: u64) {
    ///     std::thread::sleep(Duration::from_secs(seconds));
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # process::init(|functions| functions.add(sleep));
    /// let pool = ProcessPool::new(1)?;
    /// let long = pool.submit(sleep, 3600);
    /// assert!(long.cancel_running());
    /// assert_eq!(long.wait(), Err(TaskError::Cancelled));
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel_running(&self) -> bool {
        match self.inner.origin.get() {
            Some((pool, task)) => pool.cancel(*task, true),
            None => self.cancel(),
        }
    }

    fn take(&self) -> Result<T, TaskError> {
        let state = std::mem::replace(&mut *self.inner.state(), State::Taken);
        match state {
            State::Value(outcome) => outcome,
            State::Brought(brought) => brought(),
            State::Pending | State::Running => unreachable!("it has ended"),
            State::Taken => panic!("a future that has given its outcome was polled again"),
        }
    }
}

impl<T> std::future::Future for Future<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let once = self.inner.once.clone();
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(Waiting::new(once, DoneCall::default())));
        waiting.as_mut().poll(context).map(|()| self.take())
    }
}

impl<T> fmt::Debug for Future<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match *self.inner.state() {
            State::Pending => "pending",
            State::Running => "running",
            State::Value(_) | State::Brought(_) => "ended",
            State::Taken => "taken",
        };
        formatter.debug_struct("Future").field("state", &state).finish()
    }
}
