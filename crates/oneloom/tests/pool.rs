//! Pools of threads: what becomes of tasks, and of a pool that ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oneloom::Event;
use oneloom::pool::{TaskError, ThreadPool};

#[test]
fn every_task_gives_its_own_value() {
    let pool = ThreadPool::new(4);
    let futures: Vec<_> = (0..10_000_u64).map(|number| pool.submit(move || number * 2)).collect();
    for (number, future) in (0..).zip(futures) {
        assert_eq!(future.wait(), Ok(number * 2));
    }
}

#[test]
fn a_pool_that_is_dropped_finishes_what_was_submitted() {
    let done = Arc::new(AtomicUsize::new(0));
    let pool = ThreadPool::new(2);
    for _ in 0..100 {
        let done = done.clone();
        drop(pool.submit(move || done.fetch_add(1, Ordering::Relaxed)));
    }
    drop(pool);
    assert_eq!(done.load(Ordering::Relaxed), 100);
}

#[test]
fn a_panic_costs_its_task_alone() {
    let pool = ThreadPool::new(1);
    let panics = pool.submit(|| -> u32 { panic!("on purpose {}", 1) });
    let after = pool.submit(|| 2);
    assert_eq!(panics.wait(), Err(TaskError::Panicked("on purpose 1".into())));
    assert_eq!(after.wait(), Ok(2));
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

#[test]
fn a_value_that_nobody_wants_and_that_panics_when_it_is_dropped_costs_no_worker() {
    let pool = ThreadPool::new(1);
    let go = Arc::new(Event::new());
    let its = go.clone();
    drop(pool.submit(move || {
        its.wait();
        Bomb
    }));
    go.set();
    assert_eq!(pool.submit(|| 2).wait(), Ok(2));
}

#[test]
fn a_pool_that_was_shut_down_takes_nothing() {
    let pool = ThreadPool::new(1);
    let before = pool.submit(|| 1);
    pool.shutdown();
    assert_eq!(pool.submit(|| 2).wait(), Err(TaskError::PoolEnded));
    assert_eq!(before.wait(), Ok(1));
}

#[test]
fn as_many_tasks_run_at_once_as_there_are_workers() {
    let pool = ThreadPool::new(3);
    let meet = Arc::new(oneloom::Barrier::new(3));
    let together: Vec<_> = (0..3)
        .map(|_| {
            let meet = meet.clone();
            pool.submit(move || meet.wait_timeout(Duration::from_secs(30)).is_ok())
        })
        .collect();
    assert!(together.into_iter().all(|future| future.wait() == Ok(true)));
}

#[test]
fn a_future_is_awaited_while_another_thread_runs_the_task() {
    let pool = ThreadPool::new(1);
    let go = Arc::new(Event::new());
    let (its, late) = (go.clone(), pool.submit(|| ()));
    assert_eq!(pollster::block_on(late), Ok(()));
    let waits = pool.submit(move || its.wait());
    let setter = std::thread::spawn(move || go.set());
    assert_eq!(pollster::block_on(waits), Ok(()));
    setter.join().expect("no panic");
}

#[test]
fn tasks_that_wait_for_tasks_behind_them_are_told_and_the_others_go_on() {
    let pool = Arc::new(ThreadPool::new(2));
    let nested: Vec<_> = (0..8)
        .map(|number| {
            let inner = pool.clone();
            pool.submit(move || inner.submit(move || number).wait().expect("no panic"))
        })
        .collect();
    for (number, future) in (0..).zip(nested) {
        match future.wait() {
            Ok(value) => assert_eq!(value, number),
            Err(TaskError::Panicked(message)) => assert!(message.starts_with("deadlock"), "{message}"),
            Err(other) => panic!("{other}"),
        }
    }
}
