//! `dump_on_signal`: a signal answered by a thread of oneloom's own, so that it works while Python code is stuck.
//!
//! The handler, which may interrupt anything, only writes to an eventfd. The thread reads it, attaches to the
//! interpreter, has the dump printed, and detaches again.

use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

use oneloom_wait::{background, fork, quiescence};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

/// The descriptor that the handler writes to, and the process that it belongs to.
static BELL: AtomicI32 = AtomicI32::new(-1);
static PROCESS: AtomicU32 = AtomicU32::new(0);
static STARTED: AtomicBool = AtomicBool::new(false);

/// Adds this module's functions.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(_dump_on_signal, module)?)
}

/// Lets `signal` print what `oneloom.dump` prints.
#[pyfunction]
fn _dump_on_signal(signal: i32) -> PyResult<()> {
    start()?;
    // SAFETY: the structure is plain data, for which zeros are valid, and the handler is async-signal-safe.
    let installed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = ring as extern "C" fn(i32) as usize;
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut())
    };
    if installed != 0 {
        return Err(PyValueError::new_err(format!("signal {signal} can't be caught")));
    }
    Ok(())
}

extern "C" fn ring(_signal: i32) {
    // A child of a fork has no such thread yet, and must not ring its parent's bell.
    if PROCESS.load(Ordering::Relaxed) != fork::generation() {
        return;
    }
    let one = 1_u64;
    // SAFETY: writes eight bytes of a local variable, and keeps what it interrupts from seeing its errno.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(BELL.load(Ordering::Relaxed), (&raw const one).cast(), 8);
        *libc::__errno_location() = errno;
    }
}

fn start() -> PyResult<()> {
    if PROCESS.load(Ordering::Relaxed) == fork::generation() {
        return Ok(());
    }
    // SAFETY: asks for a new descriptor, no more.
    let bell = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if bell < 0 {
        return Err(PyOSError::new_err(std::io::Error::last_os_error().to_string()));
    }
    // SAFETY: the descriptor is new and nobody else's.
    let bell = unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(bell) };
    BELL.store(bell.as_raw_fd(), Ordering::Relaxed);
    STARTED.store(true, Ordering::Relaxed);
    background::spawn("oneloom-dump", move || answer(bell.into_raw_fd()))
        .map_err(|error| PyOSError::new_err(error.to_string()))?;
    PROCESS.store(fork::generation(), Ordering::Relaxed);
    Ok(())
}

fn answer(bell: i32) {
    quiescence::register_own_thread();
    let mut rung = 0_u64;
    // SAFETY: reads eight bytes into a local variable.
    while unsafe { libc::read(bell, (&raw mut rung).cast(), 8) } == 8 {
        // `None` while the interpreter goes away: then there is nothing to print.
        let printed = Python::try_attach(|python| {
            let printed = python.import("oneloom._report").and_then(|report| report.call_method0("dump"));
            if let Err(error) = printed {
                error.write_unraisable(python, None);
            }
        });
        if printed.is_none() {
            return;
        }
    }
}

/// In the child of a fork the thread is not there: starts it again if the parent had it.
pub fn after_fork() -> PyResult<()> {
    if STARTED.load(Ordering::Relaxed) { start() } else { Ok(()) }
}
