//! The semaphore as a state machine: one word counts the permits, a line keeps those who wait for one.
//!
//! The word, bit by bit:
//!
//! | bits | name | set by | cleared by |
//! |---|---|---|---|
//! | 0 | `PARKED` | a waiter that joins the line, inside the gate | whoever empties the line, inside the gate |
//! | 1.. | the permits | a release | an acquisition |
//!
//! Acquiring is one compare-and-swap while there are permits, releasing another while nobody waits. A release
//! with somebody in line puts its permits into the word and offers one each to the first; a running thread
//! may be faster. Who has been overtaken for a millisecond is handed a permit instead, which never shows in
//! the word. Nobody joins the line while there are permits, and while anybody is in it, at least as many who
//! were woken are on their way as there are permits: that is why a woken waiter that gives up must wake
//! another. Releasing releases and acquiring acquires.

use oneloom_wait::atomic::{AtomicU64, Ordering};
use oneloom_wait::const_unless_modelled;
use oneloom_wait::gate::Gate;
use oneloom_wait::graph::Resource;
use oneloom_wait::wait::{Call, Primitive};
use oneloom_wait::waiter::{Notice, WaiterList, Wakes};

use super::line::{Counters, Line, Name};

const PARKED: u64 = 1;
const PERMIT_SHIFT: u32 = 1;
const PERMIT: u64 = 1 << PERMIT_SHIFT;

/// A semaphore.
pub struct RawSemaphore {
    state: AtomicU64,
    line: Gate<Line>,
    name: Name,
    /// The most permits it may have.
    bound: u64,
}

#[cfg(not(any(loom, shuttle)))]
const _: () = assert!(size_of::<RawSemaphore>() <= 64);

/// A release would have made more permits than the semaphore may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverRelease;

impl RawSemaphore {
    /// The most permits that the word can count.
    pub const MAXIMUM: u64 = u64::MAX >> PERMIT_SHIFT;

    const_unless_modelled! {
        /// A semaphore with `permits`, and never more than `bound` of them. Both stop at [`Self::MAXIMUM`].
        pub fn new(permits: u64, bound: Option<u64>, name: Name) -> Self {
            let bound = match bound {
                Some(bound) if bound < Self::MAXIMUM => bound,
                _ => Self::MAXIMUM,
            };
            let permits = if permits < bound { permits } else { bound };
            Self { state: AtomicU64::new(permits << PERMIT_SHIFT), line: Gate::new(Line::new()), name, bound }
        }
    }

    /// Takes a permit if there is one.
    #[inline]
    pub fn try_acquire(&self) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state >= PERMIT {
            match self.state.compare_exchange_weak(
                state,
                state - PERMIT,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Gives `permits` back, or adds them.
    ///
    /// # Errors
    /// If there would be more than may be; nothing has changed then.
    #[inline]
    pub fn release(&self, permits: u64) -> Result<(), OverRelease> {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & PARKED == 0 {
            let next = self.total(state, permits)? << PERMIT_SHIFT;
            match self.state.compare_exchange_weak(state, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => state = now,
            }
        }
        self.release_to_line(permits)
    }

    /// How many permits there are once `permits` were added to those of `state`.
    #[inline]
    fn total(&self, state: u64, permits: u64) -> Result<u64, OverRelease> {
        let total = (state >> PERMIT_SHIFT).checked_add(permits).ok_or(OverRelease)?;
        if total > self.bound { Err(OverRelease) } else { Ok(total) }
    }

    #[cold]
    fn release_to_line(&self, permits: u64) -> Result<(), OverRelease> {
        let mut wakes = Wakes::new();
        let mut line = self.line.enter();
        self.add(permits, &mut line, &mut wakes)
    }

    /// Adds permits inside the gate: hands them to the starving, offers the rest.
    fn add(&self, permits: u64, line: &mut Line, wakes: &mut Wakes) -> Result<(), OverRelease> {
        let reach = usize::try_from(permits).unwrap_or(usize::MAX);
        let handed = line.waiters.iter().take(reach).take_while(|first| first.starving).count();
        let remain = if line.waiters.iter().nth(reach).is_some() { PARKED } else { 0 };
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let total = self.total(state, permits)? - handed as u64;
            let next = total << PERMIT_SHIFT | remain;
            match self.state.compare_exchange_weak(state, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        for place in 0..reach {
            let told =
                if place < handed { line.grant_first(0, wakes) } else { line.waiters.wake_first(wakes) };
            if !told {
                break;
            }
        }
        Ok(())
    }

    /// How many permits there are now.
    #[inline]
    pub fn value(&self) -> u64 {
        self.state.load(Ordering::Relaxed) >> PERMIT_SHIFT
    }

    /// How many there may be at most, if that was said.
    pub fn bound(&self) -> Option<u64> {
        (self.bound != Self::MAXIMUM).then_some(self.bound)
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

impl Resource for RawSemaphore {
    fn kind(&self) -> &'static str {
        if self.bound().is_some() { "BoundedSemaphore" } else { "Semaphore" }
    }

    fn name(&self) -> Option<&str> {
        self.name.get()
    }
}

impl Primitive for RawSemaphore {
    type State = Line;

    fn gate(&self) -> &Gate<Line> {
        &self.line
    }
}

/// Waiting for a permit of a [`RawSemaphore`].
#[derive(Default)]
pub struct AcquireCall;

impl Call for AcquireCall {
    type Primitive = RawSemaphore;
    type Output = ();

    fn line<'s>(&self, state: &'s mut Line) -> &'s mut WaiterList {
        &mut state.waiters
    }

    fn looks_ready(&self, semaphore: &RawSemaphore) -> bool {
        semaphore.value() > 0
    }

    #[inline]
    fn attempt(&mut self, semaphore: &RawSemaphore) -> Option<()> {
        semaphore.try_acquire().then_some(())
    }

    fn attempt_or_enlist(
        &mut self,
        semaphore: &RawSemaphore,
        line: &mut Line,
        _wakes: &mut Wakes,
    ) -> Option<()> {
        let mut state = semaphore.state.load(Ordering::Relaxed);
        loop {
            let free = state >= PERMIT;
            let next = if free { state - PERMIT } else { state | PARKED };
            match semaphore.state.compare_exchange_weak(state, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) if free => return Some(()),
                Ok(_) => {
                    line.count_wait();
                    return None;
                }
                Err(now) => state = now,
            }
        }
    }

    fn granted(&mut self, _semaphore: &RawSemaphore, _token: u32) -> Option<()> {
        Some(())
    }

    fn withdraw(&mut self, semaphore: &RawSemaphore, line: &mut Line, notice: Notice, wakes: &mut Wakes) {
        line.count_withdrawal();
        if let Notice::Granted(_) = notice {
            // Somebody may have released without ever acquiring, so that the permit does not fit any more.
            let _ = semaphore.add(1, line, wakes);
        } else if notice == Notice::Woken && semaphore.value() > 0 {
            line.waiters.wake_first(wakes);
        }
        if line.waiters.is_empty() {
            semaphore.state.fetch_and(!PARKED, Ordering::Relaxed);
        }
    }
}
