//! Buffers that go through a queue beside the pickle they belong to: written once, and received as read-only views.

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use oneloom_shm::held::Held;
use oneloom_shm::parcel::{self, Parcel, Piece};
use oneloom_shm::payload::{Item, Payload};
use oneloom_shm::segment::Segment;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyList, PyMemoryView};

use super::error;
use crate::once::intern;

/// Buffers from this length on are received without a copy; a shorter one is copied, because a view would keep the
/// whole item's memory.
const VIEWED: usize = 16 << 10;

/// What a pickler writes: the pickle in pieces, the large ones as they are, and the buffers that it leaves out.
#[pyclass(frozen, module = "oneloom.shared", name = "Pieces")]
pub struct Pieces {
    collected: Mutex<Collected>,
}

#[derive(Default)]
struct Collected {
    head: Vec<PyBuffer<u8>>,
    buffers: Vec<PyBuffer<u8>>,
    /// How many pieces of the head stand before the pickle.
    before: usize,
}

impl Pieces {
    /// None yet.
    pub fn new() -> Self {
        Self { collected: Mutex::default() }
    }

    /// None yet but what stands before the pickle.
    pub fn after(bytes: &Bound<'_, PyBytes>) -> PyResult<Self> {
        let collected = Collected { head: vec![PyBuffer::get(bytes)?], buffers: Vec::new(), before: 1 };
        Ok(Self { collected: Mutex::new(collected) })
    }

