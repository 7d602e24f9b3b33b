//! The priority queue.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use oneloom_sync::raw::queue::{GetCall, JoinCall, ReserveCall, ShutDown};
use oneloom_sync::raw::{Name, RawPriorityQueue, Reentered, SortCall, Unput};
use oneloom_wait::owner::Owner;
use oneloom_wait::wait::Primitive;

use crate::harness::{Polled, Random, eventually, me, wait, wait_for};

type Queue = RawPriorityQueue<u32>;
type Less = fn(&u32, &u32) -> Result<bool, &'static str>;

const LESS: Less = |left, right| Ok(left < right);
const FAILS: Less = |_, _| Err("incomparable");

fn put_with(queue: &Queue, item: u32, less: Less) -> Result<(), Unput<u32, &'static str>> {
    if wait(queue.flow(), ReserveCall::default()).is_err() {
        return Err(Unput::ShutDown(item));
    }
    wait(queue, SortCall::new(me())).unwrap();
    queue.sorting(me()).unwrap().put(item, less)
}

fn put(queue: &Queue, item: u32) {
    put_with(queue, item, LESS).unwrap();
}

fn get_with(queue: &Queue, less: Less) -> Result<u32, &'static str> {
    wait(queue.flow(), GetCall::default()).map_err(|ShutDown| "shut down")?;
    wait(queue, SortCall::new(me())).unwrap();
    queue.sorting(me()).unwrap().get(less).map(|item| item.expect("a token stands for an item"))
}

fn get(queue: &Queue) -> u32 {
    get_with(queue, LESS).unwrap()
}

fn queue(maxsize: usize) -> Queue {
    Queue::new(maxsize, Name::NONE)
}

#[test]
fn the_least_comes_first() {
    let queue = queue(0);
    for item in [5, 1, 4, 1, 3] {
        put(&queue, item);
    }
    assert_eq!(queue.flow().len(), 5);
    assert_eq!([(); 5].map(|()| get(&queue)), [1, 1, 3, 4, 5]);
    assert!(queue.flow().is_empty());
    assert_eq!(queue.flow().unfinished(), 5);
}

#[test]
fn a_put_whose_comparison_fails_gives_the_item_and_the_place_back() {
    let queue = queue(2);
    put(&queue, 2);
    assert_eq!(put_with(&queue, 1, FAILS), Err(Unput::Compare(1, "incomparable")));
    assert_eq!((queue.flow().len(), queue.flow().unfinished()), (1, 1));
    put(&queue, 3);
    assert_eq!(wait_for(queue.flow(), ReserveCall::default(), Duration::ZERO), None, "it is full");
    assert_eq!((get(&queue), get(&queue)), (2, 3));
}

#[test]
fn a_get_whose_comparison_fails_leaves_the_item() {
    let queue = queue(0);
    for item in [4, 2, 6, 1] {
        put(&queue, item);
    }
    assert_eq!(get_with(&queue, FAILS), Err("incomparable"));
    assert_eq!(queue.flow().len(), 4);
    assert_eq!([(); 4].map(|()| get(&queue)), [1, 2, 4, 6]);
}

#[test]
fn a_comparison_that_panics_loses_only_what_was_being_put() {
    let queue = queue(3);
    for item in [3, 1, 2] {
        put(&queue, item);
    }
    let panics: Less = |_, _| std::panic::resume_unwind(Box::new(()));
    let caught = |act: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).is_err();
    assert!(caught(&|| _ = get_with(&queue, panics)));
    assert_eq!(queue.flow().len(), 3);
    assert_eq!(get(&queue), 1);
    assert!(caught(&|| _ = put_with(&queue, 9, panics)));
    assert_eq!(queue.flow().len(), 2);
    put(&queue, 0);
    assert_eq!([(); 3].map(|()| get(&queue)), [0, 2, 3]);
}

#[test]
fn whoever_compares_is_refused_by_the_same_queue() {
    let queue = queue(0);
    put(&queue, 1);
    wait(queue.flow(), ReserveCall::default()).unwrap();
    let mut sorting = queue.try_sort(me()).unwrap().unwrap();
    let put = sorting.put(2, |left, right| {
        assert!(matches!(queue.try_sort(me()), Err(Reentered)));
        assert_eq!(wait(&queue, SortCall::new(me())), Err(Reentered));
        Ok::<_, ()>(left < right)
    });
    assert_eq!(put, Ok(()));
    drop(sorting);
    assert_eq!((get(&queue), get(&queue)), (1, 2));
}

#[test]
fn others_wait_until_the_comparison_is_over() {
    let queue = Arc::new(queue(0));
    let sorting = queue.try_sort(me()).unwrap().unwrap();
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            assert!(matches!(queue.try_sort(me()), Ok(None)));
            put(&queue, 7);
        });
        eventually("the other waits", || queue.gate().enter().waiters.len() == 1);
        assert_eq!(wait_for(&queue, SortCall::new(Owner::NOBODY), Duration::from_millis(5)), None);
        assert!(queue.flow().is_empty());
        drop(sorting);
        other.join().unwrap();
    });
    assert_eq!(get(&queue), 7);
}

