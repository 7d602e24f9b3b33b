//! A queue that is handed over: the heir gets everything once, whoever waits is sent on, and nothing stays behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use oneloom_sync::raw::queue::{
    ClaimCall, Fifo, GetCall, JoinCall, Legacy, Lifo, PutCall, RawQueue, ReserveCall, ShutDown, Store,
};
use oneloom_sync::raw::{Name, RawPriorityQueue, SortCall, Unput};

use crate::harness::{Polled, Random, me, wait};

fn filled<S: Store<Item = u32>>(maxsize: usize, items: &[u32]) -> Arc<RawQueue<S>> {
    let queue = RawQueue::new(maxsize, Name::NONE);
    for item in items {
        wait(&queue, PutCall::new(*item)).unwrap();
    }
    Arc::new(queue)
}

#[test]
fn the_heir_gets_the_items_as_they_stand_the_tally_and_the_end() {
    let queue = filled::<Fifo<u32>>(0, &[1, 2, 3]);
    wait(&queue, GetCall::default()).unwrap();
    let legacy = Legacy { items: vec![2, 3], unfinished: 3, was_shut_down: false };
    assert!(!queue.is_handed_over());
    assert_eq!(queue.hand_over(), Some(legacy));
    assert!(queue.is_handed_over() && queue.is_shut_down() && queue.is_empty());
    assert_eq!((queue.hand_over(), queue.unfinished()), (None, 0));
    assert!(queue.task_done().is_err());

    let stack = filled::<Lifo<u32>>(0, &[1, 2, 3]);
    stack.shut_down(false);
    let legacy = Legacy { items: vec![1, 2, 3], unfinished: 3, was_shut_down: true };
    assert_eq!(stack.hand_over(), Some(legacy));
}

#[test]
fn whoever_waits_is_sent_on() {
    let (empty, full) = (filled::<Fifo<u32>>(1, &[]), filled::<Fifo<u32>>(1, &[0]));
    let mut getter = Polled::new(&empty, GetCall::default());
    let mut putter = Polled::new(&full, PutCall::new(1));
    let mut joiner = Polled::new(&full, JoinCall::default());
    assert!(getter.poll().is_none() && putter.poll().is_none() && joiner.poll().is_none());
    assert!(empty.hand_over().is_some() && full.hand_over().is_some());
    assert_eq!((getter.finish(), putter.finish()), (Err(ShutDown), Err(ShutDown)));
    joiner.finish();
    assert_eq!(wait(&empty, PutCall::new(2)), Err(ShutDown));
    assert_eq!(wait(&full, GetCall::default()), Err(ShutDown));
}

#[test]
fn an_item_that_was_claimed_stands_there_until_it_is_redeemed_or_handed_over() {
    let queue = filled::<Fifo<u32>>(0, &[1, 2]);
    wait(&queue, ClaimCall::default()).unwrap();
    assert_eq!((queue.len(), wait(&queue, GetCall::default())), (2, Ok(1)));
    let mut getter = Polled::new(&queue, GetCall::default());
    assert!(getter.poll().is_none(), "the other one is promised");
    assert_eq!(queue.redeem(), Some(2));
    wait(&queue, PutCall::new(3)).unwrap();
    assert_eq!(getter.finish(), Ok(3));

    wait(&queue, PutCall::new(4)).unwrap();
    wait(&queue, ClaimCall::default()).unwrap();
    assert_eq!(queue.hand_over().map(|legacy| legacy.items), Some(vec![4]));
    assert_eq!((queue.redeem(), wait(&queue, ClaimCall::default())), (None, Err(ShutDown)));
}

#[test]
fn a_priority_queue_refuses_who_has_a_place_and_has_nothing_for_who_has_a_token() {
    let less = |left: &u32, right: &u32| Ok::<_, ()>(left < right);
    let queue = RawPriorityQueue::<u32>::new(0, Name::NONE);
    for item in [3, 1, 2] {
        wait(queue.flow(), ReserveCall::default()).unwrap();
        queue.try_sort(me()).unwrap().unwrap().put(item, less).unwrap();
    }
    wait(queue.flow(), GetCall::default()).unwrap();
    wait(queue.flow(), ReserveCall::default()).unwrap();
    let legacy = queue.try_sort(me()).unwrap().unwrap().hand_over().unwrap();
    assert_eq!((legacy.items, legacy.unfinished), (vec![1, 3, 2], 3));

    wait(&queue, SortCall::new(me())).unwrap();
    let mut sorting = queue.sorting(me()).unwrap();
    assert_eq!(sorting.get(less), Ok(None));
    assert_eq!(sorting.put(4, less), Err(Unput::ShutDown(4)));
    assert_eq!(sorting.hand_over(), None);
    drop(sorting);
    assert!(queue.flow().is_handed_over());
}

#[test]
fn what_threads_put_is_got_refused_or_left_once() {
    const THREADS: usize = 3;
    for seed in 0..40 {
        let queue = filled::<Fifo<u32>>(4, &[]);
        let (put, got, heirs) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let left = AtomicUsize::new(0);
        let mut random = Random::new(seed);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    while wait(&queue, PutCall::new(1)).is_ok() {
                        put.fetch_add(1, Ordering::Relaxed);
                    }
                });
                scope.spawn(|| {
                    while wait(&queue, GetCall::default()).is_ok() {
                        got.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            for _ in 0..2 {
                let pause = random.below(200);
                let (queue, heirs, left) = (&queue, &heirs, &left);
                scope.spawn(move || {
                    (0..pause).for_each(|_| thread::yield_now());
                    if let Some(legacy) = queue.hand_over() {
                        heirs.fetch_add(1, Ordering::Relaxed);
                        left.fetch_add(legacy.items.len(), Ordering::Relaxed);
                    }
                });
            }
        });
        let [put, got, left] = [put, got, left].map(AtomicUsize::into_inner);
        assert_eq!((heirs.into_inner(), put), (1, got + left), "seed {seed}");
    }
}
