//! Who calls: the running asyncio task where there is one, else the thread.
//!
//! A task gets its slot when it first owns or waits, and loses it when it is collected. Until the program has
//! imported asyncio there are no tasks; the interpreter tells when it does, so that until then nobody has to look.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use oneloom_wait::owner::{self, Kind, Owner, registry};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyWeakrefReference};

use crate::once::{intern, kept};

static ASYNCIO_SEEN: AtomicBool = AtomicBool::new(false);
static MODULES: OnceLock<Py<PyDict>> = OnceLock::new();
static GET_RUNNING_LOOP: OnceLock<Py<PyAny>> = OnceLock::new();
static ASK_RUNNING_LOOP: OnceLock<Nullary> = OnceLock::new();
static CURRENT_TASK: OnceLock<Py<PyAny>> = OnceLock::new();
static CURRENT_TASKS: OnceLock<Py<PyAny>> = OnceLock::new();

/// Whether the program has imported asyncio; never goes back.
#[inline]
pub fn asyncio_seen(python: Python<'_>) -> bool {
    ASYNCIO_SEEN.load(Ordering::Relaxed) || look_for_asyncio(python)
}

/// Whether `sys.modules` is watched: then it need not be looked into.
static WATCHED: AtomicBool = AtomicBool::new(false);

#[inline]
fn look_for_asyncio(python: Python<'_>) -> bool {
    !WATCHED.load(Ordering::Relaxed) && look_up_asyncio(python)
}

