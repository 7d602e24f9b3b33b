//! What goes through a queue, as bytes: exact `bytes` as they are, all else pickled.

use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::once::{intern, kept};

/// The marks that items carry through a queue.
pub const PICKLED: u32 = 0;
/// See [`PICKLED`].
pub const BYTES: u32 = 1;

static DUMPS: OnceLock<Py<PyAny>> = OnceLock::new();
static LOADS: OnceLock<Py<PyAny>> = OnceLock::new();
static FORKING_DUMPS: OnceLock<Py<PyAny>> = OnceLock::new();

const PROTOCOL: u8 = 5;

fn imported<'py>(
    python: Python<'py>,
    place: &'static OnceLock<Py<PyAny>>,
    module: &str,
    names: &[&str],
) -> PyResult<&'py Bound<'py, PyAny>> {
    let found = kept(place, || {
        let module = python.import(module)?.into_any();
        Ok::<_, PyErr>(names.iter().try_fold(module, |object, name| object.getattr(*name))?.unbind())
    })?;
    Ok(found.bind(python))
}

/// How deep and how wide [`is_plain`] looks.
const DEPTH: u32 = 3;
const WIDTH: usize = 16;

/// Whether an object is made of built-in types alone, which pickle the same everywhere. A small one: for a large one
/// asking would cost as much as it saves.
fn is_plain(object: &Bound<'_, PyAny>, depth: u32) -> bool {
    if object.is_exact_instance_of::<PyString>()
        || object.is_exact_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyFloat>()
        || object.is_exact_instance_of::<PyBytes>()
        || object.is_exact_instance_of::<PyBool>()
        || object.is_none()
    {
        return true;
    }
    if depth == 0 {
        return false;
    }
    let plain = |part: Bound<'_, PyAny>| is_plain(&part, depth - 1);
    if let Ok(tuple) = object.cast_exact::<PyTuple>() {
        tuple.len() <= WIDTH && tuple.iter().all(plain)
    } else if let Ok(dict) = object.cast_exact::<PyDict>() {
        dict.len() <= WIDTH && dict.iter().all(|(key, value)| plain(key) && plain(value))
    } else if let Ok(list) = object.cast_exact::<PyList>() {
        list.len() <= WIDTH && list.iter().all(plain)
    } else {
        false
    }
}

/// An item as bytes, with its mark.
pub fn pack<'py>(item: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyBytes>, u32)> {
    if let Ok(bytes) = item.cast_exact::<PyBytes>() {
        return Ok((bytes.clone(), BYTES));
    }
    let python = item.py();
    let packed = if is_plain(item, DEPTH) {
        imported(python, &DUMPS, "pickle", &["dumps"])?.call1((item, PROTOCOL))?
    } else {
        // Whatever multiprocessing knows how to send, this sends as well.
        let dumps =
            imported(python, &FORKING_DUMPS, "multiprocessing.reduction", &["ForkingPickler", "dumps"])?;
        dumps.call1((item, PROTOCOL))?.call_method0(intern!(python, "tobytes"))?
    };
    Ok((packed.cast_into::<PyBytes>()?, PICKLED))
}

/// The item that bytes and mark stand for.
pub fn unpack<'py>(python: Python<'py>, bytes: &[u8], mark: u32) -> PyResult<Bound<'py, PyAny>> {
    let bytes = PyBytes::new(python, bytes);
    if mark == BYTES {
        Ok(bytes.into_any())
    } else {
        imported(python, &LOADS, "pickle", &["loads"])?.call1((bytes,))
    }
}
