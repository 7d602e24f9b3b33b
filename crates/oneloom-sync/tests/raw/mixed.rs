//! Threads and futures that give up at random: whatever is given up passes on, and nothing gets lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use oneloom_sync::raw::{AcquireCall, LockCall, NotifiedCall, RawCondvar, RawMutex, RawSemaphore};
use oneloom_sync::raw::{Name, RawReentrantMutex, ReentrantLockCall};
use oneloom_wait::clock::Deadline;
use oneloom_wait::owner::Owner;
use oneloom_wait::wait::{Call, block};

use crate::harness::{Plain, Polled, Random, me, wait};

const THREADS: usize = 4;
const ROUNDS: usize = 1_500;

/// Runs a call in one of the ways there are; `None` if it was given up.
fn somehow<C: Call>(primitive: &Arc<C::Primitive>, mut call: C, random: &mut Random) -> Option<C::Output> {
    match random.below(6) {
        0 => {
            let soon = Deadline::after(Some(Duration::from_micros(random.below(300).into())));
            block(&**primitive, &mut call, soon, &mut Plain).ok()
        }
        1 => Some(wait(primitive, call)),
        2 => Some(Polled::new(primitive, call).finish()),
        3 => {
            let mut polled = Polled::new(primitive, call);
            polled.poll().or_else(|| polled.expire())
        }
        4 => {
            let mut polled = Polled::new(primitive, call);
            let ready = polled.poll();
            thread::yield_now();
            ready.or_else(|| polled.expire())
        }
        _ => {
            // Dropped while it waits, or just after it was told.
            let mut polled = Polled::new(primitive, call);
            let ready = polled.poll();
            thread::yield_now();
            ready
        }
    }
}

fn in_threads(seed: u64, act: impl Fn(&mut Random) + Sync) {
    let mut random = Random::new(seed);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let (mut random, act) = (random.split(), &act);
            scope.spawn(move || (0..ROUNDS).for_each(|_| act(&mut random)));
        }
    });
}

#[test]
fn a_semaphore_keeps_its_permits() {
    const PERMITS: usize = 2;
    let semaphore = Arc::new(RawSemaphore::new(PERMITS as u64, Some(PERMITS as u64), Name::NONE));
    let inside = AtomicUsize::new(0);
    in_threads(1, |random| {
        if somehow(&semaphore, AcquireCall, random).is_some() {
            assert!(inside.fetch_add(1, Ordering::SeqCst) < PERMITS);
            thread::yield_now();
            inside.fetch_sub(1, Ordering::SeqCst);
            semaphore.release(1).unwrap();
        }
    });
    assert_eq!((semaphore.value(), semaphore.statistics().0), (PERMITS as u64, 0));
}

#[test]
fn a_mutex_ends_free() {
    for scoped in [false, true] {
        let mutex = Arc::new(RawMutex::default());
        let inside = AtomicUsize::new(0);
        in_threads(2, |random| {
            if somehow(&mutex, LockCall { owner: me(), scoped }, random).is_some() {
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                thread::yield_now();
                inside.fetch_sub(1, Ordering::SeqCst);
                mutex.release(me).unwrap();
            }
        });
        assert!(!mutex.is_locked());
        assert_eq!(mutex.statistics().0, 0);
    }
}

#[test]
fn a_reentrant_mutex_ends_free() {
    let mutex = Arc::new(RawReentrantMutex::default());
    in_threads(3, |random| {
        if somehow(&mutex, ReentrantLockCall::new(me()), random).is_some() {
            let again = somehow(&mutex, ReentrantLockCall::new(me()), random);
            assert_eq!(again, Some(()));
            assert_eq!(mutex.recursion_count(me()), 2);
            assert_eq!(mutex.release_all(me()), Ok(2));
        }
    });
    assert!(!mutex.is_locked());
    assert_eq!(mutex.statistics().0, 0);
}

#[test]
fn no_notification_reaches_two() {
    let condvar = Arc::new(RawCondvar::default());
    let (given, received) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                given.fetch_add(condvar.notify(1), Ordering::SeqCst);
                thread::yield_now();
            }
        });
        in_threads(4, |random| {
            let got = somehow(&condvar, NotifiedCall::new(|| true), random);
            received.fetch_add(usize::from(got.is_some()), Ordering::SeqCst);
        });
        done.store(true, Ordering::SeqCst);
    });
    let (given, received) = (given.into_inner(), received.into_inner());
    assert!(received <= given, "{received} received, {given} given");
    assert_eq!(condvar.waiting(), 0);
}

#[test]
fn nobody_in_particular_may_hold_a_mutex() {
    let mutex = Arc::new(RawMutex::default());
    in_threads(5, |random| {
        if somehow(&mutex, LockCall { owner: Owner::NOBODY, scoped: false }, random).is_some() {
            thread::yield_now();
            mutex.release(|| Owner::NOBODY).unwrap();
        }
    });
    assert!(!mutex.is_locked());
}
