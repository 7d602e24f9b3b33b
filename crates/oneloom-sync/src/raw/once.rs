//! Something that happens once and can be waited for: an event that is never cleared, and who will set it.
//!
//! Knowing who will finish makes the wait an edge of the wait graph: two threads that join each other are told.
//! While nobody has begun it, the way out may be any of a crew that works for everybody.
//!
//! A cell with a value keeps it beside this: whoever is the first to [`RawOnce::begin`] writes it and then
//! finishes; whoever is the first to [`RawOnce::take`] may move it out. Finishing releases and waiting acquires.

use std::ops::ControlFlow;
use std::sync::Arc;

use oneloom_wait::atomic::{AtomicU32, AtomicU64, Ordering};
use oneloom_wait::const_unless_modelled;
use oneloom_wait::gate::Gate;
use oneloom_wait::graph::{Crew, Hold, Resource};
use oneloom_wait::owner::Owner;
use oneloom_wait::wait::{Call, Primitive};
use oneloom_wait::waiter::{Notice, WaiterList, Wakes};

use super::event::{EventCall, RawEvent};
use super::line::{Counters, Line, Name};

/// Somebody has begun to finish it.
const BEGUN: u32 = 1;
/// Somebody has taken what it brought.
const TAKEN: u32 = 1 << 1;
/// One of the crew works at it.
const AT_WORK: u32 = 1 << 2;

/// The end of something, to wait for.
pub struct RawOnce {
    event: RawEvent,
    claims: AtomicU32,
    owner: AtomicU64,
    crew: Option<Arc<Crew>>,
    kind: &'static str,
}

impl RawOnce {
    const_unless_modelled! {
        /// Not finished. `kind` is what a report calls it: `"Thread"`.
        pub fn new(name: Name, kind: &'static str) -> Self {
            Self {
                event: RawEvent::new(name),
                claims: AtomicU32::new(0),
                owner: AtomicU64::new(Owner::NOBODY.to_bits()),
                crew: None,
                kind,
            }
        }
    }

    /// The same for what one of `crew` will begin, and nobody else.
    #[must_use]
    pub fn by_crew(self, crew: Option<Arc<Crew>>) -> Self {
        Self { crew, ..self }
    }

    /// One of the crew works at it from now on. `by`: it, where nobody else can finish it.
    pub fn set_at_work(&self, by: Option<Owner>) {
        // In this order, and looked at in the other: no moment in which it seems to lie there.
        self.set_owner(by.unwrap_or(Owner::NOBODY));
        self.claims.fetch_or(AT_WORK, Ordering::Release);
    }

    /// Nobody works at it any more, and the crew may begin anew.
    pub fn set_aside(&self) {
        self.set_owner(Owner::NOBODY);
        self.claims.fetch_and(!AT_WORK, Ordering::Release);
    }

    /// Says who will finish it, and that nobody else can. [`Owner::NOBODY`] takes that back.
    ///
    /// Whoever is named must finish it before it ends: those who wait for one that has ended are told so.
    pub fn set_owner(&self, owner: Owner) {
        self.owner.store(owner.to_bits(), Ordering::Relaxed);
    }

    /// Who will finish it, if that was said.
    pub fn owner(&self) -> Option<Owner> {
        Some(Owner::from_bits(self.owner.load(Ordering::Relaxed))).filter(|owner| owner.is_somebody())
    }

    /// Claims the right to finish it. True once.
    pub fn begin(&self) -> bool {
        self.claims.fetch_or(BEGUN, Ordering::Relaxed) & BEGUN == 0
    }

    /// Finishes it, and lets everybody who waits go on. Finishing again changes nothing.
    pub fn finish(&self) {
        self.claims.fetch_or(BEGUN, Ordering::Relaxed);
        self.event.set();
    }

    /// Claims what it brought, once it is finished. True once.
    pub fn take(&self) -> bool {
        self.is_done() && self.claims.fetch_or(TAKEN, Ordering::Relaxed) & TAKEN == 0
    }

    /// Whether what it brought was claimed.
    pub fn is_taken(&self) -> bool {
        self.claims.load(Ordering::Relaxed) & TAKEN != 0
    }

    /// One of whom will begin it, if that was said, while none has.
    pub fn crew(&self) -> Option<&Crew> {
        let lies_there = self.claims.load(Ordering::Acquire) & (AT_WORK | BEGUN) == 0;
        self.crew.as_deref().filter(|_| lies_there)
    }

    /// Whether it is finished.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.event.is_set()
    }

    /// The name it was given.
    pub fn given_name(&self) -> Option<&str> {
        self.event.given_name()
    }

    /// How many wait now, and what happened on the slow path.
    pub fn statistics(&self) -> (usize, Counters) {
        self.event.statistics()
    }
}

impl Resource for RawOnce {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn name(&self) -> Option<&str> {
        self.event.given_name()
    }

    fn hold(&self) -> Option<Hold> {
        if self.is_done() {
            return None;
        }
        self.owner().map(|owner| Hold { owner, certain: true })
    }

    fn helpers(&self, show: &mut dyn FnMut(Owner) -> ControlFlow<()>) -> bool {
        self.crew().map(|crew| crew.show(show)).is_some()
    }
}

impl Primitive for RawOnce {
    type State = Line;

    fn gate(&self) -> &Gate<Line> {
        self.event.gate()
    }
}

/// Waiting for a [`RawOnce`] to be finished.
#[derive(Default)]
pub struct DoneCall(EventCall);

impl Call for DoneCall {
    type Primitive = RawOnce;
    type Output = ();

    fn line<'s>(&self, state: &'s mut Line) -> &'s mut WaiterList {
        self.0.line(state)
    }

    fn looks_ready(&self, once: &RawOnce) -> bool {
        self.0.looks_ready(&once.event)
    }

    #[inline]
    fn attempt(&mut self, once: &RawOnce) -> Option<()> {
        self.0.attempt(&once.event)
    }

    fn attempt_or_enlist(&mut self, once: &RawOnce, line: &mut Line, wakes: &mut Wakes) -> Option<()> {
        self.0.attempt_or_enlist(&once.event, line, wakes)
    }

    fn granted(&mut self, once: &RawOnce, token: u32) -> Option<()> {
        self.0.granted(&once.event, token)
    }

    fn withdraw(&mut self, once: &RawOnce, line: &mut Line, notice: Notice, wakes: &mut Wakes) {
        self.0.withdraw(&once.event, line, notice, wakes);
    }
}
