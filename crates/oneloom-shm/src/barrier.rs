//! A meeting point for parties of several processes.
//!
//! ```text
//!             last party arrives            released
//!   Filling ---------------------> Acting -----------> Filling, next round
//!      |                             |
//!      | abort, or a party           | abort, or a party
//!      v leaves or dies              v leaves or dies
//!   Broken ------------------------------- reset -----> Filling, next round
//! ```
//!
//! Each party has a seat with the tag of its process: that is its index, and how its death is noticed. The phase and the
//! round are one word, so a round ends in one store; the seats are cleared after it, and are of no round before. Who comes
//! while the last party is acting waits for the next round. A round that was turned away is remembered for those who
//! wake up late.
//!
//! | it died after | it left | repair |
//! |---|---|---|
//! | taking a seat | a party that will never go on | whoever waits breaks the barrier |
//! | being the last, before it let the others go on | the same | the same |
//! | noting that a round is turned away | a note of a round that is not over | whoever inherits the latch takes it away |
//! | ending a round, inside the latch | seats that are of the old round | whoever inherits the latch clears them |
//! | ending a round, before waking | sleepers | the death wakes everybody, who looks at the round |

use oneloom_wait::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::arena::{Block, HEADER, Kind};
use crate::error::Error;
use crate::event_count::EventCount;
use crate::handle::{Object, Shared};
use crate::latch::{Entry, Inside, Latch};
use crate::member::Tag;
use crate::monitor;
use crate::segment::{Plain, Segment};
use crate::step::{self, Step};
use crate::wait::Call;

/// The most parties that a barrier can have.
pub const MAXIMUM: u32 = 1 << 20;
/// How many rounds that were turned away are remembered.
const REMEMBERED: usize = 16;

/// What stands in the segment. The seats follow: 4 bytes for each party, 0 or the tag of its process.
#[repr(C, align(64))]
pub struct Content {
    latch: Latch,
    /// How many have to arrive.
    parties: AtomicU32,
    /// The phase in the lower two bits, the round above. Written inside the latch.
    state: AtomicU64,
    /// The round that the seats are of. Inside the latch.
    seated: AtomicU64,
    /// How many seats are taken. Written inside the latch.
    count: AtomicU32,
    /// How many rounds were turned away. Inside the latch.
    breaks: AtomicU32,
    event: EventCount,
    /// Which those were, plus one each, the latest of each number modulo how many are remembered.
    turned_away: [AtomicU64; REMEMBERED],
}

// SAFETY: integers that are atomic, in a fixed layout.
unsafe impl Plain for Content {}

// SAFETY: the block holds `Content` and seats, and zeros are a barrier without parties, which `Barrier::new` gives it.
unsafe impl Shared for Content {
    const KIND: Kind = Kind::Barrier;

    fn dismantle(_block: Block, _me: Tag) -> Result<(), Error> {
        Ok(())
    }
}

/// Where a party is.
#[repr(transparent)]
struct Seat(AtomicU32);

// SAFETY: an integer that is atomic.
unsafe impl Plain for Seat {}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Filling,
    Acting,
    Broken,
    /// Acting, and who came for the next round has left: that will be broken.
    Doomed,
}

impl Phase {
    fn acts(self) -> bool {
        matches!(self, Self::Acting | Self::Doomed)
    }
}

fn state(phase: Phase, round: u64) -> u64 {
    round << 2 | phase as u64
}

fn phase_of(state: u64) -> Phase {
    match state & 3 {
        0 => Phase::Filling,
        1 => Phase::Acting,
        2 => Phase::Broken,
        _ => Phase::Doomed,
    }
}

fn round_of(state: u64) -> u64 {
    state >> 2
}

/// The barrier was broken or reset while this party waited, or is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// How a party came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// It passed with the others. Every party of a round has another index, from 0 on.
    Passed {
        /// This party's.
        index: u32,
    },
    /// It was the last, and the others wait until it says [`Barrier::release`] or [`Barrier::abort_round`].
    Last {
        /// This party's.
        index: u32,
        /// The round that it has completed.
        round: u64,
    },
}

/// A barrier in a segment.
pub struct Barrier {
    object: Object<Content>,
}

impl AsRef<Self> for Barrier {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Barrier {
    /// A barrier that nobody waits at, for 1 to [`MAXIMUM`] parties; others are the nearest of these.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(segment: &'static Segment, parties: u32) -> Result<Self, Error> {
        let parties = parties.clamp(1, MAXIMUM);
        let object = Object::<Content>::create_with(segment, u64::from(parties) * size_of::<Seat>() as u64)?;
        object.content().parties.store(parties, Ordering::Release);
        Ok(Self { object })
    }

