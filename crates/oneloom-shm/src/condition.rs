//! A place where processes wait for news, around a lock that they share.
//!
//! Who waits has a seat, taken before the lock is let go of: so whoever takes the lock afterwards and notifies finds it
//! there. A notification is given to the seat that was taken first, and stays there until its owner has the lock again.
//! Each seat has a word of its own to sleep on, so that nobody else is woken. Where there are no seats left, another
//! block of them is linked; it stays as long as the condition.
//!
//! | it died after | it left | repair |
//! |---|---|---|
//! | taking a seat | a seat without anybody | whoever waits frees it |
//! | being notified, before it had the lock again | a notification without anybody | whoever waits hands it to the next, and frees the seat |
//! | linking seats | a block that is still its own | whoever inherits the latch makes it part of the condition |
//! | notifying, before waking | somebody asleep | the death wakes everybody, who looks at its seat |
//! | taking the lock again, or anywhere else with it | a lock that nobody will let go of | whoever waits goes on as if notified, and takes the lock over |

use oneloom_wait::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::arena::{Block, Kind, Reference, allocate};
use crate::error::Error;
use crate::event_count::EventCount;
use crate::handle::{Object, Shared};
use crate::latch::{Entry, Inside, Latch, Patience};
use crate::member::Tag;
use crate::monitor;
use crate::segment::{Plain, Segment};
use crate::step::{self, Step};
use crate::wait::Call;

/// How many seats a block has.
const SEATS: usize = 32;
/// More blocks than any condition has: a chain that is longer leads nowhere.
const MOST: usize = 1 << 16;

/// Where one waits.
#[repr(C)]
pub(crate) struct Seat {
    /// 0 while it is free; else a tag in bits 32 to 62, the ticket below, and [`NOTIFIED`]. Taken and notified inside the
    /// latch; freed by its owner, or inside the latch when that has died.
    state: AtomicU64,
    event: EventCount,
}

const NOTIFIED: u64 = 1 << 63;

fn tag_of(state: u64) -> Tag {
    Tag((state >> 32) as u32 & (u32::MAX >> 1))
}

/// What stands in the segment: a condition, or more seats of one.
#[repr(C, align(64))]
pub struct Content {
    latch: Latch,
    /// The ticket of the next who takes a seat: the smaller, the earlier. Inside the latch.
    tickets: AtomicU32,
    /// A reference to more seats, 0 if there are none.
    more: AtomicU64,
    seats: [Seat; SEATS],
}

// SAFETY: integers that are atomic, in a fixed layout.
unsafe impl Plain for Content {}

// SAFETY: a block of this kind holds `Content` alone, and zeros are a condition that nobody waits for.
unsafe impl Shared for Content {
    const KIND: Kind = Kind::Condition;

    fn dismantle(block: Block, me: Tag) -> Result<(), Error> {
        let mut next = block.content::<Content>()?.more();
        while next != Reference::NONE {
            let more = Block::find(block.segment, next, Kind::Condition)?;
            next = more.content::<Content>()?.more();
            // What was freed is not found again, so this ends.
            more.free(me)?;
        }
        Ok(())
    }
}

impl Content {
    fn more(&self) -> Reference {
        Reference(self.more.load(Ordering::Acquire))
    }
}

/// Lets go of the lock around a condition, and knows whether that is held by the dead.
pub trait LettingGo {
    /// Lets go of the lock; false if the caller does not hold it.
    fn let_go(&mut self) -> bool;

    /// Whether whoever holds the lock has died.
    fn is_abandoned(&self) -> bool;
}

/// A condition in a segment. Its lock is its user's business.
pub struct Condition {
    object: Object<Content>,
}

impl AsRef<Self> for Condition {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Condition {
    /// A new one.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(segment: &'static Segment) -> Result<Self, Error> {
        Ok(Self { object: Object::create(segment)? })
    }

    /// The condition that an object is.
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

