//! Items that were taken and not acknowledged yet, in a queue that gives them to another receiver if theirs dies.
//!
//! Every item of such a queue has a block of its own, which stays part of the queue until the item is acknowledged. Whoever
//! takes it fills a slot first: the item's number, its block, and the taker as its holder. A slot counts once the item with
//! its number was taken: so the one store that takes items makes them pending, too. Acknowledging is one store, of nobody as
//! the slot's holder; so is giving the item to somebody else. Slots stand in pages that the queue keeps. All of this is
//! inside the head's latch.
//!
//! | it died after | it left | repair |
//! |---|---|---|
//! | filling slots for items that it did not take | slots with numbers that were not taken | empty them |
//! | linking a page | a page that is its own | make it part of the queue |
//! | claiming the block of an item that it did not acknowledge yet | a block that is its own | make it part of the queue |
//! | changing a slot | counts that are not right | count again |
//!
//! What it held after that is given to whoever looks next and finds it dead.

use oneloom_wait::atomic::{AtomicU32, AtomicU64, Ordering};
use oneloom_wait::fork;

use crate::arena::{Block, Kind, Reference, allocate};
use crate::error::Error;
use crate::flow::{AnyQueue, ShutDown, tell};
use crate::latch::Patience;
use crate::member::Tag;
use crate::monitor;
use crate::payload::Item;
use crate::segment::{Plain, Segment};
use crate::step::{self, Step};

use super::batch::Batch;
use super::chunk::{Chunk, Raw, find_payload};
use super::repair::enter_head;
use super::take::First;
use super::{Content, Queue};

/// What a queue knows of its pending items. Inside the head's latch.
#[repr(C, align(64))]
pub struct Pending {
    /// The first page, 0 for none yet.
    pages: AtomicU64,
    /// How many slots are not empty.
    held: AtomicU32,
    /// How many of those are held by nobody who lives.
    orphans: AtomicU32,
    /// The family's `deaths` when the slots were last searched for those of the dead.
    seen_deaths: AtomicU32,
    /// Whether items are pending until they are acknowledged; never changes.
    pub(super) acknowledges: AtomicU32,
}

/// Where a pending item is written down.
#[repr(C)]
struct Slot {
    /// How many items were put before it.
    number: AtomicU64,
    /// 0 if the slot is empty, else the tag of the process that holds the item, or [`ORPHAN`].
    holder: AtomicU32,
    mark: AtomicU32,
    block: AtomicU64,
    length: AtomicU64,
}

/// The holder of an item whose holder died. No tag: there are not as many processes.
const ORPHAN: u32 = u32::MAX;
const SLOTS: usize = 60;

/// Slots.
#[repr(C, align(64))]
struct Page {
    next: AtomicU64,
    reserved: [AtomicU64; 7],
    slots: [Slot; SLOTS],
}

// SAFETY: integers that are atomic, in a fixed layout.
unsafe impl Plain for Page {}

/// How many items are taken in one entry of the latch.
const AT_ONCE: u64 = SLOTS as u64;

/// The right to acknowledge an item.
#[derive(Debug)]
pub struct Receipt {
    page: Reference,
    index: u32,
    number: u64,
}

/// An item that this process holds until it is acknowledged, or until the process dies.
#[derive(Debug)]
pub struct Lent {
    block: Block,
    length: u64,
    /// What its sender gave with it.
    pub mark: u32,
    receipt: Receipt,
}

impl Lent {
    /// Its bytes.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    pub fn bytes(&self) -> Result<&[u8], Error> {
        let place = self.block.bytes(self.length)?;
        // SAFETY: inside the block, which nobody writes to or gives back before the receipt is used, which is in here.
        Ok(unsafe { std::slice::from_raw_parts(place.as_ptr(), self.length as usize) })
    }

    /// What acknowledges it.
    pub fn into_receipt(self) -> Receipt {
        self.receipt
    }
}

/// An item that is to be acknowledged is not this process's, or not any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotHeld;

