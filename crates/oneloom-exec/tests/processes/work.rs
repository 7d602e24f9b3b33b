//! Tasks that are done: their answers, their order, and what goes with them.

use std::time::Duration;

use oneloom_exec::packet::Packet;
use oneloom_exec::task::{End, Failure, Limits, Report};

use crate::harness::{eventually, tests};
use crate::support::{Handle, PLAIN, Works, number};
use crate::worker::task;

tests!(
    every_task_is_answered_by_some_worker,
    large_tasks_and_answers_come_whole,
    a_failure_is_the_last_of_as_many_runs_as_are_allowed,
    what_fails_for_good_is_not_tried_again,
    tasks_that_were_submitted_by_many_threads_are_all_done,
    workers_are_launched_for_tasks_and_up_to_the_limit,
    what_a_worker_hands_on_comes_in_order,
    a_report_that_panics_is_in_nobodys_way,
    who_waits_may_read_the_mail_itself,
    several_who_would_read_the_mail_are_in_nobodys_way,
    who_reads_the_mail_learns_of_deaths_and_time_limits,
);

fn every_task_is_answered_by_some_worker() {
    let works = Works::new(2);
    let handles: Vec<_> = (0..3000).map(|number| works.ask(task::ECHO, number)).collect();
    for (number, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.answer(), number as u64);
    }
    assert_eq!(works.pool.counts().pending + works.pool.counts().running, 0);
    works.pool.shut_down(false);
    works.join();
    assert!(works.try_submit(PLAIN, task::ECHO, 1, &[]).is_err());
}

fn large_tasks_and_answers_come_whole() {
    let works = Works::new(2);
    for length in [0, 1, 4000, 4063, 4064, 5000, 1 << 20] {
        let content: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
        assert_eq!(works.submit(PLAIN, task::LENGTH, 0, &content).answer(), length as u64);
        let again = Limits { retries: 1, ..PLAIN };
        assert_eq!(works.submit(again, task::LENGTH, 0, &content).answer(), length as u64);
        let End::Succeeded(reply) = works.ask(task::BYTES, length as u64).end() else { panic!("no success") };
        assert_eq!(reply.packet.bytes().expect("its bytes"), content);
        assert_eq!(reply.packet.mark(), u32::from(task::BYTES));
    }
}

fn a_failure_is_the_last_of_as_many_runs_as_are_allowed() {
    let works = Works::new(2);
    let name = format!("/dev/shm/oneloom-exec-{}", std::process::id());
    let count = |retries, needed| {
        works.submit(Limits { timeout: None, retries }, task::COUNT, needed, name.as_bytes())
    };
    let End::Failed(reply) = count(2, 4).end() else { panic!("no failure") };
    assert_eq!(number(&reply.packet), 3);
    assert_eq!(count(5, 5).answer(), 5);
    std::fs::remove_file(name).expect("the file");
}

fn what_fails_for_good_is_not_tried_again() {
    let works = Works::new(1);
    let limits = Limits { timeout: None, retries: 1000 };
    let End::Failed(reply) = works.submit(limits, task::FAIL_FOR_GOOD, 7, &[]).end() else {
        panic!("no failure")
    };
    assert_eq!(number(&reply.packet), 7);
    assert!(!reply.took.is_zero() && reply.pid != 0);
}

fn tasks_that_were_submitted_by_many_threads_are_all_done() {
    let works = Works::new(2);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let works = &works;
            scope.spawn(move || {
                for number in 0..200 {
                    assert_eq!(
                        works.ask(task::ECHO, thread * 1000 + number).answer(),
                        thread * 1000 + number
                    );
                }
            });
        }
    });
}

fn workers_are_launched_for_tasks_and_up_to_the_limit() {
    let works = Works::new(3);
    assert_eq!(works.pool.counts().workers, 0);
    for _ in 0..20 {
        works.ask(task::ECHO, 1).answer();
    }
    assert_eq!(works.pool.counts().workers, 1, "a worker that is free needs no other");
    let handles: Vec<_> = (0..10).map(|_| works.ask(task::SLEEP, 20)).collect();
    handles.into_iter().for_each(|handle| assert_eq!(handle.answer(), 20));
    assert_eq!(works.pool.counts().workers, 3);
    let works = Works::new(2);
    works.pool.launch(7);
    eventually("the workers are there", || works.pool.workers().len() == 2);
}

fn what_a_worker_hands_on_comes_in_order() {
    let works = Works::new(1);
    let handles: Vec<_> = (0..100).map(|number| works.ask(task::RECORD, number)).collect();
    assert!(handles.into_iter().map(Handle::answer).eq(0..100));
    assert!((0..100).eq(works.program.records.lock().expect("no panic").iter().copied()));
}

struct Panics;

impl Report for Panics {
    fn ended(self: Box<Self>, _end: End) {
        panic!("as it is to");
    }
}

fn a_report_that_panics_is_in_nobodys_way() {
    let works = Works::new(1);
    for number in 0..3 {
        let packet = Packet::copy_of(works.pool.segment(), &[&[task::ECHO; 9]], 0).expect("memory");
        works.pool.submit(packet, PLAIN, Box::new(Panics)).expect("a pool that takes tasks");
        assert_eq!(works.ask(task::ECHO, number).answer(), number);
    }
}

fn who_waits_may_read_the_mail_itself() {
    let works = Works::new(2);
    for number in 0..2000 {
        let handle = works.ask(task::ECHO, number);
        assert_eq!(handle.help(&works).answer(), number);
        // Others are not kept waiting by whoever left.
        if number % 100 == 0 {
            assert_eq!(works.ask(task::ECHO, number).answer(), number);
        }
    }
}

fn several_who_would_read_the_mail_are_in_nobodys_way() {
    let works = Works::new(2);
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let works = &works;
            scope.spawn(move || {
                for number in 0..300 {
                    let handle = works.ask(task::ECHO, thread * 1000 + number);
                    let handle = if number % 3 == 0 { handle } else { handle.help(works) };
                    assert_eq!(handle.answer(), thread * 1000 + number);
                }
            });
        }
    });
}

fn who_reads_the_mail_learns_of_deaths_and_time_limits() {
    let works = Works::new(1);
    for _ in 0..20 {
        (0..20).for_each(|number| assert_eq!(works.ask(task::ECHO, number).help(&works).answer(), number));
        assert!(matches!(works.ask(task::EXIT, 1).help(&works).failure(), Failure::Died { .. }));
        let limits = Limits { timeout: Some(Duration::from_millis(1)), retries: 0 };
        let late = works.submit(limits, task::SLEEP, 100_000, &[]).help(&works);
        assert!(matches!(late.failure(), Failure::TimedOut { .. }));
    }
    works.pool.shut_down(false);
    works.join();
}
