//! Permits that processes share.
//!
//! A permit that was taken for a scope is recorded for its process, and comes back when that process dies; one that was
//! taken plainly has no owner: anybody may give it back, and nobody does it for the dead. So a scope survives its
//! process, and a semaphore that tells others of something loses no news and makes none up.
//!
//! Inside the latch, a permit is taken or given back by one store: to what its process holds, or to how many there are in
//! all. How many are free follows from these, and is written for those who only look.
//!
//! | it died after | it left | repair |
//! |---|---|---|
//! | taking or giving back, inside the latch | a number of free permits that is not true any more | count again |
//! | taking permits for a scope | permits that nobody will give back | whoever waits takes them out of the record of its process |
//!
//! Who gets such a permit is told.

use oneloom_wait::atomic::{AtomicU64, Ordering};

use crate::arena::{Block, Kind};
use crate::error::Error;
use crate::event_count::EventCount;
use crate::handle::{Object, Shared};
use crate::latch::{Entry, Inside, Latch, Patience};
use crate::layout::PROCESSES;
use crate::member::Tag;
use crate::monitor;
use crate::mutex::Taken;
use crate::segment::{Plain, Segment};
use crate::step::{self, Step};
use crate::wait::Call;

/// What stands in the segment.
#[repr(C, align(64))]
pub struct Content {
    latch: Latch,
    /// How many may be free at most, plus one; 0 for any number.
    bound: AtomicU64,
    /// How many there are, free or in a scope. Inside the latch.
    permits: AtomicU64,
    /// How many are free. Written inside the latch.
    free: AtomicU64,
    /// How many of the free ones come from processes that died. Inside the latch.
    recovered: AtomicU64,
    event: EventCount,
    /// By slot: the tag of a process in the upper half, and how many its scopes hold in the lower. Inside the latch.
    holds: [AtomicU64; PROCESSES],
}

// SAFETY: integers that are atomic, in a fixed layout.
unsafe impl Plain for Content {}

// SAFETY: the block holds `Content` alone, and zeros are a semaphore without permits.
unsafe impl Shared for Content {
    const KIND: Kind = Kind::Semaphore;

    fn dismantle(_block: Block, _me: Tag) -> Result<(), Error> {
        Ok(())
    }
}

/// Why permits could not be given back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReleaseError {
    /// There would be more than at first.
    TooMany,
    /// No scope of this process holds one.
    NotHeld,
    /// Shared memory failed.
    Failed(Error),
}

/// How permits are given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Returned {
    /// So many, by anybody.
    Plainly(u64),
    /// The one of a scope that ends.
    Scoped,
}

fn hold(tag: Tag, count: u32) -> u64 {
    u64::from(tag.0) << 32 | u64::from(count)
}

fn tag_of(hold: u64) -> Tag {
    Tag((hold >> 32) as u32)
}

fn count_of(hold: u64) -> u64 {
    u64::from(hold as u32)
}

/// A semaphore in a segment.
pub struct Semaphore {
    object: Object<Content>,
}

impl AsRef<Self> for Semaphore {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Semaphore {
    /// A new one with so many permits, which are also the most that there may be if it is `bounded`.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(segment: &'static Segment, permits: u64, bounded: bool) -> Result<Self, Error> {
        let object = Object::<Content>::create(segment)?;
        let content = object.content();
        content.bound.store(if bounded { permits + 1 } else { 0 }, Ordering::Relaxed);
        content.permits.store(permits, Ordering::Relaxed);
        content.free.store(permits, Ordering::Release);
        Ok(Self { object })
    }

    /// The semaphore that an object is.
    pub fn from_object(object: Object<Content>) -> Self {
        Self { object }
    }

    /// The object that it is.
    pub fn object(&self) -> &Object<Content> {
        &self.object
    }

    /// How many wait for one: threads of all processes that sleep, and tasks of this one.
    #[cfg(not(shuttle))]
    pub fn waiting(&self) -> usize {
        monitor::waiting(&self.object.content().event)
    }

    /// How many permits are free.
    pub fn value(&self) -> u64 {
        self.object.content().free.load(Ordering::Relaxed)
    }

    /// The most that may be free, if there is such a number.
    pub fn bound(&self) -> Option<u64> {
        self.object.content().bound.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Takes a permit if there is one and nothing in the way: never waits, not even for the latch.
    ///
    /// # Errors
    /// If this process can't join the family.
    pub fn try_acquire(&self, scoped: bool) -> Result<Option<Taken>, Error> {
        Ok(self.take(self.object.segment().me()?, scoped, Patience::None))
    }

    fn enter(&self, me: Tag, patience: Patience) -> Option<Inside<'static>> {
        let content = self.object.content();
        let inside = content.latch.enter_with(patience, self.object.segment(), me)?;
        if inside.entry == Entry::Inherited {
            let held: u64 = content.holds.iter().map(|hold| count_of(hold.load(Ordering::SeqCst))).sum();
            let free = content.permits.load(Ordering::SeqCst).saturating_sub(held);
            content.free.store(free, Ordering::SeqCst);
            content.recovered.fetch_min(free, Ordering::SeqCst);
            step::at(Step::PermitsCounted);
        }
        Some(inside)
    }

    fn take(&self, me: Tag, scoped: bool, patience: Patience) -> Option<Taken> {
        let content = self.object.content();
        if content.free.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let inside = self.enter(me, patience)?;
        let mine = self.of_mine(me);
        let free = content.free.load(Ordering::Relaxed).checked_sub(1)?;
        if scoped {
            content.holds[me.slot()].store(hold(me, (mine as u32).saturating_add(1)), Ordering::SeqCst);
        } else {
            content.permits.fetch_sub(1, Ordering::SeqCst);
        }
        step::at(Step::PermitTaken);
        content.free.store(free, Ordering::SeqCst);
        step::at(Step::FreeWritten);
        let recovered = content.recovered.load(Ordering::Relaxed);
        content.recovered.store(recovered.saturating_sub(1), Ordering::Relaxed);
        drop(inside);
        step::at(Step::SemaphoreLeft);
        Some(if recovered == 0 { Taken::Clean } else { Taken::Recovered })
    }

