//! The ends of many things, as they come, for one who waits: each of them ends the wait.
//!
//! Each thing that is watched gets one more waiter, whose waker puts the thing's index among what has arrived; so whoever
//! ends it knows nothing of this, and giving up leaves nothing behind. What ends in another way is expected, and
//! [`RawEnds::arrive`] tells of it.
//!
//! In the wait graph, who waits here waits for any of those who could bring one of the ends.

use std::future::Future as _;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};

use oneloom_wait::gate::{AfterFork, Gate};
use oneloom_wait::graph::{Crew, Hold, Resource};
use oneloom_wait::owner::Owner;
use oneloom_wait::wait::{Call, Handle, Primitive, Waiting};
use oneloom_wait::waiter::{Notice, WaiterList, Wakes};

use super::event::{EventCall, RawEvent};
use super::line::{Line, Name};
use super::once::{DoneCall, RawOnce};

/// The ends of many things, each by an index.
pub struct RawEnds<H: Handle<Primitive = RawOnce>> {
    group: Arc<Group>,
    /// Apart from the group, which the wakers in here have.
    watched: Gate<Watched<H>>,
}

struct Group {
    arrivals: Gate<Arrivals>,
    /// Set when enough has arrived.
    event: RawEvent,
}

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

/// By index; nothing in the place of what has arrived and was taken.
struct Watched<H: Handle<Primitive = RawOnce>>(Vec<Option<Watch<H>>>);

/// How it is known that something has ended.
enum Watch<H: Handle<Primitive = RawOnce>> {
    /// By its end.
    End(Pin<Box<Waiting<H, DoneCall>>>),
    /// By somebody who says so.
    Expected,
}

impl<H: Handle<Primitive = RawOnce>> AfterFork for Watched<H> {
    fn after_fork(&mut self, torn: bool) {
        if torn {
            std::mem::forget(std::mem::take(&mut self.0));
        }
    }
}

impl<H: Handle<Primitive = RawOnce>> Watched<H> {
    fn put(&mut self, index: u32, watch: Watch<H>) {
        let place = index as usize;
        if place >= self.0.len() {
            self.0.resize_with(place + 1, || None);
        }
        self.0[place] = Some(watch);
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
}

impl<H: Handle<Primitive = RawOnce>> Default for RawEnds<H> {
    fn default() -> Self {
        let group = Group { arrivals: Gate::new(Arrivals::default()), event: RawEvent::new(Name::NONE) };
        Self { group: Arc::new(group), watched: Gate::new(Watched(Vec::new())) }
    }
}

impl<H: Handle<Primitive = RawOnce>> RawEnds<H> {
    /// Watches a thing; its end arrives as `index`, which nothing else has until it is taken.
    pub fn watch(&self, index: u32, thing: H) {
        let waker = Arc::new(Arrival { group: self.group.clone(), index }).into();
        let mut end = Box::pin(Waiting::new(thing, DoneCall::default()));
        match end.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(()) => self.arrive(index),
            Poll::Pending => self.watched.enter().put(index, Watch::End(end)),
        }
    }

    /// Says that something will end of which [`arrive`](Self::arrive) is going to tell.
    pub fn expect(&self, index: u32) {
        self.watched.enter().put(index, Watch::Expected);
    }

    /// Says that something has ended.
    pub fn arrive(&self, index: u32) {
        self.group.arrive(index);
    }

    /// Says how many ends are waited for that were not taken yet, from now on. True if they are there.
    pub fn want(&self, count: usize) -> bool {
        let mut arrivals = self.group.arrivals.enter();
        arrivals.wanted = count;
        let is_enough = arrivals.indexes.len() >= count;
        if !is_enough {
            self.group.event.clear();
        }
        is_enough
    }

    /// Takes what has arrived, in its order. What was watched is dropped.
    pub fn take(&self) -> Vec<u32> {
        let taken = std::mem::take(&mut self.group.arrivals.enter().indexes);
        let mut watched = self.watched.enter();
        let ended: Vec<_> =
            taken.iter().map(|index| watched.0.get_mut(*index as usize).and_then(Option::take)).collect();
        drop(watched);
        drop(ended);
        taken
    }

    /// Watches nothing any more.
    pub fn close(&self) {
        let watched = std::mem::take(&mut self.watched.enter().0);
        drop(watched);
    }

    /// Shows what is watched. `show` may only look.
    ///
    /// # Errors
    /// The first of `show`, which ends it.
    pub fn visit<E>(&self, mut show: impl FnMut(&H) -> Result<(), E>) -> Result<(), E> {
        self.watched.enter().0.iter().flatten().try_for_each(|watch| match watch {
            Watch::End(end) => show(end.handle()),
            Watch::Expected => Ok(()),
        })
    }
}

impl<H: Handle<Primitive = RawOnce> + Send> Resource for RawEnds<H> {
    fn kind(&self) -> &'static str {
        "ends"
    }

    fn helpers(&self, show: &mut dyn FnMut(Owner) -> ControlFlow<()>) -> bool {
        let watched = self.watched.enter();
        let mut is_watched = false;
        let mut shown: Option<&Crew> = None;
        // From the last, because by its end most have ended.
        let ended = watched.0.iter().rev().flatten().try_for_each(|watch| {
            is_watched = true;
            let Watch::End(end) = watch else { return show(Owner::NOBODY) };
            let once = end.handle().primitive();
            match (once.hold(), once.crew()) {
                (Some(Hold { owner, certain: true }), _) => show(owner),
                (None, Some(crew)) if shown.is_some_and(|shown| std::ptr::eq(shown, crew)) => {
                    ControlFlow::Continue(())
                }
                (None, Some(crew)) => {
                    shown = Some(crew);
                    crew.show(show)
                }
                _ => show(Owner::NOBODY),
            }
        });
        // Where nothing is watched, nobody can say what will come.
        if !is_watched && ended.is_continue() {
            let _ = show(Owner::NOBODY);
        }
        true
    }
}

impl<H: Handle<Primitive = RawOnce> + Send> Primitive for RawEnds<H> {
    type State = Line;

    fn gate(&self) -> &Gate<Line> {
        self.group.event.gate()
    }
}

/// Waiting until as many have arrived as were [wanted](RawEnds::want) last.
pub struct ArrivedCall<H>(EventCall, std::marker::PhantomData<fn(H)>);

impl<H> Default for ArrivedCall<H> {
    fn default() -> Self {
        Self(EventCall, std::marker::PhantomData)
    }
}

impl<H: Handle<Primitive = RawOnce> + Send> Call for ArrivedCall<H> {
    type Primitive = RawEnds<H>;
    type Output = ();

    fn line<'s>(&self, state: &'s mut Line) -> &'s mut WaiterList {
        self.0.line(state)
    }

    fn looks_ready(&self, ends: &RawEnds<H>) -> bool {
        self.0.looks_ready(&ends.group.event)
    }

    fn attempt(&mut self, ends: &RawEnds<H>) -> Option<()> {
        self.0.attempt(&ends.group.event)
    }

    fn attempt_or_enlist(&mut self, ends: &RawEnds<H>, line: &mut Line, wakes: &mut Wakes) -> Option<()> {
        self.0.attempt_or_enlist(&ends.group.event, line, wakes)
    }

    fn granted(&mut self, ends: &RawEnds<H>, token: u32) -> Option<()> {
        self.0.granted(&ends.group.event, token)
    }

    fn withdraw(&mut self, ends: &RawEnds<H>, line: &mut Line, notice: Notice, wakes: &mut Wakes) {
        self.0.withdraw(&ends.group.event, line, notice, wakes);
    }
}
