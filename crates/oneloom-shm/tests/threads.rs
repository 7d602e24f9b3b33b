//! Locks and queues in one process that does not fork: between threads, on the heap, which a sanitizer can see; and memory.

#![cfg(not(any(loom, shuttle)))]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use oneloom_shm::arena;
use oneloom_shm::barrier::Barrier;
use oneloom_shm::condition::Condition;
#[cfg(not(miri))]
use oneloom_shm::error::Error;
use oneloom_shm::event::{Event, EventCall};
use oneloom_shm::flow::AnyQueue;
use oneloom_shm::mutex::{Holder, LockCall, Mutex, Taken};
use oneloom_shm::priority::PriorityQueue;
use oneloom_shm::queue::Queue;
use oneloom_shm::reentrant::ReentrantMutex;
use oneloom_shm::segment::Segment;
use oneloom_shm::semaphore::Semaphore;
use oneloom_shm::wait::{Stop, block};
use oneloom_wait::clock::Deadline;
use support::*;

/// Memory that processes could share; miri knows only the heap.
fn segment() -> &'static Segment {
    if cfg!(miri) { Segment::on_heap(4 << 20) } else { Segment::create(0) }.expect("a segment")
}

/// How often to do what is `usual`ly done so often: far less in an interpreter.
const fn often(usual: u64) -> u64 {
    if cfg!(miri) { usual / 500 } else { usual }
}

#[test]
fn threads_lose_nothing_and_the_memory_is_used_again() {
    lose_nothing::<Queue>();
}

#[test]
fn threads_lose_nothing_of_a_priority_queue() {
    lose_nothing::<PriorityQueue>();
}

fn lose_nothing<Q: Line + Sync>() {
    const EACH: u64 = often(1500);
    // Far less than all items together.
    let queue = Q::make(Segment::on_heap(4 << 20).expect("a segment"), 30);
    let sum = AtomicU64::new(0);
    thread::scope(|scope| {
        let senders: Vec<_> = (0..3)
            .map(|sender| {
                let queue = &queue;
                scope.spawn(move || {
                    (0..EACH)
                        .for_each(|number| put_at(queue, &item(sender * EACH + number), number as i64 % 7))
                })
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                while let Ok(bytes) = get_within(&queue, soon()).expect("in time") {
                    sum.fetch_add(number_of(&bytes), Ordering::Relaxed);
                }
            });
        }
        senders.into_iter().for_each(|sender| sender.join().expect("a sender"));
        queue.shut_down(false).expect("a sound segment");
    });
    assert_eq!(sum.load(Ordering::Relaxed), (0..3 * EACH).sum());
}

#[test]
fn each_sender_s_items_arrive_whole_and_in_order() {
    const EACH: u64 = often(20_000);
    let queue = Queue::new(segment(), 0).expect("a queue");
    let got: Vec<u64> = thread::scope(|scope| {
        let senders: Vec<_> = (0..2)
            .map(|sender| {
                let queue = &queue;
                scope.spawn(move || {
                    (sender * EACH..(sender + 1) * EACH).for_each(|number| put(queue, &item(number)))
                })
            })
            .collect();
        let receiver = scope.spawn(|| {
            std::iter::from_fn(|| get_within(&queue, soon()).expect("in time").ok())
                .map(|bytes| number_of(&bytes))
                .collect()
        });
        senders.into_iter().for_each(|sender| sender.join().expect("a sender"));
        queue.shut_down(false).expect("a sound segment");
        receiver.join().expect("a receiver")
    });
    assert_eq!(got.len() as u64, 2 * EACH);
    for sender in 0..2 {
        let of_one: Vec<_> = got.iter().filter(|number| **number / EACH == sender).collect();
        assert!(of_one.is_sorted(), "the items of sender {sender} came in another order");
    }
}

