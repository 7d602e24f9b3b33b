//! The queues are linearizable: what real threads were answered can be explained by one order of their calls.
//! Every history is searched completely. Faulty queues are caught by the same search.

#![cfg(not(any(loom, shuttle)))]

mod support;

use oneloom_sync::raw::queue::{Fifo, Lifo, Store};
use support::history::{Answer, Event, Operation, Order, Refusals, Sequential, is_linearizable};
use support::programs::{Random, random_program, run};
use support::{rounds, seed};

const THREADS: usize = 4;
const CALLS: usize = 6;

/// Runs random programs until a history can't be explained; how many of them could.
fn explained<S: Store<Item = u32> + 'static>(order: Order, maxsize: usize, histories: usize) -> usize {
    let seed = seed();
    let mut random = Random::new(seed);
    (0..histories)
        .take_while(|_| {
            let threads = 2 + random.below(THREADS as u64 - 1) as usize;
            let history = run::<S>(&random_program(&mut random, threads, CALLS), maxsize);
            let explained =
                is_linearizable(&history, &Sequential::new(order, maxsize), Refusals::WhileOthersWait);
            if !explained {
                println!("not linearizable (ONELOOM_SEED={seed}): {history:#?}");
            }
            explained
        })
        .count()
}

fn all_are_explained<S: Store<Item = u32> + 'static>(order: Order, maxsize: usize) {
    let histories = rounds(1000);
    assert_eq!(explained::<S>(order, maxsize, histories), histories);
}

#[test]
fn stress_an_unbounded_queue_gives_first_what_came_first() {
    all_are_explained::<Fifo<u32>>(Order::Fifo, 0);
}

#[test]
fn stress_a_queue_for_one_item_gives_first_what_came_first() {
    all_are_explained::<Fifo<u32>>(Order::Fifo, 1);
}

#[test]
fn stress_a_bounded_queue_gives_first_what_came_first() {
    all_are_explained::<Fifo<u32>>(Order::Fifo, 3);
}

#[test]
fn stress_an_unbounded_lifo_queue_gives_first_what_came_last() {
    all_are_explained::<Lifo<u32>>(Order::Lifo, 0);
}

#[test]
fn stress_a_bounded_lifo_queue_gives_first_what_came_last() {
    all_are_explained::<Lifo<u32>>(Order::Lifo, 2);
}

/// A queue that gives every third item out of turn.
#[derive(Default)]
struct Swaps(Vec<u32>, u32);

impl Store for Swaps {
    type Item = u32;
    const KIND: &'static str = "Swaps";

    fn push(&mut self, item: u32) {
        self.0.push(item);
    }

    fn pop(&mut self) -> Option<u32> {
        self.1 += 1;
        let place = usize::from(self.1 % 3 == 0 && self.0.len() > 1);
        (!self.0.is_empty()).then(|| self.0.remove(place))
    }

    fn for_each(&self, look: &mut dyn FnMut(&u32)) {
        self.0.iter().for_each(look);
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// A queue that gives every fifth item twice.
#[derive(Default)]
struct Doubles(Vec<u32>, u32);

impl Store for Doubles {
    type Item = u32;
    const KIND: &'static str = "Doubles";

    fn push(&mut self, item: u32) {
        self.1 += 1;
        self.0.extend(std::iter::repeat_n(item, if self.1 % 5 == 0 { 2 } else { 1 }));
    }

    fn pop(&mut self) -> Option<u32> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }

    fn for_each(&self, look: &mut dyn FnMut(&u32)) {
        self.0.iter().for_each(look);
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// A queue that loses every fifth item.
#[derive(Default)]
struct Loses(Doubles);

impl Store for Loses {
    type Item = u32;
    const KIND: &'static str = "Loses";

    fn push(&mut self, item: u32) {
        self.0.1 += 1;
        if self.0.1 % 5 != 0 {
            self.0.0.push(item);
        }
    }

    fn pop(&mut self) -> Option<u32> {
        self.0.pop()
    }

    fn for_each(&self, look: &mut dyn FnMut(&u32)) {
        self.0.for_each(look);
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

#[test]
fn a_queue_that_swaps_items_is_caught() {
    assert!(explained::<Swaps>(Order::Fifo, 0, 400) < 400);
}

#[test]
fn a_queue_that_gives_an_item_twice_is_caught() {
    assert!(explained::<Doubles>(Order::Fifo, 0, 400) < 400);
}

#[test]
fn a_queue_that_loses_an_item_is_caught() {
    assert!(explained::<Loses>(Order::Fifo, 0, 400) < 400);
}

#[test]
fn a_queue_of_the_other_order_is_caught() {
    assert!(explained::<Lifo<u32>>(Order::Fifo, 0, 400) < 400);
}

#[test]
fn calls_that_overlap_may_come_in_either_order_and_others_may_not() {
    let event = |began, ended, operation, answer| Event { thread: 0, began, ended, operation, answer };
    let empty = Sequential::new(Order::Fifo, 0);
    let overlapping = [
        event(0, 3, Operation::Put(1), Answer::Done),
        event(1, 2, Operation::TryGet, Answer::NotNow),
        event(4, 5, Operation::TryGet, Answer::Item(1)),
    ];
    assert!(is_linearizable(&overlapping, &empty, Refusals::Exact));
    let mut apart = overlapping;
    (apart[0].ended, apart[1].began, apart[1].ended) = (1, 2, 3);
    assert!(!is_linearizable(&apart, &empty, Refusals::WhileOthersWait));
}
