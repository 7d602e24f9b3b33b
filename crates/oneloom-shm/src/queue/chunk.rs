//! A piece of a queue: items one after the other, and how far it is filled and emptied.
//!
//! A record is 8 bytes, the length and the mark, and then the item, padded to a multiple of 8. A large item's record has
//! a bit in its mark, and instead of the item the [`Reference`] of its block and its length.

use oneloom_wait::atomic::{AtomicU64, Ordering};

use crate::arena::{Block, Kind, Reference, allocate};
use crate::error::Error;
use crate::member::Tag;
use crate::payload::SMALL;
use crate::segment::{Plain, Segment};

/// The sizes of chunks: each is twice as long as the one before, up to the longest.
const FIRST: u64 = 8 << 10;
const LONGEST: u64 = 64 << 10;
const RECORD: u64 = 8;
const LARGE: u32 = 1 << 31;
const LARGE_BODY: u64 = 16;

#[repr(C, align(64))]
struct Line(AtomicU64);

/// What a chunk begins with.
#[repr(C, align(64))]
pub struct Start {
    /// How many items were put before this chunk's first.
    begins_at: AtomicU64,
    /// The chunk that follows, 0 for none yet.
    next: AtomicU64,
    /// How many items there are and where the last ends; written inside the tail's latch.
    committed: Line,
    /// How many were taken and where the last of those ends; written inside the head's latch.
    taken: Line,
}

// SAFETY: integers that are atomic, in a fixed layout.
unsafe impl Plain for Start {}

const DATA: u64 = size_of::<Start>() as u64;

/// A place in a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// How many items stand before it.
    pub items: u32,
    /// How many bytes they take.
    pub offset: u32,
}

impl Position {
    fn load(from: &Line) -> Self {
        let bits = from.0.load(Ordering::Acquire);
        Self { items: (bits >> 32) as u32, offset: bits as u32 }
    }

    fn store(self, to: &Line) {
        to.0.store(u64::from(self.items) << 32 | u64::from(self.offset), Ordering::Release);
    }
}

/// An item to write.
pub enum Body<'a> {
    /// In the chunk itself.
    Small(&'a [u8]),
    /// In a block, and so long.
    Large(Block, u64),
}

impl Body<'_> {
    fn size(&self) -> u64 {
        RECORD
            + match self {
                Self::Small(item) => (item.len() as u64).next_multiple_of(8),
                Self::Large(..) => LARGE_BODY,
            }
    }
}

/// A record that was read.
pub enum Record {
    /// The item was copied; this is its mark.
    Small(u32),
    /// The item stands in a block.
    Large {
        /// The block.
        block: Block,
        /// How much of it.
        length: u64,
        /// The mark.
        mark: u32,
    },
}

/// A chunk.
#[derive(Clone, Copy)]
pub struct Chunk {
    /// Its block.
    pub block: Block,
    start: &'static Start,
}

impl Chunk {
    /// A new chunk, to follow `before`; it belongs to the calling process for now.
    pub fn make(segment: &'static Segment, me: Tag, before: Option<&Self>) -> Result<Self, Error> {
        let size = before.map_or(Ok(FIRST / 2), |chunk| chunk.block.capacity())?.next_power_of_two() * 2;
        let block = allocate(segment, me, Kind::Chunk, size.min(LONGEST) - crate::arena::HEADER)?;
        let start: &Start = block.content()?;
        start.begins_at.store(0, Ordering::Relaxed);
        start.next.store(0, Ordering::Relaxed);
        start.committed.0.store(0, Ordering::Relaxed);
        start.taken.0.store(0, Ordering::Release);
        Ok(Self { block, start })
    }

    /// The chunk of that name.
    #[inline]
    pub fn find(segment: &'static Segment, reference: Reference) -> Result<Self, Error> {
        let block = Block::find(segment, reference, Kind::Chunk)?;
        Ok(Self { start: block.content()?, block })
    }

    /// How many items were put before its first.
    pub fn begins_at(&self) -> u64 {
        self.start.begins_at.load(Ordering::Relaxed)
    }

    /// Sets that, before the chunk is linked.
    pub fn begin_at(&self, items: u64) {
        self.start.begins_at.store(items, Ordering::Relaxed);
    }

    /// The chunk that follows.
    pub fn next(&self) -> Reference {
        Reference(self.start.next.load(Ordering::Acquire))
    }

    /// Makes `next` follow.
    pub fn link(&self, next: &Self) {
        self.start.next.store(next.block.reference.0, Ordering::Release);
    }

    /// How far it is filled.
    #[inline]
    pub fn committed(&self) -> Position {
        Position::load(&self.start.committed)
    }

