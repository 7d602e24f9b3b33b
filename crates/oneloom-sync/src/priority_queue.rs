//! A queue that gives the least item first.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use oneloom_wait::owner;
use oneloom_wait::wait::{Call, Waiting};

use crate::environment;
use crate::queue::checked;
use crate::queue_error::{GetError, PutError, ShutDown};
use crate::raw::Name;
use crate::raw::priority::{Count, RawPriorityQueue, Reentered, SortCall, Sorting, Unput};
use crate::raw::queue::{GetCall, JoinCall, QueueStatistics, RawQueue, ReserveCall, ShutDown as Closed};

/// A queue that gives the least of its items first; of equal ones, any. For the greatest first, put
/// [`Reverse`](std::cmp::Reverse).
///
/// It does what [`QueueOf`](crate::QueueOf) says of the other queues: threads and async tasks at once, bounds,
/// [`task_done`](Self::task_done) and [`join`](Self::join), shutting down, and a put happens before the get of its
/// item. A call that need not wait costs some 100 ns and the comparisons.
///
/// Comparing runs one thread at a time, outside of every internal lock. A comparison may panic: then nothing was
/// put or taken, and an item that was to be put is dropped. One that calls the very queue that it sorts panics.
///
/// # Examples
///
/// ```
/// use oneloom_sync::PriorityQueue;
///
/// let jobs = PriorityQueue::new();
/// jobs.put((2, "dust")).unwrap();
/// jobs.put((1, "sweep")).unwrap();
/// assert_eq!(jobs.get(), Ok((1, "sweep")));
/// ```
pub struct PriorityQueue<T: Ord + Send> {
    raw: RawPriorityQueue<T>,
}

impl<T: Ord + Send> PriorityQueue<T> {
    /// An empty queue for any number of items.
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// assert_eq!(PriorityQueue::<u32>::new().bound(), None);
    /// ```
    pub fn new() -> Self {
        Self { raw: RawPriorityQueue::new(0, Name::NONE) }
    }

    /// An empty queue for up to `bound` items: a put waits while there are as many.
    ///
    /// # Panics
    /// If `bound` is 0: such a queue could never hold anything.
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// assert_eq!(PriorityQueue::<u32>::bounded(16).bound(), Some(16));
    /// ```
    pub fn bounded(bound: usize) -> Self {
        Self { raw: RawPriorityQueue::new(checked(Some(bound)), Name::NONE) }
    }

    /// An empty queue that reports and `Debug` call `name`, for up to `bound` items; `None` is any number.
    ///
    /// # Panics
    /// If `bound` is 0: such a queue could never hold anything.
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// assert_eq!(PriorityQueue::<u32>::with_name("jobs", None).name(), Some("jobs"));
    /// ```
    pub fn with_name(name: &str, bound: impl Into<Option<usize>>) -> Self {
        Self { raw: RawPriorityQueue::new(checked(bound.into()), Name::new(name)) }
    }

    /// Waits until there is a place, and puts the item in it.
    ///
    /// # Errors
    /// [`ShutDown`] with the item.
    ///
    /// # Panics
    /// If a comparison does, or calls this queue.
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// let jobs = PriorityQueue::new();
    /// assert_eq!(jobs.put(1), Ok(()));
    /// ```
    pub fn put(&self, item: T) -> Result<(), ShutDown<T>> {
        match environment::wait(self.flow(), &mut ReserveCall::default()) {
            Ok(()) => self.insert(item),
            Err(Closed) => Err(ShutDown(item)),
        }
    }

    /// Puts the item if there is a place now. Waits no longer than others compare.
    ///
    /// # Errors
    /// [`PutError`] with the item.
    ///
    /// # Panics
    /// As [`put`](Self::put).
    ///
    /// ```
    /// # use oneloom_sync::{PriorityQueue, PutError};
    /// let jobs = PriorityQueue::bounded(1);
    /// jobs.put(1).unwrap();
    /// assert_eq!(jobs.try_put(2), Err(PutError::Full(2)));
    /// ```
    pub fn try_put(&self, item: T) -> Result<(), PutError<T>> {
        self.put_reserved(item, ReserveCall::default().attempt(self.flow()))
    }

