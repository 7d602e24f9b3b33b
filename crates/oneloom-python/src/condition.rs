//! `Condition`, over oneloom's locks or anything that has `acquire` and `release`.

mod own_lock;

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use oneloom_sync::raw::{Name, NotifiedCall, RawCondvar};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple};

use crate::arguments::{Timeout, lenient_deadline, name};
use crate::describe;
use crate::environment::{notifying, wait};
use crate::initialised::Initialised;
use crate::lock::{Lock, Rules};
use crate::once::intern;
use crate::rlock::RLock;
use crate::statistics::Statistics;
use crate::waiting::{Held, Holds, Waiting};
use own_lock::{LettingGo, Own, Saved, SavedLock, locked, release_foreign};

/// A place to wait for news, with a lock around it, for threads and coroutines at once.
///
/// `lock` is what is taken around the condition: an `RLock` of its own by default, any object with `acquire` and
/// `release` otherwise (for coroutines, with `acquire_async`, too); AttributeError if it lacks them. Whoever
/// notifies or waits must hold it. `name` is shown in messages and dumps.
///
/// >>> import oneloom
/// >>> changed = oneloom.Condition()
/// >>> news = ["ready"]
/// >>> with changed:
/// ...     changed.wait_for(lambda: news, timeout=1)
/// ['ready']
#[pyclass(frozen, subclass, weakref, dict, module = "oneloom")]
pub struct Condition(Initialised<Content>);

/// What a condition is made of.
pub struct Content {
    raw: RawCondvar,
    lock: Py<PyAny>,
    /// The same lock, where it is one of ours: calls to it need no look-up then.
    own: Option<Own>,
}

impl Deref for Condition {
    type Target = Content;

    fn deref(&self) -> &Content {
        &self.0
    }
}

impl Holds for Condition {
    type Primitive = RawCondvar;

    fn raw(&self) -> &RawCondvar {
        &self.raw
    }
}

impl Content {
    fn new(lock: Bound<'_, PyAny>, name: Option<&str>) -> PyResult<Self> {
        for method in ["acquire", "release"] {
            lock.getattr(method)?;
        }
        let own = Own::of(&lock);
        Ok(Self { raw: RawCondvar::of_kind(self::name(name), &"Condition"), lock: lock.unbind(), own })
    }

    fn around_own_lock(rules: Rules) -> Self {
        Python::attach(|python| {
            let own = Py::new(python, RLock::with(rules, None)).expect("memory for a lock");
            let lock = own.clone_ref(python).into_any();
            Self { raw: RawCondvar::of_kind(Name::NONE, &"Condition"), lock, own: Some(Own::RLock(own)) }
        })
    }
}

impl Condition {
    fn initialise(
        &self,
        python: Python<'_>,
        rules: Rules,
        lock: Option<Bound<'_, PyAny>>,
        name: Option<&str>,
    ) -> PyResult<()> {
        let lock = match lock.filter(|lock| !lock.is_none()) {
            Some(lock) => lock,
            None => Bound::new(python, RLock::with(rules, name))?.into_any(),
        };
        self.0.initialise(Content::new(lock, name)?);
        Ok(())
    }

    fn owned(&self, python: Python<'_>) -> PyResult<bool> {
        if let Some(own) = &self.own {
            return Ok(own.may_be_held(python));
        }
        let lock = self.lock.bind(python);
        if let Some(is_owned) = lock.getattr_opt(intern!(python, "_is_owned"))? {
            return is_owned.call0()?.is_truthy();
        }
        // A plain lock does not know its owner: if it can be taken, the caller does not hold it.
        if lock.call_method1(intern!(python, "acquire"), (false,))?.is_truthy()? {
            lock.call_method0(intern!(python, "release"))?;
            return Ok(false);
        }
        Ok(true)
    }

    fn letting_go(&self, python: Python<'_>) -> LettingGo {
        LettingGo::new(python, &self.lock, self.own.as_ref())
    }

    fn require_owned(&self, python: Python<'_>, what: &str) -> PyResult<()> {
        if self.owned(python)? {
            return Ok(());
        }
        Err(PyRuntimeError::new_err(format!("cannot {what} on un-acquired lock")))
    }
}

