//! A queue of bytes that processes share, from which the item with the smallest priority leaves first.
//!
//! Every item stands in a block of its own, and that block's owner says where it is: with its sender, in the queue, or with
//! its receiver. So putting ends in one store, of the owner, and so does taking. A heap says which item is the next; it is
//! a mere index. All that changes either is done inside the queue's one latch, and whoever inherits that from a dead
//! process makes the heap anew, from the blocks that are the queue's.
//!
//! | it died after | it left | repair |
//! |---|---|---|
//! | filling a block | a block that is still its own | a sweep gives it back |
//! | putting the item into the queue, or taking it out | a heap that does not know of that, or half | made anew from the blocks |
//! | putting the item, before it was counted | a number of items put that is too small | the largest number of an item in the queue |
//! | letting go of a heap that is too small | a heap that is its own | make it part of the queue again |
//! | naming a larger heap | a heap that is its own, and another | make the named part of the queue; a sweep gives back the other |
//!
//! A receiver may die with what it has taken: that item is lost.

mod calls;
mod heap;
mod node;
mod order;

use oneloom_wait::atomic::{AtomicU64, Ordering};

use crate::arena::{self, Block, Kind, Reference};
use crate::error::Error;
use crate::flow::{AnyQueue, Flow, ShutDown, tell};
use crate::handle::{Object, Shared};
use crate::latch::{Entry, Inside, Latch, Patience};
use crate::member::Tag;
use crate::payload::{Item, Payload, SMALL};
use crate::segment::{Plain, Segment};
use crate::step::{self, Step};

pub use calls::PutCall;
use heap::Heap;
use node::Node;
use order::Order;
pub use order::{NotANumber, Priority};

/// What stands in the segment.
#[repr(C, align(64))]
pub struct Content {
    flow: Flow,
    latch: Latch,
    /// How many items are there. Written inside the latch.
    count: AtomicU64,
    /// How many were ever put. Written inside the latch.
    put: AtomicU64,
    /// A reference to the heap. Written inside the latch.
    heap: AtomicU64,
}

// SAFETY: integers that are atomic, in a fixed layout.
unsafe impl Plain for Content {}

// SAFETY: a priority queue's block holds `Content` alone. Zeros are one without a heap, which `PriorityQueue::new` gives it.
unsafe impl Shared for Content {
    const KIND: Kind = Kind::PriorityQueue;

    fn dismantle(block: Block, me: Tag) -> Result<(), Error> {
        let content: &Content = block.content()?;
        let named = Reference(content.heap.load(Ordering::Acquire));
        if named == Reference::NONE {
            return Ok(());
        }
        let heap = Heap::find(block.segment, named)?;
        for entry in heap.entries(content.count.load(Ordering::Acquire)) {
            Node::find(block.segment, entry.item)?.block().free(me)?;
        }
        heap.block.free(me)
    }
}

/// A priority queue in a segment.
pub struct PriorityQueue {
    object: Object<Content>,
}

impl PriorityQueue {
    /// A queue for `maxsize` items, 0 for any number.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(segment: &'static Segment, maxsize: u64) -> Result<Self, Error> {
        let object = Object::<Content>::create(segment)?;
        let heap = Heap::make(segment, segment.me()?, None)?;
        heap.block.becomes_part_of(object.block().reference)?;
        let content = object.content();
        content.flow.maxsize.store(maxsize, Ordering::Relaxed);
        content.heap.store(heap.block.reference.0, Ordering::Release);
        Ok(Self { object })
    }

    /// Puts a small item if there is a place for it and nothing in the way: never waits, not even for a latch or for
    /// memory. `mark` is any number that its receiver gets with it.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    #[inline]
    pub fn try_put(
        &self,
        item: &[u8],
        mark: u32,
        priority: Priority,
    ) -> Result<Option<Result<(), ShutDown>>, Error> {
        if item.len() > SMALL {
            return Ok(None);
        }
        let (segment, me) = (self.segment(), self.segment().me()?);
        let copy = || Payload::try_copy_of(segment, me, item, mark);
        self.insert(me, priority, Patience::None, copy)
    }

    fn content(&self) -> &'static Content {
        self.object.content()
    }

    /// Puts what `give` gives, if there is a place. Asked for inside the latch, it waits for nothing.
    fn insert(
        &self,
        me: Tag,
        priority: Priority,
        patience: Patience,
        give: impl FnOnce() -> Result<Option<Payload>, Error>,
    ) -> Result<Option<Result<(), ShutDown>>, Error> {
        let (content, segment) = (self.content(), self.segment());
        let mut spare: Option<Heap> = None;
        let mut retired = None;
        let inserted = loop {
            let Some(inside) = enter(self.object.block(), me, patience)? else { break None };
            step::at(Step::OrderEntered);
            if content.flow.shut_down.load(Ordering::Relaxed) != 0 {
                break Some(Err(ShutDown));
            }
            let count = content.count.load(Ordering::Relaxed);
            let maxsize = content.flow.maxsize.load(Ordering::Relaxed);
            if maxsize != 0 && count >= maxsize {
                break None;
            }
            let mut heap = Heap::find(segment, Reference(content.heap.load(Ordering::Relaxed)))?;
            if !heap.has_room(count)? {
                if patience == Patience::None {
                    break None;
                }
                let Some(larger) = spare.take_if(|spare| spare.has_room(count).unwrap_or(false)) else {
                    // Nobody asks for memory inside a latch.
                    drop(inside);
                    // Others had the same thought, and have filled as much already.
                    spare.take().map_or(Ok(()), |spare| spare.block.free(me))?;
                    spare = Some(Heap::make(segment, me, Some(&heap))?);
                    step::at(Step::HeapMade);
                    continue;
                };
                self.replace(&heap, &larger, count, me)?;
                retired = Some(std::mem::replace(&mut heap, larger));
            }
            let Some(payload) = give()? else { break None };
            let number = content.put.load(Ordering::Relaxed).wrapping_add(1);
            let node = Node::label(&payload, Order::new(priority, number))?;
            step::at(Step::ItemLabelled);
            node.block().becomes_part_of(self.object.block().reference)?;
            payload.give_away();
            step::at(Step::ItemPut);
            heap.add(count, node.entry())?;
            step::at(Step::ItemIndexed);
            content.put.store(number, Ordering::Release);
            step::at(Step::ItemCounted);
            content.count.store(count + 1, Ordering::Release);
            drop(inside);
            step::at(Step::OrderLeft);
            tell(segment, &content.flow.not_empty, 1);
            step::at(Step::ItemTold);
            break Some(Ok(()));
        };
        for heap in spare.into_iter().chain(retired) {
            heap.block.free(me)?;
        }
        Ok(inserted)
    }

    /// Makes `larger` the queue's heap; the one before is this process's own then. Inside the latch.
    fn replace(&self, heap: &Heap, larger: &Heap, count: u64, me: Tag) -> Result<(), Error> {
        larger.copy(heap, count)?;
        heap.block.belongs_to(me)?;
        step::at(Step::HeapRetired);
        self.content().heap.store(larger.block.reference.0, Ordering::Release);
        step::at(Step::HeapNamed);
        larger.block.becomes_part_of(self.object.block().reference)?;
        step::at(Step::HeapOwned);
        Ok(())
    }
}

