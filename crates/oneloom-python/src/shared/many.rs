//! Many items at once, into a shared queue and out of it.

use oneloom_shm::flow::ShutDown;
use oneloom_shm::queue::{Batch, GetManyCall, Part, PutCall, Queue};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use super::error;
use super::flow::{Flow, ended, put_later};
use super::pickling::{pack, unpack};
use super::waiting::{later, wait};
use crate::arguments::{Timeout, queue_deadline};
use crate::environment::notifying;
use crate::errors;
use crate::waiting::Waiting;

/// The items as bytes with their marks. All of them, before anything is put: pickling may raise.
fn packed<'py>(items: &Bound<'py, PyAny>) -> PyResult<Vec<(Bound<'py, PyBytes>, u32)>> {
    items.try_iter()?.map(|item| pack(&item?)).collect()
}

/// Puts all of the items, or none.
pub fn put(flow: &Flow<Queue>, items: &Bound<'_, PyAny>, block: bool, timeout: Timeout) -> PyResult<()> {
    let (python, deadline) = (items.py(), queue_deadline(block, timeout)?);
    let packed = packed(items)?;
    let parts = packed.iter().map(|(bytes, mark)| (bytes.as_bytes(), *mark)).collect();
    let mut call = PutCall::many(flow.raw.clone(), parts);
    let given = notifying(python, || wait(python, &mut call, deadline))?;
    // What was not put has memory to give back, which may have to wait for another process.
    python.detach(|| drop(call));
    ended(python, given, &errors::FULL)
}

/// An awaitable that puts all of the items, or none.
pub fn put_some_time(flow: &Flow<Queue>, items: &Bound<'_, PyAny>, timeout: Timeout) -> PyResult<Waiting> {
    queue_deadline(true, timeout)?;
    let parts = packed(items)?.iter().map(|(bytes, mark)| (bytes.as_bytes().to_vec(), *mark)).collect();
    put_later(items.py(), PutCall::many(flow.raw.clone(), parts), timeout)
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
    got(python, given)
}

/// An awaitable that does so.
pub fn get_some_time(
    flow: &Flow<Queue>,
    python: Python<'_>,
    n: Option<isize>,
    timeout: Timeout,
) -> PyResult<Waiting> {
    queue_deadline(true, timeout)?;
    let finish = |python: Python<'_>, given| got(python, Some(given));
    later(python, call(flow.raw.clone(), n)?, timeout, finish, |python| Err(errors::EMPTY.error(python)))
}

/// A list of the items. If one does not unpickle, the others go with its error: they are out of the queue.
fn got(python: Python<'_>, given: Option<Result<Batch, ShutDown>>) -> PyResult<Py<PyAny>> {
    let batch = ended(python, given, &errors::EMPTY)?;
    let mut items = Vec::with_capacity(batch.len());
    let mut failed = None;
    for part in batch.parts() {
        let item = match part {
            Part::Small { bytes, mark } => unpack(python, bytes, mark),
            Part::Large(payload) => {
                payload.bytes().map_err(error).and_then(|bytes| unpack(python, bytes, payload.mark))
            }
        };
        match item {
            Ok(item) => items.push(item),
            Err(failure) => failed = failed.or(Some(failure)),
        }
    }
    // Giving memory back may have to wait for another process.
    python.detach(|| drop(batch));
    let items = PyList::new(python, items)?;
    let Some(failure) = failed else { return Ok(items.into_any().unbind()) };
    let value = failure.value(python);
    let note = format!("get_many had taken {} more items, which are this exception's `items`", items.len());
    // An exception without room for them is raised all the same.
    let _ = value.setattr("items", items).and_then(|()| value.call_method1("add_note", (note,)));
    Err(failure)
}