/// The pages of slots. No more than there is memory for, whatever they say of each other.
fn pages(segment: &'static Segment, pending: &Pending) -> impl Iterator<Item = (Block, &'static Page)> {
    let most = segment.header().top.load(Ordering::Relaxed) / size_of::<Page>() as u64;
    let mut next = Reference(pending.pages.load(Ordering::Acquire));
    let follow = move || {
        let block = Block::find(segment, next, Kind::Pending).ok()?;
        let page: &'static Page = block.content().ok()?;
        next = Reference(page.next.load(Ordering::Acquire));
        Some((block, page))
    };
    std::iter::from_fn(follow).take(most as usize)
}

/// Every slot, with its page and its place there.
fn slots(
    segment: &'static Segment,
    pending: &Pending,
) -> impl Iterator<Item = (Reference, usize, &'static Slot)> {
    pages(segment, pending).flat_map(|(block, page)| {
        page.slots.iter().enumerate().map(move |(index, slot)| (block.reference, index, slot))
    })
}

impl Slot {
    fn holder(&self) -> u32 {
        self.holder.load(Ordering::Acquire)
    }

    fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    fn block(&self, segment: &'static Segment) -> Result<Block, Error> {
        let (reference, length) = (self.block.load(Ordering::Relaxed), self.length.load(Ordering::Relaxed));
        find_payload(segment, Reference(reference), length)
    }

    fn lent(&self, segment: &'static Segment, page: Reference, index: usize) -> Result<Lent, Error> {
        Ok(Lent {
            block: self.block(segment)?,
            length: self.length.load(Ordering::Relaxed),
            mark: self.mark.load(Ordering::Relaxed),
            receipt: Receipt { page, index: index as u32, number: self.number() },
        })
    }
}

