//! A lock that its holder may take again, shared by processes, and going to the next waiter when its owner dies.
//!
//! It is a [`crate::mutex`] whose every hold is its holder's alone, and beside it how often it was taken: by whose
//! process, too, because a holder's name means something in its process alone. The depth is written last and cleared
//! first: where it names a process, the holder's name beside it is of that process.
//!
//! | it died after | it left | repair |
//! |---|---|---|
//! | taking the lock, before writing the depth | a lock of its own, without a depth | none: whoever takes it over writes both |
//! | clearing the depth, before giving the lock back | the same | the same |

use oneloom_wait::atomic::{AtomicU64, Ordering};
use oneloom_wait::graph::{self, HoldElsewhere, Resource};

use crate::arena::{Block, Kind};
use crate::deadlock::Awaited;
use crate::error::Error;
use crate::event_count::EventCount;
use crate::handle::{Object, Shared};
use crate::member::Tag;
use crate::mutex::{self, Core, Holder, NAME, ReleaseError, Taken};
use crate::segment::{Plain, Segment};
use crate::step::{self, Step};
use crate::wait::Call;

/// What stands in the segment.
#[repr(C, align(64))]
pub struct Content {
    lock: mutex::Content,
    /// The holder's tag in the upper half, how often it was taken in the lower; 0 while nobody holds it.
    depth: AtomicU64,
}

// SAFETY: integers that are atomic, in a fixed layout.
unsafe impl Plain for Content {}

// SAFETY: the block holds `Content` alone, and zeros are an open lock.
unsafe impl Shared for Content {
    const KIND: Kind = Kind::Reentrant;

    fn dismantle(_block: Block, _me: Tag) -> Result<(), Error> {
        Ok(())
    }
}

fn depth(me: Tag, count: u32) -> u64 {
    u64::from(me.0) << 32 | u64::from(count)
}

/// A reentrant lock in a segment. Who takes it is a number of up to 56 bits that means something in its process.
pub struct ReentrantMutex {
    object: Object<Content>,
    name: Option<String>,
}

impl AsRef<Self> for ReentrantMutex {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl ReentrantMutex {
    /// A new lock.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(segment: &'static Segment) -> Result<Self, Error> {
        Ok(Self::from_object(Object::create(segment)?))
    }

    /// The lock that an object is.
    pub fn from_object(object: Object<Content>) -> Self {
        Self { object, name: None }
    }

    /// The same lock, with a name for messages of this process.
    #[must_use]
    pub fn named(self, name: Option<String>) -> Self {
        Self { name, ..self }
    }

    /// The object that it is.
    pub fn object(&self) -> &Object<Content> {
        &self.object
    }

    fn core(&self) -> Core {
        Core { content: &self.object.content().lock, segment: self.object.segment() }
    }

    /// How often `name` of this very process holds it.
    fn held(&self, me: Tag, name: u64) -> Option<u32> {
        let content = self.object.content();
        let depth = content.depth.load(Ordering::Acquire);
        let holder = content.lock.holder.load(Ordering::Acquire) & NAME;
        (depth >> 32 == u64::from(me.0) && holder == name & NAME).then_some(depth as u32)
    }

    /// Takes the lock if nobody else holds it.
    ///
    /// # Errors
    /// If this process can't join the family.
    #[inline]
    pub fn try_lock(&self, name: u64) -> Result<bool, Error> {
        Ok(self.take(self.object.segment().me()?, name, 1))
    }

    #[inline]
    fn take(&self, me: Tag, name: u64, count: u32) -> bool {
        let already = self.held(me, name).unwrap_or(0);
        let taken = already > 0 || self.core().take(me, Holder { name, scoped: true });
        if taken {
            self.object.content().depth.store(depth(me, already.saturating_add(count)), Ordering::Release);
            step::at(Step::DepthWritten);
        }
        taken
    }

    fn take_over(&self, me: Tag, name: u64, count: u32) -> bool {
        let taken = self.core().take_over(me, Holder { name, scoped: true });
        if taken {
            self.object.content().depth.store(depth(me, count), Ordering::Release);
            step::at(Step::DepthWritten);
        }
        taken
    }

