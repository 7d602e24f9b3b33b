//! Queues: many producers, many consumers, threads and async tasks at once.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use oneloom_wait::wait::{Call, Waiting};

use crate::environment;
use crate::queue_error::{GetError, PutError, ShutDown};
use crate::raw::Name;
use crate::raw::queue::ShutDown as Closed;
use crate::raw::queue::{Fifo, GetCall, JoinCall, Lifo, PutCall, QueueStatistics, RawQueue, Store};

/// A queue that gives the oldest item first. See [`QueueOf`] for what it does.
pub type Queue<T> = QueueOf<Fifo<T>>;

/// A queue that gives the newest item first: a stack. See [`QueueOf`] for what it does.
///
/// ```
/// use oneloom_sync::LifoQueue;
///
/// let plates = LifoQueue::new();
/// plates.put("lower").unwrap();
/// plates.put("upper").unwrap();
/// assert_eq!(plates.get(), Ok("upper"));
/// ```
pub type LifoQueue<T> = QueueOf<Lifo<T>>;

/// A queue over the store `S`, which decides the order; [`Queue`] and [`LifoQueue`] are this with a store each.
///
/// Any number of threads and async tasks put and get at the same time, on the same object. Putting releases and
/// getting acquires: what a producer did before its put happens before what a consumer does after its get of
/// that item. A call that need not wait costs some 30 ns; waiters queue first in, first out, and waiting
/// allocates nothing. No call panics in a deadlock: who might still put or get can't be known.
///
/// Shutting down ends the work in an orderly way: puts are refused, gets drain what is left and are then told, and
/// iterating ends.
///
/// # Examples
///
/// ```
/// use oneloom_sync::Queue;
///
/// let jobs = Queue::bounded(16);
/// let total: u64 = std::thread::scope(|scope| {
///     let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| jobs.iter().sum::<u64>())).collect();
///     pollster::block_on(async {
///         for number in 1..=100 {
///             jobs.put_async(number).await.unwrap();
///         }
///     });
///     jobs.shutdown();
///     workers.into_iter().map(|worker| worker.join().unwrap()).sum()
/// });
/// assert_eq!(total, 5050);
/// ```
pub struct QueueOf<S: Store> {
    raw: RawQueue<S>,
}

impl<S: Store> QueueOf<S> {
    /// An empty queue for any number of items.
    ///
    /// ```
    /// # use oneloom_sync::Queue;
    /// let jobs = Queue::new();
    /// jobs.put("sweep").unwrap();
    /// assert_eq!(jobs.len(), 1);
    /// ```
    pub fn new() -> Self {
        Self { raw: RawQueue::new(0, Name::NONE) }
    }

    /// An empty queue for up to `bound` items: a put waits while there are as many.
    ///
    /// # Panics
    /// If `bound` is 0: such a queue could never hold anything.
    ///
    /// ```
    /// # use oneloom_sync::Queue;
    /// let jobs = Queue::bounded(1);
    /// jobs.put("sweep").unwrap();
    /// assert!(jobs.is_full());
    /// ```
    pub fn bounded(bound: usize) -> Self {
        Self { raw: RawQueue::new(checked(Some(bound)), Name::NONE) }
    }

    /// An empty queue that reports and `Debug` call `name`, for up to `bound` items; `None` is any number.
    ///
    /// # Panics
    /// If `bound` is 0: such a queue could never hold anything.
    ///
    /// ```
    /// # use oneloom_sync::Queue;
    /// let jobs = Queue::<u32>::with_name("jobs", 16);
    /// let results = Queue::<u32>::with_name("results", None);
    /// assert_eq!((jobs.name(), jobs.bound(), results.bound()), (Some("jobs"), Some(16), None));
    /// ```
    pub fn with_name(name: &str, bound: impl Into<Option<usize>>) -> Self {
        Self { raw: RawQueue::new(checked(bound.into()), Name::new(name)) }
    }

    /// Waits until there is a place, and puts the item in it.
    ///
    /// # Errors
    /// [`ShutDown`] with the item.
    ///
    /// ```
    /// # use oneloom_sync::{Queue, ShutDown};
    /// let jobs = Queue::new();
    /// assert_eq!(jobs.put("sweep"), Ok(()));
    /// jobs.shutdown();
    /// assert_eq!(jobs.put("dust"), Err(ShutDown("dust")));
    /// ```
    #[inline]
    pub fn put(&self, item: S::Item) -> Result<(), ShutDown<S::Item>> {
        let mut call = PutCall::new(item);
        match environment::wait(&self.raw, &mut call) {
            Ok(()) => Ok(()),
            Err(Closed) => Err(ShutDown(unput(&mut call))),
        }
    }

