//! The short internal lock in front of what a primitive's waiters share.
//!
//! A gate is held for a few dozen instructions and never across foreign code, a wait or a call into an
//! interpreter. It notices forks: the first to pass it in a child is told to forget the parent's waiters,
//! and, where another thread was inside at the fork, to reset what that thread was changing.
//!
//! Leaving is one plain store: nobody is woken, and so nobody has to be looked for. Whoever finds the gate shut
//! looks again, gives its core away, and in the end sleeps for a moment; that far it only comes where the
//! holder lost its core inside. To wake a sleeper, every leaving would have to be a read-modify-write, and
//! passing the gate is half of what a queue's put costs.
//!
//! The word, bit by bit:
//!
//! | bits | name | set by | cleared by |
//! |---|---|---|---|
//! | 0 | `LOCKED` | whoever enters | the same thread when it leaves |
//! | 1 | `SLEEPERS`, in models only, whose time does not pass | a thread about to sleep for the gate | the thread that leaves, which wakes all |
//! | 2.. | fork generation | whoever enters first in a process; 0 means never entered | |

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

use crate::atomic::{MutPtr, Ordering, UnsafeCell};
use crate::clock::Deadline;
use crate::fork;
use crate::word::{Scope, Word};

const LOCKED: u32 = 1;
const SLEEPERS: u32 = 1 << 1;
const GENERATION_SHIFT: u32 = 2;

/// What stands behind a [`Gate`] and has to survive a fork.
pub trait AfterFork {
    /// Called in the child, by the first to enter. The waiters belong to threads and loops that are not
    /// here: forget them, don't walk them. `torn` says that another thread was inside at the fork; then
    /// the value may be half-changed and is to be reset without being read or dropped.
    fn after_fork(&mut self, torn: bool);
}

/// A value behind a short lock that is aware of forks. 4 bytes more than the value.
pub struct Gate<T> {
    word: Word,
    value: UnsafeCell<T>,
}

// SAFETY: the value is only reached through `enter`, which admits one thread at a time.
unsafe impl<T: Send> Sync for Gate<T> {}
// SAFETY: a gate owns its value.
unsafe impl<T: Send> Send for Gate<T> {}

impl<T> Gate<T> {
    const_unless_modelled! {
        /// A gate before `value`.
        pub fn new(value: T) -> Self {
            Self { word: Word::new(0), value: UnsafeCell::new(value) }
        }
    }
}

impl<T: AfterFork> Gate<T> {
    /// Enters; leaving is dropping what this returns. Happens after the leaving of whoever was inside before.
    #[inline]
    pub fn enter(&self) -> Inside<'_, T> {
        let open = fork::generation() << GENERATION_SHIFT;
        let entered = self.word.compare_exchange(open, open | LOCKED, Ordering::Acquire, Ordering::Relaxed);
        let found_shut = entered.is_err() && self.enter_slowly(open);
        Inside { gate: self, open, found_shut, value: ManuallyDrop::new(self.value.get_mut()) }
    }

    /// Enters; whether somebody else was inside.
    #[cold]
    fn enter_slowly(&self, open: u32) -> bool {
        let mut patience = shut::Patience::new();
        let mut found_shut = false;
        loop {
            let seen = self.word.load(Ordering::Relaxed);
            let current = seen & !(LOCKED | SLEEPERS) == open;
            if current && seen & LOCKED != 0 {
                found_shut = true;
                patience.wait(&self.word, seen);
                continue;
            }
            let entered =
                self.word.compare_exchange(seen, open | LOCKED, Ordering::Acquire, Ordering::Relaxed);
            if entered.is_ok() {
                if !current && seen >> GENERATION_SHIFT != 0 {
                    let value = self.value.get_mut();
                    // SAFETY: this thread has just entered.
                    unsafe { value.deref() }.after_fork(seen & LOCKED != 0);
                }
                return found_shut;
            }
        }
    }
}

#[cfg(not(any(loom, shuttle)))]
mod shut {
    use std::time::Duration;

    use super::{Deadline, Ordering, Scope, Word};
    use crate::atomic::{spin_loop, yield_now};

    /// How often to look again before sleeping. A gate is held for so short that more than this means that
    /// its holder lost its core; but less does not: who passes it in a loop is nearly always inside when
    /// another core gets to see the word, nine looks in ten.
    const LOOKS: u32 = 200;
    /// How long to sleep then, at first and at most.
    const FIRST_PAUSE: Duration = Duration::from_micros(50);
    const LONGEST_PAUSE: Duration = Duration::from_millis(1);

    /// Somebody in front of a shut gate.
    pub struct Patience {
        looks: u32,
        pause: Duration,
    }

    impl Patience {
        pub fn new() -> Self {
            Self { looks: 0, pause: FIRST_PAUSE }
        }

        /// Lets time pass.
        pub fn wait(&mut self, word: &Word, seen: u32) {
            self.looks += 1;
            if self.looks > LOOKS {
                // Nobody wakes it: this is a sleep that ends by itself.
                word.wait(seen, Deadline::after(Some(self.pause)), Scope::Private);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            } else if self.looks % 8 == 0 {
                // The holder may need this very core.
                yield_now();
            } else {
                spin_loop();
            }
        }
    }

    #[inline]
    pub fn open(word: &Word, open: u32) {
        word.store(open, Ordering::Release);
    }
}

/// In a model no sleep ends by itself, so here whoever sleeps says so, and is woken.
#[cfg(any(loom, shuttle))]
mod shut {
    use super::{Deadline, Ordering, SLEEPERS, Scope, Word};

    pub struct Patience;

    impl Patience {
        pub fn new() -> Self {
            Self
        }

        pub fn wait(&mut self, word: &Word, seen: u32) {
            let sleeps = seen | SLEEPERS;
            if seen == sleeps
                || word.compare_exchange(seen, sleeps, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            {
                word.wait(sleeps, Deadline::Never, Scope::Private);
            }
        }
    }

    pub fn open(word: &Word, open: u32) {
        // The handle first: once the word is open, its owner may free it.
        let handle = word.handle();
        if word.swap(open, Ordering::Release) & SLEEPERS != 0 {
            handle.wake(u32::MAX, Scope::Private);
        }
    }
}

/// The right to use what stands behind a [`Gate`]; dropping it leaves.
pub struct Inside<'a, T: AfterFork> {
    gate: &'a Gate<T>,
    open: u32,
    found_shut: bool,
    value: ManuallyDrop<MutPtr<T>>,
}

impl<T: AfterFork> Inside<'_, T> {
    /// Whether somebody else was inside when this one came.
    #[inline]
    pub fn found_shut(&self) -> bool {
        self.found_shut
    }
}

impl<T: AfterFork> Deref for Inside<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this thread is the one inside.
        unsafe { MutPtr::deref(&self.value) }
    }
}

impl<T: AfterFork> DerefMut for Inside<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this thread is the one inside, and `self` is borrowed exclusively.
        unsafe { MutPtr::deref(&self.value) }
    }
}

impl<T: AfterFork> Drop for Inside<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: dropped once, here; loom wants the access to end before the gate opens.
        unsafe { ManuallyDrop::drop(&mut self.value) };
        shut::open(&self.gate.word, self.open);
    }
}
