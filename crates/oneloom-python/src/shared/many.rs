//! Many items at once, into a shared queue and out of it; and items that are pending until they are done.

use std::convert::Infallible;
use std::sync::Arc;

use oneloom_shm::flow::AnyQueue;
use oneloom_shm::payload::Item;
use oneloom_shm::queue::{Batch, GetManyCall, Part, PutCall, Queue};
use pyo3::Borrowed;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::buffer::Received;
use super::error;
use super::flow::{Flow, ended, put_later};
use super::pickling::{pack, unpack, unpack_large};
use super::receipts;
use super::waiting::{later, wait};
use crate::arguments::{Timeout, queue_deadline};
use crate::environment::notifying;
use crate::errors;
use crate::owner;
use crate::waiting::Waiting;

/// The items, ready to be put. All of them, before anything is put: pickling may raise.
fn packed(flow: &Flow<Queue>, items: &Bound<'_, PyAny>) -> PyResult<Vec<Item>> {
    let segment = flow.raw.segment();
    let (python, mut packed) = (items.py(), Vec::new());
    for item in items.try_iter()? {
        match item.and_then(|item| pack(&item)?.item(python, segment)) {
            Ok(item) => packed.push(item),
            Err(failure) => {
                // Giving memory back may have to wait for another process.
                python.detach(|| drop(packed));
                return Err(failure);
            }
        }
    }
    Ok(packed)
}

/// Puts all of the items, or none.
pub fn put(flow: &Flow<Queue>, items: &Bound<'_, PyAny>, block: bool, timeout: Timeout) -> PyResult<()> {
    let (python, deadline) = (items.py(), queue_deadline(block, timeout)?);
    let mut call = PutCall::many(flow.raw.clone(), packed(flow, items)?);
    let given = notifying(python, || wait(python, &mut call, deadline))?;
    // What was not put has memory to give back, which may have to wait for another process.
    python.detach(|| drop(call));
    ended(python, given, &errors::FULL)
}

/// An awaitable that puts all of the items, or none.
pub fn put_some_time(flow: &Flow<Queue>, items: &Bound<'_, PyAny>, timeout: Timeout) -> PyResult<Waiting> {
    queue_deadline(true, timeout)?;
    put_later(items.py(), PutCall::many(flow.raw.clone(), packed(flow, items)?), timeout)
}

fn call(queue: &Arc<Queue>, n: Option<isize>) -> PyResult<GetManyCall<Arc<Queue>>> {
    let most = match n {
        None => u64::MAX,
        Some(n) if n > 0 => n as u64,
        Some(_) => return Err(PyValueError::new_err("'n' must be positive, or None for all there are")),
    };
    Ok(GetManyCall { queue: queue.clone(), most })
}

fn take(
    flow: &Flow<Queue>,
    python: Python<'_>,
    n: Option<isize>,
    block: bool,
    timeout: Timeout,
) -> PyResult<Batch> {
    let (mut call, deadline) = (call(&flow.raw, n)?, queue_deadline(block, timeout)?);
    let given = notifying(python, || wait(python, &mut call, deadline))?;
    ended(python, given, &errors::EMPTY)
}

/// Takes up to `n` items, `None` for all there are; at least one.
pub fn get(
    flow: &Flow<Queue>,
    python: Python<'_>,
    n: Option<isize>,
    block: bool,
    timeout: Timeout,
) -> PyResult<Py<PyAny>> {
    let batch = take(flow, python, n, block, timeout)?;
    all(python, &flow.raw, batch, flow.received())
}

/// Takes one item, in a way that pending ones can be taken.
pub fn get_one(flow: &Flow<Queue>, python: Python<'_>, block: bool, timeout: Timeout) -> PyResult<Py<PyAny>> {
    let batch = take(flow, python, Some(1), block, timeout)?;
    one(python, &flow.raw, batch, flow.received())
}

/// An awaitable that takes items, and makes of them what it is told.
pub fn get_some_time(
    flow: &Flow<Queue>,
    python: Python<'_>,
    n: Option<isize>,
    timeout: Timeout,
    make: fn(Python<'_>, &Queue, Batch, Received) -> PyResult<Py<PyAny>>,
) -> PyResult<Waiting> {
    queue_deadline(true, timeout)?;
    let (call, raw, received) = (call(&flow.raw, n)?, flow.raw.clone(), flow.received());
    let finish = move |python: Python<'_>, given| {
        make(python, &raw, ended(python, Some(given), &errors::EMPTY)?, received)
    };
    later(python, call, timeout, finish, |python| Err(errors::EMPTY.error(python)))
}

