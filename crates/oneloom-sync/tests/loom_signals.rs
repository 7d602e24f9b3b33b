//! Models of what is only signalled: the event, the end of something that happens once, the condition variable
//! and the barrier. Whoever was there when the signal came gets it, or passes it on.

#![cfg(loom)]

mod support;

use std::sync::Arc;

use loom::future::block_on;
use oneloom_sync::raw::{
    ArriveCall, Arrived, Broken, DoneCall, EventCall, LockCall, Name, NotifiedCall, RawBarrier, RawCondvar,
    RawEvent, RawMutex, RawOnce,
};
use oneloom_wait::atomic::{AtomicU32, Ordering};
use oneloom_wait::clock::Deadline;
use oneloom_wait::wait::{Stop, block};
use support::{Alone, Unprotected, check, future, owner, poll_once, start, wait, wait_in_time};

#[test]
fn setting_an_event_lets_everybody_go_on_who_waits() {
    check(2, || {
        let shared = Arc::new((RawEvent::new(Name::NONE), Unprotected::new()));
        let waiters = [(); 2].map(|()| {
            start(&shared, |shared| {
                wait(&shared.0, EventCall);
                shared.1.get()
            })
        });
        shared.1.add();
        shared.0.set();
        waiters.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), 1));
        assert_eq!(shared.0.statistics().0, 0);
    });
}

#[test]
fn whoever_waits_when_an_event_is_set_goes_on_even_if_it_is_cleared_at_once() {
    check(3, || {
        let event = Arc::new(RawEvent::new(Name::NONE));
        let mut waiting = future(&event, EventCall);
        assert!(poll_once(waiting.as_mut()).is_pending());
        let other = start(&event, |event| wait_in_time(event, EventCall).is_some());
        event.set();
        event.clear();
        block_on(waiting);
        other.join().unwrap();
        assert_eq!((event.is_set(), event.statistics().0), (false, 0));
    });
}

#[test]
fn clearing_an_event_shows_the_work_of_every_setting_it_wipes_out() {
    check(2, || {
        // Work is announced before the event is set, and looked for after it was cleared.
        let shared = Arc::new((RawEvent::new(Name::NONE), AtomicU32::new(0)));
        let producers = [1, 2].map(|bit| {
            start(&shared, move |shared| {
                shared.1.fetch_or(bit, Ordering::Relaxed);
                shared.0.set();
            })
        });
        let mut seen = 0;
        while seen != 3 {
            wait(&shared.0, EventCall);
            shared.0.clear();
            seen |= shared.1.load(Ordering::Relaxed);
        }
        producers.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn an_event_that_is_given_up_as_it_is_set_leaves_nobody_behind() {
    check(2, || {
        let event = Arc::new(RawEvent::new(Name::NONE));
        let mut dropped = future(&event, EventCall);
        assert!(poll_once(dropped.as_mut()).is_pending());
        let patient = start(&event, |event| wait(event, EventCall));
        let setter = start(&event, |event| event.set());
        drop(dropped);
        patient.join().unwrap();
        setter.join().unwrap();
        assert_eq!(event.statistics().0, 0);
    });
}

#[test]
fn what_happens_once_is_begun_and_taken_once_and_seen_by_all() {
    check(2, || {
        let shared = Arc::new((RawOnce::new(Name::NONE, "Once"), Unprotected::new()));
        let bring = |shared: &(RawOnce, Unprotected)| {
            if shared.0.begin() {
                shared.1.add();
                shared.0.finish();
            }
        };
        let other = start(&shared, bring);
        let taker = start(&shared, |shared| {
            wait(&shared.0, DoneCall::default());
            assert_eq!(shared.1.get(), 1);
            shared.0.take()
        });
        bring(&shared);
        wait(&shared.0, DoneCall::default());
        assert_eq!(shared.1.get(), 1);
        let mine = shared.0.take();
        assert!(mine ^ taker.join().unwrap());
        other.join().unwrap();
    });
}

/// A mutex, a condition variable, and whether the condition holds.
struct Monitor {
    mutex: RawMutex,
    condvar: RawCondvar,
    ready: Unprotected,
}

impl Monitor {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            mutex: RawMutex::new(Name::NONE),
            condvar: RawCondvar::new(Name::NONE),
            ready: Unprotected::new(),
        })
    }

    fn lock(&self, number: u64) {
        wait(&self.mutex, LockCall { owner: owner(number), scoped: true });
    }

    fn unlock(&self, number: u64) {
        self.mutex.release(|| owner(number)).unwrap();
    }

    fn wait_until_ready(&self, number: u64) {
        self.lock(number);
        while self.ready.get() == 0 {
            wait(&self.condvar, NotifiedCall::new(|| self.mutex.release(|| owner(number)).is_ok()));
            self.lock(number);
        }
        self.unlock(number);
    }

    fn make_ready(&self, number: u64, notify: impl FnOnce(&RawCondvar) -> usize) {
        self.lock(number);
        self.ready.add();
        notify(&self.condvar);
        self.unlock(number);
    }
}

