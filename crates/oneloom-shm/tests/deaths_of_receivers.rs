//! Receivers that die by SIGKILL with items that they have not acknowledged: each is given to another receiver, and what was
//! put is done, or there, or held by somebody who lives.

// ThreadSanitizer does not survive a fork.
#![cfg(not(any(loom, shuttle, oneloom_tsan)))]

mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use oneloom_shm::arena;
use oneloom_shm::flow::{AnyQueue, JoinCall};
use oneloom_shm::queue::{Bounds, NotHeld, Queue};
use oneloom_shm::segment::Segment;
use oneloom_shm::step::{Step, kill_at};
use oneloom_shm::wait::{Stop, block};
use oneloom_wait::clock::Deadline;
use support::matrix::{killed, kills};
use support::*;

fn queue(segment: &'static Segment) -> Queue {
    Queue::bounded(segment, Bounds::default(), true).expect("a queue")
}

fn now() -> Deadline {
    Deadline::after(Some(Duration::ZERO))
}

#[test]
fn what_is_not_acknowledged_is_unfinished_and_nobody_else_s() {
    let queue = queue(Segment::create(0).expect("a segment"));
    put_many(&queue, &(0..200).map(item).collect::<Vec<_>>());
    let mut held = Vec::new();
    while held.len() < 150 {
        held.extend(hold(&queue, 150 - held.len() as u64, soon()).expect("items"));
    }
    assert!(held.iter().map(|(number, _)| *number).eq(0..150));
    assert_eq!((queue.len(), queue.unfinished(), queue.held()), (Ok(50), Ok(200), (150, 0)));
    let receipts: Vec<_> = held.drain(10..).map(|(_, receipt)| receipt).collect();
    assert_eq!(queue.acknowledge(&receipts), Ok(Ok(())));
    assert_eq!(queue.acknowledge(&receipts[..1]), Ok(Err(NotHeld)));
    assert_eq!((queue.unfinished(), queue.held()), (Ok(60), (10, 0)));
    // Another process has none of them.
    let receipts: Vec<_> = held.into_iter().map(|(_, receipt)| receipt).collect();
    let child = Child::start(|| i32::from(queue.acknowledge(&receipts) != Ok(Err(NotHeld))));
    assert_eq!(child.join(), 0);
    // Taken by whoever does not want to acknowledge, an item is done at once.
    assert_eq!(number_of(&get(&queue)), 150);
    assert_eq!(queue.acknowledge(&receipts), Ok(Ok(())));
    queue.shut_down(true).expect("a sound segment");
    assert_eq!((queue.unfinished(), queue.held(), queue.len()), (Ok(0), (0, 0), Ok(0)));
}

#[test]
fn whatever_a_receiver_died_over_comes_again() {
    const ITEMS: u64 = 100;
    const BEGUN: usize = ITEMS as usize;
    /// At most, for each step.
    const ROUNDS: u64 = 40;
    let done = shared_numbers(2 * ITEMS as usize);
    for step in [
        Step::HeadEntered,
        Step::ChunkRetired,
        Step::HeadMoved,
        Step::PageLinked,
        Step::SlotFilled,
        Step::SlotsCounted,
        Step::Taken,
        Step::HeadLeft,
        Step::SlotOrphaned,
        Step::SlotTakenOver,
        Step::ItemClaimed,
        Step::ItemAcknowledged,
        Step::BlockFreed,
        Step::DoneTold,
    ] {
        // Not much more than all items of a round, and each round's queue, which stays with its family.
        let segment = Segment::create((2 << 20) + (32 << 10) * ROUNDS * stress()).expect("a segment");
        let (mut passes, mut dead, mut again, mut round) = (0, 0, 0, 0);
        while dead < kills(6) {
            round += 1;
            assert!(round < ROUNDS * stress(), "{step:?} was passed {dead} times only");
            let what = format!("{step:?} after {passes} passes, round {round}");
            done.iter().for_each(|number| number.store(0, Ordering::SeqCst));
            let queue = queue(segment);
            // So many that half of what follows stands in a chunk of its own.
            put_many(&queue, &vec![item(2); 250]);
            while let Ok(items) = hold(&queue, 60, now()) {
                let receipts: Vec<_> = items.into_iter().map(|(_, receipt)| receipt).collect();
                assert_eq!(queue.acknowledge(&receipts), Ok(Ok(())));
            }
            put_many(&queue, &(0..ITEMS / 2).map(item).collect::<Vec<_>>());
            put_many(&queue, &(ITEMS / 2..ITEMS).map(item).collect::<Vec<_>>());
            // The first is not found dead yet when the second begins.
            let first = Child::start(|| {
                hold(&queue, 7, soon()).expect("items");
                0
            });
            assert_eq!(first.join(), 0);
            let second = Child::start(|| {
                kill_at(step, passes);
                let mut left = Vec::new();
                while let Ok(items) = hold(&queue, 1 + round % 9, now()) {
                    left.extend(items);
                    if left.len() > 70 || queue.len() == Ok(0) {
                        for (number, receipt) in left.drain(..) {
                            done[BEGUN + number as usize].store(1, Ordering::SeqCst);
                            assert_eq!(queue.acknowledge(&[receipt]), Ok(Ok(())));
                            done[number as usize].store(1, Ordering::SeqCst);
                        }
                    }
                }
                0
            });
            let status = second.join();
            assert!(status == 0 || status == -libc::SIGKILL, "{what}: the child ended with {status}");
            dead += u64::from(status != 0);
            // What the dead owned goes before anybody has passed by and repaired what it was changing.
            segment.me().and_then(|me| arena::sweep(segment, me)).expect("a sound segment");
            let mut here = Vec::new();
            while let Ok(items) = hold(&queue, 1 + round % 30, now()) {
                here.extend(items);
            }
            assert_eq!(queue.unfinished(), Ok(here.len() as u64), "{what}");
            let mut seen = [false; ITEMS as usize];
            for (number, receipt) in here {
                assert!(!std::mem::replace(&mut seen[number as usize], true), "{what}: {number} came twice");
                assert_eq!(queue.acknowledge(&[receipt]), Ok(Ok(())), "{what}");
            }
            for (number, seen) in seen.into_iter().enumerate() {
                let (begun, done) =
                    (done[BEGUN + number].load(Ordering::SeqCst), done[number].load(Ordering::SeqCst));
                assert!(seen || begun == 1, "{what}: item {number} is lost");
                assert!(!seen || done == 0, "{what}: item {number} came again after it was done");
                again += u64::from(seen && begun == 1);
            }
            assert_eq!((queue.unfinished(), queue.held()), (Ok(0), (0, 0)), "{what}");
            assert_eq!(block(&mut JoinCall { queue: &queue }, soon(), &mut Plainly), Ok(()));
            no_item_is_left(segment, &what);
            if status != 0 {
                killed(step, "nothing lost, what was not acknowledged came again");
            }
            passes = if status != 0 { passes * 2 % 30 + 1 } else { passes / 2 };
        }
        println!("{step:?}: {dead} killed, {again} items came again that were about to be acknowledged");
    }
}