impl AnyQueue for PriorityQueue {
    type Content = Content;

    fn from_object(object: Object<Content>) -> Self {
        Self { object }
    }

    #[inline]
    fn object(&self) -> &Object<Content> {
        &self.object
    }

    #[inline]
    fn flow(&self) -> &'static Flow {
        &self.content().flow
    }

    fn put_so_far(&self) -> Result<u64, Error> {
        Ok(self.content().put.load(Ordering::Acquire))
    }

    fn len(&self) -> Result<u64, Error> {
        Ok(self.content().count.load(Ordering::Acquire))
    }

    fn close(&self, me: Tag) -> Result<(), Error> {
        let _inside = enter(self.object.block(), me, Patience::Latches)?;
        self.flow().shut_down.store(1, Ordering::SeqCst);
        Ok(())
    }

    fn take(
        &self,
        me: Tag,
        _buffer: &mut Vec<u8>,
        patience: Patience,
    ) -> Result<Option<Result<Item, ShutDown>>, Error> {
        let (content, segment, object) = (self.content(), self.segment(), self.object.block());
        // Read first: after a shutdown nothing is put any more, so that empty means empty for ever.
        let shut_down = content.flow.shut_down.load(Ordering::Acquire) != 0;
        let Some(inside) = enter(object, me, patience)? else { return Ok(None) };
        step::at(Step::OrderEntered);
        let count = content.count.load(Ordering::Relaxed);
        let heap = Heap::find(segment, Reference(content.heap.load(Ordering::Relaxed)))?;
        let Some(first) = heap.first(count)? else {
            return Ok(shut_down.then_some(Err(ShutDown)));
        };
        let node = Node::find(segment, first.item)?;
        if !node.block().is_part_of(object.reference) {
            return Err(Error::Corrupt("an item that is in no queue"));
        }
        node.block().belongs_to(me)?;
        step::at(Step::ItemTaken);
        heap.remove_first(count)?;
        step::at(Step::ItemRemoved);
        content.count.store(count - 1, Ordering::Release);
        drop(inside);
        step::at(Step::OrderLeft);
        if content.flow.maxsize.load(Ordering::Relaxed) != 0 {
            tell(segment, &content.flow.not_full, 1);
        }
        step::at(Step::ItemTold);
        Ok(Some(Ok(Item::Large(node.into_payload()))))
    }
}

/// Enters the latch; whoever inherits it makes the heap anew.
fn enter(queue: Block, me: Tag, patience: Patience) -> Result<Option<Inside<'static>>, Error> {
    let content: &'static Content = queue.content()?;
    let inside = content.latch.enter_with(patience, queue.segment, me);
    if inside.as_ref().is_some_and(|inside| inside.entry == Entry::Inherited) {
        let heap = Heap::find(queue.segment, Reference(content.heap.load(Ordering::Acquire)))?;
        heap.block.becomes_part_of(queue.reference)?;
        let mut put = content.put.load(Ordering::Relaxed);
        let items = arena::parts_of(queue, Kind::Payload).map(|block| Ok(Node::over(block)?.entry()));
        let counted = items.inspect(|entry| {
            put = put.max(entry.as_ref().map_or(0, |entry| entry.order.number()));
        });
        let count = heap.rebuild(counted)?;
        step::at(Step::HeapRebuilt);
        content.put.store(put, Ordering::Release);
        content.count.store(count, Ordering::Release);
    }
    Ok(inside)
}

/// Repairs what the dead were changing, if any were: passes the latch.
///
/// # Errors
/// If the segment contradicts itself.
pub fn repair(queue: Block, me: Tag) -> Result<(), Error> {
    let content: &Content = queue.content()?;
    // One that is still being made, or is going away, has no heap.
    if content.heap.load(Ordering::Acquire) != 0 {
        drop(enter(queue, me, Patience::Latches)?);
    }
    Ok(())
}

#[cfg(test)]
type Rows = (usize, Vec<String>);

#[cfg(test)]
pub(crate) fn rows() -> (Rows, Rows) {
    (crate::layout::rows!(Content { flow, latch, count, put, heap }), node::rows())
}