#[test]
fn a_condition_that_comes_true_under_the_lock_is_never_missed() {
    check(2, || {
        let monitor = Monitor::new();
        let waiters = [1, 2].map(|number| start(&monitor, move |monitor| monitor.wait_until_ready(number)));
        monitor.make_ready(3, RawCondvar::notify_all);
        waiters.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(monitor.condvar.statistics().0, 0);
    });
}

#[test]
fn a_notification_of_one_who_gives_up_goes_to_the_next() {
    check(3, || {
        let condvar = Arc::new(RawCondvar::new(Name::NONE));
        let mut dropped = future(&condvar, NotifiedCall::new(|| true));
        let mut patient = future(&condvar, NotifiedCall::new(|| true));
        assert!(poll_once(dropped.as_mut()).is_pending());
        assert!(poll_once(patient.as_mut()).is_pending());
        let notifier = start(&condvar, |condvar| assert_eq!(condvar.notify(1), 1));
        drop(dropped);
        block_on(patient);
        notifier.join().unwrap();
        assert_eq!(condvar.statistics().0, 0);
    });
}

#[test]
fn a_notification_in_the_last_instant_counts_for_the_timed_wait_or_for_the_next() {
    check(2, || {
        let condvar = Arc::new(RawCondvar::new(Name::NONE));
        let mut patient = future(&condvar, NotifiedCall::new(|| true));
        assert!(poll_once(patient.as_mut()).is_pending());
        let timed = start(&condvar, |condvar| wait_in_time(condvar, NotifiedCall::new(|| true)).is_some());
        let told = condvar.notify(2);
        block_on(patient);
        assert_eq!(told, 1 + usize::from(timed.join().unwrap()));
        assert_eq!(condvar.statistics().0, 0);
    });
}

#[test]
fn a_notification_of_one_who_is_interrupted_goes_to_the_next() {
    check(3, || {
        let condvar = Arc::new(RawCondvar::new(Name::NONE));
        let interrupted = start(&condvar, |condvar| {
            // Letting go of the lock fails when it is in line already, and that ends the wait.
            let mut call = NotifiedCall::new(|| false);
            matches!(block(condvar, &mut call, Deadline::Never, &mut Alone), Err(Stop::Interrupted))
        });
        let mut patient = future(&condvar, NotifiedCall::new(|| true));
        assert!(poll_once(patient.as_mut()).is_pending());
        assert_eq!(condvar.notify(1), 1);
        block_on(patient);
        assert!(interrupted.join().unwrap());
        assert_eq!(condvar.statistics().0, 0);
    });
}

fn arrive(barrier: &RawBarrier) -> Result<u32, Broken> {
    match wait(barrier, ArriveCall::new(true))? {
        Arrived::Passed { index } => Ok(index),
        Arrived::Last { index, round } => barrier.release(round).map(|()| index),
    }
}

#[test]
fn a_barrier_lets_all_parties_go_on_each_with_its_own_index() {
    check(2, || {
        let shared = Arc::new((RawBarrier::new(2, Name::NONE), AtomicU32::new(0)));
        let pass = |shared: &(RawBarrier, AtomicU32)| {
            let mut indexes = [0; 2];
            for (round, index) in indexes.iter_mut().enumerate() {
                shared.1.fetch_add(1, Ordering::Relaxed);
                *index = arrive(&shared.0).unwrap();
                assert!(shared.1.load(Ordering::Relaxed) >= 2 * (round as u32 + 1));
            }
            indexes
        };
        let other = start(&shared, pass);
        let mine = pass(&shared);
        let others = other.join().unwrap();
        assert_eq!([mine[0] + others[0], mine[1] + others[1]], [1, 1]);
        assert_eq!(shared.0.statistics().0, 0);
    });
}

#[test]
fn a_party_that_gives_up_breaks_the_barrier_for_all_or_passed_with_them() {
    check(2, || {
        let barrier = Arc::new(RawBarrier::new(2, Name::NONE));
        let timed = start(&barrier, |barrier| {
            let passed = wait_in_time(barrier, ArriveCall::new(false));
            passed.is_some_and(|passed| passed.is_ok())
        });
        let mine = wait(&*barrier, ArriveCall::new(false)).is_ok();
        assert_eq!(timed.join().unwrap(), mine);
        assert_eq!((barrier.is_broken(), barrier.statistics().0), (!mine, 0));
    });
}

#[test]
fn an_aborted_barrier_turns_everybody_away() {
    check(2, || {
        let barrier = Arc::new(RawBarrier::new(3, Name::NONE));
        let parties = [(); 2].map(|()| start(&barrier, arrive));
        barrier.abort();
        parties.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), Err(Broken)));
        assert_eq!((barrier.is_broken(), barrier.statistics().0), (true, 0));
    });
}
