//! Models of the semaphore: never more inside than there are permits, and no permit is lost on its way.

#![cfg(loom)]

mod support;

use std::sync::Arc;

use loom::future::block_on;
use oneloom_sync::raw::{AcquireCall, Name, OverRelease, RawSemaphore};
use oneloom_wait::gate::Gate;
use oneloom_wait::wait::Primitive;
use support::{Unprotected, check_both_ways, future, poll_once, start, wait, wait_in_time};

fn semaphore(permits: u64, bound: Option<u64>) -> Arc<RawSemaphore> {
    let semaphore = RawSemaphore::new(permits, bound, Name::NONE);
    drop(Gate::enter(semaphore.gate()));
    Arc::new(semaphore)
}

fn rest(semaphore: &RawSemaphore) -> (u64, usize) {
    (semaphore.value(), semaphore.statistics().0)
}

#[test]
fn one_permit_lets_one_in_at_a_time() {
    check_both_ways(2, || {
        let shared = Arc::new((semaphore(1, Some(1)), Unprotected::new()));
        let work = |shared: &(Arc<RawSemaphore>, Unprotected)| {
            wait(&*shared.0, AcquireCall);
            shared.1.add();
            shared.0.release(1).unwrap();
        };
        let others = [(); 2].map(|()| start(&shared, work));
        work(&shared);
        others.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(shared.1.get(), 3);
        assert_eq!(rest(&shared.0), (1, 0));
        assert_eq!(shared.0.release(1), Err(OverRelease));
    });
}

#[test]
fn several_permits_at_once_let_several_go_on() {
    check_both_ways(2, || {
        let semaphore = semaphore(0, None);
        let waiters = [(); 2].map(|()| start(&semaphore, |semaphore| wait(semaphore, AcquireCall)));
        semaphore.release(3).unwrap();
        waiters.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(rest(&semaphore), (1, 0));
    });
}

#[test]
fn a_permit_that_comes_as_the_time_ends_is_taken_or_goes_to_the_next() {
    check_both_ways(2, || {
        let semaphore = semaphore(0, None);
        let timed = start(&semaphore, |semaphore| {
            if wait_in_time(semaphore, AcquireCall).is_some() {
                semaphore.release(1).unwrap();
            }
        });
        let patient = start(&semaphore, |semaphore| wait(semaphore, AcquireCall));
        semaphore.release(1).unwrap();
        timed.join().unwrap();
        patient.join().unwrap();
        assert_eq!(rest(&semaphore), (0, 0));
    });
}

#[test]
fn a_dropped_future_passes_its_permit_on() {
    check_both_ways(2, || {
        let semaphore = semaphore(0, None);
        let mut dropped = future(&semaphore, AcquireCall);
        assert!(poll_once(dropped.as_mut()).is_pending());
        let patient = start(&semaphore, |semaphore| wait(semaphore, AcquireCall));
        let releaser = start(&semaphore, |semaphore| semaphore.release(1).unwrap());
        drop(dropped);
        patient.join().unwrap();
        releaser.join().unwrap();
        assert_eq!(rest(&semaphore), (0, 0));
    });
}

#[test]
fn an_awaited_permit_wakes_its_task() {
    check_both_ways(3, || {
        let semaphore = semaphore(0, None);
        let releaser = start(&semaphore, |semaphore| semaphore.release(1).unwrap());
        block_on(future(&semaphore, AcquireCall));
        releaser.join().unwrap();
        assert_eq!(rest(&semaphore), (0, 0));
    });
}
