//! Deadlocks as Python tells them: the policy, the decision, and the facts for the text.
//!
//! The text itself is made in Python (`oneloom._report`), where frames and names are.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use oneloom_wait::graph::{self, Certainty, Deadlock, Edge, Resource, Step};
use oneloom_wait::owner::{Kind, Owner, flag, registry};
use oneloom_wait::quiescence;
use oneloom_wait::wait::{Account, Judgement};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::errors::DeadlockError;
use crate::owner;

/// What is to happen when a deadlock is found.
const RAISE: u8 = 0;
const WARN: u8 = 1;
const OFF: u8 = 2;

static CYCLES: AtomicU8 = AtomicU8::new(RAISE);
static TASKS: AtomicU8 = AtomicU8::new(WARN);
/// The main thread only waits for others now.
static AT_EXIT: AtomicBool = AtomicBool::new(false);
/// A quiet process was reported: once is enough.
static QUIET_REPORTED: AtomicBool = AtomicBool::new(false);

/// Adds this module's functions.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(_policy, module)?)?;
    module.add_function(wrap_pyfunction!(_waits, module)?)?;
    module.add_function(wrap_pyfunction!(_at_exit, module)?)?;
    module.add_function(wrap_pyfunction!(_own_thread, module)?)
}

/// Sets both policies (0 raise, 1 warn, 2 off) and returns what they were.
#[pyfunction]
fn _policy(cycles: u8, tasks: u8) -> (u8, u8) {
    (CYCLES.swap(cycles, Ordering::Relaxed), TASKS.swap(tasks, Ordering::Relaxed))
}

/// Says that the main thread has ended but for waiting.
#[pyfunction]
fn _at_exit() {
    AT_EXIT.store(true, Ordering::Relaxed);
}

/// Says that the calling thread is one of oneloom's own, whatever it runs: it never ends anybody's wait by itself.
#[pyfunction]
fn _own_thread() {
    quiescence::register_own_thread();
}

/// Everybody who waits, as facts.
#[pyfunction]
fn _waits(python: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    facts(python, &graph::waits(), false)
}

/// The flag of a wait of the main thread at exit.
pub fn exit_flag(main: bool) -> u32 {
    if main && AT_EXIT.load(Ordering::Relaxed) { flag::AT_EXIT } else { 0 }
}

/// Whether the calling thread is the process's first, which runs the handlers of signals.
pub fn is_main_thread(python: Python<'_>) -> bool {
    is_main(owner::thread(python))
}

fn is_main(owner: Owner) -> bool {
    registry().native_thread(owner) == std::process::id()
}

/// What is to happen to a thread's wait that takes part in a deadlock.
///
/// # Errors
/// What was raised meanwhile. As for every function here that may warn, that is for the caller of the wait: on the
/// main thread it may come from a signal's handler.
pub fn judge(python: Python<'_>, deadlock: &Deadlock) -> PyResult<Judgement> {
    let policy = CYCLES.load(Ordering::Relaxed);
    if policy == OFF {
        return Ok(Judgement::KeepWaiting);
    }
    let sure = match deadlock.certainty {
        // A handler of the program's own may run on the main thread and release what it holds.
        Certainty::Certain => {
            !deadlock.steps.iter().any(|step| is_main(step.owner)) || !has_handlers(python)?
        }
        Certainty::Quiescent => true,
        Certainty::Suspected => false,
    };
    if sure && policy == RAISE {
        return Ok(Judgement::Raise);
    }
    warn_once(python, deadlock, if sure { "deadlock" } else { "suspected deadlock" })?;
    Ok(Judgement::KeepWaiting)
}

/// What is to happen to a task's wait that takes part in a suspected deadlock: an error to raise, if any.
pub fn judge_task(python: Python<'_>, deadlock: &Deadlock) -> PyResult<Option<PyErr>> {
    match TASKS.load(Ordering::Relaxed) {
        OFF => Ok(None),
        // The victim is the one that closed the cycle: the others would only follow it.
        RAISE => Ok(closed_by_first(deadlock).then(|| error(python, deadlock))),
        _ => warn_once(python, deadlock, "suspected deadlock").map(|()| None),
    }
}

/// Whether the first participant, who looks, was the last to begin its wait.
fn closed_by_first(deadlock: &Deadlock) -> bool {
    let mut since = deadlock.steps.iter().map(|step| step.since);
    since.next().is_some_and(|first| since.all(|other| other <= first))
}

