//! Taking the first items of a queue, inside the head's latch.

use oneloom_wait::atomic::Ordering;

use crate::arena::{Block, Reference};
use crate::error::Error;
use crate::flow::{AnyQueue, ShutDown, tell};
use crate::latch::{Inside, Patience};
use crate::member::Tag;
use crate::payload::{Item, Payload, SMALL};
use crate::step::{self, Step};

use super::Queue;
use super::batch::Batch;
use super::chunk::{self, Chunk, LONGEST, Position};
use super::repair::enter_head;

/// Where the first item stands.
pub(super) struct First {
    /// The head's latch.
    pub inside: Inside<'static>,
    pub chunk: Chunk,
    pub start: Position,
    /// The chunk before, which this process is to give back.
    pub retired: Option<Block>,
}

impl Queue {
    /// Finds the first item. `None`: there is none now, or something is in the way.
    #[inline]
    pub(super) fn first(
        &self,
        me: Tag,
        patience: Patience,
    ) -> Result<Option<Result<First, ShutDown>>, Error> {
        let (content, segment) = (self.content(), self.segment());
        // Read first: after a shutdown nothing is put any more, so that empty means empty for ever.
        let shut_down = content.flow.shut_down.load(Ordering::Acquire) != 0;
        let Some(inside) = enter_head(self.object.block(), me, patience)? else { return Ok(None) };
        step::at(Step::HeadEntered);
        let mut retired = None;
        let mut chunk = Chunk::find(segment, Reference(content.head.chunk.load(Ordering::Relaxed)))?;
        let mut start = chunk.taken();
        if start.offset >= content.head.seen_end.load(Ordering::Relaxed) {
            // Read before the end: a chunk that has a next one is complete.
            let next = chunk.next();
            let mut end = chunk.committed().offset;
            if start.offset >= end
                && next != Reference::NONE
                // While the last chunk is this one, a sender is still about to move on, and has put nothing.
                && content.tail.chunk.load(Ordering::Acquire) != chunk.block.reference.0
            {
                if patience == Patience::None {
                    return Ok(None);
                }
                chunk.block.belongs_to(me)?;
                step::at(Step::ChunkRetired);
                content.head.seen_end.store(0, Ordering::Relaxed);
                content.head.chunk.store(next.0, Ordering::Release);
                step::at(Step::HeadMoved);
                retired = Some(chunk.block);
                chunk = Chunk::find(segment, next)?;
                start = chunk.taken();
                end = chunk.committed().offset;
            }
            content.head.seen_end.store(end, Ordering::Relaxed);
            if start.offset >= end {
                drop(inside);
                retired.map_or(Ok(()), |block| block.free(me))?;
                return Ok(shut_down.then_some(Err(ShutDown)));
            }
        }
        Ok(Some(Ok(First { inside, chunk, start, retired })))
    }

    /// What follows when `items` were taken.
    #[inline]
    pub(super) fn leave_head(
        &self,
        me: Tag,
        inside: Inside<'static>,
        retired: Option<Block>,
        items: u32,
    ) -> Result<(), Error> {
        let (flow, segment) = (self.flow(), self.segment());
        drop(inside);
        step::at(Step::HeadLeft);
        retired.map_or(Ok(()), |block| block.free(me))?;
        if flow.maxsize.load(Ordering::Relaxed) != 0 {
            tell(segment, &flow.not_full, items);
        }
        // Set when the queue was made, or before anybody waited for its items; then it is loaded after a fence above.
        if flow.wide.load(Ordering::Relaxed) != 0 {
            tell(segment, &flow.has_room, u32::MAX);
        }
        step::at(Step::GetTold);
        Ok(())
    }

    #[inline]
    pub(super) fn take_first(
        &self,
        me: Tag,
        buffer: &mut Vec<u8>,
        patience: Patience,
    ) -> Result<Option<Result<Item, ShutDown>>, Error> {
        if self.acknowledges() {
            return if patience == Patience::None { Ok(None) } else { self.take_and_acknowledge(me) };
        }
        // Nobody asks for memory inside a latch.
        buffer.reserve(SMALL);
        let First { inside, chunk, start, retired } = match self.first(me, patience)? {
            Some(Ok(first)) => first,
            Some(Err(ShutDown)) => return Ok(Some(Err(ShutDown))),
            None => return Ok(None),
        };
        let (record, end) = chunk.read(start, buffer)?;
        step::at(Step::PayloadRead);
        let item = match record {
            chunk::Record::Small(mark) => {
                chunk.take(end);
                step::at(Step::Taken);
                Item::Small { bytes: std::mem::take(buffer), mark }
            }
            chunk::Record::Large { block, length, mark } => {
                let taking = &self.content().head.taking;
                taking.store(start.offset + 1, Ordering::Release);
                step::at(Step::TakingWritten);
                chunk.take(end);
                step::at(Step::Taken);
                block.belongs_to(me)?;
                step::at(Step::PayloadTaken);
                taking.store(0, Ordering::Release);
                Item::Large(Payload::new(block, length, mark))
            }
        };
        self.leave_head(me, inside, retired, 1)?;
        Ok(Some(Ok(item)))
    }

    /// Takes up to `most` of the items that stand together at the front, and adds them to `batch`.
    pub(super) fn take_some(
        &self,
        me: Tag,
        most: u64,
        batch: &mut Batch,
    ) -> Result<Option<Result<u64, ShutDown>>, Error> {
        // Nobody asks for memory inside a latch.
        batch.bytes.reserve(LONGEST as usize);
        let First { inside, chunk, start, retired } = match self.first(me, Patience::Latches)? {
            Some(Ok(first)) => first,
            Some(Err(ShutDown)) => return Ok(Some(Err(ShutDown))),
            None => return Ok(None),
        };
        let (segment, from) = (self.segment(), batch.bytes.len());
        let end = chunk.copy(start, most.try_into().unwrap_or(u32::MAX), &mut batch.bytes)?;
        let large = batch.check(segment, from)?;
        step::at(Step::PayloadRead);
        let taking = &self.content().head.taking;
        if large {
            taking.store(start.offset + 1, Ordering::Release);
            step::at(Step::TakingWritten);
        }
        chunk.take(end);
        step::at(Step::Taken);
        if large {
            for block in batch.blocks(segment, from) {
                block.belongs_to(me)?;
                step::at(Step::PayloadTaken);
            }
            taking.store(0, Ordering::Release);
        }
        let items = end.items.saturating_sub(start.items);
        self.leave_head(me, inside, retired, items)?;
        batch.keep(segment, from, items, large);
        Ok(Some(Ok(u64::from(items))))
    }
}