#[test]
fn an_order_that_is_not_wanted_passes_on() {
    let queue = Arc::new(queue(0));
    let sorting = queue.try_sort(me()).unwrap().unwrap();
    let unwanted = Polled::waiting(&queue, SortCall::new(Owner::NOBODY));
    crate::harness::starve();
    drop(sorting);
    drop(unwanted);
    assert!(queue.try_sort(me()).unwrap().is_some());
    wait(&queue, SortCall::new(me())).unwrap();
    queue.pass_on(me());
    assert!(queue.sorting(me()).is_none(), "it was passed on");
    put(&queue, 1);
}

#[test]
fn nothing_is_put_after_the_end() {
    let queue = queue(0);
    put(&queue, 1);
    wait(queue.flow(), ReserveCall::default()).unwrap();
    let mut sorting = queue.try_sort(me()).unwrap().unwrap();
    assert_eq!(sorting.shut_down(false), []);
    assert_eq!(sorting.put(2, LESS), Err(Unput::ShutDown(2)));
    drop(sorting);
    assert_eq!(put_with(&queue, 3, LESS), Err(Unput::ShutDown(3)));
    assert_eq!(get(&queue), 1);
    assert_eq!(get_with(&queue, LESS), Err("shut down"));
}

#[test]
fn an_immediate_end_leaves_items_for_those_who_have_a_token() {
    let queue = queue(0);
    for item in [3, 1, 2] {
        put(&queue, item);
    }
    wait(queue.flow(), GetCall::default()).unwrap();
    let mut sorting = queue.try_sort(me()).unwrap().unwrap();
    assert_eq!(sorting.shut_down(true).len(), 2);
    assert_eq!(sorting.get(LESS), Ok(Some(1)));
    drop(sorting);
    queue.flow().task_done().unwrap();
    wait(queue.flow(), JoinCall::default());
}

#[test]
fn one_who_ended_while_sorting_takes_the_items_along_and_nothing_hangs() {
    let queue = Arc::new(queue(4));
    for item in [3, 1, 2] {
        put(&queue, item);
    }
    let left_behind = queue.clone();
    // As the child of a fork sees a thread of its parent that was sorting.
    thread::spawn(move || {
        wait(left_behind.flow(), GetCall::default()).unwrap();
        std::mem::forget(left_behind.try_sort(me()).unwrap().unwrap());
    })
    .join()
    .unwrap();
    assert_eq!(queue.flow().len(), 2);
    put(&queue, 7);
    assert_eq!((queue.flow().len(), queue.flow().unfinished()), (1, 2));
    assert_eq!(get(&queue), 7);
}

#[test]
fn one_who_ended_just_before_sorting_takes_nothing_along() {
    let queue = Arc::new(queue(0));
    for item in [3, 1, 2] {
        put(&queue, item);
    }
    let left_behind = queue.clone();
    thread::spawn(move || {
        wait(left_behind.flow(), GetCall::default()).unwrap();
        wait(&left_behind, SortCall::new(me())).unwrap();
    })
    .join()
    .unwrap();
    assert!(queue.try_sort(me()).unwrap().is_some());
    assert_eq!([(); 3].map(|()| get(&queue)), [1, 2, 3], "its token is there again");
}

#[test]
fn a_collector_sees_and_takes_every_item() {
    let queue = queue(0);
    for item in [3, 1, 2] {
        put(&queue, item);
    }
    let mut seen = 0;
    queue.for_each(|item| seen += item);
    assert_eq!(seen, 6);
    assert_eq!(queue.clear().len(), 3);
    assert!(queue.flow().is_empty());
    put(&queue, 4);
    assert_eq!(get(&queue), 4);
}

#[test]
fn threads_get_exactly_what_threads_put() {
    const EACH: u32 = 1_500;
    let mut random = Random::new(11);
    let queue = queue(8);
    let mut got = thread::scope(|scope| {
        for _ in 0..2 {
            let (queue, mut random) = (&queue, random.split());
            scope.spawn(move || {
                for item in 0..EACH {
                    let less = if random.below(10) == 0 { FAILS } else { LESS };
                    if put_with(queue, item, less).is_err() {
                        put(queue, item);
                    }
                }
            });
        }
        let getters: Vec<_> = (0..2)
            .map(|_| {
                let (queue, mut random) = (&queue, random.split());
                let get_one = move |_| {
                    let less = if random.below(10) == 0 { FAILS } else { LESS };
                    get_with(queue, less).unwrap_or_else(|_| get(queue))
                };
                scope.spawn(move || (0..EACH).map(get_one).collect::<Vec<_>>())
            })
            .collect();
        getters.into_iter().flat_map(|getter| getter.join().unwrap()).collect::<Vec<_>>()
    });
    got.sort_unstable();
    let expected: Vec<_> = (0..EACH).flat_map(|item| [item, item]).collect();
    assert_eq!(got, expected);
    assert!(queue.flow().is_empty());
}
