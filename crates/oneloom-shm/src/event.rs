//! A flag that processes share and wait for.
//!
//! The state counts how often the flag was raised, above one bit that says whether it is up: so whoever waited when it was
//! raised goes on, even if it was lowered at once.

use oneloom_wait::atomic::{AtomicU64, Ordering};

use crate::arena::{Block, Kind};
use crate::error::Error;
use crate::event_count::EventCount;
use crate::handle::{Object, Shared};
use crate::member::Tag;
use crate::monitor;
use crate::segment::{Plain, Segment};
use crate::step::{self, Step};
use crate::wait::Call;

const UP: u64 = 1;
const RAISE: u64 = 2;

/// What stands in the segment.
#[repr(C, align(64))]
pub struct Content {
    /// How often it was raised, and [`UP`].
    state: AtomicU64,
    waiters: EventCount,
}

// SAFETY: integers that are atomic, in a fixed layout.
unsafe impl Plain for Content {}

// SAFETY: an event's block holds `Content` alone, and zeros are one that was never raised.
unsafe impl Shared for Content {
    const KIND: Kind = Kind::Event;

    fn dismantle(_block: Block, _me: Tag) -> Result<(), Error> {
        Ok(())
    }
}

/// A flag in a segment.
pub struct Event {
    object: Object<Content>,
}

impl AsRef<Self> for Event {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Event {
    /// A new one, lowered.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(segment: &'static Segment) -> Result<Self, Error> {
        Ok(Self { object: Object::create(segment)? })
    }

    /// The event that an object is.
    pub fn from_object(object: Object<Content>) -> Self {
        Self { object }
    }

    /// The object that it is.
    pub fn object(&self) -> &Object<Content> {
        &self.object
    }

    fn state(&self) -> u64 {
        self.object.content().state.load(Ordering::SeqCst)
    }

    /// How many wait for it: threads of all processes that sleep, and tasks of this one.
    #[cfg(not(shuttle))]
    pub fn waiting(&self) -> usize {
        monitor::waiting(&self.object.content().waiters)
    }

    /// Whether the flag is up.
    pub fn is_set(&self) -> bool {
        self.state() & UP != 0
    }

    /// Raises the flag; everybody who waits goes on. Raising it again changes nothing.
    ///
    /// # Errors
    /// If this process can't join the family.
    pub fn set(&self) -> Result<(), Error> {
        let (content, segment) = (self.object.content(), self.object.segment());
        // Whoever changes something is watched by those who wait for it.
        segment.me()?;
        let raised = |state: u64| (state & UP == 0).then(|| (state | UP).wrapping_add(RAISE));
        if content.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, raised).is_ok() {
            step::at(Step::FlagRaised);
            content.waiters.notify(u32::MAX, |mask| monitor::ring(segment, &content.waiters, mask));
            step::at(Step::FlagTold);
        }
        Ok(())
    }

    /// Lowers the flag.
    pub fn clear(&self) {
        self.object.content().state.fetch_and(!UP, Ordering::SeqCst);
    }
}

/// Waiting for a flag, from the making of this call on.
pub struct EventCall<E> {
    event: E,
    /// How often it had been raised by then.
    raised: u64,
}

impl<E: AsRef<Event>> EventCall<E> {
    /// Waits for `event`.
    pub fn new(event: E) -> Self {
        Self { raised: event.as_ref().state() / RAISE, event }
    }
}

impl<E: AsRef<Event>> Call for EventCall<E> {
    type Output = ();

    fn segment(&self) -> &'static Segment {
        self.event.as_ref().object.segment()
    }

    fn event(&self) -> &'static EventCount {
        &self.event.as_ref().object.content().waiters
    }

    fn looks_ready(&self) -> bool {
        let state = self.event.as_ref().state();
        state & UP != 0 || state / RAISE != self.raised
    }

    fn attempt(&mut self, _me: Tag, _thorough: bool) -> Result<Option<()>, Error> {
        Ok(self.looks_ready().then_some(()))
    }
}

#[cfg(test)]
pub(crate) fn rows() -> (usize, Vec<String>) {
    crate::layout::rows!(Content { state, waiters })
}
