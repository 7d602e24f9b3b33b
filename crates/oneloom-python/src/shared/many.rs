//! Many items at once, into a shared queue and out of it.

use oneloom_shm::flow::{AnyQueue, ShutDown};
use oneloom_shm::held::Held;
use oneloom_shm::payload::Item;
use oneloom_shm::queue::{Batch, GetManyCall, Part, PutCall, Queue};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::buffer::Received;
use super::flow::{Flow, ended, put_later};
use super::pickling::{pack, unpack, unpack_large};
use super::waiting::{later, wait};
use crate::arguments::{Timeout, queue_deadline};
use crate::environment::notifying;
use crate::errors;
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

fn call<Q>(queue: Q, n: Option<isize>) -> PyResult<GetManyCall<Q>> {
    let most = match n {
        None => u64::MAX,
        Some(n) if n > 0 => n as u64,
        Some(_) => return Err(PyValueError::new_err("'n' must be positive, or None for all there are")),
    };
    Ok(GetManyCall { queue, most })
}

/// Takes up to `n` items, `None` for all there are; at least one.
pub fn get(
    flow: &Flow<Queue>,
    python: Python<'_>,
    n: Option<isize>,
    block: bool,
    timeout: Timeout,
) -> PyResult<Py<PyAny>> {
    let (mut call, deadline) = (call(flow.raw.clone(), n)?, queue_deadline(block, timeout)?);
    let given = notifying(python, || wait(python, &mut call, deadline))?;
    got(python, given, flow.received())
}

/// An awaitable that does so.
pub fn get_some_time(
    flow: &Flow<Queue>,
    python: Python<'_>,
    n: Option<isize>,
    timeout: Timeout,
) -> PyResult<Waiting> {
    queue_deadline(true, timeout)?;
    let received = flow.received();
    let finish = move |python: Python<'_>, given| got(python, Some(given), received);
    later(python, call(flow.raw.clone(), n)?, timeout, finish, |python| Err(errors::EMPTY.error(python)))
}

/// A list of the items. If one does not unpickle, the others go with its error: they are out of the queue.
fn got(
    python: Python<'_>,
    given: Option<Result<Batch, ShutDown>>,
    received: Received,
) -> PyResult<Py<PyAny>> {
    let mut batch = ended(python, given, &errors::EMPTY)?;
    let mut items = Vec::with_capacity(batch.len());
    let mut failed = None;
    for part in batch.parts() {
        let item = match part {
            Part::Small { bytes, mark } => unpack(python, bytes, mark, received),
            Part::Large(payload) => {
                let mark = payload.mark;
                unpack_large(python, Held::new(payload), mark, received)
            }
        };
        match item {
            Ok(item) => items.push(item),
            Err(failure) => failed = failed.or(Some(failure)),
        }
    }
    let items = PyList::new(python, items)?;
    let Some(failure) = failed else { return Ok(items.into_any().unbind()) };
    let value = failure.value(python);
    let note = format!("get_many had taken {} more items, which are this exception's `items`", items.len());
    // An exception without room for them is raised all the same.
    let _ = value.setattr("items", items).and_then(|()| value.call_method1("add_note", (note,)));
    Err(failure)
}
