//! Taking the first item of a queue, inside the head's latch, and what it is then.

use oneloom_wait::atomic::Ordering;

use crate::arena::{Block, Reference};
use crate::error::Error;
use crate::member::Tag;
use crate::monitor;
use crate::step::{self, Step};

use super::chunk::{self, Chunk};
use super::repair::enter_head;
use super::{Patience, Queue, SMALL, ShutDown};

/// What was taken out of a queue.
#[derive(Debug)]
pub enum Item {
    /// A small one.
    Small {
        /// The buffer that the call was given, and in it the item.
        bytes: Vec<u8>,
        /// What its sender gave with it.
        mark: u32,
    },
    /// A large one, in a block of its own that is this process's now.
    Large(Payload),
}

/// A large item that this process has taken; dropping it gives its memory back.
#[derive(Debug)]
pub struct Payload {
    block: Block,
    length: u64,
    /// What its sender gave with it.
    pub mark: u32,
}

impl Payload {
    /// Its bytes.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    pub fn bytes(&self) -> Result<&[u8], Error> {
        let place = self.block.bytes(self.length)?;
        // SAFETY: inside the block, which is this value's own: nobody writes there before it is given back.
        Ok(unsafe { std::slice::from_raw_parts(place.as_ptr(), self.length as usize) })
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if let Ok(me) = self.block.segment.me() {
            // What can't be given back stays: nobody could be told.
            let _ = self.block.free(me);
        }
    }
}

impl Queue {
    pub(super) fn take(
        &self,
        me: Tag,
        buffer: &mut Vec<u8>,
        patience: Patience,
    ) -> Result<Option<Result<Item, ShutDown>>, Error> {
        let (content, segment) = (self.content(), self.segment());
        // Read first: after a shutdown nothing is put any more, so that empty means empty for ever.
        let shut_down = content.shut_down.load(Ordering::Acquire) != 0;
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
                Item::Large(Payload { block, length, mark })
            }
        };
        drop(inside);
        step::at(Step::HeadLeft);
        retired.map_or(Ok(()), |block| block.free(me))?;
        if content.maxsize.load(Ordering::Relaxed) != 0 {
            content.not_full.notify(1, |mask| monitor::ring(segment, &content.not_full, mask));
        }
        step::at(Step::GetTold);
        Ok(Some(Ok(item)))
    }
}