    /// The condition's blocks, the first of which is its own.
    fn blocks(&self) -> impl Iterator<Item = &'static Content> {
        let segment = self.segment();
        std::iter::successors(Some(self.object.content()), move |content| {
            Block::find(segment, content.more(), Kind::Condition).ok()?.content().ok()
        })
        .take(MOST)
    }

    fn seats(&self) -> impl Iterator<Item = (&'static Seat, u64)> {
        self.blocks()
            .flat_map(|content| &content.seats)
            .map(|seat| (seat, seat.state.load(Ordering::SeqCst)))
            .filter(|(_, state)| *state != 0)
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting_seats().count()
    }

    /// Those who were not notified yet, and are not known to have died.
    fn waiting_seats(&self) -> impl Iterator<Item = (&'static Seat, u64)> {
        let segment = self.segment();
        self.seats()
            .filter(move |(_, state)| state & NOTIFIED == 0 && segment.record_of(tag_of(*state)).is_some())
    }

    fn enter(&self, me: Tag, patience: Patience) -> Result<Option<Inside<'static>>, Error> {
        enter(self.object.block(), me, patience)
    }

    /// Takes a seat.
    fn sit_down(&self, me: Tag) -> Result<&'static Seat, Error> {
        let content = self.object.content();
        let mut spare: Option<Block> = None;
        let taken = loop {
            let Some(inside) = self.enter(me, Patience::Latches)? else { continue };
            let mut seats = self.blocks().flat_map(|content| &content.seats);
            if let Some(seat) = seats.find(|seat| seat.state.load(Ordering::SeqCst) == 0) {
                let ticket = content.tickets.fetch_add(1, Ordering::Relaxed);
                seat.state.store(u64::from(me.0) << 32 | u64::from(ticket), Ordering::SeqCst);
                step::at(Step::SeatTaken);
                break seat;
            }
            if let (Some(block), Some(last)) = (spare.take(), self.blocks().last()) {
                last.more.store(block.reference.0, Ordering::Release);
                step::at(Step::SeatsLinked);
                block.becomes_part_of(self.object.block().reference)?;
                step::at(Step::SeatsOwned);
                continue;
            }
            // Nobody asks for memory inside a latch.
            drop(inside);
            let block = allocate(self.segment(), me, Kind::Condition, size_of::<Content>() as u64)?;
            let place = block.bytes(size_of::<Content>() as u64)?;
            // SAFETY: the block is this process's own, as large as the type, and nobody knows of it yet.
            unsafe { place.write_bytes(0, size_of::<Content>()) };
            spare = Some(block);
        };
        if let Some(block) = spare {
            block.free(me)?;
        }
        Ok(taken)
    }

    /// Lets the `count` go on who have waited longest, once they have the lock.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn notify(&self, count: usize) -> Result<(), Error> {
        self.give(count, Patience::Latches).map(drop)
    }

    /// The same if nothing is in the way: never waits, not even for the latch. Whether it was done.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn try_notify(&self, count: usize) -> Result<bool, Error> {
        self.give(count, Patience::None)
    }

    fn give(&self, count: usize, patience: Patience) -> Result<bool, Error> {
        let me = self.segment().me()?;
        let Some(inside) = self.enter(me, patience)? else { return Ok(false) };
        let notified = self.mark(count);
        drop(inside);
        notified.into_iter().for_each(|seat| self.wake(seat));
        Ok(true)
    }

    /// Notifies the first `count`, whom the caller wakes outside. Inside the latch.
    fn mark(&self, count: usize) -> Vec<&'static Seat> {
        let next = self.object.content().tickets.load(Ordering::Relaxed);
        let mut waiting: Vec<_> = self.waiting_seats().collect();
        waiting.sort_unstable_by_key(|(_, state)| std::cmp::Reverse(next.wrapping_sub(*state as u32)));
        waiting.truncate(count);
        let mark = |(seat, state): (&'static Seat, u64)| {
            seat.state.store(state | NOTIFIED, Ordering::SeqCst);
            step::at(Step::SeatNotified);
            seat
        };
        waiting.into_iter().map(mark).collect()
    }

    fn wake(&self, seat: &'static Seat) {
        let segment = self.segment();
        seat.event.notify(1, |mask| monitor::ring(segment, &seat.event, mask));
        step::at(Step::SeatWoken);
    }

    /// Frees the seats of the dead; what they were notified of goes to the next. Asking costs 10 µs for each process
    /// that waits.
    fn relieve_the_dead(&self, me: Tag) -> Result<(), Error> {
        let mut dead: Vec<Tag> =
            self.seats().map(|(_, state)| tag_of(state)).filter(|tag| *tag != me).collect();
        dead.sort_unstable_by_key(|tag| tag.0);
        dead.dedup();
        dead.retain(|tag| self.segment().is_dead(*tag));
        if dead.is_empty() {
            return Ok(());
        }
        dead.iter().for_each(|tag| self.segment().bury(*tag));
        let Some(inside) = self.enter(me, Patience::Latches)? else { return Ok(()) };
        let mut notified = Vec::new();
        for (seat, state) in self.seats().filter(|(_, state)| dead.contains(&tag_of(*state))) {
            if state & NOTIFIED != 0 {
                notified.extend(self.mark(1));
            }
            seat.state.store(0, Ordering::SeqCst);
            step::at(Step::SeatRelieved);
        }
        drop(inside);
        notified.into_iter().for_each(|seat| self.wake(seat));
        Ok(())
    }

    /// Gives a seat up without having used what it was notified of: that goes to the next.
    fn give_up(&self, me: Tag, seat: &'static Seat) -> Result<(), Error> {
        let Some(inside) = self.enter(me, Patience::Latches)? else { return Ok(()) };
        let passed_on =
            if seat.state.load(Ordering::SeqCst) & NOTIFIED == 0 { Vec::new() } else { self.mark(1) };
        seat.state.store(0, Ordering::SeqCst);
        step::at(Step::SeatLeft);
        drop(inside);
        passed_on.into_iter().for_each(|seat| self.wake(seat));
        Ok(())
    }
}

