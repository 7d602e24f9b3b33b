//! `PriorityQueue`: items are compared by Python code, attached, while no gate is held.

use std::sync::Arc;

use oneloom_sync::raw::Name;
use oneloom_sync::raw::priority::{Count, RawPriorityQueue, Reentered, SortCall, Sorting, Unput};
use oneloom_sync::raw::queue::{
    GetCall, JoinCall, Legacy, QueueStatistics, ReserveCall, ShutDown, TooManyDone,
};
use oneloom_wait::clock::Deadline;
use oneloom_wait::wait::Handle;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::arguments::Timeout;
use crate::environment::{notifying, wait};
use crate::errors;
use crate::flavour::{Failure, Figures, Flavour, Item, Limit, joining, pending, refusal, refused_later};
use crate::owner;
use crate::queue::Queue;
use crate::waiting::{Visible, Waiting};

type Raw = RawPriorityQueue<Item>;

/// The flow inside a shared priority queue.
struct Flow(Arc<Raw>);

impl Visible for Flow {}

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
fn fill(python: Python<'_>, raw: &Raw, item: Item) -> Result<(), Failure> {
    let mut sorting = match sorting(python, raw) {
        Ok(sorting) => sorting,
        Err(error) => {
            notifying(python, || raw.flow().abandon());
            return Err(error.into());
        }
    };
    let put = sorting.put(item, less(python));
    notifying(python, || drop(sorting));
    match put {
        Ok(()) => Ok(()),
        Err(Unput::ShutDown(item)) => Err(refusal(python, raw.flow(), Some(item))),
        Err(Unput::Compare(_, error)) => Err(error.into()),
    }
}

/// Takes the least item for a token. It may be gone: to a garbage collector, or to whom the queue was handed over.
fn draw(python: Python<'_>, raw: &Raw) -> Result<Item, Failure> {
    let mut sorting = match sorting(python, raw) {
        Ok(sorting) => sorting,
        Err(error) => {
            notifying(python, || raw.flow().put_back(()));
            return Err(error.into());
        }
    };
    let got = sorting.get(less(python));
    notifying(python, || drop(sorting));
    got?.ok_or_else(|| match raw.flow().is_handed_over() {
        true => Failure::HandedOver(None),
        false => errors::EMPTY.error(python).into(),
    })
}

/// [`pending`] instead of an item that has gone elsewhere.
fn or_pending(python: Python<'_>, got: Result<Item, Failure>) -> PyResult<Item> {
    got.or_else(|failure| match failure {
        Failure::Raised(error) => Err(error),
        Failure::HandedOver(_) => Ok(pending(python)),
    })
}

impl Flavour for Raw {
    fn put(&self, python: Python<'_>, item: Item, limit: &Limit) -> Result<(), Failure> {
        match wait(python, self.flow(), &mut ReserveCall::<Count>::default(), || limit.deadline())? {
            Some(Ok(())) => fill(python, self, item),
            Some(Err(ShutDown)) => Err(refusal(python, self.flow(), Some(item))),
            None => Err(errors::FULL.error(python).into()),
        }
    }

    fn get(&self, python: Python<'_>, limit: &Limit) -> Result<Item, Failure> {
        match wait(python, self.flow(), &mut GetCall::<Count>::default(), || limit.deadline())? {
            Some(Ok(())) => draw(python, self),
            Some(Err(ShutDown)) => Err(refusal(python, self.flow(), None)),
            None => Err(errors::EMPTY.error(python).into()),
        }
    }

    fn put_now(&self, python: Python<'_>, item: &Item) -> PyResult<bool> {
        let mut call = ReserveCall::<Count>::default();
        match wait(python, self.flow(), &mut call, || Limit::now().deadline())? {
            Some(Ok(())) => match fill(python, self, item.clone_ref(python)) {
                Ok(()) => Ok(true),
                Err(Failure::HandedOver(_)) => Ok(false),
                Err(Failure::Raised(error)) => Err(error),
            },
            Some(Err(ShutDown)) => refused_later(python, self.flow()).map(|_| false),
            None => Ok(false),
        }
    }

    fn get_now(&self, python: Python<'_>) -> PyResult<Option<Item>> {
        let mut call = GetCall::<Count>::default();
        match wait(python, self.flow(), &mut call, || Limit::now().deadline())? {
            Some(Ok(())) => match draw(python, self) {
                Ok(item) => Ok(Some(item)),
                Err(Failure::HandedOver(_)) => Ok(None),
                Err(Failure::Raised(error)) => Err(error),
            },
            Some(Err(ShutDown)) => refused_later(python, self.flow()).map(|_| None),
            None => Ok(None),
        }
    }

    fn put_later(self: Arc<Self>, python: Python<'_>, item: Item, timeout: Timeout) -> PyResult<Waiting> {
        let finish =
            move |python: Python<'_>, Flow(raw): &Flow, reserved: Result<(), ShutDown>| match reserved {
                Ok(()) => {
                    or_pending(python, fill(python, raw, item.clone_ref(python)).map(|()| python.None()))
                }
                Err(ShutDown) => refused_later(python, raw.flow()),
            };
        let late = |python: Python<'_>, _: &Flow| Err(errors::FULL.error(python));
        Waiting::around(python, Flow(self), ReserveCall::<Count>::default(), timeout, finish, late)
    }

    fn get_later(self: Arc<Self>, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        let finish = |python: Python<'_>, Flow(raw): &Flow, token: Result<(), ShutDown>| match token {
            Ok(()) => or_pending(python, draw(python, raw)),
            Err(ShutDown) => refused_later(python, raw.flow()),
        };
        let late = |python: Python<'_>, _: &Flow| Err(errors::EMPTY.error(python));
        Waiting::around(python, Flow(self), GetCall::<Count>::default(), timeout, finish, late)
    }

    fn join(&self, python: Python<'_>, deadline: Deadline) -> PyResult<bool> {
        Ok(wait(python, self.flow(), &mut JoinCall::<Count>::default(), || Ok(deadline))?.is_some())
    }

    fn join_later(self: Arc<Self>, python: Python<'_>, timeout: Timeout) -> PyResult<Waiting> {
        joining(python, Flow(self), JoinCall::<Count>::default(), timeout)
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

    fn hand_over(&self, python: Python<'_>, heir: &mut dyn FnMut(Legacy<Item>)) -> PyResult<bool> {
        let mut sorting = sorting(python, self)?;
        let is_first = sorting.hand_over().map(heir).is_some();
        notifying(python, || drop(sorting));
        Ok(is_first)
    }

    fn is_handed_over(&self) -> bool {
        self.flow().is_handed_over()
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

    fn len(&self) -> usize {
        self.flow().len()
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
