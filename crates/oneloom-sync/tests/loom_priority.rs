//! Models of the priority queue: the flow of tokens and the heap agree, whoever compares, and whoever gives up on
//! the way between them.

#![cfg(loom)]

mod support;

use std::cmp::Ordering;
use std::convert::Infallible;
use std::sync::Arc;

use oneloom_sync::raw::queue::{GetCall, ReserveCall};
use oneloom_sync::raw::{Name, RawPriorityQueue, SortCall};
use oneloom_wait::owner::Owner;
use oneloom_wait::owner::modelled::{Owners, act_as};
use support::{check_both_ways, start, wait, wait_in_time};

type Queue = RawPriorityQueue<u32>;

fn less(left: &u32, right: &u32) -> Result<bool, Infallible> {
    Ok(left.cmp(right) == Ordering::Less)
}

fn put(queue: &Queue, me: Owner, item: u32) {
    wait(queue.flow(), ReserveCall::default()).unwrap();
    wait(queue, SortCall::new(me)).unwrap();
    queue.sorting(me).unwrap().put(item, less).unwrap();
}

fn take(queue: &Queue, me: Owner) -> u32 {
    wait(queue, SortCall::new(me)).unwrap();
    queue.sorting(me).unwrap().get(less).unwrap().expect("whoever has a token finds an item")
}

fn get(queue: &Queue, me: Owner) -> u32 {
    wait(queue.flow(), GetCall::default()).unwrap();
    take(queue, me)
}

/// Runs `body` with a queue and three owners; the first is the calling thread.
fn model(maxsize: usize, body: impl Fn(&Arc<Queue>, [Owner; 3]) + Send + Sync + Clone + 'static) {
    check_both_ways(2, move || {
        let owners = Owners::new(3);
        let members = [(); 3].map(|()| owners.thread());
        act_as(members[0]);
        let queue = Arc::new(Queue::new(maxsize, Name::NONE));
        body(&queue, members);
        let statistics = queue.flow().statistics();
        assert_eq!((statistics.waiting_getters, statistics.waiting_putters, queue.flow().len()), (0, 0, 0));
    });
}

#[test]
fn items_put_by_two_come_out_least_first() {
    model(0, |queue, [me, first, second]| {
        let putters = [(first, 2), (second, 1)].map(|(owner, item)| {
            start(queue, move |queue| {
                act_as(owner);
                put(queue, owner, item);
            })
        });
        putters.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!([get(queue, me), get(queue, me)], [1, 2]);
    });
}

#[test]
fn a_place_that_is_given_back_goes_to_the_next() {
    model(1, |queue, [me, putter, _]| {
        wait(queue.flow(), ReserveCall::default()).unwrap();
        let other = start(queue, move |queue| {
            act_as(putter);
            put(queue, putter, 5);
        });
        // As one whose comparison failed, or who was interrupted while others sorted.
        queue.flow().abandon();
        assert_eq!(get(queue, me), 5);
        other.join().unwrap();
    });
}

#[test]
fn a_token_that_is_put_back_goes_to_the_next() {
    model(0, |queue, [me, getter, _]| {
        put(queue, me, 7);
        wait(queue.flow(), GetCall::default()).unwrap();
        let other = start(queue, move |queue| {
            act_as(getter);
            get(queue, getter)
        });
        queue.flow().put_back(());
        assert_eq!(other.join().unwrap(), 7);
    });
}

#[test]
fn one_who_waits_to_sort_in_vain_leaves_the_order_to_the_next() {
    model(0, |queue, [me, timed, patient]| {
        wait(&**queue, SortCall::new(me)).unwrap();
        let gives_up = start(queue, move |queue| {
            act_as(timed);
            if wait_in_time(queue, SortCall::new(timed)).is_some() {
                queue.pass_on(timed);
            }
        });
        let other = start(queue, move |queue| {
            act_as(patient);
            put(queue, patient, 3);
        });
        queue.pass_on(me);
        gives_up.join().unwrap();
        other.join().unwrap();
        assert_eq!(get(queue, me), 3);
    });
}
