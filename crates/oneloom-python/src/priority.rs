//! `PriorityQueue`: items are compared by Python code, attached, while no gate is held.

use std::sync::Arc;

use oneloom_sync::raw::Name;
use oneloom_sync::raw::priority::{Count, RawPriorityQueue, Reentered, SortCall, Sorting, Unput};
use oneloom_sync::raw::queue::{GetCall, JoinCall, QueueStatistics, ReserveCall, ShutDown, TooManyDone};
use oneloom_wait::clock::Deadline;
use oneloom_wait::wait::Handle;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::arguments::{Timeout, lenient_deadline, queue_deadline};
use crate::environment::{notifying, wait};
use crate::errors;
use crate::owner;
use crate::queue::{Figures, Flavour, Item, Queue, get_result, put_result};
use crate::waiting::Waiting;

type Raw = RawPriorityQueue<Item>;

/// The flow inside a shared priority queue.
struct Flow(Arc<Raw>);

// SAFETY: the flow stands inside what the Arc keeps where it is.
unsafe impl Handle for Flow {
    type Primitive = oneloom_sync::raw::queue::RawQueue<Count>;

    fn primitive(&self) -> &Self::Primitive {
        self.0.flow()
    }
}

fn less(python: Python<'_>) -> impl FnMut(&Item, &Item) -> PyResult<bool> {
    move |left, right| left.bind(python).lt(right.bind(python))
}

/// Begins to sort; waits while another thread does.
fn sorting<'a>(python: Python<'_>, raw: &'a Raw) -> PyResult<Sorting<'a, Item>> {
    let owner = owner::current(python);
    let reentered = || {
        PyRuntimeError::new_err(
            "this PriorityQueue was called while it compares its items, by one of their comparison methods",
        )
    };
    if let Some(sorting) = raw.try_sort(owner).map_err(|Reentered| reentered())? {
        return Ok(sorting);
    }
    let mut call = SortCall::new(owner);
    wait(python, raw, &mut call, || Ok(Deadline::Never))?.transpose().map_err(|Reentered| reentered())?;
    raw.sorting(owner).ok_or_else(|| PyRuntimeError::new_err("the queue's order was lost in a fork"))
}

/// Puts an item in the place that was reserved.
fn fill(python: Python<'_>, raw: &Raw, item: Item) -> PyResult<()> {
    let mut sorting = match sorting(python, raw) {
        Ok(sorting) => sorting,
        Err(error) => {
            notifying(python, || raw.flow().abandon());
            return Err(error);
        }
    };
    let put = sorting.put(item, less(python));
    notifying(python, || drop(sorting));
    match put {
        Ok(()) => Ok(()),
        Err(Unput::ShutDown(_)) => Err(errors::SHUT_DOWN.error(python)),
        Err(Unput::Compare(_, error)) => Err(error),
    }
}

/// Takes the least item for a token. `None`: a garbage collector has emptied the queue meanwhile.
fn draw(python: Python<'_>, raw: &Raw) -> PyResult<Option<Item>> {
    let mut sorting = match sorting(python, raw) {
        Ok(sorting) => sorting,
        Err(error) => {
            notifying(python, || raw.flow().put_back(()));
            return Err(error);
        }
    };
    let got = sorting.get(less(python));
    notifying(python, || drop(sorting));
    got
}

fn drawn(python: Python<'_>, raw: &Raw) -> PyResult<Item> {
    draw(python, raw)?.ok_or_else(|| errors::EMPTY.error(python))
}

impl Flavour for Raw {
    fn put(&self, python: Python<'_>, item: Item, block: bool, timeout: Timeout) -> PyResult<()> {
        let mut call = ReserveCall::<Count>::default();
        put_result(python, wait(python, self.flow(), &mut call, || queue_deadline(block, timeout))?)?;
        fill(python, self, item)
    }

    fn get(&self, python: Python<'_>, block: bool, timeout: Timeout) -> PyResult<Item> {
        let mut call = GetCall::<Count>::default();
        get_result(python, wait(python, self.flow(), &mut call, || queue_deadline(block, timeout))?)?;
        drawn(python, self)
    }

