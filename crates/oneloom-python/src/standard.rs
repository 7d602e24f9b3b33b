//! Handing a queue over to the standard library's algorithm, which stands in `oneloom._compat.standard_queue`.
//!
//! Python code may want of a queue what only that algorithm has: its mutex and its conditions, the list that the items
//! stand in, hooks in place of a store. From the moment somebody asks for one of them, that one queue follows it.

use std::sync::atomic::Ordering;

use oneloom_sync::raw::Counters;
use oneloom_sync::raw::queue::{Legacy, QueueStatistics as QueueCounters};
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::condition::Condition;
use crate::flavour::{Failure, Figures, Item, Limit};
use crate::once::intern;
use crate::priority::PriorityQueue;
use crate::queue::{LifoQueue, Queue};
use crate::waiting::Holds;

const MODULE: &str = "oneloom._compat.standard_queue";

/// What a subclass overrides to keep its items its own way.
const HOOKS: [&str; 4] = ["_init", "_put", "_get", "_qsize"];

/// What goes on in a queue's place; hands the queue over first if it was not yet.
pub fn of<'py>(queue: &Bound<'py, Queue>) -> PyResult<Bound<'py, PyAny>> {
    let (python, this) = (queue.py(), queue.get());
    if let Some(standard) = this.standard.get() {
        return Ok(standard.bind(python).clone());
    }
    let heir = python.import(MODULE)?.getattr("StandardQueue")?.call1((queue,))?;
    let mut settled = Ok(());
    let is_first = this.flavour.hand_over(python, &mut |legacy| {
        // Between the queue's giving up its items and the heir's being known nothing may run that could raise, or
        // come back here: no Python code, and no allocation that the garbage collector counts.
        settled = settle(&heir, this.shown_maxsize.load(Ordering::Relaxed), legacy);
        let _ = this.standard.set(heir.clone().unbind());
    })?;
    settled?;
    // Otherwise another thread is at that very point.
    while !is_first && this.standard.get().is_none() {
        python.detach(std::thread::yield_now);
    }
    this.standard.get().map_or(Ok(heir), |standard| Ok(standard.bind(python).clone()))
}

/// Gives the heir what the queue leaves, without running Python code.
fn settle(heir: &Bound<'_, PyAny>, maxsize: isize, legacy: Legacy<Item>) -> PyResult<()> {
    let python = heir.py();
    let items = heir.getattr(intern!(python, "queue"))?;
    for item in legacy.items {
        items.call_method1(intern!(python, "append"), (item,))?;
    }
    heir.setattr(intern!(python, "maxsize"), maxsize)?;
    heir.setattr(intern!(python, "unfinished_tasks"), legacy.unfinished)?;
    heir.setattr(intern!(python, "is_shutdown"), legacy.was_shut_down)
}

/// What goes on in a queue's place, if something does.
pub fn instead<'py>(queue: &Bound<'py, Queue>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if queue.get().flavour.is_handed_over() { of(queue).map(Some) } else { Ok(None) }
}

/// Whether a queue that is being initialized is to follow the standard algorithm: its class overrides a hook, or it
/// was used before, and is to begin anew.
pub fn is_wanted(queue: &Bound<'_, Queue>) -> PyResult<bool> {
    let Figures { length, unfinished, is_shut_down, .. } = queue.get().flavour.figures();
    // One that was handed over is shut down here.
    let mut wanted = is_shut_down || length > 0 || unfinished > 0;
    if queue.is_exact_instance_of::<Queue>() {
        return Ok(wanted);
    }
    let (python, class) = (queue.py(), queue.get_type());
    let native = if queue.is_instance_of::<PriorityQueue>() {
        python.get_type::<PriorityQueue>()
    } else if queue.is_instance_of::<LifoQueue>() {
        python.get_type::<LifoQueue>()
    } else {
        python.get_type::<Queue>()
    };
    for hook in HOOKS.iter().filter(|_| !class.is(&native)) {
        wanted |= !class.getattr(*hook)?.is(&native.getattr(*hook)?);
    }
    Ok(wanted)
}

/// Initializes a queue as the standard library does, hooks included.
pub fn begin(queue: &Bound<'_, Queue>, maxsize: isize) -> PyResult<()> {
    of(queue)?.call_method1("begin", (queue, maxsize)).map(drop)
}

