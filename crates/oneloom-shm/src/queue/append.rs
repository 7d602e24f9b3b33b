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

impl Chain {
    /// Whether it is of another process, which has forked meanwhile.
    fn is_foreign(&self, me: Tag) -> bool {
        self.0.first().is_some_and(|chunk| !chunk.block.is_of(me))
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        for chunk in self.0.drain(..) {
            // In the child of a fork it is its parent's.
            if let Some(me) = chunk.block.segment.me().ok().filter(|me| chunk.block.is_of(*me)) {
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
        if chain.is_foreign(me) {
            *chain = Chain::default();
        }
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

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use crate::payload::Item;
    use crate::queue::PutCall;
    use crate::wait::Call;

    /// What is another process's here is a parent's in the child of a fork.
    const PARENT: Tag = Tag(1 << 11 | 1000);

    #[test]
    fn what_a_parent_was_about_to_put_stays_the_parents() {
        let segment = Segment::on_heap(1 << 20).expect("a segment");
        let me = segment.me().expect("a member");
        let queue = Queue::new(segment, 0).expect("a queue");
        let last = Reference(queue.content().tail.chunk.load(Ordering::Relaxed));
        let last = Chunk::find(segment, last).expect("a chunk");
        let records = [(Body::Small(b"item"), 0)];
        let begun = || {
            let chain = Chain::of(segment, me, &last, &records).expect("memory");
            let chunk = chain.0[0];
            chunk.block.belongs_to(PARENT).expect("sound");
            (chain, chunk.block)
        };
        let (chain, dropped) = begun();
        drop(chain);
        assert!(dropped.is_of(PARENT), "given back");
        let (mut chain, used) = begun();
        assert_eq!(queue.append(me, &records, &mut chain, Patience::Latches), Ok(Some(Ok(()))));
        assert!(used.is_of(PARENT), "put");
        assert_eq!(queue.len(), Ok(1));
    }

    #[test]
    fn a_large_item_is_put_by_the_process_that_made_it_alone() {
        let segment = Segment::on_heap(1 << 20).expect("a segment");
        let me = segment.me().expect("a member");
        let queue = Queue::new(segment, 0).expect("a queue");
        let item = Item::copy_of(segment, &[7; 5000], 0).expect("memory");
        let Item::Large(payload) = &item else { unreachable!("it is large") };
        let block = payload.place().0;
        block.belongs_to(PARENT).expect("sound");
        let mut call = PutCall::new(&queue, item);
        assert!(call.attempt(me, false).is_err());
        drop(call);
        assert!(block.is_of(PARENT));
        assert_eq!(queue.len(), Ok(0));
    }
}
