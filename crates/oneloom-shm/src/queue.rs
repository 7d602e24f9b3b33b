//! A queue of bytes that processes share: any number of senders and receivers, items of any size, a bound or none.
//!
//! The items stand in a chain of chunks, one after the other. Senders append to the last chunk inside the tail's latch,
//! receivers take from the first inside the head's. A small item is copied inside the latch, a large one stands in a
//! block of its own that was filled before. Putting ends in one store, of `committed` or of the tail's `chunk`, however
//! many items it puts; taking, in one of `taken` for each chunk that it comes to. What is not committed is not there, and
//! what is not taken is.
//!
//! What a dead sender or receiver leaves behind, and who repairs it, under the latch that was its own:
//!
//! | it died after | it left | repair |
//! |---|---|---|
//! | writing what it had not committed | bytes that nobody reads | none: the next one overwrites them |
//! | naming at `writing` large items that it did not commit | blocks that nobody names | read them there, give them back |
//! | linking chunks | a tail that is not the last chunk | follow the links, make them and what they name part of the queue |
//! | retiring a chunk that it did not leave yet | a first chunk that is its own | make it part of the queue |
//! | taking large items | blocks that nobody names | read the items from `taking` on, give the blocks back |
//!
//! Everything else that it owned is given back by a sweep. A receiver may die with what it has taken: that item, or that
//! batch, is lost, unless items are to be acknowledged, which is told in `pending`.

mod append;
mod batch;
mod calls;
mod chunk;
mod pending;
mod repair;
mod take;

use oneloom_wait::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use crate::arena::{Block, Kind, Reference};
use crate::error::Error;
use crate::flow::{AnyQueue, Flow, ShutDown};
use crate::handle::{Object, Shared};
use crate::latch::{Latch, Patience};
use crate::member::Tag;
use crate::payload::{Item, SMALL};
use crate::segment::{Plain, Segment};

use append::Chain;
pub use batch::{Batch, GetManyCall, Part};
pub use calls::PutCall;
use chunk::{Body, Chunk, Position, Total};
use pending::Pending;
pub use pending::{Lent, NotHeld, Receipt};
pub use repair::repair;
use repair::{enter_head, enter_tail};

#[repr(C, align(64))]
struct Tail {
    latch: Latch,
    /// The last chunk, or one before it while a sender links others.
    chunk: AtomicU64,
    /// How many items had been taken when a sender last looked, and how many bytes those had.
    seen_taken: AtomicU64,
    seen_taken_bytes: AtomicU64,
    /// Where the records end that are being put, large items among them, and in the lower half where they begin, plus
    /// one; 0 while there are none.
    writing: AtomicU64,
    /// How many bytes the items in the queue may have; 0 for any number.
    max_bytes: AtomicU64,
}

#[repr(C, align(64))]
struct Head {
    latch: Latch,
    /// Where the records begin that are being taken, large items among them, plus one; 0 while there are none.
    taking: AtomicU32,
    /// The first chunk.
    chunk: AtomicU64,
    /// How far the first chunk was filled when a receiver last looked.
    seen_end: AtomicU32,
}

/// What stands in the segment.
#[repr(C, align(64))]
pub struct Content {
    flow: Flow,
    tail: Tail,
    head: Head,
    pending: Pending,
}

// SAFETY: integers that are atomic, in a fixed layout.
unsafe impl Plain for Content {}

// SAFETY: a queue's block holds `Content` alone. Zeros are a queue without chunks, which `Queue::new` gives it.
unsafe impl Shared for Content {
    const KIND: Kind = Kind::Queue;

    fn dismantle(block: Block, me: Tag) -> Result<(), Error> {
        let content: &Content = block.content()?;
        let mut next = Reference(content.head.chunk.load(Ordering::Acquire));
        while next != Reference::NONE {
            let chunk = Chunk::find(block.segment, next)?;
            for payload in chunk.payloads(chunk.taken().offset, chunk.committed().offset)? {
                payload.free(me)?;
            }
            next = chunk.next();
            chunk.block.free(me)?;
        }
        pending::dismantle(block.segment, &content.pending, me)
    }
}

