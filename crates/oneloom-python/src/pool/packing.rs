//! Calls and results as bytes.
//!
//! | bytes of a call | |
//! |---|---|
//! | 0..4 | how long the function's own pickle is; 0 if the function is pickled with its arguments |
//! | 4..8 | what else is pickled: see [`Arguments`] |
//! | | the function's pickle |
//! | | the rest, marshalled if the mark says so, else its pickle, with large buffers beside it |
//!
//! A function that goes by its name is pickled once here, and found once in each worker. What a session or a closure
//! makes goes by value, each time anew.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use oneloom_exec::packet::Packet;
use oneloom_shm::held::Held;
use oneloom_shm::payload::{Item, SMALL};
use oneloom_shm::segment::Segment;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::marshal;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use crate::once::intern;
use crate::shared::buffer::{self, Buffer, Pieces, Received, Written};
use crate::shared::error;
use crate::shared::pickling::{
    self, BYTES, DEPTH, MARSHALLED, PARCEL, PICKLED, dumps_plain, imported, mark_of,
};

/// The mark of a result that is None, and has no bytes.
const NOTHING: u32 = 3;

const HEADER: usize = 8;
/// More functions than this are not remembered: a program may make them one after the other, for ever.
const REMEMBERED: usize = 1024;

/// What is pickled behind the function.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arguments {
    /// Nothing: there are none.
    None = 0,
    /// The tuple of them.
    Positional = 1,
    /// That and the dictionary of named ones, as a pair.
    Named = 2,
}

static DUMP: OnceLock<Py<PyAny>> = OnceLock::new();
static NAMED: OnceLock<Py<PyAny>> = OnceLock::new();
static UNPICKLABLE: OnceLock<Py<PyAny>> = OnceLock::new();

const MODULE: &str = "oneloom._pool.pickling";

/// A function as its tasks know it. Nothing of Python's: the last of them may end in a thread without the interpreter.
pub struct Known {
    /// Its pickle, if it goes by its name.
    pickle: Option<Box<[u8]>>,
    /// For messages.
    pub name: Box<str>,
}

/// The functions that go by their names, by their addresses.
#[derive(Default)]
pub struct Functions(Mutex<HashMap<usize, Remembered>>);

struct Remembered {
    /// Kept, so that no other has its address.
    function: Py<PyAny>,
    known: Arc<Known>,
}

impl Functions {
    /// A function; one that goes by its name is pickled once.
    pub fn know(&self, function: &Bound<'_, PyAny>) -> PyResult<Arc<Known>> {
        let key = function.as_ptr() as usize;
        if let Some(remembered) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(remembered.known.clone());
        }
        let python = function.py();
        let pickle = imported(python, &NAMED, MODULE, &["named"])?.call1((function,))?;
        let name = name_of(function).into();
        if pickle.is_none() {
            return Ok(Arc::new(Known { pickle: None, name }));
        }
        let pickle = Some(pickle.cast::<PyBytes>()?.as_bytes().into());
        let known = Arc::new(Known { pickle, name });
        let forgotten = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let forgotten = if all.len() >= REMEMBERED { std::mem::take(&mut *all) } else { HashMap::new() };
            let remembered = Remembered { function: function.clone().unbind(), known: known.clone() };
            let twin = all.insert(key, remembered);
            (forgotten, twin)
        };
        // Dropping a function may run foreign code.
        drop(forgotten);
        Ok(known)
    }

    /// Shows them to the garbage collector.
    pub fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // No object is made in there, so nobody is in there now.
        let Ok(all) = self.0.try_lock() else { return Ok(()) };
        all.values().try_for_each(|remembered| visit.call(&remembered.function))
    }
}

fn name_of(function: &Bound<'_, PyAny>) -> String {
    let name = function.getattr(intern!(function.py(), "__qualname__"));
    let name = name.or_else(|_| Ok::<_, PyErr>(function.repr()?.into_any()));
    name.map_or_else(|_| "a task".into(), |name| name.to_string())
}

fn header(function: usize, arguments: Arguments) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&(function as u32).to_le_bytes());
    header[4..].copy_from_slice(&(arguments as u32).to_le_bytes());
    header
}