    /// The barrier that an object is.
    pub fn from_object(object: Object<Content>) -> Self {
        Self { object }
    }

    /// The object that it is.
    pub fn object(&self) -> &Object<Content> {
        &self.object
    }

    fn segment(&self) -> &'static Segment {
        self.object.segment()
    }

    /// How many have to arrive.
    pub fn parties(&self) -> u32 {
        self.object.content().parties.load(Ordering::Relaxed).clamp(1, MAXIMUM)
    }

    fn state(&self) -> u64 {
        self.object.content().state.load(Ordering::SeqCst)
    }

    /// How many of the current round have arrived.
    pub fn waiting(&self) -> u32 {
        let (content, seen) = (self.object.content(), self.state());
        match phase_of(seen) {
            // Seats of another round are about to be cleared.
            Phase::Filling if content.seated.load(Ordering::SeqCst) != round_of(seen) => 0,
            Phase::Filling => content.count.load(Ordering::SeqCst),
            Phase::Acting | Phase::Doomed => self.parties(),
            Phase::Broken => 0,
        }
    }

    /// How many wait, for whichever round: threads of all processes that sleep, and tasks of this one.
    #[cfg(not(shuttle))]
    pub fn waiting_at_all(&self) -> usize {
        monitor::waiting(&self.object.content().event)
    }

    /// Whether it is broken.
    pub fn is_broken(&self) -> bool {
        phase_of(self.state()) == Phase::Broken
    }

    fn seat(&self, index: u32) -> Result<&'static AtomicU32, Error> {
        let first = self.object.block().reference.offset() + HEADER + size_of::<Content>() as u64;
        let seat: &'static Seat = self.segment().at(first + u64::from(index) * size_of::<Seat>() as u64)?;
        Ok(&seat.0)
    }

    fn enter(&self, me: Tag) -> Result<Inside<'static>, Error> {
        let content = self.object.content();
        let inside = content.latch.enter(self.segment(), me);
        if inside.entry == Entry::Inherited {
            // It is not over: nobody was turned away.
            let noted = round_of(self.state()) + 1;
            content
                .turned_away
                .iter()
                .filter(|turned| turned.load(Ordering::SeqCst) == noted)
                .for_each(|turned| turned.store(0, Ordering::SeqCst));
            if content.seated.load(Ordering::SeqCst) == round_of(self.state()) {
                let mut count = 0;
                for index in 0..self.parties() {
                    count += u32::from(self.seat(index)?.load(Ordering::SeqCst) != 0);
                }
                content.count.store(count, Ordering::SeqCst);
            } else {
                self.clear_seats()?;
            }
            step::at(Step::BarrierRepaired);
        }
        Ok(inside)
    }

    /// Makes the seats those of the current round, which nobody has yet. Inside the latch.
    fn clear_seats(&self) -> Result<(), Error> {
        let content = self.object.content();
        for index in 0..self.parties() {
            self.seat(index)?.store(0, Ordering::SeqCst);
        }
        content.count.store(0, Ordering::SeqCst);
        step::at(Step::SeatsCleared);
        content.seated.store(round_of(self.state()), Ordering::SeqCst);
        Ok(())
    }

    /// Ends the round; the caller tells those who waited, outside. Inside the latch.
    fn end_round(&self, passed: bool, next: Phase) -> Result<(), Error> {
        let content = self.object.content();
        let (phase, round) = (phase_of(self.state()), round_of(self.state()));
        let somebody = phase.acts() || content.count.load(Ordering::SeqCst) > 0;
        if !passed && somebody {
            // Before the round ends: whoever sees that it has, sees how.
            let breaks = content.breaks.fetch_add(1, Ordering::SeqCst) as usize;
            content.turned_away[breaks % REMEMBERED].store(round + 1, Ordering::SeqCst);
            step::at(Step::BreakNoted);
        }
        content.state.store(state(next, round + 1), Ordering::SeqCst);
        step::at(Step::RoundEnded);
        self.clear_seats()
    }

    fn tell(&self) {
        let (event, segment) = (&self.object.content().event, self.segment());
        event.notify(u32::MAX, |mask| monitor::ring(segment, event, mask));
        step::at(Step::BarrierTold);
    }

    /// Lets the others go on, once the last party has done what it had to do.
    ///
    /// # Errors
    /// If shared memory fails. Inside it, if the round was broken or reset meanwhile; then the last party is turned away
    /// like the others.
    pub fn release(&self, round: u64) -> Result<Result<(), Broken>, Error> {
        let inside = self.enter(self.segment().me()?)?;
        let seen = self.state();
        if !phase_of(seen).acts() || round_of(seen) != round {
            return Ok(Err(Broken));
        }
        let doomed = phase_of(seen) == Phase::Doomed;
        self.end_round(true, if doomed { Phase::Broken } else { Phase::Filling })?;
        drop(inside);
        self.tell();
        Ok(Ok(()))
    }

    /// Breaks the barrier because the last party of `round` could not do what it had to do. Nothing happens if that round
    /// is over already.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn abort_round(&self, round: u64) -> Result<(), Error> {
        let inside = self.enter(self.segment().me()?)?;
        let seen = self.state();
        if phase_of(seen).acts() && round_of(seen) == round {
            self.end_round(false, Phase::Broken)?;
            drop(inside);
            self.tell();
        }
        Ok(())
    }

    /// Breaks the barrier: everybody who waits, and everybody who comes until it is reset, is turned away.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn abort(&self) -> Result<(), Error> {
        self.turn_away(Phase::Broken)
    }

    /// Begins a new round; those who wait are turned away.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn reset(&self) -> Result<(), Error> {
        self.turn_away(Phase::Filling)
    }

    fn turn_away(&self, next: Phase) -> Result<(), Error> {
        let inside = self.enter(self.segment().me()?)?;
        self.end_round(false, next)?;
        drop(inside);
        self.tell();
        Ok(())
    }

    /// Breaks the barrier if one of those who have arrived has died. Asking costs 10 µs for each process that waits.
    fn mourn(&self, me: Tag) -> Result<(), Error> {
        let seen = self.state();
        let mut asked = me;
        for index in 0..self.parties() {
            let tag = Tag(self.seat(index)?.load(Ordering::SeqCst));
            if tag == Tag(0) || tag == me || tag == asked {
                continue;
            }
            asked = tag;
            if !self.segment().is_dead(tag) {
                continue;
            }
            let inside = self.enter(me)?;
            if self.state() == seen && self.seat(index)?.load(Ordering::SeqCst) == tag.0 {
                self.end_round(false, Phase::Broken)?;
                drop(inside);
                self.tell();
            }
            return Ok(());
        }
        // One that died inside the latch may have left a round that is over, and nobody told.
        drop(self.enter(me)?);
        Ok(())
    }

    /// Whether one of those who have arrived has died. Costs 10 µs for each other process: the one that watches deaths may
    /// not have got to know of this one yet.
    fn has_lost_one(&self, me: Tag) -> Result<bool, Error> {
        let segment = self.segment();
        let mut asked = me;
        for index in 0..self.parties() {
            let tag = Tag(self.seat(index)?.load(Ordering::SeqCst));
            if tag == Tag(0) || tag == me || tag == asked {
                continue;
            }
            asked = tag;
            if segment.is_dead(tag) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How a round ended that is over.
    fn outcome(&self, round: u64, index: u32) -> Result<Arrived, Broken> {
        let content = self.object.content();
        let remembered: Vec<u64> =
            content.turned_away.iter().map(|turned| turned.load(Ordering::SeqCst)).collect();
        let forgotten = content.breaks.load(Ordering::SeqCst) as usize > REMEMBERED
            && remembered.iter().all(|turned| *turned > round + 1);
        if forgotten || remembered.contains(&(round + 1)) {
            Err(Broken)
        } else {
            Ok(Arrived::Passed { index })
        }
    }
}

/// A party that has arrived.
#[derive(Clone, Copy)]
struct Party {
    index: u32,
    round: u64,
    process: Tag,
}

/// Arriving at a barrier and waiting for the others. What gives up after it has arrived leaves.
pub struct ArriveCall<B: AsRef<Barrier>> {
    barrier: B,
    /// Whether this party, if it is the last, has something to do before the others go on. If not, it lets them go at
    /// once.
    acts: bool,
    /// Whether giving up breaks the barrier. If not, the party only counts as not arrived.
    breaks: bool,
    arrived: Option<Party>,
    /// It has its result, or has left.
    over: bool,
}

impl<B: AsRef<Barrier>> ArriveCall<B> {
    /// A party.
    pub fn new(barrier: B, acts: bool, breaks: bool) -> Self {
        Self { barrier, acts, breaks, arrived: None, over: false }
    }

    /// Gives up: breaks the barrier, or merely has not arrived.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn leave(&mut self) -> Result<(), Error> {
        let barrier = self.barrier.as_ref();
        let me = barrier.segment().me()?;
        // In the child of a fork, nobody knows of this party.
        let stranger = self.arrived.is_some_and(|party| party.process != me);
        if std::mem::replace(&mut self.over, true) || stranger {
            return Ok(());
        }
        let inside = barrier.enter(me)?;
        let seen = barrier.state();
        match self.arrived {
            Some(party) if round_of(seen) != party.round => return Ok(()),
            None if self.breaks && phase_of(seen).acts() => {
                let doomed = state(Phase::Doomed, round_of(seen));
                barrier.object.content().state.store(doomed, Ordering::SeqCst);
            }
            _ if self.breaks && phase_of(seen) != Phase::Broken => {
                barrier.end_round(false, Phase::Broken)?;
                drop(inside);
                barrier.tell();
            }
            Some(party) if phase_of(seen) == Phase::Filling => {
                barrier.seat(party.index)?.store(0, Ordering::SeqCst);
                step::at(Step::PartyLeft);
                barrier.object.content().count.fetch_sub(1, Ordering::SeqCst);
            }
            _ => {}
        }
        Ok(())
    }

    fn arrive(&mut self, me: Tag) -> Result<Option<Result<Arrived, Broken>>, Error> {
        let barrier = self.barrier.as_ref();
        let content = barrier.object.content();
        let inside = barrier.enter(me)?;
        let seen = barrier.state();
        match phase_of(seen) {
            Phase::Broken => return Ok(Some(Err(Broken))),
            Phase::Acting | Phase::Doomed => return Ok(None),
            Phase::Filling => {}
        }
        let (count, parties, round) =
            (content.count.load(Ordering::SeqCst), barrier.parties(), round_of(seen));
        if count >= parties || count + 1 == parties && barrier.has_lost_one(me)? {
            // One of those who have arrived is no more, and nobody was there to notice.
            barrier.end_round(false, Phase::Broken)?;
            drop(inside);
            barrier.tell();
            return Ok(Some(Err(Broken)));
        }
        let mut free = None;
        // Somebody may have left a seat between the others.
        for index in (count..parties).chain(0..count) {
            if barrier.seat(index)?.load(Ordering::SeqCst) == 0 {
                free = Some(index);
                break;
            }
        }
        let index = free.ok_or(Error::Corrupt("a barrier's seats"))?;
        if count + 1 == parties && !self.acts {
            barrier.end_round(true, Phase::Filling)?;
            drop(inside);
            barrier.tell();
            return Ok(Some(Ok(Arrived::Passed { index })));
        }
        barrier.seat(index)?.store(me.0, Ordering::SeqCst);
        step::at(Step::PartySeated);
        content.count.store(count + 1, Ordering::SeqCst);
        if count + 1 == parties {
            content.state.store(state(Phase::Acting, round), Ordering::SeqCst);
            step::at(Step::PartyActs);
            return Ok(Some(Ok(Arrived::Last { index, round })));
        }
        self.arrived = Some(Party { index, round, process: me });
        Ok(None)
    }
}