/// How much a queue takes; 0 is no bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bounds {
    /// Items.
    pub maxsize: u64,
    /// Bytes that its items have together.
    pub max_bytes: u64,
}

impl Bounds {
    /// Whether so much `more` may be put where so much was put and taken.
    #[inline]
    fn allow(self, put: Total, taken: Total, more: Total) -> bool {
        let within = |bound: u64, put: u64, taken: u64, more: u64| {
            bound == 0 || put.saturating_add(more).saturating_sub(taken) <= bound
        };
        within(self.maxsize, put.items, taken.items, more.items)
            && within(self.max_bytes, put.bytes, taken.bytes, more.bytes)
    }

    /// An error if so much could not be put into an empty queue.
    fn ever_allow(self, more: Total) -> Result<(), Error> {
        let Self { maxsize, max_bytes } = self;
        if maxsize != 0 && more.items > maxsize {
            return Err(Error::TooMany { items: more.items, maxsize });
        }
        if max_bytes != 0 && more.bytes > max_bytes {
            return Err(Error::TooLarge { items: more.items, bytes: more.bytes, max_bytes });
        }
        Ok(())
    }
}

/// A queue in a segment.
pub struct Queue {
    object: Object<Content>,
    /// Whether its items are pending until they are acknowledged.
    acknowledges: bool,
    /// The fork generation in which it was last found to be new here: who had died before was looked for then.
    looked: AtomicU32,
}

impl Queue {
    /// A queue for `maxsize` items, 0 for any number.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(segment: &'static Segment, maxsize: u64) -> Result<Self, Error> {
        Self::bounded(segment, Bounds { maxsize, max_bytes: 0 }, false)
    }

    /// A queue with bounds. With `acknowledges`, what [`GetManyCall`] gives is pending until it is acknowledged, and given to
    /// another receiver if the process that took it dies before.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn bounded(segment: &'static Segment, bounds: Bounds, acknowledges: bool) -> Result<Self, Error> {
        let object = Object::<Content>::create(segment)?;
        let me = segment.me()?;
        let chunk = Chunk::make(segment, me, None)?;
        chunk.block.becomes_part_of(object.block().reference)?;
        let content = object.content();
        content.flow.maxsize.store(bounds.maxsize, Ordering::Relaxed);
        content.tail.max_bytes.store(bounds.max_bytes, Ordering::Relaxed);
        // Where bytes count, a place is not like another.
        content.flow.wide.store(u32::from(bounds.max_bytes != 0), Ordering::Relaxed);
        content.pending.acknowledges.store(u32::from(acknowledges), Ordering::Relaxed);
        content.head.chunk.store(chunk.block.reference.0, Ordering::Release);
        content.tail.chunk.store(chunk.block.reference.0, Ordering::Release);
        Ok(Self { object, acknowledges, looked: AtomicU32::new(0) })
    }

    /// Puts a small item if there is a place for it and nothing in the way: never waits, not even for a latch or for
    /// memory. `mark` is any number below 2³¹ that its receiver gets with it.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    #[inline]
    pub fn try_put(&self, item: &[u8], mark: u32) -> Result<Option<Result<(), ShutDown>>, Error> {
        if item.len() > SMALL || self.acknowledges {
            return Ok(None);
        }
        let records = [(Body::Small(item), mark)];
        self.append(self.segment().me()?, &records, &mut Chain::default(), Patience::None)
    }

    /// Ends it, although it may have left this process. For a queue that nobody else uses any more.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    pub fn end(&self) -> Result<(), Error> {
        self.object.end()
    }

    fn content(&self) -> &'static Content {
        self.object.content()
    }

    /// Whether its items are pending until they are acknowledged.
    #[inline]
    pub fn acknowledges(&self) -> bool {
        self.acknowledges
    }

    /// How much it takes.
    #[inline]
    pub fn bounds(&self) -> Bounds {
        let content = self.content();
        Bounds {
            maxsize: content.flow.maxsize.load(Ordering::Relaxed),
            max_bytes: content.tail.max_bytes.load(Ordering::Relaxed),
        }
    }

    /// How many bytes the items have that are there; by the time the caller looks, others may have changed it.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    pub fn bytes(&self) -> Result<u64, Error> {
        let taken = self.taken()?;
        Ok(self.put()?.bytes.saturating_sub(taken.bytes))
    }

    /// Whether there is place for so much more: a cheap look.
    fn would_take(&self, more: Total) -> Result<bool, Error> {
        let taken = self.taken()?;
        Ok(self.bounds().allow(self.put()?, taken, more))
    }

    fn put(&self) -> Result<Total, Error> {
        self.count(&self.content().tail.chunk, Chunk::committed)
    }

    fn taken(&self) -> Result<Total, Error> {
        self.count(&self.content().head.chunk, Chunk::taken)
    }

    fn count(&self, place: &AtomicU64, position: fn(&Chunk) -> Position) -> Result<Total, Error> {
        loop {
            let seen = place.load(Ordering::Acquire);
            let counted =
                Chunk::find(self.segment(), Reference(seen)).map(|chunk| chunk.total(position(&chunk)));
            fence(Ordering::SeqCst);
            // A chunk that is not named there any more may be anything by now.
            if place.load(Ordering::Acquire) == seen {
                return counted;
            }
        }
    }
}

