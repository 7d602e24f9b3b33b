//! A lock that processes share, and that goes to the next waiter when its owner dies.
//!
//! The state tells which process holds the lock by its [`Tag`], who in it, in short, and whether nobody else may release:
//! all at once, because whoever looks for a deadlock believes what it reads there. The holder's whole name stands beside
//! it: written after the state was taken, cleared before it is given back.

use oneloom_wait::atomic::{AtomicU64, Ordering};
use oneloom_wait::graph::{self, HoldElsewhere, Resource};
use oneloom_wait::owner::Owner;

use crate::arena::{Block, Kind};
use crate::deadlock::{self, Awaited, Hold};
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
    /// The holder's tag, [`RECOVERED`], who it is in short, and [`SCOPED`].
    state: AtomicU64,
    /// Who in the holder's process, in its lower 56 bits, and [`SCOPED`].
    pub(crate) holder: AtomicU64,
    pub(crate) event: EventCount,
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
pub(crate) const NAME: u64 = (1 << 56) - 1;
const SHORT_SHIFT: u32 = 33;
const SHORT: u32 = (1 << 30) - 1;

/// Who holds the lock that a block begins with.
pub(crate) fn hold_in(block: Block) -> Option<Hold> {
    hold(block.content::<Content>().ok()?.state.load(Ordering::SeqCst))
}

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

    /// The state of a lock that it holds as a thread or task of `process`.
    #[inline]
    fn state(self, process: Tag) -> u64 {
        let short = u64::from(Owner::from_bits(self.name & NAME).short());
        u64::from(process.0) | short << SHORT_SHIFT | self.bits() & SCOPED
    }
}

