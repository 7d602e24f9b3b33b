//! Putting into a queue, for those who may wait.

use std::ops::Deref;

use crate::error::Error;
use crate::event_count::EventCount;
use crate::flow::{AnyQueue, ShutDown};
use crate::latch::Patience;
use crate::member::Tag;
use crate::payload::{Payload, SMALL};
use crate::segment::Segment;
use crate::wait::Call;

use super::Queue;
use super::chunk::Body;

/// Putting an item.
pub struct PutCall<Q, B> {
    queue: Q,
    item: B,
    mark: u32,
    /// What a large item was copied to.
    copy: Option<Payload>,
}

impl<Q: Deref<Target = Queue>, B: AsRef<[u8]>> PutCall<Q, B> {
    /// Puts `item`, with `mark` for its receiver.
    pub fn new(queue: Q, item: B, mark: u32) -> Self {
        Self { queue, item, mark, copy: None }
    }
}

impl<Q: Deref<Target = Queue>, B: AsRef<[u8]>> Call for PutCall<Q, B> {
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
        let (queue, item) = (&self.queue, self.item.as_ref());
        if item.len() <= SMALL {
            return queue.append(me, &Body::Small(item), self.mark, Patience::Latches);
        }
        let copy = match self.copy.take() {
            Some(copy) => copy,
            None => Payload::copy_of(queue.segment(), me, item, self.mark, 0)?,
        };
        let (block, length) = copy.place();
        let result = queue.append(me, &Body::Large(block, length), self.mark, Patience::Latches)?;
        match result {
            Some(Ok(())) => copy.give_away(),
            _ => self.copy = Some(copy),
        }
        Ok(result)
    }
}
