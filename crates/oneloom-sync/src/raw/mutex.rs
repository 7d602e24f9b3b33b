//! The mutex as a state machine: one word says who holds it and how, a line keeps those who wait.
//!
//! The word, bit by bit:
//!
//! | bits | name | set by | cleared by |
//! |---|---|---|---|
//! | 0 | `PARKED` | a waiter that joins the line, inside the gate | whoever empties the line, inside the gate |
//! | 1 | `LOCKED` | whoever acquires; a release that hands over leaves it set | the release |
//! | 2 | `SCOPED` | an acquisition whose scope will release it: then only its owner may | the release |
//! | 8.. | the owner | with `LOCKED` | with `LOCKED` |
//!
//! Acquiring is one compare-and-swap while nobody waits, releasing another. A release with somebody in line
//! offers the mutex to the first, and a running thread may be faster; one that has been overtaken for a
//! millisecond gets it handed over. Locking acquires and unlocking releases: what a holder did happens before
//! what the next one does.

use oneloom_wait::atomic::{AtomicU64, Ordering};
use oneloom_wait::const_unless_modelled;
use oneloom_wait::gate::Gate;
use oneloom_wait::graph::{Hold, Resource};
use oneloom_wait::owner::Owner;
use oneloom_wait::wait::{Call, Primitive};
use oneloom_wait::waiter::{Notice, WaiterList, Wakes};

use super::line::{Counters, Line, Name};

const PARKED: u64 = 1;
const LOCKED: u64 = 1 << 1;
const SCOPED: u64 = 1 << 2;
const OWNER_SHIFT: u32 = 8;

/// A mutex without data.
pub struct RawMutex {
    state: AtomicU64,
    line: Gate<Line>,
    name: Name,
    /// Behind a second reference because a `str`'s own would not fit the cache line.
    kind: &'static &'static str,
}

#[cfg(not(any(loom, shuttle)))]
const _: () = assert!(size_of::<RawMutex>() <= 64);

/// Why a mutex was not released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseError {
    /// Nobody holds it.
    NotHeld,
    /// Somebody else's scope holds it, and only that may release it.
    NotOwner(Owner),
}

fn hold_bits(owner: Owner, scoped: bool) -> u64 {
    owner.to_bits() << OWNER_SHIFT | LOCKED | if scoped { SCOPED } else { 0 }
}

impl Default for RawMutex {
    fn default() -> Self {
        Self::new(Name::NONE)
    }
}

impl RawMutex {
    const_unless_modelled! {
        /// An unlocked mutex.
        pub fn new(name: Name) -> Self {
            Self::of_kind(name, &"Mutex")
        }
    }

    const_unless_modelled! {
        /// An unlocked mutex that a report calls by another word: `&"Lock"`.
        pub fn of_kind(name: Name, kind: &'static &'static str) -> Self {
            Self { state: AtomicU64::new(0), line: Gate::new(Line::new()), name, kind }
        }
    }

    /// Takes the mutex if it is free. `scoped`: only `owner` may release it.
    #[inline]
    pub fn try_lock(&self, owner: Owner, scoped: bool) -> bool {
        let hold = hold_bits(owner, scoped);
        self.state.compare_exchange(0, hold, Ordering::Acquire, Ordering::Relaxed).is_ok() || self.barge(hold)
    }

