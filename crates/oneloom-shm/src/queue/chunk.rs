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
/// See [`FIRST`].
pub const LONGEST: u64 = 64 << 10;
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
    /// How many bytes those had.
    bytes_before: AtomicU64,
    /// The chunk that follows, 0 for none yet.
    next: AtomicU64,
    /// How many items there are and where the last ends; written inside the tail's latch.
    committed: Line,
    /// How many were taken and where the last of those ends; written inside the head's latch.
    taken: Line,
}

// SAFETY: integers that are atomic, in a fixed layout.
unsafe impl Plain for Start {}

const TORN: Error = Error::Corrupt("an item that reaches behind its chunk's end");
const DATA: u64 = size_of::<Start>() as u64;

/// How many items, and how many bytes they have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Total {
    /// Items.
    pub items: u64,
    /// Their lengths together, as they were given.
    pub bytes: u64,
}

/// A place in a chunk. As one number it has the items in the upper 13 bits, an eighth of the offset in the next 13, and
/// the bytes in the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// How many items stand before it.
    pub items: u32,
    /// How far from the first record it is.
    pub offset: u32,
    /// How many bytes the items before it have.
    pub bytes: u64,
}

const BYTES_BITS: u32 = 38;
const OFFSET_BITS: u32 = 13;
/// More bytes than this no chunk's items have.
const MOST_BYTES: u64 = (1 << BYTES_BITS) - 1;
// Every item takes eight bytes at least.
const _: () = assert!(LONGEST / 8 <= 1 << OFFSET_BITS && BYTES_BITS + 2 * OFFSET_BITS == u64::BITS);

impl Position {
    #[inline]
    fn load(from: &Line) -> Self {
        let bits = from.0.load(Ordering::Acquire);
        Self {
            items: (bits >> (BYTES_BITS + OFFSET_BITS)) as u32,
            offset: ((bits >> BYTES_BITS) as u32 % (1 << OFFSET_BITS)) * 8,
            bytes: bits & MOST_BYTES,
        }
    }

    #[inline]
    fn store(self, to: &Line) {
        let place = u64::from(self.items) << OFFSET_BITS | u64::from(self.offset / 8);
        to.0.store(place << BYTES_BITS | self.bytes & MOST_BYTES, Ordering::Release);
    }

