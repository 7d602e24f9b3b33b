//! Processes that die by SIGKILL at every step of what reentrant locks and semaphores do: nobody hangs, and what the dead
//! held comes back.

// ThreadSanitizer does not survive a fork.
#![cfg(not(any(loom, shuttle, oneloom_tsan)))]

mod support;

use std::time::{Duration, Instant};

use oneloom_shm::mutex::Taken;
use oneloom_shm::reentrant::{ReentrantCall, ReentrantMutex};
use oneloom_shm::semaphore::{AcquireCall, Returned, Semaphore};
use oneloom_shm::step::{Step, kill_at};
use oneloom_shm::wait::block;
use oneloom_wait::clock::Deadline;
use support::matrix::{killed, kills};
use support::*;

/// Kills a child at every step of its work, early and late, while the parent works beside it; then `check`s.
fn storm(steps: &[Step], work: impl Fn(u64), check: impl Fn(&str)) {
    for step in steps {
        let mut count = 0;
        for round in 0..kills(20) as u32 {
            let passes = round * 3 % 40;
            let what = format!("{step:?} after {passes} passes, round {round}");
            let child = Child::start(|| {
                kill_at(*step, passes);
                (0..100).for_each(|_| work(2));
                0
            });
            let ended = loop {
                work(1);
                if let Some(status) = child.ended() {
                    break status;
                }
            };
            assert!(ended == 0 || ended == -libc::SIGKILL, "{what}: the child ended with {ended}");
            check(&what);
            if ended != 0 {
                count += 1;
                killed(*step, "nothing that it held is lost");
            }
        }
        assert!(count > 0, "{step:?} was never passed");
    }
}

fn lock(mutex: &ReentrantMutex, name: u64) -> Taken {
    let mut call = ReentrantCall { mutex, name, count: 1 };
    block(&mut call, soon(), &mut Plainly).expect("the lock in time")
}

#[test]
fn a_reentrant_lock_survives_its_holders() {
    let mutex = ReentrantMutex::new(segment()).expect("a lock");
    let steps = [
        Step::MutexTaken,
        Step::MutexHolderWritten,
        Step::DepthWritten,
        Step::DepthCleared,
        Step::MutexHolderCleared,
        Step::MutexReleased,
    ];
    let work = |name| {
        lock(&mutex, name);
        assert_eq!(lock(&mutex, name), Taken::Clean);
        assert_eq!(mutex.count_of(name), Ok(2));
        mutex.unlock(name).expect("its own");
        mutex.unlock(name).expect("its own");
    };
    storm(&steps, work, |what| {
        let taken = lock(&mutex, 1);
        assert_eq!(mutex.is_recovered(), taken == Taken::Recovered, "{what}");
        assert_eq!(mutex.unlock_all(1), Ok(1), "{what}");
        assert!(!mutex.is_locked(), "{what}");
    });
}

#[test]
fn a_reentrant_lock_survives_two_holders_in_a_row() {
    for step in [Step::MutexTakenOver, Step::DepthWritten] {
        let mutex = ReentrantMutex::new(segment()).expect("a lock");
        killed_over(Step::MutexTaken, || lock(&mutex, 1));
        killed_over(step, || lock(&mutex, 1));
        killed(step, "lock recovered");
        assert_eq!(mutex.count_of(1), Ok(0), "{step:?}: a hold of another process's");
        assert_eq!(lock(&mutex, 1), Taken::Recovered, "{step:?}");
        assert_eq!(mutex.count_of(1), Ok(1), "{step:?}");
    }
}

const PERMITS: u64 = 3;

fn acquire(semaphore: &Semaphore, scoped: bool) -> Taken {
    let mut call = AcquireCall { semaphore, scoped };
    block(&mut call, soon(), &mut Plainly).expect("a permit in time")
}

/// All permits can be had, and no more than that; says how many came from the dead.
fn count(semaphore: &Semaphore, what: &str) -> usize {
    let taken: Vec<_> = (0..PERMITS).map(|_| acquire(semaphore, true)).collect();
    assert_eq!(semaphore.try_acquire(true), Ok(None), "{what}: too many permits");
    (0..PERMITS).for_each(|_| semaphore.release(Returned::Scoped).expect("its own"));
    assert_eq!(semaphore.value(), PERMITS, "{what}");
    taken.iter().filter(|taken| **taken == Taken::Recovered).count()
}