/// A call, ready to be sent.
pub fn pack_call(
    segment: &'static Segment,
    known: &Known,
    function: &Bound<'_, PyAny>,
    positional: &Bound<'_, PyTuple>,
    named: Option<&Bound<'_, PyDict>>,
) -> PyResult<Packet> {
    let python = function.py();
    let named = named.filter(|named| !named.is_empty());
    let Some(pickle) = &known.pickle else {
        let whole = (function, positional, named).into_pyobject(python)?.into_any();
        return pack_behind(segment, &PyBytes::new(python, &header(0, Arguments::Named)), &whole);
    };
    let (rest, arguments) = match named {
        None if positional.is_empty() => {
            return copy_of(python, segment, &[&header(pickle.len(), Arguments::None), pickle], PICKLED);
        }
        None => (positional.clone().into_any(), Arguments::Positional),
        Some(named) => ((positional, named).into_pyobject(python)?.into_any(), Arguments::Named),
    };
    let begin = header(pickle.len(), arguments);
    if let Some((rest, mark)) = dumps_plain(&rest, DEPTH + 1)? {
        return copy_of(python, segment, &[&begin, pickle, rest.as_bytes()], mark);
    }
    pack_behind(segment, &PyBytes::new(python, &[&begin[..], pickle].concat()), &rest)
}

fn copy_of(python: Python<'_>, segment: &'static Segment, pieces: &[&[u8]], mark: u32) -> PyResult<Packet> {
    if pieces.iter().map(|piece| piece.len()).sum::<usize>() < SMALL / 2 {
        return Packet::copy_of(segment, pieces, mark).map_err(error);
    }
    // Memory may have to be waited for.
    python.detach(|| Packet::copy_of(segment, pieces, mark)).map_err(error)
}

/// `begin` and the pickle of `rest`.
fn pack_behind(
    segment: &'static Segment,
    begin: &Bound<'_, PyBytes>,
    rest: &Bound<'_, PyAny>,
) -> PyResult<Packet> {
    let python = rest.py();
    let pieces = Bound::new(python, Pieces::after(begin)?)?;
    imported(python, &DUMP, MODULE, &["dump"])?.call1((rest, &pieces))?;
    packet(python, segment, &pieces.get().finish())
}

fn packet(python: Python<'_>, segment: &'static Segment, written: &Written) -> PyResult<Packet> {
    let mark = mark_of(written);
    if written.length() < SMALL as u64 / 2 {
        return copy_of(python, segment, &[written.flat(python)?.as_bytes()], mark);
    }
    let fill = || {
        Packet::filled(segment, written.length(), mark, |place| {
            // SAFETY: a block of that length that nobody knows of yet.
            unsafe { written.write_to(place) };
        })
    };
    python.detach(fill).map_err(error)
}

/// A result, ready to be sent.
pub fn pack_result(segment: &'static Segment, result: &Bound<'_, PyAny>) -> PyResult<Packet> {
    let python = result.py();
    if result.is_none() {
        return copy_of(python, segment, &[], NOTHING);
    }
    if let Ok(bytes) = result.cast_exact::<PyBytes>() {
        return copy_of(python, segment, &[bytes.as_bytes()], BYTES);
    }
    if let Some((bytes, mark)) = dumps_plain(result, DEPTH)? {
        return copy_of(python, segment, &[bytes.as_bytes()], mark);
    }
    pack_behind(segment, &PyBytes::new(python, &[]), result)
}

/// Bytes that are a pickle, or nobody's but their reader's.
pub fn pack_bytes(python: Python<'_>, segment: &'static Segment, bytes: &[u8]) -> PyResult<Packet> {
    copy_of(python, segment, &[bytes], BYTES)
}

/// What has arrived: bytes, or a block of shared memory that is read where it stands.
pub enum Arrived {
    /// The item, and where in it the content begins.
    Small(Vec<u8>, usize, u32),
    /// The content.
    Large(Py<Buffer>, u32),
}

impl Arrived {
    /// Takes hold of what has arrived.
    pub fn new(python: Python<'_>, packet: Packet) -> PyResult<Self> {
        match packet.into_item() {
            (Item::Small { bytes, mark }, start) => Ok(Self::Small(bytes, start, mark)),
            (Item::Large(payload), start) => {
                let mark = payload.mark;
                Ok(Self::Large(buffer::whole(python, Held::new(payload), start)?.unbind(), mark))
            }
        }
    }

