//! Blocks of memory, and what becomes of those whose owner died.
//!
//! Every block has a header with its size, its kind and its owner: a process, while it is being filled, emptied or moved
//! about, else the object that it belongs to. Whether a block is free is told by its owner alone; the lists of free blocks
//! are made anew from that when somebody dies inside the arena's latch. A block is never given to another kind.
//!
//! A sweep gives back what belongs to processes that died, or to objects that are gone. It enters the latches of every
//! queue first, so that whatever the dead were changing is repaired before. Nobody waits for the arena while inside
//! another latch, and nobody sweeps inside one.

use std::ptr::NonNull;

use oneloom_wait::atomic::Ordering;

use crate::condition;
use crate::error::Error;
use crate::holding;
use crate::latch::{Entry, Inside};
use crate::layout::{BLOCKS_AT, BlockHeader, CLASSES, KINDS, PROCESSES};
use crate::member::Tag;
use crate::priority;
use crate::queue;
use crate::segment::{Plain, Segment};
use crate::step::{self, Step};

// SAFETY: integers that are atomic, in a fixed layout.
unsafe impl Plain for BlockHeader {}

/// What a block is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// An item with a block of its own.
    Payload = 1,
    /// A piece of a queue.
    Chunk = 2,
    /// A [`crate::mutex::Mutex`].
    Mutex = 3,
    /// A [`crate::queue::Queue`].
    Queue = 4,
    /// A [`crate::event::Event`].
    Event = 5,
    /// A [`crate::reentrant::ReentrantMutex`].
    Reentrant = 6,
    /// A [`crate::semaphore::Semaphore`].
    Semaphore = 7,
    /// A [`crate::condition::Condition`], or more seats of one.
    Condition = 8,
    /// A [`crate::barrier::Barrier`].
    Barrier = 9,
    /// A [`crate::priority::PriorityQueue`].
    PriorityQueue = 10,
    /// The index of a priority queue.
    Heap = 11,
    /// Slots for a queue's items that were taken and not acknowledged.
    Pending = 12,
    /// What a process holds together with others: [`crate::holding`].
    Holding = 14,
    /// A [`crate::waits::Content`].
    Wait = 15,
}

/// The size of a block's header.
pub const HEADER: u64 = size_of::<BlockHeader>() as u64;
const GENERATIONS: u32 = 1 << 28;
const OFFSET_BITS: u32 = 34;
const PROCESS: u64 = 1 << 63;
/// The owner of what stays as long as the family.
const FAMILY: u64 = 1 << 62;

/// A block by offset and generation, as 62 bits: it never comes to mean what stands there later. 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reference(pub u64);

impl Reference {
    /// No block.
    pub const NONE: Self = Self(0);

    fn new(offset: u64, generation: u32) -> Self {
        Self((u64::from(generation % GENERATIONS) << OFFSET_BITS) | (offset / HEADER))
    }

    /// Where the block's header stands.
    pub fn offset(self) -> u64 {
        (self.0 & ((1 << OFFSET_BITS) - 1)) * HEADER
    }

    fn generation(self) -> u32 {
        (self.0 >> OFFSET_BITS) as u32
    }
}

/// A block that is in use.
#[derive(Clone, Copy)]
pub struct Block {
    /// Where it stands.
    pub segment: &'static Segment,
    /// Its name.
    pub reference: Reference,
}