    /// What was written.
    pub fn finish(&self) -> Written {
        Written(std::mem::take(&mut *self.collected.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn push(&self, buffer: PyBuffer<u8>, place: fn(&mut Collected) -> &mut Vec<PyBuffer<u8>>) {
        let mut collected = self.collected.lock().unwrap_or_else(PoisonError::into_inner);
        place(&mut collected).push(buffer);
    }
}

#[pymethods]
impl Pieces {
    /// As a file does it.
    fn write(&self, piece: &Bound<'_, PyAny>) -> PyResult<()> {
        self.push(PyBuffer::get(piece)?, |collected| &mut collected.head);
        Ok(())
    }

    /// Forgets a pickle that could not be made.
    fn clear(&self) {
        let forgotten = {
            let mut collected = self.collected.lock().unwrap_or_else(PoisonError::into_inner);
            let before = collected.before;
            (collected.head.split_off(before), std::mem::take(&mut collected.buffers))
        };
        drop(forgotten);
    }

    /// As a `buffer_callback` does it: None means that the buffer is left out of the pickle.
    fn __call__(&self, buffer: &Bound<'_, PyAny>) -> PyResult<()> {
        let raw = buffer.call_method0(intern!(buffer.py(), "raw"))?;
        self.push(PyBuffer::get(&raw)?, |collected| &mut collected.buffers);
        Ok(())
    }
}

/// A pickle and its buffers, which are kept as they are for as long as this lives.
pub struct Written(Collected);

impl Written {
    /// Whether there are buffers beside the pickle.
    pub fn has_buffers(&self) -> bool {
        !self.0.buffers.is_empty()
    }

    /// How many bytes all of it has.
    pub fn length(&self) -> u64 {
        self.length_of(&self.parcel())
    }

    /// As one run of bytes.
    pub fn flat<'py>(&self, python: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let parcel = self.parcel();
        PyBytes::new_with(python, self.length_of(&parcel) as usize, |place| {
            // SAFETY: as long as what is written, and nobody else knows of it.
            unsafe { self.write(&parcel, NonNull::from(place).cast()) };
            Ok(())
        })
    }

    /// As an item in memory of its own.
    pub fn item(&self, python: Python<'_>, segment: &'static Segment, mark: u32) -> PyResult<Item> {
        let payload = python.detach(|| {
            let parcel = self.parcel();
            let write = |place| {
                // SAFETY: a block of that length that nobody knows of yet.
                unsafe { self.write(&parcel, place) };
            };
            Payload::filled(segment, segment.me()?, self.length_of(&parcel), mark, write)
        });
        payload.map(Item::Large).map_err(error)
    }

    fn parcel(&self) -> Parcel {
        // SAFETY: who gave a buffer keeps it where it is until it is released.
        let piece =
            |buffer: &PyBuffer<u8>| unsafe { Piece::new(buffer.buf_ptr().cast(), buffer.len_bytes()) };
        let pieces = |buffers: &[PyBuffer<u8>]| buffers.iter().map(piece).collect();
        Parcel { head: pieces(&self.0.head), buffers: pieces(&self.0.buffers) }
    }

    /// A pickle without buffers stands for itself.
    fn length_of(&self, parcel: &Parcel) -> u64 {
        if self.has_buffers() { parcel.length() } else { parcel.length_of_head() }
    }

    /// Writes it to a place of its own.
    ///
    /// # Safety
    /// As many bytes as it is long can be written there, by nobody else.
    pub unsafe fn write_to(&self, place: NonNull<u8>) {
        // SAFETY: by this function's own contract.
        unsafe { self.write(&self.parcel(), place) };
    }

    /// # Safety
    /// As for [`Parcel::write`].
    unsafe fn write(&self, parcel: &Parcel, place: NonNull<u8>) {
        // SAFETY: by this function's own contract; the pieces are kept by `self`.
        unsafe { if self.has_buffers() { parcel.write(place) } else { parcel.write_head(place) } }
    }
}

/// The bytes of an item that was received, for as long as anybody looks at them: here, or in a child that was forked
/// meanwhile.
#[pyclass(frozen, module = "oneloom.shared", name = "Buffer")]
pub struct Buffer {
    /// None only while it is being dropped.
    held: Option<Arc<Held>>,
    place: Range<usize>,
}

impl Buffer {
    /// What it shows.
    pub fn bytes(&self) -> PyResult<&[u8]> {
        let held = self.held.as_ref().ok_or_else(|| PyBufferError::new_err("its memory was given back"))?;
        Ok(&held.bytes().map_err(error)?[self.place.clone()])
    }
}

#[pymethods]
impl Buffer {
    /// Read-only, and as bytes.
    ///
    /// # Safety
    /// `view` is the interpreter's, to be filled.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: std::ffi::c_int,
    ) -> PyResult<()> {
        let bytes = slf.get().bytes()?;
        let (start, length) = (bytes.as_ptr().cast_mut().cast(), bytes.len() as isize);
        // SAFETY: the bytes stand as long as this object, which the view keeps; it is told that they are read-only.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, length, 1, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let held = self.held.take();
        // Giving the memory back may have to wait for another process. Where nobody can attach, nobody has to detach.
        let _ = Python::try_attach(|python| python.detach(|| drop(held)));
    }
}

/// A large item's bytes from `start` on, to be read without a copy.
pub fn whole(python: Python<'_>, held: Held, start: usize) -> PyResult<Bound<'_, Buffer>> {
    let length = held.bytes().map_err(error)?.len();
    Bound::new(python, Buffer { held: Some(Arc::new(held)), place: start..length })
}

/// What an item's buffers are received as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Read-only: the large ones are views of shared memory.
    Views,
    /// Private memory, as writable as it was where the item was put.
    Copies,
}

/// Part of an item: a copy of its bytes, or a large one as it stands in shared memory. `of` is the item there, if it
/// stands there.
pub fn part<'py>(
    python: Python<'py>,
    bytes: &[u8],
    of: Option<&Bound<'py, Buffer>>,
    place: Range<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let of = of.map(Bound::get);
    match of.and_then(|of| Some((of.held.clone()?, of.place.start))) {
        Some((held, start)) if place.len() >= VIEWED => {
            let place = start + place.start..start + place.end;
            Ok(Bound::new(python, Buffer { held: Some(held), place })?.into_any())
        }
        _ => Ok(PyBytes::new(python, &bytes[place]).into_any()),
    }
}

/// The place of the pickle in an item, and its buffers, as `pickle.loads` wants them.
pub fn open<'py>(
    python: Python<'py>,
    bytes: &[u8],
    of: Option<&Bound<'py, Buffer>>,
    received: Received,
) -> PyResult<(Range<usize>, Bound<'py, PyList>)> {
    let (head, places) = parcel::read(bytes).map_err(error)?;
    let buffers = PyList::empty(python);
    for place in places {
        buffers.append(match received {
            Received::Views => PyMemoryView::from(&part(python, bytes, of, place)?)?.into_any(),
            Received::Copies => PyByteArray::new(python, &bytes[place]).into_any(),
        })?;
    }
    Ok((head, buffers))
}
