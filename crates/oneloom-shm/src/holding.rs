//! Who holds an item that was taken: the process that took it, and since a fork its children, too.
//!
//! The item's block belongs to its receiver until that lets go of it or dies. Just before a fork, whatever is held here
//! is shared: the child gets a *holding*, a list of those blocks, under the tag that is expected for it
//! ([`crate::unborn`]); the parent gets one of what was its alone so far; and each block then belongs to itself. Nothing
//! is left to be done after the fork, whoever is killed. A process that lets go strikes the block off its own holding,
//! and gives it back if it stands on nobody's. All this happens inside the latch `holders`; every store in there leaves
//! a sound state, so whoever inherits it has nothing to repair.
//!
//! | it died after | it left | repair |
//! |---|---|---|
//! | giving the child its holding | blocks that are still its own | a sweep gives them back, and both holdings |
//! | sharing blocks, before the fork | blocks on holdings of the dead | a sweep gives back what is on nobody's |
//! | striking a block off | a block on nobody's holding | a sweep gives it back |
//! | taking that block to give it back | a block of its own | a sweep gives it back |
//!
//! Where there is no memory or no record for this, the blocks stay as long as the family. A fork that runs no handlers
//! (the bare system call) shares nothing: what its parent holds is not to be used in its child. A child that executes
//! another program counts as a holder until that program has ended.

use std::collections::HashSet;

use oneloom_wait::atomic::{AtomicU64, Ordering};

use crate::arena::{Block, HEADER, Kind, Reference, allocate, in_use};
use crate::error::Error;
use crate::member::Tag;
use crate::segment::{Plain, Segment};
use crate::step::{self, Step};
use crate::unborn::Unborn;

/// What stands in the segment: then references to blocks, 8 bytes each, 0 for one that was struck off.
#[repr(C, align(64))]
struct Content {
    /// The next holding of the same process, by reference.
    next: AtomicU64,
    /// How many blocks it has place for.
    count: AtomicU64,
}

/// One line of a holding.
#[repr(transparent)]
struct Line(AtomicU64);

// SAFETY: integers that are atomic, in a fixed layout.
unsafe impl Plain for Content {}
// SAFETY: as for Content.
unsafe impl Plain for Line {}

/// So many holdings has a process at most; a longer chain than that is a circle, in a segment that is damaged.
const MOST: usize = 1 << 16;

/// A list of blocks that a process holds together with others.
struct Holding {
    block: Block,
    content: &'static Content,
}

impl Holding {
    /// One of this process, for now, that nobody knows of.
    fn make(segment: &'static Segment, me: Tag, blocks: &[Block]) -> Result<Self, Error> {
        let count = blocks.len() as u64;
        let bytes = size_of::<Content>() as u64 + count * size_of::<Line>() as u64;
        let block = allocate(segment, me, Kind::Holding, bytes)?;
        let made = Self { block, content: block.content()? };
        made.content.next.store(0, Ordering::Relaxed);
        made.content.count.store(count, Ordering::Relaxed);
        for (line, held) in made.lines().zip(blocks) {
            line.store(held.reference.0, Ordering::Relaxed);
        }
        Ok(made)
    }

    fn find(segment: &'static Segment, reference: Reference) -> Option<Self> {
        let block = Block::find(segment, reference, Kind::Holding).ok()?;
        Some(Self { block, content: block.content().ok()? })
    }

    fn lines(&self) -> impl Iterator<Item = &'static AtomicU64> + use<> {
        let start = self.block.reference.offset() + HEADER + size_of::<Content>() as u64;
        let segment = self.block.segment;
        // No more than fit, whatever stands there.
        let fits = self.block.capacity().unwrap_or(0) / size_of::<Line>() as u64;
        (0..self.content.count.load(Ordering::Acquire).min(fits)).map_while(move |index| {
            let line: &'static Line = segment.at(start + index * size_of::<Line>() as u64).ok()?;
            Some(&line.0)
        })
    }
}

/// A process's holdings, each with the place that names it. A dead one's may be something else by now, which then is
/// some living one's.
fn holdings_of(segment: &'static Segment, tag: Tag) -> impl Iterator<Item = (&'static AtomicU64, Holding)> {
    let mut place = segment.record_of(tag).map(|record| &record.holdings);
    let next = move || {
        let named = place?;
        let holding = Holding::find(segment, Reference(named.load(Ordering::SeqCst)))?;
        place = Some(&holding.content.next);
        Some((named, holding))
    };
    std::iter::from_fn(next).take(MOST)
}

/// Every block that somebody holds together with others. Inside the latch.
fn all_held(segment: &'static Segment) -> impl Iterator<Item = u64> {
    let holdings = segment.members().flat_map(move |tag| holdings_of(segment, tag));
    holdings.flat_map(|(_, holding)| holding.lines()).map(|line| line.load(Ordering::SeqCst))
}

