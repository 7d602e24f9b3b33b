//! What goes through a queue, as bytes: exact `bytes` as they are, numbers and strings and tuples of them marshalled, all
//! else pickled, with large buffers beside the pickle.
//!
//! Marshalling takes a third of the time, but keeps neither two places the same object nor, in the version that does, apart
//! which strings are to live for ever. What can't be changed is no different for the one, and version 2 spares the other.

use std::sync::OnceLock;

use oneloom_shm::held::Held;
use oneloom_shm::payload::{Item, Payload, SMALL};
use oneloom_shm::segment::Segment;
use pyo3::marshal;
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
/// Marshalled.
pub const MARSHALLED: u32 = 4;

static DUMPS: OnceLock<Py<PyAny>> = OnceLock::new();
static LOADS: OnceLock<Py<PyAny>> = OnceLock::new();
static PICKLER: OnceLock<Py<PyAny>> = OnceLock::new();

const PROTOCOL: u8 = 5;
const MARSHAL_VERSION: i32 = 2;

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

/// How deep and how wide [`dumps_plain`] looks.
pub const DEPTH: u32 = 3;
const WIDTH: usize = 16;
/// From this length on, a pickler hands `bytes` to its file as they are, instead of copying them.
const HANDED_ON: usize = 64 << 10;

/// What an object is made of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Make {
    /// Numbers, strings, bytes, None, and tuples of them.
    Values,
    /// Lists and dictionaries as well.
    Plain,
    /// Anything.
    Other,
}

/// What a small object is made of: for a large one asking would cost as much as it saves.
fn make_of(object: &Bound<'_, PyAny>, depth: u32) -> Make {
    if let Ok(bytes) = object.cast_exact::<PyBytes>() {
        return if bytes.as_bytes().len() < HANDED_ON { Make::Values } else { Make::Other };
    }
    if object.is_exact_instance_of::<PyString>()
        || object.is_exact_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyFloat>()
        || object.is_exact_instance_of::<PyBool>()
        || object.is_none()
    {
        return Make::Values;
    }
    if depth == 0 {
        return Make::Other;
    }
    let worst = |make: Make, part: Bound<'_, PyAny>| make.max(make_of(&part, depth - 1));
    if let Ok(tuple) = object.cast_exact::<PyTuple>() {
        if tuple.len() <= WIDTH {
            return tuple.iter_borrowed().fold(Make::Values, |make, part| worst(make, part.to_owned()));
        }
    } else if let Ok(dict) = object.cast_exact::<PyDict>() {
        if dict.len() <= WIDTH {
            return dict.iter().fold(Make::Plain, |make, (key, value)| worst(worst(make, key), value));
        }
    } else if let Ok(list) = object.cast_exact::<PyList>() {
        if list.len() <= WIDTH {
            return list.iter().fold(Make::Plain, worst);
        }
    }
    Make::Other
}

/// An object that is made of built-in types alone, as bytes and their mark; `None` for any other.
pub fn dumps_plain<'py>(
    object: &Bound<'py, PyAny>,
    depth: u32,
) -> PyResult<Option<(Bound<'py, PyBytes>, u32)>> {
    let make = make_of(object, depth);
    if make == Make::Values {
        // What is too large for it is pickled.
        if let Ok(bytes) = marshal::dumps(object, MARSHAL_VERSION) {
            return Ok(Some((bytes, MARSHALLED)));
        }
    }
    if make == Make::Other {
        return Ok(None);
    }
    // It pickles the same everywhere.
    let pickle = imported(object.py(), &DUMPS, "pickle", &["dumps"])?.call1((object, PROTOCOL))?;
    Ok(Some((pickle.cast_into()?, PICKLED)))
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
    if let Some((bytes, mark)) = dumps_plain(item, DEPTH)? {
        return Ok(Packed::Bytes(bytes, mark));
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
        MARSHALLED => marshal::loads(python, bytes),
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
        MARSHALLED => marshal::loads(python, whole.get().bytes()?),
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