impl std::fmt::Debug for Block {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Block({:#x})", self.reference.offset())
    }
}

fn size_of_class(class: usize) -> u64 {
    let base = 256_u64 << (class / 4);
    base + base / 4 * (class % 4) as u64
}

fn class_of(bytes: u64) -> Option<usize> {
    let doublings = (bytes.max(256) / 256).ilog2() as usize;
    (doublings * 4..CLASSES).find(|class| size_of_class(*class) >= bytes)
}

/// The header of the block of that name, if it is not gone.
fn named(segment: &Segment, reference: Reference) -> Result<&BlockHeader, Error> {
    let offset = reference.offset();
    if !(BLOCKS_AT..segment.header().top.load(Ordering::Acquire)).contains(&offset) {
        return Err(Error::Gone);
    }
    let header: &BlockHeader = segment.at(offset)?;
    let generation = header.generation.load(Ordering::Acquire) % GENERATIONS;
    if generation != reference.generation() || header.owner.load(Ordering::Acquire) == 0 {
        return Err(Error::Gone);
    }
    Ok(header)
}

impl Block {
    /// The block of that name.
    ///
    /// # Errors
    /// If it is gone, or never was.
    pub fn find(segment: &'static Segment, reference: Reference, kind: Kind) -> Result<Self, Error> {
        let header = named(segment, reference)?;
        if header.kind.load(Ordering::Relaxed) >> 16 != kind as u32 {
            return Err(Error::Kind);
        }
        Ok(Self { segment, reference })
    }

    fn header(&self) -> Result<&'static BlockHeader, Error> {
        self.segment.at(self.reference.offset())
    }

    /// How many bytes it has for its user.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    pub fn capacity(&self) -> Result<u64, Error> {
        self.header()?
            .size
            .load(Ordering::Relaxed)
            .checked_sub(HEADER)
            .ok_or(Error::Corrupt("a block's size"))
    }

    /// Its first `length` bytes.
    ///
    /// # Errors
    /// If it is not as long.
    pub fn bytes(&self, length: u64) -> Result<NonNull<u8>, Error> {
        if length > self.capacity()? {
            return Err(Error::Corrupt("an item longer than its block"));
        }
        self.segment.bytes(self.reference.offset() + HEADER, length)
    }

    /// What stands in it.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    #[inline]
    pub fn content<T: Plain>(&self) -> Result<&'static T, Error> {
        const { assert!(align_of::<T>() <= HEADER as usize) };
        self.segment.at(self.reference.offset() + HEADER)
    }

    /// What stands in it, one after the other: as many as there is room for.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    pub fn contents<T: Plain>(&self) -> Result<&'static [T], Error> {
        const { assert!(align_of::<T>() <= HEADER as usize && size_of::<T>() > 0) };
        let capacity = self.capacity()?;
        let first = self.bytes(capacity)?.cast::<T>();
        let number = capacity as usize / size_of::<T>();
        // SAFETY: inside the block, which begins aligned; `Plain` says that any bytes will do.
        Ok(unsafe { std::slice::from_raw_parts(first.as_ptr(), number) })
    }

    /// What stands at its end.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    pub fn content_at_end<T: Plain>(&self) -> Result<&'static T, Error> {
        let at =
            self.capacity()?.checked_sub(size_of::<T>() as u64).ok_or(Error::Corrupt("a block's size"))?;
        self.segment.at((self.reference.offset() + HEADER).saturating_add(at))
    }

    /// Makes it a process's own, for as long as that one lives.
    pub fn belongs_to(&self, process: Tag) -> Result<(), Error> {
        self.header()?.owner.store(PROCESS | u64::from(process.0), Ordering::SeqCst);
        Ok(())
    }

    /// Makes it part of an object.
    pub fn becomes_part_of(&self, object: Reference) -> Result<(), Error> {
        self.header()?.owner.store(object.0, Ordering::SeqCst);
        Ok(())
    }

    /// Whether it is a process's own.
    pub fn is_of(&self, process: Tag) -> bool {
        let owner = PROCESS | u64::from(process.0);
        self.header().is_ok_and(|header| header.owner.load(Ordering::SeqCst) == owner)
    }

    /// Leaves it to the family, for as long as that lives.
    pub fn stays(&self) -> Result<(), Error> {
        self.becomes_part_of(Reference(FAMILY))
    }

    /// Whether it is part of `object`.
    pub fn is_part_of(&self, object: Reference) -> bool {
        self.header().is_ok_and(|header| header.owner.load(Ordering::SeqCst) == object.0)
    }

    /// Gives it back.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    pub fn free(self, me: Tag) -> Result<(), Error> {
        let inside = self.segment.header().arena.enter(self.segment, me);
        make_good(self.segment, &inside)?;
        let header = self.header()?;
        if header.generation.load(Ordering::Relaxed) % GENERATIONS != self.reference.generation()
            || header.owner.swap(0, Ordering::SeqCst) == 0
        {
            return Err(Error::Gone);
        }
        step::at(Step::BlockFreed);
        link(self.segment, self.reference.offset(), header)?;
        step::at(Step::BlockLinked);
        drop(inside);
        Ok(())
    }
}