impl Queue {
    fn pending(&self) -> &'static Pending {
        &self.content().pending
    }

    /// Takes up to `most` items, those first whose receivers died, and adds them to `batch`. `thorough` also asks whether
    /// receivers have died whom nobody has found dead yet.
    pub(super) fn take_to_hold(
        &self,
        me: Tag,
        most: u64,
        batch: &mut Batch,
        thorough: bool,
    ) -> Result<Option<Result<u64, ShutDown>>, Error> {
        let (pending, segment) = (self.pending(), self.segment());
        // From now on deaths are found soon; those from before this process's first look here, by it.
        monitor::start(segment);
        let generation = fork::generation().wrapping_add(1).max(1);
        let thorough = thorough || self.looked.swap(generation, Ordering::Relaxed) != generation;
        if thorough {
            self.bury_the_dead(me);
        }
        let deaths = segment.header().deaths.load(Ordering::SeqCst);
        if thorough
            || pending.orphans.load(Ordering::Relaxed) != 0
            || pending.seen_deaths.load(Ordering::Relaxed) != deaths
        {
            let again = self.take_again(me, most, batch)?;
            if again > 0 {
                return Ok(Some(Ok(again)));
            }
        }
        let mut spare = None;
        loop {
            // Nobody asks for memory inside a latch.
            batch.lent.reserve(AT_ONCE as usize);
            let First { inside, chunk, start, retired } = match self.first(me, Patience::Latches)? {
                Some(Ok(first)) => first,
                Some(Err(ShutDown)) if !thorough && pending.held.load(Ordering::SeqCst) != 0 => {
                    return self.take_to_hold(me, most, batch, true);
                }
                Some(Err(ShutDown)) => return Ok(Some(Err(ShutDown))),
                None => return Ok(None),
            };
            let mut free = slots(segment, pending).filter(|(_, _, slot)| slot.holder() == 0).peekable();
            if free.peek().is_some() {
                let (mut end, mut taken) = (start, 0);
                for (record, (page, index, slot)) in chunk.large_from(start)?.zip(free) {
                    if taken >= most.min(AT_ONCE) {
                        break;
                    }
                    // What is not whole ends it: what stands before may be used.
                    let Ok((Raw::Large { reference, length, mark }, after)) = record else { break };
                    slot.number.store(chunk.total(end).items, Ordering::Relaxed);
                    slot.block.store(reference.0, Ordering::Relaxed);
                    slot.length.store(length, Ordering::Relaxed);
                    slot.mark.store(mark, Ordering::Relaxed);
                    let Ok(held) = slot.lent(segment, page, index) else { break };
                    slot.holder.store(me.0, Ordering::Release);
                    step::at(Step::SlotFilled);
                    batch.lent.push(held);
                    (end, taken) = (after, taken + 1);
                }
                if taken == 0 {
                    return Err(Error::Corrupt("an item without a block of its own"));
                }
                // Before they are taken: whoever adds up meanwhile may find too many unfinished, never too few.
                pending.held.fetch_add(taken as u32, Ordering::SeqCst);
                step::at(Step::SlotsCounted);
                chunk.take(end);
                step::at(Step::Taken);
                self.leave_head(me, inside, retired, taken as u32)?;
                return Ok(Some(Ok(taken)));
            }
            drop(free);
            match spare.take() {
                Some(page) => self.link_page(page)?,
                None => {
                    drop(inside);
                    retired.map_or(Ok(()), |block| block.free(me))?;
                    spare = Some(new_page(segment, me)?);
                    continue;
                }
            }
            drop(inside);
            retired.map_or(Ok(()), |block| block.free(me))?;
        }
    }

    /// Adds a page of empty slots. Inside the head's latch.
    fn link_page(&self, block: Block) -> Result<(), Error> {
        let (pending, page) = (self.pending(), block.content::<Page>()?);
        page.next.store(pending.pages.load(Ordering::Relaxed), Ordering::Release);
        pending.pages.store(block.reference.0, Ordering::Release);
        step::at(Step::PageLinked);
        block.becomes_part_of(self.object.block().reference)
    }

    /// Asks whether receivers that hold items are alive. Outside any latch: each costs 10 µs.
    fn bury_the_dead(&self, me: Tag) {
        let segment = self.segment();
        let mut asked = vec![0, ORPHAN, me.0];
        for (_, _, slot) in slots(segment, self.pending()) {
            let holder = slot.holder();
            if !asked.contains(&holder) {
                asked.push(holder);
                if segment.is_dead(Tag(holder)) {
                    segment.bury(Tag(holder));
                }
            }
        }
    }

    /// Takes items that dead receivers held, the longest put first.
    fn take_again(&self, me: Tag, most: u64, batch: &mut Batch) -> Result<u64, Error> {
        let (pending, segment) = (self.pending(), self.segment());
        let wanted = most.min(AT_ONCE) as usize;
        // Nobody asks for memory inside a latch.
        batch.lent.reserve(wanted);
        let mut first: Vec<(Reference, usize, &Slot)> = Vec::with_capacity(wanted + 1);
        let inside = enter_head(self.object.block(), me, Patience::Latches)?;
        step::at(Step::HeadEntered);
        // Read first: who is found dead after this is looked for again.
        let deaths = segment.header().deaths.load(Ordering::SeqCst);
        let mut orphans = 0;
        for (page, index, slot) in slots(segment, pending) {
            match slot.holder() {
                0 => continue,
                ORPHAN => {}
                holder if segment.record_of(Tag(holder)).is_some() => continue,
                _ => {
                    slot.holder.store(ORPHAN, Ordering::Release);
                    step::at(Step::SlotOrphaned);
                }
            }
            orphans += 1;
            let place = first.partition_point(|(_, _, other)| other.number() < slot.number());
            first.insert(place, (page, index, slot));
            first.truncate(wanted);
        }
        let mut taken = 0;
        for (page, index, slot) in first {
            let held = slot.lent(segment, page, index)?;
            slot.holder.store(me.0, Ordering::Release);
            step::at(Step::SlotTakenOver);
            batch.lent.push(held);
            taken += 1;
        }
        let left = orphans - taken.min(orphans);
        pending.orphans.store(left as u32, Ordering::SeqCst);
        pending.seen_deaths.store(deaths, Ordering::Relaxed);
        drop(inside);
        step::at(Step::HeadLeft);
        if left > 0 {
            tell(segment, &self.flow().not_empty, left as u32);
        }
        Ok(taken)
    }

    /// Acknowledges items: they are done, and never given to anybody again. If one is not this process's any more, the
    /// others are acknowledged all the same.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    pub fn acknowledge(&self, receipts: &[Receipt]) -> Result<Result<(), NotHeld>, Error> {
        let (pending, segment) = (self.pending(), self.segment());
        let me = segment.me()?;
        let mut ended = Ok(());
        for some in receipts.chunks(SLOTS) {
            // Nobody asks for memory inside a latch.
            let mut blocks = Vec::with_capacity(some.len());
            let inside = enter_head(self.object.block(), me, Patience::Latches)?;
            step::at(Step::HeadEntered);
            for receipt in some {
                let page: &Page = Block::find(segment, receipt.page, Kind::Pending)?.content()?;
                let slot = page.slots.get(receipt.index as usize);
                let held = |slot: &&Slot| slot.holder() == me.0 && slot.number() == receipt.number;
                let Some(slot) = slot.filter(held) else {
                    ended = Err(NotHeld);
                    continue;
                };
                let block = slot.block(segment)?;
                block.belongs_to(me)?;
                step::at(Step::ItemClaimed);
                slot.holder.store(0, Ordering::Release);
                step::at(Step::ItemAcknowledged);
                pending.held.fetch_sub(1, Ordering::SeqCst);
                blocks.push(block);
            }
            drop(inside);
            step::at(Step::HeadLeft);
            blocks.into_iter().try_for_each(|block| block.free(me))?;
        }
        if self.unfinished()? == 0 {
            tell(segment, &self.flow().all_done, u32::MAX);
        }
        step::at(Step::DoneTold);
        Ok(ended)
    }

    /// Takes an item and acknowledges it at once.
    #[cold]
    pub(super) fn take_and_acknowledge(&self, me: Tag) -> Result<Option<Result<Item, ShutDown>>, Error> {
        let mut batch = Batch::default();
        let ended = self.take_to_hold(me, 1, &mut batch, false)?;
        let Some(held) = batch.lent.pop() else { return Ok(ended.map(|_| Err(ShutDown))) };
        let item = Item::Small { bytes: held.bytes()?.to_vec(), mark: held.mark };
        // Just taken: nobody else can have it.
        let _ = self.acknowledge(&[held.into_receipt()])?;
        Ok(Some(Ok(item)))
    }

    /// How many items are pending, and how many of them wait for another receiver.
    pub fn held(&self) -> (u32, u32) {
        let pending = self.pending();
        (pending.held.load(Ordering::SeqCst), pending.orphans.load(Ordering::SeqCst))
    }
}

