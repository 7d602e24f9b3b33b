//! Putting into a shared queue that gives the oldest item first; and many items at once.

use std::borrow::Borrow;
use std::time::Duration;

use oneloom_shm::flow::AnyQueue;
use oneloom_shm::payload::Item;
use oneloom_shm::queue::{self, Batch, GetManyCall, Part, PutCall, Queue as Raw};

use super::{Closed, Encoding, GetError, PutError, QueueOf, checked, put_answer};
use crate::shared::Error;
use crate::shared::object::{Held, wait, wait_async};

/// How much a queue takes; `None` is any amount. A number alone is one of items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// How many items.
    pub items: Option<usize>,
    /// How many bytes its items have together, as they are written. What alone has more is never put: an error.
    pub bytes: Option<usize>,
}

impl From<usize> for Bounds {
    fn from(items: usize) -> Self {
        Some(items).into()
    }
}

impl From<Option<usize>> for Bounds {
    fn from(items: Option<usize>) -> Self {
        Self { items, bytes: None }
    }
}

impl<E: Encoding> QueueOf<E> {
    /// An empty queue for any number of items.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new() -> Result<Self, Error> {
        Self::make(None, Bounds::default())
    }

    /// An empty queue that takes no more than `bounds`: a put waits while there is as much.
    ///
    /// # Errors
    /// If there is no memory for it.
    ///
    /// # Panics
    /// If a bound is 0: such a queue could never hold anything.
    ///
    /// ```
    /// # use oneloom::shared::{Bounds, PutError, Queue};
    /// let jobs = Queue::bounded(1)?;
    /// jobs.put(&1)?;
    /// assert_eq!(jobs.try_put(&2), Err(PutError::Full));
    ///
    /// let pages = Queue::<String>::bounded(Bounds { items: None, bytes: Some(1 << 20) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn bounded(bounds: impl Into<Bounds>) -> Result<Self, Error> {
        Self::make(None, bounds.into())
    }

    /// An empty queue that messages and `Debug` call `name`, and that takes no more than `bounds`; `None` is any amount.
    ///
    /// # Errors
    /// If there is no memory for it.
    ///
    /// # Panics
    /// If a bound is 0: such a queue could never hold anything.
    pub fn with_name(name: &str, bounds: impl Into<Bounds>) -> Result<Self, Error> {
        Self::make(Some(name), bounds.into())
    }

    /// As [`with_name`](Self::with_name), a queue from which items are taken by [`lend`](Self::lend): what a receiver had
    /// not acknowledged when it died is given to another one.
    ///
    /// # Errors
    /// If there is no memory for it.
    ///
    /// # Panics
    /// If a bound is 0: such a queue could never hold anything.
    pub fn acknowledging(name: &str, bounds: impl Into<Bounds>) -> Result<Self, Error> {
        Self::create(Some(name), bounds.into(), true)
    }

    fn make(name: Option<&str>, bounds: Bounds) -> Result<Self, Error> {
        Self::create(name, bounds, false)
    }

    fn create(name: Option<&str>, bounds: Bounds, acknowledges: bool) -> Result<Self, Error> {
        let bounds = queue::Bounds { maxsize: checked(bounds.items), max_bytes: checked(bounds.bytes) };
        Held::create(name, |segment| Raw::bounded(segment, bounds, acknowledges)).map(Self::over)
    }

    /// Waits until there is a place, and puts a copy of the item in it.
    ///
    /// # Errors
    /// [`PutError`] says why nothing was put; never [`PutError::Full`].
    pub fn put(&self, item: &E::Sent) -> Result<(), PutError> {
        self.put_within(item, None)
    }

    /// Puts a copy of the item if there is a place now. Never waits for a place.
    ///
    /// # Errors
    /// [`PutError`] says why nothing was put.
    pub fn try_put(&self, item: &E::Sent) -> Result<(), PutError> {
        self.put_within(item, Some(Duration::ZERO))
    }

    /// As [`put`](Self::put), for `timeout` at most.
    ///
    /// # Errors
    /// [`PutError`] says why nothing was put.
    ///
    /// ```
    /// # use oneloom::shared::{PutError, Queue};
    /// # use std::time::Duration;
    /// let jobs = Queue::bounded(1)?;
    /// jobs.put(&1)?;
    /// assert_eq!(jobs.put_timeout(&2, Duration::from_millis(1)), Err(PutError::Full));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_timeout(&self, item: &E::Sent, timeout: Duration) -> Result<(), PutError> {
        self.put_within(item, Some(timeout))
    }

    fn put_within(&self, item: &E::Sent, timeout: Option<Duration>) -> Result<(), PutError> {
        let raw = &**self.held.raw();
        E::encode(item, |bytes| {
            let put = match raw.try_put(bytes, E::MARK)? {
                None => {
                    let item = Item::copy_of(raw.segment(), bytes, E::MARK)?;
                    wait(&mut PutCall::new(raw, item), timeout)?
                }
                put => put,
            };
            put_answer(put)
        })
        .map_err(PutError::Encoding)?
    }

    /// As [`put`](Self::put), for async code on any executor. The item is copied by this call; dropping the future before
    /// it is ready puts nothing.
    ///
    /// # Errors
    /// [`PutError`] says why nothing was put; never [`PutError::Full`].
    ///
    /// ```
    /// # use oneloom::shared::Queue;
    /// # pollster::block_on(async {
    /// let jobs = Queue::new().unwrap();
    /// jobs.put_async(&1).await.unwrap();
    /// assert_eq!(jobs.get_async().await, Ok(1));
    /// # });
    /// ```
    pub fn put_async(&self, item: &E::Sent) -> impl Future<Output = Result<(), PutError>> + Send + use<E> {
        self.send_async(self.copy_of(item).map(|item| vec![item]))
    }

    /// Waits until there is a place for every item, and puts copies of them all, one behind the other. That is one
    /// passage through the queue, and whoever gets finds all of them or none.
    ///
    /// # Errors
    /// [`PutError`] says why nothing was put; never [`PutError::Full`].
    ///
    /// ```
    /// # use oneloom::shared::Queue;
    /// let jobs = Queue::new()?;
    /// jobs.put_many([1, 2, 3])?;
    /// assert_eq!(jobs.get_many(2)?, [1, 2]);
    /// assert_eq!(jobs.get_many(2)?, [3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_many(&self, items: impl IntoIterator<Item: Borrow<E::Sent>>) -> Result<(), PutError> {
        self.put_many_within(items, None)
    }

    /// Puts copies of all items if there is a place for every one now. Never waits for places.
    ///
    /// # Errors
    /// [`PutError`] says why nothing was put.
    pub fn try_put_many(&self, items: impl IntoIterator<Item: Borrow<E::Sent>>) -> Result<(), PutError> {
        self.put_many_within(items, Some(Duration::ZERO))
    }

    /// As [`put_many`](Self::put_many), for `timeout` at most.
    ///
    /// # Errors
    /// [`PutError`] says why nothing was put.
    pub fn put_many_timeout(
        &self,
        items: impl IntoIterator<Item: Borrow<E::Sent>>,
        timeout: Duration,
    ) -> Result<(), PutError> {
        self.put_many_within(items, Some(timeout))
    }

    fn put_many_within(
        &self,
        items: impl IntoIterator<Item: Borrow<E::Sent>>,
        timeout: Option<Duration>,
    ) -> Result<(), PutError> {
        let items = self.copies_of(items)?;
        put_answer(wait(&mut PutCall::many(&**self.held.raw(), items), timeout)?)
    }

    /// As [`put_many`](Self::put_many), for async code on any executor. The items are copied by this call; dropping the
    /// future before it is ready puts nothing.
    ///
    /// # Errors
    /// [`PutError`] says why nothing was put; never [`PutError::Full`].
    pub fn put_many_async<I: IntoIterator<Item: Borrow<E::Sent>>>(
        &self,
        items: I,
    ) -> impl Future<Output = Result<(), PutError>> + Send + use<E, I> {
        self.send_async(self.copies_of(items))
    }

    fn send_async(
        &self,
        items: Result<Vec<Item>, PutError>,
    ) -> impl Future<Output = Result<(), PutError>> + Send + use<E> {
        let raw = self.held.raw().clone();
        async move { put_answer(Some(wait_async(PutCall::many(raw, items?)).await?)) }
    }

    /// An item as it stands in a queue.
    fn copy_of(&self, item: &E::Sent) -> Result<Item, PutError> {
        let copy = |bytes: &[u8]| Item::copy_of(self.held.raw().segment(), bytes, E::MARK);
        Ok(E::encode(item, copy).map_err(PutError::Encoding)??)
    }

    fn copies_of(&self, items: impl IntoIterator<Item: Borrow<E::Sent>>) -> Result<Vec<Item>, PutError> {
        items.into_iter().map(|item| self.copy_of(item.borrow())).collect()
    }

    /// Waits until there is an item, and takes it with those behind it, up to `most` of what is there by then.
    ///
    /// # Errors
    /// As for [`get`](Self::get); if one of the items can't be read, all that were taken with it are lost.
    ///
    /// # Panics
    /// If `most` is 0.
    pub fn get_many(&self, most: usize) -> Result<Vec<E::Item>, GetError> {
        self.get_many_within(most, None)
    }

    /// Takes up to `most` items of those that are there now. Never waits for one.
    ///
    /// # Errors
    /// As for [`try_get`](Self::try_get) and [`get_many`](Self::get_many).
    ///
    /// # Panics
    /// If `most` is 0.
    pub fn try_get_many(&self, most: usize) -> Result<Vec<E::Item>, GetError> {
        self.get_many_within(most, Some(Duration::ZERO))
    }

    /// As [`get_many`](Self::get_many), for `timeout` at most. When that is over, nothing was taken.
    ///
    /// # Errors
    /// As for [`get_timeout`](Self::get_timeout) and [`get_many`](Self::get_many).
    ///
    /// # Panics
    /// If `most` is 0.
    pub fn get_many_timeout(&self, most: usize, timeout: Duration) -> Result<Vec<E::Item>, GetError> {
        self.get_many_within(most, Some(timeout))
    }

    fn get_many_within(&self, most: usize, timeout: Option<Duration>) -> Result<Vec<E::Item>, GetError> {
        let mut call = GetManyCall { queue: &**self.held.raw(), most: at_least_one(most) };
        read::<E>(self.held.raw(), wait(&mut call, timeout)?.ok_or(GetError::Empty)?)
    }

    /// As [`get_many`](Self::get_many), for async code on any executor. Dropping the future before it is ready takes
    /// nothing.
    ///
    /// # Errors
    /// As for [`get_many`](Self::get_many).
    ///
    /// # Panics
    /// If `most` is 0.
    pub fn get_many_async(
        &self,
        most: usize,
    ) -> impl Future<Output = Result<Vec<E::Item>, GetError>> + Send + use<E> {
        let call = GetManyCall { queue: self.held.raw().clone(), most: at_least_one(most) };
        async move {
            let raw = call.queue.clone();
            read::<E>(&raw, wait_async(call).await?)
        }
    }

    /// Up to how many bytes its items may have together; `None` is any number.
    pub fn byte_bound(&self) -> Option<usize> {
        Some(self.held.raw().bounds().max_bytes as usize).filter(|&bound| bound != 0)
    }
}

fn at_least_one(most: usize) -> u64 {
    assert_ne!(most, 0, "nobody takes up to 0 items: take at least 1");
    most as u64
}

fn read<E: Encoding>(raw: &Raw, got: Result<Batch, Closed>) -> Result<Vec<E::Item>, GetError> {
    let mut batch = got.map_err(|Closed| GetError::ShutDown)?;
    if raw.acknowledges() {
        let (items, receipts): (Vec<_>, Vec<_>) = batch
            .into_lent()
            .into_iter()
            .map(|lent| (lent.bytes().map(|bytes| E::decode(bytes, lent.mark)), lent.into_receipt()))
            .unzip();
        // They are this process's, which is about to have them.
        let _ = raw.acknowledge(&receipts)?;
        return items.into_iter().map(|item| item?.map_err(GetError::Encoding)).collect();
    }
    batch
        .parts()
        .map(|part| match part {
            Part::Small { bytes, mark } => E::decode(bytes, mark).map_err(GetError::Encoding),
            Part::Large(payload) => E::decode(payload.bytes()?, payload.mark).map_err(GetError::Encoding),
        })
        .collect()
}