    /// What follows it when an item of so many bytes stands there in a record of that size.
    #[inline]
    fn after(self, bytes: u64, record: u32) -> Self {
        Self { items: self.items + 1, offset: self.offset + record, bytes: self.bytes + bytes }
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
    /// How long the item is.
    #[inline]
    pub fn length(&self) -> u64 {
        match self {
            Self::Small(item) => item.len() as u64,
            Self::Large(_, length) => *length,
        }
    }

    /// How much of a chunk its record takes.
    #[inline]
    pub fn size(&self) -> u64 {
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
        start.bytes_before.store(0, Ordering::Relaxed);
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

    /// Makes it part of a queue, and all large items in it, none of which was taken yet.
    pub fn becomes_part_of(&self, queue: Reference) -> Result<(), Error> {
        self.block.becomes_part_of(queue)?;
        self.payloads(0, self.committed().offset)?
            .into_iter()
            .try_for_each(|block| block.becomes_part_of(queue))
    }

    /// What was put, or taken, in this chunk and all before it, when it has come so far.
    #[inline]
    pub fn total(&self, position: Position) -> Total {
        Total {
            items: self.start.begins_at.load(Ordering::Relaxed).wrapping_add(u64::from(position.items)),
            bytes: self.start.bytes_before.load(Ordering::Relaxed).wrapping_add(position.bytes),
        }
    }

    /// Sets what was put before its first item, before the chunk is linked.
    pub fn begin_at(&self, before: Total) {
        self.start.begins_at.store(before.items, Ordering::Relaxed);
        self.start.bytes_before.store(before.bytes, Ordering::Relaxed);
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

    /// Whether records of that size together, with so many bytes in them, fit behind what is committed.
    #[inline]
    pub fn has_room(&self, size: u64, bytes: u64) -> bool {
        let room = self.block.capacity().map_or(0, |capacity| capacity.saturating_sub(DATA));
        let committed = self.committed();
        u64::from(committed.offset) + size <= room && committed.bytes + bytes <= MOST_BYTES
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
        Ok(start.after(body.length(), body.size() as u32))
    }

    /// The bytes of the records from `start` to `end`, which only the caller's side of the queue uses.
    fn records(&self, start: u32, end: u32) -> Result<&[u8], Error> {
        let length = end.checked_sub(start).ok_or(TORN)?;
        let place = self.block.bytes(DATA + u64::from(end))?;
        // SAFETY: within the block. The caller is inside the latch of those who may take these records, or write there.
        Ok(unsafe {
            std::slice::from_raw_parts(
                place.add((DATA + u64::from(start)) as usize).as_ptr(),
                length as usize,
            )
        })
    }

    /// Reads the record at `start`, which is committed, a small item to the end of `buffer`; where it ends.
    #[inline]
    pub fn read(&self, start: Position, buffer: &mut Vec<u8>) -> Result<(Record, Position), Error> {
        let mut records = Records(self.records(start.offset, self.committed().offset)?);
        let before = records.0.len();
        let raw = records.next().ok_or(TORN)??;
        let read = (before - records.0.len()) as u32;
        let position = start.after(raw.length(), read);
        let record = match raw {
            Raw::Small { bytes, mark } => {
                buffer.extend_from_slice(bytes);
                Record::Small(mark)
            }
            Raw::Large { reference, length, mark } => {
                let block = find_payload(self.block.segment, reference, length)?;
                Record::Large { block, length, mark }
            }
        };
        Ok((record, position))
    }

    /// Copies up to `most` records from `start` on to the end of `buffer`; where the last ends.
    pub fn copy(&self, start: Position, most: u32, buffer: &mut Vec<u8>) -> Result<Position, Error> {
        let committed = self.committed();
        let all = self.records(start.offset, committed.offset)?;
        let mut end = committed;
        if committed.items.saturating_sub(start.items) > most {
            end = start;
            let mut records = Records(all);
            for record in records.by_ref().take(most as usize) {
                end = end.after(record?.length(), 0);
            }
            end.offset += (all.len() - records.0.len()) as u32;
        }
        // Whoever takes many comes again until it has them.
        if end.items <= start.items {
            return Err(Error::Corrupt("items that were not counted"));
        }
        buffer.extend_from_slice(&all[..(end.offset - start.offset) as usize]);
        Ok(end)
    }

    /// The records from `start` on that are of large items, each with where it ends.
    pub fn large_from(&self, start: Position) -> Result<impl Iterator<Item = Placed<'_>>, Error> {
        let mut end = start;
        let records = Records(self.records(start.offset, self.committed().offset)?);
        Ok(records.map_while(move |record| match record {
            Ok(Raw::Small { .. }) => None,
            record => Some(record.map(|record| {
                end = end.after(record.length(), (RECORD + LARGE_BODY) as u32);
                (record, end)
            })),
        }))
    }

    /// The blocks of the large items from `start` to `end`, but for those that are gone.
    pub fn payloads(&self, start: u32, end: u32) -> Result<Vec<Block>, Error> {
        let large = |record| match record {
            Ok(Raw::Large { reference, length, .. }) => {
                find_payload(self.block.segment, reference, length).ok()
            }
            _ => None,
        };
        Ok(Records(self.records(start, end)?).filter_map(large).collect())
    }
}

/// A large item's block, which is as long as its record says.
pub fn find_payload(segment: &'static Segment, reference: Reference, length: u64) -> Result<Block, Error> {
    let block = Block::find(segment, reference, Kind::Payload)?;
    block.bytes(length)?;
    Ok(block)
}

/// A record as it stands in a chunk.
pub enum Raw<'a> {
    /// The item itself.
    Small {
        /// The item.
        bytes: &'a [u8],
        /// Its mark.
        mark: u32,
    },
    /// Where the item stands.
    Large {
        /// Its block.
        reference: Reference,
        /// How much of it.
        length: u64,
        /// Its mark.
        mark: u32,
    },
}

impl Raw<'_> {
    /// How long the item is.
    #[inline]
    fn length(&self) -> u64 {
        match self {
            Self::Small { bytes, .. } => bytes.len() as u64,
            Self::Large { length, .. } => *length,
        }
    }
}

/// A record and where it ends.
pub type Placed<'a> = Result<(Raw<'a>, Position), Error>;

/// The records that bytes are.
pub struct Records<'a>(pub &'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<Raw<'a>, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = split(&mut self.0);
        if record.is_none() {
            self.0 = &[];
        }
        Some(record.ok_or(TORN))
    }
}

/// The first record of `bytes`, which go on behind it.
#[inline]
fn split<'a>(bytes: &mut &'a [u8]) -> Option<Raw<'a>> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (mark, rest) = rest.split_first_chunk()?;
    let (length, mark) = (u32::from_ne_bytes(*length) as usize, u32::from_ne_bytes(*mark));
    let (body, rest) = rest.split_at_checked(length.next_multiple_of(8))?;
    let body = &body[..length];
    *bytes = rest;
    if mark & LARGE == 0 {
        return (length <= SMALL).then_some(Raw::Small { bytes: body, mark });
    }
    let (reference, rest) = body.split_first_chunk()?;
    let (length, _) = rest.split_first_chunk()?;
    let (reference, length) = (Reference(u64::from_ne_bytes(*reference)), u64::from_ne_bytes(*length));
    (length <= MOST_BYTES).then_some(Raw::Large { reference, length, mark: mark & !LARGE })
}

#[cfg(test)]
pub(crate) fn rows() -> (usize, Vec<String>) {
    crate::layout::rows!(Start { begins_at, bytes_before, next, committed, taken })
}
