//! Putting into a queue, for those who may wait.

use std::ops::Deref;

use oneloom_wait::atomic::Ordering;

use crate::error::Error;
use crate::event_count::EventCount;
use crate::flow::{AnyQueue, ShutDown};
use crate::latch::Patience;
use crate::member::Tag;
use crate::payload::{Payload, SMALL};
use crate::segment::Segment;
use crate::wait::Call;

use super::Queue;
use super::append::Chain;
use super::chunk::{Body, Total};

/// Putting items: all of them, or none.
pub struct PutCall<Q, B> {
    queue: Q,
    items: Vec<(B, u32)>,
    total: Total,
    /// What the large ones were copied to, once that was done.
    copies: Option<Vec<Payload>>,
    chain: Chain,
}

impl<Q: Deref<Target = Queue>, B: AsRef<[u8]>> PutCall<Q, B> {
    /// Puts `item`, with `mark` for its receiver.
    pub fn new(queue: Q, item: B, mark: u32) -> Self {
        Self::many(queue, vec![(item, mark)])
    }

    /// Puts items, each with its mark.
    pub fn many(queue: Q, items: Vec<(B, u32)>) -> Self {
        if items.len() > 1 && queue.maxsize() != 0 {
            // Before the first look that may end in waiting.
            queue.flow().wide.store(1, Ordering::SeqCst);
        }
        let bytes = items.iter().map(|(item, _)| item.as_ref().len() as u64).sum();
        let total = Total { items: items.len() as u64, bytes };
        Self { queue, items, total, copies: None, chain: Chain::default() }
    }

    fn copy_large(&self, me: Tag) -> Result<Vec<Payload>, Error> {
        let large = self.items.iter().filter(|(item, _)| item.as_ref().len() > SMALL);
        large
            .map(|(item, mark)| Payload::copy_of(self.queue.segment(), me, item.as_ref(), *mark, 0))
            .collect()
    }
}

impl<Q: Deref<Target = Queue>, B: AsRef<[u8]>> Call for PutCall<Q, B> {
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
        // Before anything is locked, and once for all attempts.
        let copies = match self.copies.take() {
            Some(copies) => copies,
            None => self.copy_large(me)?,
        };
        let mut places = copies.iter().map(Payload::place);
        let records: Vec<_> = self
            .items
            .iter()
            .map(|(item, mark)| {
                let large = (item.as_ref().len() > SMALL).then(|| places.next()).flatten();
                let body =
                    large.map_or(Body::Small(item.as_ref()), |(block, length)| Body::Large(block, length));
                (body, *mark)
            })
            .collect();
        let result = self.queue.append(me, &records, &mut self.chain, Patience::Latches)?;
        match result {
            Some(Ok(())) => copies.into_iter().for_each(Payload::give_away),
            _ => self.copies = Some(copies),
        }
        Ok(result)
    }
}