    /// Takes a free mutex that others wait for.
    fn barge(&self, hold: u64) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & LOCKED == 0 {
            let taken = hold | state & PARKED;
            match self.state.compare_exchange_weak(state, taken, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Releases the mutex. `by` tells who does it, and is only asked when the hold has a scope.
    ///
    /// # Errors
    /// [`ReleaseError`], and nothing has changed.
    #[inline]
    pub fn release(&self, by: impl FnOnce() -> Owner) -> Result<(), ReleaseError> {
        self.release_hold(by).map(drop)
    }

    /// Releases the mutex and says whether the hold had a scope, for a [`LockCall`] that takes it again.
    ///
    /// # Errors
    /// [`ReleaseError`], and nothing has changed.
    #[inline]
    pub fn release_hold(&self, by: impl FnOnce() -> Owner) -> Result<bool, ReleaseError> {
        let state = self.state.load(Ordering::Relaxed);
        if state & LOCKED == 0 {
            return Err(ReleaseError::NotHeld);
        }
        if state & SCOPED != 0 {
            let holder = Owner::from_bits(state >> OWNER_SHIFT);
            if holder != by() {
                return Err(ReleaseError::NotOwner(holder));
            }
        }
        if state & PARKED == 0
            && self.state.compare_exchange(state, 0, Ordering::Release, Ordering::Relaxed).is_ok()
        {
            return Ok(state & SCOPED != 0);
        }
        self.release_to_line(state & !PARKED).map(|()| state & SCOPED != 0)
    }

    #[cold]
    fn release_to_line(&self, hold: u64) -> Result<(), ReleaseError> {
        let mut wakes = Wakes::new();
        let mut line = self.line.enter();
        // A locked word with waiters only changes in here. Before, somebody else may have released a hold that
        // anybody may release, and the scope of a third have begun.
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & LOCKED == 0 {
                return Err(ReleaseError::NotHeld);
            }
            if state & SCOPED != 0 && state & !PARKED != hold {
                return Err(ReleaseError::NotOwner(Owner::from_bits(state >> OWNER_SHIFT)));
            }
            let next = match line.waiters.front() {
                Some(first) if first.starving => hold_bits(first.owner, first.mode != 0),
                _ => 0,
            };
            let remain = if line.waiters.has_second() { PARKED } else { 0 };
            match self.state.compare_exchange_weak(state, next | remain, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => {
                    if next == 0 {
                        line.waiters.wake_first(&mut wakes);
                    } else {
                        line.grant_first(0, &mut wakes);
                    }
                    return Ok(());
                }
                Err(now) => state = now,
            }
        }
    }

    /// Whether `owner` holds it, as far as that can be said: a hold without a scope is anybody's.
    pub fn may_be_held_by(&self, owner: Owner) -> bool {
        self.hold().is_some_and(|hold| !hold.certain || hold.owner == owner)
    }

    /// Frees what was handed over to `owner`, who does not want it. A hold without a scope may have been
    /// released by somebody else meanwhile, and be another's.
    fn take_back(&self, owner: Owner) {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & LOCKED != 0 && Owner::from_bits(state >> OWNER_SHIFT) == owner {
            match self.state.compare_exchange_weak(
                state,
                state & PARKED,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => state = now,
            }
        }
    }

    /// Takes over for `heir` what `ended` holds, if it still does: for a holder that can't release any more.
    pub(crate) fn inherit(&self, ended: Owner, heir: Owner) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & LOCKED != 0 && Owner::from_bits(state >> OWNER_SHIFT) == ended {
            let taken = hold_bits(heir, true) | state & PARKED;
            match self.state.compare_exchange_weak(state, taken, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Whether somebody holds it.
    #[inline]
    pub fn is_locked(&self) -> bool {
        self.state.load(Ordering::Relaxed) & LOCKED != 0
    }

    /// Who holds it.
    pub fn holder(&self) -> Option<Owner> {
        let state = self.state.load(Ordering::Relaxed);
        (state & LOCKED != 0).then(|| Owner::from_bits(state >> OWNER_SHIFT))
    }

    /// Frees a mutex whose holder stayed behind in the parent of a fork, and forgets its waiters.
    pub fn reset_after_fork(&self) {
        let mut line = self.line.enter();
        line.waiters.forget();
        self.state.store(0, Ordering::Relaxed);
    }

    /// The name it was given.
    pub fn given_name(&self) -> Option<&str> {
        self.name.get()
    }

    /// How many wait now, and what happened on the slow path.
    pub fn statistics(&self) -> (usize, Counters) {
        let line = self.line.enter();
        (line.waiters.len(), line.waiters.counters)
    }
}

impl Resource for RawMutex {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn name(&self) -> Option<&str> {
        self.name.get()
    }

    fn hold(&self) -> Option<Hold> {
        let state = self.state.load(Ordering::Relaxed);
        (state & LOCKED != 0)
            .then(|| Hold { owner: Owner::from_bits(state >> OWNER_SHIFT), certain: state & SCOPED != 0 })
    }
}

impl Primitive for RawMutex {
    type State = Line;

    fn gate(&self) -> &Gate<Line> {
        &self.line
    }
}

/// Waiting for a [`RawMutex`].
pub struct LockCall {
    /// Who is going to hold it.
    pub owner: Owner,
    /// Whether only that one may release it.
    pub scoped: bool,
}

impl Call for LockCall {
    type Primitive = RawMutex;
    type Output = ();

    fn line<'s>(&self, state: &'s mut Line) -> &'s mut WaiterList {
        &mut state.waiters
    }

    fn owner(&self) -> Owner {
        self.owner
    }

    fn mode(&self) -> u32 {
        u32::from(self.scoped)
    }

    fn looks_ready(&self, mutex: &RawMutex) -> bool {
        !mutex.is_locked()
    }

    #[inline]
    fn attempt(&mut self, mutex: &RawMutex) -> Option<()> {
        mutex.try_lock(self.owner, self.scoped).then_some(())
    }

    fn attempt_or_enlist(&mut self, mutex: &RawMutex, line: &mut Line, _wakes: &mut Wakes) -> Option<()> {
        let mut state = mutex.state.load(Ordering::Relaxed);
        loop {
            let free = state & LOCKED == 0;
            let next =
                if free { hold_bits(self.owner, self.scoped) | state & PARKED } else { state | PARKED };
            match mutex.state.compare_exchange_weak(state, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) if free => return Some(()),
                Ok(_) => {
                    line.count_wait();
                    return None;
                }
                Err(now) => state = now,
            }
        }
    }

    fn granted(&mut self, _mutex: &RawMutex, _token: u32) -> Option<()> {
        // The release that handed over has written this owner into the word. It may be gone from there already: a
        // hold without a scope may be released by anybody, and that release was of this very acquisition.
        Some(())
    }

    fn withdraw(&mut self, mutex: &RawMutex, line: &mut Line, notice: Notice, wakes: &mut Wakes) {
        line.count_withdrawal();
        if let Notice::Granted(_) = notice {
            mutex.take_back(self.owner);
        }
        if line.waiters.is_empty() {
            mutex.state.fetch_and(!PARKED, Ordering::Relaxed);
        } else if notice != Notice::Waiting && !mutex.is_locked() {
            // A release has offered it to this one; somebody else must be told. If it is locked, whoever
            // holds it will see the line.
            line.waiters.wake_first(wakes);
            if line.waiters.is_empty() {
                mutex.state.fetch_and(!PARKED, Ordering::Relaxed);
            }
        }
    }
}
