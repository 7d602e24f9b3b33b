//! Models of the gate: one inside at a time, whoever sleeps for it is woken, and what was done inside happens
//! before what the next one does.

#![cfg(loom)]

mod support;

use loom::thread;
use oneloom_wait::gate::{AfterFork, Gate};
use std::sync::Arc;

struct Count(u32);

impl AfterFork for Count {
    fn after_fork(&mut self, _torn: bool) {}
}

/// `threads` enter `times` each, beside the thread that started them.
fn enter_from(threads: u32, times: u32) {
    let gate = Arc::new(Gate::new(Count(0)));
    let pass = move |gate: &Gate<Count>| (0..times).for_each(|_| gate.enter().0 += 1);
    let others: Vec<_> = (1..threads)
        .map(|_| {
            let gate = gate.clone();
            thread::spawn(move || pass(&gate))
        })
        .collect();
    pass(&gate);
    others.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(gate.enter().0, threads * times);
}

#[test]
fn two_threads_are_never_inside_at_once() {
    support::check(4, || enter_from(2, 2));
}

#[test]
fn of_three_threads_that_sleep_for_it_all_get_in() {
    support::check(3, || enter_from(3, 1));
}
