//! `Lock`, and its drop-in for `threading.Lock`.

use oneloom_sync::raw::{LockCall, RawMutex, ReleaseError};
use oneloom_wait::owner::Owner;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
#[cfg(not(Py_3_13))]
use pyo3::{
    exceptions::PyTypeError,
    types::{PyDict, PyTuple, PyType},
};

use crate::arguments::{Timeout, Truth, lock_deadline, name};
use crate::describe;
use crate::environment::{notifying, wait, wait_uninterrupted};
use crate::errors;
use crate::owner;
use crate::port;
use crate::report;
use crate::statistics::Statistics;
use crate::waiting::{Done, Held, Holds, Waiting};

/// Whose the holds are, and who may end them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// The running task's, else the thread's; what `with` took, only its owner may release.
    Unified,
    /// The thread's; anybody may release a Lock.
    DropIn,
}

impl Rules {
    /// Who calls.
    #[inline]
    pub fn owner(self, python: Python<'_>) -> Owner {
        match self {
            Self::Unified => owner::current(python),
            Self::DropIn => owner::thread(python),
        }
    }

    /// Who calls from a coroutine; an error where no asyncio loop runs.
    #[inline]
    pub fn owner_on_loop(self, python: Python<'_>) -> PyResult<Owner> {
        let owner = owner::current_on_loop(python).ok_or_else(port::no_loop)?;
        Ok(if self == Self::Unified { owner } else { owner::thread(python) })
    }
}

/// The timeout of an `acquire_async`, checked as `acquire` checks it.
pub fn async_timeout(timeout: Timeout) -> PyResult<Timeout> {
    lock_deadline(true, timeout)?;
    Ok(timeout.filter(|timeout| *timeout != -1.0))
}

/// A mutual exclusion lock for threads and coroutines at once.
///
/// Owned by the running asyncio task where there is one, else by the thread. What `with` or `async with` took, only
/// that owner may release; what a bare `acquire` took, anybody. Waiters are served in order of arrival, but a
/// running thread may be faster than one that is just waking up; whoever was overtaken for a millisecond is handed
/// the lock. Taking and releasing a lock that nobody else wants costs one atomic instruction each. `name` is shown
/// in messages and dumps.
///
/// A wait that can never end raises `DeadlockError` instead of hanging.
///
/// >>> import oneloom
/// >>> lock = oneloom.Lock(name="accounts")
/// >>> with lock:
/// ...     lock.locked()
/// True
/// >>> lock.release()
/// Traceback (most recent call last):
///     ...
/// RuntimeError: release unlocked lock
#[pyclass(frozen, subclass, weakref, module = "oneloom")]
pub struct Lock {
    raw: RawMutex,
    rules: Rules,
}

impl Holds for Lock {
    type Primitive = RawMutex;

    fn raw(&self) -> &RawMutex {
        &self.raw
    }
}

impl Lock {
    fn with(rules: Rules, name: Option<&str>) -> Self {
        Self { raw: RawMutex::of_kind(self::name(name), &"Lock"), rules }
    }

    #[inline]
    fn call(&self, python: Python<'_>, scoped: bool) -> LockCall {
        LockCall { owner: self.rules.owner(python), scoped: scoped && self.rules == Rules::Unified }
    }

    /// Who calls, as far as this lock is concerned.
    pub fn owner(&self, python: Python<'_>) -> Owner {
        self.rules.owner(python)
    }

    /// An awaitable that takes the lock as `_release_save` gave it back, and then says so by `taken`.
    pub fn restoring(
        slf: &Bound<'_, Self>,
        scoped: bool,
        taken: impl Fn() + Send + 'static,
    ) -> PyResult<Waiting> {
        let python = slf.py();
        let call = LockCall { owner: slf.get().owner(python), scoped };
        let taken = move |()| {
            taken();
            true
        };
        Waiting::yes_or_no(python, Held(slf.clone().unbind()), call, None, taken)
    }

