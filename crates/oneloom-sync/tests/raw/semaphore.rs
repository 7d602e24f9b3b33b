//! The semaphore.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use oneloom_sync::raw::{AcquireCall, Name, OverRelease, RawSemaphore};
use oneloom_wait::graph::Resource;

use crate::harness::{Polled, eventually, starve, wait, wait_for};

fn semaphore(permits: u64) -> Arc<RawSemaphore> {
    Arc::new(RawSemaphore::new(permits, None, Name::NONE))
}

#[test]
fn permits_are_counted() {
    let semaphore = RawSemaphore::new(2, None, Name::NONE);
    assert_eq!((semaphore.value(), semaphore.bound()), (2, None));
    assert!(semaphore.try_acquire());
    assert!(semaphore.try_acquire());
    assert!(!semaphore.try_acquire());
    semaphore.release(5).unwrap();
    semaphore.release(0).unwrap();
    assert_eq!(semaphore.value(), 5);
    assert_eq!(semaphore.kind(), "Semaphore");
}

#[test]
fn releasing_beyond_the_bound_changes_nothing() {
    let semaphore = Arc::new(RawSemaphore::new(3, Some(3), Name::NONE));
    assert_eq!(semaphore.release(1), Err(OverRelease));
    assert!(semaphore.try_acquire());
    assert_eq!(semaphore.release(2), Err(OverRelease));
    assert_eq!(semaphore.release(u64::MAX), Err(OverRelease));
    assert_eq!(semaphore.value(), 2);
    assert!(semaphore.try_acquire() && semaphore.try_acquire());
    let mut waiting = Polled::waiting(&semaphore, AcquireCall);
    assert_eq!(semaphore.release(4), Err(OverRelease));
    assert_eq!(waiting.rung(), 0);
    semaphore.release(3).unwrap();
    assert_eq!(waiting.poll(), Some(()));
    assert_eq!(semaphore.value(), 2);
    assert_eq!(semaphore.kind(), "BoundedSemaphore");
}

#[test]
fn the_word_counts_no_further_than_it_can() {
    let semaphore = RawSemaphore::new(u64::MAX, None, Name::NONE);
    assert_eq!(semaphore.value(), RawSemaphore::MAXIMUM);
    assert_eq!(semaphore.release(1), Err(OverRelease));
    assert!(semaphore.try_acquire());
    assert_eq!(semaphore.value(), RawSemaphore::MAXIMUM - 1);
}

#[test]
fn a_release_wakes_as_many_as_it_has_permits_first_come_first() {
    let semaphore = semaphore(0);
    let mut line: Vec<_> = (0..5).map(|_| Polled::waiting(&semaphore, AcquireCall)).collect();
    semaphore.release(3).unwrap();
    assert_eq!(line.iter().map(Polled::rung).collect::<Vec<_>>(), [1, 1, 1, 0, 0]);
    assert!(line[..3].iter_mut().all(|waiting| waiting.poll() == Some(())));
    assert_eq!(line[3].poll(), None);
    assert_eq!((semaphore.value(), semaphore.statistics().0), (0, 2));
    semaphore.release(10).unwrap();
    assert_eq!(line[3].poll(), Some(()));
    assert_eq!(line[4].poll(), Some(()));
    assert_eq!(semaphore.value(), 8);
}

#[test]
fn a_running_thread_may_be_faster_than_one_that_has_just_come() {
    let semaphore = semaphore(0);
    eventually("a wait of less than a millisecond", || {
        let started = Instant::now();
        let mut waiting = Polled::waiting(&semaphore, AcquireCall);
        semaphore.release(1).unwrap();
        let faster = semaphore.try_acquire();
        let young = started.elapsed() < Duration::from_millis(1);
        assert!(faster || !young);
        // Overtaken, it keeps its turn.
        if faster {
            assert_eq!(waiting.poll(), None);
            let later = Polled::waiting(&semaphore, AcquireCall);
            semaphore.release(1).unwrap();
            assert_eq!((waiting.rung(), later.rung()), (2, 0));
        }
        assert_eq!(waiting.poll(), Some(()));
        young
    });
    assert_eq!(semaphore.value(), 0);
}

#[test]
fn one_that_starves_is_handed_its_permit() {
    let semaphore = semaphore(0);
    let mut first = Polled::waiting(&semaphore, AcquireCall);
    starve();
    semaphore.release(2).unwrap();
    assert_eq!(semaphore.value(), 1, "one permit was handed over and never showed");
    assert!(semaphore.try_acquire());
    assert!(!semaphore.try_acquire());
    assert_eq!(first.poll(), Some(()));
    assert_eq!(semaphore.statistics().1.handovers, 1);
}

#[test]
fn a_permit_that_is_not_wanted_passes_on() {
    for starving in [false, true] {
        let semaphore = semaphore(0);
        let unwanted = Polled::waiting(&semaphore, AcquireCall);
        let mut next = Polled::waiting(&semaphore, AcquireCall);
        if starving {
            starve();
        }
        semaphore.release(1).unwrap();
        assert_eq!((unwanted.rung(), next.rung()), (1, 0));
        drop(unwanted);
        assert_eq!(next.rung(), 1, "starving: {starving}");
        assert_eq!(next.poll(), Some(()));
        assert_eq!(semaphore.value(), 0);
        assert_eq!(semaphore.statistics().0, 0);
        semaphore.release(1).unwrap();
        assert!(semaphore.try_acquire());
    }
}

#[test]
fn a_permit_that_arrives_with_the_deadline_is_kept() {
    for starving in [false, true] {
        let semaphore = semaphore(0);
        let mut expiring = Polled::waiting(&semaphore, AcquireCall);
        if starving {
            starve();
        }
        semaphore.release(1).unwrap();
        assert_eq!(expiring.expire(), Some(()));
        assert_eq!(semaphore.value(), 0);
    }
}

#[test]
fn a_wait_with_a_deadline_ends_and_takes_nothing() {
    let semaphore = semaphore(0);
    assert_eq!(wait_for(&semaphore, AcquireCall, Duration::from_millis(5)), None);
    assert_eq!(wait_for(&semaphore, AcquireCall, Duration::ZERO), None);
    semaphore.release(1).unwrap();
    assert_eq!(wait_for(&semaphore, AcquireCall, Duration::ZERO), Some(()));
    assert_eq!((semaphore.value(), semaphore.statistics().0), (0, 0));
}

#[test]
fn never_more_holders_than_permits() {
    const PERMITS: usize = 3;
    let semaphore = semaphore(PERMITS as u64);
    let inside = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..6 {
            let (semaphore, inside) = (&semaphore, &inside);
            scope.spawn(move || {
                for _ in 0..1_000 {
                    if number % 2 == 0 {
                        wait(semaphore, AcquireCall);
                    } else {
                        Polled::new(semaphore, AcquireCall).finish();
                    }
                    let now = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    assert!(now < PERMITS);
                    inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    semaphore.release(1).unwrap();
                }
            });
        }
    });
    assert_eq!(semaphore.value(), PERMITS as u64);
}