    /// Fills it as far as that: what was written is there from now on.
    #[inline]
    pub fn commit(&self, end: Position) {
        end.store(&self.start.committed);
    }

    /// How far it is emptied.
    #[inline]
    pub fn taken(&self) -> Position {
        Position::load(&self.start.taken)
    }

    /// Empties it as far as that.
    #[inline]
    pub fn take(&self, end: Position) {
        end.store(&self.start.taken);
    }

    /// Whether `body` fits behind what is committed.
    pub fn has_room(&self, body: &Body<'_>) -> bool {
        let room = self.block.capacity().map_or(0, |capacity| capacity.saturating_sub(DATA));
        u64::from(self.committed().offset) + body.size() <= room
    }

    /// Writes a record at `start`, which is not committed yet; where it ends. There is room.
    pub fn write(&self, start: Position, body: &Body<'_>, mark: u32) -> Result<Position, Error> {
        let at = DATA + u64::from(start.offset);
        let place = self.block.bytes(at + body.size())?;
        // SAFETY: within the block; nobody reads behind what is committed, and the caller alone may write there.
        unsafe {
            let record = place.add(at as usize);
            match body {
                Body::Small(item) => {
                    record.cast::<[u32; 2]>().write([item.len() as u32, mark & !LARGE]);
                    record
                        .add(RECORD as usize)
                        .copy_from_nonoverlapping(std::ptr::NonNull::from(*item).cast(), item.len());
                }
                Body::Large(block, length) => {
                    record.cast::<[u32; 2]>().write([LARGE_BODY as u32, mark | LARGE]);
                    record.add(RECORD as usize).cast::<[u64; 2]>().write([block.reference.0, *length]);
                }
            }
        }
        Ok(Position { items: start.items.wrapping_add(1), offset: start.offset + body.size() as u32 })
    }

    /// Reads the record at `start`, which is committed, a small item to the end of `buffer`; where it ends.
    pub fn read(&self, start: Position, buffer: &mut Vec<u8>) -> Result<(Record, Position), Error> {
        const TORN: Error = Error::Corrupt("an item that reaches behind its chunk's end");
        let end = u64::from(self.committed().offset);
        let at = u64::from(start.offset);
        if at + RECORD > end {
            return Err(TORN);
        }
        let place = self.block.bytes(DATA + end)?;
        // SAFETY: within the block, committed, and not taken: nobody writes there.
        let [length, mark] = unsafe { place.add((DATA + at) as usize).cast::<[u32; 2]>().read() };
        let next = at + RECORD + u64::from(length).next_multiple_of(8);
        if next > end {
            return Err(TORN);
        }
        // SAFETY: as above; what follows ends within what is committed.
        let body = unsafe {
            std::slice::from_raw_parts(place.add((DATA + at + RECORD) as usize).as_ptr(), length as usize)
        };
        let position = Position { items: start.items.wrapping_add(1), offset: next as u32 };
        if mark & LARGE == 0 {
            if length as usize > SMALL {
                return Err(TORN);
            }
            buffer.extend_from_slice(body);
            return Ok((Record::Small(mark), position));
        }
        let number = |from: usize| {
            let bytes = body.get(from..from + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u64::from_ne_bytes).ok_or(TORN)
        };
        let block = Block::find(self.block.segment, Reference(number(0)?), Kind::Payload)?;
        let length = number(8)?;
        block.bytes(length)?;
        Ok((Record::Large { block, length, mark: mark & !LARGE }, position))
    }

    /// The block of the large item at `offset`, if that is before `end`.
    pub fn payload_at(&self, offset: u32, end: Position) -> Option<Block> {
        if offset >= end.offset {
            return None;
        }
        match self.read(Position { items: 0, offset }, &mut Vec::new()) {
            Ok((Record::Large { block, .. }, _)) => Some(block),
            // It was given back already, by somebody who died over this.
            _ => None,
        }
    }

    /// The blocks of all large items that were not taken.
    pub fn payloads(&self) -> Result<Vec<Block>, Error> {
        let (mut position, end) = (self.taken(), self.committed());
        let mut found = Vec::new();
        let mut buffer = Vec::new();
        while position.offset < end.offset {
            let (record, next) = self.read(position, &mut buffer)?;
            if let Record::Large { block, .. } = record {
                found.push(block);
            }
            position = next;
            buffer.clear();
        }
        Ok(found)
    }
}

#[cfg(test)]
pub(crate) fn rows() -> (usize, Vec<String>) {
    crate::layout::rows!(Start { begins_at, next, committed, taken })
}