    #[cold]
    fn not_released(slf: &Bound<'_, Self>, error: ReleaseError) -> PyResult<()> {
        Err(PyRuntimeError::new_err(match error {
            ReleaseError::NotHeld => String::from("release unlocked lock"),
            ReleaseError::NotOwner(holder) => format!(
                "{} was taken by `with` in {}, and only that may release it",
                describe::title(slf.as_any(), slf.get().raw.given_name())?,
                report::who(slf.py(), Some(holder))?,
            ),
        }))
    }
}

#[pymethods]
impl Lock {
    #[new]
    #[pyo3(signature = (*, name=None))]
    fn new(name: Option<&str>) -> Self {
        Self::with(Rules::Unified, name)
    }

    /// Take the lock; True if it was taken.
    ///
    /// With `blocking=False`, False at once where it is held. Otherwise waits, for at most `timeout` seconds (None
    /// or -1: no limit), and returns False when they are over. ValueError for another negative timeout, or a timeout
    /// without blocking; OverflowError beyond 292 years; `DeadlockError` where the wait could never end.
    #[pyo3(signature = (blocking=Truth(true), timeout=None), text_signature = "($self, blocking=True, timeout=-1)")]
    pub fn acquire(&self, python: Python<'_>, blocking: Truth, timeout: Timeout) -> PyResult<bool> {
        if timeout.is_some() {
            lock_deadline(blocking.0, timeout)?;
        }
        let mut call = self.call(python, false);
        Ok(wait(python, &self.raw, &mut call, || lock_deadline(blocking.0, timeout))?.is_some())
    }

    /// Give the lock back; a waiter goes on.
    ///
    /// RuntimeError if nobody holds it, or if `with` took it in another thread or task.
    #[inline]
    pub fn release(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (python, this) = (slf.py(), slf.get());
        notifying(python, || this.raw.release(|| this.rules.owner(python)))
            .or_else(|error| Self::not_released(slf, error))
    }

    /// Whether somebody holds the lock.
    pub fn locked(&self) -> bool {
        self.raw.is_locked()
    }

    #[inline]
    pub fn __enter__(&self, python: Python<'_>) -> PyResult<bool> {
        let mut call = self.call(python, true);
        if !self.raw.try_lock(call.owner, call.scoped) {
            wait(python, &self.raw, &mut call, || lock_deadline(true, None))?;
        }
        Ok(true)
    }

    #[inline]
    pub fn __exit__(
        slf: &Bound<'_, Self>,
        _kind: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let held = |lock: &Self| lock.raw.holder() == Some(lock.owner(slf.py()));
        if !value.is_none() && errors::comes_of_deadlock(value) && !held(slf.get()) {
            return Ok(());
        }
        Self::release(slf)
    }

    pub fn _acquire_now(&self, python: Python<'_>, scoped: bool) -> PyResult<bool> {
        let owner = self.rules.owner_on_loop(python)?;
        Ok(self.raw.try_lock(owner, scoped && self.rules == Rules::Unified))
    }

