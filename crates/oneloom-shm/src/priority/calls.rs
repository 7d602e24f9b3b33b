//! Putting into a priority queue, for those who may wait.

use std::ops::Deref;

use crate::error::Error;
use crate::event_count::EventCount;
use crate::flow::{AnyQueue, ShutDown};
use crate::latch::Patience;
use crate::member::Tag;
use crate::payload::Payload;
use crate::segment::Segment;
use crate::wait::Call;

use super::node::LABEL;
use super::{Priority, PriorityQueue};

/// Putting an item.
pub struct PutCall<Q, B> {
    queue: Q,
    item: B,
    mark: u32,
    priority: Priority,
    /// What it was copied to.
    copy: Option<Payload>,
}

impl<Q: Deref<Target = PriorityQueue>, B: AsRef<[u8]>> PutCall<Q, B> {
    /// Puts `item`, with `mark` for its receiver.
    pub fn new(queue: Q, item: B, mark: u32, priority: Priority) -> Self {
        Self { queue, item, mark, priority, copy: None }
    }
}

impl<Q: Deref<Target = PriorityQueue>, B: AsRef<[u8]>> Call for PutCall<Q, B> {
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
        if self.copy.is_none() {
            let (segment, item) = (self.queue.segment(), self.item.as_ref());
            self.copy = Some(Payload::copy_of(segment, me, item, self.mark, LABEL)?);
            crate::step::at(crate::step::Step::ItemCopied);
        }
        self.queue.insert(me, self.priority, Patience::Latches, || Ok(self.copy.take()))
    }
}