    /// As [`put`](Self::put), for `timeout` at most. When that is over, nothing was put.
    ///
    /// # Errors
    /// [`PutError`] with the item.
    ///
    /// # Panics
    /// As [`put`](Self::put).
    ///
    /// ```
    /// # use oneloom_sync::{PriorityQueue, PutError};
    /// # use std::time::Duration;
    /// let jobs = PriorityQueue::bounded(1);
    /// jobs.put(1).unwrap();
    /// assert_eq!(jobs.put_timeout(2, Duration::from_millis(1)), Err(PutError::Full(2)));
    /// ```
    pub fn put_timeout(&self, item: T, timeout: Duration) -> Result<(), PutError<T>> {
        self.put_reserved(item, environment::wait_for(self.flow(), &mut ReserveCall::default(), timeout))
    }

    /// As [`put`](Self::put), for async code on any executor. Dropping the future before it is ready drops the item,
    /// which then was not put.
    ///
    /// # Errors
    /// [`ShutDown`] with the item.
    ///
    /// # Panics
    /// As [`put`](Self::put).
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// # pollster::block_on(async {
    /// let jobs = PriorityQueue::new();
    /// jobs.put_async(1).await.unwrap();
    /// assert_eq!(jobs.get_async().await, Ok(1));
    /// # });
    /// ```
    pub async fn put_async(&self, item: T) -> Result<(), ShutDown<T>> {
        match Waiting::new(self.flow(), ReserveCall::default()).await {
            Ok(()) => self.insert(item),
            Err(Closed) => Err(ShutDown(item)),
        }
    }

    /// Waits until there is an item, and takes the least.
    ///
    /// # Errors
    /// [`ShutDown`] once the queue is shut down and empty.
    ///
    /// # Panics
    /// If a comparison does, or calls this queue.
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// let jobs = PriorityQueue::new();
    /// [3, 1, 2].into_iter().for_each(|number| jobs.put(number).unwrap());
    /// assert_eq!([jobs.get(), jobs.get(), jobs.get()], [Ok(1), Ok(2), Ok(3)]);
    /// ```
    pub fn get(&self) -> Result<T, ShutDown> {
        loop {
            environment::wait(self.flow(), &mut GetCall::default()).map_err(|Closed| ShutDown(()))?;
            if let Some(item) = self.remove() {
                return Ok(item);
            }
        }
    }

    /// Takes the least item if there is one now. Waits no longer than others compare.
    ///
    /// # Errors
    /// [`GetError`] says why there is none.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    ///
    /// ```
    /// # use oneloom_sync::{GetError, PriorityQueue};
    /// assert_eq!(PriorityQueue::<u32>::new().try_get(), Err(GetError::Empty));
    /// ```
    pub fn try_get(&self) -> Result<T, GetError> {
        self.get_granted(GetCall::default().attempt(self.flow()))
    }

    /// As [`get`](Self::get), for `timeout` at most. When that is over, nothing was taken.
    ///
    /// # Errors
    /// [`GetError`] says why there is no item.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    ///
    /// ```
    /// # use oneloom_sync::{GetError, PriorityQueue};
    /// # use std::time::Duration;
    /// let jobs = PriorityQueue::<u32>::new();
    /// assert_eq!(jobs.get_timeout(Duration::from_millis(1)), Err(GetError::Empty));
    /// ```
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, GetError> {
        self.get_granted(environment::wait_for(self.flow(), &mut GetCall::default(), timeout))
    }

