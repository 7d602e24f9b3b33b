//! What the orders of a queue have in common: a [`Flavour`] stands behind each, over a state machine of `raw`.
//!
//! For those that compare items see `priority`.

use std::cell::Cell;
use std::sync::Arc;

use oneloom_sync::raw::Name;
use oneloom_sync::raw::queue::{
    ClaimCall, GetCall, JoinCall, Legacy, PutCall, QueueStatistics as QueueCounters, RawQueue, ShutDown,
    Store, TooManyDone,
};
use oneloom_wait::clock::Deadline;
use oneloom_wait::wait::{Call, Handle};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::arguments::{Timeout, queue_deadline};
use crate::environment::{notifying, wait, wait_longer};
use crate::errors;
use crate::waiting::{Visible, Waiting, truth};

/// What queues hold.
pub type Item = Py<PyAny>;

/// What a queue of one order can do.
pub trait Flavour: Send + Sync {
    /// Puts an item, or raises `Full` or `ShutDown`.
    fn put(&self, python: Python<'_>, item: Item, limit: &Limit) -> Result<(), Failure>;
    /// Gets an item, or raises `Empty` or `ShutDown`.
    fn get(&self, python: Python<'_>, limit: &Limit) -> Result<Item, Failure>;
    /// Puts an item if there is a place; false if there is none, or none here any more.
    fn put_now(&self, python: Python<'_>, item: &Item) -> PyResult<bool>;
    /// Gets an item if there is one here.
    fn get_now(&self, python: Python<'_>) -> PyResult<Option<Item>>;
    /// An awaitable that puts an item, or gives [`pending`] once the queue is handed over.
    fn put_later(self: Arc<Self>, python: Python<'_>, item: Item, timeout: Timeout) -> PyResult<Waiting>;
    /// An awaitable that gets an item, or gives [`pending`] once the queue is handed over.
    fn get_later(self: Arc<Self>, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting>;
    /// Waits until all work is done, or the queue is handed over; false when the time is over.
    fn join(&self, python: Python<'_>, deadline: Deadline) -> PyResult<bool>;
    /// An awaitable that waits until all work is done, or gives [`pending`] once the queue is handed over.
    fn join_later(self: Arc<Self>, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting>;
    /// Reports an item as done.
    fn task_done(&self) -> Result<(), TooManyDone>;
    /// Shuts the queue down; returns the items that nobody is to get.
    fn shut_down(&self, python: Python<'_>, immediate: bool) -> PyResult<Vec<Item>>;
    /// Hands the queue over, and its legacy to `heir`: within the call, before anybody learns of it. False if it was
    /// handed over before.
    fn hand_over(&self, python: Python<'_>, heir: &mut dyn FnMut(Legacy<Item>)) -> PyResult<bool>;
    /// Whether it was handed over.
    fn is_handed_over(&self) -> bool;
    /// Takes every item out without telling anybody.
    fn clear(&self) -> Vec<Item>;
    /// Shows every item to the garbage collector.
    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError>;
    /// How many items are there now.
    fn len(&self) -> usize;
    /// Lengths and limits.
    fn figures(&self) -> Figures<'_>;
    /// Changes up to how many items it takes.
    fn set_maxsize(&self, maxsize: usize);
    /// Names the queue, if it has no name yet.
    fn set_name(&self, name: Name);
    /// Slow-path events.
    fn statistics(&self) -> QueueCounters;
}

/// What a queue shows of itself.
pub struct Figures<'a> {
    pub length: usize,
    pub maxsize: usize,
    pub unfinished: usize,
    pub is_shut_down: bool,
    pub name: Option<&'a str>,
}

impl<'a> Figures<'a> {
    /// The figures of a state machine.
    pub fn of<S: Store>(raw: &'a RawQueue<S>) -> Self {
        Self {
            length: raw.len(),
            maxsize: raw.maxsize(),
            unfinished: raw.unfinished(),
            is_shut_down: raw.is_shut_down(),
            name: raw.given_name(),
        }
    }
}

/// How long a put or a get may wait: the caller's words, and what they mean once somebody has asked.
pub struct Limit {
    pub block: bool,
    timeout: Timeout,
    deadline: Cell<Option<Deadline>>,
}

impl Limit {
    /// Not at all.
    pub const fn now() -> Self {
        Self { block: false, timeout: None, deadline: Cell::new(None) }
    }

    /// As long as it takes.
    pub const fn forever() -> Self {
        Self { block: true, timeout: None, deadline: Cell::new(None) }
    }

    /// As the caller says.
    ///
    /// # Errors
    /// ValueError for a negative timeout.
    #[inline]
    pub fn new(block: bool, timeout: Timeout) -> PyResult<Self> {
        if timeout.is_some() {
            queue_deadline(block, timeout)?;
        }
        Ok(Self { block, timeout, deadline: Cell::new(None) })
    }

    /// Until when. Asked for only where a call has to wait: it costs a look at the clock.
    pub fn deadline(&self) -> PyResult<Deadline> {
        let deadline = match self.deadline.get() {
            Some(deadline) => deadline,
            None => queue_deadline(self.block, self.timeout)?,
        };
        self.deadline.set(Some(deadline));
        Ok(deadline)
    }

    /// How many seconds are left of the timeout.
    pub fn left(&self) -> Timeout {
        if !self.block {
            return None;
        }
        match self.deadline.get() {
            Some(deadline) => seconds_left(deadline),
            None => self.timeout,
        }
    }
}

/// How many seconds are left until a deadline.
pub fn seconds_left(deadline: Deadline) -> Timeout {
    deadline.remaining().map(|left| left.as_secs_f64())
}

/// Why a put or a get has not done what it was to do.
pub enum Failure {
    /// With this exception.
    Raised(PyErr),
    /// The queue was handed over, and the call goes on where the items are now; with what was to be put.
    HandedOver(Option<Item>),
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

impl Failure {
    /// The exception, for a queue that nobody hands over.
    pub fn error(self, python: Python<'_>) -> PyErr {
        match self {
            Self::Raised(error) => error,
            Self::HandedOver(_) => errors::SHUT_DOWN.error(python),
        }
    }
}

/// What stands for "not at once" between a coroutine shell and its native half.
pub fn pending(python: Python<'_>) -> Item {
    python.get_type::<Waiting>().into_any().unbind()
}

/// What is to become of a call that a queue has refused.
#[cold]
pub fn refusal<S: Store>(python: Python<'_>, raw: &RawQueue<S>, item: Option<Item>) -> Failure {
    if raw.is_handed_over() {
        Failure::HandedOver(item)
    } else {
        Failure::Raised(errors::SHUT_DOWN.error(python))
    }
}

/// What a coroutine gets that a queue has refused: where the queue was handed over, "not at once".
pub fn refused_later<S: Store>(python: Python<'_>, raw: &RawQueue<S>) -> PyResult<Item> {
    match refusal(python, raw, None) {
        Failure::Raised(error) => Err(error),
        Failure::HandedOver(_) => Ok(pending(python)),
    }
}

/// An awaitable that gives True once all work is done, False when the time is over, [`pending`] where the queue was
/// handed over.
pub fn joining<S, H>(python: Python<'_>, queue: H, call: JoinCall<S>, timeout: Timeout) -> PyResult<Waiting>
where
    S: Store + 'static,
    H: Handle<Primitive = RawQueue<S>> + Visible + Send + 'static,
{
    let finish = move |python: Python<'_>, queue: &H, ()| {
        Ok(if queue.primitive().is_handed_over() { pending(python) } else { truth(python, true) })
    };
    Waiting::around(python, queue, call, timeout, finish, move |python, _| Ok(truth(python, false)))
}

/// Waits for an item to be promised, and takes it; `None` if it was gone by then.
///
/// Only attached, because a garbage collection looks at the queue twice: it would take for garbage what has left in
/// between, finalize it, and clear the weak references to it.
#[cold]
fn wait_for_item<S: Store>(
    python: Python<'_>,
    raw: &RawQueue<S>,
    limit: &Limit,
) -> Result<Option<S::Item>, Failure> {
    match wait_longer(python, raw, &mut ClaimCall::<S>::default(), || limit.deadline())? {
        Some(Ok(())) => Ok(notifying(python, || raw.redeem())),
        Some(Err(ShutDown)) => Err(refusal(python, raw, None)),
        None => Err(errors::EMPTY.error(python).into()),
    }
}

impl<S: Store<Item = Item> + 'static> Flavour for RawQueue<S> {
    #[inline]
    fn put(&self, python: Python<'_>, item: Item, limit: &Limit) -> Result<(), Failure> {
        let mut call = PutCall::<S>::new(item);
        match wait(python, self, &mut call, || limit.deadline())? {
            Some(Ok(())) => Ok(()),
            Some(Err(ShutDown)) => Err(refusal(python, self, call.item)),
            None => Err(errors::FULL.error(python).into()),
        }
    }

    #[inline]
    fn get(&self, python: Python<'_>, limit: &Limit) -> Result<Item, Failure> {
        loop {
            if let Some(got) = notifying(python, || GetCall::<S>::default().attempt(self)) {
                return got.map_err(|ShutDown| refusal(python, self, None));
            }
            if let Some(item) = wait_for_item(python, self, limit)? {
                return Ok(item);
            }
        }
    }

    fn put_now(&self, python: Python<'_>, item: &Item) -> PyResult<bool> {
        let mut call = PutCall::<S>::new(item.clone_ref(python));
        match wait(python, self, &mut call, || Limit::now().deadline())? {
            Some(Ok(())) => Ok(true),
            Some(Err(ShutDown)) => refused_later(python, self).map(|_| false),
            None => Ok(false),
        }
    }

    fn get_now(&self, python: Python<'_>) -> PyResult<Option<Item>> {
        match wait(python, self, &mut GetCall::<S>::default(), || Limit::now().deadline())? {
            Some(Ok(item)) => Ok(Some(item)),
            Some(Err(ShutDown)) => refused_later(python, self).map(|_| None),
            None => Ok(None),
        }
    }

    fn put_later(self: Arc<Self>, python: Python<'_>, item: Item, timeout: Timeout) -> PyResult<Waiting> {
        let finish = |python: Python<'_>, raw: &Arc<Self>, put: Result<(), ShutDown>| match put {
            Ok(()) => Ok(python.None()),
            Err(ShutDown) => refused_later(python, raw),
        };
        let late = |python: Python<'_>, _: &Arc<Self>| Err(errors::FULL.error(python));
        Waiting::around(python, self, PutCall::<S>::new(item), timeout, finish, late)
    }

    fn get_later(self: Arc<Self>, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        let finish = |python: Python<'_>, raw: &Arc<Self>, got: Result<Item, ShutDown>| match got {
            Ok(item) => Ok(item),
            Err(ShutDown) => refused_later(python, raw),
        };
        let late = |python: Python<'_>, _: &Arc<Self>| Err(errors::EMPTY.error(python));
        Waiting::around(python, self, GetCall::<S>::default(), timeout, finish, late)
    }

    fn join(&self, python: Python<'_>, deadline: Deadline) -> PyResult<bool> {
        Ok(wait(python, self, &mut JoinCall::<S>::default(), || Ok(deadline))?.is_some())
    }

    fn join_later(self: Arc<Self>, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        joining(python, self, JoinCall::<S>::default(), timeout)
    }

    fn task_done(&self) -> Result<(), TooManyDone> {
        RawQueue::task_done(self)
    }

    fn shut_down(&self, python: Python<'_>, immediate: bool) -> PyResult<Vec<Item>> {
        Ok(notifying(python, || RawQueue::shut_down(self, immediate)))
    }

    fn hand_over(&self, python: Python<'_>, heir: &mut dyn FnMut(Legacy<Item>)) -> PyResult<bool> {
        Ok(notifying(python, || RawQueue::hand_over(self).map(heir).is_some()))
    }

    fn is_handed_over(&self) -> bool {
        RawQueue::is_handed_over(self)
    }

    fn clear(&self) -> Vec<Item> {
        RawQueue::clear(self)
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let mut result = Ok(());
        self.for_each(|item| {
            if result.is_ok() {
                result = visit.call(item);
            }
        });
        result
    }

    fn len(&self) -> usize {
        RawQueue::len(self)
    }

    fn figures(&self) -> Figures<'_> {
        Figures::of(self)
    }

    fn set_maxsize(&self, maxsize: usize) {
        RawQueue::set_maxsize(self, maxsize);
    }

    fn set_name(&self, name: Name) {
        RawQueue::set_name(self, name);
    }

    fn statistics(&self) -> QueueCounters {
        RawQueue::statistics(self)
    }
}
