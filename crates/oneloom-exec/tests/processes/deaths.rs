//! Workers that die, by themselves or because their task is to end: what that costs, and whom.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use oneloom_exec::launch::Status;
use oneloom_exec::task::{End, Failure, Limits};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{PATIENCE, eventually, tests};
use crate::support::{Handle, PLAIN, Works, number, stress};
use crate::worker::task;

tests!(
    a_death_costs_the_task_that_ran_and_no_other,
    how_a_worker_ended_is_told,
    a_task_that_kills_every_worker_is_given_up,
    a_task_whose_worker_was_killed_is_tried_again,
    a_time_limit_ends_its_task_and_no_other,
    a_time_limit_counts_from_the_start_of_each_run,
    a_worker_that_was_stopped_is_in_nobodys_way,
    tasks_behind_a_long_one_move_to_others,
    a_task_that_waits_can_be_cancelled,
    a_task_in_a_workers_queue_can_be_cancelled,
    a_task_that_runs_is_cancelled_if_that_is_wanted,
    killed_at_random_instants_workers_take_one_task_each_with_them,
);

fn died(handle: Handle) -> (u32, Status) {
    match handle.failure() {
        Failure::Died { pid, exit } => (pid, exit.status),
        other => panic!("not died: {other:?}"),
    }
}

fn a_death_costs_the_task_that_ran_and_no_other() {
    for workers in [1, 2, 8] {
        let works = Works::new(workers);
        let before: Vec<_> = (0..100).map(|number| works.ask(task::ECHO, number)).collect();
        let deadly = works.ask(task::SIGNAL, 9);
        let after: Vec<_> = (100..200).map(|number| works.ask(task::ECHO, number)).collect();
        assert!(before.into_iter().chain(after).map(Handle::answer).eq(0..200));
        assert_eq!(died(deadly).1, Status::Signal(9));
    }
}

fn how_a_worker_ended_is_told() {
    let works = Works::new(1);
    let pid = works.ask(task::PID, 0).answer();
    assert_eq!(died(works.ask(task::EXIT, 7)), (pid as u32, Status::Code(7)));
    assert_eq!(died(works.ask(task::EXIT, 0)).1, Status::Code(0));
    assert_eq!(died(works.ask(task::SIGNAL, 6)).1, Status::Signal(6));
    assert_ne!(works.ask(task::PID, 0).answer(), pid);
}

fn a_task_that_kills_every_worker_is_given_up() {
    let works = Works::new(2);
    let deadly = works.submit(Limits { timeout: None, retries: 3 }, task::SIGNAL, 9, &[]);
    let others: Vec<_> = (0..50).map(|number| works.ask(task::ECHO, number)).collect();
    assert_eq!(died(deadly).1, Status::Signal(9));
    assert!(others.into_iter().map(Handle::answer).eq(0..50));
    assert!(works.program.launches.load(Ordering::SeqCst) >= 4);
}

fn a_task_whose_worker_was_killed_is_tried_again() {
    let works = Works::new(1);
    let first = works.ask(task::PID, 0).answer();
    let patient = works.submit(Limits { timeout: None, retries: 1 }, task::SLEEP, 100, &[]);
    eventually("it runs", || works.pool.counts().running == 1);
    kill(first as u32);
    assert_eq!(patient.answer(), 100);
    assert_ne!(works.ask(task::PID, 0).answer(), first);
}

fn a_time_limit_ends_its_task_and_no_other() {
    let works = Works::new(2);
    let short = Limits { timeout: Some(Duration::from_millis(30)), retries: 0 };
    let long = Limits { timeout: Some(PATIENCE), retries: 0 };
    let mut fine = Vec::new();
    let mut late = Vec::new();
    for number in 0..8 {
        fine.extend((0..20).map(|_| works.submit(long, task::ECHO, number, &[])));
        late.push(works.submit(short, task::SLEEP, 100_000, &[]));
        fine.extend((0..20).map(|_| works.submit(long, task::ECHO, number, &[])));
    }
    for handle in late {
        assert!(matches!(handle.failure(), Failure::TimedOut { pid } if pid != 0));
    }
    assert!(fine.into_iter().map(Handle::answer).eq((0..8).flat_map(|number| [number; 40])));
}

fn a_time_limit_counts_from_the_start_of_each_run() {
    let works = Works::new(1);
    works.ask(task::ECHO, 1).answer();
    // Together these take longer than any of them may.
    let limit = Limits { timeout: Some(Duration::from_millis(400)), retries: 0 };
    let handles: Vec<_> = (0..10).map(|_| works.submit(limit, task::SLEEP, 50, &[])).collect();
    assert!(handles.into_iter().all(|handle| handle.answer() == 50));
    let started = Instant::now();
    let limit = Limits { timeout: Some(Duration::from_millis(50)), retries: 2 };
    let hopeless = works.submit(limit, task::SLEEP, 100_000, &[]);
    assert!(matches!(hopeless.failure(), Failure::TimedOut { .. }));
    assert!(started.elapsed() >= Duration::from_millis(150), "three runs: {:?}", started.elapsed());
}

fn a_worker_that_was_stopped_is_in_nobodys_way() {
    let works = Works::new(1);
    let stopped = works.ask(task::PID, 0).answer();
    signal(stopped as u32, Signal::STOP);
    let limit = Limits { timeout: Some(Duration::from_millis(100)), retries: 0 };
    let handles: Vec<_> = (0..10).map(|number| works.submit(limit, task::ECHO, number, &[])).collect();
    assert!(handles.into_iter().map(Handle::answer).eq(0..10));
    assert_ne!(works.ask(task::PID, 0).answer(), stopped);
}

