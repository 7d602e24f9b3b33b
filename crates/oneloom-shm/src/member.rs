//! Processes as records with generations, and whether one is alive.
//!
//! A process is alive while the system says so and it started when its record says: a pid can be used again. Age never
//! counts.

use oneloom_wait::atomic::Ordering;
use oneloom_wait::fork;
use oneloom_wait::word::Scope;

use crate::error::Error;
use crate::layout::{PROCESSES, Record};
use crate::process::{self, Life};
use crate::segment::Segment;
use crate::step::{self, Step};
use crate::unborn::{self, UNBORN};

/// A process of the family: its record's slot, counted from 1, and 20 bits of its generation. Never 0, and never comes
/// to mean another process as long as a record is used fewer than a million times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag(pub u32);

const SLOT_BITS: u32 = 11;
const GENERATIONS: u32 = 1 << 20;

impl Tag {
    /// The tag of whoever has, or had, a record with this identity.
    pub fn of(slot: usize, identity: u64) -> Self {
        Self(((identity >> 32) as u32 % GENERATIONS) << SLOT_BITS | (slot as u32 + 1))
    }

    /// The record's place.
    pub fn slot(self) -> usize {
        ((self.0 & ((1 << SLOT_BITS) - 1)) as usize).wrapping_sub(1)
    }

    /// The generation's 20 bits.
    pub fn generation(self) -> u32 {
        self.0 >> SLOT_BITS
    }

    /// The process's bit in the mask of an event count.
    pub fn bit(self) -> u64 {
        1 << (self.slot() % 64)
    }
}

/// The process id in an identity, 0 if the record is free.
pub fn pid_of(identity: u64) -> u32 {
    identity as u32
}

impl Segment {
    /// This process's tag; its first use in a process, a fork's child included, takes a record.
    ///
    /// # Errors
    /// If there are too many processes, or this one is in another PID namespace.
    #[inline]
    pub fn me(&self) -> Result<Tag, Error> {
        let known = self.me.load(Ordering::Relaxed);
        let generation = fork::generation();
        if (known >> 32) as u32 == generation { Ok(Tag(known as u32)) } else { self.join(known, generation) }
    }

    #[cold]
    fn join(&self, known: u64, generation: u32) -> Result<Tag, Error> {
        if self.header().namespace.load(Ordering::Relaxed) != process::namespace() {
            return Err(Error::Namespace);
        }
        let tag = self.claim_or_bury(process::id()).ok_or(Error::Processes)?;
        let mine = u64::from(generation) << 32 | u64::from(tag.0);
        if let Err(other) = self.me.compare_exchange(known, mine, Ordering::AcqRel, Ordering::Acquire) {
            // Another thread of this process was faster.
            self.bury(tag);
            return Ok(Tag(other as u32));
        }
        self.has_joined(tag);
        Ok(tag)
    }

    /// Tells the others: before this process can leave anybody waiting, everybody watches it.
    pub(crate) fn has_joined(&self, me: Tag) {
        self.header().joined.fetch_add(1, Ordering::SeqCst);
        self.ring_others(u64::MAX, me);
    }

    /// A free record for the process `pid`.
    pub(crate) fn claim_or_bury(&self, pid: u32) -> Option<Tag> {
        self.claim(pid).or_else(|| {
            self.find_dead();
            self.claim(pid)
        })
    }

    fn claim(&self, pid: u32) -> Option<Tag> {
        (0..PROCESSES).find_map(|slot| {
            let record = self.record(slot)?;
            let identity = record.identity.load(Ordering::Acquire);
            if pid_of(identity) != 0 {
                return None;
            }
            let claimed = ((identity >> 32) + 1) << 32 | u64::from(pid);
            record.identity.compare_exchange(identity, claimed, Ordering::SeqCst, Ordering::Relaxed).ok()?;
            step::at(Step::RecordClaimed);
            record.listening.store(0, Ordering::Relaxed);
            record.waits.store(0, Ordering::Relaxed);
            record.holdings.store(0, Ordering::SeqCst);
            record.started.store(process::started(pid).unwrap_or(0), Ordering::Release);
            step::at(Step::RecordWritten);
            Some(Tag::of(slot, claimed))
        })
    }

    /// The record of `tag`, if it is still that process's.
    pub fn record_of(&self, tag: Tag) -> Option<&Record> {
        self.record(tag.slot()).filter(|record| {
            let identity = record.identity.load(Ordering::SeqCst);
            Tag::of(tag.slot(), identity) == tag && pid_of(identity) != 0
        })
    }

    /// Whether the process is dead. Costs about 10 µs.
    pub fn is_dead(&self, tag: Tag) -> bool {
        let Some(record) = self.record_of(tag) else { return true };
        let pid = pid_of(record.identity.load(Ordering::SeqCst));
        if pid == UNBORN {
            return unborn::is_hopeless(self, tag, record);
        }
        pid != process::id()
            && matches!(process::examine(pid, record.started.load(Ordering::Acquire)), Life::Dead)
    }

    /// The process id behind `tag`, 0 if it is not known any more.
    pub fn pid(&self, tag: Tag) -> u32 {
        self.record_of(tag).map_or(0, |record| pid_of(record.identity.load(Ordering::Relaxed)))
    }

    /// Every process that has a record.
    pub fn members(&self) -> impl Iterator<Item = Tag> {
        (0..PROCESSES).filter_map(|slot| {
            let identity = self.record(slot)?.identity.load(Ordering::SeqCst);
            (pid_of(identity) != 0).then(|| Tag::of(slot, identity))
        })
    }

    /// The newest generation of a record, its 20 bits.
    pub fn generation_of(&self, slot: usize) -> u32 {
        self.record(slot)
            .map_or(0, |record| Tag::of(slot, record.identity.load(Ordering::SeqCst)).generation())
    }

    /// Gives the record of a dead process back. Its tag is dead before and after.
    pub fn bury(&self, tag: Tag) {
        let Some(record) = self.record_of(tag) else { return };
        let identity = record.identity.load(Ordering::SeqCst);
        if Tag::of(tag.slot(), identity) != tag {
            return;
        }
        // Not known from here on: whoever takes the record next must not be taken for the one that had it.
        record.started.store(0, Ordering::Release);
        let freed = identity >> 32 << 32;
        if record.identity.compare_exchange(identity, freed, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
            self.header().deaths.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Looks at every process of the family and buries the dead.
    pub fn find_dead(&self) {
        self.members().filter(|tag| self.is_dead(*tag)).for_each(|tag| self.bury(tag));
    }

    /// Rings the doorbells of the processes in `mask` that listen, but for `me`.
    pub fn ring_others(&self, mask: u64, me: Tag) {
        let others = self.members().filter(|tag| mask & tag.bit() != 0 && *tag != me);
        for record in others.filter_map(|tag| self.record_of(tag)) {
            if record.listening.load(Ordering::SeqCst) != 0 {
                record.doorbell.fetch_add(1, Ordering::SeqCst);
                record.doorbell.handle().wake(1, Scope::Shared);
            }
        }
    }
}
