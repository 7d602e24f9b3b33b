//! What queues of every order have in common: a bound, an end, the count of what is done, and who waits.

use std::ops::Deref;

use oneloom_wait::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::error::Error;
use crate::event_count::EventCount;
use crate::handle::{Object, Shared};
use crate::latch::Patience;
use crate::member::Tag;
use crate::monitor;
use crate::payload::Item;
use crate::segment::Segment;
use crate::wait::Call;

/// What stands in the segment.
#[repr(C, align(64))]
pub struct Flow {
    /// How many items it takes; 0 for any number.
    pub(crate) maxsize: AtomicU64,
    /// Not 0 after a shutdown. Written inside the latch of those who put.
    pub(crate) shut_down: AtomicU32,
    /// Not 0 once anybody needed more than one place at once, and so may wait for `has_room`.
    pub(crate) wide: AtomicU32,
    /// For those who wait for an item.
    pub not_empty: EventCount,
    pub(crate) not_full: EventCount,
    pub(crate) all_done: EventCount,
    /// How many items were reported done.
    pub(crate) done: AtomicU64,
    /// For those who need more than one place; all of them are woken for each that becomes free.
    pub(crate) has_room: EventCount,
    /// Whether its users agreed that whoever takes an item copies it. Written by its maker.
    copies: AtomicU32,
}

/// The queue was shut down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShutDown;

/// `task_done` was called more often than items were put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyDone;

/// A queue of any order.
pub trait AnyQueue: Sized {
    /// What stands in the segment.
    type Content: Shared;

    /// The queue that an object is.
    fn from_object(object: Object<Self::Content>) -> Self;

    /// The object that it is.
    fn object(&self) -> &Object<Self::Content>;

    /// What it has in common with others.
    fn flow(&self) -> &'static Flow;

    /// How many items were ever put; by the time the caller looks, it may be more.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    fn put_so_far(&self) -> Result<u64, Error>;

    /// How many items are there; by the time the caller looks, others may have changed it.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    fn len(&self) -> Result<u64, Error>;

    /// Marks it as shut down: when this returns, nobody puts any more.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    fn close(&self, me: Tag) -> Result<(), Error>;

    /// Takes an item if there is one; a small one comes in `buffer`, which is empty.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    fn take(
        &self,
        me: Tag,
        buffer: &mut Vec<u8>,
        patience: Patience,
    ) -> Result<Option<Result<Item, ShutDown>>, Error>;

    /// Where it stands.
    #[inline]
    fn segment(&self) -> &'static Segment {
        self.object().segment()
    }

    /// Takes an item if there is one and nothing in the way: never waits, not even for a latch. A small one comes in
    /// `buffer`, which is empty.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    #[inline]
    fn try_get(&self, buffer: &mut Vec<u8>) -> Result<Option<Result<Item, ShutDown>>, Error> {
        self.take(self.segment().me()?, buffer, Patience::None)
    }

    /// Whether there are no items.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// How many items it takes, 0 for any number.
    fn maxsize(&self) -> u64 {
        self.flow().maxsize.load(Ordering::Relaxed)
    }

    /// How many items were put and not yet reported done.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    fn unfinished(&self) -> Result<u64, Error> {
        let done = self.flow().done.load(Ordering::SeqCst);
        Ok(self.put_so_far()?.saturating_sub(done))
    }

    /// Repairs what the dead have left wrong in what others add up.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    fn refresh(&self, _me: Tag) -> Result<(), Error> {
        Ok(())
    }

    /// Reports an item as done. Where items are acknowledged, only that makes them done.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    fn task_done(&self) -> Result<Result<(), TooManyDone>, Error> {
        // Whoever changes something is watched by those who wait for it.
        self.segment().me()?;
        let (flow, put) = (self.flow(), self.put_so_far()?);
        let one_more = |done| (done < put).then(|| done + 1);
        if flow.done.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_err() {
            return Ok(Err(TooManyDone));
        }
        if self.unfinished()? == 0 {
            tell(self.segment(), &flow.all_done, u32::MAX);
        }
        Ok(Ok(()))
    }

    /// Ends the queue: puts fail from now on, and gets once it is empty. With `immediate`, what is left is dropped, and
    /// counts as done.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    fn shut_down(&self, immediate: bool) -> Result<(), Error> {
        let (flow, me) = (self.flow(), self.segment().me()?);
        self.close(me)?;
        let mut buffer = Vec::new();
        if immediate {
            while let Some(Ok(_item)) = self.take(me, &mut buffer, Patience::Latches)? {
                let _ = self.task_done()?;
            }
        }
        tell(self.segment(), &flow.not_empty, u32::MAX);
        tell(self.segment(), &flow.not_full, u32::MAX);
        tell(self.segment(), &flow.has_room, u32::MAX);
        Ok(())
    }

    /// Whether it was shut down.
    fn is_shut_down(&self) -> bool {
        self.flow().shut_down.load(Ordering::Acquire) != 0
    }

    /// Notes that receivers are to copy what they take; to be said before others know of the queue.
    fn set_copies(&self, copies: bool) {
        self.flow().copies.store(u32::from(copies), Ordering::Release);
    }

    /// Whether receivers are to copy what they take.
    fn copies(&self) -> bool {
        self.flow().copies.load(Ordering::Acquire) != 0
    }

    /// How many wait now for an item, for a place, and until all is done: threads of all processes that sleep, and tasks of
    /// this one. Costs four system calls.
    #[cfg(not(shuttle))]
    fn waiting(&self) -> [usize; 3] {
        let flow = self.flow();
        let waiting = monitor::waiting;
        [waiting(&flow.not_empty), waiting(&flow.not_full) + waiting(&flow.has_room), waiting(&flow.all_done)]
    }

    /// Whether putting may succeed: a cheap look.
    fn may_put(&self) -> bool {
        self.is_shut_down() || self.len().is_ok_and(|length| length < self.maxsize())
    }
}