fn tasks_behind_a_long_one_move_to_others() {
    let works = Works::new(2);
    works.pool.launch(2);
    eventually("the workers are there", || works.pool.workers().len() == 2);
    // They are fast, so that many are given ahead.
    (0..200).for_each(|number| assert_eq!(works.ask(task::ECHO, number).answer(), number));
    let long = works.ask(task::SLEEP, 100_000);
    let others: Vec<_> = (0..500).map(|number| works.ask(task::ECHO, number)).collect();
    assert!(others.into_iter().map(Handle::answer).eq(0..500));
    assert!(works.pool.cancel(long.id, true));
}

fn a_task_that_waits_can_be_cancelled() {
    let works = Works::new(1);
    let first = works.hold(50);
    let second = works.ask(task::ECHO, 2);
    let third = works.ask(task::ECHO, 3);
    assert!(works.pool.cancel(second.id, false));
    assert!(!works.pool.cancel(second.id, true), "it has ended");
    assert!(matches!(second.failure(), Failure::Cancelled));
    let id = third.id;
    assert_eq!((first.answer(), third.answer()), (50, 3));
    assert!(!works.pool.cancel(id, true), "it has ended");
}

fn a_task_in_a_workers_queue_can_be_cancelled() {
    let works = Works::new(1);
    (0..200).for_each(|number| assert_eq!(works.ask(task::ECHO, number).answer(), number));
    let first = works.hold(300);
    let handles: Vec<_> = (0..20).map(|number| works.ask(task::ECHO, number)).collect();
    let (even, odd): (Vec<_>, Vec<_>) = handles.into_iter().partition(|handle| handle.id.0 % 2 == 0);
    assert!(!even.is_empty() && !odd.is_empty());
    assert!(odd.iter().all(|handle| works.pool.cancel(handle.id, false)));
    assert!(odd.into_iter().all(|handle| matches!(handle.failure(), Failure::Cancelled)));
    assert!(!works.pool.cancel(first.id, false), "it runs");
    assert_eq!(first.answer(), 300);
    even.into_iter().for_each(|handle| drop(handle.end()));
}

fn a_task_that_runs_is_cancelled_if_that_is_wanted() {
    let works = Works::new(1);
    let running = works.submit(Limits { timeout: None, retries: 9 }, task::SLEEP, 100_000, &[]);
    eventually("it runs", || works.pool.counts().running == 1);
    let behind: Vec<_> = (0..10).map(|number| works.ask(task::ECHO, number)).collect();
    assert!(!works.pool.cancel(running.id, false));
    assert!(works.pool.cancel(running.id, true));
    assert!(matches!(running.failure(), Failure::Cancelled));
    assert!(behind.into_iter().map(Handle::answer).eq(0..10));
}

fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

fn signal(pid: u32, signal: Signal) {
    // It may have ended.
    let _ = kill_process(Pid::from_raw(pid as i32).expect("a process"), signal);
}

/// Numbers that look random, from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn killed_at_random_instants_workers_take_one_task_each_with_them() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").as_nanos() as u64;
    let seed = std::env::var("SEED").map_or(now, |seed| seed.parse().expect("a number"));
    println!("SEED={seed}");
    for (round, workers) in [1, 2, 8].into_iter().cycle().take(3 * stress() as usize).enumerate() {
        let works = Works::new(workers);
        let over = AtomicBool::new(false);
        // How many tasks were handed in, and how many have ended.
        let progress = AtomicUsize::new(0);
        let tasks: u64 = 3000;
        let (killed, ends) = std::thread::scope(|scope| {
            let killer = scope.spawn(|| {
                let mut dice = Dice(seed + round as u64);
                let mut killed = Vec::new();
                let mut seen = 0;
                while killed.len() < 20 && !over.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_micros(dice.roll(8000)));
                    let now = progress.load(Ordering::SeqCst);
                    if std::mem::replace(&mut seen, now) == now {
                        // Where workers are slow to begin, nobody would ever get a task.
                        continue;
                    }
                    let there = works.pool.workers();
                    if let Some((_, pid)) = there.get(dice.roll(there.len().max(1) as u64) as usize) {
                        kill(*pid);
                        killed.push(*pid);
                    }
                }
                killed
            });
            let mut dice = Dice(!seed + round as u64);
            let handles: Vec<_> = (0..tasks)
                .inspect(|_| _ = progress.fetch_add(1, Ordering::SeqCst))
                .map(|number| match dice.roll(100) {
                    0 => works.submit(PLAIN, task::BYTES, 5000 + number, &[]),
                    1 => works.submit(PLAIN, task::LENGTH, number, &bytes(5000 + number)),
                    2 => works.ask(task::SLEEP, 1),
                    _ => works.ask(task::ECHO, number),
                })
                .collect();
            let ends = handles.into_iter().map(Handle::end);
            let ends: Vec<End> = ends.inspect(|_| _ = progress.fetch_add(1, Ordering::SeqCst)).collect();
            over.store(true, Ordering::SeqCst);
            (killer.join().expect("no panic"), ends)
        });
        let mut victims = HashMap::new();
        for (task, end) in ends.into_iter().enumerate() {
            match end {
                End::Succeeded(reply) => drop(number(&reply.packet)),
                End::Lost(Failure::Died { pid, .. }) => {
                    assert!(killed.contains(&pid), "{pid} was not killed");
                    assert_eq!(victims.insert(pid, task), None, "{pid} took two tasks with it");
                }
                // Killed before they were ready, three in a row.
                End::Lost(Failure::Refused(_)) => {}
                other => panic!("task {task}: {other:?}"),
            }
        }
        println!("{workers} workers: {} killed, {} tasks with them", killed.len(), victims.len());
    }
}

fn bytes(count: u64) -> Vec<u8> {
    (0..count).map(|byte| byte as u8).collect()
}