/// Who holds a lock that has this state.
fn hold(state: u64) -> Option<Hold> {
    (state != 0).then_some(Hold {
        process: Tag(state as u32),
        name: (state >> SHORT_SHIFT) as u32 & SHORT,
        certain: state & SCOPED != 0,
    })
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

/// The state machine of a lock, wherever its content stands.
#[derive(Clone, Copy)]
pub(crate) struct Core {
    pub content: &'static Content,
    pub segment: &'static Segment,
}

impl Core {
    #[inline]
    pub fn take(self, me: Tag, holder: Holder) -> bool {
        let content = self.content;
        let free = content.state.load(Ordering::Relaxed) == 0;
        let taken = free
            && content
                .state
                .compare_exchange(0, holder.state(me), Ordering::SeqCst, Ordering::Relaxed)
                .is_ok();
        if taken {
            step::at(Step::MutexTaken);
            content.holder.store(holder.bits(), Ordering::Release);
            step::at(Step::MutexHolderWritten);
        }
        taken
    }

    /// Takes the lock from an owner that died. Costs 10 µs if it lives.
    pub fn take_over(self, me: Tag, holder: Holder) -> bool {
        let content = self.content;
        let state = content.state.load(Ordering::SeqCst);
        if state == 0 || !self.segment.is_dead(Tag(state as u32)) {
            return false;
        }
        let mine = holder.state(me) | RECOVERED;
        let taken = content.state.compare_exchange(state, mine, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if taken {
            step::at(Step::MutexTakenOver);
            content.holder.store(holder.bits(), Ordering::Release);
        }
        taken
    }

    /// Whether somebody who asks as `name` could give the lock back now, and if so, whether the hold is scoped.
    #[inline]
    pub fn check(self, me: Tag, name: impl FnOnce() -> u64) -> Result<bool, ReleaseError> {
        let state = self.content.state.load(Ordering::Relaxed);
        if state == 0 {
            return Err(ReleaseError::NotHeld);
        }
        let holder = self.content.holder.load(Ordering::Acquire);
        let tag = Tag(state as u32);
        if holder & SCOPED != 0 && (tag != me || holder & NAME != name() & NAME) {
            return Err(ReleaseError::NotOwner { pid: self.segment.pid(tag) });
        }
        Ok(holder & SCOPED != 0)
    }

    /// Gives the lock back; a waiter goes on.
    #[inline]
    pub fn open(self) -> Result<(), ReleaseError> {
        let (content, segment) = (self.content, self.segment);
        content.holder.store(0, Ordering::Release);
        step::at(Step::MutexHolderCleared);
        if content.state.swap(0, Ordering::SeqCst) == 0 {
            return Err(ReleaseError::NotHeld);
        }
        step::at(Step::MutexReleased);
        content.event.notify(1, |mask| monitor::ring(segment, &content.event, mask));
        Ok(())
    }

    pub fn is_locked(self) -> bool {
        self.content.state.load(Ordering::Relaxed) != 0
    }

    /// Whether whoever holds it has died. Costs 10 µs if somebody holds it.
    pub fn is_abandoned(self) -> bool {
        let state = self.content.state.load(Ordering::SeqCst);
        state != 0 && self.segment.is_dead(Tag(state as u32))
    }

    pub fn is_recovered(self) -> bool {
        self.content.state.load(Ordering::Relaxed) & RECOVERED != 0
    }

    pub fn owner(self) -> Option<(u32, u64)> {
        let state = self.content.state.load(Ordering::Acquire);
        let name = self.content.holder.load(Ordering::Acquire) & NAME;
        (state != 0).then(|| (self.segment.pid(Tag(state as u32)), name))
    }

    /// Who holds it, as far as it is of this process.
    pub fn hold(self) -> Option<graph::Hold> {
        deadlock::hold_here(self.segment, hold(self.content.state.load(Ordering::SeqCst))?)
    }

    /// Who holds it, if that is of another process.
    pub fn hold_elsewhere(self) -> Option<HoldElsewhere> {
        deadlock::hold_elsewhere(self.segment, hold(self.content.state.load(Ordering::SeqCst))?)
    }
}

/// A lock in a segment.
pub struct Mutex {
    object: Object<Content>,
    name: Option<String>,
}

impl Mutex {
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

    #[inline]
    fn core(&self) -> Core {
        Core { content: self.object.content(), segment: self.object.segment() }
    }

    /// Takes the lock if nobody holds it.
    ///
    /// # Errors
    /// If this process can't join the family.
    #[inline]
    pub fn try_lock(&self, holder: Holder) -> Result<bool, Error> {
        Ok(self.core().take(self.object.segment().me()?, holder))
    }

    /// Gives the lock back; a waiter goes on. `name` is who asks, as in [`Holder`]. Says whether the hold was scoped.
    ///
    /// # Errors
    /// If nobody holds it, or somebody else by a scoped hold.
    #[inline]
    pub fn unlock(&self, name: impl FnOnce() -> u64) -> Result<bool, ReleaseError> {
        let scoped = self.may_unlock(name)?;
        self.core().open().map(|()| scoped)
    }

    /// Whether [`Mutex::unlock`] would give it back now, and if so, whether the hold is scoped.
    ///
    /// # Errors
    /// As for `unlock`.
    #[inline]
    pub fn may_unlock(&self, name: impl FnOnce() -> u64) -> Result<bool, ReleaseError> {
        // Whoever changes something is watched by those who wait for it.
        let me = self.object.segment().me().map_err(ReleaseError::Failed)?;
        self.core().check(me, name)
    }

    /// Whether somebody holds it.
    pub fn is_locked(&self) -> bool {
        self.core().is_locked()
    }

    /// How many wait for it: threads of all processes that sleep, and tasks of this one.
    #[cfg(not(shuttle))]
    pub fn waiting(&self) -> usize {
        monitor::waiting(&self.object.content().event)
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

impl Resource for Mutex {
    fn kind(&self) -> &'static str {
        "shared Lock"
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
        self.object.content().event.disturb();
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

    fn awaited(&self) -> Option<Awaited<'_>> {
        let mutex = self.mutex.as_ref();
        Some(Awaited { resource: mutex, reference: mutex.object.block().reference, caller: self.holder.name })
    }

    fn attempt(&mut self, me: Tag, thorough: bool) -> Result<Option<Taken>, Error> {
        let core = self.mutex.as_ref().core();
        if core.take(me, self.holder) {
            return Ok(Some(Taken::Clean));
        }
        Ok((thorough && core.take_over(me, self.holder)).then_some(Taken::Recovered))
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