fn kind_and_class(header: &BlockHeader) -> Option<(usize, usize)> {
    let bits = header.kind.load(Ordering::Relaxed);
    let (kind, class) = ((bits >> 16) as usize, (bits & 0xffff) as usize);
    (kind < KINDS && class < CLASSES).then_some((kind, class))
}

fn link(segment: &Segment, offset: u64, header: &BlockHeader) -> Result<(), Error> {
    let (kind, class) = kind_and_class(header).ok_or(Error::Corrupt("a block's kind"))?;
    let first = &segment.header().free[kind][class];
    header.next.store(first.load(Ordering::Relaxed), Ordering::Relaxed);
    first.store(offset, Ordering::Release);
    Ok(())
}

/// Repairs the lists of free blocks if somebody died while changing them.
fn make_good(segment: &Segment, inside: &Inside<'_>) -> Result<(), Error> {
    if inside.entry == Entry::Inherited {
        segment.header().free.iter().flatten().for_each(|first| first.store(0, Ordering::Relaxed));
        for (offset, header) in blocks(segment) {
            if header.owner.load(Ordering::SeqCst) == 0 {
                link(segment, offset, header)?;
            }
        }
    }
    Ok(())
}

/// Every block there is, in use or free.
fn blocks(segment: &Segment) -> impl Iterator<Item = (u64, &BlockHeader)> {
    let mut offset = BLOCKS_AT;
    let top = segment.header().top.load(Ordering::Acquire);
    std::iter::from_fn(move || {
        let header: &BlockHeader = (offset < top).then(|| segment.at(offset).ok()).flatten()?;
        let found = offset;
        let size = header.size.load(Ordering::Relaxed);
        offset = if size < HEADER { top } else { offset.saturating_add(size) };
        Some((found, header))
    })
}

/// A new block, which belongs to the calling process for now. Its content is whatever stood there.
///
/// # Errors
/// If there is no memory left, or the segment may not grow any further.
pub fn allocate(segment: &'static Segment, me: Tag, kind: Kind, bytes: u64) -> Result<Block, Error> {
    let class = class_of(bytes.saturating_add(HEADER)).ok_or_else(|| Error::Memory("too large".into()))?;
    let enter = || segment.header().arena.enter(segment, me);
    if let Some(block) = recycle_or_carve(segment, me, kind, class, enter(), false)? {
        return Ok(block);
    }
    sweep(segment, me)?;
    recycle_or_carve(segment, me, kind, class, enter(), true)?
        .ok_or(Error::Corrupt("memory that grew and is not there"))
}

/// A new block, if there is memory for it and nothing in the way: never waits.
///
/// # Errors
/// If the segment contradicts itself.
pub fn try_allocate(
    segment: &'static Segment,
    me: Tag,
    kind: Kind,
    bytes: u64,
) -> Result<Option<Block>, Error> {
    let Some(class) = class_of(bytes.saturating_add(HEADER)) else { return Ok(None) };
    let Some(inside) = segment.header().arena.try_enter(me) else { return Ok(None) };
    recycle_or_carve(segment, me, kind, class, inside, false)
}

