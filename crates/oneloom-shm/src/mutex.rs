//! A lock that processes share, and that goes to the next waiter when its owner dies.
//!
//! The state's lower half is 0 or the [`Tag`] of the process that holds the lock. Who in that process holds it, and
//! how, stands beside it: written after the state was taken, cleared before it is given back, so that what is read there
//! belongs to this hold or is 0.

use oneloom_wait::atomic::{AtomicU64, Ordering};

use crate::arena::{Block, Kind};
use crate::error::Error;
use crate::event_count::EventCount;
use crate::handle::{Object, Shared};
use crate::member::Tag;
use crate::monitor;
use crate::segment::{Plain, Segment};
use crate::step::{self, Step};
use crate::wait::Call;

/// What stands in the segment.
#[repr(C, align(64))]
pub struct Content {
    /// The holder's tag, and [`RECOVERED`].
    state: AtomicU64,
    /// Who in the holder's process, in its lower 56 bits, and [`SCOPED`].
    holder: AtomicU64,
    event: EventCount,
}

// SAFETY: integers that are atomic, in a fixed layout.
unsafe impl Plain for Content {}

// SAFETY: the content of a mutex is `Content` alone, and zeros are an open one.
unsafe impl Shared for Content {
    const KIND: Kind = Kind::Mutex;

    fn dismantle(_block: Block, _me: Tag) -> Result<(), Error> {
        Ok(())
    }
}

/// The lock was taken over from an owner that died.
const RECOVERED: u64 = 1 << 32;
/// Only the holder may release.
const SCOPED: u64 = 1 << 63;
const NAME: u64 = (1 << 56) - 1;

/// Who takes the lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder {
    /// The thread or task, by a number of up to 56 bits that means something in its process.
    pub name: u64,
    /// Whether nobody else may release.
    pub scoped: bool,
}

impl Holder {
    fn bits(self) -> u64 {
        self.name & NAME | if self.scoped { SCOPED } else { 0 }
    }
}

/// How the lock was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It was free.
    Clean,
    /// Its owner had died: what it protects may be half-changed.
    Recovered,
}

/// Why a release failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReleaseError {
    /// Nobody holds the lock.
    NotHeld,
    /// A scoped hold of somebody else.
    NotOwner {
        /// The process that holds it, 0 if it is not known any more.
        pid: u32,
    },
    /// Shared memory failed.
    Failed(Error),
}

/// A lock in a segment.
pub struct Mutex {
    object: Object<Content>,
}

impl Mutex {
    /// A new lock.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(segment: &'static Segment) -> Result<Self, Error> {
        Ok(Self { object: Object::create(segment)? })
    }

    /// The lock that an object is.
    pub fn from_object(object: Object<Content>) -> Self {
        Self { object }
    }

    /// The object that it is.
    pub fn object(&self) -> &Object<Content> {
        &self.object
    }

    /// Takes the lock if nobody holds it.
    ///
    /// # Errors
    /// If this process can't join the family.
    #[inline]
    pub fn try_lock(&self, holder: Holder) -> Result<bool, Error> {
        Ok(self.take(self.object.segment().me()?, holder))
    }

    #[inline]
    fn take(&self, me: Tag, holder: Holder) -> bool {
        let content = self.object.content();
        let free = content.state.load(Ordering::Relaxed) == 0;
        let taken = free
            && content
                .state
                .compare_exchange(0, u64::from(me.0), Ordering::SeqCst, Ordering::Relaxed)
                .is_ok();
        if taken {
            step::at(Step::MutexTaken);
            content.holder.store(holder.bits(), Ordering::Release);
            step::at(Step::MutexHolderWritten);
        }
        taken
    }

    /// Takes the lock from an owner that died. Costs 10 µs if it lives.
    fn take_over(&self, me: Tag, holder: Holder) -> bool {
        let content = self.object.content();
        let state = content.state.load(Ordering::SeqCst);
        if state == 0 || !self.object.segment().is_dead(Tag(state as u32)) {
            return false;
        }
        let mine = u64::from(me.0) | RECOVERED;
        let taken = content.state.compare_exchange(state, mine, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if taken {
            step::at(Step::MutexTakenOver);
            content.holder.store(holder.bits(), Ordering::Release);
        }
        taken
    }

    /// Gives the lock back; a waiter goes on. `name` is who asks, as in [`Holder`].
    ///
    /// # Errors
    /// If nobody holds it, or somebody else by a scoped hold.
    #[inline]
    pub fn unlock(&self, name: impl FnOnce() -> u64) -> Result<(), ReleaseError> {
        let content = self.object.content();
        let segment = self.object.segment();
        // Whoever changes something is watched by those who wait for it.
        let me = segment.me().map_err(ReleaseError::Failed)?;
        let state = content.state.load(Ordering::Relaxed);
        if state == 0 {
            return Err(ReleaseError::NotHeld);
        }
        let holder = content.holder.load(Ordering::Acquire);
        let tag = Tag(state as u32);
        if holder & SCOPED != 0 && (tag != me || holder & NAME != name() & NAME) {
            return Err(ReleaseError::NotOwner { pid: segment.pid(tag) });
        }
        content.holder.store(0, Ordering::Release);
        step::at(Step::MutexHolderCleared);
        if content.state.swap(0, Ordering::SeqCst) == 0 {
            return Err(ReleaseError::NotHeld);
        }
        step::at(Step::MutexReleased);
        content.event.notify(1, |mask| monitor::ring(segment, &content.event, mask));
        Ok(())
    }

    /// Whether somebody holds it.
    pub fn is_locked(&self) -> bool {
        self.object.content().state.load(Ordering::Relaxed) != 0
    }

    /// Whether whoever holds it took it over from an owner that died.
    pub fn is_recovered(&self) -> bool {
        self.object.content().state.load(Ordering::Relaxed) & RECOVERED != 0
    }

    /// The process that holds it, and its holder's name there; 0 for what is not known.
    pub fn owner(&self) -> Option<(u32, u64)> {
        let content = self.object.content();
        let state = content.state.load(Ordering::Acquire);
        let name = content.holder.load(Ordering::Acquire) & NAME;
        (state != 0).then(|| (self.object.segment().pid(Tag(state as u32)), name))
    }
}

/// Taking a lock.
pub struct LockCall<L> {
    /// What to take.
    pub mutex: L,
    /// For whom.
    pub holder: Holder,
}

impl<L: AsRef<Mutex>> Call for LockCall<L> {
    type Output = Taken;

    fn segment(&self) -> &'static Segment {
        self.mutex.as_ref().object.segment()
    }

    fn event(&self) -> &'static EventCount {
        &self.mutex.as_ref().object.content().event
    }

    fn looks_ready(&self) -> bool {
        !self.mutex.as_ref().is_locked()
    }

    fn attempt(&mut self, me: Tag, thorough: bool) -> Result<Option<Taken>, Error> {
        let mutex = self.mutex.as_ref();
        if mutex.take(me, self.holder) {
            return Ok(Some(Taken::Clean));
        }
        Ok((thorough && mutex.take_over(me, self.holder)).then_some(Taken::Recovered))
    }
}

impl AsRef<Self> for Mutex {
    fn as_ref(&self) -> &Self {
        self
    }
}

#[cfg(test)]
pub(crate) fn rows() -> (usize, Vec<String>) {
    crate::layout::rows!(Content { state, holder, event })
}