/// Which wait it is. One for what processes share is shown anew after every try, but begins only once.
fn identity(step: &Step) -> (Owner, u64) {
    let shared = step.flags & flag::SHARED != 0;
    let stranger = step.account.as_ref().map(|account| Owner::from_bits(account.pid.into()));
    (stranger.unwrap_or(step.owner), if shared { step.since } else { step.sequence })
}

/// Cycles that were reported, each by its owners and their waits: everybody in a cycle finds it.
static REPORTED: Mutex<Vec<Vec<(Owner, u64)>>> = Mutex::new(Vec::new());
/// How many are remembered.
const REMEMBERED: usize = 256;

fn reported() -> MutexGuard<'static, Vec<Vec<(Owner, u64)>>> {
    REPORTED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn warn_once(python: Python<'_>, deadlock: &Deadlock, title: &str) -> PyResult<()> {
    let mut waits: Vec<_> = deadlock.steps.iter().map(identity).collect();
    waits.sort_unstable_by_key(|(owner, _)| owner.to_bits());
    let mut known = reported();
    if known.contains(&waits) {
        return Ok(());
    }
    if known.len() == REMEMBERED {
        known.remove(0);
    }
    known.push(waits.clone());
    drop(known);
    // One that was cut short is left to the others, who find the same.
    warn(python, deadlock, title).inspect_err(|_| reported().retain(|known| *known != waits))
}

/// Whether suspicions about tasks are wanted at all.
pub fn watches_tasks() -> bool {
    TASKS.load(Ordering::Relaxed) != OFF
}

/// Whether something that a look at the threads doesn't show may still move a quiet process.
pub fn may_still_move(python: Python<'_>) -> PyResult<bool> {
    let policy = CYCLES.load(Ordering::Relaxed);
    if policy == OFF || has_handlers(python)? {
        return Ok(true);
    }
    let waits = graph::waits();
    // Waiting there for Ctrl-C is an idiom.
    let idles = |step: &Step| is_main(step.owner) && matches!(step.kind, "Event" | "Condition");
    if policy != WARN && !waits.iter().any(idles) {
        return Ok(false);
    }
    let mut told = reported().iter().flatten().copied().collect::<Vec<_>>();
    told.retain(|wait| waits.iter().any(|step| *wait == identity(step)));
    if told.is_empty() && !QUIET_REPORTED.swap(true, Ordering::Relaxed) {
        let quiet = Deadlock { steps: waits, certainty: Certainty::Quiescent, holder_ended: false };
        warn(python, &quiet, "perhaps a deadlock")
            .inspect_err(|_| QUIET_REPORTED.store(false, Ordering::Relaxed))?;
    }
    Ok(true)
}

fn has_handlers(python: Python<'_>) -> PyResult<bool> {
    python.import("oneloom._report")?.call_method0("has_signal_handlers")?.is_truthy()
}

/// The error that a victim raises.
pub fn error(python: Python<'_>, deadlock: &Deadlock) -> PyErr {
    match tell(python, "describe", deadlock, "deadlock").and_then(|text| text.extract::<String>()) {
        Ok(text) => DeadlockError::new_err(text),
        Err(error) => {
            // The verdict stands even where its story can't be told.
            let told =
                DeadlockError::new_err("a wait that can never end; the cause tells why no more can be told");
            if !error.is_instance_of::<PyException>(python) {
                // Ctrl-C, and what else nobody takes for a deadlock.
                error.set_context(python, Some(told));
                return error;
            }
            told.set_cause(python, Some(error));
            told
        }
    }
}

fn warn(python: Python<'_>, deadlock: &Deadlock, title: &str) -> PyResult<()> {
    tell(python, "warn", deadlock, title).map(drop)
}

/// Calls a function of `oneloom._report` with a deadlock's facts.
fn tell<'py>(
    python: Python<'py>,
    function: &str,
    deadlock: &Deadlock,
    title: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let certainty = match deadlock.certainty {
        Certainty::Certain => "certain",
        Certainty::Suspected => "suspected",
        Certainty::Quiescent => "quiescent",
    };
    let facts = facts(python, &deadlock.steps, deadlock.holder_ended)?;
    python.import("oneloom._report")?.call_method1(function, (title, certainty, facts))
}

