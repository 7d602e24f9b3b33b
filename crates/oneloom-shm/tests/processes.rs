//! Locks and queues between processes that live: order, bounds, blocking, memory, handles.

// ThreadSanitizer does not survive a fork.
#![cfg(not(any(loom, shuttle, oneloom_tsan)))]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use oneloom_shm::error::Error;
use oneloom_shm::family;
use oneloom_shm::flow::{AnyQueue, JoinCall, ShutDown};
use oneloom_shm::handle::{Handle, Object};
use oneloom_shm::mutex::{Holder, LockCall, Mutex, ReleaseError, Taken};
use oneloom_shm::queue::{Bounds, Queue};
use oneloom_shm::segment::Segment;
use oneloom_shm::wait::{Stop, block};
use oneloom_wait::clock::Deadline;
use support::*;

const ME: Holder = Holder { name: 1, scoped: true };

fn segment() -> &'static Segment {
    Segment::create(0).expect("a segment")
}

fn lock(mutex: &Mutex) -> Taken {
    block(&mut LockCall { mutex, holder: ME }, soon(), &mut Plainly).expect("the lock in time")
}

#[test]
fn items_of_any_size_come_out_whole_and_in_order() {
    let queue = Queue::new(segment(), 0).expect("a queue");
    let child = Child::start(|| {
        (0..3000).for_each(|number| put(&queue, &item(number)));
        0
    });
    assert!((0..3000).all(|number| number_of(&get(&queue)) == number));
    assert_eq!(child.join(), 0);
}

#[test]
fn what_is_put_before_anybody_reads_makes_the_segment_grow() {
    let queue = Queue::new(segment(), 0).expect("a queue");
    (0..20_000).for_each(|number| put(&queue, &item(number)));
    assert_eq!(queue.len(), Ok(20_000));
    let child = Child::start(|| i32::from(!(0..20_000).all(|number| number_of(&get(&queue)) == number)));
    assert_eq!(child.join(), 0);
    assert_eq!(queue.len(), Ok(0));
}

#[test]
fn a_core_dump_leaves_the_reservation_out() {
    segment();
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("this process's memory");
    let mut ours = maps.split("/memfd:oneloom").skip(1).peekable();
    assert!(ours.peek().is_some());
    for map in ours {
        let flags = map.lines().find(|line| line.starts_with("VmFlags:")).expect("flags");
        assert!(flags.contains(" dd"), "{flags}");
    }
}

#[test]
fn a_bound_makes_senders_wait() {
    let queue = Queue::new(segment(), 3).expect("a queue");
    let child = Child::start(|| {
        (0..500).for_each(|number| put(&queue, &item(number)));
        0
    });
    for number in 0..500 {
        assert!(queue.len().expect("a sound segment") <= 3);
        assert_eq!(number_of(&get(&queue)), number);
    }
    assert_eq!(child.join(), 0);
}