/// Strikes a block off this process's holding; that holding, if it is empty now and no longer named. Inside the latch.
fn strike(segment: &'static Segment, me: Tag, block: Block) -> Option<Block> {
    for (named, holding) in holdings_of(segment, me) {
        let Some(line) = holding.lines().find(|line| line.load(Ordering::SeqCst) == block.reference.0) else {
            continue;
        };
        line.store(0, Ordering::SeqCst);
        step::at(Step::HoldStruck);
        if holding.lines().any(|line| line.load(Ordering::SeqCst) != 0) {
            return None;
        }
        named.store(holding.content.next.load(Ordering::SeqCst), Ordering::SeqCst);
        step::at(Step::HoldingUnlinked);
        return Some(holding.block);
    }
    None
}

/// This process no longer holds a block.
///
/// # Errors
/// If the segment contradicts itself.
pub fn release(block: Block) -> Result<(), Error> {
    let segment = block.segment;
    let me = segment.me()?;
    if block.is_of(me) {
        return block.free(me);
    }
    if !block.is_part_of(block.reference) {
        return Ok(());
    }
    let (emptied, is_last) = {
        let _inside = segment.header().holders.enter(segment, me);
        let emptied = strike(segment, me, block);
        // Others may be holders no more: then the last of them has it.
        let is_last = block.is_part_of(block.reference)
            && all_held(segment).all(|reference| reference != block.reference.0);
        if is_last {
            block.belongs_to(me)?;
            step::at(Step::ItemReclaimed);
        }
        (emptied, is_last)
    };
    if let Some(holding) = emptied {
        holding.free(me)?;
    }
    if is_last { block.free(me) } else { Ok(()) }
}

/// Gives back what only the dead held.
///
/// # Errors
/// If the segment contradicts itself.
pub(crate) fn sweep(segment: &'static Segment, me: Tag) -> Result<(), Error> {
    let abandoned = {
        let _inside = segment.header().holders.enter(segment, me);
        let held: HashSet<u64> = all_held(segment).collect();
        let shared = in_use(segment, Kind::Payload).filter(|block| block.is_part_of(block.reference));
        let abandoned: Vec<_> = shared.filter(|block| !held.contains(&block.reference.0)).collect();
        for block in &abandoned {
            block.belongs_to(me)?;
        }
        abandoned
    };
    abandoned.into_iter().try_for_each(|block| block.free(me))
}

/// Shares blocks that this process holds with the child that a fork is about to make.
///
/// # Errors
/// If there is no memory, or no record for the child.
pub fn share(segment: &'static Segment, blocks: &[Block]) -> Result<Unborn, Error> {
    let me = segment.me()?;
    let child = Unborn::expect(segment)?;
    let own: Vec<_> = blocks.iter().copied().filter(|block| block.is_of(me)).collect();
    if holdings_of(segment, me).count() == MOST {
        return Err(Error::Memory("too many holdings".into()));
    }
    // Nobody asks for memory inside a latch.
    let mine = Holding::make(segment, me, &own)?;
    let theirs = Holding::make(segment, me, blocks).or_else(|error| mine.block.free(me).and(Err(error)))?;
    step::at(Step::HoldingsMade);
    let unused = {
        let _inside = segment.header().holders.enter(segment, me);
        let record = |tag| segment.record_of(tag).map(|record| &record.holdings).ok_or(Error::Gone);
        let (named, childs) = (record(me)?, record(child.tag)?);
        theirs.block.belongs_to(child.tag)?;
        step::at(Step::HoldingGiven);
        childs.store(theirs.block.reference.0, Ordering::SeqCst);
        if !own.is_empty() {
            mine.content.next.store(named.load(Ordering::SeqCst), Ordering::SeqCst);
            named.store(mine.block.reference.0, Ordering::SeqCst);
        }
        step::at(Step::HoldingLinked);
        for block in &own {
            block.becomes_part_of(block.reference)?;
            step::at(Step::ItemShared);
        }
        own.is_empty().then_some(mine.block)
    };
    unused.map_or(Ok(()), |block| block.free(me))?;
    Ok(child)
}

/// Leaves what can't be shared to the family.
pub fn keep(segment: &'static Segment, blocks: &[Block]) {
    let Ok(me) = segment.me() else { return };
    let _inside = segment.header().holders.enter(segment, me);
    for block in blocks {
        let _ = block.stays();
    }
}

#[cfg(test)]
pub(crate) fn rows() -> (usize, Vec<String>) {
    crate::layout::rows!(Content { next, count })
}
