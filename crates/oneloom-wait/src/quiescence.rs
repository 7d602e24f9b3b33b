//! Whether anything in this process can still move: decided, not guessed.
//!
//! A process is quiescent when every one of its operating-system threads, as the kernel lists them, either
//! waits here without a deadline or is one of oneloom's own, and a second look finds the same waits. A thread
//! that oneloom has never seen may do anything, and so may a debugger: then the answer is no.
//!
//! The longest sleeper looks, once a second at first and ever more rarely. It chooses one victim at a time;
//! a thread that ends afterwards makes it look again soon, since the victim may have died holding a lock.

use crate::atomic::of_the_process::{AtomicU32, AtomicU64, Ordering};
use crate::clock;
use crate::graph::{self, Certainty, Deadlock, Step};
use crate::owner::{Kind, Owner, flag, registry};

/// How many threads of its own oneloom may run.
const OWN_THREADS: usize = 16;
static OWN: [AtomicU32; OWN_THREADS] = [const { AtomicU32::new(0) }; OWN_THREADS];
static VERDICTS: AtomicU64 = AtomicU64::new(0);

/// Tells that the calling thread is one of oneloom's own: it never ends anybody's wait by itself.
pub fn register_own_thread() {
    let native = native_thread_of_caller();
    let free =
        |slot: &&AtomicU32| slot.compare_exchange(0, native, Ordering::Relaxed, Ordering::Relaxed).is_ok();
    assert!(OWN.iter().any(|slot| free(&slot)), "more than {OWN_THREADS} threads of its own");
}

#[cfg(not(any(loom, shuttle, miri)))]
fn native_thread_of_caller() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get() as u32
}

#[cfg(any(loom, shuttle, miri))]
fn native_thread_of_caller() -> u32 {
    1
}

/// Whether a victim has ever been chosen: then the end of a thread is worth a look.
pub(crate) fn has_chosen() -> bool {
    VERDICTS.load(Ordering::Relaxed) != 0
}

/// Untimed waits of threads, longest first.
pub(crate) fn sleepers() -> Vec<Step> {
    let mut steps = graph::waits();
    steps.retain(|step| {
        registry().kind(step.owner) == Kind::Thread && step.flags & (flag::TIMED | flag::AWAITS) == 0
    });
    steps
}

/// For how long everybody must have waited before a victim is chosen: a little longer than it takes each to look
/// for itself, so that suspicions are told first. In nanoseconds.
const SETTLED: u64 = 1_050_000_000;

/// If `thread` sleeps longest and nothing in the process can move, chooses a victim. True if it is worth looking
/// again soon: it did, or some have only just begun to wait.
pub(crate) fn look(thread: Owner, may_still_move: impl FnOnce() -> bool) -> bool {
    if !thread.is_somebody() {
        return false;
    }
    let first = sleepers();
    if first.first().map(|step| step.owner) != Some(thread) || !nothing_runs(&first) {
        return false;
    }
    let settled = first.last().is_none_or(|last| clock::now().saturating_sub(last.since) >= SETTLED);
    if !settled {
        return true;
    }
    if may_still_move() {
        return false;
    }
    let second = sleepers();
    if first != second || !nothing_runs(&second) {
        return false;
    }
    let chosen = victim_of(&second).is_some_and(graph::condemn);
    if chosen {
        VERDICTS.fetch_add(1, Ordering::Relaxed);
    }
    chosen
}

/// Who is to give up: the latest waiter. One that only waits for the end of another thread is spared while
/// there are others: its error would free nobody. One that is idle always is.
fn victim_of(sleepers: &[Step]) -> Option<&Step> {
    let mut candidates = sleepers.iter().rev().filter(|step| step.flags & (flag::AT_EXIT | flag::IDLE) == 0);
    candidates.clone().find(|step| step.kind != "thread").or_else(|| candidates.next())
}

/// What a victim is told: itself first, then everybody who waits.
pub(crate) fn verdict(victim: Owner) -> Deadlock {
    let mut steps = sleepers();
    steps.sort_by_key(|step| step.owner != victim);
    Deadlock { steps, certainty: Certainty::Quiescent, holder_ended: false }
}

/// Whether each of the process's threads is among `sleepers` or oneloom's own, and no debugger is attached.
fn nothing_runs(sleepers: &[Step]) -> bool {
    let Some(threads) = native_threads() else { return false };
    let accounted = |native: &u32| {
        sleepers.iter().any(|step| registry().native_thread(step.owner) == *native)
            || OWN.iter().any(|own| own.load(Ordering::Relaxed) == *native)
    };
    // One that runs an event loop may be needed by tasks that nobody sees waiting, and another process may end a wait
    // for what it shares.
    sleepers.iter().all(|step| step.flags & (flag::ON_LOOP | flag::SHARED) == 0)
        && threads.iter().all(accounted)
        && !is_traced()
}

/// The kernel's list of this process's threads.
fn native_threads() -> Option<Vec<u32>> {
    std::fs::read_dir("/proc/self/task")
        .ok()?
        .map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

fn is_traced() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return true };
    !status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|pid| pid.trim() == "0"))
}
