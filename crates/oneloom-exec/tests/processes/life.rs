//! Pools from their beginning to their end: workers that can't begin, that are replaced, that are sent home; and what is
//! left then.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use oneloom_exec::packet::Packet;
use oneloom_exec::pool::Pool;
use oneloom_exec::task::{End, Failure, Refusal, Report};
use oneloom_shm::family;
use oneloom_shm::process::{Life, examine};

use crate::harness::{descriptors, eventually, tests};
use crate::support::{Handle, PLAIN, Works, stress};
use crate::worker::{opening, task};

tests!(
    a_worker_that_could_not_be_launched_is_tried_again,
    where_no_worker_can_be_launched_tasks_say_why,
    where_workers_die_before_they_are_ready_tasks_say_how,
    what_a_worker_refuses_no_other_is_asked,
    workers_are_replaced_after_so_many_tasks,
    a_shutdown_lets_every_task_end,
    a_shutdown_may_cancel_what_does_not_run,
    a_pool_that_was_never_used_ends_at_once,
    termination_ends_every_task,
    a_pool_is_over_when_everybody_was_told,
    workers_end_with_their_owner,
    pools_that_were_made_and_ended_leave_nothing,
);

fn refusal(handle: Handle) -> String {
    match handle.failure() {
        Failure::Refused(Refusal::Launch { why, .. }) => why,
        other => panic!("not refused: {other:?}"),
    }
}

fn a_worker_that_could_not_be_launched_is_tried_again() {
    let works = Works::new(1);
    works.program.failing.store(2, Ordering::SeqCst);
    assert_eq!(works.ask(task::ECHO, 1).answer(), 1);
}

fn where_no_worker_can_be_launched_tasks_say_why() {
    let works = Works::new(3);
    works.program.failing.store(1000, Ordering::SeqCst);
    let handles: Vec<_> = (0..5).map(|number| works.ask(task::ECHO, number)).collect();
    handles.into_iter().for_each(|handle| assert!(refusal(handle).contains("it was to fail")));
    works.program.failing.store(0, Ordering::SeqCst);
    assert_eq!(works.ask(task::ECHO, 1).answer(), 1);
}

fn where_workers_die_before_they_are_ready_tasks_say_how() {
    let works = Works::with(2, None, opening::EXIT);
    let handles: Vec<_> = (0..5).map(|number| works.ask(task::ECHO, number)).collect();
    for handle in handles {
        let why = refusal(handle);
        assert!(why.contains("exited with status 3"), "{why}");
    }
    works.pool.shut_down(false);
    works.join();
}

fn what_a_worker_refuses_no_other_is_asked() {
    let works = Works::with(2, None, opening::REFUSE);
    let handles: Vec<_> =
        (0..5).filter_map(|number| works.try_submit(PLAIN, task::ECHO, number, &[]).ok()).collect();
    for handle in handles {
        match handle.failure() {
            Failure::Refused(Refusal::Worker(why)) => assert_eq!(why.bytes().expect("its bytes"), b"no"),
            other => panic!("not refused: {other:?}"),
        }
    }
    assert!(matches!(works.try_submit(PLAIN, task::ECHO, 1, &[]), Err(Refusal::Worker(_))));
}

fn workers_are_replaced_after_so_many_tasks() {
    let works = Works::with(2, Some(3), opening::NONE);
    let handles: Vec<_> = (0..30).map(|_| works.ask(task::PID, 0)).collect();
    let mut tasks = HashMap::new();
    for handle in handles {
        *tasks.entry(handle.answer()).or_insert(0) += 1;
    }
    assert!(tasks.len() >= 10 && tasks.values().all(|count| *count <= 3), "{tasks:?}");
}

fn a_shutdown_lets_every_task_end() {
    let works = Works::new(2);
    let handles: Vec<_> = (0..200).map(|number| works.ask(task::ECHO, number)).collect();
    works.pool.shut_down(false);
    assert!(matches!(works.try_submit(PLAIN, task::ECHO, 1, &[]), Err(Refusal::ShutDown)));
    assert!(handles.into_iter().map(Handle::answer).eq(0..200));
    works.join();
    assert_eq!(works.pool.counts().workers, 0);
}

fn a_shutdown_may_cancel_what_does_not_run() {
    let works = Works::new(1);
    (0..100).for_each(|number| assert_eq!(works.ask(task::ECHO, number).answer(), number));
    let running = works.hold(200);
    let waiting: Vec<_> = (0..50).map(|number| works.ask(task::ECHO, number)).collect();
    works.pool.shut_down(true);
    assert!(waiting.into_iter().all(|handle| matches!(handle.end(), End::Lost(Failure::Cancelled))));
    assert_eq!(running.answer(), 200);
    works.join();
}

