//! Pools of processes: results, ends of all kinds, limits, and what is left behind.

use std::os::unix::process::ExitStatusExt;
use std::process::exit;
use std::time::Duration;

use oneloom::pool::{Limits, ProcessPool, Settings, TaskError};
use oneloom::process::Functions;
use oneloom::shared::Queue;

use crate::harness::{descriptors, eventually, tests};

tests![
    a_pool_s_results_come_back,
    large_arguments_and_results_go_through_a_pool_whole,
    a_pool_s_future_can_be_awaited_or_looked_at,
    a_panic_in_a_pool_is_told_with_its_message,
    a_worker_that_exits_costs_its_task_alone,
    a_pool_s_task_is_tried_again,
    a_pool_s_task_may_take_only_so_long,
    a_pool_s_task_can_be_cancelled_even_while_it_runs,
    a_pool_s_worker_is_replaced_after_its_tasks,
    a_function_that_the_pool_can_not_run_is_told,
    a_pool_that_was_shut_down_takes_no_tasks,
    a_terminated_pool_ends_its_tasks,
    nothing_is_left_behind_by_pools,
];

pub fn register(functions: &mut Functions) {
    functions.add(square);
    functions.add(reversed);
    functions.add(fail);
    functions.add(leave);
    functions.add(stay);
    functions.add(who);
    functions.add(third_time);
}

fn square(number: u64) -> u64 {
    number * number
}

fn reversed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.reverse();
    bytes
}

fn fail(why: String) {
    panic!("{why}")
}

fn leave(status: i32) {
    exit(status)
}

fn stay(begun: Option<Queue<u32>>) {
    if let Some(begun) = begun {
        begun.put(&std::process::id()).expect("room");
    }
    loop {
        std::thread::park();
    }
}

fn who(_: ()) -> u32 {
    std::process::id()
}

fn third_time(runs: Queue<u32>) -> usize {
    runs.put(&1).expect("room");
    let so_far = runs.len().expect("a queue");
    assert!(so_far >= 3, "run {so_far}");
    so_far
}

fn pool(workers: usize) -> ProcessPool {
    ProcessPool::new(workers).expect("a pool")
}

fn a_pool_s_results_come_back() {
    let pool = pool(2);
    let squares: Vec<_> = (0..500).map(|number| pool.submit(square, number)).collect();
    for (number, future) in (0..).zip(squares) {
        assert_eq!(future.wait(), Ok(number * number));
    }
    assert!((0..500).all(|number| pool.submit(square, number).wait() == Ok(number * number)));
}

fn large_arguments_and_results_go_through_a_pool_whole() {
    let pool = pool(1);
    for length in [0, 4000, 5000, 3 << 20] {
        let bytes: Vec<u8> = (0..length).map(|index| index as u8).collect();
        let mut expected = bytes.clone();
        expected.reverse();
        assert_eq!(pool.submit(reversed, bytes).wait(), Ok(expected));
    }
}

fn a_pool_s_future_can_be_awaited_or_looked_at() {
    let pool = pool(1);
    assert_eq!(pollster::block_on(pool.submit(square, 3)), Ok(9));
    let mut future = pool.submit(square, 4);
    let result = loop {
        match future.try_wait() {
            Ok(result) => break result,
            Err(pending) => future = pending,
        }
    };
    assert_eq!(result, Ok(16));
    let stays = pool.submit(stay, None).wait_timeout(Duration::from_millis(1)).expect_err("no end");
    assert!(stays.cancel_running());
}

fn a_panic_in_a_pool_is_told_with_its_message() {
    let pool = pool(1);
    assert_eq!(pool.submit(fail, "no".into()).wait(), Err(TaskError::Panicked("no".into())));
    assert_eq!(pool.submit(square, 2).wait(), Ok(4));
}

