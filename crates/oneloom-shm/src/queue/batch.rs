//! Items that are taken at once.

use std::ops::Deref;

use crate::arena::Block;
use crate::error::Error;
use crate::event_count::EventCount;
use crate::flow::{AnyQueue, ShutDown};
use crate::member::Tag;
use crate::payload::Payload;
use crate::segment::Segment;
use crate::wait::Call;

use super::Queue;
use super::chunk::{Raw, Records, find_payload};
use super::pending::Lent;

/// Items that were taken at once, in order.
#[derive(Default)]
pub struct Batch {
    /// Their records, as they stood in chunks.
    pub(super) bytes: Vec<u8>,
    /// The large ones among them.
    large: Vec<Payload>,
    /// All of them, in a queue whose items are pending until they are acknowledged; then there are no records.
    pub(super) lent: Vec<Lent>,
    items: usize,
}

/// One of them.
pub enum Part<'a> {
    /// A small one.
    Small {
        /// The item.
        bytes: &'a [u8],
        /// What its sender gave with it.
        mark: u32,
    },
    /// A large one.
    Large(Payload),
}

impl Batch {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.items + self.lent.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The items of a queue that wants them acknowledged.
    pub fn into_lent(self) -> Vec<Lent> {
        self.lent
    }

    /// The items of any other queue; the large ones are the caller's from then on.
    pub fn parts(&mut self) -> impl Iterator<Item = Part<'_>> {
        let mut large = self.large.drain(..);
        Records(&self.bytes).filter_map(move |record| match record {
            Ok(Raw::Small { bytes, mark }) => Some(Part::Small { bytes, mark }),
            _ => large.next().map(Part::Large),
        })
    }

    /// Whether any of the records from that byte on is of a large item; they are forgotten if one is not whole.
    pub(super) fn check(&mut self, segment: &'static Segment, from: usize) -> Result<bool, Error> {
        let mut large = false;
        for record in Records(&self.bytes[from..]) {
            let whole = record.and_then(|record| match record {
                Raw::Large { reference, length, .. } => {
                    find_payload(segment, reference, length).map(|_| large = true)
                }
                Raw::Small { .. } => Ok(()),
            });
            if let Err(torn) = whole {
                self.bytes.truncate(from);
                return Err(torn);
            }
        }
        Ok(large)
    }

    /// The blocks of the large items from that byte on.
    pub(super) fn blocks(&self, segment: &'static Segment, from: usize) -> impl Iterator<Item = Block> {
        Records(&self.bytes[from..]).filter_map(move |record| match record {
            Ok(Raw::Large { reference, length, .. }) => find_payload(segment, reference, length).ok(),
            _ => None,
        })
    }

    /// The items from that byte on are this process's now.
    pub(super) fn keep(&mut self, segment: &'static Segment, from: usize, items: u32, large: bool) {
        self.items += items as usize;
        if large {
            self.large.extend(Records(&self.bytes[from..]).filter_map(|record| match record {
                Ok(Raw::Large { reference, length, mark }) => {
                    let block = find_payload(segment, reference, length).ok()?;
                    Some(Payload::new(block, length, mark))
                }
                _ => None,
            }));
        }
    }
}

/// Taking items, at least one.
pub struct GetManyCall<Q> {
    /// Where from.
    pub queue: Q,
    /// How many at most; not 0.
    pub most: u64,
}

impl<Q: Deref<Target = Queue>> Call for GetManyCall<Q> {
    type Output = Result<Batch, ShutDown>;

    fn segment(&self) -> &'static Segment {
        self.queue.segment()
    }

    fn event(&self) -> &'static EventCount {
        &self.queue.flow().not_empty
    }

    fn looks_ready(&self) -> bool {
        self.queue.is_shut_down() || self.queue.is_empty().is_ok_and(|empty| !empty)
    }

    fn attempt(&mut self, me: Tag, thorough: bool) -> Result<Option<Self::Output>, Error> {
        let mut batch = Batch::default();
        // What comes after this look is left to others, or senders could keep a receiver here for ever.
        let mut left = self.most.min(self.queue.len()?.max(1));
        while left > 0 {
            // One chunk's items at a time, so that nobody else waits for long.
            let taken = if self.queue.acknowledges() {
                self.queue.take_to_hold(me, left, &mut batch, thorough)
            } else {
                self.queue.take_some(me, left, &mut batch)
            };
            match taken {
                Ok(Some(Ok(taken))) => left = left.saturating_sub(taken),
                // What was taken is to be used; whatever this is, the next call meets it.
                _ if !batch.is_empty() => break,
                Ok(nothing) => return Ok(nothing.map(|ended| ended.map(|_| batch))),
                Err(failure) => return Err(failure),
            }
        }
        Ok(Some(Ok(batch)))
    }
}
