//! Queues that processes share.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use oneloom_shm::flow::{AnyQueue, GetCall, JoinCall, ShutDown as Closed, TooManyDone};
use oneloom_shm::payload::Item;

use super::Error;
use super::object::{Held, face, wait, wait_async, wait_for_ever};

mod encoding;
mod error;
mod fifo;
mod lend;
mod order;
mod priority;

pub use encoding::{Bytes, Encoding, Serde};
pub use error::{GetError, PutError};
pub use fifo::Bounds;
pub use lend::Lent;
pub use order::{ByPriority, Fifo, Order};

face!(QueueOf<E: Encoding, O: Order>);

/// A queue of values that serde can write and read. See [`QueueOf`] for what it does.
///
/// Any owned type will do that derives `Serialize` and `Deserialize`, shared objects included. The encoding does not tell
/// what it holds, so that types which ask for that (`serde_json::Value`, an `untagged` enum) can't be read.
pub type Queue<T> = QueueOf<Serde<T>>;

/// A queue of bytes as they are. See [`QueueOf`] for what it does.
///
/// ```
/// use oneloom::shared::ByteQueue;
///
/// let lines = ByteQueue::new()?;
/// lines.put(b"to sweep")?;
/// assert_eq!(lines.get()?, b"to sweep");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type ByteQueue = QueueOf<Bytes>;

/// A queue of values that serde can write and read, from which the item with the smallest priority leaves first, and
/// among equals the one that was put first. See [`QueueOf`] for what it does.
///
/// ```
/// use oneloom::shared::PriorityQueue;
///
/// let jobs = PriorityQueue::new()?;
/// jobs.put(&"sweep".to_owned(), 2)?;
/// jobs.put(&"extinguish".to_owned(), 1)?;
/// assert_eq!(jobs.get()?, "extinguish");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type PriorityQueue<T> = QueueOf<Serde<T>, ByPriority>;

/// A queue over the encoding `E`, which says what stands in it, and in the order `O`; [`Queue`], [`ByteQueue`] and
/// [`PriorityQueue`] are this with one each.
///
/// Any number of threads and async tasks of all processes of the family put and get at the same time. What is put is a
/// copy, so that a put borrows its item. Without a bound the queue grows with the shared memory; an item above 4 KiB
/// gets memory of its own before the queue is touched.
///
/// A process may be killed at any instant: no item is torn or comes twice, and none is lost but the one that a
/// receiver had just taken when it was killed.
///
/// Shutting down ends the work in an orderly way: puts are refused, gets drain what is left and are then told, and
/// iterating ends.
///
/// # Examples
///
/// ```
/// use oneloom::shared::{GetError, Queue};
///
/// let jobs = Queue::<(u64, String)>::bounded(16)?;
/// jobs.put(&(1, "sweep".into()))?;
/// assert_eq!(jobs.get()?, (1, "sweep".into()));
/// assert_eq!(jobs.try_get(), Err(GetError::Empty));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct QueueOf<E: Encoding, O: Order = Fifo> {
    held: Held<O::Raw>,
    items: PhantomData<fn() -> (E, O)>,
}

impl<E: Encoding, O: Order> QueueOf<E, O> {
    fn over(held: Held<O::Raw>) -> Self {
        Self { held, items: PhantomData }
    }

    /// Waits until there is an item, and takes it.
    ///
    /// # Errors
    /// [`GetError::ShutDown`] once the queue is shut down and empty. [`GetError`] says what else it may be, but never
    /// [`GetError::Empty`].
    pub fn get(&self) -> Result<E::Item, GetError> {
        self.get_within(None)
    }

    /// Takes an item if there is one now. Never waits for one.
    ///
    /// # Errors
    /// [`GetError`] says why there is none.
    pub fn try_get(&self) -> Result<E::Item, GetError> {
        self.get_within(Some(Duration::ZERO))
    }

