//! Models of the queue: every item that was put is got once, by somebody who still wants it, and every place
//! that becomes free is told to somebody who still has an item.

#![cfg(loom)]

mod support;

use std::sync::Arc;

use loom::future::block_on;
use oneloom_sync::raw::Name;
use oneloom_sync::raw::queue::{
    ClaimCall, Fifo, GetCall, JoinCall, PutCall, RawQueue, ReserveCall, ShutDown,
};
use oneloom_wait::gate::Gate;
use oneloom_wait::wait::{Call, Primitive};
use support::{Unprotected, check, check_both_ways, future, poll_once, start, wait, wait_in_time};

type Queue = RawQueue<Fifo<u32>>;

fn queue(maxsize: usize, items: &[u32]) -> Arc<Queue> {
    let queue = Queue::new(maxsize, Name::NONE);
    drop(Gate::enter(queue.gate()));
    items.iter().for_each(|&item| put(&queue, item));
    Arc::new(queue)
}

fn put(queue: &Queue, item: u32) {
    assert_eq!(wait(queue, PutCall::new(item)), Ok(()));
}

fn get(queue: &Queue) -> u32 {
    wait(queue, GetCall::default()).unwrap()
}

fn rest(queue: &Queue) -> Vec<u32> {
    let statistics = queue.statistics();
    assert_eq!((statistics.waiting_getters, statistics.waiting_putters), (0, 0));
    queue.shut_down(false);
    std::iter::from_fn(|| wait(queue, GetCall::default()).ok()).collect()
}

#[test]
fn an_item_ends_a_get_and_brings_what_was_done_before_it() {
    check_both_ways(3, || {
        let shared = Arc::new((queue(0, &[]), Unprotected::new()));
        let getter = start(&shared, |shared| (get(&shared.0), shared.1.get()));
        shared.1.add();
        put(&shared.0, 7);
        assert_eq!(getter.join().unwrap(), (7, 1));
        assert_eq!(rest(&shared.0), []);
    });
}

#[test]
fn two_putters_share_one_place_and_lose_nothing() {
    check_both_ways(2, || {
        let queue = queue(1, &[]);
        let putters = [1, 2].map(|item| start(&queue, move |queue| put(queue, item)));
        let mut items = [get(&queue), get(&queue)];
        putters.into_iter().for_each(|thread| thread.join().unwrap());
        items.sort_unstable();
        assert_eq!(items, [1, 2]);
        assert_eq!(rest(&queue), []);
    });
}

#[test]
fn an_item_that_comes_as_a_get_times_out_is_taken_or_goes_to_the_next() {
    check_both_ways(2, || {
        let queue = queue(0, &[]);
        let timed = start(&queue, |queue| wait_in_time(queue, GetCall::default()));
        let patient = start(&queue, get);
        put(&queue, 1);
        match timed.join().unwrap() {
            None => assert_eq!(patient.join().unwrap(), 1),
            Some(item) => {
                put(&queue, 2);
                assert_eq!([item.unwrap(), patient.join().unwrap()], [1, 2]);
            }
        }
        assert_eq!(rest(&queue), []);
    });
}

#[test]
fn the_item_of_a_dropped_get_goes_to_the_next() {
    check_both_ways(2, || {
        let queue = queue(0, &[]);
        let mut dropped = future(&queue, GetCall::default());
        assert!(poll_once(dropped.as_mut()).is_pending());
        let patient = start(&queue, get);
        let putter = start(&queue, |queue| put(queue, 1));
        drop(dropped);
        assert_eq!(patient.join().unwrap(), 1);
        putter.join().unwrap();
        assert_eq!(rest(&queue), []);
    });
}

#[test]
fn the_place_of_a_dropped_put_goes_to_the_next_and_its_item_stays_out() {
    check_both_ways(2, || {
        let queue = queue(1, &[1]);
        let mut dropped = future(&queue, PutCall::new(9));
        assert!(poll_once(dropped.as_mut()).is_pending());
        let patient = start(&queue, |queue| put(queue, 2));
        let getter = start(&queue, get);
        drop(dropped);
        assert_eq!(getter.join().unwrap(), 1);
        patient.join().unwrap();
        assert_eq!(rest(&queue), [2]);
    });
}

#[test]
fn a_put_that_times_out_has_put_nothing() {
    check_both_ways(2, || {
        let queue = queue(1, &[1]);
        let timed = start(&queue, |queue| wait_in_time(queue, PutCall::new(2)).is_some());
        assert_eq!(get(&queue), 1);
        let put = timed.join().unwrap();
        assert_eq!(rest(&queue), if put { vec![2] } else { vec![] });
    });
}

#[test]
fn items_of_one_producer_are_got_in_their_order() {
    check(2, || {
        let queue = queue(0, &[]);
        let putter = start(&queue, |queue| [1, 2, 3].into_iter().for_each(|item| put(queue, item)));
        assert_eq!([get(&queue), get(&queue), get(&queue)], [1, 2, 3]);
        putter.join().unwrap();
        assert_eq!(rest(&queue), []);
    });
}

