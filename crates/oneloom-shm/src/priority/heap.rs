//! The index of a priority queue: a binary heap of where its items stand. Used inside the queue's latch.
//!
//! Whatever stands here may be half-moved after a death: what is true is told by the items, and [`Heap::rebuild`] follows.

use oneloom_wait::atomic::{AtomicU64, Ordering};

use crate::arena::{Block, HEADER, Kind, Reference, allocate};
use crate::error::Error;
use crate::member::Tag;
use crate::segment::{Plain, Segment};

use super::order::Order;

/// Where an item stands, and its place in the order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its place.
    pub order: Order,
    /// Its block.
    pub item: Reference,
}

/// An entry in the segment: its order's two halves, and the reference.
#[repr(C)]
pub struct Slot([AtomicU64; 3]);

// SAFETY: integers that are atomic, in a fixed layout.
unsafe impl Plain for Slot {}

impl Slot {
    fn load(&self) -> Entry {
        let [first, second, item] = self.0.each_ref().map(|number| number.load(Ordering::Relaxed));
        Entry { order: Order(first, second), item: Reference(item) }
    }

    fn store(&self, entry: Entry) {
        let Entry { order: Order(first, second), item: Reference(item) } = entry;
        for (place, number) in self.0.iter().zip([first, second, item]) {
            place.store(number, Ordering::Relaxed);
        }
    }
}

/// The size of the first heap of a queue; each is twice as large as the one before.
const FIRST: u64 = 1 << 10;
const CONTRADICTION: Error = Error::Corrupt("a priority queue with more items than places");

/// A heap.
pub struct Heap {
    /// Its block.
    pub block: Block,
    slots: &'static [Slot],
}

impl Heap {
    /// A new one, twice as large as `before`; it belongs to the calling process for now.
    pub fn make(segment: &'static Segment, me: Tag, before: Option<&Self>) -> Result<Self, Error> {
        let size = before.map_or(Ok(FIRST / 2), |heap| heap.block.capacity())?.next_power_of_two() * 2;
        let block = allocate(segment, me, Kind::Heap, size - HEADER)?;
        Self::over(block)
    }

    /// The heap of that name.
    #[inline]
    pub fn find(segment: &'static Segment, reference: Reference) -> Result<Self, Error> {
        Self::over(Block::find(segment, reference, Kind::Heap)?)
    }

    fn over(block: Block) -> Result<Self, Error> {
        Ok(Self { slots: block.contents()?, block })
    }

    /// How many entries it has room for.
    fn capacity(&self) -> u64 {
        self.slots.len() as u64
    }

    /// Whether there is room for more than `count` entries.
    pub fn has_room(&self, count: u64) -> Result<bool, Error> {
        if count > self.capacity() { Err(CONTRADICTION) } else { Ok(count < self.capacity()) }
    }

    fn slot(&self, at: u64) -> Result<&Slot, Error> {
        self.slots.get(at as usize).ok_or(CONTRADICTION)
    }

    /// The entry of the item to be taken next, if there is any among `count`.
    pub fn first(&self, count: u64) -> Result<Option<Entry>, Error> {
        self.has_room(count)?;
        Ok(self.slots.first().filter(|_| count > 0).map(Slot::load))
    }

    /// Adds an entry to `count` others.
    pub fn add(&self, count: u64, entry: Entry) -> Result<(), Error> {
        self.slot(count)?;
        let mut at = count as usize;
        while at > 0 {
            let above = self.slots[(at - 1) / 2].load();
            if above.order <= entry.order {
                break;
            }
            self.slots[at].store(above);
            at = (at - 1) / 2;
        }
        self.slots[at].store(entry);
        Ok(())
    }

    /// Removes the first of `count` entries.
    pub fn remove_first(&self, count: u64) -> Result<(), Error> {
        let Some(left) = count.checked_sub(1) else { return Ok(()) };
        let last = self.slot(left)?.load();
        self.sink(0, left as usize, last);
        Ok(())
    }