/// The items of a batch that unpickle, and the first error of those that don't: these are out of the queue all the same.
fn unpacked<'py>(
    python: Python<'py>,
    queue: &Queue,
    mut batch: Batch,
    received: Received,
) -> PyResult<(Vec<Bound<'py, PyAny>>, Option<PyErr>)> {
    let mut items = Vec::with_capacity(batch.len());
    let mut failed = None;
    if !queue.acknowledges() {
        for part in batch.parts() {
            let item = match part {
                Part::Small { bytes, mark } => unpack(python, bytes, mark, received),
                Part::Large(payload) => unpack_large(python, payload, received),
            };
            match item {
                Ok(item) => items.push(item),
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        return Ok((items, failed));
    }
    let (mut entries, mut broken) = (Vec::with_capacity(batch.len()), Vec::new());
    for lent in batch.into_lent() {
        // Copied, buffers as well: its memory goes with its being done.
        let item = lent.bytes().map_err(error).and_then(|bytes| unpack(python, bytes, lent.mark, received));
        match item {
            Ok(item) => {
                entries.push((lent.into_receipt(), item.clone().unbind()));
                items.push(item);
            }
            Err(failure) => {
                failed = failed.or(Some(failure));
                broken.push(lent.into_receipt());
            }
        }
    }
    receipts::add(queue, owner::current(python).to_bits(), entries);
    if !broken.is_empty() {
        // They were just taken, so that they are this process's.
        let _ = python.detach(|| queue.acknowledge(&broken)).map_err(error)?;
    }
    Ok((items, failed))
}

/// A list of all items. If one does not unpickle, the others go with its error.
pub fn all(python: Python<'_>, queue: &Queue, batch: Batch, received: Received) -> PyResult<Py<PyAny>> {
    let (items, failed) = unpacked(python, queue, batch, received)?;
    let items = PyList::new(python, items)?;
    let Some(failure) = failed else { return Ok(items.into_any().unbind()) };
    let value = failure.value(python);
    let note = format!("get_many had taken {} more items, which are this exception's `items`", items.len());
    // An exception without room for them is raised all the same.
    let _ = value.setattr("items", items).and_then(|()| value.call_method1("add_note", (note,)));
    Err(failure)
}

/// The only item.
pub fn one(python: Python<'_>, queue: &Queue, batch: Batch, received: Received) -> PyResult<Py<PyAny>> {
    let (mut items, failed) = unpacked(python, queue, batch, received)?;
    match items.pop() {
        Some(item) => Ok(item.unbind()),
        None => Err(failed.unwrap_or_else(|| errors::EMPTY.error(python))),
    }
}

/// The item that a caller names, or none: `None` is an item like any other.
pub struct Named<'py>(pub Option<Bound<'py, PyAny>>);

impl<'py> FromPyObject<'_, 'py> for Named<'py> {
    type Error = Infallible;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> Result<Self, Infallible> {
        Ok(Self(Some(object.to_owned())))
    }
}

/// Reports an item as done: where items are pending, the one that is named, or the caller's oldest.
pub fn task_done(flow: &Flow<Queue>, python: Python<'_>, item: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let queue = &flow.raw;
    if !queue.acknowledges() {
        return flow.task_done(python);
    }
    let owner = owner::current(python).to_bits();
    let found = match item {
        None => receipts::oldest(queue, owner),
        Some(item) => receipts::of(queue, owner, item),
    };
    if let Some((receipt, kept)) = found {
        let done = notifying(python, || python.detach(|| queue.acknowledge(&[receipt]))).map_err(error)?;
        drop(kept);
        if done.is_ok() {
            return Ok(());
        }
    }
    Err(PyValueError::new_err(if item.is_none() {
        "this thread or task has no item of this queue to report as done: if another one took it, name it: task_done(item)"
    } else {
        "this item is not pending here: it is to be the very object that was taken, and is done once"
    }))
}