fn new_page(segment: &'static Segment, me: Tag) -> Result<Block, Error> {
    let block = allocate(segment, me, Kind::Pending, size_of::<Page>() as u64)?;
    let page: &Page = block.content()?;
    page.slots.iter().for_each(|slot| slot.holder.store(0, Ordering::Relaxed));
    Ok(block)
}

/// Repairs what the dead left behind, inside the head's latch. `first` is the first chunk.
pub(super) fn repair(queue: Block, content: &Content, first: &Chunk) -> Result<(), Error> {
    let (segment, pending) = (queue.segment, &content.pending);
    pages(segment, pending).try_for_each(|(block, _)| block.becomes_part_of(queue.reference))?;
    let taken = first.total(first.taken()).items;
    let (mut held, mut orphans) = (0, 0);
    for (_, _, slot) in slots(segment, pending).filter(|(_, _, slot)| slot.holder() != 0) {
        if slot.number() >= taken {
            slot.holder.store(0, Ordering::Release);
            continue;
        }
        slot.block(segment)?.becomes_part_of(queue.reference)?;
        held += 1;
        orphans += u32::from(slot.holder() == ORPHAN);
    }
    pending.held.store(held, Ordering::SeqCst);
    pending.orphans.store(orphans, Ordering::SeqCst);
    Ok(())
}

/// Gives back what is pending, with the queue.
pub(super) fn dismantle(segment: &'static Segment, pending: &Pending, me: Tag) -> Result<(), Error> {
    for (_, _, slot) in slots(segment, pending).filter(|(_, _, slot)| slot.holder() != 0) {
        slot.block(segment)?.free(me)?;
    }
    pages(segment, pending).try_for_each(|(block, _)| block.free(me))
}

#[cfg(test)]
pub(crate) fn rows() -> [(usize, Vec<String>); 3] {
    use crate::layout::rows;
    [
        rows!(Pending { pages, held, orphans, seen_deaths, acknowledges }),
        rows!(Page { next, reserved, slots }),
        rows!(Slot { number, holder, mark, block, length }),
    ]
}
