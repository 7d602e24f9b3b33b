//! The event as a state machine: one bit says whether it is set, a line keeps those who wait for it.
//!
//! The word, bit by bit:
//!
//! | bits | name | set by | cleared by |
//! |---|---|---|---|
//! | 0 | `PARKED` | a waiter that joins the line, inside the gate | whoever empties the line, inside the gate |
//! | 1 | `SET` | [`RawEvent::set`] | [`RawEvent::clear`] |
//!
//! Whoever waits when the event is set has waited enough, even if it is cleared again before they run: setting
//! hands over to the whole line. Setting releases; waiting, clearing and looking acquire. So a consumer that
//! clears the event and then looks for work sees the work of every setting it has wiped out.

use oneloom_wait::atomic::{AtomicU32, Ordering};
use oneloom_wait::const_unless_modelled;
use oneloom_wait::gate::Gate;
use oneloom_wait::graph::Resource;
use oneloom_wait::wait::{Call, Primitive};
use oneloom_wait::waiter::{Notice, WaiterList, Wakes};

use super::line::{Counters, Line, Name};

const PARKED: u32 = 1;
const SET: u32 = 1 << 1;

/// A flag that can be waited for.
pub struct RawEvent {
    state: AtomicU32,
    line: Gate<Line>,
    name: Name,
}

#[cfg(not(any(loom, shuttle)))]
const _: () = assert!(size_of::<RawEvent>() <= 64);

impl Default for RawEvent {
    fn default() -> Self {
        Self::new(Name::NONE)
    }
}

impl RawEvent {
    const_unless_modelled! {
        /// An event that is not set.
        pub fn new(name: Name) -> Self {
            Self { state: AtomicU32::new(0), line: Gate::new(Line::new()), name }
        }
    }

    /// Sets it, and lets everybody who waits go on.
    #[inline]
    pub fn set(&self) {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & PARKED == 0 {
            // Also where it is set already: those who wait later shall see what this caller did before.
            match self.state.compare_exchange_weak(state, SET, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => state = now,
            }
        }
        self.set_and_wake();
    }

    #[cold]
    fn set_and_wake(&self) {
        let mut wakes = Wakes::new();
        let mut line = self.line.enter();
        // In here nobody joins the line, so that exactly those get it who waited before it was set.
        self.state.swap(SET, Ordering::Release);
        while line.grant_first(0, &mut wakes) {}
    }

    /// Makes those wait who come from now on.
    pub fn clear(&self) {
        self.state.fetch_and(!SET, Ordering::AcqRel);
    }

    /// Whether it is set.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.state.load(Ordering::Acquire) & SET != 0
    }

    /// The name it was given.
    pub fn given_name(&self) -> Option<&str> {
        self.name.get()
    }

    /// How many wait now, and what happened on the slow path.
    pub fn statistics(&self) -> (usize, Counters) {
        let line = self.line.enter();
        (line.waiters.len(), line.waiters.counters)
    }
}

impl Resource for RawEvent {
    fn kind(&self) -> &'static str {
        "Event"
    }

    fn name(&self) -> Option<&str> {
        self.name.get()
    }
}

impl Primitive for RawEvent {
    type State = Line;

    fn gate(&self) -> &Gate<Line> {
        &self.line
    }
}

/// Waiting for a [`RawEvent`] to be set.
#[derive(Default)]
pub struct EventCall;

impl Call for EventCall {
    type Primitive = RawEvent;
    type Output = ();

    fn line<'s>(&self, state: &'s mut Line) -> &'s mut WaiterList {
        &mut state.waiters
    }

    fn looks_ready(&self, event: &RawEvent) -> bool {
        event.is_set()
    }

    #[inline]
    fn attempt(&mut self, event: &RawEvent) -> Option<()> {
        event.is_set().then_some(())
    }

    fn attempt_or_enlist(&mut self, event: &RawEvent, line: &mut Line, _wakes: &mut Wakes) -> Option<()> {
        let mut state = event.state.load(Ordering::Acquire);
        while state & SET == 0 {
            match event.state.compare_exchange_weak(
                state,
                state | PARKED,
                Ordering::Relaxed,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    line.count_wait();
                    return None;
                }
                Err(now) => state = now,
            }
        }
        Some(())
    }

    fn granted(&mut self, _event: &RawEvent, _token: u32) -> Option<()> {
        Some(())
    }

    fn withdraw(&mut self, event: &RawEvent, line: &mut Line, _notice: Notice, _wakes: &mut Wakes) {
        line.count_withdrawal();
        if line.waiters.is_empty() {
            event.state.fetch_and(!PARKED, Ordering::Relaxed);
        }
    }
}
