//! The mutex that its holder may take again: a mutex whose every hold has a scope, and a count beside it.
//!
//! The count says how often the holder has taken it. Only the holder touches it, so it needs no ordering of
//! its own: the mutex's acquiring and releasing carry it from one holder to the next.

use oneloom_wait::atomic::{AtomicU64, Ordering};
use oneloom_wait::const_unless_modelled;
use oneloom_wait::gate::Gate;
use oneloom_wait::graph::{Hold, Resource};
use oneloom_wait::owner::Owner;
use oneloom_wait::wait::{Call, Primitive};
use oneloom_wait::waiter::{Notice, WaiterList, Wakes};

use super::line::{Counters, Line, Name};
use super::mutex::{LockCall, RawMutex, ReleaseError};

/// A mutex without data that its holder may take again.
pub struct RawReentrantMutex {
    mutex: RawMutex,
    count: AtomicU64,
}

impl Default for RawReentrantMutex {
    fn default() -> Self {
        Self::new(Name::NONE)
    }
}

impl RawReentrantMutex {
    const_unless_modelled! {
        /// An unlocked mutex.
        pub fn new(name: Name) -> Self {
            Self::of_kind(name, &"ReentrantMutex")
        }
    }

    const_unless_modelled! {
        /// An unlocked mutex that a report calls by another word: `&"RLock"`.
        pub fn of_kind(name: Name, kind: &'static &'static str) -> Self {
            Self { mutex: RawMutex::of_kind(name, kind), count: AtomicU64::new(0) }
        }
    }

    /// Takes the mutex if it is free or `owner`'s already.
    #[inline]
    pub fn try_lock(&self, owner: Owner) -> bool {
        self.try_take(owner, 1)
    }

    /// Takes it `times` over.
    #[inline]
    fn try_take(&self, owner: Owner, times: u64) -> bool {
        if self.mutex.try_lock(owner, true) {
            self.count.store(times, Ordering::Relaxed);
            return true;
        }
        self.reenter(owner, times)
    }

    fn reenter(&self, owner: Owner, times: u64) -> bool {
        let again = self.is_owned_by(owner);
        if again {
            self.count.store(self.count.load(Ordering::Relaxed) + times, Ordering::Relaxed);
        }
        again
    }

    /// Undoes one taking. True if that was the last, and the mutex is free.
    ///
    /// # Errors
    /// If `owner` does not hold it; nothing has changed then.
    #[inline]
    pub fn release(&self, owner: Owner) -> Result<bool, ReleaseError> {
        self.check(owner)?;
        let count = self.count.load(Ordering::Relaxed);
        if count > 1 {
            self.count.store(count - 1, Ordering::Relaxed);
            return Ok(false);
        }
        self.count.store(0, Ordering::Relaxed);
        self.mutex.release(|| owner).map(|()| true)
    }

    /// Undoes every taking at once; returns how many there were, for a [`ReentrantLockCall`] to restore.
    ///
    /// # Errors
    /// If `owner` does not hold it; nothing has changed then.
    pub fn release_all(&self, owner: Owner) -> Result<u64, ReleaseError> {
        self.check(owner)?;
        let count = self.count.swap(0, Ordering::Relaxed);
        self.mutex.release(|| owner).map(|()| count)
    }

    #[inline]
    fn check(&self, owner: Owner) -> Result<(), ReleaseError> {
        match self.mutex.holder() {
            None => Err(ReleaseError::NotHeld),
            Some(holder) if holder != owner => Err(ReleaseError::NotOwner(holder)),
            Some(_) => Ok(()),
        }
    }

    /// Whether `owner` holds it. Nobody in particular may be anybody, so that is never said of one.
    #[inline]
    pub fn is_owned_by(&self, owner: Owner) -> bool {
        owner.is_somebody() && self.mutex.holder() == Some(owner)
    }

    /// How often `owner`, who asks, has taken it.
    pub fn recursion_count(&self, owner: Owner) -> u64 {
        if self.is_owned_by(owner) { self.count.load(Ordering::Relaxed) } else { 0 }
    }

    /// Whether somebody holds it.
    pub fn is_locked(&self) -> bool {
        self.mutex.is_locked()
    }

    /// Who holds it.
    pub fn holder(&self) -> Option<Owner> {
        self.mutex.holder()
    }

    /// How often its holder has taken it, as somebody else sees it: out of date by the time it is read.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Frees a mutex whose holder stayed behind in the parent of a fork, and forgets its waiters.
    pub fn reset_after_fork(&self) {
        self.count.store(0, Ordering::Relaxed);
        self.mutex.reset_after_fork();
    }

    /// The name it was given.
    pub fn given_name(&self) -> Option<&str> {
        self.mutex.given_name()
    }

    /// How many wait now, and what happened on the slow path.
    pub fn statistics(&self) -> (usize, Counters) {
        self.mutex.statistics()
    }
}

impl Resource for RawReentrantMutex {
    fn kind(&self) -> &'static str {
        self.mutex.kind()
    }

    fn name(&self) -> Option<&str> {
        self.mutex.given_name()
    }

    fn hold(&self) -> Option<Hold> {
        self.mutex.hold()
    }
}

impl Primitive for RawReentrantMutex {
    type State = Line;

    fn gate(&self) -> &Gate<Line> {
        self.mutex.gate()
    }
}

/// Waiting for a [`RawReentrantMutex`].
pub struct ReentrantLockCall {
    /// Who is going to hold it.
    pub owner: Owner,
    /// How often it is to count as taken: 1, or what [`RawReentrantMutex::release_all`] returned.
    pub count: u64,
}

impl ReentrantLockCall {
    /// A call that takes the mutex once more for `owner`.
    pub fn new(owner: Owner) -> Self {
        Self { owner, count: 1 }
    }

    fn inner(&self) -> LockCall {
        LockCall { owner: self.owner, scoped: true }
    }

    fn taken(&self, mutex: &RawReentrantMutex) {
        mutex.count.store(self.count, Ordering::Relaxed);
    }
}

impl Call for ReentrantLockCall {
    type Primitive = RawReentrantMutex;
    type Output = ();

    fn line<'s>(&self, state: &'s mut Line) -> &'s mut WaiterList {
        &mut state.waiters
    }

    fn owner(&self) -> Owner {
        self.owner
    }

    fn mode(&self) -> u32 {
        self.inner().mode()
    }

    fn looks_ready(&self, mutex: &RawReentrantMutex) -> bool {
        !mutex.is_locked()
    }

    #[inline]
    fn attempt(&mut self, mutex: &RawReentrantMutex) -> Option<()> {
        mutex.try_take(self.owner, self.count).then_some(())
    }

    fn attempt_or_enlist(
        &mut self,
        mutex: &RawReentrantMutex,
        line: &mut Line,
        wakes: &mut Wakes,
    ) -> Option<()> {
        if mutex.reenter(self.owner, self.count) {
            return Some(());
        }
        self.inner().attempt_or_enlist(&mutex.mutex, line, wakes)?;
        self.taken(mutex);
        Some(())
    }

    fn granted(&mut self, mutex: &RawReentrantMutex, token: u32) -> Option<()> {
        self.inner().granted(&mutex.mutex, token)?;
        self.taken(mutex);
        Some(())
    }

    fn withdraw(&mut self, mutex: &RawReentrantMutex, line: &mut Line, notice: Notice, wakes: &mut Wakes) {
        self.inner().withdraw(&mutex.mutex, line, notice, wakes);
    }
}
