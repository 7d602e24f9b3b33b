//! The barrier as a state machine: parties arrive until there are enough, and then all go on at once.
//!
//! ```text
//!             last party arrives            released
//!   Filling ---------------------> Acting -----------> Filling, next round
//!      |                             |
//!      | abort, a party leaves       | abort, or a party leaves
//!      v                             v
//!   Broken ------------------------------- reset -----> Filling, next round
//! ```
//!
//! The last party may have something to do before the others go on: it is told so, acts outside the gate, and
//! then calls [`RawBarrier::release`]. Who arrives meanwhile waits at the entrance for the next round. Each
//! party learns its outcome from its own waiter, so nobody has to wait until the others have left.
//!
//! What a party did before it arrived happens before what any party does after it went on.

use oneloom_wait::gate::{AfterFork, Gate};
use oneloom_wait::graph::Resource;
use oneloom_wait::wait::{Call, Primitive};
use oneloom_wait::waiter::{Notice, WaiterList, Wakes};

use super::line::{Counters, Line, Name};

/// The word for a party whose round was broken; every other word is the party's index.
const BROKEN: u32 = u32::MAX - 4;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Parties arrive.
    Filling,
    /// The last has arrived, and the others wait for what it has to do.
    Acting,
    /// Nobody passes until it is reset.
    Broken,
}

/// What stands behind a barrier's gate.
pub struct BarrierState {
    /// Those who have arrived in this round.
    arrived: Line,
    /// Those who came while the last party was acting.
    entrance: Line,
    /// How many have arrived and not left. Its own number, because counting the line would walk it.
    count: u32,
    round: u64,
    phase: Phase,
    /// A party has left before its round began: that round is broken from the start.
    next_is_broken: bool,
}

impl AfterFork for BarrierState {
    fn after_fork(&mut self, _torn: bool) {
        self.arrived.waiters.forget();
        self.entrance.waiters.forget();
        self.next_is_broken = false;
        self.count = 0;
        self.round = self.round.wrapping_add(1);
        if self.phase == Phase::Acting {
            self.phase = Phase::Filling;
        }
    }
}

impl BarrierState {
    /// Lets the arrived go on, each with its index.
    fn pass(&mut self, wakes: &mut Wakes) {
        let mut index = 0;
        while self.arrived.grant_first(index, wakes) {
            index += 1;
        }
        let next = if self.next_is_broken { Phase::Broken } else { Phase::Filling };
        self.begin(next, wakes);
    }

    /// Turns the arrived away.
    fn turn_away(&mut self, next: Phase, wakes: &mut Wakes) {
        while self.arrived.grant_first(BROKEN, wakes) {}
        self.begin(next, wakes);
    }

    fn begin(&mut self, next: Phase, wakes: &mut Wakes) {
        self.phase = next;
        self.count = 0;
        self.next_is_broken = false;
        self.round = self.round.wrapping_add(1);
        self.entrance.waiters.wake_all(wakes);
    }
}

/// A barrier.
pub struct RawBarrier {
    state: Gate<BarrierState>,
    name: Name,
    parties: u32,
}

/// The barrier was broken or reset while this party waited, or is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// How a party came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// It passed with the others. Every party of a round has another index, from 0 in the order of arrival.
    Passed {
        /// This party's.
        index: u32,
    },
    /// It was the last, and the others wait until it says [`RawBarrier::release`] or
    /// [`RawBarrier::abort_round`].
    Last {
        /// This party's index, the highest.
        index: u32,
        /// The round that it has completed.
        round: u64,
    },
}

impl RawBarrier {
    /// The most parties that a barrier can have.
    pub const MAXIMUM: u32 = BROKEN - 1;

    /// A barrier that nobody waits at, for 1 to [`Self::MAXIMUM`] parties; others are the nearest of these.
    pub fn new(parties: u32, name: Name) -> Self {
        let state = BarrierState {
            arrived: Line::new(),
            entrance: Line::new(),
            count: 0,
            round: 0,
            phase: Phase::Filling,
            next_is_broken: false,
        };
        Self { state: Gate::new(state), name, parties: parties.clamp(1, Self::MAXIMUM) }
    }

    /// Lets the others go on, once the last party has done what it had to do.
    ///
    /// # Errors
    /// If the round was broken or reset meanwhile; then the last party is turned away like the others.
    pub fn release(&self, round: u64) -> Result<(), Broken> {
        let mut wakes = Wakes::new();
        let mut state = self.state.enter();
        if state.phase != Phase::Acting || state.round != round {
            return Err(Broken);
        }
        state.pass(&mut wakes);
        Ok(())
    }

    /// Breaks the barrier because the last party of `round` could not do what it had to do. Nothing happens
    /// if that round is over already.
    pub fn abort_round(&self, round: u64) {
        let mut wakes = Wakes::new();
        let mut state = self.state.enter();
        if state.phase == Phase::Acting && state.round == round {
            state.turn_away(Phase::Broken, &mut wakes);
        }
    }

    /// Breaks the barrier: everybody who waits, and everybody who comes until it is reset, is turned away.
    pub fn abort(&self) {
        let mut wakes = Wakes::new();
        self.state.enter().turn_away(Phase::Broken, &mut wakes);
    }