    /// How many this process's scopes hold; what one held that had its record before is free from here on. Inside the
    /// latch.
    fn of_mine(&self, me: Tag) -> u64 {
        let seen = self.object.content().holds[me.slot()].load(Ordering::SeqCst);
        if tag_of(seen) == me {
            return count_of(seen);
        }
        self.free_hold(me.slot(), seen);
        0
    }

    /// Makes free what a process held that has died. Inside the latch.
    fn free_hold(&self, slot: usize, hold: u64) {
        let (content, count) = (self.object.content(), count_of(hold));
        if count == 0 {
            return;
        }
        content.holds[slot].store(0, Ordering::SeqCst);
        step::at(Step::HoldFreed);
        content.free.fetch_add(count, Ordering::SeqCst);
        step::at(Step::FreeWritten);
        content.recovered.fetch_add(count, Ordering::SeqCst);
    }

    /// Makes free what the dead held. Asking costs 10 µs for each process that holds something.
    fn recover(&self, me: Tag) {
        let (content, segment) = (self.object.content(), self.object.segment());
        let is_dead = |slot: &usize| {
            let hold = content.holds[*slot].load(Ordering::SeqCst);
            count_of(hold) > 0 && tag_of(hold) != me && segment.is_dead(tag_of(hold))
        };
        let dead: Vec<usize> = (0..PROCESSES).filter(is_dead).collect();
        // Passed in any case: one that died inside may have left permits that look taken.
        let Some(inside) = self.enter(me, Patience::Latches) else { return };
        let repaired = inside.entry == Entry::Inherited || !dead.is_empty();
        // Looked at again: another one may have been faster, and the record's next process may hold something.
        dead.into_iter()
            .filter(is_dead)
            .for_each(|slot| self.free_hold(slot, content.holds[slot].load(Ordering::SeqCst)));
        drop(inside);
        if repaired {
            self.tell(u32::MAX);
        }
    }

    /// Gives permits back if nothing is in the way: never waits, not even for the latch.
    ///
    /// # Errors
    /// As for [`Semaphore::release`].
    pub fn try_release(&self, returned: Returned) -> Result<bool, ReleaseError> {
        self.give_back(returned, Patience::None)
    }

    /// Gives permits back; as many waiters go on.
    ///
    /// # Errors
    /// If there would be too many, or there is none to give back.
    pub fn release(&self, returned: Returned) -> Result<(), ReleaseError> {
        self.give_back(returned, Patience::Latches).map(drop)
    }

    fn give_back(&self, returned: Returned, patience: Patience) -> Result<bool, ReleaseError> {
        let content = self.object.content();
        let me = self.object.segment().me().map_err(ReleaseError::Failed)?;
        let Some(inside) = self.enter(me, patience) else { return Ok(false) };
        let count = match returned {
            Returned::Plainly(count) => count,
            Returned::Scoped => 1,
        };
        let mine = self.of_mine(me);
        let free = content.free.load(Ordering::Relaxed).saturating_add(count);
        let fits = self.bound().is_none_or(|bound| free <= bound);
        match returned {
            Returned::Scoped if mine == 0 => return Err(ReleaseError::NotHeld),
            Returned::Scoped => {
                if !fits {
                    // The scope ends; what it held had been given back before.
                    content.permits.fetch_sub(1, Ordering::SeqCst);
                }
                content.holds[me.slot()].store(hold(me, mine as u32 - 1), Ordering::SeqCst);
            }
            Returned::Plainly(_) if fits => drop(content.permits.fetch_add(count, Ordering::SeqCst)),
            Returned::Plainly(_) => {}
        }
        if !fits {
            return Err(ReleaseError::TooMany);
        }
        step::at(Step::PermitReturned);
        content.free.store(free, Ordering::SeqCst);
        step::at(Step::FreeWritten);
        drop(inside);
        step::at(Step::SemaphoreLeft);
        self.tell(count.try_into().unwrap_or(u32::MAX));
        step::at(Step::SemaphoreTold);
        Ok(true)
    }

    fn tell(&self, count: u32) {
        let (event, segment) = (&self.object.content().event, self.object.segment());
        event.notify(count, |mask| monitor::ring(segment, event, mask));
    }
}

/// Taking a permit.
pub struct AcquireCall<S> {
    /// Where from.
    pub semaphore: S,
    /// Whether it is for a scope.
    pub scoped: bool,
}

impl<S: AsRef<Semaphore>> Call for AcquireCall<S> {
    type Output = Taken;

    fn segment(&self) -> &'static Segment {
        self.semaphore.as_ref().object.segment()
    }

    fn event(&self) -> &'static EventCount {
        &self.semaphore.as_ref().object.content().event
    }

    fn looks_ready(&self) -> bool {
        self.semaphore.as_ref().value() > 0
    }

    fn attempt(&mut self, me: Tag, thorough: bool) -> Result<Option<Taken>, Error> {
        let semaphore = self.semaphore.as_ref();
        let taken = semaphore.take(me, self.scoped, Patience::Latches);
        if taken.is_some() || !thorough {
            return Ok(taken);
        }
        semaphore.recover(me);
        Ok(semaphore.take(me, self.scoped, Patience::Latches))
    }
}

#[cfg(test)]
pub(crate) fn rows() -> (usize, Vec<String>) {
    crate::layout::rows!(Content { latch, bound, permits, free, recovered, event, holds })
}