    /// As [`get`](Self::get), for `timeout` at most. When that is over, nothing was taken.
    ///
    /// # Errors
    /// [`GetError`] says why there is no item.
    ///
    /// ```
    /// # use oneloom::shared::{GetError, Queue};
    /// # use std::time::Duration;
    /// let jobs = Queue::<u32>::new()?;
    /// assert_eq!(jobs.get_timeout(Duration::from_millis(1)), Err(GetError::Empty));
    /// # Ok::<(), oneloom::shared::Error>(())
    /// ```
    pub fn get_timeout(&self, timeout: Duration) -> Result<E::Item, GetError> {
        self.get_within(Some(timeout))
    }

    fn get_within(&self, timeout: Option<Duration>) -> Result<E::Item, GetError> {
        let raw = &**self.held.raw();
        let mut buffer = BUFFER.take();
        let got = match raw.try_get(&mut buffer)? {
            None => {
                let mut call = GetCall { queue: raw, buffer };
                let got = wait(&mut call, timeout)?;
                BUFFER.set(call.buffer);
                got
            }
            got => got,
        };
        get_answer::<E>(got.ok_or(GetError::Empty)?)
    }

    /// As [`get`](Self::get), for async code on any executor. Dropping the future before it is ready takes nothing.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub fn get_async(&self) -> impl Future<Output = Result<E::Item, GetError>> + Send + use<E, O> {
        let call = GetCall { queue: self.held.raw().clone(), buffer: Vec::new() };
        async move { get_answer::<E>(wait_async(call).await?) }
    }

    /// The items, each taken when the iterator is asked for it, until the queue is shut down and empty. Asking waits as
    /// [`get`](Self::get) does, and gives its errors but for that end. All that iterate share the items.
    ///
    /// ```
    /// # use oneloom::shared::Queue;
    /// let jobs = Queue::new()?;
    /// jobs.put(&1)?;
    /// jobs.put(&2)?;
    /// jobs.shutdown()?;
    /// assert_eq!(jobs.iter().collect::<Result<Vec<u32>, _>>()?, [1, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> Iter<'_, E, O> {
        Iter { queue: self }
    }

    /// Reports that the work for one item that was taken is done, for those who wait in [`join`](Self::join).
    ///
    /// # Errors
    /// If shared memory fails.
    ///
    /// # Panics
    /// If it is called more often than items were put.
    ///
    /// ```
    /// # use oneloom::shared::Queue;
    /// let jobs = Queue::new()?;
    /// jobs.put(&1)?;
    /// jobs.get()?;
    /// jobs.task_done()?;
    /// jobs.join()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn task_done(&self) -> Result<(), Error> {
        if let Err(TooManyDone) = self.held.raw().task_done()? {
            let name = self.name().unwrap_or("without a name");
            panic!("task_done() on the shared queue {name}: once for each item that was put, no more");
        }
        Ok(())
    }

    /// Waits until [`task_done`](Self::task_done) was called for every item that was put, in whatever process.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn join(&self) -> Result<(), Error> {
        wait_for_ever(&mut JoinCall { queue: &**self.held.raw() })
    }

    /// As [`join`](Self::join), for `timeout` at most; whether all work was done by then.
    ///
    /// # Errors
    /// If shared memory fails.
    ///
    /// ```
    /// # use oneloom::shared::Queue;
    /// # use std::time::Duration;
    /// let jobs = Queue::new()?;
    /// jobs.put(&1)?;
    /// assert!(!jobs.join_timeout(Duration::from_millis(1))?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join_timeout(&self, timeout: Duration) -> Result<bool, Error> {
        Ok(wait(&mut JoinCall { queue: &**self.held.raw() }, Some(timeout))?.is_some())
    }

    /// As [`join`](Self::join), for async code on any executor. The future may be dropped at any time.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn join_async(&self) -> impl Future<Output = Result<(), Error>> + Send + use<E, O> {
        wait_async(JoinCall { queue: self.held.raw().clone() })
    }

    /// Refuses further puts, those that wait now included, in every process; gets take what is left and are then told,
    /// too.
    ///
    /// # Errors
    /// If shared memory fails.
    ///
    /// ```
    /// # use oneloom::shared::{GetError, PutError, Queue};
    /// let jobs = Queue::<u32>::new()?;
    /// jobs.shutdown()?;
    /// assert_eq!(jobs.get(), Err(GetError::ShutDown));
    /// assert_eq!(jobs.put(&1), Err(PutError::ShutDown));
    /// # Ok::<(), oneloom::shared::Error>(())
    /// ```
    pub fn shutdown(&self) -> Result<(), Error> {
        self.held.raw().shut_down(false)
    }

    /// As [`shutdown`](Self::shutdown), at once: what is left is dropped, and counts as done.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn shutdown_now(&self) -> Result<(), Error> {
        self.held.raw().shut_down(true)
    }

    /// Whether it was shut down.
    pub fn is_shut_down(&self) -> bool {
        self.held.raw().is_shut_down()
    }

    /// How many items there are now; by the time one looks at it, it may be wrong.
    ///
    /// # Errors
    /// If shared memory contradicts itself.
    pub fn len(&self) -> Result<usize, Error> {
        Ok(self.held.raw().len()? as usize)
    }

    /// Whether there is no item now.
    ///
    /// # Errors
    /// If shared memory contradicts itself.
    pub fn is_empty(&self) -> Result<bool, Error> {
        self.held.raw().is_empty()
    }

    /// Up to how many items it holds; `None` is any number.
    pub fn bound(&self) -> Option<usize> {
        Some(self.held.raw().maxsize() as usize).filter(|&bound| bound != 0)
    }

    /// How many items were put for which [`task_done`](Self::task_done) was not called yet.
    ///
    /// # Errors
    /// If shared memory contradicts itself.
    pub fn unfinished(&self) -> Result<usize, Error> {
        Ok(self.held.raw().unfinished()? as usize)
    }
}