    /// Begins a new round; those who wait are turned away.
    pub fn reset(&self) {
        let mut wakes = Wakes::new();
        self.state.enter().turn_away(Phase::Filling, &mut wakes);
    }

    /// How many have to arrive.
    pub fn parties(&self) -> u32 {
        self.parties
    }

    /// How many of the current round have arrived.
    pub fn waiting(&self) -> u32 {
        let state = self.state.enter();
        match state.phase {
            Phase::Filling => state.count,
            Phase::Acting => self.parties,
            Phase::Broken => 0,
        }
    }

    /// Whether it is broken.
    pub fn is_broken(&self) -> bool {
        self.state.enter().phase == Phase::Broken
    }

    /// The name it was given.
    pub fn given_name(&self) -> Option<&str> {
        self.name.get()
    }

    /// How many wait now, at the entrance too, and what happened on the slow path.
    pub fn statistics(&self) -> (usize, Counters) {
        let state = self.state.enter();
        (state.arrived.waiters.len() + state.entrance.waiters.len(), state.arrived.waiters.counters)
    }
}

impl Resource for RawBarrier {
    fn kind(&self) -> &'static str {
        "Barrier"
    }

    fn name(&self) -> Option<&str> {
        self.name.get()
    }
}

impl Primitive for RawBarrier {
    type State = BarrierState;

    fn gate(&self) -> &Gate<BarrierState> {
        &self.state
    }
}

/// Arriving at a [`RawBarrier`] and waiting for the others.
pub struct ArriveCall {
    /// Whether this party, if it is the last, has something to do before the others go on. If not, it lets
    /// them go at once.
    pub acts: bool,
    /// Whether giving up breaks the barrier. If not, the party only counts as not arrived.
    pub breaks: bool,
    /// Whether it counts as arrived, and does not wait at the entrance.
    counted: bool,
    /// Whether it has given up inside the gate.
    left: bool,
}

impl ArriveCall {
    /// A party that breaks the barrier when it gives up.
    pub fn new(acts: bool) -> Self {
        Self { acts, breaks: true, counted: false, left: false }
    }

    /// To be called when the call ended without its output: one whose time was over before it began has not
    /// been to the barrier, and leaves it now.
    pub fn leave(&mut self, barrier: &RawBarrier) {
        if !std::mem::replace(&mut self.left, true) && self.breaks {
            barrier.abort();
        }
    }

    /// What needs no waiting: the barrier is broken, or this is the last party.
    fn arrive(
        &mut self,
        barrier: &RawBarrier,
        state: &mut BarrierState,
        wakes: &mut Wakes,
    ) -> Option<Result<Arrived, Broken>> {
        let index = barrier.parties - 1;
        match state.phase {
            Phase::Broken => Some(Err(Broken)),
            Phase::Filling if state.count == index => {
                if self.acts {
                    state.phase = Phase::Acting;
                    return Some(Ok(Arrived::Last { index, round: state.round }));
                }
                state.pass(wakes);
                Some(Ok(Arrived::Passed { index }))
            }
            Phase::Filling | Phase::Acting => None,
        }
    }
}

impl Call for ArriveCall {
    type Primitive = RawBarrier;
    type Output = Result<Arrived, Broken>;
    const SPINS: bool = false;

    /// Only changes while the waiter is in neither list.
    fn line<'s>(&self, state: &'s mut BarrierState) -> &'s mut WaiterList {
        if self.counted { &mut state.arrived.waiters } else { &mut state.entrance.waiters }
    }

    fn looks_ready(&self, _barrier: &RawBarrier) -> bool {
        false
    }

    fn attempt(&mut self, barrier: &RawBarrier) -> Option<Self::Output> {
        let mut wakes = Wakes::new();
        let mut state = barrier.state.enter();
        self.arrive(barrier, &mut state, &mut wakes)
    }

    fn attempt_or_enlist(
        &mut self,
        barrier: &RawBarrier,
        state: &mut BarrierState,
        wakes: &mut Wakes,
    ) -> Option<Self::Output> {
        let output = self.arrive(barrier, state, wakes);
        if output.is_none() {
            state.arrived.count_wait();
            self.counted = state.phase == Phase::Filling;
            state.count += u32::from(self.counted);
        }
        output
    }

    fn granted(&mut self, _barrier: &RawBarrier, token: u32) -> Option<Self::Output> {
        Some(if token == BROKEN { Err(Broken) } else { Ok(Arrived::Passed { index: token }) })
    }

    fn withdraw(
        &mut self,
        _barrier: &RawBarrier,
        state: &mut BarrierState,
        notice: Notice,
        wakes: &mut Wakes,
    ) {
        state.arrived.count_withdrawal();
        self.left = true;
        if matches!(notice, Notice::Granted(_)) {
            return;
        }
        if !self.breaks {
            state.count = state.count.saturating_sub(u32::from(self.counted));
            return;
        }
        match state.phase {
            // At the entrance: the round under way has all its parties.
            Phase::Acting if !self.counted => state.next_is_broken = true,
            Phase::Filling | Phase::Acting => state.turn_away(Phase::Broken, wakes),
            Phase::Broken => {}
        }
    }
}