#[test]
fn a_lock_excludes_threads() {
    let mutex = Mutex::new(Segment::on_heap(1 << 20).expect("a segment")).expect("a lock");
    let count = AtomicU64::new(0);
    thread::scope(|scope| {
        for name in 1..4 {
            let (mutex, count) = (&mutex, &count);
            scope.spawn(move || {
                for _ in 0..often(3000) {
                    let mut call = LockCall { mutex, holder: Holder { name, scoped: true } };
                    assert_eq!(block(&mut call, soon(), &mut Plainly), Ok(Taken::Clean));
                    let seen = count.load(Ordering::Relaxed);
                    count.store(seen + 1, Ordering::Relaxed);
                    mutex.unlock(|| name).expect("its own");
                }
            });
        }
    });
    assert_eq!(count.load(Ordering::Relaxed), 3 * often(3000));
}

#[test]
fn a_flag_that_was_raised_for_an_instant_lets_all_waiters_go_on() {
    let event = Event::new(Segment::on_heap(1 << 20).expect("a segment")).expect("an event");
    let mut calls: Vec<_> = (0..3).map(|_| EventCall::new(&event)).collect();
    event.set().expect("a member");
    event.clear();
    calls.iter_mut().for_each(|call| assert_eq!(block(call, soon(), &mut Plainly), Ok(())));
    let moment = Deadline::after(Some(std::time::Duration::from_millis(30)));
    assert_eq!(block(&mut EventCall::new(&event), moment, &mut Plainly), Err(Stop::TimedOut));
}

#[test]
fn a_heap_that_is_full_says_so() {
    let segment = Segment::on_heap(1 << 20).expect("a segment");
    let queue = Queue::new(segment, 0).expect("a queue");
    let full = (0..100).find_map(|_| put_within(&queue, &[1; 50_000], soon()).err());
    assert!(full.is_some());
    assert_eq!(get(&queue).len(), 50_000);
}

#[test]
fn memory_stays_flat() {
    let segment = segment();
    let queue = Queue::new(segment, 0).expect("a queue");
    let round = || {
        (0..often(200)).for_each(|number| put(&queue, &item(number)));
        (0..often(200)).for_each(|number| assert_eq!(number_of(&get(&queue)), number));
        for _ in 0..often(500).min(50) {
            let another = Queue::new(segment, 0).expect("a queue");
            put(&another, &item(0));
            put(&another, &item(1));
            drop(Mutex::new(segment).expect("a lock"));
        }
        arena::usage(segment)
    };
    let first = round();
    (0..20).for_each(|_| {
        round();
    });
    let last = round();
    // As much is in use; what was ever carved depends on where in its chunks the queue stands.
    assert_eq!(last.1, first.1);
    assert!(last.0 <= first.0 + (128 << 10), "{first:?} {last:?}");
}

// Its memory has a limit, which the heap has not.
#[cfg(not(miri))]
#[test]
fn a_priority_queue_uses_its_memory_again_and_gives_it_back() {
    let segment = Segment::create(2 << 20).expect("a segment");
    let queue = PriorityQueue::make(segment, 0);
    let mut counts = Vec::new();
    for _ in 0..3 {
        let mut put = 0;
        let full = loop {
            match put_within(&queue, &[7; 300], soon()) {
                Ok(done) => assert_eq!(done, Ok(())),
                Err(Stop::Failed(error)) => break error,
                Err(stop) => panic!("{stop:?}"),
            }
            put += 1;
        };
        assert!(matches!(full, Error::Limit { .. }), "{full}");
        counts.push((put, arena::usage(segment)));
        (0..put).for_each(|_| assert_eq!(get(&queue), [7; 300]));
    }
    assert!(counts[0].0 > 1000 && counts[1] == counts[2], "{counts:?}");
    // What is dropped gives all back.
    put(&queue, b"left");
    drop(queue);
    assert_eq!(arena::usage(segment).1, 0);
}

#[test]
fn a_hundred_thousand_objects_that_are_made_and_dropped_take_the_same_memory_again() {
    let segment = Segment::create(0).expect("a segment");
    let make = || {
        drop(Mutex::new(segment).expect("a lock"));
        drop(ReentrantMutex::new(segment).expect("a lock"));
        drop(Semaphore::new(segment, 3, true).expect("a semaphore"));
        drop(Event::new(segment).expect("an event"));
        drop(Condition::new(segment).expect("a condition"));
        drop(Barrier::new(segment, 5).expect("a barrier"));
    };
    make();
    let first = arena::usage(segment);
    (0..100_000 / 6).for_each(|_| make());
    assert_eq!(arena::usage(segment), first);
}