thread_local! {
    /// What a thread's gets come in, and the room of its last one: most need no memory then.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The bound as `oneloom-shm` wants it: 0 is any number.
fn checked(bound: Option<usize>) -> u64 {
    assert_ne!(bound, Some(0), "a queue bounded to 0 could hold nothing: for any number, give no bound");
    bound.unwrap_or(0) as u64
}

fn put_answer(put: Option<Result<(), Closed>>) -> Result<(), PutError> {
    match put {
        Some(Ok(())) => Ok(()),
        Some(Err(Closed)) => Err(PutError::ShutDown),
        None => Err(PutError::Full),
    }
}

fn get_answer<E: Encoding>(got: Result<Item, Closed>) -> Result<E::Item, GetError> {
    match got {
        Ok(Item::Small { mut bytes, mark }) => {
            let item = E::decode(&bytes, mark).map_err(GetError::Encoding);
            bytes.clear();
            BUFFER.set(bytes);
            item
        }
        Ok(Item::Large(payload)) => E::decode(payload.bytes()?, payload.mark).map_err(GetError::Encoding),
        Err(Closed) => Err(GetError::ShutDown),
    }
}

/// Shows the state, not the items.
impl<E: Encoding, O: Order> fmt::Debug for QueueOf<E, O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = self.held.debug(formatter, O::KIND);
        if let Ok(len) = self.len() {
            fields.field("len", &len);
        }
        if let Some(bound) = self.bound() {
            fields.field("bound", &bound);
        }
        fields.field("shut_down", &self.is_shut_down()).finish()
    }
}

/// Takes items out of a queue until it is shut down and empty.
pub struct Iter<'a, E: Encoding, O: Order = Fifo> {
    queue: &'a QueueOf<E, O>,
}

impl<E: Encoding, O: Order> Iterator for Iter<'_, E, O> {
    type Item = Result<E::Item, GetError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.queue.get()).filter(|got| !matches!(got, Err(GetError::ShutDown)))
    }
}

impl<'a, E: Encoding, O: Order> IntoIterator for &'a QueueOf<E, O> {
    type Item = Result<E::Item, GetError>;
    type IntoIter = Iter<'a, E, O>;

    fn into_iter(self) -> Iter<'a, E, O> {
        self.iter()
    }
}
