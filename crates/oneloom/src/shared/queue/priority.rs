//! Putting into a shared queue that gives the item with the smallest priority first.

use std::time::Duration;

use oneloom_shm::flow::AnyQueue;
use oneloom_shm::payload::Item;
use oneloom_shm::priority::{Priority, PriorityQueue as Raw, PutCall};

use super::{ByPriority, Encoding, PutError, QueueOf, checked, put_answer};
use crate::shared::Error;
use crate::shared::object::{Held, wait, wait_async};

impl<E: Encoding> QueueOf<E, ByPriority> {
    /// An empty queue for any number of items.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new() -> Result<Self, Error> {
        Self::make(None, None)
    }

    /// An empty queue for up to `bound` items: a put waits while there are as many.
    ///
    /// # Errors
    /// If there is no memory for it.
    ///
    /// # Panics
    /// If `bound` is 0: such a queue could never hold anything.
    pub fn bounded(bound: usize) -> Result<Self, Error> {
        Self::make(None, Some(bound))
    }

    /// An empty queue that messages and `Debug` call `name`, for up to `bound` items; `None` is any number.
    ///
    /// # Errors
    /// If there is no memory for it.
    ///
    /// # Panics
    /// If `bound` is 0: such a queue could never hold anything.
    pub fn with_name(name: &str, bound: impl Into<Option<usize>>) -> Result<Self, Error> {
        Self::make(Some(name), bound.into())
    }

    fn make(name: Option<&str>, bound: Option<usize>) -> Result<Self, Error> {
        let maxsize = checked(bound);
        Held::create(name, |segment| Raw::new(segment, maxsize)).map(Self::over)
    }

    /// Waits until there is a place, and puts a copy of the item in it. The smallest `priority` leaves first.
    ///
    /// # Errors
    /// [`PutError`] says why nothing was put; never [`PutError::Full`].
    pub fn put(&self, item: &E::Sent, priority: i64) -> Result<(), PutError> {
        self.put_within(item, priority, None)
    }

    /// Puts a copy of the item if there is a place now. Never waits for a place.
    ///
    /// # Errors
    /// [`PutError`] says why nothing was put.
    pub fn try_put(&self, item: &E::Sent, priority: i64) -> Result<(), PutError> {
        self.put_within(item, priority, Some(Duration::ZERO))
    }

    /// As [`put`](Self::put), for `timeout` at most.
    ///
    /// # Errors
    /// [`PutError`] says why nothing was put.
    pub fn put_timeout(&self, item: &E::Sent, priority: i64, timeout: Duration) -> Result<(), PutError> {
        self.put_within(item, priority, Some(timeout))
    }

    fn put_within(&self, item: &E::Sent, priority: i64, timeout: Option<Duration>) -> Result<(), PutError> {
        let (raw, priority) = (&**self.held.raw(), Priority::from(priority));
        E::encode(item, |bytes| {
            let put = match raw.try_put(bytes, E::MARK, priority)? {
                None => {
                    let item = Item::copy_of(raw.segment(), bytes, E::MARK)?;
                    wait(&mut PutCall::new(raw, item, priority), timeout)?
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
    pub fn put_async(
        &self,
        item: &E::Sent,
        priority: i64,
    ) -> impl Future<Output = Result<(), PutError>> + Send + use<E> {
        let raw = self.held.raw().clone();
        let item = E::encode(item, |bytes| Item::copy_of(raw.segment(), bytes, E::MARK));
        async move {
            let item = item.map_err(PutError::Encoding)??;
            put_answer(Some(wait_async(PutCall::new(raw, item, Priority::from(priority))).await?))
        }
    }
}
