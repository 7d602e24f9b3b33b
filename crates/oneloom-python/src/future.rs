//! Futures: `Promise`, which whoever brings an outcome holds, and `Future`, what Python sees of it.
//!
//! A promise works without the interpreter: the thread that collects the results of processes finishes futures while
//! Python code runs elsewhere, and whoever waits is woken by it. Only two kinds of end need Python: where callbacks are
//! to be called, and where somebody has looked at what the standard library's futures are made of (`observed`).
//! Those a pool's [`Dispatch`] has brought on a thread of its own.
//!
//! - `content`: the states, and all that stands behind the gate.
//! - `ending`: how a future comes to its end, and who is told.
//! - `reading`: what became of it, and the unpacking of what has arrived as bytes.
//! - `observed`: the standard library's face.
//! - `class`: the class `Future`.
//! - `ends`: waiting for many.

mod class;
mod content;
mod ending;
mod ends;
mod observed;
mod reading;

use std::cell::RefCell;
use std::sync::Arc;

use oneloom_sync::raw::{Name, RawOnce};
use oneloom_wait::fork;
use oneloom_wait::gate::{Gate, Inside};
use oneloom_wait::graph::Crew;
use oneloom_wait::owner::Owner;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

pub use self::class::Future;
use self::content::{Content, State};
use crate::errors::FUTURE;

/// What a future comes to.
pub enum Outcome {
    /// What `result` gives.
    Value(Py<PyAny>),
    /// What it raises.
    Error(Py<PyAny>),
    /// One of the two, as something else; unpacked by whoever reads first.
    Packed(Box<dyn Unpack>),
    /// It will not come to anything.
    Cancelled,
}

impl Outcome {
    /// What a call gave or raised.
    pub fn of(python: Python<'_>, called: PyResult<Py<PyAny>>) -> Self {
        match called {
            Ok(value) => Self::Value(value),
            Err(error) => Self::Error(error.into_value(python).into_any()),
        }
    }
}

/// An outcome as something else.
pub trait Unpack: Send + Sync {
    /// The outcome. Called attached, by one thread at a time, until it gives one.
    ///
    /// # Errors
    /// An `Exception` is the future's own. Anything else (a signal has arrived meanwhile) is for whoever reads now,
    /// and the next one tries again.
    fn unpack(&mut self, python: Python<'_>) -> PyResult<Outcome>;

    /// Whether it will be an error, as far as that can be known.
    fn has_failed(&self) -> bool {
        false
    }

    /// How many bytes went and came for it.
    fn weight(&self) -> usize {
        0
    }
}

/// How a pool's task is cancelled.
pub trait Cancel: Send + Sync {
    /// Sees to it that the task does not run, or, with `running`, that it ends if it does. Called attached, without a lock.
    ///
    /// True if it will not run: the pool has taken it out, or asks [`Promise::start`] before it runs it, which says false
    /// then. Also true for one that runs and is cancelled all the same, whatever it still comes to. A pool that takes the
    /// task out may call [`Promise::finish`] with [`Outcome::Cancelled`] in here: the end is brought by whoever cancels.
    fn cancel(&self, running: bool) -> bool;

    /// Whether [`help`](Self::help) does anything.
    fn can_help(&self) -> bool {
        false
    }

    /// Does for a moment what brings the end, until `done`, where that is faster than another thread. Called detached by
    /// whoever is about to wait for it.
    fn help(&self, done: &dyn Fn() -> bool) {
        let _ = done;
    }
}

/// Where ends are brought about that need Python, when [`Promise::finish`] was called without it.
pub trait Dispatch: Send + Sync {
    /// Has a thread call [`Promise::dispatched`] with these.
    fn dispatch(&self, promise: Promise, outcome: Option<Outcome>);
}

/// A future as seen by whoever brings its outcome. Needs no interpreter.
#[derive(Clone)]
pub struct Promise(Arc<Inner>);

pub(crate) struct Inner {
    /// Its end, to wait for.
    once: RawOnce,
    content: Gate<Content>,
    /// Whether a pool made it, whose threads no child of a fork has.
    is_pooled: bool,
    /// The fork generation in which it was made.
    born: u32,
}

impl Inner {
    fn new(content: Content, is_pooled: bool, crew: Option<Arc<Crew>>) -> Self {
        let once = RawOnce::new(Name::NONE, "future").by_crew(crew);
        Self { once, content: Gate::new(content), is_pooled, born: fork::generation() }
    }

