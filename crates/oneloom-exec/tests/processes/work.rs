//! Tasks that are done: their answers, their order, and what goes with them.

use oneloom_exec::task::{End, Limits};

use crate::support::{Handle, PLAIN, Works, eventually, number, tests};
use crate::worker::task;

tests!(
    every_task_is_answered_by_some_worker,
    large_tasks_and_answers_come_whole,
    a_failure_is_the_last_of_as_many_runs_as_are_allowed,
    what_fails_for_good_is_not_tried_again,
    tasks_that_were_submitted_by_many_threads_are_all_done,
    workers_are_launched_for_tasks_and_up_to_the_limit,
    what_a_worker_hands_on_comes_in_order,
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