#[test]
fn a_full_queue_and_an_empty_one_end_a_wait_in_time() {
    let queue = Queue::new(segment(), 1).expect("a queue");
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
    let queue = Queue::new(segment(), 20).expect("a queue");
    let sums = shared_numbers(8);
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            Child::start(|| {
                (0..EACH).for_each(|number| put(&queue, &item(sender * EACH + number)));
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
fn a_shutdown_wakes_a_receiver_of_another_process() {
    let queue = Queue::new(segment(), 0).expect("a queue");
    let child = Child::start(|| i32::from(get_within(&queue, soon()) != Ok(Err(ShutDown))));
    // Long enough for the child to be in its long sleep, usually; right either way.
    std::thread::sleep(Duration::from_millis(60));
    queue.shut_down(false).expect("a sound segment");
    assert_eq!(child.join(), 0);
}

#[test]
fn a_lock_excludes_processes() {
    let mutex = Mutex::new(segment()).expect("a lock");
    let count = shared_numbers(1);
    let children: Vec<_> = (0..3)
        .map(|_| {
            Child::start(|| {
                for _ in 0..3000 {
                    assert_eq!(lock(&mutex), Taken::Clean);
                    let seen = count[0].load(Ordering::Relaxed);
                    count[0].store(seen + 1, Ordering::Relaxed);
                    mutex.unlock(|| 1).expect("its own");
                }
                0
            })
        })
        .collect();
    children.into_iter().for_each(|child| assert_eq!(child.join(), 0));
    assert_eq!(count[0].load(Ordering::Relaxed), 9000);
}

#[test]
fn a_scoped_hold_is_released_by_its_holder_alone() {
    let mutex = Mutex::new(segment()).expect("a lock");
    assert_eq!(mutex.unlock(|| 1), Err(ReleaseError::NotHeld));
    assert_eq!(mutex.try_lock(ME), Ok(true));
    assert_eq!(mutex.unlock(|| 2), Err(ReleaseError::NotOwner { pid: std::process::id() }));
    let parent = std::process::id();
    let child = Child::start(|| i32::from(mutex.unlock(|| 1) != Err(ReleaseError::NotOwner { pid: parent })));
    assert_eq!(child.join(), 0);
    mutex.unlock(|| 1).expect("its own");
    assert_eq!(mutex.try_lock(Holder { name: 1, scoped: false }), Ok(true));
    let child = Child::start(|| i32::from(mutex.unlock(|| 9).is_err()));
    assert_eq!(child.join(), 0);
    assert!(!mutex.is_locked());
}

#[test]
fn handles_are_bytes_and_wrong_ones_are_refused() {
    let home = family::home().expect("a family");
    let queue = Queue::new(home, 0).expect("a queue");
    let bytes = queue.object().handle().to_bytes();
    let again =
        Queue::from_object(Object::open(Handle::from_bytes(&bytes).expect("a handle")).expect("open"));
    put(&queue, b"hello");
    assert_eq!(get(&again), b"hello");

    let refused =
        |bytes: &[u8]| Handle::from_bytes(bytes).and_then(Object::<oneloom_shm::queue::Content>::open).err();
    assert!(matches!(refused(&bytes[..20]), Some(Error::Handle(_))));
    let mut other = bytes;
    other[1] = 9;
    assert!(matches!(refused(&other), Some(Error::Handle(_))));
    other = bytes;
    other[9] ^= 1;
    assert_eq!(refused(&other), Some(Error::Foreign));
    other = bytes;
    other[22] ^= 0x40;
    assert_eq!(refused(&other), Some(Error::Gone));
    for flipped in 16..24 {
        other = bytes;
        other[flipped] ^= 0x11;
        assert_eq!(refused(&other), Some(Error::Gone), "byte {flipped}");
    }
    let lock = Mutex::new(home).expect("a lock").object().handle();
    assert_eq!(refused(&lock.to_bytes()), Some(Error::Kind));
}

#[test]
fn a_full_segment_says_so_and_recovers() {
    let segment = Segment::create(2 << 20).expect("a segment");
    let queue = Queue::new(segment, 0).expect("a queue");
    let large = vec![7; 100_000];
    let mut put = 0;
    let full = loop {
        match put_within(&queue, &large, soon()) {
            Ok(done) => assert_eq!(done, Ok(())),
            Err(Stop::Failed(error)) => break error,
            Err(stop) => panic!("{stop:?}"),
        }
        put += 1;
    };
    assert!(matches!(full, Error::Limit { .. }), "{full}");
    assert!(put > 10);
    (0..put).for_each(|_| assert_eq!(get(&queue), large));
    (0..put).for_each(|_| assert_eq!(put_within(&queue, &large, soon()), Ok(Ok(()))));
}

#[test]
fn many_items_go_in_and_out_at_once() {
    let queue = Queue::new(Segment::create(0).expect("a segment"), 0).expect("a queue");
    let numbers: Vec<u64> = (0..1000).collect();
    for size in [1, 2, 10, 300, 1000] {
        let items: Vec<_> = numbers.iter().map(|number| item(*number)).collect();
        items.chunks(size).for_each(|batch| put_many(&queue, batch));
        let mut got = get_many(&queue, 7);
        assert_eq!(got.len(), 7);
        got.extend(get_many(&queue, u64::MAX));
        assert_eq!(got.iter().map(|bytes| number_of(bytes)).collect::<Vec<_>>(), numbers, "{size}");
        assert_eq!(queue.len(), Ok(0));
    }
    let none = get_many_within(&queue, 5, Deadline::after(Some(Duration::ZERO)));
    assert_eq!(none, Err(Stop::TimedOut));
}

#[test]
fn a_batch_waits_until_all_of_it_fits_and_holds_nobody_else_up() {
    let queue = Queue::new(Segment::create(0).expect("a segment"), 4).expect("a queue");
    (0..4).for_each(|number| put(&queue, &item(number)));
    let batch: Vec<_> = (10..13).map(item).collect();
    let moment = Deadline::after(Some(Duration::from_millis(20)));
    assert_eq!(put_many_within(&queue, &batch, moment), Err(Stop::TimedOut));
    let never = put_many_within(&queue, &(0..5).map(item).collect::<Vec<_>>(), soon());
    assert!(matches!(never, Err(Stop::Failed(Error::TooMany { items: 5, maxsize: 4 }))), "{never:?}");
    let many = Child::start(|| {
        put_many(&queue, &batch);
        0
    });
    // Both wait by then, usually, in this order; right either way.
    std::thread::sleep(Duration::from_millis(50));
    let one = Child::start(|| {
        put(&queue, &item(20));
        0
    });
    std::thread::sleep(Duration::from_millis(50));
    // One place is not enough for those who came first, but it is for the other.
    assert_eq!(number_of(&get(&queue)), 0);
    assert_eq!(one.join(), 0);
    assert_eq!(queue.len(), Ok(4));
    let mut got: Vec<_> = (0..3).map(|_| number_of(&get(&queue))).collect();
    assert_eq!(many.join(), 0);
    got.extend(get_many(&queue, 9).iter().map(|bytes| number_of(bytes)));
    assert_eq!(got, [1, 2, 3, 20, 10, 11, 12]);
}

#[test]
fn who_waits_is_counted_and_the_dead_are_not() {
    let queue = Queue::new(segment(), 1).expect("a queue");
    let count = |waiting: [usize; 3]| {
        let started = std::time::Instant::now();
        while queue.waiting() != waiting {
            assert!(started.elapsed() < PATIENCE, "{:?} instead of {waiting:?}", queue.waiting());
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    count([0, 0, 0]);
    let getters: Vec<_> = (0..3)
        .map(|_| {
            Child::start(|| {
                get(&queue);
                0
            })
        })
        .collect();
    count([3, 0, 0]);
    getters[0].kill();
    count([2, 0, 0]);
    (0..2).for_each(|number| put(&queue, &item(number)));
    count([0, 0, 0]);
    let ended: Vec<_> = getters.into_iter().map(Child::join).collect();
    assert_eq!(ended, [-libc::SIGKILL, 0, 0]);
    put(&queue, &item(2));
    let putters: Vec<_> = [vec![item(3)], vec![item(4)]]
        .into_iter()
        .map(|items| {
            let queue = &queue;
            Child::start(move || {
                put_many(queue, &items);
                0
            })
        })
        .collect();
    let joined =
        Child::start(|| i32::from(block(&mut JoinCall { queue: &queue }, soon(), &mut Plainly).is_err()));
    count([0, 2, 1]);
    (0..3).for_each(|_| drop(get(&queue)));
    (0..5).for_each(|_| assert_eq!(queue.task_done(), Ok(Ok(()))));
    putters.into_iter().for_each(|putter| assert_eq!(putter.join(), 0));
    assert_eq!(joined.join(), 0);
    count([0, 0, 0]);
}

#[test]
fn a_bound_in_bytes_counts_what_the_items_have() {
    let bounds = Bounds { maxsize: 0, max_bytes: 20_000 };
    let queue = Queue::bounded(segment(), bounds, false).expect("a queue");
    let moment = || Deadline::after(Some(Duration::from_millis(5)));
    put(&queue, &[1; 8000]);
    put(&queue, &[2; 3]);
    put_many(&queue, &[vec![3; 4096], vec![4; 4097], vec![]]);
    assert_eq!(queue.bytes(), Ok(16_196));
    assert_eq!(put_within(&queue, &[5; 3805], moment()), Err(Stop::TimedOut));
    put(&queue, &[5; 3804]);
    put(&queue, &[]);
    assert_eq!(put_within(&queue, &[6], moment()), Err(Stop::TimedOut));
    let never = put_within(&queue, &[7; 20_001], soon());
    assert!(
        matches!(never, Err(Stop::Failed(Error::TooLarge { items: 1, bytes: 20_001, max_bytes: 20_000 }))),
        "{never:?}"
    );
    let child = Child::start(|| {
        put_many(&queue, &[vec![8; 10_000], vec![9; 5000]]);
        0
    });
    let mut sizes = Vec::new();
    while sizes.last() != Some(&5000) {
        sizes.extend(get_many(&queue, 2).iter().map(Vec::len));
        assert!(queue.bytes().is_ok_and(|bytes| bytes <= 20_000));
    }
    assert_eq!(child.join(), 0);
    assert_eq!(sizes, [8000, 3, 4096, 4097, 0, 3804, 0, 10_000, 5000]);
    assert_eq!(queue.bytes(), Ok(0));
}
