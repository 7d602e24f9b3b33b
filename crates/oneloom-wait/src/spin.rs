//! How long it pays to look again before sleeping.
//!
//! A sleeping futex round trip costs tens of microseconds, one under an awake thread 0.4. So a waiter looks
//! for a while first: a microsecond of pauses, then rounds of `sched_yield`, within a budget that adapts to
//! what the last waits cost. Whoever got what it waited for by its first yield has only kept the other from the
//! core that both want: it pauses less the next time. Success sets the budget to three times what was needed, failure halves it, and
//! every sixteenth wait at the minimum tries the maximum again. A yield that takes longer than 200 µs means
//! that somebody else wants the core: then spinning stands back for the next 16 to 512 waits.
//!
//! The state is per thread. Nothing here touches memory that others write; the caller's look does.

/// Looks until `ready` says yes (true) or the budget is spent (false).
#[cfg(not(any(loom, shuttle, miri)))]
pub fn until(ready: impl FnMut() -> bool) -> bool {
    adaptive::until(ready)
}

/// Under a model checker every look is a choice of its own; one is enough.
#[cfg(any(loom, shuttle, miri))]
pub fn until(mut ready: impl FnMut() -> bool) -> bool {
    ready()
}

#[cfg(not(any(loom, shuttle, miri)))]
mod adaptive {
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    use crate::atomic::{spin_loop, yield_now};

    const MINIMUM: Duration = Duration::from_micros(8);
    const MAXIMUM: Duration = Duration::from_micros(60);
    const PAUSES: u32 = 32;
    const FEW_PAUSES: u32 = 2;
    const HOG: Duration = Duration::from_micros(200);
    const PROBE_EVERY: u32 = 16;
    const STAND_BACK: std::ops::RangeInclusive<u32> = 16..=512;

    #[derive(Clone, Copy)]
    struct State {
        budget: Duration,
        /// How many pauses come before the first yield.
        pauses: u32,
        /// Waits at the minimum since the maximum was last tried.
        at_minimum: u32,
        /// Waits that will not spin.
        standing_back: u32,
        /// How many it was the last time.
        last_stand_back: u32,
    }

    thread_local! {
        static STATE: Cell<State> = const {
            Cell::new(State { budget: MAXIMUM, pauses: PAUSES, at_minimum: 0, standing_back: 0, last_stand_back: 0 })
        };
    }

    pub fn until(mut ready: impl FnMut() -> bool) -> bool {
        let mut state = STATE.get();
        for _ in 0..state.pauses {
            if ready() {
                return true;
            }
            spin_loop();
        }
        if state.standing_back > 0 {
            state.standing_back -= 1;
            STATE.set(state);
            return false;
        }
        let budget = state.probe();
        let started = Instant::now();
        let mut round = started;
        let mut yields = 0;
        let found = loop {
            yield_now();
            let found = ready();
            let now = Instant::now();
            if now - round > HOG {
                // Even if it was found meanwhile: asleep, this thread would have had its turn sooner.
                state.stand_back();
                break found;
            }
            if found {
                // The very first yield brought it: who was waited for needed this core, and every pause kept it away.
                state.pauses = if yields == 0 { FEW_PAUSES } else { PAUSES };
                state.budget = ((now - started) * 3).clamp(MINIMUM, MAXIMUM);
                state.last_stand_back = 0;
                break true;
            }
            if now - started >= budget {
                state.pauses = PAUSES;
                state.budget = (state.budget / 2).max(MINIMUM);
                break false;
            }
            yields += 1;
            round = now;
        };
        STATE.set(state);
        found
    }

    impl State {
        fn probe(&mut self) -> Duration {
            if self.budget > MINIMUM {
                self.at_minimum = 0;
                return self.budget;
            }
            self.at_minimum += 1;
            if self.at_minimum < PROBE_EVERY {
                return self.budget;
            }
            self.at_minimum = 0;
            MAXIMUM
        }

        fn stand_back(&mut self) {
            let next = (self.last_stand_back * 2).clamp(*STAND_BACK.start(), *STAND_BACK.end());
            self.last_stand_back = next;
            self.standing_back = next;
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle, miri))))]
mod tests {
    use std::time::Duration;

    use super::until;

    #[test]
    fn who_found_it_only_after_another_had_the_core_for_long_stands_back() {
        // A thread of its own has never spun before.
        let run = || {
            let mut looks = 0;
            let found = until(|| {
                looks += 1;
                let yielded = looks > 32;
                if yielded {
                    std::thread::sleep(Duration::from_millis(1));
                }
                yielded
            });
            let mut looks_in_vain = 0;
            until(|| {
                looks_in_vain += 1;
                false
            });
            (found, looks_in_vain)
        };
        assert_eq!(std::thread::spawn(run).join().expect("no panic"), (true, 32), "pauses, and no yield");
    }
}
