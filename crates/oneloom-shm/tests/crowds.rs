//! Many processes at once, forks at any instant while threads are inside, and what waiting costs.

// ThreadSanitizer does not survive a fork.
#![cfg(not(any(loom, shuttle, oneloom_tsan)))]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use oneloom_shm::mutex::{Holder, LockCall, Mutex};
use oneloom_shm::queue::Queue;
use oneloom_shm::segment::Segment;
use oneloom_shm::wait::{Stop, block};
use oneloom_wait::clock::Deadline;
use support::*;

/// Numbers that all processes add to: how many items were put, their sum, how many were got, their sum.
const PUT: usize = 0;
const GOT: usize = 2;

fn segment() -> &'static Segment {
    Segment::create(0).expect("a segment")
}

#[test]
fn sixty_four_processes_on_one_queue_lose_nothing() {
    const EACH: u64 = 40;
    let queue = Queue::new(segment(), 25).expect("a queue");
    let ledger = shared_numbers(4);
    let note = |what: usize, number: u64| {
        ledger[what].fetch_add(1, Ordering::SeqCst);
        ledger[what + 1].fetch_add(number, Ordering::SeqCst);
    };
    let senders: Vec<_> = (0..32)
        .map(|sender| {
            Child::start(|| {
                for number in sender * EACH..(sender + 1) * EACH {
                    put(&queue, &item(number));
                    note(PUT, number);
                }
                0
            })
        })
        .collect();
    let receivers: Vec<_> = (0..32)
        .map(|_| {
            Child::start(|| {
                (0..EACH).for_each(|_| note(GOT, number_of(&get(&queue))));
                0
            })
        })
        .collect();
    senders.into_iter().chain(receivers).for_each(|child| assert_eq!(child.join(), 0));
    let read = |what: usize| ledger[what].load(Ordering::SeqCst);
    assert_eq!((read(PUT), read(PUT + 1)), (32 * EACH, (0..32 * EACH).sum()));
    assert_eq!((read(GOT), read(GOT + 1)), (read(PUT), read(PUT + 1)));
}

/// Threads put, get and lock without a pause, while the process is forked: whatever they were inside of, in the parent
/// they leave it, and the child may use the same objects at once.
#[test]
fn a_child_that_is_forked_while_threads_are_inside_uses_the_same_objects_at_once() {
    let mut random = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos() as u64);
    println!("seed {random}");
    let segment = segment();
    let (queue, mutex) = (Queue::new(segment, 30).expect("a queue"), Mutex::new(segment).expect("a lock"));
    let (ledger, over) = (shared_numbers(4), AtomicBool::new(false));
    let note = |what: usize, number: u64| {
        ledger[what].fetch_add(1, Ordering::SeqCst);
        ledger[what + 1].fetch_add(number, Ordering::SeqCst);
    };
    let pass = |name: u64| {
        let mut call = LockCall { mutex: &mutex, holder: Holder { name, scoped: true } };
        block(&mut call, soon(), &mut Plainly).expect("the lock in time");
        mutex.unlock(|| name).expect("its own");
    };
    let send = |number: u64| {
        // Counted first: a child may get it before this goes on.
        note(PUT, number);
        put(&queue, &item(number));
    };
    thread::scope(|scope| {
        scope.spawn(|| (0..).take_while(|_| !over.load(Ordering::SeqCst)).for_each(send));
        scope.spawn(|| {
            // As long as there may be a sender in front of a full queue.
            while !over.load(Ordering::SeqCst) {
                try_get(&queue).into_iter().for_each(|bytes| note(GOT, number_of(&bytes)));
            }
        });
        scope.spawn(|| (0..).take_while(|_| !over.load(Ordering::SeqCst)).for_each(|_| pass(7)));
        for round in 0..100 * stress() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let before = Instant::now();
            while before.elapsed() < Duration::from_nanos((random >> 33) % 200_000) {
                std::hint::spin_loop();
            }
            let child = Child::start(|| {
                pass(8);
                note(GOT, number_of(&get(&queue)));
                send(round * 5);
                0
            });
            assert_eq!(child.join(), 0, "round {round}");
        }
        over.store(true, Ordering::SeqCst);
        // The sender may stand in front of a full queue, and nobody receives any more.
        for _ in 0..30 {
            try_get(&queue).into_iter().for_each(|bytes| note(GOT, number_of(&bytes)));
        }
    });
    while let Some(bytes) = try_get(&queue) {
        note(GOT, number_of(&bytes));
    }
    let read = |what: usize| ledger[what].load(Ordering::SeqCst);
    assert_eq!((read(GOT), read(GOT + 1)), (read(PUT), read(PUT + 1)));
    assert!(!mutex.is_locked());
}

/// How much processor time this process has used so far.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to a local variable.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn waiting_costs_no_processor_time() {
    const LONG: Duration = Duration::from_millis(1500);
    let segment = segment();
    let (queue, mutex) = (Queue::new(segment, 0).expect("a queue"), Mutex::new(segment).expect("a lock"));
    assert_eq!(mutex.try_lock(Holder { name: 1, scoped: true }), Ok(true));
    let until = || Deadline::after(Some(LONG));
    let cheaply = |wait: &dyn Fn() -> bool| {
        Child::start(|| {
            let before = processor_time();
            let ended_in_time = wait();
            let used = processor_time() - before;
            eprintln!("{used:?} for waiting {LONG:?}");
            i32::from(!ended_in_time || used > LONG / 100)
        })
    };
    let children = [
        cheaply(&|| get_within(&queue, until()) == Err(Stop::TimedOut)),
        cheaply(&|| {
            let mut call = LockCall { mutex: &mutex, holder: Holder { name: 2, scoped: true } };
            block(&mut call, until(), &mut Plainly) == Err(Stop::TimedOut)
        }),
    ];
    children.into_iter().for_each(|child| assert_eq!(child.join(), 0));
}
