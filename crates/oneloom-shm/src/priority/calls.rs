//! Putting into a priority queue, for those who may wait.

use std::ops::Deref;

use crate::error::Error;
use crate::event_count::EventCount;
use crate::flow::{AnyQueue, ShutDown};
use crate::latch::Patience;
use crate::member::Tag;
use crate::payload::Item;
use crate::segment::Segment;
use crate::step::{self, Step};
use crate::wait::Call;

use super::{Priority, PriorityQueue};

/// Putting an item.
pub struct PutCall<Q> {
    queue: Q,
    /// None once it was put.
    item: Option<Item>,
    priority: Priority,
}

impl<Q: Deref<Target = PriorityQueue>> PutCall<Q> {
    /// Puts an item with a priority.
    pub fn new(queue: Q, item: Item, priority: Priority) -> Self {
        Self { queue, item: Some(item), priority }
    }
}

impl<Q: Deref<Target = PriorityQueue>> Call for PutCall<Q> {
    type Output = Result<(), ShutDown>;

    fn segment(&self) -> &'static Segment {
        self.queue.segment()
    }

    fn event(&self) -> &'static EventCount {
        &self.queue.flow().not_full
    }

    fn looks_ready(&self) -> bool {
        self.queue.may_put()
    }

    fn attempt(&mut self, me: Tag, _thorough: bool) -> Result<Option<Self::Output>, Error> {
        let segment = self.queue.segment();
        self.item.iter_mut().try_for_each(|item| item.set_apart(segment, me))?;
        step::at(Step::ItemCopied);
        self.item.iter().try_for_each(|item| item.must_be_of(me))?;
        let give = || match self.item.take() {
            Some(Item::Large(payload)) => Ok(Some(payload)),
            _ => Ok(None),
        };
        self.queue.insert(me, self.priority, Patience::Latches, give)
    }
}