#[test]
fn a_full_queue_refuses_a_put() {
    check(1, || {
        let queue = queue(2, &[1, 2]);
        assert_eq!(PutCall::new(3).attempt(&queue), None);
        assert_eq!(rest(&queue), [1, 2]);
    });
}

#[test]
fn a_bounded_queue_never_takes_more_than_there_are_places() {
    check(3, || {
        let queue = queue(2, &[1, 2]);
        assert_eq!(get(&queue), 1);
        put(&queue, 3);
        let putter = start(&queue, |queue| {
            [4, 5].into_iter().filter(|&item| PutCall::new(item).attempt(queue).is_some()).collect::<Vec<_>>()
        });
        assert_eq!(get(&queue), 2);
        let put = putter.join().unwrap();
        assert!(put.len() <= 1);
        assert_eq!(rest(&queue), [vec![3], put].concat());
    });
}

#[test]
fn an_awaited_item_wakes_its_task() {
    check_both_ways(3, || {
        let queue = queue(0, &[]);
        let putter = start(&queue, |queue| put(queue, 1));
        assert_eq!(block_on(future(&queue, GetCall::default())), Ok(1));
        putter.join().unwrap();
        assert_eq!(rest(&queue), []);
    });
}

#[test]
fn a_reserved_place_is_filled_or_given_back_to_the_next() {
    check_both_ways(2, || {
        let queue = queue(1, &[]);
        assert_eq!(wait(&*queue, ReserveCall::default()), Ok(()));
        let putter = start(&queue, |queue| put(queue, 2));
        let getter = start(&queue, get);
        queue.abandon();
        putter.join().unwrap();
        assert_eq!(getter.join().unwrap(), 2);
        assert_eq!(wait(&*queue, ReserveCall::default()), Ok(()));
        queue.commit(3);
        assert_eq!(rest(&queue), [3]);
    });
}

#[test]
fn a_claimed_item_is_there_for_who_was_promised_it() {
    check(2, || {
        let queue = queue(0, &[]);
        let getter = start(&queue, get);
        let putter = start(&queue, |queue| [1, 2].into_iter().for_each(|item| put(queue, item)));
        assert_eq!(wait(&*queue, ClaimCall::default()), Ok(()));
        let mut items = [queue.redeem().unwrap(), getter.join().unwrap()];
        putter.join().unwrap();
        items.sort_unstable();
        assert_eq!((items, rest(&queue)), ([1, 2], vec![]));
    });
}

#[test]
fn shutting_down_ends_every_wait_and_leaves_what_was_put() {
    check(2, || {
        let queue = queue(1, &[]);
        let getter = start(&queue, |queue| wait(queue, GetCall::default()));
        let putter = start(&queue, |queue| wait(queue, PutCall::new(1)));
        queue.shut_down(false);
        let (got, put) = (getter.join().unwrap(), putter.join().unwrap());
        let left = rest(&queue);
        match put {
            Err(ShutDown) => assert_eq!((got, left), (Err(ShutDown), vec![])),
            Ok(()) => assert!(got == Ok(1) && left.is_empty() || got == Err(ShutDown) && left == [1]),
        }
    });
}

#[test]
fn shutting_down_a_full_queue_refuses_who_waits_to_put() {
    check_both_ways(2, || {
        let queue = queue(1, &[7]);
        let putters = [1, 2].map(|item| start(&queue, move |queue| wait(queue, PutCall::new(item))));
        queue.shut_down(false);
        putters.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), Err(ShutDown)));
        assert_eq!(rest(&queue), [7]);
    });
}

#[test]
fn a_promised_item_is_not_lost_when_the_queue_is_emptied() {
    check_both_ways(2, || {
        let queue = queue(0, &[]);
        let getter = start(&queue, |queue| wait(queue, GetCall::default()));
        let putter = start(&queue, |queue| wait(queue, PutCall::new(1)));
        let dropped = queue.shut_down(true);
        let (got, put) = (getter.join().unwrap(), putter.join().unwrap());
        assert_eq!(usize::from(put.is_ok()), dropped.len() + usize::from(got.is_ok()));
        assert_eq!(rest(&queue), []);
    });
}

#[test]
fn join_ends_when_the_last_item_is_done() {
    check_both_ways(2, || {
        let shared = Arc::new((queue(0, &[1, 2]), Unprotected::new()));
        let joiner = start(&shared, |shared| {
            wait(&*shared.0, JoinCall::default());
            shared.1.get()
        });
        for _ in 0..2 {
            shared.1.add();
            shared.0.task_done().unwrap();
        }
        assert_eq!(joiner.join().unwrap(), 2);
        assert!(shared.0.task_done().is_err());
    });
}

#[test]
fn join_waits_for_what_was_put_meanwhile() {
    check(1, || {
        let queue = queue(0, &[1]);
        let mut joiner = future(&queue, JoinCall::default());
        assert!(poll_once(joiner.as_mut()).is_pending());
        put(&queue, 2);
        put(&queue, 3);
        for _ in 0..3 {
            assert!(poll_once(joiner.as_mut()).is_pending());
            queue.task_done().unwrap();
        }
        assert!(poll_once(joiner.as_mut()).is_ready());
    });
}