    /// Puts an entry where it belongs, at or below `at`, among the first `count`.
    fn sink(&self, mut at: usize, count: usize, entry: Entry) {
        while 2 * at + 1 < count {
            let mut below = 2 * at + 1;
            let mut next = self.slots[below].load();
            let other = self.slots[..count].get(below + 1).map(Slot::load);
            if let Some(other) = other.filter(|other| other.order < next.order) {
                (below, next) = (below + 1, other);
            }
            if entry.order <= next.order {
                break;
            }
            self.slots[at].store(next);
            at = below;
        }
        if at < count {
            self.slots[at].store(entry);
        }
    }

    /// Holds these entries and no others; how many they are.
    pub fn rebuild(&self, entries: impl Iterator<Item = Result<Entry, Error>>) -> Result<u64, Error> {
        let mut count = 0;
        for entry in entries {
            self.slot(count)?.store(entry?);
            count += 1;
        }
        let count = count as usize;
        for at in (0..count / 2).rev() {
            self.sink(at, count, self.slots[at].load());
        }
        Ok(count as u64)
    }

    /// Takes the place of `before`, with all its `count` entries.
    pub fn copy(&self, before: &Self, count: u64) -> Result<(), Error> {
        for at in 0..count {
            self.slot(at)?.store(before.slot(at)?.load());
        }
        Ok(())
    }

    /// The first `count` entries, in no order.
    pub fn entries(&self, count: u64) -> impl Iterator<Item = Entry> {
        self.slots.iter().take(count as usize).map(Slot::load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::priority::order::Priority;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    /// Against the standard library's heap, in random programs that also rebuild and move.
    #[test]
    fn entries_leave_in_their_order() {
        let seed = std::time::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64);
        println!("seed {seed}");
        let mut state = seed;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let segment = Segment::on_heap(4 << 20).expect("a segment");
        let me = segment.me().expect("a member");
        for _ in 0..50 {
            let mut heap = Heap::make(segment, me, None).expect("a heap");
            let mut model = BinaryHeap::new();
            let (kinds, eagerness) = (1 + random(20), 1 + random(3));
            for number in 0..600 {
                let count = model.len() as u64;
                let first = heap.first(count).expect("sound");
                assert_eq!(
                    first.map(|entry| (entry.order, entry.item.0)),
                    model.peek().map(|Reverse(top)| *top)
                );
                if random(4) < eagerness {
                    if count == heap.capacity() {
                        let larger = Heap::make(segment, me, Some(&heap)).expect("a heap");
                        larger.copy(&heap, count).expect("room");
                        std::mem::replace(&mut heap, larger).block.free(me).expect("sound");
                    }
                    let order = Order::new(Priority::from(random(kinds) as i64 - 5), number);
                    heap.add(count, Entry { order, item: Reference(number) }).expect("room");
                    model.push(Reverse((order, number)));
                } else if model.pop().is_some() {
                    heap.remove_first(count).expect("sound");
                }
                if random(50) == 0 {
                    let mut all: Vec<_> = heap.entries(model.len() as u64).collect();
                    let turn = random(10) as usize % all.len().max(1);
                    all.rotate_left(turn);
                    assert_eq!(heap.rebuild(all.into_iter().map(Ok)), Ok(model.len() as u64));
                }
            }
            heap.block.free(me).expect("sound");
        }
    }

    #[test]
    fn a_count_beyond_its_places_is_an_error() {
        let segment = Segment::on_heap(1 << 20).expect("a segment");
        let heap = Heap::make(segment, segment.me().expect("a member"), None).expect("a heap");
        let entry = Entry { order: Order(0, 0), item: Reference::NONE };
        for count in [heap.capacity(), heap.capacity() + 1, u64::MAX] {
            assert_eq!(heap.add(count, entry), Err(CONTRADICTION));
            let more = count.saturating_add(1);
            assert_eq!(heap.first(more), Err(CONTRADICTION));
            assert_eq!(heap.remove_first(more), Err(CONTRADICTION));
        }
    }
}