    /// Puts the item if there is a place now. Never waits.
    ///
    /// # Errors
    /// [`PutError`] with the item.
    ///
    /// ```
    /// # use oneloom_sync::{Queue, PutError};
    /// let jobs = Queue::bounded(1);
    /// assert_eq!(jobs.try_put("sweep"), Ok(()));
    /// assert_eq!(jobs.try_put("dust"), Err(PutError::Full("dust")));
    /// ```
    #[inline]
    pub fn try_put(&self, item: S::Item) -> Result<(), PutError<S::Item>> {
        let mut call = PutCall::new(item);
        let answer = call.attempt(&self.raw);
        put_answer(answer, &mut call)
    }

    /// As [`put`](Self::put), for `timeout` at most. When that is over, nothing was put.
    ///
    /// # Errors
    /// [`PutError`] with the item.
    ///
    /// ```
    /// # use oneloom_sync::{Queue, PutError};
    /// # use std::time::Duration;
    /// let jobs = Queue::bounded(1);
    /// jobs.put("sweep").unwrap();
    /// assert_eq!(jobs.put_timeout("dust", Duration::from_millis(1)), Err(PutError::Full("dust")));
    /// ```
    pub fn put_timeout(&self, item: S::Item, timeout: Duration) -> Result<(), PutError<S::Item>> {
        let mut call = PutCall::new(item);
        let answer = environment::wait_for(&self.raw, &mut call, timeout);
        put_answer(answer, &mut call)
    }

    /// As [`put`](Self::put), for async code on any executor.
    ///
    /// Dropping the future before it is ready drops the item, which then was not put; a place that had been
    /// handed to it goes to the next.
    ///
    /// # Errors
    /// [`ShutDown`] with the item.
    ///
    /// ```
    /// # use oneloom_sync::Queue;
    /// # pollster::block_on(async {
    /// let jobs = Queue::new();
    /// jobs.put_async("sweep").await.unwrap();
    /// assert_eq!(jobs.get_async().await, Ok("sweep"));
    /// # });
    /// ```
    pub async fn put_async(&self, item: S::Item) -> Result<(), ShutDown<S::Item>> {
        let mut waiting = pin!(Waiting::new(&self.raw, PutCall::new(item)));
        match waiting.as_mut().await {
            Ok(()) => Ok(()),
            Err(Closed) => Err(ShutDown(unput(waiting.call_mut()))),
        }
    }

    /// Waits until there is an item, and takes it.
    ///
    /// # Errors
    /// [`ShutDown`] once the queue is shut down and empty.
    ///
    /// ```
    /// # use oneloom_sync::{Queue, ShutDown};
    /// let jobs = Queue::new();
    /// jobs.put("sweep").unwrap();
    /// jobs.shutdown();
    /// assert_eq!(jobs.get(), Ok("sweep"));
    /// assert_eq!(jobs.get(), Err(ShutDown(())));
    /// ```
    #[inline]
    pub fn get(&self) -> Result<S::Item, ShutDown> {
        environment::wait(&self.raw, &mut GetCall::default()).map_err(|Closed| ShutDown(()))
    }

    /// Takes an item if there is one now. Never waits.
    ///
    /// # Errors
    /// [`GetError`] says why there is none.
    ///
    /// ```
    /// # use oneloom_sync::{GetError, Queue};
    /// assert_eq!(Queue::<u32>::new().try_get(), Err(GetError::Empty));
    /// ```
    #[inline]
    pub fn try_get(&self) -> Result<S::Item, GetError> {
        get_answer(GetCall::default().attempt(&self.raw))
    }

    /// As [`get`](Self::get), for `timeout` at most. When that is over, nothing was taken.
    ///
    /// # Errors
    /// [`GetError`] says why there is no item.
    ///
    /// ```
    /// # use oneloom_sync::{GetError, Queue};
    /// # use std::time::Duration;
    /// let jobs = Queue::<u32>::new();
    /// assert_eq!(jobs.get_timeout(Duration::from_millis(1)), Err(GetError::Empty));
    /// ```
    pub fn get_timeout(&self, timeout: Duration) -> Result<S::Item, GetError> {
        get_answer(environment::wait_for(&self.raw, &mut GetCall::default(), timeout))
    }