fn a_worker_that_exits_costs_its_task_alone() {
    let pool = pool(1);
    let before: Vec<_> = (0..20).map(|number| pool.submit(square, number)).collect();
    let left = pool.submit(leave, 3);
    let after: Vec<_> = (0..20).map(|number| pool.submit(square, number)).collect();
    assert!(before.into_iter().chain(after).all(|future| future.wait().is_ok()));
    match left.wait() {
        Err(TaskError::Died { pid, status }) => assert!(pid != 0 && status.code() == Some(3)),
        other => panic!("{other:?}"),
    }
}

fn a_pool_s_task_is_tried_again() {
    let (pool, runs) = (pool(1), Queue::new().expect("a queue"));
    let limits = |retries| Limits { timeout: None, retries };
    let failed = pool.submit_with(limits(1), third_time, runs.clone()).wait();
    assert_eq!(failed, Err(TaskError::Panicked("run 2".into())));
    assert_eq!(pool.submit_with(limits(1), third_time, runs).wait(), Ok(3));
}

fn a_pool_s_task_may_take_only_so_long() {
    let pool = pool(1);
    let limits = Limits { timeout: Some(Duration::from_millis(20)), retries: 1 };
    let late = pool.submit_with(limits, stay, None);
    let fine = pool.submit(square, 5);
    assert_eq!(late.wait(), Err(TaskError::TimedOut));
    assert_eq!(fine.wait(), Ok(25));
}

fn a_pool_s_task_can_be_cancelled_even_while_it_runs() {
    let (pool, begun) = (pool(1), Queue::new().expect("a queue"));
    let running = pool.submit(stay, Some(begun.clone()));
    let pid = begun.get().expect("a worker");
    let waiting = pool.submit(square, 5);
    let behind = pool.submit(square, 6);
    assert!(waiting.cancel() && !waiting.cancel());
    assert!(!running.cancel(), "it runs");
    assert!(running.cancel_running());
    assert_eq!(running.wait(), Err(TaskError::Cancelled));
    assert_eq!(waiting.wait(), Err(TaskError::Cancelled));
    assert_eq!(behind.wait(), Ok(36));
    assert_ne!(pool.processes(), [pid]);
}

fn a_pool_s_worker_is_replaced_after_its_tasks() {
    let pool =
        ProcessPool::with_settings(Settings { workers: 1, tasks_per_worker: Some(2) }).expect("a pool");
    let mut workers: Vec<_> = (0..6).map(|_| pool.submit(who, ()).wait().expect("a worker")).collect();
    workers.dedup();
    assert_eq!(workers.len(), 3);
}

fn a_function_that_the_pool_can_not_run_is_told() {
    match pool(1).submit(|number: u64| number, 1).wait() {
        Err(TaskError::NotRun(why)) => assert!(why.contains("was not told of"), "{why}"),
        other => panic!("{other:?}"),
    }
}

fn a_pool_that_was_shut_down_takes_no_tasks() {
    let pool = pool(1);
    let last = pool.submit(square, 7);
    pool.shutdown();
    assert_eq!(pool.submit(square, 8).wait(), Err(TaskError::PoolEnded));
    assert_eq!(last.wait(), Ok(49));
}

fn a_terminated_pool_ends_its_tasks() {
    let (pool, begun) = (pool(1), Queue::new().expect("a queue"));
    let running = pool.submit(stay, Some(begun.clone()));
    begun.get().expect("a worker");
    let waiting = pool.submit(square, 5);
    pool.terminate();
    assert_eq!(running.wait(), Err(TaskError::Cancelled));
    assert_eq!(waiting.wait(), Err(TaskError::Cancelled));
}

fn nothing_is_left_behind_by_pools() {
    let threads = || std::fs::read_dir("/proc/self/task").expect("a /proc").count();
    let left = || (descriptors(), threads());
    let live = || {
        let pool = pool(2);
        assert_eq!(pool.submit(square, 5).wait(), Ok(25));
        let died = pool.submit(leave, 1).wait();
        assert!(matches!(died, Err(TaskError::Died { status, .. }) if status.signal().is_none()));
    };
    live();
    // What is there now, may be less in a moment: threads end after what they were for.
    let before = left();
    (0..10).for_each(|_| live());
    eventually("nothing is left", || left().0 <= before.0 && left().1 <= before.1);
}
