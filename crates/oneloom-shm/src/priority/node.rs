//! An item of a priority queue: a block with the item first, and at its end what the queue must know of it.

use oneloom_wait::atomic::{AtomicU64, Ordering};

use crate::arena::{Block, Kind, Reference};
use crate::error::Error;
use crate::payload::{Payload, ROOM};
use crate::segment::{Plain, Segment};

use super::heap::Entry;
use super::order::Order;

/// What stands at the block's end.
#[repr(C)]
pub struct Label {
    /// Its place in the order.
    order: [AtomicU64; 2],
    /// How many bytes it has.
    length: AtomicU64,
    /// What its sender gives with it.
    mark: AtomicU64,
}

// SAFETY: integers that are atomic, in a fixed layout.
unsafe impl Plain for Label {}

const _: () = assert!(size_of::<Label>() as u64 == ROOM);

/// An item and its label.
pub struct Node {
    block: Block,
    label: &'static Label,
}

impl Node {
    /// The item of that name.
    pub fn find(segment: &'static Segment, reference: Reference) -> Result<Self, Error> {
        Self::over(Block::find(segment, reference, Kind::Payload)?)
    }

    /// The item in a block.
    pub fn over(block: Block) -> Result<Self, Error> {
        Ok(Self { label: block.content_at_end()?, block })
    }

    /// Labels an item that nobody has yet.
    pub fn label(payload: &Payload, order: Order) -> Result<Self, Error> {
        let (block, length) = payload.place();
        let node = Self::over(block)?;
        let Order(first, second) = order;
        node.label.order[0].store(first, Ordering::Relaxed);
        node.label.order[1].store(second, Ordering::Relaxed);
        node.label.length.store(length, Ordering::Relaxed);
        node.label.mark.store(u64::from(payload.mark), Ordering::Relaxed);
        Ok(node)
    }

    /// Its block.
    pub fn block(&self) -> Block {
        self.block
    }

    /// What the heap has of it.
    pub fn entry(&self) -> Entry {
        let [first, second] = self.label.order.each_ref().map(|number| number.load(Ordering::Relaxed));
        Entry { order: Order(first, second), item: self.block.reference }
    }

    /// The item, once its block is this process's own.
    pub fn into_payload(self) -> Payload {
        let length = self.label.length.load(Ordering::Relaxed);
        Payload::new(self.block, length, self.label.mark.load(Ordering::Relaxed) as u32)
    }
}

#[cfg(test)]
pub(crate) fn rows() -> (usize, Vec<String>) {
    crate::layout::rows!(Label { order, length, mark })
}
