//! Models of the mutex and the reentrant mutex: one holder at a time, what it did happens before what the next
//! does, and a release reaches somebody who still wants the lock.

#![cfg(loom)]

mod support;

use std::sync::Arc;

use loom::future::block_on;
use oneloom_sync::raw::{LockCall, Name, RawMutex, RawReentrantMutex, ReentrantLockCall};
use oneloom_wait::gate::Gate;
use oneloom_wait::wait::Primitive;
use support::{Unprotected, check_both_ways, future, owner, poll_once, start, wait, wait_in_time};

struct Shared<M> {
    mutex: Arc<M>,
    data: Unprotected,
}

impl<M: Primitive> Shared<M> {
    fn new(mutex: M) -> Arc<Self> {
        drop(Gate::enter(mutex.gate()));
        Arc::new(Self { mutex: Arc::new(mutex), data: Unprotected::new() })
    }
}

fn mutex() -> Arc<Shared<RawMutex>> {
    Shared::new(RawMutex::new(Name::NONE))
}

impl Shared<RawMutex> {
    fn call(number: u64) -> LockCall {
        LockCall { owner: owner(number), scoped: true }
    }

    fn change_and_release(&self, number: u64) {
        self.data.add();
        self.mutex.release(|| owner(number)).unwrap();
    }

    fn lock_and_change(&self, number: u64) {
        wait(&*self.mutex, Self::call(number));
        self.change_and_release(number);
    }

    fn change_if_in_time(&self, number: u64) -> u32 {
        let in_time = wait_in_time(&*self.mutex, Self::call(number)).is_some();
        if in_time {
            self.change_and_release(number);
        }
        in_time.into()
    }

    fn is_at_rest(&self) -> bool {
        !self.mutex.is_locked() && self.mutex.statistics().0 == 0 && self.mutex.try_lock(owner(9), true)
    }
}

#[test]
fn three_threads_lock_one_after_the_other() {
    check_both_ways(2, || {
        let shared = mutex();
        let others = [1, 2].map(|number| start(&shared, move |shared| shared.lock_and_change(number)));
        shared.lock_and_change(3);
        others.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(shared.data.get(), 3);
        assert!(shared.is_at_rest());
    });
}

#[test]
fn one_who_is_faster_than_those_in_line_leaves_them_in_line() {
    check_both_ways(2, || {
        let shared = mutex();
        assert!(shared.mutex.try_lock(owner(3), true));
        let others = [1, 2].map(|number| start(&shared, move |shared| shared.lock_and_change(number)));
        shared.change_and_release(3);
        let faster = shared.mutex.try_lock(owner(4), true);
        if faster {
            shared.change_and_release(4);
        }
        others.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(shared.data.get(), 3 + u32::from(faster));
        assert!(shared.is_at_rest());
    });
}

#[test]
fn a_timed_wait_takes_what_comes_in_the_last_instant_or_leaves_it_to_the_next() {
    check_both_ways(2, || {
        let shared = mutex();
        assert!(shared.mutex.try_lock(owner(3), true));
        let timed = start(&shared, |shared| shared.change_if_in_time(1));
        let patient = start(&shared, |shared| shared.lock_and_change(2));
        shared.change_and_release(3);
        let in_time = timed.join().unwrap();
        patient.join().unwrap();
        assert_eq!(shared.data.get(), 2 + in_time);
        assert!(shared.is_at_rest());
    });
}

#[test]
fn a_dropped_future_passes_the_lock_on() {
    check_both_ways(2, || {
        let shared = mutex();
        assert!(shared.mutex.try_lock(owner(3), true));
        let mut dropped =
            future(&shared.mutex, LockCall { owner: oneloom_wait::owner::Owner::NOBODY, scoped: true });
        assert!(poll_once(dropped.as_mut()).is_pending());
        let patient = start(&shared, |shared| shared.lock_and_change(1));
        let holder = start(&shared, |shared| shared.change_and_release(3));
        drop(dropped);
        holder.join().unwrap();
        patient.join().unwrap();
        assert_eq!(shared.data.get(), 2);
        assert!(shared.is_at_rest());
    });
}

#[test]
fn an_awaited_lock_is_woken_by_the_release() {
    check_both_ways(3, || {
        let shared = mutex();
        assert!(shared.mutex.try_lock(owner(3), false));
        let releaser = start(&shared, |shared| shared.change_and_release(3));
        let nobody = oneloom_wait::owner::Owner::NOBODY;
        block_on(future(&shared.mutex, LockCall { owner: nobody, scoped: false }));
        shared.data.add();
        shared.mutex.release(|| nobody).unwrap();
        releaser.join().unwrap();
        assert_eq!(shared.data.get(), 2);
        assert!(shared.is_at_rest());
    });
}

#[test]
fn of_two_releases_of_one_hold_only_one_succeeds_and_no_scope_is_broken() {
    check_both_ways(3, || {
        let shared = mutex();
        assert!(shared.mutex.try_lock(owner(3), false));
        let other = start(&shared, |shared| shared.mutex.release(|| owner(8)).is_ok());
        let locker = start(&shared, |shared| shared.lock_and_change(1));
        let mine = shared.mutex.release(|| owner(9)).is_ok();
        assert!(mine ^ other.join().unwrap());
        locker.join().unwrap();
        assert!(shared.is_at_rest());
    });
}

#[test]
fn a_reentrant_mutex_is_free_after_the_last_release_only() {
    check_both_ways(2, || {
        let shared = Shared::new(RawReentrantMutex::new(Name::NONE));
        let twice = |shared: &Shared<RawReentrantMutex>, number| {
            wait(&*shared.mutex, ReentrantLockCall::new(owner(number)));
            assert!(shared.mutex.try_lock(owner(number)));
            shared.data.add();
            assert_eq!(shared.mutex.release(owner(number)), Ok(false));
            shared.data.add();
            assert_eq!(shared.mutex.recursion_count(owner(number)), 1);
            assert_eq!(shared.mutex.release(owner(number)), Ok(true));
        };
        let other = start(&shared, move |shared| twice(shared, 1));
        twice(&shared, 2);
        other.join().unwrap();
        assert_eq!(shared.data.get(), 4);
        assert_eq!((shared.mutex.is_locked(), shared.mutex.statistics().0), (false, 0));
    });
}
