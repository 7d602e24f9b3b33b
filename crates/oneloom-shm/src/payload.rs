//! An item on its way: bytes that a queue gave, small ones in a buffer, large ones in a block of their own.

use std::ptr::NonNull;

use crate::arena::{Block, Kind, allocate, try_allocate};
use crate::error::Error;
use crate::member::Tag;
use crate::segment::Segment;

/// Items up to this length are copied within a latch.
pub const SMALL: usize = 4096;

/// At the end of every block with an item, there is so much room for what a queue must know of it.
pub(crate) const ROOM: u64 = 32;

/// What is about to be put into a queue, or was just taken out.
#[derive(Debug)]
pub enum Item {
    /// A small one.
    Small {
        /// The item; one that was taken, in the buffer that the call was given.
        bytes: Vec<u8>,
        /// What its sender gave with it.
        mark: u32,
    },
    /// A large one, in a block of its own that is this process's now.
    Large(Payload),
}

impl Item {
    /// A copy of `bytes`. `mark` is any number below 2³¹ that its receiver gets with it.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn copy_of(segment: &'static Segment, bytes: &[u8], mark: u32) -> Result<Self, Error> {
        if bytes.len() <= SMALL {
            return Ok(Self::Small { bytes: bytes.to_vec(), mark });
        }
        Payload::copy_of(segment, segment.me()?, bytes, mark).map(Self::Large)
    }

    /// Gives it a block of its own, if it has none.
    pub(crate) fn set_apart(&mut self, segment: &'static Segment, me: Tag) -> Result<(), Error> {
        if let Self::Small { bytes, mark } = self {
            *self = Self::Large(Payload::copy_of(segment, me, bytes, *mark)?);
        }
        Ok(())
    }

    /// An error if it was made before a fork, by this process's parent: that puts it.
    pub(crate) fn must_be_of(&self, me: Tag) -> Result<(), Error> {
        match self {
            Self::Large(payload) if !payload.block.is_of(me) => Err(Error::System(
                "this item is the parent's, which was putting it when it forked: put it again in the child"
                    .into(),
            )),
            _ => Ok(()),
        }
    }

    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        match self {
            Self::Small { bytes, .. } => bytes.len() as u64,
            Self::Large(payload) => payload.length,
        }
    }

    /// It is a queue's now.
    pub(crate) fn give_away(self) {
        if let Self::Large(payload) = self {
            payload.give_away();
        }
    }
}

/// An item in a block that is this process's own, about to be put or just taken; dropping it gives its memory back.
#[derive(Debug)]
pub struct Payload {
    block: Block,
    length: u64,
    /// What its sender gives with it.
    pub mark: u32,
}

/// To a place that nobody else knows of yet, which is as long.
fn copy(item: &[u8], place: NonNull<u8>) {
    // SAFETY: by this function's own contract, which its callers in this file keep.
    unsafe { place.copy_from_nonoverlapping(NonNull::from(item).cast(), item.len()) };
}

impl Payload {
    /// The item in a block that is this process's now.
    pub(crate) fn new(block: Block, length: u64, mark: u32) -> Self {
        Self { block, length, mark }
    }

    /// A copy of `item`.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub(crate) fn copy_of(segment: &'static Segment, me: Tag, item: &[u8], mark: u32) -> Result<Self, Error> {
        Self::filled(segment, me, item.len() as u64, mark, |place| copy(item, place))
    }

    /// The same, if nothing is in the way: never waits.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    pub(crate) fn try_copy_of(
        segment: &'static Segment,
        me: Tag,
        item: &[u8],
        mark: u32,
    ) -> Result<Option<Self>, Error> {
        let block = try_allocate(segment, me, Kind::Payload, (item.len() as u64).saturating_add(ROOM))?;
        let fill = |block| Self::fill(block, item.len() as u64, mark, |place| copy(item, place));
        block.map(fill).transpose()
    }

    fn fill(block: Block, length: u64, mark: u32, write: impl FnOnce(NonNull<u8>)) -> Result<Self, Error> {
        let made = Self { block, length, mark };
        write(block.bytes(length)?);
        Ok(made)
    }

    /// Where it stands, and how long it is.
    pub(crate) fn place(&self) -> (Block, u64) {
        (self.block, self.length)
    }

    /// It is a queue's now.
    pub(crate) fn give_away(self) {
        std::mem::forget(self);
    }

    /// A block for an item of `length` bytes, which `write` fills.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn filled(
        segment: &'static Segment,
        me: Tag,
        length: u64,
        mark: u32,
        write: impl FnOnce(NonNull<u8>),
    ) -> Result<Self, Error> {
        let block = allocate(segment, me, Kind::Payload, length.saturating_add(ROOM))?;
        Self::fill(block, length, mark, write)
    }

    /// The same with `head` zeros in front, which are part of the item.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn headed(
        segment: &'static Segment,
        head: usize,
        length: u64,
        mark: u32,
        write: impl FnOnce(NonNull<u8>),
    ) -> Result<Self, Error> {
        let whole = length.saturating_add(head as u64);
        Self::filled(segment, segment.me()?, whole, mark, |place| {
            // SAFETY: the block is longer than the head, and nobody knows of it yet.
            write(unsafe {
                place.write_bytes(0, head);
                place.add(head)
            });
        })
    }

    /// Its bytes, to be changed.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    pub fn bytes_mut(&mut self) -> Result<&mut [u8], Error> {
        let place = self.block.bytes(self.length)?;
        // SAFETY: inside the block, which is this value's own: nobody else reads or writes there before it is given away.
        Ok(unsafe { std::slice::from_raw_parts_mut(place.as_ptr(), self.length as usize) })
    }

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
        // In the child of a fork it is its parent's.
        if let Some(me) = self.block.segment.me().ok().filter(|me| self.block.is_of(*me)) {
            // What can't be given back is swept when this process has ended.
            let _ = self.block.free(me);
        }
    }
}