fn recycle_or_carve(
    segment: &'static Segment,
    me: Tag,
    kind: Kind,
    class: usize,
    inside: Inside<'_>,
    may_grow: bool,
) -> Result<Option<Block>, Error> {
    let header = segment.header();
    make_good(segment, &inside)?;
    let first = &header.free[kind as usize][class];
    let offset = first.load(Ordering::Relaxed);
    let mine = PROCESS | u64::from(me.0);
    if offset != 0 {
        if offset < BLOCKS_AT {
            return Err(Error::Corrupt("a list of free blocks"));
        }
        let block: &BlockHeader = segment.at(offset)?;
        let generation = block.generation.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        block.owner.store(mine, Ordering::SeqCst);
        step::at(Step::BlockMarked);
        first.store(block.next.load(Ordering::Relaxed), Ordering::Release);
        step::at(Step::BlockUnlinked);
        return Ok(Some(Block { segment, reference: Reference::new(offset, generation) }));
    }
    let (top, size) = (header.top.load(Ordering::Relaxed), size_of_class(class));
    let there = header.size.load(Ordering::Relaxed);
    if !(BLOCKS_AT..=there).contains(&top) {
        return Err(Error::Corrupt("the end of the last block"));
    }
    let end = top.saturating_add(size);
    if end > there {
        if !may_grow {
            return Ok(None);
        }
        segment.grow(end)?;
    }
    let block: &BlockHeader = segment.at(top)?;
    block.owner.store(mine, Ordering::Relaxed);
    block.generation.store(1, Ordering::Relaxed);
    block.kind.store((kind as u32) << 16 | class as u32, Ordering::Relaxed);
    block.size.store(size, Ordering::Relaxed);
    header.top.store(end, Ordering::Release);
    step::at(Step::BlockCarved);
    Ok(Some(Block { segment, reference: Reference::new(top, 1) }))
}

/// Gives back what belongs to the dead. Nothing to do, and cheap, if nobody died since the last time.
///
/// # Errors
/// If the segment contradicts itself.
pub fn sweep(segment: &'static Segment, me: Tag) -> Result<(), Error> {
    segment.find_dead();
    let header = segment.header();
    let deaths = header.deaths.load(Ordering::SeqCst);
    if header.swept.load(Ordering::SeqCst) == deaths {
        return Ok(());
    }
    // Who dies after this is left to the next sweep: what it was changing may not be repaired below.
    // The generations come first: whoever joins between the two looks is newer than they are, and not dead.
    let newest: Vec<u32> = (0..PROCESSES).map(|slot| segment.generation_of(slot)).collect();
    let mut alive = [0_u32; PROCESSES];
    for tag in segment.members() {
        alive[tag.slot()] = tag.0;
    }
    let was_dead = |tag: Tag| {
        let slot = tag.slot();
        slot < PROCESSES && alive[slot] != tag.0 && tag.generation() <= newest[slot]
    };
    for (offset, block) in blocks(segment) {
        let reference = Reference::new(offset, block.generation.load(Ordering::Acquire));
        // An object that is still being made has no latch yet: there stands what was there before.
        if block.owner.load(Ordering::SeqCst) != reference.0 {
            continue;
        }
        let object = Block { segment, reference };
        match kind_and_class(block) {
            Some((kind, _)) if kind == Kind::Condition as usize => condition::repair(object, me)?,
            Some((kind, _)) if kind == Kind::Queue as usize => queue::repair(object, me)?,
            Some((kind, _)) if kind == Kind::PriorityQueue as usize => priority::repair(object, me)?,
            _ => {}
        }
    }
    for (offset, block) in blocks(segment) {
        let owner = block.owner.load(Ordering::SeqCst);
        let reference = Reference::new(offset, block.generation.load(Ordering::Acquire));
        let abandoned = if owner & PROCESS != 0 {
            was_dead(Tag(owner as u32))
        } else {
            !matches!(owner, 0 | FAMILY) && owner != reference.0 && named(segment, Reference(owner)).is_err()
        };
        let mine = PROCESS | u64::from(me.0);
        if abandoned && block.owner.compare_exchange(owner, mine, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        {
            Block { segment, reference }.free(me)?;
        }
    }
    holding::sweep(segment, me)?;
    header.swept.store(deaths, Ordering::SeqCst);
    Ok(())
}

/// Every block of a kind that is in use.
pub fn in_use(segment: &'static Segment, kind: Kind) -> impl Iterator<Item = Block> {
    let used = move |(_, header): &(u64, &BlockHeader)| {
        header.kind.load(Ordering::Relaxed) >> 16 == kind as u32 && header.owner.load(Ordering::SeqCst) != 0
    };
    blocks(segment).filter(used).map(move |(offset, header)| {
        let reference = Reference::new(offset, header.generation.load(Ordering::Acquire));
        Block { segment, reference }
    })
}

/// All blocks of a kind that are part of an object.
pub fn parts_of(object: Block, kind: Kind) -> impl Iterator<Item = Block> {
    in_use(object.segment, kind).filter(move |block| block.is_part_of(object.reference))
}

/// Whose a block is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// A process's, for as long as that lives.
    Process,
    /// An object's.
    Object,
    /// Nobody's, to be given out again.
    Free,
    /// Nobody's, and in no list: what died over it is noticed by the next to enter the arena.
    Lost,
}

