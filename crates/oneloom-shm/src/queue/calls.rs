//! A queue's calls, for those who may wait.

use std::ptr::NonNull;

use crate::arena::{Block, Kind, allocate};
use crate::error::Error;
use crate::event_count::EventCount;
use crate::member::Tag;
use crate::segment::Segment;
use crate::wait::Call;

use super::chunk::Body;
use super::{Item, Patience, Queue, SMALL, ShutDown};

/// Putting an item.
pub struct PutCall<Q, B> {
    queue: Q,
    item: B,
    mark: u32,
    /// The block that a large item was copied to.
    block: Option<Block>,
}

impl<Q: AsRef<Queue>, B: AsRef<[u8]>> PutCall<Q, B> {
    /// Puts `item`, with `mark` for its receiver.
    pub fn new(queue: Q, item: B, mark: u32) -> Self {
        Self { queue, item, mark, block: None }
    }
}

impl<Q: AsRef<Queue>, B: AsRef<[u8]>> Call for PutCall<Q, B> {
    type Output = Result<(), ShutDown>;

    fn segment(&self) -> &'static Segment {
        self.queue.as_ref().segment()
    }

    fn event(&self) -> &'static EventCount {
        &self.queue.as_ref().content().not_full
    }

    fn looks_ready(&self) -> bool {
        let queue = self.queue.as_ref();
        queue.is_shut_down() || queue.len().is_ok_and(|length| length < queue.maxsize())
    }

    fn attempt(&mut self, me: Tag, _thorough: bool) -> Result<Option<Self::Output>, Error> {
        let (queue, item) = (self.queue.as_ref(), self.item.as_ref());
        if item.len() <= SMALL {
            return queue.append(me, &Body::Small(item), self.mark, Patience::Latches);
        }
        let length = item.len() as u64;
        let block = match self.block {
            Some(block) => block,
            None => {
                let block = allocate(queue.segment(), me, Kind::Payload, length)?;
                let place = block.bytes(length)?;
                // SAFETY: as long as the item, this process's own, and nobody knows of it yet.
                unsafe { place.copy_from_nonoverlapping(NonNull::from(item).cast(), item.len()) };
                self.block.insert(block).to_owned()
            }
        };
        let result = queue.append(me, &Body::Large(block, length), self.mark, Patience::Latches)?;
        if let Some(Ok(())) = result {
            self.block = None;
        }
        Ok(result)
    }
}

impl<Q, B> Drop for PutCall<Q, B> {
    fn drop(&mut self) {
        if let Some((block, me)) = self.block.take().and_then(|block| Some((block, block.segment.me().ok()?)))
        {
            // What can't be given back is swept when this process has ended.
            let _ = block.free(me);
        }
    }
}

/// Taking an item.
pub struct GetCall<Q> {
    /// Where from.
    pub queue: Q,
    /// What a small item comes in; empty.
    pub buffer: Vec<u8>,
}

impl<Q: AsRef<Queue>> Call for GetCall<Q> {
    type Output = Result<Item, ShutDown>;

    fn segment(&self) -> &'static Segment {
        self.queue.as_ref().segment()
    }

    fn event(&self) -> &'static EventCount {
        &self.queue.as_ref().content().not_empty
    }

    fn looks_ready(&self) -> bool {
        let queue = self.queue.as_ref();
        queue.is_shut_down() || queue.is_empty().is_ok_and(|empty| !empty)
    }

    fn attempt(&mut self, me: Tag, _thorough: bool) -> Result<Option<Self::Output>, Error> {
        self.queue.as_ref().take(me, &mut self.buffer, Patience::Latches)
    }
}

/// Waiting until everything that was put is reported done.
pub struct JoinCall<Q> {
    /// For which queue.
    pub queue: Q,
}

impl<Q: AsRef<Queue>> Call for JoinCall<Q> {
    type Output = ();

    fn segment(&self) -> &'static Segment {
        self.queue.as_ref().segment()
    }

    fn event(&self) -> &'static EventCount {
        &self.queue.as_ref().content().all_done
    }

    fn looks_ready(&self) -> bool {
        self.queue.as_ref().unfinished().is_ok_and(|unfinished| unfinished == 0)
    }

    fn attempt(&mut self, _me: Tag, _thorough: bool) -> Result<Option<()>, Error> {
        Ok((self.queue.as_ref().unfinished()? == 0).then_some(()))
    }
}
