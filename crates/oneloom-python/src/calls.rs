//! Calling Python code that may still run when the interpreter ends.
//!
//! CPython below 3.14 ends other threads then, by unwinding the stack of each that wants to go on. That must not come through
//! Rust, which aborts the process where it meets it; so such a thread stops for ever in here, as from CPython 3.14 on.

use std::hint::black_box;

use pyo3::ffi::{self, PyObject};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

type Call = unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;
type NeverUnwinding = unsafe extern "C" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;

/// Stops the thread where it is dropped.
struct Stop;

impl Drop for Stop {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

/// Calls `function(*args, **kwargs)`: for whatever may take long, on a thread that is not the main one.
///
/// # Errors
/// What it raises.
pub fn call<'py>(
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let kwargs = kwargs.map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: it is a function of C, of which only `ffi` says that it never unwinds.
    let call: Call = unsafe { std::mem::transmute::<NeverUnwinding, Call>(ffi::PyObject_Call) };
    let stop = Stop;
    // Whoever compiles this must not find out which function it is: then `stop` would be left out.
    // SAFETY: attached, with a tuple and a dictionary or nothing. An unwinding gets no further than to `stop`.
    let result = unsafe { black_box(call)(function.as_ptr(), args.as_ptr(), kwargs) };
    std::mem::forget(stop);
    // SAFETY: a new reference, or null with an error set.
    unsafe { Bound::from_owned_ptr_or_err(function.py(), result) }
}