impl AnyQueue for Queue {
    type Content = Content;

    fn from_object(object: Object<Content>) -> Self {
        let acknowledges = object.content().pending.acknowledges.load(Ordering::Relaxed) != 0;
        Self { object, acknowledges, looked: AtomicU32::new(0) }
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
        Ok(self.put()?.items)
    }

    fn len(&self) -> Result<u64, Error> {
        let taken = self.taken()?;
        let again = if self.acknowledges { u64::from(self.held().1) } else { 0 };
        Ok(self.put()?.items.saturating_sub(taken.items) + again)
    }

    fn unfinished(&self) -> Result<u64, Error> {
        if self.acknowledges {
            // In the order that an item goes, from its end: one that moves meanwhile counts twice, not never.
            let (taken, (held, _)) = (self.taken()?, self.held());
            return Ok(self.put()?.items.saturating_sub(taken.items) + u64::from(held));
        }
        let done = self.flow().done.load(Ordering::SeqCst);
        Ok(self.put()?.items.saturating_sub(done))
    }

    fn refresh(&self, me: Tag) -> Result<(), Error> {
        if self.acknowledges {
            drop(enter_head(self.object.block(), me, Patience::Latches)?);
        }
        Ok(())
    }

    fn close(&self, me: Tag) -> Result<(), Error> {
        let _inside = enter_tail(self.object.block(), me, Patience::Latches)?;
        self.flow().shut_down.store(1, Ordering::SeqCst);
        Ok(())
    }

    #[inline]
    fn take(
        &self,
        me: Tag,
        buffer: &mut Vec<u8>,
        patience: Patience,
    ) -> Result<Option<Result<Item, ShutDown>>, Error> {
        self.take_first(me, buffer, patience)
    }
}

#[cfg(test)]
type Rows = (usize, Vec<String>);

#[cfg(test)]
pub(crate) fn rows() -> (Rows, Rows, Rows, Rows, [Rows; 3]) {
    use crate::layout::rows;
    (
        chunk::rows(),
        rows!(Tail { latch, chunk, seen_taken, seen_taken_bytes, writing, max_bytes }),
        rows!(Head { latch, taking, chunk, seen_end }),
        rows!(Content { flow, tail, head, pending }),
        pending::rows(),
    )
}