    /// As [`get`](Self::get), for async code on any executor.
    ///
    /// Dropping the future before it is ready takes nothing; an item that had been promised to it goes to the
    /// next.
    ///
    /// # Errors
    /// [`ShutDown`] once the queue is shut down and empty.
    ///
    /// ```
    /// # use oneloom_sync::Queue;
    /// # pollster::block_on(async {
    /// let jobs = Queue::new();
    /// jobs.put("sweep").unwrap();
    /// assert_eq!(jobs.get_async().await, Ok("sweep"));
    /// # });
    /// ```
    pub async fn get_async(&self) -> Result<S::Item, ShutDown> {
        Waiting::new(&self.raw, GetCall::default()).await.map_err(|Closed| ShutDown(()))
    }

    /// The items, each taken when the iterator is asked for it, until the queue is shut down and empty. Asking
    /// waits as [`get`](Self::get) does; several threads may iterate at once and share the items.
    ///
    /// ```
    /// # use oneloom_sync::Queue;
    /// let jobs = Queue::new();
    /// jobs.put(1).unwrap();
    /// jobs.put(2).unwrap();
    /// jobs.shutdown();
    /// assert_eq!(jobs.iter().collect::<Vec<_>>(), [1, 2]);
    /// ```
    pub fn iter(&self) -> Iter<'_, S> {
        Iter { queue: self }
    }

    /// Reports that the work for one item that was taken is done, for those who wait in [`join`](Self::join).
    ///
    /// # Panics
    /// If it is called more often than items were put.
    ///
    /// ```
    /// # use oneloom_sync::Queue;
    /// let jobs = Queue::new();
    /// jobs.put("sweep").unwrap();
    /// jobs.get().unwrap();
    /// jobs.task_done();
    /// jobs.join();
    /// ```
    #[track_caller]
    pub fn task_done(&self) {
        if self.raw.task_done().is_err() {
            let name = self.name().unwrap_or("without a name");
            panic!("task_done() on the {} {name}: once for each item that was put, no more", S::KIND);
        }
    }

    /// Waits until [`task_done`](Self::task_done) was called for every item that was put. What was done before
    /// those calls happens before this returns.
    ///
    /// ```
    /// # use oneloom_sync::Queue;
    /// let jobs = Queue::new();
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| jobs.iter().for_each(|_: u32| jobs.task_done()));
    ///     (0..10).for_each(|number| jobs.put(number).unwrap());
    ///     jobs.join();
    ///     assert_eq!(jobs.unfinished(), 0);
    ///     jobs.shutdown();
    /// });
    /// ```
    pub fn join(&self) {
        environment::wait(&self.raw, &mut JoinCall::default());
    }

    /// As [`join`](Self::join), for `timeout` at most; whether all work was done by then.
    ///
    /// ```
    /// # use oneloom_sync::Queue;
    /// # use std::time::Duration;
    /// let jobs = Queue::new();
    /// jobs.put("sweep").unwrap();
    /// assert!(!jobs.join_timeout(Duration::from_millis(1)));
    /// ```
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        environment::wait_for(&self.raw, &mut JoinCall::default(), timeout).is_some()
    }

    /// As [`join`](Self::join), for async code on any executor. The future may be dropped at any time.
    ///
    /// ```
    /// # use oneloom_sync::Queue;
    /// # pollster::block_on(async {
    /// Queue::<u32>::new().join_async().await;
    /// # });
    /// ```
    pub async fn join_async(&self) {
        Waiting::new(&self.raw, JoinCall::default()).await;
    }

    /// Refuses further puts, those that wait now included; gets take what is left and are then told, too.
    ///
    /// ```
    /// # use oneloom_sync::{GetError, Queue};
    /// let jobs = Queue::<u32>::new();
    /// jobs.shutdown();
    /// assert_eq!(jobs.try_get(), Err(GetError::ShutDown));
    /// ```
    pub fn shutdown(&self) {
        self.raw.shut_down(false);
    }

    /// As [`shutdown`](Self::shutdown), at once: what is left is given back instead of to getters, and counts as
    /// done.
    ///
    /// ```
    /// # use oneloom_sync::Queue;
    /// let jobs = Queue::new();
    /// jobs.put("sweep").unwrap();
    /// assert_eq!(jobs.shutdown_now(), ["sweep"]);
    /// ```
    pub fn shutdown_now(&self) -> Vec<S::Item> {
        self.raw.shut_down(true)
    }

    /// Whether it was shut down.
    ///
    /// ```
    /// # use oneloom_sync::Queue;
    /// assert!(!Queue::<u32>::new().is_shut_down());
    /// ```
    pub fn is_shut_down(&self) -> bool {
        self.raw.is_shut_down()
    }

    /// How many items there are now; one load, and by the time one looks at it, it may be wrong.
    ///
    /// ```
    /// # use oneloom_sync::Queue;
    /// assert_eq!(Queue::<u32>::new().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether there is no item now.
    ///
    /// ```
    /// # use oneloom_sync::Queue;
    /// assert!(Queue::<u32>::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Whether there are as many items as it may hold now. Never true without a bound.
    ///
    /// ```
    /// # use oneloom_sync::Queue;
    /// assert!(!Queue::<u32>::bounded(1).is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        self.bound().is_some_and(|bound| self.len() >= bound)
    }

    /// Up to how many items it holds; `None` is any number.
    ///
    /// ```
    /// # use oneloom_sync::Queue;
    /// assert_eq!(Queue::<u32>::bounded(16).bound(), Some(16));
    /// ```
    pub fn bound(&self) -> Option<usize> {
        Some(self.raw.maxsize()).filter(|&bound| bound != 0)
    }

    /// How many items were put for which [`task_done`](Self::task_done) was not called yet.
    ///
    /// ```
    /// # use oneloom_sync::Queue;
    /// assert_eq!(Queue::<u32>::new().unfinished(), 0);
    /// ```
    pub fn unfinished(&self) -> usize {
        self.raw.unfinished()
    }

    /// The name it was given.
    ///
    /// ```
    /// # use oneloom_sync::Queue;
    /// assert_eq!(Queue::<u32>::new().name(), None);
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.raw.given_name()
    }

    /// Who waits now, and what happened on the slow paths.
    ///
    /// ```
    /// # use oneloom_sync::Queue;
    /// assert_eq!(Queue::<u32>::new().statistics().waiting_getters, 0);
    /// ```
    pub fn statistics(&self) -> QueueStatistics {
        self.raw.statistics()
    }
}

