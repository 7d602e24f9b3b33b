//! Taking the first item of a queue, inside the head's latch.

use oneloom_wait::atomic::Ordering;

use crate::arena::Reference;
use crate::error::Error;
use crate::flow::{AnyQueue, ShutDown, tell};
use crate::latch::Patience;
use crate::member::Tag;
use crate::payload::{Item, Payload, SMALL};
use crate::step::{self, Step};

use super::Queue;
use super::chunk::{self, Chunk};
use super::repair::enter_head;

impl Queue {
    pub(super) fn take_first(
        &self,
        me: Tag,
        buffer: &mut Vec<u8>,
        patience: Patience,
    ) -> Result<Option<Result<Item, ShutDown>>, Error> {
        let (content, segment) = (self.content(), self.segment());
        // Read first: after a shutdown nothing is put any more, so that empty means empty for ever.
        let shut_down = content.flow.shut_down.load(Ordering::Acquire) != 0;
        let mut retired = None;
        // Nobody asks for memory inside a latch.
        buffer.reserve(SMALL);
        let Some(inside) = enter_head(self.object.block(), me, patience)? else { return Ok(None) };
        step::at(Step::HeadEntered);
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
        let (record, end) = chunk.read(start, buffer)?;
        step::at(Step::PayloadRead);
        let item = match record {
            chunk::Record::Small(mark) => {
                chunk.take(end);
                step::at(Step::Taken);
                Item::Small { bytes: std::mem::take(buffer), mark }
            }
            chunk::Record::Large { block, length, mark } => {
                content.head.taking.store(start.offset + 1, Ordering::Release);
                step::at(Step::TakingWritten);
                chunk.take(end);
                step::at(Step::Taken);
                block.belongs_to(me)?;
                step::at(Step::PayloadTaken);
                content.head.taking.store(0, Ordering::Release);
                Item::Large(Payload::new(block, length, mark))
            }
        };
        drop(inside);
        step::at(Step::HeadLeft);
        retired.map_or(Ok(()), |block| block.free(me))?;
        if content.flow.maxsize.load(Ordering::Relaxed) != 0 {
            tell(segment, &content.flow.not_full, 1);
        }
        step::at(Step::GetTold);
        Ok(Some(Ok(item)))
    }
}
