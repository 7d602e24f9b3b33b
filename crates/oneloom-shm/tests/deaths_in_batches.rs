//! Processes that die by SIGKILL at every step of putting and taking many items at once: a batch is put whole or not at all,
//! and a receiver takes no more than one with it.

// ThreadSanitizer does not survive a fork.
#![cfg(not(any(loom, shuttle, oneloom_tsan)))]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use oneloom_shm::flow::AnyQueue;
use oneloom_shm::queue::Queue;
use oneloom_shm::segment::Segment;
use oneloom_shm::step::{Step, kill_at};
use oneloom_wait::clock::Deadline;
use support::matrix::killed;
use support::*;

const BATCHES: u64 = 25;
/// How many items a batch has: some fit into a chunk's rest, some take several chunks.
const SIZES: [u64; 5] = [1, 3, 40, 7, 90];
const MOST: u64 = 90;

fn batch(round: u64, number: u64) -> Vec<u64> {
    (0..SIZES[(number % 5) as usize]).map(|index| round << 16 | number << 8 | index).collect()
}

#[test]
fn a_batch_is_put_whole_or_not_at_all() {
    let ledger = shared_numbers(2);
    let (begun, done) = (&ledger[0], &ledger[1]);
    // Far less than all blocks that the dead might leave behind.
    let queue = Queue::new(Segment::create(4 << 20).expect("a segment"), 2 * MOST).expect("a queue");
    let mut round = 0;
    for step in [
        Step::TailEntered,
        Step::ChunkMade,
        Step::ChunkLinked,
        Step::ChunkOwned,
        Step::TailMoved,
        Step::PayloadWritten,
        Step::RecordStarted,
        Step::PayloadOwned,
        Step::Committed,
        Step::TailLeft,
        Step::PutTold,
    ] {
        let (mut passes, mut count, mut half) = (0, 0, 0);
        for _ in 0..25 * stress() {
            round += 1;
            let what = format!("{step:?} after {passes} passes, round {round}");
            ledger.iter().for_each(|number| number.store(0, Ordering::SeqCst));
            let child = Child::start(|| {
                kill_at(step, passes);
                for number in 0..BATCHES {
                    begun.store(number + 1, Ordering::SeqCst);
                    let items: Vec<_> = batch(round, number).into_iter().map(item).collect();
                    put_many(&queue, &items);
                    done.store(number + 1, Ordering::SeqCst);
                }
                0
            });
            let mut got = Vec::new();
            let status = loop {
                match get_many_within(&queue, 30, Deadline::after(Some(Duration::from_micros(200)))) {
                    Ok(items) => {
                        got.extend(items.expect("not shut down").iter().map(|bytes| number_of(bytes)))
                    }
                    Err(_) => {
                        if let Some(status) = child.ended() {
                            break status;
                        }
                    }
                }
            };
            assert!(status == 0 || status == -libc::SIGKILL, "{what}: the child ended with {status}");
            put(&queue, &item(u64::from(u16::MAX)));
            while got.last() != Some(&u64::from(u16::MAX)) {
                got.extend(get_many(&queue, u64::MAX).iter().map(|bytes| number_of(bytes)));
            }
            got.pop();
            let put = (0..=BATCHES)
                .find(|count| got == (0..*count).flat_map(|number| batch(round, number)).collect::<Vec<_>>());
            let put = put.unwrap_or_else(|| panic!("{what}: half a batch, or another order: {got:x?}"));
            no_item_is_left(queue.segment(), &what);
            let (begun, done) = (begun.load(Ordering::SeqCst), done.load(Ordering::SeqCst));
            assert!((done..=begun).contains(&put), "{what}: {put} of {done} to {begun} batches");
            if status != 0 {
                count += 1;
                killed(
                    step,
                    if put > done { "the whole batch was there" } else { "nothing of the batch was there" },
                );
            }
            half += u64::from(put > done);
            passes = if status != 0 { passes * 3 % 40 + 1 } else { passes / 2 };
        }
        println!("{step:?}: {count} killed, {half} of them after the batch was there");
        assert!(count > 0, "{step:?} was never passed");
    }
}

#[test]
fn a_receiver_takes_no_more_than_its_batch_with_it() {
    const ITEMS: u64 = 200;
    let got = shared_numbers(ITEMS as usize + 1);
    let queue = Queue::new(Segment::create(4 << 20).expect("a segment"), 0).expect("a queue");
    let mut round = 0;
    for step in [
        Step::HeadEntered,
        Step::ChunkRetired,
        Step::HeadMoved,
        Step::PayloadRead,
        Step::TakingWritten,
        Step::Taken,
        Step::PayloadTaken,
        Step::HeadLeft,
        Step::GetTold,
    ] {
        let (mut passes, mut count, mut lost) = (0, 0, 0);
        for _ in 0..25 * stress() {
            round += 1;
            let what = format!("{step:?} after {passes} passes, round {round}");
            got.iter().for_each(|number| number.store(0, Ordering::SeqCst));
            let numbers: Vec<_> = (0..ITEMS).map(|number| round << 16 | number).collect();
            put_many(&queue, &numbers.iter().map(|number| item(*number)).collect::<Vec<_>>());
            let most = 1 + round % 60;
            let child = Child::start(|| {
                kill_at(step, passes);
                let mut count = 0;
                while count < ITEMS {
                    for bytes in get_many(&queue, most) {
                        count += 1;
                        got[count as usize].store(number_of(&bytes), Ordering::SeqCst);
                    }
                    got[0].store(count, Ordering::SeqCst);
                }
                0
            });
            let status = child.join();
            assert!(status == 0 || status == -libc::SIGKILL, "{what}: the child ended with {status}");
            put(&queue, &item(0));
            let mut rest = Vec::new();
            while rest.last() != Some(&0) {
                rest.extend(get_many(&queue, u64::MAX).iter().map(|bytes| number_of(bytes)));
            }
            rest.pop();
            let first = got[0].load(Ordering::SeqCst) as usize;
            let taken: Vec<_> = got[1..=first].iter().map(|number| number.load(Ordering::SeqCst)).collect();
            no_item_is_left(queue.segment(), &what);
            let gone = numbers.len() - taken.len() - rest.len();
            assert!(gone as u64 <= if status == 0 { 0 } else { most }, "{what}: {gone} items are lost");
            assert!(numbers.starts_with(&taken) && numbers.ends_with(&rest), "{what}");
            if status != 0 {
                count += 1;
                killed(step, if gone > 0 { "its batch lost" } else { "nothing lost" });
            }
            lost += gone;
            passes = if status != 0 { passes * 3 % 10 + 1 } else { passes / 2 };
        }
        println!("{step:?}: {count} killed, {lost} items lost");
        assert!(count > 0, "{step:?} was never passed");
    }
}
