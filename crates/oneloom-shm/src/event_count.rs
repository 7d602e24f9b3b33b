//! A word to sleep on until something may have changed, for threads and tasks of every process that maps it.
//!
//! Whoever is about to wait announces itself, looks at the state once more, and sleeps while the word is still what
//! the announcement gave. Whoever changes the state looks at the word afterwards: without an announcement that is
//! one load, else the word goes up by one step and somebody is woken. A word that goes up for no reason does no harm,
//! so anybody may do that for others: that is how the deaths of wakers are answered.
//!
//! | bits | name | set by | cleared by |
//! |---|---|---|---|
//! | 0 | `THREADS` | a thread before it sleeps | a waker that found nobody asleep |
//! | 1 | `TASKS` | a process for which tasks wait, after its bit in the mask | every waker, which then takes the mask |
//! | 2.. | steps | every wake: as many more as it wakes; a wake of everybody: many more | |
//!
//! There is no count of sleepers, because a death would leave it wrong for ever. `THREADS` heals instead: a waker that
//! wakes nobody clears it if the word has not changed since, and then wakes everybody who slept in between. A waker
//! that dies before it wakes is what [`crate::monitor`] watches for.

use oneloom_wait::atomic::{AtomicU64, Ordering, fence};
use oneloom_wait::clock::Deadline;
use oneloom_wait::word::{Scope, Woken, Word};

use crate::step::{self, Step};

const THREADS: u32 = 1;
const TASKS: u32 = 1 << 1;
const STEP: u32 = 1 << 2;
/// By how many steps a wake of everybody goes up, which wakes as many tasks. Odd, so that it takes long to come round.
const LEAP: u32 = (1 << 20) + 1;

/// See the module. 16 bytes.
#[repr(C)]
pub struct EventCount {
    word: Word,
    /// For which processes tasks wait: the bit of a process is its slot's number, modulo 64.
    mask: AtomicU64,
}

#[cfg(any(loom, shuttle))]
#[expect(clippy::new_without_default, reason = "only models make one outside a segment")]
impl EventCount {
    /// One that nobody waits for.
    pub fn new() -> Self {
        Self { word: Word::new(0), mask: AtomicU64::new(0) }
    }
}

impl EventCount {
    /// Announces a thread that will sleep. The state is to be looked at between this and [`EventCount::sleep`].
    pub fn announce_thread(&self) -> u32 {
        self.announce(THREADS)
    }

    /// Announces a process for which tasks wait, by its bit. The state is to be looked at afterwards.
    pub fn announce_tasks(&self, process: u64) -> u32 {
        self.mask.fetch_or(process, Ordering::SeqCst);
        self.announce(TASKS)
    }

    fn announce(&self, flag: u32) -> u32 {
        let mut seen = self.word.load(Ordering::SeqCst);
        while seen & flag == 0 {
            match self.word.compare_exchange(seen, seen | flag, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => seen |= flag,
                Err(now) => seen = now,
            }
        }
        // Pairs with the fence in `notify`: either the waker sees the flag, or the look that follows sees the change.
        fence(Ordering::SeqCst);
        seen
    }

    /// Sleeps while the word is `seen`.
    pub fn sleep(&self, seen: u32, deadline: Deadline) -> Woken {
        self.word.wait(seen, deadline, Scope::Shared)
    }

    /// How often somebody was woken, modulo a quarter of 2³².
    pub fn steps(&self) -> u32 {
        self.word.load(Ordering::SeqCst) / STEP
    }

    /// The steps from `earlier` to `later`, both from [`EventCount::steps`].
    pub fn between(earlier: u32, later: u32) -> u32 {
        (later.wrapping_sub(earlier).wrapping_mul(STEP)) / STEP
    }

    /// Tells that the state has changed: up to `count` threads look again (`u32::MAX`: all), and `ring` is called with the mask of the
    /// processes for which tasks wait.
    #[inline]
    pub fn notify(&self, count: u32, ring: impl FnOnce(u64)) {
        fence(Ordering::SeqCst);
        if self.word.load(Ordering::Relaxed) & (THREADS | TASKS) != 0 {
            self.wake(count, ring);
        }
    }

    #[cold]
    fn wake(&self, count: u32, ring: impl FnOnce(u64)) {
        let mut seen = self.word.load(Ordering::SeqCst);
        let next = loop {
            if seen & (THREADS | TASKS) == 0 {
                return;
            }
            let steps = count.min(LEAP);
            let next = seen.wrapping_add(steps * STEP) & !TASKS;
            match self.word.compare_exchange(seen, next, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => break next,
                Err(now) => seen = now,
            }
        };
        step::at(Step::WordBumped);
        if seen & THREADS != 0 && self.word.handle().wake(count, Scope::Shared) == 0 {
            let cleared = next.wrapping_add(STEP) & !THREADS;
            let exchanged = self.word.compare_exchange(next, cleared, Ordering::SeqCst, Ordering::SeqCst);
            if exchanged.is_ok() {
                // Whoever has slept since saw the flag that was just cleared: it announces itself again.
                self.word.handle().wake(u32::MAX, Scope::Shared);
            }
        }
        if seen & TASKS != 0 {
            let mask = self.mask.swap(0, Ordering::SeqCst);
            step::at(Step::MaskTaken);
            ring(mask);
        }
    }

    /// How many threads sleep here, of all processes: the kernel knows, whoever dies. Costs a system call.
    #[cfg(not(any(loom, shuttle)))]
    pub fn threads(&self) -> u32 {
        self.word.sleepers(Scope::Shared)
    }

    /// Makes every thread that sleeps here look again: somebody who should have woken it may have died.
    pub fn disturb(&self) {
        self.word.fetch_add(STEP, Ordering::SeqCst);
        self.word.handle().wake(u32::MAX, Scope::Shared);
    }
}

#[cfg(test)]
pub(crate) fn rows() -> (usize, Vec<String>) {
    crate::layout::rows!(EventCount { word, mask })
}
