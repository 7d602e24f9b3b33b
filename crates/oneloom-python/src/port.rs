//! Where wakes for one asyncio loop arrive: its inbox, and the futures that they are for.

use std::collections::HashMap;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use oneloom_wait::inbox::{Inbox, LoopWaker};
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::once::intern;
use crate::owner;

static IN_USE: AtomicBool = AtomicBool::new(false);

/// Whether any loop has a port: until then there is no coroutine to wake.
#[inline]
pub fn in_use() -> bool {
    IN_USE.load(Ordering::Relaxed)
}

/// One loop's port. The loop holds it, as an attribute and as the reader of the inbox's bell.
#[pyclass(frozen, module = "oneloom._native")]
pub struct Port {
    inbox: Arc<Inbox>,
    futures: Mutex<Futures>,
}

#[derive(Default)]
struct Futures {
    last: u64,
    /// Futures that coroutines await, by the token that resolves them.
    waiting: HashMap<u64, Py<PyAny>>,
}

/// The running loop and its port.
///
/// # Errors
/// `RuntimeError` where no asyncio loop runs.
pub fn current(python: Python<'_>) -> PyResult<(Bound<'_, PyAny>, Bound<'_, Port>)> {
    let running = owner::running_loop(python).ok_or_else(no_loop)?;
    if let Ok(port) = port_of(&running) {
        return Ok((running, port));
    }
    let port = Bound::new(python, Port { inbox: Arc::new(Inbox::new()?), futures: Mutex::default() })?;
    let bell = port.get().inbox.bell().as_raw_fd();
    running.call_method1(intern!(python, "add_reader"), (bell, port.getattr("drain")?))?;
    running.setattr(intern!(python, "_oneloom_port"), &port)?;
    IN_USE.store(true, Ordering::Relaxed);
    Ok((running, port))
}

/// What an `_async` call says where no asyncio loop runs.
pub fn no_loop() -> PyErr {
    PyRuntimeError::new_err(
        "no running asyncio event loop: await this from a coroutine that asyncio runs (oneloom.run(main()), \
         asyncio.run), or use the blocking call without _async",
    )
}

/// What an `_async` call asks first, even where it need not wait.
#[inline]
pub fn require_loop(python: Python<'_>) -> PyResult<()> {
    owner::running_loop(python).map(drop).ok_or_else(no_loop)
}

impl Port {
    fn futures(&self) -> std::sync::MutexGuard<'_, Futures> {
        self.futures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A waker that resolves `future` on its loop, and the token to [`Port::forget`] it by.
    pub fn waker(&self, future: Py<PyAny>) -> (Waker, u64) {
        let mut futures = self.futures();
        futures.last += 1;
        let token = futures.last;
        futures.waiting.insert(token, future);
        (Arc::new(LoopWaker { inbox: self.inbox.clone(), token }).into(), token)
    }

    /// Forgets a future that nobody awaits any more.
    pub fn forget(&self, token: u64) {
        let future = self.futures().waiting.remove(&token);
        drop(future);
    }
}

impl Port {
    fn resolve_all(&self, python: Python<'_>, tokens: &[u64]) -> PyResult<()> {
        // All of them, whatever becomes of one: nobody else will.
        let mut result = Ok(());
        for token in tokens {
            let future = self.futures().waiting.remove(token);
            if let Some(future) = future {
                result = result.and(resolve(future.bind(python)));
            }
        }
        result
    }
}

#[pymethods]
impl Port {
    /// Resolves the futures whose wakes have arrived. What the loop calls when the bell rings.
    fn drain(&self, python: Python<'_>) -> PyResult<()> {
        let mut tokens = Vec::new();
        self.inbox.answer(&mut tokens);
        self.resolve_all(python, &tokens)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Nobody stays in there for long; where somebody is, everything counts as in use.
        let Ok(futures) = self.futures.try_lock() else { return Ok(()) };
        futures.waiting.values().try_for_each(|future| visit.call(future))
    }

    fn __clear__(&self) {
        let futures = std::mem::take(&mut self.futures().waiting);
        drop(futures);
    }
}

/// Resolves a future that was not cancelled.
pub fn resolve(future: &Bound<'_, PyAny>) -> PyResult<()> {
    let python = future.py();
    if !future.call_method0(intern!(python, "done"))?.is_truthy()? {
        future.call_method1(intern!(python, "set_result"), (python.None(),))?;
    }
    Ok(())
}

/// Resolves the futures of a loop of this thread: at once if it runs now, which only puts their tasks into its
/// next round; when it runs again if not.
///
/// # Errors
/// What the loop's own code raised, or a signal handler inside it. Every future has been seen to.
#[cold]
pub fn drain_here(python: Python<'_>, inbox: &Arc<Inbox>) -> PyResult<()> {
    let running = owner::running_loop(python);
    let port = running.as_ref().and_then(|running| port_of(running).ok());
    let Some(port) = port.filter(|port| Arc::ptr_eq(&port.get().inbox, inbox)) else {
        inbox.ring();
        return Ok(());
    };
    let mut tokens = Vec::new();
    inbox.take(&mut tokens);
    port.get().resolve_all(python, &tokens)
}

fn port_of<'py>(running: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Port>> {
    Ok(running.getattr(intern!(running.py(), "_oneloom_port"))?.cast_into()?)
}