    /// As [`get`](Self::get), for async code on any executor. Dropping the future before it is ready takes nothing.
    ///
    /// # Errors
    /// [`ShutDown`] once the queue is shut down and empty.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    ///
    /// ```
    /// # use oneloom_sync::{PriorityQueue, ShutDown};
    /// # pollster::block_on(async {
    /// let jobs = PriorityQueue::<u32>::new();
    /// jobs.shutdown();
    /// assert_eq!(jobs.get_async().await, Err(ShutDown(())));
    /// # });
    /// ```
    pub async fn get_async(&self) -> Result<T, ShutDown> {
        loop {
            Waiting::new(self.flow(), GetCall::default()).await.map_err(|Closed| ShutDown(()))?;
            if let Some(item) = self.remove() {
                return Ok(item);
            }
        }
    }

    /// The items, each taken when the iterator is asked for it, until the queue is shut down and empty.
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// let jobs = PriorityQueue::new();
    /// [3, 1, 2].into_iter().for_each(|number| jobs.put(number).unwrap());
    /// jobs.shutdown();
    /// assert_eq!(jobs.iter().collect::<Vec<_>>(), [1, 2, 3]);
    /// ```
    pub fn iter(&self) -> PriorityIter<'_, T> {
        PriorityIter { queue: self }
    }

    /// Reports that the work for one item that was taken is done, for those who wait in [`join`](Self::join).
    ///
    /// # Panics
    /// If it is called more often than items were put.
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// let jobs = PriorityQueue::new();
    /// jobs.put(1).unwrap();
    /// jobs.get().unwrap();
    /// jobs.task_done();
    /// jobs.join();
    /// ```
    #[track_caller]
    pub fn task_done(&self) {
        self.flow().task_done().expect("task_done(): once for each item that was put, no more");
    }

    /// Waits until [`task_done`](Self::task_done) was called for every item that was put.
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// PriorityQueue::<u32>::new().join();
    /// ```
    pub fn join(&self) {
        environment::wait(self.flow(), &mut JoinCall::default());
    }

    /// As [`join`](Self::join), for `timeout` at most; whether all work was done by then.
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// # use std::time::Duration;
    /// assert!(PriorityQueue::<u32>::new().join_timeout(Duration::from_millis(1)));
    /// ```
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        environment::wait_for(self.flow(), &mut JoinCall::default(), timeout).is_some()
    }

    /// As [`join`](Self::join), for async code on any executor. The future may be dropped at any time.
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// # pollster::block_on(async {
    /// PriorityQueue::<u32>::new().join_async().await;
    /// # });
    /// ```
    pub async fn join_async(&self) {
        Waiting::new(self.flow(), JoinCall::default()).await;
    }

    /// Refuses further puts, those that wait now included; gets take what is left and are then told, too.
    ///
    /// ```
    /// # use oneloom_sync::{PriorityQueue, ShutDown};
    /// let jobs = PriorityQueue::new();
    /// jobs.shutdown();
    /// assert_eq!(jobs.put(1), Err(ShutDown(1)));
    /// ```
    pub fn shutdown(&self) {
        self.sort(|| {}).shut_down(false);
    }

    /// As [`shutdown`](Self::shutdown), at once: what is left is given back, in no particular order, and counts as
    /// done.
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// let jobs = PriorityQueue::new();
    /// jobs.put(1).unwrap();
    /// assert_eq!(jobs.shutdown_now(), [1]);
    /// ```
    pub fn shutdown_now(&self) -> Vec<T> {
        self.sort(|| {}).shut_down(true)
    }

    /// Whether it was shut down.
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// assert!(!PriorityQueue::<u32>::new().is_shut_down());
    /// ```
    pub fn is_shut_down(&self) -> bool {
        self.flow().is_shut_down()
    }

    /// How many items there are now; by the time one looks at it, it may be wrong.
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// assert_eq!(PriorityQueue::<u32>::new().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.flow().len()
    }

    /// Whether there is no item now.
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// assert!(PriorityQueue::<u32>::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.flow().is_empty()
    }

    /// Whether there are as many items as it may hold now. Never true without a bound.
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// assert!(!PriorityQueue::<u32>::new().is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        self.bound().is_some_and(|bound| self.len() >= bound)
    }

    /// Up to how many items it holds; `None` is any number.
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// assert_eq!(PriorityQueue::<u32>::bounded(16).bound(), Some(16));
    /// ```
    pub fn bound(&self) -> Option<usize> {
        Some(self.flow().maxsize()).filter(|&bound| bound != 0)
    }

    /// How many items were put for which [`task_done`](Self::task_done) was not called yet.
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// assert_eq!(PriorityQueue::<u32>::new().unfinished(), 0);
    /// ```
    pub fn unfinished(&self) -> usize {
        self.flow().unfinished()
    }

    /// The name it was given.
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// assert_eq!(PriorityQueue::<u32>::new().name(), None);
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.flow().given_name()
    }

    /// Who waits now, and what happened on the slow paths.
    ///
    /// ```
    /// # use oneloom_sync::PriorityQueue;
    /// assert_eq!(PriorityQueue::<u32>::new().statistics().waiting_getters, 0);
    /// ```
    pub fn statistics(&self) -> QueueStatistics {
        self.flow().statistics()
    }

    fn flow(&self) -> &RawQueue<Count> {
        self.raw.flow()
    }

    /// The right to compare. It is only held while items are compared, so that a task may wait for it as well.
    /// `refund` runs before the panic of a comparison that came back here.
    fn sort(&self, refund: impl FnOnce()) -> Sorting<'_, T> {
        let owner = owner::current();
        loop {
            let sorting = match self.raw.try_sort(owner) {
                Ok(None) => environment::wait_patiently(&self.raw, &mut SortCall::new(owner))
                    .map(|()| self.raw.sorting(owner)),
                now => now,
            };
            match sorting {
                Ok(Some(sorting)) => return sorting,
                Ok(None) => self.raw.pass_on(owner),
                Err(Reentered) => {
                    refund();
                    panic!("a comparison of the items of a PriorityQueue called that queue");
                }
            }
        }
    }

    /// Fills a reserved place.
    fn insert(&self, item: T) -> Result<(), ShutDown<T>> {
        match self.sort(|| self.flow().abandon()).put(item, less) {
            Ok(()) => Ok(()),
            Err(Unput::ShutDown(item)) => Err(ShutDown(item)),
        }
    }

    /// Uses a token. `None` if the item stayed behind in a fork's parent.
    fn remove(&self) -> Option<T> {
        let Ok(item) = self.sort(|| self.flow().put_back(())).get(less);
        item
    }

    fn put_reserved(&self, item: T, answer: Option<Result<(), Closed>>) -> Result<(), PutError<T>> {
        match answer {
            Some(Ok(())) => Ok(self.insert(item)?),
            Some(Err(Closed)) => Err(PutError::ShutDown(item)),
            None => Err(PutError::Full(item)),
        }
    }

    fn get_granted(&self, answer: Option<Result<(), Closed>>) -> Result<T, GetError> {
        match answer {
            Some(Ok(())) => self.remove().ok_or(GetError::Empty),
            Some(Err(Closed)) => Err(GetError::ShutDown),
            None => Err(GetError::Empty),
        }
    }
}

fn less<T: Ord>(one: &T, other: &T) -> Result<bool, Infallible> {
    Ok(one < other)
}

impl<T: Ord + Send> Default for PriorityQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows the state and who waits, not the items.
impl<T: Ord + Send> fmt::Debug for PriorityQueue<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::queue::show(self.flow(), formatter)
    }
}

/// Takes items out of a [`PriorityQueue`] until it is shut down and empty.
pub struct PriorityIter<'a, T: Ord + Send> {
    queue: &'a PriorityQueue<T>,
}

impl<T: Ord + Send> Iterator for PriorityIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.queue.get().ok()
    }
}

impl<'a, T: Ord + Send> IntoIterator for &'a PriorityQueue<T> {
    type Item = T;
    type IntoIter = PriorityIter<'a, T>;

    fn into_iter(self) -> PriorityIter<'a, T> {
        self.iter()
    }
}