    fn enter(&self) -> Inside<'_, Content> {
        self.content.enter()
    }

    fn state(&self) -> State {
        self.enter().state
    }
}

thread_local! {
    /// The promise whose future this thread is making.
    static ADOPTED: RefCell<Option<Promise>> = const { RefCell::new(None) };
}

impl Promise {
    /// A promise of a pool's. `canceller` takes its task out of the pool; `dispatch` is for a pool that finishes futures
    /// without the interpreter.
    pub fn new(canceller: Option<Arc<dyn Cancel>>, dispatch: Option<Arc<dyn Dispatch>>) -> Self {
        Self(Arc::new(Inner::new(Content::new(canceller, dispatch), true, None)))
    }

    /// The same for what one of the threads in `crew` will begin: who waits for it waits for them.
    pub fn in_crew(crew: Arc<Crew>, canceller: Arc<dyn Cancel>, dispatch: Arc<dyn Dispatch>) -> Self {
        let content = Content::new(Some(canceller), Some(dispatch));
        Self(Arc::new(Inner::new(content, true, Some(crew))))
    }

    /// The future of this promise, an `oneloom.Future`. To be made once.
    pub fn future<'py>(&self, python: Python<'py>) -> PyResult<Bound<'py, Future>> {
        let class = FUTURE.class(python)?;
        let nothing = PyTuple::empty(python);
        ADOPTED.set(Some(self.clone()));
        // Without `__init__`, which does nothing: calling the class costs half as much again.
        // SAFETY: attached; a class that can be called has this slot, which takes a tuple and perhaps a dictionary, and
        // gives a new reference.
        let made = unsafe {
            let class = class.as_type_ptr();
            let make = (*class).tp_new.expect("oneloom.Future can be made");
            Bound::from_owned_ptr_or_err(python, make(class, nothing.as_ptr(), std::ptr::null_mut()))
        };
        ADOPTED.take();
        Ok(made?.cast_into()?)
    }

    /// The future of this promise where it is known, because somebody is to be told of its end; else another one that
    /// does the same.
    pub fn own_or_other_future(&self, python: Python<'_>) -> PyResult<Py<Future>> {
        let own = {
            let mut content = self.0.enter();
            content.is_shared |= content.own.is_none();
            content.own.as_ref().map(|own| own.clone_ref(python))
        };
        own.map_or_else(|| self.future(python).map(Bound::unbind), Ok)
    }

    /// Says that the task runs from now on. False if the future was cancelled (which it is then told) or has ended.
    ///
    /// `by` is the one thread that can bring the outcome, if that is certain: who waits for the future waits for it.
    pub fn start(&self, by: Option<Owner>) -> bool {
        let state = {
            let mut content = self.0.enter();
            if content.state == State::Pending && !content.claimed {
                content.state = State::Running;
            }
            content.state
        };
        match state {
            State::Running => {
                self.0.once.set_at_work(by);
                true
            }
            State::Cancelled => {
                self.notify_cancelled();
                false
            }
            _ => false,
        }
    }

    /// Takes [`start`](Self::start) back: the task moves on, or is tried again.
    pub fn unstart(&self) {
        self.0.once.set_aside();
        let mut content = self.0.enter();
        if content.state == State::Running && !content.claimed {
            content.state = State::Pending;
        }
    }

    /// Says that others than its crew may begin the task as well.
    pub fn leave_crew(&self) {
        self.0.once.set_at_work(None);
    }

    /// Whether it has ended.
    pub fn is_done(&self) -> bool {
        self.0.once.is_done()
    }
}

/// Makes the module `oneloom._native_future`, whose stub is a page of its own.
pub fn register(python: Python<'_>) -> PyResult<()> {
    const NAME: &str = "oneloom._native_future";
    let module = PyModule::new(python, NAME)?;
    module.add_class::<Future>()?;
    module.add_class::<ends::Ends>()?;
    python.import("sys")?.getattr("modules")?.set_item(NAME, module)
}
