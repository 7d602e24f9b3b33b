//! What the classes of queues have in common, whatever their order: taking, joining, ending, and how they show themselves.

use std::cell::RefCell;
use std::sync::Arc;

use oneloom_shm::error::Error;
use oneloom_shm::flow::{AnyQueue, GetCall, JoinCall, ShutDown, TooManyDone};
use oneloom_shm::payload::Item;
use oneloom_shm::wait::Call;
use pyo3::exceptions::PyValueError;
use pyo3::marker::Ungil;
use pyo3::prelude::*;

use super::buffer::Received;
use super::pickling::{Packed, unpack, unpack_large};
use super::waiting::{later, wait};
use super::{error, open, reduce, title};
use crate::arguments::{Timeout, lenient_deadline, queue_deadline};
use crate::environment::notifying;
use crate::errors::{self, Imported};
use crate::port;
use crate::statistics::SharedQueueStatistics;
use crate::waiting::{Waiting, truth};

thread_local! {
    /// What small items are copied to, used again and again.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What a call gives, or the error for its end: `late` if there is nothing.
pub fn ended<T>(python: Python<'_>, given: Option<Result<T, ShutDown>>, late: &Imported) -> PyResult<T> {
    match given {
        Some(Ok(given)) => Ok(given),
        Some(Err(ShutDown)) => Err(errors::SHUT_DOWN.error(python)),
        None => Err(late.error(python)),
    }
}

/// An awaitable that puts.
pub fn put_later<C>(python: Python<'_>, call: C, timeout: Timeout) -> PyResult<Waiting>
where
    C: Call<Output = Result<(), ShutDown>> + Send + 'static,
{
    let finish = |python: Python<'_>, put| ended(python, Some(put), &errors::FULL).map(|()| python.None());
    later(python, call, timeout, finish, |python| Err(errors::FULL.error(python)))
}

fn got(python: Python<'_>, given: Option<Result<Item, ShutDown>>, received: Received) -> PyResult<Py<PyAny>> {
    let unpacked = match ended(python, given, &errors::EMPTY)? {
        Item::Small { mut bytes, mark } => {
            let unpacked = unpack(python, &bytes, mark, received);
            bytes.clear();
            BUFFER.set(bytes);
            unpacked
        }
        Item::Large(payload) => unpack_large(python, payload, received),
    };
    unpacked.map(Bound::unbind)
}

/// What a `for` loop makes of it: its end, after a shutdown.
pub fn unless_ended(python: Python<'_>, got: PyResult<Py<PyAny>>) -> PyResult<Option<Py<PyAny>>> {
    match got {
        Err(failure) if failure.is_instance(python, errors::SHUT_DOWN.class(python)?) => Ok(None),
        got => got.map(Some),
    }
}

/// A queue and its name.
pub struct Flow<Q> {
    pub raw: Arc<Q>,
    name: Option<String>,
}

impl<Q: AnyQueue + Send + Sync + 'static> Flow<Q> {
    /// A queue with a name.
    pub fn new(raw: Q, name: Option<String>) -> Self {
        Self { raw: Arc::new(raw), name }
    }

    /// The queue that a handle names.
    pub fn open(handle: &[u8], name: Option<String>) -> PyResult<Self> {
        Ok(Self::new(Q::from_object(open(handle)?), name))
    }

    /// The name that was given.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// As what buffers are received.
    pub fn received(&self) -> Received {
        if self.raw.copies() { Received::Copies } else { Received::Views }
    }

    /// `None`: there is no item now, or something is in the way.
    #[inline]
    fn get_at_once(&self, python: Python<'_>) -> PyResult<Option<Result<Item, ShutDown>>> {
        // Unpickling runs foreign code, which may come here again: so the buffer is taken, not borrowed.
        let mut buffer = BUFFER.take();
        let given = notifying(python, || self.raw.try_get(&mut buffer)).map_err(error)?;
        if !matches!(given, Some(Ok(Item::Small { .. }))) {
            BUFFER.set(buffer);
        }
        Ok(given)
    }

    /// Puts an item where that could not be done at once, waiting as it is told. `call` makes the call.
    pub fn put<C: Call<Output = Result<(), ShutDown>> + Ungil + Send>(
        &self,
        python: Python<'_>,
        mut given: Option<Result<(), ShutDown>>,
        packed: &Packed<'_>,
        call: impl FnOnce(Arc<Q>, Item) -> C,
        block: bool,
        timeout: Timeout,
    ) -> PyResult<()> {
        if given.is_none() {
            let mut call = call(self.raw.clone(), packed.item(python, self.raw.segment())?);
            given = notifying(python, || wait(python, &mut call, queue_deadline(block, timeout)?))?;
            // What was not put has memory to give back, which may have to wait for another process.
            python.detach(|| drop(call));
        }
        ended(python, given, &errors::FULL)
    }

    /// An awaitable that puts an item.
    pub fn put_later<C: Call<Output = Result<(), ShutDown>> + Send + 'static>(
        &self,
        python: Python<'_>,
        packed: &Packed<'_>,
        call: impl FnOnce(Arc<Q>, Item) -> C,
        timeout: Timeout,
    ) -> PyResult<Waiting> {
        put_later(python, call(self.raw.clone(), packed.item(python, self.raw.segment())?), timeout)
    }

    /// Takes an item, waiting as it is told.
    #[inline]
    pub fn get(&self, python: Python<'_>, block: bool, timeout: Timeout) -> PyResult<Py<PyAny>> {
        let mut given = self.get_at_once(python)?;
        if given.is_none() {
            let mut call = GetCall { queue: self.raw.clone(), buffer: BUFFER.take() };
            given = notifying(python, || wait(python, &mut call, queue_deadline(block, timeout)?))?;
        }
        got(python, given, self.received())
    }

    /// The next item of a `for` loop.
    pub fn next(&self, python: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        unless_ended(python, self.get(python, true, None))
    }

    /// For a coroutine: an item that is there, or what stands for "not at once".
    pub fn get_now(&self, python: Python<'_>) -> PyResult<Py<PyAny>> {
        port::require_loop(python)?;
        match self.get_at_once(python)? {
            None => Ok(python.get_type::<Waiting>().into_any().unbind()),
            given => got(python, given, self.received()),
        }
    }

    /// An awaitable that takes an item.
    pub fn get_later(&self, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        queue_deadline(true, timeout)?;
        let call = GetCall { queue: self.raw.clone(), buffer: Vec::new() };
        let received = self.received();
        let finish = move |python: Python<'_>, given| got(python, Some(given), received);
        later(python, call, timeout, finish, |python| Err(errors::EMPTY.error(python)))
    }

    /// Reports an item as done.
    pub fn task_done(&self, python: Python<'_>) -> PyResult<()> {
        notifying(python, || self.raw.task_done())
            .map_err(error)?
            .map_err(|TooManyDone| PyValueError::new_err("task_done() called too many times"))
    }

    /// Waits until all is done; with a timeout, whether it was.
    pub fn join(&self, python: Python<'_>, timeout: Timeout) -> PyResult<Option<bool>> {
        let mut call = JoinCall { queue: self.raw.clone() };
        let done = wait(python, &mut call, lenient_deadline(timeout))?.is_some();
        // Without a time limit there is nothing to tell, and the standard library tells nothing.
        Ok(timeout.map(|_| done))
    }

    /// An awaitable that waits until all is done.
    pub fn join_later(&self, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        let call = JoinCall { queue: self.raw.clone() };
        later(
            python,
            call,
            timeout,
            move |python, ()| Ok(truth(python, true)),
            move |python| Ok(truth(python, false)),
        )
    }

    /// Whether there are as many items as it takes.
    pub fn full(&self) -> PyResult<bool> {
        Ok(self.raw.maxsize() != 0 && self.raw.len().map_err(error)? >= self.raw.maxsize())
    }

    /// Ends the queue.
    pub fn shut_down(&self, python: Python<'_>, immediate: bool) -> PyResult<()> {
        let raw = &self.raw;
        notifying(python, || python.detach(|| raw.shut_down(immediate))).map_err(error)
    }

    /// Who waits now.
    pub fn statistics(&self, python: Python<'_>) -> SharedQueueStatistics {
        python.detach(|| self.raw.waiting()).into()
    }

    /// How it pickles.
    pub fn reduce(&self, slf: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        reduce(slf, self.raw.object(), self.name())
    }

    /// Its `repr`, with what its class has to say.
    pub fn describe(&self, slf: &Bound<'_, PyAny>, more: &str) -> PyResult<String> {
        let raw = &self.raw;
        let items = raw.len().map_or_else(|failure: Error| failure.to_string(), |items| items.to_string());
        let limit = if raw.maxsize() == 0 { String::new() } else { format!("/{}", raw.maxsize()) };
        let end = if raw.is_shut_down() { ", shut down" } else { "" };
        Ok(format!("<{}: items={items}{limit}{more}{end}>", title(slf, raw.object(), self.name())?))
    }
}
