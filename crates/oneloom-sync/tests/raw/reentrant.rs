//! The re-entrant mutex.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use oneloom_sync::raw::{RawReentrantMutex, ReentrantLockCall, ReleaseError};
use oneloom_wait::graph::Resource;
use oneloom_wait::owner::Owner;

use crate::harness::{Polled, me, starve, wait, wait_for};

fn other() -> Owner {
    // Kept alive by nobody: only its number matters.
    thread::spawn(me).join().unwrap()
}

#[test]
fn the_holder_takes_it_again_and_others_do_not() {
    let mutex = RawReentrantMutex::default();
    let (mine, others) = (me(), other());
    assert!(mutex.try_lock(mine));
    assert!(mutex.try_lock(mine));
    wait(&mutex, ReentrantLockCall::new(mine));
    assert_eq!(mutex.recursion_count(mine), 3);
    assert_eq!(mutex.recursion_count(others), 0);
    assert!(!mutex.try_lock(others));
    assert!(mutex.is_owned_by(mine) && !mutex.is_owned_by(others));
    assert_eq!(mutex.release(mine), Ok(false));
    assert_eq!(mutex.release(mine), Ok(false));
    assert!(mutex.is_locked());
    assert_eq!(mutex.release(mine), Ok(true));
    assert!(!mutex.is_locked());
    assert!(mutex.try_lock(others));
}

#[test]
fn only_the_holder_releases() {
    let mutex = RawReentrantMutex::default();
    let (mine, others) = (me(), other());
    assert_eq!(mutex.release(mine), Err(ReleaseError::NotHeld));
    assert_eq!(mutex.release_all(mine), Err(ReleaseError::NotHeld));
    assert!(mutex.try_lock(mine));
    assert_eq!(mutex.release(others), Err(ReleaseError::NotOwner(mine)));
    assert_eq!(mutex.release_all(others), Err(ReleaseError::NotOwner(mine)));
    assert_eq!(mutex.recursion_count(mine), 1);
}

#[test]
fn every_taking_is_undone_at_once_and_restored() {
    let mutex = RawReentrantMutex::default();
    let mine = me();
    for _ in 0..5 {
        assert!(mutex.try_lock(mine));
    }
    let count = mutex.release_all(mine).unwrap();
    assert_eq!(count, 5);
    assert!(!mutex.is_locked());
    wait(&mutex, ReentrantLockCall { owner: mine, count });
    assert_eq!(mutex.recursion_count(mine), 5);
}

#[test]
fn a_hand_over_counts_once_and_passes_on_when_it_is_not_wanted() {
    let mutex = Arc::new(RawReentrantMutex::default());
    let (mine, second, third) = (me(), other(), other());
    assert!(mutex.try_lock(mine));
    assert!(mutex.try_lock(mine));
    let unwanted = Polled::waiting(&mutex, ReentrantLockCall::new(second));
    let mut wanted = Polled::waiting(&mutex, ReentrantLockCall { owner: third, count: 4 });
    starve();
    assert_eq!(mutex.release(mine), Ok(false));
    assert_eq!(unwanted.rung(), 0);
    assert_eq!(mutex.release(mine), Ok(true));
    assert!(mutex.is_owned_by(second), "starving waiters are handed it");
    assert!(!mutex.try_lock(mine));
    drop(unwanted);
    assert_eq!(wanted.poll(), Some(()));
    assert_eq!(mutex.recursion_count(third), 4);
    assert_eq!(mutex.release_all(third), Ok(4));
    let (waiting, counters) = mutex.statistics();
    assert_eq!((waiting, counters.withdrawals), (0, 1));
    assert!(!mutex.is_locked());
}

#[test]
fn a_wait_with_a_deadline_ends_and_takes_nothing() {
    let mutex = RawReentrantMutex::default();
    assert!(mutex.try_lock(other()));
    assert_eq!(wait_for(&mutex, ReentrantLockCall::new(me()), Duration::from_millis(5)), None);
    assert_eq!(wait_for(&mutex, ReentrantLockCall::new(me()), Duration::ZERO), None);
    assert_eq!(mutex.statistics().0, 0);
}

#[test]
fn a_report_calls_it_by_its_kind() {
    assert_eq!(RawReentrantMutex::default().kind(), "ReentrantMutex");
    assert_eq!(RawReentrantMutex::of_kind(Default::default(), &"RLock").kind(), "RLock");
}

#[test]
fn nobody_in_particular_does_not_reenter() {
    let mutex = RawReentrantMutex::default();
    assert!(mutex.try_lock(Owner::NOBODY));
    assert!(!mutex.try_lock(Owner::NOBODY));
    assert_eq!(mutex.release(Owner::NOBODY), Ok(true));
}

#[test]
fn threads_exclude_each_other() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 2_000;
    let mutex = RawReentrantMutex::default();
    let total = std::sync::atomic::AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    wait(&mutex, ReentrantLockCall::new(me()));
                    wait(&mutex, ReentrantLockCall::new(me()));
                    // Not one step: only mutual exclusion makes the sum right.
                    let seen = total.load(std::sync::atomic::Ordering::Relaxed);
                    std::hint::black_box(seen);
                    total.store(seen + 1, std::sync::atomic::Ordering::Relaxed);
                    assert_eq!(mutex.release(me()), Ok(false));
                    assert_eq!(mutex.release(me()), Ok(true));
                }
            });
        }
    });
    assert_eq!(total.into_inner(), THREADS * ROUNDS);
}