/// A seat that was notified. To be kept until its owner has the lock again, and dropped then: if it dies before that,
/// the notification goes to another.
pub struct Notified<C: AsRef<Condition>> {
    seat: &'static Seat,
    owner: Tag,
    /// Keeps the seat where it is.
    condition: C,
}

impl<C: AsRef<Condition>> Drop for Notified<C> {
    fn drop(&mut self) {
        // The child of a fork does not sit on its parent's seat.
        if self.condition.as_ref().segment().me() == Ok(self.owner) {
            self.seat.state.store(0, Ordering::SeqCst);
            step::at(Step::SeatLeft);
        }
    }
}

/// The caller does not hold the lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotHeld;

/// Waiting to be notified. The first try takes a seat and lets go of the lock; what gives up lets the next have what it
/// was notified of.
pub struct NotifiedCall<C: AsRef<Condition> + Clone, L> {
    condition: C,
    /// What lets go of the lock.
    pub lock: L,
    seat: Option<(&'static Seat, Tag)>,
}

impl<C: AsRef<Condition> + Clone, L: LettingGo> NotifiedCall<C, L> {
    /// Waits at `condition`.
    pub fn new(condition: C, lock: L) -> Self {
        Self { condition, lock, seat: None }
    }
}

impl<C: AsRef<Condition> + Clone, L> NotifiedCall<C, L> {
    /// Gives up: another one has what this one was notified of.
    pub fn give_up(&mut self) {
        let condition = self.condition.as_ref();
        if let Some((seat, owner)) =
            self.seat.take().filter(|(_, owner)| condition.segment().me() == Ok(*owner))
        {
            // What can't be given up is relieved when this process has ended.
            let _ = condition.give_up(owner, seat);
        }
    }
}

impl<C: AsRef<Condition> + Clone, L: LettingGo> Call for NotifiedCall<C, L> {
    type Output = Result<Notified<C>, NotHeld>;

    fn segment(&self) -> &'static Segment {
        self.condition.as_ref().segment()
    }

    fn event(&self) -> &'static EventCount {
        // Before the first try there is none of its own; nobody is told there.
        self.seat.map_or(&self.condition.as_ref().object.content().seats[0].event, |(seat, _)| &seat.event)
    }

    fn looks_ready(&self) -> bool {
        self.seat.is_some_and(|(seat, _)| seat.state.load(Ordering::SeqCst) & NOTIFIED != 0)
    }

    fn attempt(&mut self, me: Tag, thorough: bool) -> Result<Option<Self::Output>, Error> {
        let condition = self.condition.as_ref();
        let (seat, owner) = match self.seat {
            Some(seat) => seat,
            None => {
                let seat = condition.sit_down(me)?;
                self.seat = Some((seat, me));
                if !self.lock.let_go() {
                    self.give_up();
                    return Ok(Some(Err(NotHeld)));
                }
                return Ok(None);
            }
        };
        if owner != me {
            // In the child of a fork, nobody knows of this wait.
            self.seat = None;
            return self.attempt(me, thorough);
        }
        if thorough && !self.looks_ready() {
            condition.relieve_the_dead(me)?;
            if self.lock.is_abandoned() {
                // As if notified: otherwise nobody might ever come to take the lock over.
                let _inside = condition.enter(me, Patience::Latches)?;
                seat.state.fetch_or(NOTIFIED, Ordering::SeqCst);
            }
        }
        if !self.looks_ready() {
            return Ok(None);
        }
        self.seat = None;
        Ok(Some(Ok(Notified { seat, owner, condition: self.condition.clone() })))
    }
}

impl<C: AsRef<Condition> + Clone, L> Drop for NotifiedCall<C, L> {
    fn drop(&mut self) {
        self.give_up();
    }
}

fn enter(condition: Block, me: Tag, patience: Patience) -> Result<Option<Inside<'static>>, Error> {
    let content: &'static Content = condition.content()?;
    let inside = content.latch.enter_with(patience, condition.segment, me);
    if inside.as_ref().is_some_and(|inside| inside.entry == Entry::Inherited) {
        let mut next = content.more();
        for _ in 0..MOST {
            if next == Reference::NONE {
                break;
            }
            let more = Block::find(condition.segment, next, Kind::Condition)?;
            more.becomes_part_of(condition.reference)?;
            next = more.content::<Content>()?.more();
        }
    }
    Ok(inside)
}

/// Repairs what the dead were changing, if any were: passes the latch.
///
/// # Errors
/// If the segment contradicts itself.
pub fn repair(condition: Block, me: Tag) -> Result<(), Error> {
    enter(condition, me, Patience::Latches).map(drop)
}

#[cfg(test)]
pub(crate) fn rows() -> [(usize, Vec<String>); 2] {
    use crate::layout::rows;
    [rows!(Content { latch, tickets, more, seats }), rows!(Seat { state, event })]
}
