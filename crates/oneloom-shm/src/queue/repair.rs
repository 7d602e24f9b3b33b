//! Entering a queue's latches; whoever inherits one repairs what the dead left behind it.

use oneloom_wait::atomic::Ordering;

use crate::arena::{Block, Reference};
use crate::error::Error;
use crate::latch::{Entry, Inside, Patience};
use crate::member::Tag;
use crate::step::{self, Step};

use super::chunk::Chunk;
use super::{Content, pending};

pub(super) fn enter_tail(
    queue: Block,
    me: Tag,
    patience: Patience,
) -> Result<Option<Inside<'static>>, Error> {
    let content: &'static Content = queue.content()?;
    let inside = content.tail.latch.enter_with(patience, queue.segment, me);
    if inside.as_ref().is_some_and(|inside| inside.entry == Entry::Inherited) {
        let mut last = Chunk::find(queue.segment, Reference(content.tail.chunk.load(Ordering::Acquire)))?;
        let writing = content.tail.writing.load(Ordering::Acquire);
        if let Some(start) = (writing as u32).checked_sub(1) {
            // Large items of this queue that were not put after all.
            if last.committed().offset <= start {
                give_back(last.payloads(start, (writing >> 32) as u32)?, queue.reference, me)?;
            }
            step::at(Step::TailRepaired);
            content.tail.writing.store(0, Ordering::Release);
        }
        while last.next() != Reference::NONE {
            last = Chunk::find(queue.segment, last.next())?;
            last.becomes_part_of(queue.reference)?;
        }
        content.tail.chunk.store(last.block.reference.0, Ordering::Release);
    }
    Ok(inside)
}

pub(super) fn enter_head(
    queue: Block,
    me: Tag,
    patience: Patience,
) -> Result<Option<Inside<'static>>, Error> {
    let content: &'static Content = queue.content()?;
    let inside = content.head.latch.enter_with(patience, queue.segment, me);
    if inside.as_ref().is_some_and(|inside| inside.entry == Entry::Inherited) {
        let first = Chunk::find(queue.segment, Reference(content.head.chunk.load(Ordering::Acquire)))?;
        first.block.becomes_part_of(queue.reference)?;
        content.head.seen_end.store(0, Ordering::Relaxed);
        pending::repair(queue, content, &first)?;
        if let Some(taking) = content.head.taking.load(Ordering::Acquire).checked_sub(1) {
            // Large items that were taken by nobody who lives.
            give_back(first.payloads(taking, first.taken().offset.max(taking))?, queue.reference, me)?;
            step::at(Step::HeadRepaired);
            content.head.taking.store(0, Ordering::Release);
        }
    }
    Ok(inside)
}

/// Gives back those blocks that are still part of a queue.
fn give_back(blocks: Vec<Block>, queue: Reference, me: Tag) -> Result<(), Error> {
    for block in blocks.into_iter().filter(|block| block.is_part_of(queue)) {
        block.belongs_to(me)?;
        block.free(me)?;
    }
    Ok(())
}

/// Repairs what the dead were changing, if any were: passes both latches.
///
/// # Errors
/// If the segment contradicts itself.
pub fn repair(queue: Block, me: Tag) -> Result<(), Error> {
    let content: &Content = queue.content()?;
    // A queue that is still being made, or is going away, has no chunks.
    if content.head.chunk.load(Ordering::Acquire) != 0 && content.tail.chunk.load(Ordering::Acquire) != 0 {
        drop(enter_tail(queue, me, Patience::Latches)?);
        drop(enter_head(queue, me, Patience::Latches)?);
    }
    Ok(())
}
