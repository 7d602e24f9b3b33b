//! The points at which tests kill a process: one after every step of every shared protocol.
//!
//! Whoever passes a point reads one word of its own process, and goes on. The binary that is tested is the one that is
//! shipped. In a model it is the model that chooses who dies where.

macro_rules! steps {
    ($($step:ident),* $(,)?) => {
        /// A point in a protocol; its name says what was done last.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        #[expect(missing_docs, reason = "each is a step in the code that names it")]
        pub enum Step { None, $($step),* }

        impl Step {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$step),*];
        }
    };
}

steps! {
    RecordClaimed, RecordWritten,
    FileGrown, SizeWritten, BlockMarked, BlockUnlinked, BlockCarved, BlockFreed, BlockLinked,
    MutexTaken, MutexHolderWritten, MutexHolderCleared, MutexReleased, MutexTakenOver,
    TailEntered, ChunkMade, ChunkLinked, TailMoved, ChunkOwned, RecordStarted, PayloadWritten, Committed, PayloadOwned,
    TailLeft, PutTold, TailRepaired,
    HeadEntered, ChunkRetired, HeadMoved, PayloadRead, TakingWritten, Taken, PayloadTaken, HeadLeft, GetTold, HeadRepaired,
    SlotFilled, SlotsCounted, PageLinked, SlotOrphaned, SlotTakenOver, ItemClaimed, ItemAcknowledged, DoneTold,
    ItemCopied, OrderEntered, HeapMade, HeapRetired, HeapNamed, HeapOwned, ItemLabelled, ItemPut, ItemIndexed, ItemCounted,
    ItemTaken, ItemRemoved, OrderLeft, ItemTold, HeapRebuilt,
    WaitLinked, WaitWritten, WaitShown, VerdictEntered, VerdictReached, VerdictLeft, WaitHidden,
    DepthWritten, DepthCleared,
    PermitTaken, PermitReturned, FreeWritten, HoldFreed, PermitsCounted, SemaphoreLeft, SemaphoreTold,
    ChildExpected, ChildBorn, HoldingsMade, HoldingGiven, HoldingLinked, ItemShared, HoldStruck, HoldingUnlinked, ItemReclaimed,
    SeatTaken, SeatsLinked, SeatsOwned, SeatNotified, SeatWoken, SeatRelieved, SeatLeft,
    PartySeated, PartyActs, PartyLeft, BreakNoted, RoundEnded, SeatsCleared, BarrierRepaired, BarrierTold,
    FlagRaised, FlagTold, WordBumped, MaskTaken,
}

#[cfg(shuttle)]
pub use crate::process::modelled::at;

#[cfg(not(any(loom, shuttle)))]
pub use armed::{at, kill_at};

/// In loom's models nobody dies.
#[cfg(loom)]
pub fn at(_step: Step) {}

#[cfg(not(any(loom, shuttle)))]
mod armed {
    use super::Step;
    use oneloom_wait::atomic::{AtomicU32, Ordering};

    /// The step that kills, and how many times it is still to be passed unharmed.
    static ARMED: AtomicU32 = AtomicU32::new(Step::None as u32);
    static PASSES: AtomicU32 = AtomicU32::new(0);

    /// Passes a point.
    #[inline(always)]
    pub fn at(step: Step) {
        if ARMED.load(Ordering::Relaxed) == step as u32 {
            armed();
        }
    }

    #[cold]
    fn armed() {
        if PASSES.fetch_sub(1, Ordering::Relaxed) == 0 {
            // SAFETY: a signal to oneself, which ends this process before the call returns.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
    }

    /// For tests: kills this process with SIGKILL when it passes `step` after `passes` times unharmed.
    pub fn kill_at(step: Step, passes: u32) {
        PASSES.store(passes, Ordering::Relaxed);
        ARMED.store(step as u32, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Step;

    #[test]
    fn the_kill_matrix_has_a_row_for_every_step() {
        let page = include_str!("../../../docs/kill-matrix.md");
        let missing: Vec<_> =
            Step::ALL.iter().filter(|step| !page.contains(&format!("\n| `{step:?}` | "))).collect();
        assert!(
            missing.is_empty(),
            "nobody was killed at {missing:?} when docs/kill-matrix.md was made: have a test kill there, with \
             `matrix::killed`, and run `make kill-matrix`"
        );
    }
}
