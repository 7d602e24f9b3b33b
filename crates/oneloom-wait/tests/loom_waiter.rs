//! Models of the waiters' list and the engine: a permit that was given reaches somebody who wants it, whatever
//! times out, is cancelled or comes in between. A lost wake-up shows as a model in which nobody can go on.

#![cfg(loom)]

mod support;

use std::task::Poll;

use loom::future::block_on;
use loom::thread;
use support::{Permits, check_both_ways, poll_once};

#[test]
fn a_release_ends_a_wait() {
    check_both_ways(3, || {
        let permits = Permits::new(0);
        let waiter = thread::spawn({
            let permits = permits.clone();
            move || permits.acquire()
        });
        permits.release();
        waiter.join().unwrap();
        assert_eq!(permits.rest(), (0, true));
    });
}

#[test]
fn two_releases_end_two_waits() {
    check_both_ways(2, || {
        let permits = Permits::new(0);
        let waiters = [(); 2].map(|()| {
            let permits = permits.clone();
            thread::spawn(move || permits.acquire())
        });
        permits.release();
        permits.release();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert_eq!(permits.rest(), (0, true));
    });
}

#[test]
fn one_who_was_overtaken_waits_on_and_gets_the_next() {
    check_both_ways(2, || {
        let permits = Permits::new(0);
        let waiter = thread::spawn({
            let permits = permits.clone();
            move || permits.acquire()
        });
        permits.release();
        if permits.acquire_in_time() {
            permits.release();
        }
        waiter.join().unwrap();
        assert_eq!(permits.rest(), (0, true));
    });
}

#[test]
fn a_permit_that_comes_as_the_time_ends_is_taken_or_left_for_the_next() {
    check_both_ways(2, || {
        let permits = Permits::new(0);
        let timed = thread::spawn({
            let permits = permits.clone();
            move || {
                if permits.acquire_in_time() {
                    permits.release();
                }
            }
        });
        let patient = thread::spawn({
            let permits = permits.clone();
            move || permits.acquire()
        });
        permits.release();
        timed.join().unwrap();
        patient.join().unwrap();
        assert_eq!(permits.rest(), (0, true));
    });
}

#[test]
fn a_future_is_woken_by_a_release() {
    check_both_ways(3, || {
        let permits = Permits::new(0);
        let releaser = thread::spawn({
            let permits = permits.clone();
            move || permits.release()
        });
        block_on(permits.acquire_future());
        releaser.join().unwrap();
        assert_eq!(permits.rest(), (0, true));
    });
}

#[test]
fn a_dropped_future_passes_on_what_it_had_received() {
    check_both_ways(3, || {
        let permits = Permits::new(0);
        let mut future = permits.acquire_future();
        assert!(poll_once(future.as_mut()).is_pending());
        let patient = thread::spawn({
            let permits = permits.clone();
            move || permits.acquire()
        });
        let releaser = thread::spawn({
            let permits = permits.clone();
            move || permits.release()
        });
        drop(future);
        releaser.join().unwrap();
        patient.join().unwrap();
        assert_eq!(permits.rest(), (0, true));
    });
}

#[test]
fn an_expired_future_keeps_what_it_had_received() {
    check_both_ways(3, || {
        let permits = Permits::new(0);
        let mut future = permits.acquire_future();
        assert!(poll_once(future.as_mut()).is_pending());
        let releaser = thread::spawn({
            let permits = permits.clone();
            move || permits.release()
        });
        let taken = u32::from(future.as_mut().expire().is_ok());
        releaser.join().unwrap();
        assert_eq!(permits.rest(), (1 - taken, true));
    });
}

#[test]
fn a_future_polled_with_another_waker_is_woken_through_that_one() {
    check_both_ways(3, || {
        let permits = Permits::new(0);
        let mut future = permits.acquire_future();
        assert!(poll_once(future.as_mut()).is_pending());
        let releaser = thread::spawn({
            let permits = permits.clone();
            move || permits.release()
        });
        if poll_once(future.as_mut()) == Poll::Pending {
            block_on(future);
        }
        releaser.join().unwrap();
        assert_eq!(permits.rest(), (0, true));
    });
}
