//! Taking items that go to another receiver if theirs dies before it has acknowledged them.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use oneloom_shm::queue::{Batch, GetManyCall, Queue as Raw, Receipt};

use super::{Closed, Encoding, GetError, QueueOf};
use crate::shared::Error;
use crate::shared::object::{wait, wait_async};

impl<E: Encoding> QueueOf<E> {
    /// Waits until there is an item, and borrows it: it is done when [`Lent::acknowledge`] says so, and goes to another
    /// receiver if this process dies before.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    ///
    /// # Panics
    /// If the queue was not made by [`acknowledging`](Self::acknowledging).
    ///
    /// ```
    /// # use oneloom::shared::Queue;
    /// let jobs = Queue::acknowledging("jobs", None)?;
    /// jobs.put(&5)?;
    /// let job = jobs.lend()?;
    /// assert_eq!(*job, 5);
    /// job.acknowledge()?;
    /// jobs.join()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lend(&self) -> Result<Lent<'_, E>, GetError> {
        self.lend_within(None)
    }

    /// Borrows an item if there is one now. Never waits for one.
    ///
    /// # Errors
    /// As for [`try_get`](Self::try_get).
    ///
    /// # Panics
    /// As [`lend`](Self::lend).
    pub fn try_lend(&self) -> Result<Lent<'_, E>, GetError> {
        self.lend_within(Some(Duration::ZERO))
    }

    /// As [`lend`](Self::lend), for `timeout` at most.
    ///
    /// # Errors
    /// As for [`get_timeout`](Self::get_timeout).
    ///
    /// # Panics
    /// As [`lend`](Self::lend).
    pub fn lend_timeout(&self, timeout: Duration) -> Result<Lent<'_, E>, GetError> {
        self.lend_within(Some(timeout))
    }

    fn lend_within(&self, timeout: Option<Duration>) -> Result<Lent<'_, E>, GetError> {
        self.require_acknowledging();
        let mut call = GetManyCall { queue: &**self.held.raw(), most: 1 };
        self.lent(wait(&mut call, timeout)?.ok_or(GetError::Empty)?)
    }

    /// As [`lend`](Self::lend), for async code on any executor. Dropping the future before it is ready takes nothing.
    ///
    /// # Errors
    /// As for [`get_async`](Self::get_async).
    ///
    /// # Panics
    /// As [`lend`](Self::lend).
    pub async fn lend_async(&self) -> Result<Lent<'_, E>, GetError> {
        self.require_acknowledging();
        self.lent(wait_async(GetManyCall { queue: self.held.raw().clone(), most: 1 }).await?)
    }

    fn require_acknowledging(&self) {
        assert!(self.held.raw().acknowledges(), "only a queue made by acknowledging() lends items: get it");
    }

    fn lent(&self, got: Result<Batch, Closed>) -> Result<Lent<'_, E>, GetError> {
        let mut lent = got.map_err(|Closed| GetError::ShutDown)?.into_lent();
        let lent = lent.pop().ok_or(GetError::Empty)?;
        let item = lent.bytes().map(|bytes| E::decode(bytes, lent.mark));
        let receipt = lent.into_receipt();
        match item? {
            Ok(item) => Ok(Lent { raw: self.held.raw(), item, receipt }),
            Err(error) => {
                // Nobody else could read it either.
                let _ = self.held.raw().acknowledge(&[receipt])?;
                Err(GetError::Encoding(error))
            }
        }
    }
}

/// An item that is this process's until it is acknowledged. If this is dropped before, the item stays so until the process
/// ends, and goes to another receiver then.
#[must_use = "an item that is not acknowledged comes again when this process has ended"]
pub struct Lent<'a, E: Encoding> {
    raw: &'a Raw,
    item: E::Item,
    receipt: Receipt,
}

impl<E: Encoding> Lent<'_, E> {
    /// Says that the work on the item is done, as `task_done` does for other queues; gives the item.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn acknowledge(self) -> Result<E::Item, Error> {
        // It is held by this process as long as this value is.
        let _ = self.raw.acknowledge(&[self.receipt])?;
        Ok(self.item)
    }
}

impl<E: Encoding> Deref for Lent<'_, E> {
    type Target = E::Item;

    fn deref(&self) -> &E::Item {
        &self.item
    }
}

impl<E: Encoding<Item: fmt::Debug>> fmt::Debug for Lent<'_, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Lent").field(&self.item).finish()
    }
}
