//! An item on its way: bytes that a queue gave, small ones in a buffer, large ones in a block of their own.

use std::ptr::NonNull;

use crate::arena::{Block, Kind, allocate, try_allocate};
use crate::error::Error;
use crate::member::Tag;
use crate::segment::Segment;

/// Items up to this length are copied within a latch.
pub const SMALL: usize = 4096;

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

/// An item in a block that is this process's own, about to be put or just taken; dropping it gives its memory back.
#[derive(Debug)]
pub struct Payload {
    block: Block,
    length: u64,
    /// What its sender gives with it.
    pub mark: u32,
}

impl Payload {
    /// The item in a block that is this process's now.
    pub(crate) fn new(block: Block, length: u64, mark: u32) -> Self {
        Self { block, length, mark }
    }

    /// A copy of `item`, in a block that has room for `more` bytes behind it.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub(crate) fn copy_of(
        segment: &'static Segment,
        me: Tag,
        item: &[u8],
        mark: u32,
        more: u64,
    ) -> Result<Self, Error> {
        let block = allocate(segment, me, Kind::Payload, (item.len() as u64).saturating_add(more))?;
        Self::fill(block, item, mark)
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
        more: u64,
    ) -> Result<Option<Self>, Error> {
        let block = try_allocate(segment, me, Kind::Payload, (item.len() as u64).saturating_add(more))?;
        block.map(|block| Self::fill(block, item, mark)).transpose()
    }

    fn fill(block: Block, item: &[u8], mark: u32) -> Result<Self, Error> {
        let length = item.len() as u64;
        let copy = Self { block, length, mark };
        let place = block.bytes(length)?;
        // SAFETY: as long as the item, this process's own, and nobody knows of it yet.
        unsafe { place.copy_from_nonoverlapping(NonNull::from(item).cast(), item.len()) };
        Ok(copy)
    }

    /// Where it stands, and how long it is.
    pub(crate) fn place(&self) -> (Block, u64) {
        (self.block, self.length)
    }

    /// It is a queue's now.
    pub(crate) fn give_away(self) {
        std::mem::forget(self);
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
        if let Ok(me) = self.block.segment.me() {
            // What can't be given back is swept when this process has ended.
            let _ = self.block.free(me);
        }
    }
}
