//! Putting items at the end of a queue, inside the tail's latch: all that a call brings, or nothing.
//!
//! Where they fit into the last chunk, they are written there, and one store of `committed` puts them. Where they don't,
//! they are written into new chunks of the caller's own, outside any latch, and one store of the tail's `chunk` puts them.

use oneloom_wait::atomic::Ordering;

use crate::arena::Reference;
use crate::error::Error;
use crate::flow::{AnyQueue, ShutDown, tell};
use crate::latch::Patience;
use crate::member::Tag;
use crate::segment::Segment;
use crate::step::{self, Step};

use super::chunk::{Body, Chunk, Total};
use super::repair::enter_tail;
use super::{Bounds, Queue};

/// Chunks of this process's own that hold what is to be put; dropping them gives their memory back.
#[derive(Default)]
pub(super) struct Chain(Vec<Chunk>);

impl Chain {
    /// Chunks to follow `before` that hold all these records.
    fn of(
        segment: &'static Segment,
        me: Tag,
        before: &Chunk,
        records: &[(Body<'_>, u32)],
    ) -> Result<Self, Error> {
        let mut last = Chunk::make(segment, me, Some(before))?;
        let mut chain = Self(vec![last]);
        for (body, mark) in records {
            if !last.has_room(body.size(), body.length()) {
                let next = Chunk::make(segment, me, Some(&last))?;
                chain.0.push(next);
                last.link(&next);
                last = next;
            }
            last.commit(last.write(last.committed(), body, *mark)?);
        }
        Ok(chain)
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        for chunk in self.0.drain(..) {
            if let Ok(me) = chunk.block.segment.me() {
                // What can't be given back is swept when this process has ended.
                let _ = chunk.block.free(me);
            }
        }
    }
}

impl Queue {
    /// Puts all these records, or none. `chain` is what an attempt before this one has made for them, or empty.
    #[inline]
    pub(super) fn append(
        &self,
        me: Tag,
        records: &[(Body<'_>, u32)],
        chain: &mut Chain,
        patience: Patience,
    ) -> Result<Option<Result<(), ShutDown>>, Error> {
        let (content, segment) = (self.content(), self.segment());
        let size = records.iter().map(|(body, _)| body.size()).sum();
        let bytes = records.iter().map(|(body, _)| body.length()).sum();
        let more = Total { items: records.len() as u64, bytes };
        loop {
            let Some(inside) = enter_tail(self.object.block(), me, patience)? else { return Ok(None) };
            step::at(Step::TailEntered);
            if content.flow.shut_down.load(Ordering::Relaxed) != 0 {
                return Ok(Some(Err(ShutDown)));
            }
            let last = Chunk::find(segment, Reference(content.tail.chunk.load(Ordering::Relaxed)))?;
            if !self.has_place(&last, more)? {
                return Ok(None);
            }
            if !chain.0.is_empty() {
                self.link(&last, chain)?;
            } else if last.has_room(size, bytes) {
                self.write(&last, records)?;
            } else if patience == Patience::None {
                return Ok(None);
            } else {
                // Nobody asks for memory inside a latch.
                drop(inside);
                *chain = Chain::of(segment, me, &last, records)?;
                step::at(Step::ChunkMade);
                continue;
            }
            drop(inside);
            step::at(Step::TailLeft);
            tell(segment, &content.flow.not_empty, records.len().try_into().unwrap_or(u32::MAX));
            step::at(Step::PutTold);
            return Ok(Some(Ok(())));
        }
    }

    /// Writes records into the last chunk, which has room for them. Inside the tail's latch.
    #[inline]
    fn write(&self, last: &Chunk, records: &[(Body<'_>, u32)]) -> Result<(), Error> {
        let tail = &self.content().tail;
        let start = last.committed();
        let (mut end, mut large) = (start, false);
        for (body, mark) in records {
            end = last.write(end, body, *mark)?;
            large |= matches!(body, Body::Large(..));
        }
        step::at(Step::PayloadWritten);
        if large {
            tail.writing.store(u64::from(end.offset) << 32 | u64::from(start.offset + 1), Ordering::Release);
            step::at(Step::RecordStarted);
            // Before they can be taken: from then on they are their receiver's, and may be somebody else's soon.
            for (body, _) in records {
                if let Body::Large(block, _) = body {
                    block.becomes_part_of(self.object.block().reference)?;
                }
            }
            step::at(Step::PayloadOwned);
        }
        last.commit(end);
        step::at(Step::Committed);
        if large {
            tail.writing.store(0, Ordering::Release);
        }
        Ok(())
    }

    /// Links a chain behind the last chunk. Inside the tail's latch.
    fn link(&self, last: &Chunk, chain: &mut Chain) -> Result<(), Error> {
        let chunks = std::mem::take(&mut chain.0);
        let mut put = last.total(last.committed());
        for chunk in &chunks {
            chunk.begin_at(put);
            put = chunk.total(chunk.committed());
        }
        if let (Some(first), Some(end)) = (chunks.first(), chunks.last()) {
            last.link(first);
            step::at(Step::ChunkLinked);
            for chunk in &chunks {
                chunk.becomes_part_of(self.object.block().reference)?;
                step::at(Step::ChunkOwned);
            }
            // No receiver goes on to a chunk behind the one that is named here.
            self.content().tail.chunk.store(end.block.reference.0, Ordering::Release);
            step::at(Step::TailMoved);
        }
        Ok(())
    }

    /// Whether the bounds allow so much more. Inside the tail's latch.
    #[inline]
    fn has_place(&self, last: &Chunk, more: Total) -> Result<bool, Error> {
        let tail = &self.content().tail;
        let bounds = self.bounds();
        if bounds == Bounds::default() {
            return Ok(true);
        }
        let put = last.total(last.committed());
        let seen_taken = Total {
            items: tail.seen_taken.load(Ordering::Relaxed),
            bytes: tail.seen_taken_bytes.load(Ordering::Relaxed),
        };
        if bounds.allow(put, seen_taken, more) {
            return Ok(true);
        }
        bounds.ever_allow(more)?;
        let taken = self.taken()?;
        tail.seen_taken.store(taken.items, Ordering::Relaxed);
        tail.seen_taken_bytes.store(taken.bytes, Ordering::Relaxed);
        Ok(bounds.allow(put, taken, more))
    }
}
