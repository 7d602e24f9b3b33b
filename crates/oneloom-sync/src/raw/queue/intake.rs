//! The producers' end of a queue: a batch behind a gate of its own, so that who puts does not meet who gets.
//!
//! What stands in the batch is younger than all that stands in the queue's store. Whoever finds nothing in the store
//! takes over the whole batch, so many items pass for one meeting of the two ends.
//!
//! The intake is opened and shut from inside the queue's gate only, and is shut while anybody waits for an item or a
//! place. So those who deal with waiters find everything in the store and every place counted there.

use oneloom_wait::atomic::{AtomicBool, AtomicUsize, Ordering};
use oneloom_wait::gate::{AfterFork, Gate};

use super::Store;

/// Where puts go while nobody waits. Two cache lines of its own, because processors fetch lines in pairs.
#[repr(align(128))]
pub struct Intake<S> {
    batch: Gate<Batch<S>>,
    /// How many items are in the batch, for those who only look.
    length: AtomicUsize,
    /// False only while the batch has no room at all. Changed inside the queue's gate.
    open: AtomicBool,
}

struct Batch<S> {
    items: S,
    /// How many items may be here and in the store together; 0: shut.
    room: usize,
    /// How many may be here, as far as is known: gets may have made more places since.
    places: usize,
}

impl<S: Store> AfterFork for Batch<S> {
    fn after_fork(&mut self, torn: bool) {
        if torn {
            // Half-changed: neither read nor dropped.
            std::mem::forget(std::mem::take(&mut self.items));
            (self.room, self.places) = (0, 0);
        }
    }
}

impl<S: Store> Intake<S> {
    /// Shut, and empty.
    pub fn new() -> Self {
        Self {
            batch: Gate::new(Batch { items: S::default(), room: 0, places: 0 }),
            length: AtomicUsize::new(0),
            open: AtomicBool::new(false),
        }
    }

    /// How many items there seem to be.
    #[inline]
    pub fn len(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    /// Whether it may be open. From inside the queue's gate: where not, it is shut and empty.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Puts the item in, if there is a place; `in_store` tells how many items the store holds, or more.
    #[inline]
    pub fn put(&self, item: &mut Option<S::Item>, in_store: &AtomicUsize) -> bool {
        let mut batch = self.batch.enter();
        if batch.items.len() >= batch.places {
            // While the intake is open, the store only loses items.
            batch.places = batch.room.saturating_sub(in_store.load(Ordering::Relaxed));
        }
        if batch.items.len() >= batch.places {
            return false;
        }
        if let Some(item) = item.take() {
            batch.items.push(item);
            self.length.store(batch.items.len(), Ordering::Relaxed);
        }
        true
    }

    /// Moves everything to the end of the store; returns how many items that were. From then on there may be `room`
    /// items in all; 0 shuts the intake. Inside the queue's gate.
    pub fn collect(&self, store: &mut S, in_store: &AtomicUsize, room: usize) -> usize {
        if room > 0 {
            self.open.store(true, Ordering::Relaxed);
        }
        let mut batch = self.batch.enter();
        let count = batch.items.len();
        store.append(&mut batch.items);
        // Before the batch is left: who puts next counts on it.
        in_store.store(store.len(), Ordering::Relaxed);
        self.length.store(0, Ordering::Relaxed);
        batch.room = room;
        batch.places = room.saturating_sub(store.len());
        drop(batch);
        if room == 0 {
            self.open.store(false, Ordering::Relaxed);
        }
        count
    }
}
