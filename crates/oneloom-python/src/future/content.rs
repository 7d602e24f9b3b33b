//! What a future is made of behind its gate: its state, its outcome, and who is to be told of the end.
//!
//! | state | entered from | by |
//! |---|---|---|
//! | `Pending` | `Running` | a task that moves on or is tried again |
//! | `Running` | `Pending` | whoever runs the task |
//! | `Cancelled` | `Pending` | `cancel` |
//! | `Notified` | `Cancelled`, `Pending`, `Running` | the pool, once the task is certain not to run, or is killed |
//! | `Finished` | `Pending`, `Running` | the outcome |
//!
//! `claimed` says that somebody brings the end: from then on nobody else can, although the state may change later.

use std::sync::Arc;

use oneloom_sync::raw::RawOnce;
use oneloom_wait::gate::AfterFork;
use pyo3::prelude::*;

use super::class::Future;
use super::observed::Observed;
use super::{Cancel, Dispatch, Outcome, Unpack};

/// How far a future has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Pending,
    Running,
    Cancelled,
    Notified,
    Finished,
}

impl State {
    const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Pending, "PENDING", "pending"),
        (Self::Running, "RUNNING", "running"),
        (Self::Cancelled, "CANCELLED", "cancelled"),
        (Self::Notified, "CANCELLED_AND_NOTIFIED", "cancelled"),
        (Self::Finished, "FINISHED", "finished"),
    ];

    /// The standard library's name for it.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// What `repr` calls it.
    pub fn described(self) -> &'static str {
        Self::ALL[self as usize].2
    }

    /// The state with that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == name).map(|(state, ..)| *state)
    }

    pub fn is_cancelled(self) -> bool {
        matches!(self, Self::Cancelled | Self::Notified)
    }

    /// Whether nobody is to be told of anything any more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Notified | Self::Finished)
    }

    pub fn has_ended(self) -> bool {
        self.is_cancelled() || self == Self::Finished
    }
}

/// A value or an error that has arrived as something else.
pub enum Packing {
    /// Nothing of that kind, or no more.
    Open,
    /// To be unpacked by whoever reads first.
    Packed(Box<dyn Unpack>),
    /// Somebody unpacks it; this is its end.
    Unpacking(Arc<RawOnce>),
}

/// Behind the gate.
pub struct Content {
    pub state: State,
    /// Somebody brings the end.
    pub claimed: bool,
    /// How many ask the pool to cancel it, at this moment.
    pub cancelling: u32,
    /// The pool has said to one of these that it is cancelled.
    pub is_taken_out: bool,
    /// Its state or its outcome was assigned from outside, which may take several steps under the condition.
    pub assigned: bool,
    pub value: Option<Py<PyAny>>,
    /// What is raised.
    pub error: Option<Py<PyAny>>,
    /// The traceback that it came with, known from the first raise on.
    pub traceback: Option<Py<PyAny>>,
    pub packing: Packing,
    /// What is packed is an error, as far as that is known.
    pub will_fail: bool,
    /// How many bytes went and came for what was packed.
    pub weight: usize,
    pub callbacks: Vec<Py<PyAny>>,
    pub observed: Option<Box<Observed>>,
    /// The future itself, while there is somebody to be told of it and a pool that knows only the promise.
    pub own: Option<Py<Future>>,
    /// More than one object stands for the promise.
    pub is_shared: bool,
    pub canceller: Option<Arc<dyn Cancel>>,
    pub dispatch: Option<Arc<dyn Dispatch>>,
}

impl Content {
    pub fn new(canceller: Option<Arc<dyn Cancel>>, dispatch: Option<Arc<dyn Dispatch>>) -> Self {
        Self {
            state: State::Pending,
            claimed: false,
            cancelling: 0,
            is_taken_out: false,
            assigned: false,
            value: None,
            error: None,
            traceback: None,
            packing: Packing::Open,
            will_fail: false,
            weight: 0,
            callbacks: Vec::new(),
            observed: None,
            own: None,
            is_shared: false,
            canceller,
            dispatch,
        }
    }

    /// Claims the right to bring the end. True once.
    pub fn claim(&mut self) -> bool {
        !self.state.has_ended() && !std::mem::replace(&mut self.claimed, true)
    }

    /// Writes down the end.
    pub fn settle(&mut self, outcome: Outcome) -> Unneeded {
        self.claimed = true;
        self.state = State::Finished;
        let mut unneeded = self.let_go();
        match outcome {
            Outcome::Value(value) => unneeded._replaced = self.value.replace(value),
            Outcome::Error(error) => unneeded._replaced = self.error.replace(error),
            Outcome::Packed(packed) => {
                self.will_fail = packed.has_failed();
                self.weight = packed.weight();
                self.packing = Packing::Packed(packed);
            }
            Outcome::Cancelled => self.state = State::Notified,
        }
        unneeded
    }

    /// Takes out all that is Python's, to be dropped outside the gate.
    pub fn take_objects(&mut self) -> impl Sized + use<> {
        let outcome = (self.value.take(), self.error.take(), self.traceback.take());
        let packing = std::mem::replace(&mut self.packing, Packing::Open);
        (outcome, packing, std::mem::take(&mut self.callbacks), self.observed.take(), self.own.take())
    }

    /// What only a future needs that has not ended.
    pub fn let_go(&mut self) -> Unneeded {
        Unneeded { _canceller: self.canceller.take(), dispatch: self.dispatch.take(), _replaced: None }
    }
}

/// To be dropped outside the gate.
#[must_use]
pub struct Unneeded {
    _canceller: Option<Arc<dyn Cancel>>,
    pub dispatch: Option<Arc<dyn Dispatch>>,
    /// What had been assigned from outside.
    _replaced: Option<Py<PyAny>>,
}

impl AfterFork for Content {
    fn after_fork(&mut self, torn: bool) {
        // They are not here.
        self.cancelling = 0;
        if torn {
            // Whoever was changing it was to bring the end, and is not here.
            std::mem::forget(std::mem::replace(self, Self::new(None, None)));
        }
    }
}
