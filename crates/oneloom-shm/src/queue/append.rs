//! Putting an item at the end of a queue, inside the tail's latch.

use oneloom_wait::atomic::Ordering;

use crate::arena::Reference;
use crate::error::Error;
use crate::flow::{AnyQueue, ShutDown, tell};
use crate::latch::Patience;
use crate::member::Tag;
use crate::step::{self, Step};

use super::Queue;
use super::chunk::{Body, Chunk};
use super::repair::enter_tail;

impl Queue {
    pub(super) fn append(
        &self,
        me: Tag,
        body: &Body<'_>,
        mark: u32,
        patience: Patience,
    ) -> Result<Option<Result<(), ShutDown>>, Error> {
        let (content, segment) = (self.content(), self.segment());
        let mut spare: Option<Chunk> = None;
        let result = loop {
            let Some(inside) = enter_tail(self.object.block(), me, patience)? else { return Ok(None) };
            step::at(Step::TailEntered);
            if content.flow.shut_down.load(Ordering::Relaxed) != 0 {
                break Ok(Some(Err(ShutDown)));
            }
            let last = Chunk::find(segment, Reference(content.tail.chunk.load(Ordering::Relaxed)))?;
            if !self.has_place(&last)? {
                break Ok(None);
            }
            let chunk = if last.has_room(body) {
                last
            } else if let Some(next) = spare.take() {
                self.extend(&last, next)?
            } else if patience == Patience::None {
                return Ok(None);
            } else {
                // Nobody asks for memory inside a latch.
                drop(inside);
                spare = Some(Chunk::make(segment, me, Some(&last))?);
                step::at(Step::ChunkMade);
                continue;
            };
            let start = chunk.committed();
            if let Body::Large(..) = body {
                content.tail.writing.store(start.offset + 1, Ordering::Release);
                step::at(Step::RecordStarted);
            }
            let end = chunk.write(start, body, mark)?;
            step::at(Step::PayloadWritten);
            chunk.commit(end);
            step::at(Step::Committed);
            if let Body::Large(block, _) = body {
                block.becomes_part_of(self.object.block().reference)?;
                step::at(Step::PayloadOwned);
                content.tail.writing.store(0, Ordering::Release);
            }
            drop(inside);
            step::at(Step::TailLeft);
            tell(segment, &content.flow.not_empty, 1);
            step::at(Step::PutTold);
            break Ok(Some(Ok(())));
        };
        if let Some(chunk) = spare {
            chunk.block.free(me)?;
        }
        result
    }

    /// Links a new last chunk. Inside the tail's latch.
    fn extend(&self, last: &Chunk, next: Chunk) -> Result<Chunk, Error> {
        let content = self.content();
        next.begin_at(last.begins_at() + u64::from(last.committed().items));
        last.link(&next);
        step::at(Step::ChunkLinked);
        next.block.becomes_part_of(self.object.block().reference)?;
        step::at(Step::ChunkOwned);
        content.tail.chunk.store(next.block.reference.0, Ordering::Release);
        step::at(Step::TailMoved);
        Ok(next)
    }

    /// Whether the bound allows one more. Inside the tail's latch.
    fn has_place(&self, last: &Chunk) -> Result<bool, Error> {
        let content = self.content();
        let maxsize = content.flow.maxsize.load(Ordering::Relaxed);
        if maxsize == 0 {
            return Ok(true);
        }
        let put = last.begins_at() + u64::from(last.committed().items);
        if put.saturating_sub(content.tail.seen_taken.load(Ordering::Relaxed)) < maxsize {
            return Ok(true);
        }
        let taken = self.taken()?;
        content.tail.seen_taken.store(taken, Ordering::Relaxed);
        Ok(put.saturating_sub(taken) < maxsize)
    }
}