    /// Gives one hold back; with the last one a waiter goes on.
    ///
    /// # Errors
    /// If `name` does not hold it.
    #[inline]
    pub fn unlock(&self, name: u64) -> Result<(), ReleaseError> {
        let (me, count) = self.mine(name)?;
        if count > 1 {
            self.object.content().depth.store(depth(me, count - 1), Ordering::Release);
            step::at(Step::DepthWritten);
            return Ok(());
        }
        self.open()
    }

    /// Gives all holds back; says how many there were.
    ///
    /// # Errors
    /// As for `unlock`.
    pub fn unlock_all(&self, name: u64) -> Result<u32, ReleaseError> {
        let (_, count) = self.mine(name)?;
        self.open().map(|()| count)
    }

    fn open(&self) -> Result<(), ReleaseError> {
        self.object.content().depth.store(0, Ordering::Release);
        step::at(Step::DepthCleared);
        self.core().open()
    }

    fn mine(&self, name: u64) -> Result<(Tag, u32), ReleaseError> {
        let me = self.object.segment().me().map_err(ReleaseError::Failed)?;
        match (self.held(me, name), self.core().owner()) {
            (Some(count), _) => Ok((me, count)),
            (None, Some((pid, _))) => Err(ReleaseError::NotOwner { pid }),
            (None, None) => Err(ReleaseError::NotHeld),
        }
    }

    /// How often `name` of this process holds it.
    ///
    /// # Errors
    /// If this process can't join the family.
    pub fn count_of(&self, name: u64) -> Result<u32, Error> {
        Ok(self.held(self.object.segment().me()?, name).unwrap_or(0))
    }

    /// How often it is held, by whomever.
    pub fn count(&self) -> u32 {
        self.object.content().depth.load(Ordering::Relaxed) as u32
    }

    /// How many wait for it: threads of all processes that sleep, and tasks of this one.
    #[cfg(not(shuttle))]
    pub fn waiting(&self) -> usize {
        crate::monitor::waiting(&self.object.content().lock.event)
    }

    /// Whether somebody holds it.
    pub fn is_locked(&self) -> bool {
        self.core().is_locked()
    }

    /// Whether whoever holds it has died. Costs 10 µs if somebody holds it.
    pub fn is_abandoned(&self) -> bool {
        self.core().is_abandoned()
    }

    /// Whether whoever holds it took it over from an owner that died.
    pub fn is_recovered(&self) -> bool {
        self.core().is_recovered()
    }

    /// The process that holds it, and its holder's name there; 0 for what is not known.
    pub fn owner(&self) -> Option<(u32, u64)> {
        self.core().owner()
    }
}

impl Resource for ReentrantMutex {
    fn kind(&self) -> &'static str {
        "shared RLock"
    }

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn hold(&self) -> Option<graph::Hold> {
        self.core().hold()
    }

    fn hold_elsewhere(&self) -> Option<HoldElsewhere> {
        self.core().hold_elsewhere()
    }

    fn number(&self) -> Option<u64> {
        Some(self.object.number())
    }

    fn disturb(&self) {
        self.object.content().lock.event.disturb();
    }
}

/// Taking a reentrant lock.
pub struct ReentrantCall<L> {
    /// What to take.
    pub mutex: L,
    /// For whom.
    pub name: u64,
    /// How often.
    pub count: u32,
}

impl<L: AsRef<ReentrantMutex>> Call for ReentrantCall<L> {
    type Output = Taken;

    fn segment(&self) -> &'static Segment {
        self.mutex.as_ref().object.segment()
    }

    fn event(&self) -> &'static EventCount {
        &self.mutex.as_ref().object.content().lock.event
    }

    fn looks_ready(&self) -> bool {
        !self.mutex.as_ref().is_locked()
    }

    fn awaited(&self) -> Option<Awaited<'_>> {
        let mutex = self.mutex.as_ref();
        Some(Awaited { resource: mutex, reference: mutex.object.block().reference, caller: self.name })
    }

    fn attempt(&mut self, me: Tag, thorough: bool) -> Result<Option<Taken>, Error> {
        let mutex = self.mutex.as_ref();
        if mutex.take(me, self.name, self.count) {
            return Ok(Some(Taken::Clean));
        }
        Ok((thorough && mutex.take_over(me, self.name, self.count)).then_some(Taken::Recovered))
    }
}

#[cfg(test)]
pub(crate) fn rows() -> (usize, Vec<String>) {
    crate::layout::rows!(Content { lock, depth })
}
