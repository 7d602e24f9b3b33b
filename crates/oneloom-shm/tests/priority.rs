//! Priority queues between processes: order, bounds, growth, and what is left when one is killed at any step.

// ThreadSanitizer does not survive a fork.
#![cfg(not(any(loom, shuttle, oneloom_tsan)))]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use oneloom_shm::arena;
use oneloom_shm::error::Error;
use oneloom_shm::flow::{AnyQueue, ShutDown, TooManyDone};
use oneloom_shm::handle::{Handle, Object};
use oneloom_shm::priority::PriorityQueue;
use oneloom_shm::segment::Segment;
use oneloom_shm::step::{Step, kill_at};
use oneloom_shm::wait::Stop;
use oneloom_wait::clock::Deadline;
use support::matrix::{killed, kills};
use support::*;

fn queue(maxsize: u64) -> PriorityQueue {
    PriorityQueue::make(Segment::create(0).expect("a segment"), maxsize)
}

/// The priority that the tests give the item of that number: few different ones, in no order.
fn priority_of(number: u64) -> i64 {
    number as i64 * 7 % 10 - 4
}

fn put_numbered(queue: &PriorityQueue, number: u64) {
    put_at(queue, &item(number), priority_of(number));
}

/// What items stand before others: by priority, and as they came.
fn place(number: u64) -> (i64, u64) {
    (priority_of(number), number)
}

/// All that is left, which must come in order.
fn drained(queue: &PriorityQueue) -> Vec<u64> {
    let numbers: Vec<_> = std::iter::from_fn(|| try_get(queue)).map(|bytes| number_of(&bytes)).collect();
    assert!(numbers.is_sorted_by_key(|number| place(*number)), "out of order: {numbers:?}");
    assert_eq!(queue.len(), Ok(0));
    numbers
}

#[test]
fn the_smallest_priority_leaves_first_and_equals_as_they_came() {
    let queue = queue(0);
    let child = Child::start(|| {
        (0..3000).for_each(|number| put_numbered(&queue, number));
        0
    });
    assert_eq!(child.join(), 0);
    assert_eq!(queue.len(), Ok(3000));
    let mut expected: Vec<_> = (0..3000).collect();
    expected.sort_by_key(|number| place(*number));
    assert_eq!(drained(&queue), expected);
}

#[test]
fn a_bound_makes_senders_wait() {
    let queue = queue(3);
    let child = Child::start(|| {
        (0..500).for_each(|number| put_numbered(&queue, number));
        0
    });
    let mut numbers: Vec<_> = (0..500)
        .map(|_| {
            assert!(queue.len().is_ok_and(|length| length <= 3));
            number_of(&get(&queue))
        })
        .collect();
    assert_eq!(child.join(), 0);
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..500));
}

#[test]
fn a_full_queue_and_an_empty_one_end_a_wait_in_time() {
    let queue = queue(1);
    let moment = || Deadline::after(Some(Duration::from_millis(60)));
    assert_eq!(get_within(&queue, moment()), Err(Stop::TimedOut));
    put(&queue, b"one");
    assert_eq!(put_within(&queue, b"two", moment()), Err(Stop::TimedOut));
    assert_eq!(put_within(&queue, &[0; 9999], moment()), Err(Stop::TimedOut));
    assert_eq!(get(&queue), b"one");
}

#[test]
fn many_senders_and_receivers_lose_nothing() {
    const EACH: u64 = 400;
    let queue = queue(20);
    let sums = shared_numbers(8);
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            Child::start(|| {
                (0..EACH).for_each(|number| put_numbered(&queue, sender * EACH + number));
                0
            })
        })
        .collect();
    let receivers: Vec<_> = (0..4)
        .map(|receiver| {
            Child::start(|| {
                while let Ok(bytes) = get_within(&queue, soon()).expect("in time") {
                    sums[receiver].fetch_add(number_of(&bytes), Ordering::SeqCst);
                    sums[4 + receiver].fetch_add(1, Ordering::SeqCst);
                }
                0
            })
        })
        .collect();
    senders.into_iter().for_each(|child| assert_eq!(child.join(), 0));
    queue.shut_down(false).expect("a sound segment");
    receivers.into_iter().for_each(|child| assert_eq!(child.join(), 0));
    assert_eq!(total(&sums[4..]), 4 * EACH);
    assert_eq!(total(&sums[..4]), (0..4 * EACH).sum());
}

#[test]
fn a_shutdown_ends_it_and_counts_what_is_dropped_as_done() {
    let queue = queue(0);
    let child = Child::start(|| i32::from(get_within(&queue, soon()) != Ok(Err(ShutDown))));
    // Long enough for the child to be in its long sleep, usually; right either way.
    std::thread::sleep(Duration::from_millis(60));
    queue.shut_down(false).expect("a sound segment");
    assert_eq!(child.join(), 0);
    let other = PriorityQueue::make(Segment::create(0).expect("a segment"), 0);
    (0..50).for_each(|number| put_numbered(&other, number));
    assert_eq!(other.unfinished(), Ok(50));
    other.shut_down(true).expect("a sound segment");
    assert_eq!((other.len(), other.unfinished()), (Ok(0), Ok(0)));
    assert_eq!(other.task_done(), Ok(Err(TooManyDone)));
    assert_eq!(put_within(&other, b"late", soon()), Ok(Err(ShutDown)));
}

