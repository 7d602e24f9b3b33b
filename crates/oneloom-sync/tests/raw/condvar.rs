//! The condition variable.

use std::cell::Cell;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use oneloom_sync::raw::{LockCall, Name, NotifiedCall, RawCondvar, RawMutex};
use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::Resource;
use oneloom_wait::wait::{Stop, block};

use crate::harness::{Plain, Polled, eventually, me, wait};

fn always() -> bool {
    true
}

#[test]
fn notifications_go_to_those_who_wait_first_come_first() {
    let condvar = Arc::new(RawCondvar::default());
    assert_eq!(condvar.notify(1), 0);
    let mut line: Vec<_> = (0..4).map(|_| Polled::waiting(&condvar, NotifiedCall::new(always))).collect();
    assert_eq!(condvar.waiting(), 4);
    assert_eq!(condvar.notify(2), 2);
    assert_eq!(condvar.waiting(), 2);
    for (place, waiting) in line.iter_mut().enumerate() {
        assert_eq!(waiting.poll().is_some(), place < 2);
    }
    assert_eq!(condvar.notify_all(), 2);
    assert_eq!(condvar.notify_all(), 0);
    assert_eq!(line[3].poll(), Some(()));
}

#[test]
fn it_is_called_what_its_users_know_it_by() {
    assert_eq!(RawCondvar::default().kind(), "Condvar");
    assert_eq!(RawCondvar::of_kind(Name::NONE, &"Condition").kind(), "Condition");
}

#[test]
fn a_notification_that_is_not_wanted_passes_on() {
    let condvar = Arc::new(RawCondvar::default());
    let unwanted = Polled::waiting(&condvar, NotifiedCall::new(always));
    let mut next = Polled::waiting(&condvar, NotifiedCall::new(always));
    assert_eq!(condvar.notify(1), 1);
    drop(unwanted);
    assert_eq!(next.poll(), Some(()));
    assert_eq!(condvar.waiting(), 0);
}

#[test]
fn a_notification_that_arrives_with_the_deadline_is_kept() {
    let condvar = Arc::new(RawCondvar::default());
    let mut expiring = Polled::waiting(&condvar, NotifiedCall::new(always));
    let mut later = Polled::waiting(&condvar, NotifiedCall::new(always));
    assert_eq!(condvar.notify(1), 1);
    assert_eq!(expiring.expire(), Some(()));
    assert_eq!(later.expire(), None);
    assert_eq!(condvar.statistics().1.withdrawals, 1);
}

#[test]
fn the_lock_is_let_go_once_and_after_joining_the_line() {
    let condvar = RawCondvar::default();
    let times = Cell::new(0);
    let mut call = NotifiedCall::new(|| {
        times.set(times.get() + 1);
        // Whoever gets the lock now and notifies finds the waiter: here, at once.
        assert_eq!(condvar.notify(1), 1);
        true
    });
    assert!(block(&condvar, &mut call, Deadline::Never, &mut Plain).is_ok());
    assert_eq!(times.get(), 1);
}

#[test]
fn a_lock_that_can_not_be_let_go_ends_the_wait() {
    let condvar = Arc::new(RawCondvar::default());
    let mut call = NotifiedCall::new(|| false);
    let end = block(&*condvar, &mut call, Deadline::Never, &mut Plain);
    assert!(matches!(end, Err(Stop::Interrupted)));
    assert_eq!(condvar.waiting(), 0);
    let future = Polled::waiting(&condvar, NotifiedCall::new(|| false));
    assert!(future.has_failed());
    assert_eq!(condvar.waiting(), 0);
}

#[test]
fn a_deadline_that_is_over_keeps_the_lock() {
    let condvar = RawCondvar::default();
    let times = Cell::new(0);
    let mut call = NotifiedCall::new(|| {
        times.set(times.get() + 1);
        true
    });
    let over = Deadline::after(Some(Duration::ZERO));
    assert!(matches!(block(&condvar, &mut call, over, &mut Plain), Err(Stop::TimedOut)));
    assert_eq!(times.get(), 0);
    let soon = Deadline::after(Some(Duration::from_millis(5)));
    assert!(matches!(block(&condvar, &mut call, soon, &mut Plain), Err(Stop::TimedOut)));
    assert_eq!((times.get(), condvar.waiting()), (1, 0));
}

#[test]
fn two_threads_take_turns_and_miss_nothing() {
    const TURNS: usize = 2_000;
    let (mutex, condvar) = (RawMutex::default(), RawCondvar::default());
    let turn = std::sync::atomic::AtomicUsize::new(0);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    thread::scope(|scope| {
        for side in 0..2 {
            let (mutex, condvar, turn) = (&mutex, &condvar, &turn);
            scope.spawn(move || {
                let lock = || wait(mutex, LockCall { owner: me(), scoped: true });
                for _ in 0..TURNS {
                    lock();
                    while turn.load(relaxed) % 2 != side {
                        wait(condvar, NotifiedCall::new(|| mutex.release(me).is_ok()));
                        lock();
                    }
                    turn.store(turn.load(relaxed) + 1, relaxed);
                    condvar.notify(1);
                    mutex.release(me).unwrap();
                }
            });
        }
    });
    assert_eq!(turn.into_inner(), 2 * TURNS);
}

#[test]
fn notifying_everybody_reaches_threads_and_futures() {
    let condvar = Arc::new(RawCondvar::default());
    let mut polled = Polled::waiting(&condvar, NotifiedCall::new(always));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| wait(&condvar, NotifiedCall::new(always)));
        }
        eventually("four wait", || condvar.waiting() == 4);
        assert_eq!(condvar.notify_all(), 4);
    });
    assert_eq!(polled.poll(), Some(()));
}
