//! A queue of bytes that processes share: any number of senders and receivers, items of any size, a bound or none.
//!
//! The items stand in a chain of chunks, one after the other. Senders append to the last chunk inside the tail's latch,
//! receivers take from the first inside the head's. A small item is copied inside the latch, a large one stands in a
//! block of its own that was filled before. Putting ends in one store of `committed`, and so does taking, of `taken`: what
//! is not committed is not there, and what is not taken is.
//!
//! What a dead sender or receiver leaves behind, and who repairs it, under the latch that was its own:
//!
//! | it died after | it left | repair |
//! |---|---|---|
//! | writing what it had not committed | bytes that nobody reads | none: the next one overwrites them |
//! | linking a chunk | a tail that is not the last chunk | follow the links, make the last part of the queue |
//! | committing a large item | a block that is still its own | read the item at `writing`, make it part of the queue |
//! | retiring a chunk that it did not leave yet | a first chunk that is its own | make it part of the queue |
//! | taking a large item | a block that nobody names | read the item at `taking`, give the block back |
//!
//! Everything else that it owned is given back by a sweep. A receiver may die with what it has taken: that item is lost.

mod append;
mod calls;
mod chunk;
mod repair;
mod take;

use oneloom_wait::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use crate::arena::{Block, Kind, Reference};
use crate::error::Error;
use crate::event_count::EventCount;
use crate::handle::{Object, Shared};
use crate::latch::Latch;
use crate::member::Tag;
use crate::monitor;
use crate::segment::{Plain, Segment};

pub use calls::{GetCall, JoinCall, PutCall};
use chunk::{Body, Chunk, Position};
use repair::enter_tail;
pub use repair::repair;
pub use take::{Item, Payload};

/// Items up to this length stand in chunks.
const SMALL: usize = 4096;

#[repr(C, align(64))]
struct Tail {
    latch: Latch,
    /// Where the large item stands that is being put, plus one; 0 while none is.
    writing: AtomicU32,
    /// The last chunk, or one before it while a sender links another.
    chunk: AtomicU64,
    /// How many items had been taken when a sender last looked.
    seen_taken: AtomicU64,
}

#[repr(C, align(64))]
struct Head {
    latch: Latch,
    /// Where the large item stands that is being taken, plus one; 0 while none is.
    taking: AtomicU32,
    /// The first chunk.
    chunk: AtomicU64,
    /// How far the first chunk was filled when a receiver last looked.
    seen_end: AtomicU32,
}

/// What stands in the segment.
#[repr(C, align(64))]
pub struct Content {
    /// How many items it takes; 0 for any number.
    maxsize: AtomicU64,
    /// Not 0 after a shutdown. Written inside the tail's latch.
    shut_down: AtomicU32,
    /// How many items were reported done.
    done: AtomicU64,
    tail: Tail,
    head: Head,
    not_empty: EventCount,
    not_full: EventCount,
    all_done: EventCount,
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
            for payload in chunk.payloads()? {
                payload.free(me)?;
            }
            next = chunk.next();
            chunk.block.free(me)?;
        }
        Ok(())
    }
}

/// The queue was shut down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShutDown;

/// `task_done` was called more often than items were put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyDone;

/// What a call may wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// Nothing: what is in the way ends it.
    None,
    /// Others who are inside a latch.
    Latches,
}

/// A queue in a segment.
pub struct Queue {
    object: Object<Content>,
}

impl AsRef<Self> for Queue {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Queue {
    /// A queue for `maxsize` items, 0 for any number.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(segment: &'static Segment, maxsize: u64) -> Result<Self, Error> {
        let object = Object::<Content>::create(segment)?;
        let me = segment.me()?;
        let chunk = Chunk::make(segment, me, None)?;
        chunk.block.becomes_part_of(object.block().reference)?;
        let content = object.content();
        content.maxsize.store(maxsize, Ordering::Relaxed);
        content.head.chunk.store(chunk.block.reference.0, Ordering::Release);
        content.tail.chunk.store(chunk.block.reference.0, Ordering::Release);
        Ok(Self { object })
    }

    /// The queue that an object is.
    pub fn from_object(object: Object<Content>) -> Self {
        Self { object }
    }

    /// The object that it is.
    pub fn object(&self) -> &Object<Content> {
        &self.object
    }