/// The kind of each block, and whose it is: for tests, while nobody else is there.
pub fn census(segment: &Segment) -> Vec<(u32, Whose)> {
    let mut free = Vec::new();
    // A longer list than that goes in circles, in a segment that is damaged.
    let most = blocks(segment).count();
    for first in segment.header().free.iter().flatten() {
        let mut offset = first.load(Ordering::Relaxed);
        while let Some(Ok(block)) =
            (offset != 0 && free.len() < most).then(|| segment.at::<BlockHeader>(offset))
        {
            free.push(offset);
            offset = block.next.load(Ordering::Relaxed);
        }
    }
    let whose = |offset, owner| match owner {
        0 if free.contains(&offset) => Whose::Free,
        0 => Whose::Lost,
        owner if owner & PROCESS != 0 => Whose::Process,
        _ => Whose::Object,
    };
    blocks(segment)
        .map(|(offset, block)| {
            (block.kind.load(Ordering::Relaxed) >> 16, whose(offset, block.owner.load(Ordering::Relaxed)))
        })
        .collect()
}

/// How many bytes blocks have taken so far, and how many of those are in use: for tests and statistics.
pub fn usage(segment: &Segment) -> (u64, u64) {
    let sizes = |(_, block): (u64, &BlockHeader)| {
        let size = block.size.load(Ordering::Relaxed);
        (size, if block.owner.load(Ordering::Relaxed) == 0 { 0 } else { size })
    };
    blocks(segment)
        .map(sizes)
        .fold((0, 0), |sum: (u64, u64), next| (sum.0.saturating_add(next.0), sum.1.saturating_add(next.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_leaves_alone_what_is_still_being_made() {
        let segment = Segment::on_heap(1 << 20).expect("a segment");
        let me = segment.me().expect("a member");
        for kind in [Kind::Condition, Kind::Queue, Kind::PriorityQueue] {
            let block = allocate(segment, me, kind, 1 << 10).expect("memory");
            let content = block.bytes(1 << 10).expect("as long");
            // As if all latches had been left by the dead, and all references led somewhere.
            // SAFETY: inside the block, which is this process's own.
            unsafe { content.write_bytes(0x41, 1 << 10) };
            segment.header().deaths.fetch_add(1, Ordering::SeqCst);
            assert_eq!(sweep(segment, me), Ok(()), "{kind:?}");
            // SAFETY: as before; nobody writes there now.
            let content = unsafe { std::slice::from_raw_parts(content.as_ptr(), 1 << 10) };
            assert!(content.iter().all(|byte| *byte == 0x41), "{kind:?}");
        }
    }
}