/// What other processes are to know of somebody here who waits for long.
///
/// # Errors
/// What was raised meanwhile.
pub fn account(python: Python<'_>, waiter: Owner, resource: &dyn Resource) -> PyResult<Account> {
    let who = party(python, waiter)?;
    let what = (resource.kind(), resource.name(), resource.number());
    let told = python.import("oneloom._report")?.call_method1("account", (who, what))?;
    let (text, may_end) = told.extract()?;
    Ok(Account { text, may_end })
}

/// One tuple a step: (who waits, kind, name, address, who holds or None, how, since, flags).
fn facts<'py>(python: Python<'py>, steps: &[Step], holder_ended: bool) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(python);
    for step in steps {
        let (how, other) = match step.edge {
            Edge::HeldBy { holder, .. } if holder_ended => ("ended", Some(party(python, holder)?)),
            Edge::HeldBy { holder, .. } => ("held", Some(party(python, holder)?)),
            Edge::RunsOn(thread) => ("runs on", Some(party(python, thread)?)),
            Edge::HeldElsewhere(hold) => ("elsewhere", Some(stranger(python, hold.pid, "")?)),
            Edge::AnyOf => ("any of", None),
            Edge::Unheld => ("unheld", None),
        };
        let who = match &step.account {
            Some(account) => stranger(python, account.pid, &account.text)?,
            None => party(python, step.owner)?,
        };
        list.append((
            who,
            step.kind,
            step.name.as_deref(),
            step.resource,
            other,
            how,
            step.since,
            step.flags & flag::TIMED != 0,
        ))?;
    }
    Ok(list)
}

/// Tasks whose code has blocked a thread, with that thread.
static BLOCKING: Mutex<Vec<(Owner, Py<PyAny>)>> = Mutex::new(Vec::new());

/// While it lives, reports know which task has blocked the calling thread.
pub struct BlockingTask(Option<Owner>);

impl BlockingTask {
    /// Notes the task that runs on the calling thread, if any.
    pub fn note(python: Python<'_>, thread: Owner) -> Self {
        let Some(task) = owner::running_task(python) else { return Self(None) };
        BLOCKING.lock().unwrap_or_else(PoisonError::into_inner).push((thread, task.unbind()));
        Self(Some(thread))
    }
}

impl Drop for BlockingTask {
    fn drop(&mut self) {
        let Some(thread) = self.0 else { return };
        let mut blocking = BLOCKING.lock().unwrap_or_else(PoisonError::into_inner);
        let last = blocking.iter().rposition(|(owner, _)| *owner == thread);
        let noted = last.map(|at| blocking.remove(at));
        drop(blocking);
        drop(noted);
    }
}

fn blocking_task(python: Python<'_>, thread: Owner) -> Option<Py<PyAny>> {
    let blocking = BLOCKING.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, task) = blocking.iter().rfind(|(owner, _)| *owner == thread)?;
    Some(task.clone_ref(python))
}

/// A participant: ("thread", its ident, its native id, the task whose code blocks it or None), ("task", the task
/// or None, 0, None) or ("nobody", whether it was somebody, 0, None).
fn party(python: Python<'_>, owner: Owner) -> PyResult<Bound<'_, PyTuple>> {
    let registry = registry();
    match registry.kind(owner) {
        Kind::Thread => {
            let task = blocking_task(python, owner);
            ("thread", registry.tag(owner), registry.native_thread(owner), task).into_pyobject(python)
        }
        Kind::Task => ("task", owner::task_of(python, owner), 0, python.None()).into_pyobject(python),
        Kind::Free => ("nobody", owner.is_somebody(), 0, python.None()).into_pyobject(python),
    }
}

/// Somebody in another process: ("stranger", what it tells of itself, the process's id, None).
fn stranger<'py>(python: Python<'py>, pid: u32, text: &str) -> PyResult<Bound<'py, PyTuple>> {
    ("stranger", text, pid, python.None()).into_pyobject(python)
}

/// The name of an owner, for messages and reprs.
pub fn who(python: Python<'_>, owner: Option<Owner>) -> PyResult<String> {
    let Some(owner) = owner else { return Ok(String::from("nobody")) };
    python.import("oneloom._report")?.call_method1("name_of", (party(python, owner)?,))?.extract()
}