/// A put that has failed here, where the items are now.
#[cold]
pub fn put(queue: &Bound<'_, Queue>, failure: Failure, limit: &Limit) -> PyResult<()> {
    match failure {
        Failure::Raised(error) => Err(error),
        Failure::HandedOver(item) => {
            let put = intern!(queue.py(), "put");
            of(queue)?.call_method1(put, (queue, item, limit.block, limit.left())).map(drop)
        }
    }
}

/// A get that has failed here, where the items are now.
#[cold]
pub fn get(queue: &Bound<'_, Queue>, failure: Failure, limit: &Limit) -> PyResult<Item> {
    match failure {
        Failure::Raised(error) => Err(error),
        Failure::HandedOver(_) => {
            let get = intern!(queue.py(), "get");
            Ok(of(queue)?.call_method1(get, (queue, limit.block, limit.left()))?.unbind())
        }
    }
}

/// Adds what the conditions have seen to what the queue had seen before.
pub fn count(standard: &Bound<'_, PyAny>, counters: &mut QueueCounters) -> PyResult<()> {
    let seen = |name: &str| -> PyResult<(usize, Counters)> {
        // Somebody may have put a condition of another kind in its place: then there is nothing to know.
        let condition = standard.getattr(name)?;
        Ok(condition
            .cast::<Condition>()
            .map_or_else(|_| <_>::default(), |ours| ours.get().raw().statistics()))
    };
    let add = |to: &mut Counters, more: Counters| {
        to.waits = to.waits.wrapping_add(more.waits);
        to.handovers = to.handovers.wrapping_add(more.handovers);
        to.withdrawals = to.withdrawals.wrapping_add(more.withdrawals);
    };
    let (waiting, more) = seen("not_empty")?;
    counters.waiting_getters += waiting;
    add(&mut counters.gets, more);
    let (waiting, more) = seen("not_full")?;
    counters.waiting_putters += waiting;
    add(&mut counters.puts, more);
    counters.waiting_joiners += seen("all_tasks_done")?.0;
    Ok(())
}

/// Fills in the figures without taking the mutex: whoever has it may want to see its queue, too.
pub fn look(
    queue: &Bound<'_, Queue>,
    standard: &Bound<'_, PyAny>,
    figures: &mut Figures<'_>,
) -> PyResult<()> {
    figures.length = queue.call_method0("_qsize")?.extract()?;
    figures.maxsize = standard.getattr("maxsize")?.extract().map_or(0, crate::queue::capacity);
    figures.unfinished = standard.getattr("unfinished_tasks")?.extract()?;
    figures.is_shut_down = standard.getattr("is_shutdown")?.is_truthy()?;
    Ok(())
}

/// A hook as a class of ours has it. Overriding it for one queue, by assignment, hands that queue over.
#[pyclass(frozen, module = "oneloom._native")]
pub struct Hook {
    name: Py<PyString>,
    function: Py<PyAny>,
}

impl Hook {
    /// Where a queue keeps what was assigned to it.
    fn own<'py>(queue: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        Ok(queue.getattr(intern!(queue.py(), "__dict__"))?.cast_into()?)
    }
}

#[pymethods]
impl Hook {
    #[new]
    fn new(name: Py<PyString>, function: Py<PyAny>) -> Self {
        Self { name, function }
    }

    fn __get__<'py>(
        &self,
        python: Python<'py>,
        queue: Option<&Bound<'py, PyAny>>,
        kind: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = kind;
        let function = self.function.bind(python);
        let Some(queue) = queue else { return Ok(function.clone()) };
        match Self::own(queue)?.get_item(&self.name)? {
            Some(assigned) => Ok(assigned),
            None => function.call_method1(intern!(python, "__get__"), (queue,)),
        }
    }

    fn __set__(&self, queue: &Bound<'_, PyAny>, function: &Bound<'_, PyAny>) -> PyResult<()> {
        of(queue.cast()?)?;
        Self::own(queue)?.set_item(&self.name, function)
    }

    fn __delete__(&self, queue: &Bound<'_, PyAny>) -> PyResult<()> {
        let own = Self::own(queue)?;
        own.del_item(&self.name).map_err(|_| PyAttributeError::new_err(self.name.clone_ref(queue.py())))
    }
}
