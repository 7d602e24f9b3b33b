//! Who calls: the running asyncio task where there is one, else the thread.
//!
//! A task gets its slot when it first owns or waits, and loses it when it is collected. Until the program has
//! imported asyncio there are no tasks, and looking for one costs a dictionary look-up.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering};

use oneloom_wait::owner::{self, Kind, Owner, registry};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyWeakrefReference};

static ASYNCIO_SEEN: AtomicBool = AtomicBool::new(false);
static MODULES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
static GET_RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static CURRENT_TASK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Whether the program has imported asyncio; never goes back.
#[inline]
pub fn asyncio_seen(python: Python<'_>) -> bool {
    ASYNCIO_SEEN.load(Ordering::Relaxed) || look_for_asyncio(python)
}

/// How many modules there were when asyncio was last looked for in vain.
static MODULES_SEEN: AtomicIsize = AtomicIsize::new(0);

/// Looks again only when the number of modules has changed, which costs a tenth of a look-up.
#[inline]
fn look_for_asyncio(python: Python<'_>) -> bool {
    if let Some(modules) = MODULES.get(python) {
        // SAFETY: attached, and the dictionary is alive.
        let size = unsafe { ffi::PyDict_Size(modules.as_ptr()) };
        if size == MODULES_SEEN.load(Ordering::Relaxed) {
            return false;
        }
        MODULES_SEEN.store(size, Ordering::Relaxed);
    }
    look_up_asyncio(python)
}

#[cold]
fn look_up_asyncio(python: Python<'_>) -> bool {
    let modules = MODULES.get_or_try_init(python, || {
        let modules = python.import("sys")?.getattr("modules")?;
        Ok::<_, PyErr>(modules.cast_into::<PyDict>()?.unbind())
    });
    let Ok(modules) = modules else { return false };
    let name = intern!(python, "asyncio.tasks");
    // SAFETY: attached, and both are live objects; the result is borrowed and only compared.
    let found = unsafe { !ffi::PyDict_GetItemWithError(modules.as_ptr(), name.as_ptr()).is_null() };
    if found {
        ASYNCIO_SEEN.store(true, Ordering::Relaxed);
    }
    found
}

/// The event loop that runs on this thread, if any.
pub fn running_loop(python: Python<'_>) -> Option<Bound<'_, PyAny>> {
    if !asyncio_seen(python) {
        return None;
    }
    let get = GET_RUNNING_LOOP.import(python, "asyncio", "_get_running_loop").ok()?;
    get.call0().ok().filter(|found| !found.is_none())
}

/// The asyncio task that runs on this thread, if any.
pub fn running_task(python: Python<'_>) -> Option<Bound<'_, PyAny>> {
    let running = running_loop(python)?;
    let current = CURRENT_TASK.import(python, "asyncio", "current_task").ok()?;
    current.call1((running,)).ok().filter(|found| !found.is_none())
}

/// Who calls.
#[inline]
pub fn current(python: Python<'_>) -> Owner {
    if asyncio_seen(python)
        && let Some(task) = running_task(python)
    {
        return of_task(&task);
    }
    thread(python)
}

thread_local! {
    static TAGGED: Cell<bool> = const { Cell::new(false) };
    /// The task last asked for, by address, while no task with a slot has been collected since.
    static LAST_TASK: Cell<(usize, u64, Owner)> = const { Cell::new((0, 0, Owner::NOBODY)) };
}

/// The calling thread.
#[inline]
pub fn thread(_python: Python<'_>) -> Owner {
    let owner = owner::current();
    if !TAGGED.get() {
        TAGGED.set(true);
        // SAFETY: asks for the calling thread's identifier, no more.
        registry().set_tag(owner, unsafe { ffi::PyThread_get_thread_ident() } as u64);
    }
    owner
}

struct Known {
    owner: Owner,
    task: Py<PyWeakrefReference>,
}

/// Tasks with a slot, by address. Never held while Python code may run.
static TASKS: Mutex<Option<HashMap<usize, Known>>> = Mutex::new(None);
/// How many tasks with a slot have been collected.
static COLLECTED: AtomicU64 = AtomicU64::new(0);

fn with_tasks<R>(act: impl FnOnce(&mut HashMap<usize, Known>) -> R) -> R {
    let mut tasks = TASKS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    act(tasks.get_or_insert_default())
}

/// A task's owner; gives it a slot if it has none.
pub fn of_task(task: &Bound<'_, PyAny>) -> Owner {
    let address = task.as_ptr() as usize;
    let collected = COLLECTED.load(Ordering::Acquire);
    let (last, at, owner) = LAST_TASK.get();
    if last == address && at == collected {
        return owner;
    }
    let owner = with_tasks(|tasks| tasks.get(&address).map(|known| known.owner))
        .or_else(|| register(task, address).ok())
        .unwrap_or(Owner::NOBODY);
    LAST_TASK.set((address, collected, owner));
    owner
}

fn register(task: &Bound<'_, PyAny>, address: usize) -> PyResult<Owner> {
    let python = task.py();
    let owner = registry().take(Kind::Task, thread(python), address as u64);
    let retire = Bound::new(python, Retire { address })?;
    let reference = PyWeakrefReference::new_with(task, retire)?.unbind();
    let replaced = with_tasks(|tasks| tasks.insert(address, Known { owner, task: reference }));
    drop(replaced);
    Ok(owner)
}

/// Called when a task with a slot is collected.
#[pyclass(frozen)]
struct Retire {
    address: usize,
}

#[pymethods]
impl Retire {
    fn __call__(&self, _reference: &Bound<'_, PyAny>) {
        let known = with_tasks(|tasks| tasks.remove(&self.address));
        COLLECTED.fetch_add(1, Ordering::Release);
        if let Some(known) = known {
            registry().retire(known.owner);
        }
    }
}

/// The task behind an owner, if it is one and still there.
pub fn task_of(python: Python<'_>, owner: Owner) -> Option<Bound<'_, PyAny>> {
    use pyo3::types::PyWeakrefMethods;
    let reference = with_tasks(|tasks| {
        let known = tasks.values().find(|known| known.owner == owner)?;
        Some(known.task.clone_ref(python))
    })?;
    reference.bind(python).upgrade()
}