#[test]
fn a_semaphore_has_all_its_permits_after_every_death() {
    let semaphore = Semaphore::new(segment(), PERMITS, true).expect("a semaphore");
    let steps = [
        Step::PermitTaken,
        Step::FreeWritten,
        Step::SemaphoreLeft,
        Step::PermitReturned,
        Step::SemaphoreTold,
    ];
    let work = |_| {
        acquire(&semaphore, true);
        acquire(&semaphore, true);
        semaphore.release(Returned::Scoped).expect("its own");
        semaphore.release(Returned::Scoped).expect("its own");
    };
    // Three permits are enough for two at a time each.
    storm(&steps, work, |what| {
        count(&semaphore, what);
    });
}

#[test]
fn the_permits_of_the_dead_are_told_apart() {
    let semaphore = Semaphore::new(segment(), PERMITS, true).expect("a semaphore");
    killed_over(Step::MutexTaken, || {
        acquire(&semaphore, true);
        acquire(&semaphore, true);
        // Dies holding both.
        lock(&ReentrantMutex::new(semaphore.object().segment()).expect("a lock"), 1);
    });
    assert_eq!(count(&semaphore, "after a death"), 2);
    assert_eq!(count(&semaphore, "after that"), 0);
}

#[test]
fn one_killed_while_it_brings_permits_back_loses_none() {
    for step in [Step::HoldFreed, Step::FreeWritten, Step::PermitsCounted] {
        for _ in 0..kills(1) {
            let semaphore = Semaphore::new(segment(), PERMITS, true).expect("a semaphore");
            for _ in 1..PERMITS {
                acquire(&semaphore, false);
            }
            killed_over(Step::PermitTaken, || acquire(&semaphore, true));
            killed_over(step, || acquire(&semaphore, true));
            (1..PERMITS).for_each(|_| semaphore.release(Returned::Plainly(1)).expect("room"));
            count(&semaphore, &format!("{step:?}"));
            killed(step, "all permits are there");
        }
    }
}

#[test]
fn a_permit_that_was_taken_plainly_is_anybody_s() {
    let semaphore = Semaphore::new(segment(), 1, false).expect("a semaphore");
    killed_over(Step::SemaphoreLeft, || acquire(&semaphore, false));
    let moment = Deadline::after(Some(Duration::from_millis(60)));
    assert!(block(&mut AcquireCall { semaphore: &semaphore, scoped: false }, moment, &mut Plainly).is_err());
    semaphore.release(Returned::Plainly(1)).expect("room");
    assert_eq!(acquire(&semaphore, false), Taken::Clean);
}

#[test]
fn who_dies_waiting_is_not_counted() {
    let semaphore = Semaphore::new(segment(), 0, false).expect("a semaphore");
    let child = Child::start(|| {
        acquire(&semaphore, true);
        0
    });
    while semaphore.waiting() == 0 {
        std::thread::yield_now();
    }
    child.kill();
    assert_eq!(child.join(), -libc::SIGKILL);
    assert_eq!(semaphore.waiting(), 0);
}

#[test]
fn a_sleeper_gets_the_permit_that_another_died_over_giving_back() {
    for step in [Step::PermitReturned, Step::FreeWritten, Step::SemaphoreLeft, Step::WordBumped] {
        let semaphore = Semaphore::new(segment(), 0, false).expect("a semaphore");
        let child = Child::start(|| {
            // The parent is in its long sleep by then, usually; right either way.
            std::thread::sleep(Duration::from_millis(80));
            kill_at(step, 0);
            i32::from(semaphore.release(Returned::Plainly(1)).is_err())
        });
        let started = Instant::now();
        assert_eq!(acquire(&semaphore, false), Taken::Clean, "{step:?}");
        assert!(started.elapsed() < PATIENCE / 2, "{step:?}: nobody woke the waiter");
        assert_eq!(child.join(), -libc::SIGKILL, "{step:?}");
        killed(step, "whoever waited got the permit");
    }
}