fn a_pool_that_was_never_used_ends_at_once() {
    let works = Works::new(4);
    works.pool.shut_down(false);
    works.join();
    assert_eq!(works.program.launches.load(Ordering::SeqCst), 0);
}

fn termination_ends_every_task() {
    let works = Works::new(2);
    let handles: Vec<_> = (0..20).map(|_| works.ask(task::SLEEP, 100_000)).collect();
    eventually("they run", || works.pool.counts().running == 2);
    works.pool.terminate();
    assert!(handles.into_iter().all(|handle| matches!(handle.failure(), Failure::Terminated)));
    works.join();
    // While workers are being launched.
    let works = Works::new(4);
    let handle = works.ask(task::SLEEP, 100_000);
    works.pool.terminate();
    assert!(matches!(handle.failure(), Failure::Terminated));
    works.join();
    assert!(works.pool.workers().is_empty());
}

/// Says whether the pool was over before this was told.
struct Late(Pool, Sender<bool>);

impl Report for Late {
    fn ended(self: Box<Self>, _end: End) {
        eventually("the workers end", || self.0.counts().workers == 0);
        let was_over = (0..50).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            self.0.over().is_set()
        });
        self.1.send(was_over).expect("somebody who asks");
    }
}

fn a_pool_is_over_when_everybody_was_told() {
    let works = Works::new(1);
    works.ask(task::ECHO, 1).answer();
    let (tell, told) = channel();
    let packet = Packet::copy_of(works.pool.segment(), &[&[task::SLEEP], &[255; 8]], 0).expect("memory");
    works
        .pool
        .submit(packet, PLAIN, Box::new(Late(works.pool.clone(), tell)))
        .expect("a pool that takes tasks");
    works.pool.terminate();
    assert_eq!(told.recv(), Ok(false));
    works.join();
}

/// Set, this program is the owner of a pool, which tells its workers' processes and waits.
const OWNER: &str = "ONELOOM_TEST_OWNER";

/// Owns a pool, if this process is to.
pub fn own_if_owner() {
    if std::env::var_os(OWNER).is_some() {
        let works = Works::new(2);
        works.pool.launch(2);
        eventually("the workers are there", || works.pool.workers().len() == 2);
        (0..2).for_each(|_| drop(works.ask(task::SLEEP, 100_000)));
        eventually("they work", || works.pool.counts().running == 2);
        println!("{}", works.pool.workers().iter().map(|(_, pid)| format!("{pid} ")).collect::<String>());
        loop {
            std::thread::park();
        }
    }
}

fn workers_end_with_their_owner() {
    let program = std::env::current_exe().expect("this program");
    let mut owner = Command::new(program).env(OWNER, "1").stdout(Stdio::piped()).spawn().expect("an owner");
    let mut line = String::new();
    let told = BufReader::new(owner.stdout.take().expect("a pipe")).read_line(&mut line);
    told.expect("its workers");
    let workers: Vec<u32> = line.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect();
    assert_eq!(workers.len(), 2);
    owner.kill().expect("a signal");
    owner.wait().expect("an end");
    eventually("the workers end", || workers.iter().all(|pid| matches!(examine(*pid, 0), Life::Dead)));
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("a /proc").count()
}

fn children() -> usize {
    let processes = std::fs::read_dir("/proc").expect("a /proc").flatten();
    let parents = processes.filter_map(|process| {
        let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    });
    parents.filter(|parent| *parent == std::process::id()).count()
}

fn shared_bytes() -> u64 {
    let segment = family::home().expect("a family").descriptor().expect("its descriptor");
    rustix::fs::fstat(segment).expect("its size").st_size as u64
}

fn pools_that_were_made_and_ended_leave_nothing() {
    let live = |works: Works| {
        let large = vec![0_u8; 100_000];
        let handles: Vec<_> = (0..20).map(|number| works.ask(task::ECHO, number)).collect();
        assert!(handles.into_iter().map(Handle::answer).eq(0..20));
        drop(works.ask(task::BYTES, 100_000).end());
        drop(works.submit(PLAIN, task::ECHO, 1, &large).end());
        drop(works.ask(task::EXIT, 1).end());
        works
    };
    // The first ones bring what a process has one of.
    (0..5).for_each(|_| drop(live(Works::new(2))));
    let left = || (threads(), descriptors(), children());
    let mut before = left();
    // Threads end a moment after what they were for.
    eventually("it is quiet", || {
        std::thread::sleep(Duration::from_millis(20));
        std::mem::replace(&mut before, left()) == before
    });
    let bytes = shared_bytes();
    for round in 0..20 * stress() {
        let works = live(Works::new(2));
        if round % 2 == 0 {
            works.pool.shut_down(false);
            works.join();
        }
    }
    eventually("nothing is left", || left() <= before);
    assert!(shared_bytes() <= bytes + (1 << 20), "{bytes} bytes have become {}", shared_bytes());
}
