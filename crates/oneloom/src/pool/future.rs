//! What a task will come to.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

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
    /// It was cancelled before it ran.
    Cancelled,
    /// The pool takes no more tasks.
    PoolEnded,
}

impl fmt::Display for TaskError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(message) => write!(formatter, "the task panicked: {message}"),
            Self::Cancelled => formatter.write_str("the task was cancelled before it ran"),
            Self::PoolEnded => formatter.write_str("the pool was shut down, and takes no more tasks"),
        }
    }
}

impl Error for TaskError {}

enum State<T> {
    Pending,
    Running,
    Value(Result<T, TaskError>),
    Taken,
}

struct Inner<T> {
    once: Arc<RawOnce>,
    state: Mutex<State<T>>,
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
        let inner = Arc::new(Inner { once, state: Mutex::new(State::Pending) });
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
    /// Waits until the task has ended; gives its value, or why there is none.
    ///
    /// # Errors
    /// [`TaskError`] says why.
    ///
    /// # Panics
    /// In a certain deadlock: when it waits for a task that lies behind workers which all wait like this.
    #[track_caller]
    pub fn wait(self) -> Result<T, TaskError> {
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

    /// Whether the task has ended.
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
        self.inner.settle(State::Value(Err(TaskError::Cancelled)), false)
    }

    fn take(&self) -> Result<T, TaskError> {
        let state = std::mem::replace(&mut *self.inner.state(), State::Taken);
        match state {
            State::Value(outcome) => outcome,
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
            State::Value(_) => "ended",
            State::Taken => "taken",
        };
        formatter.debug_struct("Future").field("state", &state).finish()
    }
}