#[test]
fn whoever_waits_gets_the_items_of_one_that_dies_and_then_all_is_done() {
    let queue = queue(Segment::create(0).expect("a segment"));
    let ready = shared_numbers(1);
    put_many(&queue, &(0..3).map(item).collect::<Vec<_>>());
    let holder = Child::start(|| {
        let held = hold(&queue, 3, soon()).expect("items");
        ready[0].store(held.len() as u64, Ordering::SeqCst);
        std::thread::sleep(PATIENCE);
        0
    });
    while ready[0].load(Ordering::SeqCst) != 3 {
        std::thread::yield_now();
    }
    assert_eq!(hold(&queue, 1, now()).err(), Some(Stop::TimedOut));
    let joined =
        Child::start(|| i32::from(block(&mut JoinCall { queue: &queue }, soon(), &mut Plainly).is_err()));
    let receiver = Child::start(|| {
        let mut held = hold(&queue, 9, soon()).expect("items");
        while held.len() < 3 {
            held.extend(hold(&queue, 9, soon()).expect("items"));
        }
        assert!(held.iter().map(|(number, _)| *number).eq(0..3), "{held:?}");
        let receipts: Vec<_> = held.into_iter().map(|(_, receipt)| receipt).collect();
        i32::from(queue.acknowledge(&receipts) != Ok(Ok(())))
    });
    // Both are in their long sleep by then, usually; right either way.
    std::thread::sleep(Duration::from_millis(100));
    let started = Instant::now();
    holder.kill();
    assert_eq!(receiver.join(), 0);
    assert_eq!(joined.join(), 0);
    assert!(started.elapsed() < PATIENCE / 2, "nobody woke them");
    assert_eq!(holder.join(), -libc::SIGKILL);
    assert_eq!(queue.unfinished(), Ok(0));
}

#[test]
fn items_that_come_again_come_first_and_after_a_shutdown_too() {
    let queue = queue(Segment::create(0).expect("a segment"));
    put_many(&queue, &(0..6).map(item).collect::<Vec<_>>());
    for most in [3, 2] {
        let child = Child::start(|| {
            hold(&queue, most, soon()).expect("items");
            0
        });
        assert_eq!(child.join(), 0);
    }
    queue.segment().find_dead();
    queue.shut_down(false).expect("a sound segment");
    let mut got = Vec::new();
    while got.len() < 6 {
        got.extend(hold(&queue, 2, soon()).expect("items").into_iter().map(|(number, _)| number));
    }
    // The second child was given what the first had died with, and both died before these came.
    assert_eq!(got, [0, 1, 2, 3, 4, 5]);
    assert!(get_many_within(&queue, 1, soon()).expect("an end").is_err());
}