fn modules(python: Python<'_>) -> PyResult<&'static Py<PyDict>> {
    kept(&MODULES, || Ok(python.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?.unbind()))
}

#[cold]
fn look_up_asyncio(python: Python<'_>) -> bool {
    let Ok(modules) = modules(python) else { return false };
    let name = intern!(python, "asyncio.tasks");
    // From here on nobody else runs Python: all of it happens, and once only, before another thread asks.
    let watched = WATCHED.load(Ordering::Relaxed) || watch(modules);
    // SAFETY: attached, and both are live objects; the result is borrowed and only compared.
    let found = unsafe { !ffi::PyDict_GetItemWithError(modules.as_ptr(), name.as_ptr()).is_null() };
    if found {
        ASYNCIO_SEEN.store(true, Ordering::Relaxed);
    }
    WATCHED.store(watched, Ordering::Relaxed);
    found
}

/// `PyDict_WatchCallback`, of Python 3.12 and later.
type Callback = unsafe extern "C" fn(
    event: c_int,
    dictionary: *mut ffi::PyObject,
    key: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> c_int;
type AddWatcher = unsafe extern "C" fn(Callback) -> c_int;
type Watch = unsafe extern "C" fn(c_int, *mut ffi::PyObject) -> c_int;

/// Has the interpreter tell when a module is added. False where it can't (Python 3.11, or all of its eight
/// watchers are taken): then every caller without asyncio pays a look-up.
fn watch(modules: &Py<PyDict>) -> bool {
    // SAFETY: the symbols, where they exist, are functions of these types; attached, the dictionary is alive.
    unsafe {
        let add = libc::dlsym(libc::RTLD_DEFAULT, c"PyDict_AddWatcher".as_ptr());
        let watch = libc::dlsym(libc::RTLD_DEFAULT, c"PyDict_Watch".as_ptr());
        if add.is_null() || watch.is_null() {
            return false;
        }
        let watcher = std::mem::transmute::<*mut c_void, AddWatcher>(add)(module_added);
        let watching =
            watcher >= 0 && std::mem::transmute::<*mut c_void, Watch>(watch)(watcher, modules.as_ptr()) == 0;
        if !watching {
            ffi::PyErr_Clear();
        }
        watching
    }
}

/// Called just before `sys.modules` changes.
///
/// # Safety
/// Called by the interpreter, attached, with live objects, or null for an event about the whole dictionary.
unsafe extern "C" fn module_added(
    _event: c_int,
    _dictionary: *mut ffi::PyObject,
    key: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> c_int {
    // SAFETY: the interpreter calls with live objects, or null for an event that is about the whole dictionary.
    let is_asyncio = key.is_null()
        || unsafe {
            !value.is_null()
                && ffi::PyUnicode_Check(key) != 0
                && ffi::PyUnicode_CompareWithASCIIString(key, c"asyncio.tasks".as_ptr()) == 0
        };
    if is_asyncio {
        // Too early by a moment, or for nothing: then asking for the running loop finds none.
        ASYNCIO_SEEN.store(true, Ordering::Relaxed);
    }
    0
}

/// A function of a module that the program has imported, or is importing: waiting for an import here could wait
/// for ever, since whoever imports may wait for what the caller holds.
fn imported<'py>(
    python: Python<'py>,
    function: &'static OnceLock<Py<PyAny>>,
    module: &str,
    name: &str,
) -> Option<&'py Bound<'py, PyAny>> {
    if let Some(function) = function.get() {
        return Some(function.bind(python));
    }
    let found = MODULES.get()?.bind(python).get_item(module).ok()??.getattr(name).ok()?.unbind();
    Some(function.get_or_init(|| found).bind(python))
}

/// The event loop that runs on this thread, if any.
pub fn running_loop(python: Python<'_>) -> Option<Bound<'_, PyAny>> {
    if !asyncio_seen(python) {
        return None;
    }
    let ask = match ASK_RUNNING_LOOP.get() {
        Some(ask) => ask,
        None => {
            let function = imported(python, &GET_RUNNING_LOOP, "asyncio.events", "_get_running_loop")?;
            let ask = Nullary::new(function);
            ASK_RUNNING_LOOP.get_or_init(|| ask)
        }
    };
    ask.call(python).ok().filter(|found| !found.is_none())
}

/// A function of no arguments. A built-in one is called without the detour through its object, which costs three
/// times as much as the look-up behind it.
struct Nullary {
    function: Py<PyAny>,
    direct: Option<(ffi::PyCFunction, *mut ffi::PyObject)>,
}

// SAFETY: the pointers belong to `function`, and are only used while attached.
unsafe impl Send for Nullary {}
// SAFETY: as for Send.
unsafe impl Sync for Nullary {}

impl Nullary {
    fn new(function: &Bound<'_, PyAny>) -> Self {
        let object = function.as_ptr();
        // SAFETY: attached; what is asked of a built-in function is checked to be one, and lives as long as it.
        let direct = unsafe {
            let plain =
                ffi::PyCFunction_Check(object) != 0 && ffi::PyCFunction_GetFlags(object) == ffi::METH_NOARGS;
            if plain { ffi::PyCFunction_GetFunction(object) } else { None }
                .map(|call| (call, ffi::PyCFunction_GetSelf(object)))
        };
        Self { function: function.clone().unbind(), direct }
    }

    #[inline]
    fn call<'py>(&self, python: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.direct {
            // SAFETY: attached; a METH_NOARGS function takes its own self and nothing, and returns a new
            // reference.
            Some((call, this)) => unsafe {
                Bound::from_owned_ptr_or_err(python, call(this, std::ptr::null_mut()))
            },
            None => self.function.bind(python).call0(),
        }
    }
}

/// The asyncio task that runs on this thread, if any.
pub fn running_task(python: Python<'_>) -> Option<Bound<'_, PyAny>> {
    running_loop(python).and_then(|running| task_on(&running))
}

/// The task that a running loop of this thread runs now.
fn task_on<'py>(running: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let python = running.py();
    // Up to Python 3.13 asyncio keeps them in a dictionary, which costs a third of calling `current_task`. From 3.14 on
    // that is there, but empty.
    let known = if cfg!(Py_3_14) {
        None
    } else {
        imported(python, &CURRENT_TASKS, "asyncio.tasks", "_current_tasks")
    };
    let found = match known {
        Some(tasks) => tasks.cast::<PyDict>().ok()?.get_item(running).ok()?,
        None => imported(python, &CURRENT_TASK, "asyncio.tasks", "current_task")?.call1((running,)).ok(),
    };
    found.filter(|task| !task.is_none())
}

/// Who calls.
#[inline]
pub fn current(python: Python<'_>) -> Owner {
    let task = if asyncio_seen(python) { running_task(python) } else { None };
    task.map_or_else(|| thread(python), |task| of_task(&task))
}

/// Who calls, if an asyncio loop runs on this thread.
pub fn current_on_loop(python: Python<'_>) -> Option<Owner> {
    let running = running_loop(python)?;
    Some(task_on(&running).map_or_else(|| thread(python), |task| of_task(&task)))
}

thread_local! {
    /// The thread's owner, once the table knows its Python identifier.
    static TAGGED: Cell<Owner> = const { Cell::new(Owner::NOBODY) };
    /// The task last asked for, by address, while no task with a slot has been collected since.
    static LAST_TASK: Cell<(usize, u64, Owner)> = const { Cell::new((0, 0, Owner::NOBODY)) };
}

/// The calling thread.
#[inline]
pub fn thread(_python: Python<'_>) -> Owner {
    let owner = TAGGED.get();
    if owner.is_somebody() { owner } else { tag() }
}

#[cold]
fn tag() -> Owner {
    let owner = owner::current();
    // SAFETY: asks for the calling thread's identifier, no more.
    registry().set_tag(owner, unsafe { ffi::PyThread_get_thread_ident() } as u64);
    TAGGED.set(owner);
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