#[pymethods]
impl Condition {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "(lock=None, *, name=None)")]
    fn new(_arguments: &Bound<'_, PyTuple>, _keywords: Option<&Bound<'_, PyDict>>) -> Self {
        Self(Initialised::or(|| Content::around_own_lock(Rules::Unified)))
    }

    #[pyo3(signature = (lock=None, *, name=None))]
    fn __init__(
        &self,
        python: Python<'_>,
        lock: Option<Bound<'_, PyAny>>,
        name: Option<&str>,
    ) -> PyResult<()> {
        self.initialise(python, Rules::Unified, lock, name)
    }

    /// Take the condition's lock: takes and returns what the lock's own `acquire` does.
    #[pyo3(signature = (*args, **kwargs), text_signature = "($self, blocking=True, timeout=None)")]
    fn acquire(
        &self,
        python: Python<'_>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        self.lock.call_method(python, intern!(python, "acquire"), args, kwargs)
    }

    /// Give the condition's lock back. RuntimeError as the lock's own `release` raises it.
    fn release(&self, python: Python<'_>) -> PyResult<()> {
        match &self.own {
            Some(Own::Lock(own)) => Lock::release(own.bind(python)),
            Some(Own::RLock(own)) => own.get().release(python),
            None => self.lock.call_method0(python, intern!(python, "release")).map(drop),
        }
    }

    fn __enter__(&self, python: Python<'_>) -> PyResult<Py<PyAny>> {
        let taken = match &self.own {
            Some(Own::Lock(own)) => own.get().__enter__(python)?,
            Some(Own::RLock(own)) => own.get().__enter__(python)?,
            None => return self.lock.call_method0(python, intern!(python, "__enter__")),
        };
        Ok(PyBool::new(python, taken).to_owned().into_any().unbind())
    }

    fn __exit__(
        &self,
        python: Python<'_>,
        kind: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        match &self.own {
            Some(Own::Lock(own)) => Lock::__exit__(own.bind(python), kind, value, traceback)?,
            Some(Own::RLock(own)) => own.get().__exit__(python, kind, value, traceback)?,
            None => {
                let exit = intern!(python, "__exit__");
                return self.lock.call_method1(python, exit, (kind, value, traceback));
            }
        }
        Ok(python.None())
    }

    /// Let go of the lock, wait to be notified, and take the lock again; whether there was a notification.
    ///
    /// Waits for at most `timeout` seconds (None: no limit). However it ends, the lock is held again, as it was
    /// before; only where taking it again would never end, `DeadlockError` leaves it untaken. RuntimeError if the
    /// lock is not held.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, python: Python<'_>, timeout: Timeout) -> PyResult<bool> {
        self.require_owned(python, "wait")?;
        let mut letting_go = self.letting_go(python);
        let deadline = lenient_deadline(timeout);
        let waited = if deadline.remaining().is_some_and(|left| left.is_zero()) {
            // Somebody else is to have the lock for a moment all the same.
            letting_go.let_go();
            Ok(None)
        } else {
            let mut call = NotifiedCall::new(|| letting_go.let_go());
            wait(python, &self.raw, &mut call, || Ok(deadline))
        };
        match letting_go.outcome {
            // Nothing was let go of: the wait never began.
            None => waited.map(|notified| notified.is_some()),
            Some(Err(error)) => Err(error),
            Some(Ok(saved)) => {
                let taken = saved.restore(self.lock.bind(python));
                // What ended the wait is told rather than what came of taking the lock again.
                match (waited, taken) {
                    (Err(error), Err(second)) => {
                        error.set_context(python, Some(second));
                        Err(error)
                    }
                    (waited, taken) => waited.and_then(|notified| taken.map(|()| notified.is_some())),
                }
            }
        }
    }

    /// Let the `n` go on who have waited longest, once the lock is free. RuntimeError if the lock is not held.
    #[pyo3(signature = (n=1))]
    fn notify(&self, python: Python<'_>, n: isize) -> PyResult<()> {
        self.require_owned(python, "notify")?;
        notifying(python, || self.raw.notify(n.try_into().unwrap_or(0)));
        Ok(())
    }

    /// Let everybody go on who waits, once the lock is free. RuntimeError if the lock is not held.
    fn notify_all(&self, python: Python<'_>) -> PyResult<()> {
        self.notify(python, isize::MAX)
    }

    /// The lock, for the coroutine shells.
    #[getter]
    fn _lock(&self, python: Python<'_>) -> Py<PyAny> {
        self.lock.clone_ref(python)
    }

    fn _is_owned(&self, python: Python<'_>) -> PyResult<bool> {
        self.owned(python)
    }

    /// Lets go of the lock and gives an awaitable for a notification.
    fn _wait_later(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<(Waiting, SavedLock)> {
        let python = slf.py();
        let this = slf.get();
        this.require_owned(python, "wait")?;
        // Joining the line comes first, and happens at the first step of the awaitable; but a coroutine runs on
        // to its first wait without a break, so that step is the next thing that happens.
        let shared = Arc::new(Mutex::new(this.letting_go(python)));
        let mine = shared.clone();
        let call = NotifiedCall::new(move || locked(&mine).let_go());
        let waiting = Waiting::yes_or_no(python, Held(slf.clone().unbind()), call, timeout, |()| true)?;
        Ok((waiting, SavedLock { condition: slf.clone().unbind(), shared }))
    }

    /// The lock's own, under the names by which a Condition can be another Condition's lock.
    fn _release_save(&self, python: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(match release_foreign(self.lock.bind(python))? {
            Saved::State(state) => state,
            _ => python.None(),
        })
    }

    fn _acquire_restore(&self, python: Python<'_>, state: Py<PyAny>) -> PyResult<()> {
        let lock = self.lock.bind(python);
        let has_state = lock.hasattr(intern!(python, "_acquire_restore"))?;
        if has_state { Saved::State(state) } else { Saved::Nothing }.restore(lock)
    }

    /// Whether somebody holds the condition's lock. AttributeError if the lock can't tell.
    fn locked(&self, python: Python<'_>) -> PyResult<Py<PyAny>> {
        self.lock.call_method0(python, intern!(python, "locked"))
    }

    fn _at_fork_reinit(&self, python: Python<'_>) -> PyResult<()> {
        self.lock.call_method0(python, intern!(python, "_at_fork_reinit")).map(drop)
    }

    /// The name that was given, for messages and dumps; None without one. What is assigned is kept, but shown nowhere.
    #[getter]
    fn name<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        describe::name(slf.as_any(), slf.get().raw.given_name())
    }

    #[setter]
    fn set_name(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        describe::set_name(slf.as_any(), name)
    }

    /// Who waits now, and what the slow path has seen since the object was made; see `Statistics`.
    fn statistics(&self) -> Statistics {
        self.raw.statistics().into()
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        let class = slf.get_type();
        let name = describe::quoted(this.raw.given_name());
        Ok(format!(
            "<oneloom.{}({name}{}, {})>",
            class.name()?,
            this.lock.bind(slf.py()).repr()?,
            this.raw.waiting()
        ))
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        let Some(content) = self.0.get() else { return Ok(()) };
        visit.call(&content.lock)?;
        match &content.own {
            Some(Own::Lock(own)) => visit.call(own),
            Some(Own::RLock(own)) => visit.call(own),
            None => Ok(()),
        }
    }
}

/// `threading.Condition`: its own lock is owned by the thread.
///
/// >>> from oneloom import threading
/// >>> condition = threading.Condition()
/// >>> with condition:
/// ...     condition.notify_all()
#[pyclass(frozen, subclass, extends = Condition, module = "oneloom.threading", name = "Condition")]
pub struct DropInCondition;

#[pymethods]
impl DropInCondition {
    #[new]
    #[pyo3(signature = (*_arguments, **_keywords), text_signature = "(lock=None, *, name=None)")]
    fn new(
        _arguments: &Bound<'_, PyTuple>,
        _keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        let base = Condition(Initialised::or(|| Content::around_own_lock(Rules::DropIn)));
        PyClassInitializer::from(base).add_subclass(Self)
    }

    #[pyo3(signature = (lock=None, *, name=None))]
    fn __init__(slf: &Bound<'_, Self>, lock: Option<Bound<'_, PyAny>>, name: Option<&str>) -> PyResult<()> {
        slf.as_super().get().initialise(slf.py(), Rules::DropIn, lock, name)
    }
}