    /// `async with`: takes it for the block; waits in the coroutine where it has to. RuntimeError where no
    /// asyncio loop runs.
    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let python = slf.py();
        if slf.get()._acquire_now(python, true)? {
            return Done::awaitable(python);
        }
        Ok(Py::new(python, Self::_acquire_later(slf, true, None)?.silent())?.into_any())
    }

    /// Releases what `async with` took.
    fn __aexit__(
        slf: &Bound<'_, Self>,
        kind: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        Self::__exit__(slf, kind, value, traceback)?;
        Done::awaitable(slf.py())
    }

    pub fn _acquire_later(slf: &Bound<'_, Self>, scoped: bool, timeout: Timeout) -> PyResult<Waiting> {
        let call = slf.get().call(slf.py(), scoped);
        let timeout = async_timeout(timeout)?;
        Waiting::yes_or_no(slf.py(), Held(slf.clone().unbind()), call, timeout, |()| true)
    }

    /// Gives the lock back; whether `with` had taken it, for `_acquire_restore`.
    pub fn _release_save(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let (python, this) = (slf.py(), slf.get());
        notifying(python, || this.raw.release_hold(|| this.owner(python)))
            .or_else(|error| Self::not_released(slf, error).map(|()| false))
    }

    pub fn _acquire_restore(&self, python: Python<'_>, scoped: bool) -> PyResult<()> {
        wait_uninterrupted(python, &self.raw, &mut LockCall { owner: self.owner(python), scoped })
    }

    fn _restore_later(slf: &Bound<'_, Self>, scoped: bool) -> PyResult<Waiting> {
        Self::restoring(slf, scoped, || ())
    }

    fn _at_fork_reinit(&self) {
        self.raw.reset_after_fork();
    }

    /// The name that was given, for messages and dumps; None without one.
    #[getter]
    pub fn name(&self) -> Option<&str> {
        self.raw.given_name()
    }

    /// Who waits now, and what the slow path has seen since the object was made; see `Statistics`.
    fn statistics(&self) -> Statistics {
        self.raw.statistics().into()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let raw = &slf.get().raw;
        let (state, owner) = match raw.holder() {
            Some(holder) => ("locked", format!("owner={} ", report::who(slf.py(), Some(holder))?)),
            None => ("unlocked", String::new()),
        };
        Ok(format!(
            "<{state} oneloom.{} object {}{owner}at {:#x}>",
            slf.get_type().name()?,
            describe::quoted(raw.given_name()),
            slf.as_ptr() as usize
        ))
    }
}

/// `threading.Lock`: owned by the thread, released by anybody, however it was taken.
///
/// As little of a class as the standard one: nothing can be derived from it, and before CPython 3.13, where the
/// standard name is a function, nothing can be made from it either.
///
/// >>> from oneloom import threading
/// >>> lock = threading.Lock()
/// >>> lock.acquire()
/// True
/// >>> lock.release()
#[pyclass(frozen, extends = Lock, module = "oneloom.threading", name = "Lock")]
pub struct DropInLock;

impl DropInLock {
    pub fn named(name: Option<&str>) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Lock::with(Rules::DropIn, name)).add_subclass(Self)
    }
}

#[cfg(Py_3_13)]
#[pymethods]
impl DropInLock {
    #[new]
    #[pyo3(signature = (*, name=None))]
    fn new(name: Option<&str>) -> PyClassInitializer<Self> {
        Self::named(name)
    }
}

#[cfg(not(Py_3_13))]
#[pymethods]
impl DropInLock {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_arguments, **_keywords))]
    fn new(
        class: &Bound<'_, PyType>,
        _arguments: &Bound<'_, PyTuple>,
        _keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let name = class.fully_qualified_name()?;
        Err(PyTypeError::new_err(format!("cannot create '{name}' instances")))
    }
}

/// A lock as `threading.Lock` has it: owned by the thread, released by anybody, however it was taken.
///
/// >>> from oneloom import threading
/// >>> lock = threading.Lock()
/// >>> lock.acquire()
/// True
/// >>> lock.release()
#[cfg(not(Py_3_13))]
#[pyfunction(name = "Lock")]
#[pyo3(signature = (*, name=None))]
fn drop_in_lock<'py>(python: Python<'py>, name: Option<&str>) -> PyResult<Bound<'py, DropInLock>> {
    Bound::new(python, DropInLock::named(name))
}

/// Registers the drop-in, and with it what makes one where the class itself does not.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("DropInLock", module.py().get_type::<DropInLock>())?;
    #[cfg(not(Py_3_13))]
    {
        let function = pyo3::wrap_pyfunction!(drop_in_lock, module.py())?;
        function.setattr("__module__", "oneloom.threading")?;
        module.add("_drop_in_lock", function)?;
    }
    Ok(())
}
