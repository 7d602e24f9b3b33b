//! The event.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use oneloom_sync::raw::{EventCall, RawEvent};

use crate::harness::{Polled, eventually, wait, wait_for};

#[test]
fn it_is_set_until_it_is_cleared() {
    let event = RawEvent::default();
    assert!(!event.is_set());
    assert_eq!(wait_for(&event, EventCall, Duration::ZERO), None);
    event.set();
    event.set();
    assert!(event.is_set());
    wait(&event, EventCall);
    event.clear();
    event.clear();
    assert!(!event.is_set());
}

#[test]
fn everybody_who_waits_goes_on_even_if_it_is_cleared_at_once() {
    let event = Arc::new(RawEvent::default());
    let gone = AtomicUsize::new(0);
    let mut polled: Vec<_> = (0..3).map(|_| Polled::waiting(&event, EventCall)).collect();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                wait(&event, EventCall);
                gone.fetch_add(1, Ordering::SeqCst);
            });
        }
        eventually("six wait", || event.statistics().0 == 6);
        event.set();
        event.clear();
        eventually("the threads have gone on", || gone.load(Ordering::SeqCst) == 3);
    });
    for waiting in &mut polled {
        assert_eq!(waiting.rung(), 1);
        assert_eq!(waiting.poll(), Some(()));
    }
    Polled::waiting(&event, EventCall);
}

#[test]
fn giving_up_leaves_no_trace() {
    let event = Arc::new(RawEvent::default());
    assert_eq!(wait_for(&event, EventCall, Duration::from_millis(5)), None);
    let mut first = Polled::waiting(&event, EventCall);
    drop(Polled::waiting(&event, EventCall));
    assert_eq!(event.statistics().0, 1);
    event.set();
    assert_eq!(first.expire(), Some(()));
    assert_eq!(event.statistics().0, 0);
    assert_eq!(event.statistics().1.withdrawals, 2);
}

#[test]
fn whoever_is_told_sees_what_was_done_before() {
    for _ in 0..500 {
        let (there, back) = (RawEvent::default(), RawEvent::default());
        let data = AtomicUsize::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                data.store(1, Ordering::Relaxed);
                there.set();
                wait(&back, EventCall);
                assert_eq!(data.load(Ordering::Relaxed), 2);
            });
            wait(&there, EventCall);
            assert_eq!(data.load(Ordering::Relaxed), 1);
            data.store(2, Ordering::Relaxed);
            back.set();
        });
    }
}