    /// Puts a small item if there is a place for it and nothing in the way: never waits, not even for a latch or for
    /// memory. `mark` is any number below 2³¹ that its receiver gets with it.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    #[inline]
    pub fn try_put(&self, item: &[u8], mark: u32) -> Result<Option<Result<(), ShutDown>>, Error> {
        if item.len() > SMALL {
            return Ok(None);
        }
        self.append(self.segment().me()?, &Body::Small(item), mark, Patience::None)
    }

    /// Takes an item if there is one and nothing in the way: never waits, not even for a latch. A small one comes in
    /// `buffer`, which is empty.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    #[inline]
    pub fn try_get(&self, buffer: &mut Vec<u8>) -> Result<Option<Result<Item, ShutDown>>, Error> {
        self.take(self.segment().me()?, buffer, Patience::None)
    }

    fn segment(&self) -> &'static Segment {
        self.object.segment()
    }

    fn content(&self) -> &'static Content {
        self.object.content()
    }

    /// How many items were ever put; by the time the caller looks, it may be more.
    fn put(&self) -> Result<u64, Error> {
        self.count(&self.content().tail.chunk, Chunk::committed)
    }

    fn taken(&self) -> Result<u64, Error> {
        self.count(&self.content().head.chunk, Chunk::taken)
    }

    fn count(&self, place: &AtomicU64, position: fn(&Chunk) -> Position) -> Result<u64, Error> {
        loop {
            let seen = place.load(Ordering::Acquire);
            let counted = Chunk::find(self.segment(), Reference(seen))
                .map(|chunk| chunk.begins_at() + u64::from(position(&chunk).items));
            fence(Ordering::SeqCst);
            // A chunk that is not named there any more may be anything by now.
            if place.load(Ordering::Acquire) == seen {
                return counted;
            }
        }
    }

    /// How many items are there; by the time the caller looks, others may have changed it.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    pub fn len(&self) -> Result<u64, Error> {
        let taken = self.taken()?;
        Ok(self.put()?.saturating_sub(taken))
    }

    /// Whether there are none.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// How many items it takes, 0 for any number.
    pub fn maxsize(&self) -> u64 {
        self.content().maxsize.load(Ordering::Relaxed)
    }

    /// How many items were put and not yet reported done.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    pub fn unfinished(&self) -> Result<u64, Error> {
        let done = self.content().done.load(Ordering::SeqCst);
        Ok(self.put()?.saturating_sub(done))
    }

    /// Reports an item as done.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    pub fn task_done(&self) -> Result<Result<(), TooManyDone>, Error> {
        // Whoever changes something is watched by those who wait for it.
        self.segment().me()?;
        let (content, put) = (self.content(), self.put()?);
        let one_more = |done| (done < put).then_some(done + 1);
        if content.done.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_err() {
            return Ok(Err(TooManyDone));
        }
        if self.unfinished()? == 0 {
            self.tell_all(&content.all_done);
        }
        Ok(Ok(()))
    }

    fn tell_all(&self, event: &'static EventCount) {
        let segment = self.segment();
        event.notify(u32::MAX, |mask| monitor::ring(segment, event, mask));
    }

    /// Ends the queue: puts fail from now on, and gets once it is empty. With `immediate`, what is left is dropped, and
    /// counts as done.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    pub fn shut_down(&self, immediate: bool) -> Result<(), Error> {
        let (content, me) = (self.content(), self.segment().me()?);
        {
            let _inside = enter_tail(self.object.block(), me, Patience::Latches)?;
            content.shut_down.store(1, Ordering::SeqCst);
        }
        let mut buffer = Vec::new();
        if immediate {
            while let Some(Ok(_item)) = self.take(me, &mut buffer, Patience::Latches)? {
                let _ = self.task_done()?;
            }
        }
        self.tell_all(&content.not_empty);
        self.tell_all(&content.not_full);
        Ok(())
    }

    /// Whether it was shut down.
    pub fn is_shut_down(&self) -> bool {
        self.content().shut_down.load(Ordering::Acquire) != 0
    }
}

#[cfg(test)]
type Rows = (usize, Vec<String>);

#[cfg(test)]
pub(crate) fn rows() -> (Rows, Rows, Rows, Rows) {
    use crate::layout::rows;
    (
        chunk::rows(),
        rows!(Tail { latch, writing, chunk, seen_taken }),
        rows!(Head { latch, taking, chunk, seen_end }),
        rows!(Content { maxsize, shut_down, done, tail, head, not_empty, not_full, all_done }),
    )
}