    fn put_now(&self, python: Python<'_>, item: &Item) -> PyResult<bool> {
        let mut call = ReserveCall::<Count>::default();
        match wait(python, self.flow(), &mut call, || queue_deadline(false, None))? {
            None => Ok(false),
            ended => {
                put_result(python, ended)?;
                fill(python, self, item.clone_ref(python)).map(|()| true)
            }
        }
    }

    fn get_now(&self, python: Python<'_>) -> PyResult<Option<Item>> {
        match wait(python, self.flow(), &mut GetCall::<Count>::default(), || queue_deadline(false, None))? {
            None => Ok(None),
            ended => {
                get_result(python, ended)?;
                drawn(python, self).map(Some)
            }
        }
    }

    fn put_later(self: Arc<Self>, python: Python<'_>, item: Item, timeout: Timeout) -> PyResult<Waiting> {
        let raw = self.clone();
        let finish = move |python: Python<'_>, reserved: Result<(), ShutDown>| {
            put_result(python, Some(reserved))?;
            fill(python, &raw, item.clone_ref(python)).map(|()| python.None())
        };
        let late = |python: Python<'_>| Err(errors::FULL.error(python));
        Waiting::new(python, Flow(self), ReserveCall::<Count>::default(), timeout, finish, late)
    }

    fn get_later(self: Arc<Self>, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        let raw = self.clone();
        let finish = move |python: Python<'_>, token: Result<(), ShutDown>| {
            get_result(python, Some(token))?;
            drawn(python, &raw)
        };
        let late = |python: Python<'_>| Err(errors::EMPTY.error(python));
        Waiting::new(python, Flow(self), GetCall::<Count>::default(), timeout, finish, late)
    }

    fn join(&self, python: Python<'_>, timeout: Timeout) -> PyResult<bool> {
        let mut call = JoinCall::<Count>::default();
        Ok(wait(python, self.flow(), &mut call, || Ok(lenient_deadline(timeout)))?.is_some())
    }

    fn join_later(self: Arc<Self>, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        Waiting::yes_or_no(python, Flow(self), JoinCall::<Count>::default(), timeout, |()| true)
    }

    fn task_done(&self) -> Result<(), TooManyDone> {
        self.flow().task_done()
    }

    fn shut_down(&self, python: Python<'_>, immediate: bool) -> PyResult<Vec<Item>> {
        let mut sorting = sorting(python, self)?;
        let left = sorting.shut_down(immediate);
        notifying(python, || drop(sorting));
        Ok(left)
    }

    fn clear(&self) -> Vec<Item> {
        RawPriorityQueue::clear(self)
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let mut result = Ok(());
        self.for_each(|item| {
            if result.is_ok() {
                result = visit.call(item);
            }
        });
        result
    }

    fn figures(&self) -> Figures<'_> {
        Figures::of(self.flow())
    }

    fn set_maxsize(&self, maxsize: usize) {
        self.flow().set_maxsize(maxsize);
    }

    fn set_name(&self, name: Name) {
        self.flow().set_name(name);
    }

    fn statistics(&self) -> QueueStatistics {
        self.flow().statistics()
    }
}

/// A queue that gives out the least item first; otherwise a `Queue`.
///
/// Items are compared by their own `<`, for each put and get about as often as the logarithm of their number. If a
/// comparison raises, so does the call that needed it, and nothing is lost; one that calls the same queue gets a
/// RuntimeError.
///
/// >>> import oneloom
/// >>> jobs = oneloom.PriorityQueue()
/// >>> jobs.put((2, "mop"))
/// >>> jobs.put((1, "sweep"))
/// >>> jobs.get()
/// (1, 'sweep')
#[pyclass(frozen, subclass, extends = Queue, module = "oneloom")]
pub struct PriorityQueue;

#[pymethods]
impl PriorityQueue {
    #[new]
    #[pyo3(signature = (*args, **kwargs), text_signature = "(maxsize=0, *, name=None)")]
    fn new(args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        let _ = (args, kwargs);
        let raw = Raw::new(0, Name::NONE);
        PyClassInitializer::from(Queue::with(Arc::new(raw))).add_subclass(Self)
    }
}
