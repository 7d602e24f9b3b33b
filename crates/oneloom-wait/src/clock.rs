//! Time as the wait core sees it: deadlines, and nanoseconds on the monotonic clock.

use std::time::{Duration, Instant};

/// When a wait ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// It does not: only an event ends the wait. Only such waits take part in deadlocks.
    Never,
    /// At this instant.
    At(Instant),
}

impl Deadline {
    /// The deadline `timeout` from now; `None` is never.
    ///
    /// A timeout beyond what the clock can represent still counts as timed; it ends in thirty years.
    pub fn after(timeout: Option<Duration>) -> Self {
        const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
        match timeout {
            None => Self::Never,
            Some(timeout) => {
                let now = Instant::now();
                Self::At(now.checked_add(timeout.min(FAR)).unwrap_or(now))
            }
        }
    }

    /// What is left until then: `None` is for ever, zero is over.
    pub fn remaining(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::At(instant) => Some(instant.saturating_duration_since(Instant::now())),
        }
    }

    /// Whether the wait has a time limit.
    pub fn is_timed(self) -> bool {
        self != Self::Never
    }
}

/// Nanoseconds on the monotonic clock, which all processes of the machine share. Costs about 20 ns.
#[cfg(not(any(loom, shuttle)))]
pub fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (time.tv_sec as u64) * 1_000_000_000 + time.tv_nsec as u64
}

/// Under a model checker, time stands still: what depends on it is chosen by the model.
#[cfg(any(loom, shuttle))]
pub fn now() -> u64 {
    0
}

/// How long a waiter may be overtaken before a release hands over to it, in nanoseconds.
///
/// A running thread that takes what was just released (barging) saves two context switches, so it is
/// the rule; this bound keeps it from starving a sleeper. Strict hand-off costs 18 times more.
#[cfg(not(any(loom, shuttle)))]
pub const fn starvation_limit() -> u64 {
    1_000_000
}

#[cfg(any(loom, shuttle))]
pub use modelled::{set_starvation_limit, starvation_limit};

#[cfg(any(loom, shuttle))]
mod modelled {
    use std::cell::Cell;

    thread_local! {
        // A model's threads all run on one thread of the system, and other models beside them on others.
        static LIMIT: Cell<u64> = const { Cell::new(1) };
    }

    /// What the running model chose.
    pub fn starvation_limit() -> u64 {
        LIMIT.get()
    }

    /// Chooses for the models that follow on this thread: 0 always hands over, 1 never does (time stands still).
    pub fn set_starvation_limit(limit: u64) {
        LIMIT.set(limit);
    }
}
