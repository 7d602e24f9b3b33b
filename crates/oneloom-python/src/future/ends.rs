//! `Ends`: the ends of many futures and threads, as they come, for one thread or coroutine that waits for them.
//!
//! Each thing that is watched gets one more waiter, whose waker puts the thing's index into the group; so whoever ends it
//! needs no interpreter, and giving up leaves nothing behind. Things of another kind are told by `arrive`.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake};

use oneloom_sync::raw::once::DoneCall;
use oneloom_sync::raw::{EventCall, Name, RawEvent, RawOnce};
use oneloom_wait::gate::{AfterFork, Gate};
use oneloom_wait::wait::{Handle, Waiting as CallFuture};
use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::class::Future;
use crate::arguments::{Timeout, lenient_deadline};
use crate::completion::Completion;
use crate::environment::{notifying, wait};
use crate::port;
use crate::waiting::{Held, Holds, Waiting};

/// What has arrived, and how much of it is waited for.
#[derive(Default)]
struct Arrivals {
    indexes: Vec<u32>,
    wanted: usize,
}

impl AfterFork for Arrivals {
    fn after_fork(&mut self, torn: bool) {
        if torn {
            std::mem::forget(std::mem::take(&mut self.indexes));
        }
    }
}

struct Group {
    arrivals: Gate<Arrivals>,
    /// Set when enough has arrived.
    event: RawEvent,
}

impl Group {
    fn arrive(&self, index: u32) {
        let is_enough = {
            let mut arrivals = self.arrivals.enter();
            arrivals.indexes.push(index);
            arrivals.indexes.len() >= arrivals.wanted
        };
        if is_enough {
            self.event.set();
        }
    }

    /// Says how much is waited for. True if that is there.
    fn want(&self, count: usize) -> bool {
        let mut arrivals = self.arrivals.enter();
        arrivals.wanted = count;
        let is_enough = arrivals.indexes.len() >= count;
        if !is_enough {
            self.event.clear();
        }
        is_enough
    }
}

/// Wakes the group.
struct Arrival {
    group: Arc<Group>,
    index: u32,
}

impl Wake for Arrival {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.group.arrive(self.index);
    }
}

/// What has an end.
enum Thing {
    Future(Held<Future>),
    Thread(Held<Completion>),
}

// SAFETY: as for `Held`, one of which it is.
unsafe impl Handle for Thing {
    type Primitive = RawOnce;

    fn primitive(&self) -> &RawOnce {
        match self {
            Self::Future(future) => future.primitive(),
            Self::Thread(completion) => completion.primitive(),
        }
    }
}

type Watch = Pin<Box<CallFuture<Thing, DoneCall>>>;

/// The ends of many things, by index, as they come. One waits for them.
#[pyclass(frozen, module = "oneloom._native_future")]
pub struct Ends {
    group: Arc<Group>,
    /// By index. Locked while attached only, and not while Python code runs.
    watches: Mutex<Vec<Option<Watch>>>,
}

impl Holds for Ends {
    type Primitive = RawEvent;

    fn raw(&self) -> &RawEvent {
        &self.group.event
    }
}

impl Ends {
    fn watches(&self) -> std::sync::MutexGuard<'_, Vec<Option<Watch>>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Ends {
    #[new]
    fn new() -> Self {
        let group = Group { arrivals: Gate::new(Arrivals::default()), event: RawEvent::new(Name::NONE) };
        Self { group: Arc::new(group), watches: Mutex::default() }
    }

    /// Watches a future, or a thread's completion; its end arrives as `index`.
    fn watch(&self, index: u32, thing: &Bound<'_, PyAny>) -> PyResult<()> {
        let thing = if let Ok(future) = thing.cast::<Future>() {
            future.get().inner().require_pool()?;
            Thing::Future(Held(future.clone().unbind()))
        } else if let Ok(completion) = thing.cast::<Completion>() {
            Thing::Thread(Held(completion.clone().unbind()))
        } else {
            return Err(PyTypeError::new_err("only futures and completions can be watched"));
        };
        let waker = Arc::new(Arrival { group: self.group.clone(), index }).into();
        let mut watch = Box::pin(CallFuture::new(thing, DoneCall::default()));
        match watch.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(()) => self.group.arrive(index),
            Poll::Pending => {
                let place = index as usize;
                let mut watches = self.watches();
                let length = watches.len().max(place + 1);
                watches.resize_with(length, || None);
                watches[place] = Some(watch);
            }
        }
        Ok(())
    }

    /// Says that something else has ended.
    fn arrive(&self, python: Python<'_>, index: u32) {
        notifying(python, || self.group.arrive(index));
    }

    /// Waits until `count` have arrived that were not taken yet; False when the time was over first.
    #[pyo3(signature = (count, timeout=None))]
    fn wait(&self, python: Python<'_>, count: usize, timeout: Timeout) -> PyResult<bool> {
        let deadline = lenient_deadline(timeout);
        // Something that had arrived before the last look may have set the event since.
        while !self.group.want(count) {
            if wait(python, &self.group.event, &mut EventCall, || Ok(deadline))?.is_none() {
                return Ok(self.group.want(count));
            }
        }
        Ok(true)
    }

    fn _wait_now(&self, python: Python<'_>, count: usize) -> PyResult<bool> {
        port::require_loop(python)?;
        Ok(self.group.want(count))
    }

    fn _wait_later(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<Waiting> {
        Waiting::yes_or_no(slf.py(), Held(slf.clone().unbind()), EventCall, timeout, |()| true)
    }

    /// Takes what has arrived, in its order.
    fn take(&self) -> Vec<u32> {
        let taken = std::mem::take(&mut self.group.arrivals.enter().indexes);
        let ended: Vec<Option<Watch>> = {
            let mut watches = self.watches();
            taken.iter().map(|index| watches.get_mut(*index as usize).and_then(Option::take)).collect()
        };
        drop(ended);
        taken
    }

    /// Watches nothing any more.
    fn close(&self) {
        let watches = std::mem::take(&mut *self.watches());
        drop(watches);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Nobody runs Python code in there, so nobody is in there now.
        let Ok(watches) = self.watches.try_lock() else { return Ok(()) };
        watches.iter().flatten().try_for_each(|watch| match watch.handle() {
            Thing::Future(future) => visit.call(&future.0),
            Thing::Thread(completion) => visit.call(&completion.0),
        })
    }

    fn __clear__(&self) {
        self.close();
    }
}