impl<B: AsRef<Barrier>> Call for ArriveCall<B> {
    type Output = Result<Arrived, Broken>;

    fn segment(&self) -> &'static Segment {
        self.barrier.as_ref().segment()
    }

    fn event(&self) -> &'static EventCount {
        &self.barrier.as_ref().object.content().event
    }

    fn looks_ready(&self) -> bool {
        let seen = self.barrier.as_ref().state();
        match self.arrived {
            Some(party) => round_of(seen) != party.round,
            None => !phase_of(seen).acts(),
        }
    }

    fn attempt(&mut self, me: Tag, thorough: bool) -> Result<Option<Self::Output>, Error> {
        if self.arrived.is_some_and(|party| party.process != me) {
            // In the child of a fork, nobody knows of this party.
            self.over = true;
            return Ok(Some(Err(Broken)));
        }
        if self.arrived.is_none() && self.looks_ready() {
            let ended = self.arrive(me)?;
            self.over = ended.is_some();
            if ended.is_some() || !thorough {
                return Ok(ended);
            }
        }
        if thorough && (self.arrived.is_none() || !self.looks_ready()) {
            self.barrier.as_ref().mourn(me)?;
        }
        let ended = match self.arrived {
            Some(party) if self.looks_ready() => {
                Some(self.barrier.as_ref().outcome(party.round, party.index))
            }
            None if thorough && self.looks_ready() => self.arrive(me)?,
            _ => None,
        };
        self.over = ended.is_some();
        Ok(ended)
    }
}

impl<B: AsRef<Barrier>> Drop for ArriveCall<B> {
    fn drop(&mut self) {
        // A process that can't leave is mourned when it has ended.
        let _ = self.leave();
    }
}

#[cfg(test)]
pub(crate) fn rows() -> (usize, Vec<String>) {
    crate::layout::rows!(Content { latch, parties, state, seated, count, breaks, event, turned_away })
}