#[test]
fn a_handle_names_it_and_no_other_kind() {
    let queue = PriorityQueue::make(oneloom_shm::family::home().expect("a family"), 0);
    let handle = Handle::from_bytes(&queue.object().handle().to_bytes()).expect("a handle");
    let again = PriorityQueue::from_object(Object::open(handle).expect("open"));
    put_numbered(&queue, 1);
    assert_eq!(number_of(&get(&again)), 1);
    assert_eq!(Object::<oneloom_shm::queue::Content>::open(handle).err(), Some(Error::Kind));
}

/// Puts and takes until it is killed at a step; its ledger tells what it has done.
fn killed_at(step: Step, passes: u32, queue: &PriorityQueue, ledger: &Ledger) -> bool {
    ledger.reset();
    let child = Child::start(|| {
        kill_at(step, passes);
        for number in 0..100 {
            ledger.write(BEGUN, number + 1);
            put_numbered(queue, number);
            ledger.write(PUT, number + 1);
            if let Some(bytes) = (number % 4 == 3).then(|| try_get(queue)).flatten() {
                ledger.got(number_of(&bytes));
            }
        }
        0
    });
    child.join() == -libc::SIGKILL
}

/// With every step, early and late: what is left is in order, whole, once, and counted.
#[test]
fn what_a_dead_process_leaves_is_in_order_and_counted() {
    const STEPS: [Step; 15] = [
        Step::ItemCopied,
        Step::OrderEntered,
        Step::HeapMade,
        Step::HeapRetired,
        Step::HeapNamed,
        Step::HeapOwned,
        Step::ItemLabelled,
        Step::ItemPut,
        Step::ItemIndexed,
        Step::ItemCounted,
        Step::ItemTaken,
        Step::ItemRemoved,
        Step::OrderLeft,
        Step::ItemTold,
        Step::BlockMarked,
    ];
    let (ledger, passed) = (Ledger::new(), &shared_numbers(1)[0]);
    for step in STEPS {
        passed.store(0, Ordering::SeqCst);
        for _ in 0..kills(1) {
            for passes in [0, 1, 7, 18, 60] {
                apart(|| {
                    let queue = queue(0);
                    if killed_at(step, passes, &queue, &ledger) {
                        passed.fetch_add(1, Ordering::SeqCst);
                        check_what_is_left(&queue, &ledger, &format!("{step:?} after {passes} passes"));
                        killed(step, "all in order and counted");
                    }
                });
            }
        }
        assert!(passed.load(Ordering::SeqCst) > 0, "{step:?} was never passed");
    }
}

fn check_what_is_left(queue: &PriorityQueue, ledger: &Ledger, what: &str) {
    // What is put now comes behind what is left, and is the first to notice.
    put_at(queue, &item(1000), i64::MAX);
    let mut numbers: Vec<_> = std::iter::from_fn(|| try_get(queue)).map(|bytes| number_of(&bytes)).collect();
    assert_eq!(numbers.pop(), Some(1000), "{what}");
    assert!(numbers.is_sorted_by_key(|number| place(*number)), "{what}: {numbers:?}");
    let left = numbers.len() as u64;
    numbers.extend(ledger.all_got());
    numbers.sort_unstable();
    numbers.dedup();
    let there = numbers.len() as u64;
    assert_eq!(there, left + ledger.read(GOT), "{what}: an item came twice");
    let put = queue.unfinished().expect("a sound segment") - 1;
    assert!((ledger.read(PUT)..=ledger.read(BEGUN)).contains(&put), "{what}: {put} put");
    assert!((there..=there + 1).contains(&put), "{what}: {put} put, {there} there");
    // What the dead one had is given back: there is the queue, and its heap in one of three sizes.
    let segment = queue.segment();
    segment.me().and_then(|me| arena::sweep(segment, me)).expect("a sound segment");
    let used = arena::usage(segment).1;
    assert!([1 << 10, 2 << 10, 4 << 10].contains(&(used - 256)), "{what}: {used} bytes are in use");
}

/// What repairs is killed over it, too, and then a third repairs.
#[test]
fn one_killed_while_it_repairs_harms_nobody() {
    let ledger = Ledger::new();
    for (step, passes) in
        [(Step::ItemPut, 30), (Step::ItemTaken, 5), (Step::HeapNamed, 0), (Step::ItemRemoved, 3)]
    {
        for _ in 0..kills(1) {
            apart(|| {
                let queue = queue(0);
                assert!(killed_at(step, passes, &queue, &ledger), "{step:?}");
                for _ in 0..2 {
                    let child = Child::start(|| {
                        kill_at(Step::HeapRebuilt, 0);
                        get(&queue);
                        0
                    });
                    assert_eq!(child.join(), -libc::SIGKILL, "{step:?}");
                }
                let mut numbers = drained(&queue);
                numbers.extend(ledger.all_got());
                let count = numbers.len() as u64;
                // A sender has lost nothing, a receiver the one that it had.
                let lost = u64::from([Step::ItemTaken, Step::ItemRemoved].contains(&step));
                let put = ledger.read(PUT)..=ledger.read(BEGUN);
                assert!(put.contains(&(count + lost)), "{step:?}: {count} of {put:?}");
                numbers.sort_unstable();
                numbers.dedup();
                assert_eq!(numbers.len() as u64, count, "{step:?}: an item came twice");
            });
            killed(Step::HeapRebuilt, "a third repaired");
        }
    }
}
