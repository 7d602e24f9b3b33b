//! What goes through a queue, as bytes: exact `bytes` as they are, all else pickled, with large buffers beside the pickle.

use std::sync::OnceLock;

use oneloom_shm::held::Held;
use oneloom_shm::payload::{Item, Payload, SMALL};
use oneloom_shm::segment::Segment;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::buffer::{self, Buffer, Pieces, Received, Written};
use super::error;
use crate::once::{intern, kept};

/// The marks that items carry through a queue.
pub const PICKLED: u32 = 0;
/// See [`PICKLED`].
pub const BYTES: u32 = 1;
/// A pickle with buffers beside it.
pub const PARCEL: u32 = 2;

static DUMPS: OnceLock<Py<PyAny>> = OnceLock::new();
static LOADS: OnceLock<Py<PyAny>> = OnceLock::new();
static PICKLER: OnceLock<Py<PyAny>> = OnceLock::new();

const PROTOCOL: u8 = 5;

/// What stands in a module under these names, one in the other.
pub fn imported<'py>(
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
pub const DEPTH: u32 = 3;
const WIDTH: usize = 16;
/// From this length on, a pickler hands `bytes` to its file as they are, instead of copying them.
const HANDED_ON: usize = 64 << 10;

/// Whether an object is made of built-in types alone, which pickle the same everywhere. A small one: for a large one
/// asking would cost as much as it saves.
pub fn is_plain(object: &Bound<'_, PyAny>, depth: u32) -> bool {
    if let Ok(bytes) = object.cast_exact::<PyBytes>() {
        return bytes.as_bytes().len() < HANDED_ON;
    }
    if object.is_exact_instance_of::<PyString>()
        || object.is_exact_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyFloat>()
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

/// An item as it goes through a queue.
pub enum Packed<'py> {
    /// Bytes, and the mark that says what they are.
    Bytes(Bound<'py, PyBytes>, u32),
    /// More than a small item, in pieces that are not copied yet.
    Written(Written),
}

impl Packed<'_> {
    /// The bytes and their mark, if they may be put at once.
    #[inline]
    pub fn bytes(&self) -> Option<(&[u8], u32)> {
        match self {
            Self::Bytes(bytes, mark) => Some((bytes.as_bytes(), *mark)),
            Self::Written(_) => None,
        }
    }

    /// A copy for a queue that stands in `segment`.
    pub fn item(&self, python: Python<'_>, segment: &'static Segment) -> PyResult<Item> {
        match self {
            Self::Bytes(bytes, mark) => {
                let bytes = bytes.as_bytes();
                python.detach(|| Item::copy_of(segment, bytes, *mark)).map_err(error)
            }
            Self::Written(written) => written.item(python, segment, mark_of(written)),
        }
    }
}

/// See [`PICKLED`].
pub fn mark_of(written: &Written) -> u32 {
    if written.has_buffers() { PARCEL } else { PICKLED }
}

/// An item, ready to be put.
pub fn pack<'py>(item: &Bound<'py, PyAny>) -> PyResult<Packed<'py>> {
    if let Ok(bytes) = item.cast_exact::<PyBytes>() {
        return Ok(Packed::Bytes(bytes.clone(), BYTES));
    }
    let python = item.py();
    if is_plain(item, DEPTH) {
        return Ok(Packed::Bytes(dumps(item)?, PICKLED));
    }
    let pieces = Bound::new(python, Pieces::new())?;
    let pickler = imported(python, &PICKLER, "oneloom._pickling", &["Pickler"])?.call1((&pieces,))?;
    pickler.call_method1(intern!(python, "dump"), (item,))?;
    let written = pieces.get().finish();
    if written.length() > SMALL as u64 {
        return Ok(Packed::Written(written));
    }
    Ok(Packed::Bytes(written.flat(python)?, mark_of(&written)))
}

/// The object that a small item stands for.
pub fn unpack<'py>(
    python: Python<'py>,
    bytes: &[u8],
    mark: u32,
    received: Received,
) -> PyResult<Bound<'py, PyAny>> {
    match mark {
        BYTES => Ok(PyBytes::new(python, bytes).into_any()),
        PARCEL => load_parcel(python, bytes, None, received),
        _ => loads(python, PyBytes::new(python, bytes).into_any(), None),
    }
}

/// The object that a large item stands for, which may go on using its memory.
pub fn unpack_large<'py>(
    python: Python<'py>,
    payload: Payload,
    received: Received,
) -> PyResult<Bound<'py, PyAny>> {
    let mark = payload.mark;
    if mark == BYTES {
        // Nobody can fork meanwhile, so it need not be held.
        let copied = payload.bytes().map(|bytes| PyBytes::new(python, bytes).into_any());
        // Giving the memory back may have to wait for another process.
        python.detach(|| drop(payload));
        return copied.map_err(error);
    }
    unpack_whole(&buffer::whole(python, Held::new(payload), 0)?, mark, received)
}

/// The object that the pickle in a large item stands for.
pub fn unpack_whole<'py>(
    whole: &Bound<'py, Buffer>,
    mark: u32,
    received: Received,
) -> PyResult<Bound<'py, PyAny>> {
    let python = whole.py();
    match mark {
        PARCEL => load_parcel(python, whole.get().bytes()?, Some(whole), received),
        _ => loads(python, whole.clone().into_any(), None),
    }
}

fn load_parcel<'py>(
    python: Python<'py>,
    bytes: &[u8],
    of: Option<&Bound<'py, Buffer>>,
    received: Received,
) -> PyResult<Bound<'py, PyAny>> {
    let (head, buffers) = buffer::open(python, bytes, of, received)?;
    loads(python, buffer::part(python, bytes, of, head)?, Some(buffers))
}

/// The object of a pickle, with its buffers if it has any beside it.
pub fn loads<'py>(
    python: Python<'py>,
    pickle: Bound<'py, PyAny>,
    buffers: Option<Bound<'py, PyList>>,
) -> PyResult<Bound<'py, PyAny>> {
    let loads = imported(python, &LOADS, "pickle", &["loads"])?;
    let Some(buffers) = buffers else { return loads.call1((pickle,)) };
    let options = PyDict::new(python);
    options.set_item(intern!(python, "buffers"), buffers)?;
    loads.call((pickle,), Some(&options))
}

/// The pickle of what [`is_plain`].
pub fn dumps<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let packed = imported(object.py(), &DUMPS, "pickle", &["dumps"])?.call1((object, PROTOCOL))?;
    Ok(packed.cast_into::<PyBytes>()?)
}