    /// The object that a result stands for.
    pub fn result<'py>(&self, python: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Small(_, _, NOTHING) => Ok(python.None().into_bound(python)),
            Self::Small(bytes, start, mark) => {
                pickling::unpack(python, &bytes[*start..], *mark, Received::Views)
            }
            Self::Large(whole, BYTES) => Ok(PyBytes::new(python, whole.get().bytes()?).into_any()),
            Self::Large(whole, mark) => pickling::unpack_whole(whole.bind(python), *mark, Received::Views),
        }
    }
}

/// The error for what can't be pickled: `what` it is, called `name`, with the part to blame.
pub fn unpicklable(thing: &Bound<'_, PyAny>, name: &str, what: &str, error: &PyErr) -> PyErr {
    let python = thing.py();
    let told = imported(python, &UNPICKLABLE, MODULE, &["unpicklable"])
        .and_then(|function| function.call1((thing, name, what, error.clone_ref(python).into_value(python))));
    told.map_or_else(|error| error, PyErr::from_value)
}

/// A call as a worker makes it.
pub struct Call<'py> {
    pub function: Bound<'py, PyAny>,
    pub positional: Bound<'py, PyTuple>,
    pub named: Option<Bound<'py, PyDict>>,
}

/// The functions that a worker has found by their names.
#[derive(Default)]
pub struct Found(HashMap<Box<[u8]>, Py<PyAny>>);

impl Found {
    fn function<'py>(&mut self, python: Python<'py>, pickle: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        if let Some(function) = self.0.get(pickle) {
            return Ok(function.bind(python).clone());
        }
        let function = pickling::loads(python, PyBytes::new(python, pickle).into_any(), None)?;
        if self.0.len() >= REMEMBERED {
            drop(std::mem::take(&mut self.0));
        }
        self.0.insert(pickle.into(), function.clone().unbind());
        Ok(function)
    }

    /// The call that was asked for.
    pub fn call<'py>(&mut self, python: Python<'py>, arrived: &Arrived) -> PyResult<Call<'py>> {
        match arrived {
            Arrived::Small(bytes, start, mark) => self.read(python, &bytes[*start..], *mark, None),
            Arrived::Large(whole, mark) => {
                let whole = whole.bind(python);
                self.read(python, whole.get().bytes()?, *mark, Some(whole))
            }
        }
    }

    fn read<'py>(
        &mut self,
        python: Python<'py>,
        bytes: &[u8],
        mark: u32,
        of: Option<&Bound<'py, Buffer>>,
    ) -> PyResult<Call<'py>> {
        let (head, buffers): (Range<usize>, Option<Bound<'py, PyList>>) = if mark == PARCEL {
            let (head, buffers) = buffer::open(python, bytes, of, Received::Views)?;
            (head, Some(buffers))
        } else {
            (0..bytes.len(), None)
        };
        let number = |at: usize| {
            let bytes = bytes[head.clone()].get(at..).and_then(|bytes| bytes.first_chunk::<4>());
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        let (length, arguments) = (number(0) as usize, number(4));
        let rest = head.start + HEADER + length..head.end;
        let load = || match mark {
            MARSHALLED => marshal::loads(python, &bytes[rest.clone()]),
            _ => pickling::loads(python, buffer::part(python, bytes, of, rest.clone())?, buffers),
        };
        if length == 0 {
            let (function, positional, named) = load()?.extract()?;
            return Ok(Call { function, positional, named });
        }
        let function = self.function(python, &bytes[head.start + HEADER..rest.start])?;
        if arguments == Arguments::None as u32 {
            return Ok(Call { function, positional: PyTuple::empty(python), named: None });
        }
        if arguments == Arguments::Named as u32 {
            let (positional, named) = load()?.extract()?;
            return Ok(Call { function, positional, named: Some(named) });
        }
        Ok(Call { function, positional: load()?.cast_into()?, named: None })
    }
}

impl<'py> Call<'py> {
    /// Makes it.
    pub fn make(&self) -> PyResult<Bound<'py, PyAny>> {
        self.function.call(&self.positional, self.named.as_ref())
    }

    /// The function's name, for messages; of several calls in one, that of the function that is called.
    pub fn name(&self) -> String {
        static RUN: OnceLock<Py<PyAny>> = OnceLock::new();
        let python = self.function.py();
        let run = imported(python, &RUN, "oneloom._pool.map", &["run_chunk"]);
        match self.positional.get_item(0) {
            Ok(function) if run.is_ok_and(|run| run.is(&self.function)) => name_of(&function),
            _ => name_of(&self.function),
        }
    }
}
