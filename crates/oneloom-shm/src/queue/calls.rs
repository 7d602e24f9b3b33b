//! Putting into a queue, for those who may wait.

use std::ops::Deref;

use oneloom_wait::atomic::Ordering;

use crate::error::Error;
use crate::event_count::EventCount;
use crate::flow::{AnyQueue, ShutDown};
use crate::latch::Patience;
use crate::member::Tag;
use crate::payload::Item;
use crate::segment::Segment;
use crate::wait::Call;

use super::Queue;
use super::append::Chain;
use super::chunk::{Body, Total};

/// Putting items: all of them, or none.
pub struct PutCall<Q> {
    queue: Q,
    items: Vec<Item>,
    total: Total,
    chain: Chain,
}

impl<Q: Deref<Target = Queue>> PutCall<Q> {
    /// Puts an item.
    pub fn new(queue: Q, item: Item) -> Self {
        Self::many(queue, vec![item])
    }

    /// Puts items.
    pub fn many(queue: Q, items: Vec<Item>) -> Self {
        if items.len() > 1 && queue.maxsize() != 0 {
            // Before the first look that may end in waiting.
            queue.flow().wide.store(1, Ordering::SeqCst);
        }
        let total = Total { items: items.len() as u64, bytes: items.iter().map(Item::length).sum() };
        Self { queue, items, total, chain: Chain::default() }
    }
}

impl<Q: Deref<Target = Queue>> PutCall<Q> {
    /// Gives each item a block of its own.
    fn set_apart(&mut self, me: Tag) -> Result<(), Error> {
        let segment = self.queue.segment();
        self.items.iter_mut().try_for_each(|item| item.set_apart(segment, me))
    }
}

impl<Q: Deref<Target = Queue>> Call for PutCall<Q> {
    type Output = Result<(), ShutDown>;

    fn segment(&self) -> &'static Segment {
        self.queue.segment()
    }

    fn event(&self) -> &'static EventCount {
        // Whoever needs more than a place could be woken for one that somebody else could use.
        let flow = self.queue.flow();
        if self.items.len() > 1 || self.queue.bounds().max_bytes != 0 {
            &flow.has_room
        } else {
            &flow.not_full
        }
    }

    fn looks_ready(&self) -> bool {
        self.queue.is_shut_down() || self.queue.would_take(self.total).unwrap_or(true)
    }

    fn attempt(&mut self, me: Tag, _thorough: bool) -> Result<Option<Self::Output>, Error> {
        if self.items.is_empty() {
            return Ok(Some(if self.queue.is_shut_down() { Err(ShutDown) } else { Ok(()) }));
        }
        if self.queue.acknowledges() {
            self.set_apart(me)?;
        }
        self.items.iter().try_for_each(|item| item.must_be_of(me))?;
        let records: Vec<_> = self
            .items
            .iter()
            .map(|item| match item {
                Item::Small { bytes, mark } => (Body::Small(bytes), *mark),
                Item::Large(payload) => {
                    let (block, length) = payload.place();
                    (Body::Large(block, length), payload.mark)
                }
            })
            .collect();
        let result = self.queue.append(me, &records, &mut self.chain, Patience::Latches)?;
        if let Some(Ok(())) = result {
            std::mem::take(&mut self.items).into_iter().for_each(Item::give_away);
        }
        Ok(result)
    }
}