/// The bound as the state machine wants it: 0 is any number.
pub(crate) fn checked(bound: Option<usize>) -> usize {
    assert_ne!(
        bound,
        Some(0),
        "a queue bounded to 0 items could hold nothing: for any number, give no bound"
    );
    bound.unwrap_or(0)
}

/// The item of a put that has failed.
fn unput<S: Store>(call: &mut PutCall<S>) -> S::Item {
    call.item.take().expect("a put that fails keeps its item")
}

#[inline]
fn put_answer<S: Store>(
    answer: Option<Result<(), Closed>>,
    call: &mut PutCall<S>,
) -> Result<(), PutError<S::Item>> {
    match answer {
        Some(Ok(())) => Ok(()),
        Some(Err(Closed)) => Err(PutError::ShutDown(unput(call))),
        None => Err(PutError::Full(unput(call))),
    }
}

#[inline]
fn get_answer<T>(answer: Option<Result<T, Closed>>) -> Result<T, GetError> {
    match answer {
        Some(Ok(item)) => Ok(item),
        Some(Err(Closed)) => Err(GetError::ShutDown),
        None => Err(GetError::Empty),
    }
}

impl<S: Store> Default for QueueOf<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows the state and who waits, not the items.
impl<S: Store> fmt::Debug for QueueOf<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&self.raw, formatter)
    }
}

pub(crate) fn show<S: Store>(raw: &RawQueue<S>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut fields = formatter.debug_struct(S::KIND);
    if let Some(name) = raw.given_name() {
        fields.field("name", &name);
    }
    fields.field("len", &raw.len());
    if raw.maxsize() != 0 {
        fields.field("bound", &raw.maxsize());
    }
    let statistics = raw.statistics();
    fields
        .field("shut_down", &raw.is_shut_down())
        .field("unfinished", &raw.unfinished())
        .field("waiting_getters", &statistics.waiting_getters)
        .field("waiting_putters", &statistics.waiting_putters)
        .field("waiting_joiners", &statistics.waiting_joiners)
        .finish()
}

/// Takes items out of a queue until it is shut down and empty.
pub struct Iter<'a, S: Store> {
    queue: &'a QueueOf<S>,
}

impl<S: Store> Iterator for Iter<'_, S> {
    type Item = S::Item;

    #[inline]
    fn next(&mut self) -> Option<S::Item> {
        self.queue.get().ok()
    }
}

impl<'a, S: Store> IntoIterator for &'a QueueOf<S> {
    type Item = S::Item;
    type IntoIter = Iter<'a, S>;

    fn into_iter(self) -> Iter<'a, S> {
        self.iter()
    }
}
