//! What callers pass: timeouts, flags and names, with the standard library's errors for what it refuses.

use std::time::Duration;

use oneloom_sync::raw::Name;
use oneloom_wait::clock::Deadline;
use pyo3::Borrowed;
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};

/// A flag: anything with a truth value, as the standard library takes it.
#[derive(Clone, Copy)]
pub struct Truth(pub bool);

impl<'py> FromPyObject<'_, 'py> for Truth {
    type Error = PyErr;

    #[inline]
    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(object.is_truthy()?))
    }
}

/// A whole number, which may be written as a float: `Semaphore(cores / 2)` is as good as `cores // 2`.
#[derive(Clone, Copy)]
pub struct Whole(pub i64);

impl<'py> FromPyObject<'_, 'py> for Whole {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match object.cast::<PyFloat>().map(|float| float.value()) {
            Ok(float) if float.fract() == 0.0 => Ok(Self(float as i64)),
            _ => object.extract().map(Self),
        }
    }
}

/// A queue's `maxsize`: any number, as the standard library only compares it. What is too large is the largest.
#[derive(Clone, Copy)]
pub struct Maxsize(pub isize);

impl<'py> FromPyObject<'_, 'py> for Maxsize {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyFloat>() || object.is_instance_of::<PyInt>() {
            return Ok(Self(object.extract::<isize>().or_else(|_| number(object))?));
        }
        object.extract().map(Self)
    }
}

fn number(object: Borrowed<'_, '_, PyAny>) -> PyResult<isize> {
    match object.extract::<f64>() {
        Ok(number) => Ok(number.ceil() as isize),
        Err(_) if object.lt(0)? => Ok(isize::MIN),
        Err(_) => Ok(isize::MAX),
    }
}

/// Seconds, or no limit.
pub type Timeout = Option<f64>;

/// The longest timeout in seconds, as `threading.TIMEOUT_MAX` has it: what fits 63 bits of nanoseconds.
const LONGEST: f64 = 9_223_372_036.0;

/// A duration of so many seconds; beyond the longest it is the longest.
pub fn seconds(timeout: f64) -> Duration {
    // What is no number is not above zero either, so it is over at once; `clamp` would let it through.
    Duration::from_secs_f64(if timeout > 0.0 { timeout.min(LONGEST) } else { 0.0 })
}

/// What a lock's `acquire(blocking, timeout)` means. Without blocking the deadline is over at once.
pub fn lock_deadline(blocking: bool, timeout: Timeout) -> PyResult<Deadline> {
    match (blocking, timeout) {
        (true, None) => Ok(Deadline::Never),
        (true, Some(-1.0)) => Ok(Deadline::Never),
        (false, None) => Ok(Deadline::after(Some(Duration::ZERO))),
        (false, Some(-1.0)) => Ok(Deadline::after(Some(Duration::ZERO))),
        (false, Some(_)) => Err(PyValueError::new_err("can't specify a timeout for a non-blocking call")),
        (true, Some(timeout)) if timeout > LONGEST => {
            Err(PyOverflowError::new_err("timeout value is too large"))
        }
        (true, Some(timeout)) if timeout >= 0.0 => Ok(Deadline::after(Some(seconds(timeout)))),
        (true, Some(_)) => Err(PyValueError::new_err(
            "timeout value must be a non-negative number, or None or -1 for no limit",
        )),
    }
}

/// What a queue's `block` and `timeout` mean.
pub fn queue_deadline(block: bool, timeout: Timeout) -> PyResult<Deadline> {
    match timeout {
        _ if !block => Ok(Deadline::after(Some(Duration::ZERO))),
        None => Ok(Deadline::Never),
        Some(timeout) if timeout >= 0.0 => Ok(Deadline::after(Some(seconds(timeout)))),
        Some(_) => Err(PyValueError::new_err("'timeout' must be a non-negative number")),
    }
}

/// A timeout for which anything below zero is over at once, as for `Event.wait`.
pub fn lenient_deadline(timeout: Timeout) -> Deadline {
    Deadline::after(timeout.map(seconds))
}

/// A name, if one was given.
pub fn name(name: Option<&str>) -> Name {
    name.map_or(Name::NONE, Name::new)
}
