//! The short internal lock in front of what a shared object's users change, which survives its holder.
//!
//! A latch is held for a few dozen instructions and the copy of a small item, never across a wait or foreign code. Its
//! word is 0 while it is open, else the [`Tag`] of the process inside. Leaving is one store that wakes nobody: whoever
//! finds it shut looks again, gives its core away, sleeps for bounded moments, and in the end asks whether the one
//! inside is still alive. If not, it takes the latch over in one compare-and-swap and is told so: what stands behind
//! is to be repaired first. If it dies over that, so does the next.

use std::time::Duration;

use oneloom_wait::atomic::{Ordering, spin_loop, yield_now};
use oneloom_wait::clock::Deadline;
use oneloom_wait::word::{Scope, Word};

use crate::member::Tag;
use crate::segment::Segment;

/// A latch. See the module.
#[repr(transparent)]
pub struct Latch {
    word: Word,
}

/// How somebody came inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The latch was open.
    Open,
    /// The one inside had died: repair first.
    Inherited,
}

/// What a call may wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Nothing: what is in the way ends it.
    None,
    /// Others who are inside a latch.
    Latches,
}

/// The right to what stands behind a latch; dropping it leaves.
pub struct Inside<'a> {
    latch: &'a Latch,
    /// How the holder came in.
    pub entry: Entry,
}

/// How often to look before sleeping, how long to sleep then at first and at most, and after how many sleeps to ask
/// whether the holder lives. A model asks at once: every look is a choice of its own.
const LOOKS: u32 = if cfg!(shuttle) { 0 } else { 60 };
const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(1);
const SUSPICION: u32 = if cfg!(shuttle) { 1 } else { 4 };

impl Latch {
    /// Enters as `me`. Happens after whoever was inside before left, or died.
    #[inline]
    pub fn enter(&self, segment: &Segment, me: Tag) -> Inside<'_> {
        let entered = self.word.compare_exchange(0, me.0, Ordering::Acquire, Ordering::Relaxed);
        let entry = if entered.is_ok() { Entry::Open } else { self.enter_slowly(segment, me) };
        Inside { latch: self, entry }
    }

    /// Enters if the caller has the patience for it.
    #[inline]
    pub fn enter_with(&self, patience: Patience, segment: &Segment, me: Tag) -> Option<Inside<'_>> {
        match patience {
            Patience::None => self.try_enter(me),
            Patience::Latches => Some(self.enter(segment, me)),
        }
    }

    /// Enters if nobody is inside: for callers that must not wait.
    #[inline]
    pub fn try_enter(&self, me: Tag) -> Option<Inside<'_>> {
        let entered = self.word.compare_exchange(0, me.0, Ordering::Acquire, Ordering::Relaxed);
        // Made only then: dropping one that nobody was given would let others in beside whoever is inside.
        entered.is_ok().then(|| Inside { latch: self, entry: Entry::Open })
    }

    #[cold]
    fn enter_slowly(&self, segment: &Segment, me: Tag) -> Entry {
        let (mut looks, mut pause) = (0, FIRST_PAUSE);
        loop {
            let seen = self.word.load(Ordering::Relaxed);
            if seen == 0 {
                if self.word.compare_exchange(0, me.0, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    return Entry::Open;
                }
                continue;
            }
            looks += 1;
            if looks <= LOOKS {
                // The one inside may need this very core.
                if looks % 8 == 0 {
                    yield_now()
                } else {
                    spin_loop()
                }
                continue;
            }
            self.word.wait(seen, Deadline::after(Some(pause)), Scope::Shared);
            pause = (pause * 2).min(LONGEST_PAUSE);
            if (looks - LOOKS) % SUSPICION == 0 && self.take_over(segment, seen, me) {
                return Entry::Inherited;
            }
        }
    }

    fn take_over(&self, segment: &Segment, seen: u32, me: Tag) -> bool {
        segment.is_dead(Tag(seen))
            && self.word.compare_exchange(seen, me.0, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }
}

impl Drop for Inside<'_> {
    #[inline]
    fn drop(&mut self) {
        self.latch.word.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trying_in_vain_leaves_a_latch_shut() {
        let latch = Latch { word: Word::new(0) };
        let inside = latch.try_enter(Tag(1)).expect("nobody is inside");
        assert!(latch.try_enter(Tag(2)).is_none());
        assert!(latch.try_enter(Tag(2)).is_none(), "the first one in vain let the second in");
        drop(inside);
        assert!(latch.try_enter(Tag(2)).is_some());
    }
}