/// Tells up to `count` of those who wait for `event`, `u32::MAX` for all.
#[inline]
pub(crate) fn tell(segment: &'static Segment, event: &'static EventCount, count: u32) {
    event.notify(count, |mask| monitor::ring(segment, event, mask));
}

/// Taking an item.
pub struct GetCall<Q> {
    /// Where from.
    pub queue: Q,
    /// What a small item comes in; empty.
    pub buffer: Vec<u8>,
}

impl<Q: Deref<Target: AnyQueue>> Call for GetCall<Q> {
    type Output = Result<Item, ShutDown>;

    fn segment(&self) -> &'static Segment {
        self.queue.segment()
    }

    fn event(&self) -> &'static EventCount {
        &self.queue.flow().not_empty
    }

    fn looks_ready(&self) -> bool {
        self.queue.is_shut_down() || self.queue.is_empty().is_ok_and(|empty| !empty)
    }

    fn attempt(&mut self, me: Tag, _thorough: bool) -> Result<Option<Self::Output>, Error> {
        self.queue.take(me, &mut self.buffer, Patience::Latches)
    }
}

/// Waiting until everything that was put is reported done.
pub struct JoinCall<Q> {
    /// For which queue.
    pub queue: Q,
}

impl<Q: Deref<Target: AnyQueue>> Call for JoinCall<Q> {
    type Output = ();

    fn segment(&self) -> &'static Segment {
        self.queue.segment()
    }

    fn event(&self) -> &'static EventCount {
        &self.queue.flow().all_done
    }

    fn looks_ready(&self) -> bool {
        self.queue.unfinished().is_ok_and(|unfinished| unfinished == 0)
    }

    fn attempt(&mut self, me: Tag, thorough: bool) -> Result<Option<()>, Error> {
        if thorough {
            self.queue.refresh(me)?;
        }
        Ok((self.queue.unfinished()? == 0).then_some(()))
    }
}

#[cfg(test)]
pub(crate) fn rows() -> (usize, Vec<String>) {
    crate::layout::rows!(Flow {
        maxsize,
        shut_down,
        wide,
        not_empty,
        not_full,
        all_done,
        done,
        has_room,
        copies
    })
}
