//! Processes that die by SIGKILL at every step of every protocol: nobody hangs, nothing is torn, doubled or lost but for
//! one item that a receiver died with.

// ThreadSanitizer does not survive a fork.
#![cfg(not(any(loom, shuttle, oneloom_tsan)))]

mod support;

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake};
use std::time::{Duration, Instant};

use oneloom_shm::arena;
use oneloom_shm::event::{Event, EventCall};
use oneloom_shm::flow::GetCall;
use oneloom_shm::mutex::{Holder, LockCall, Mutex, Taken};
use oneloom_shm::payload::Item;
use oneloom_shm::priority::PriorityQueue;
use oneloom_shm::queue::Queue;
use oneloom_shm::segment::Segment;
use oneloom_shm::step::{Step, kill_at};
use oneloom_shm::wait::{Call, Waiting, block};
use oneloom_wait::clock::Deadline;
use support::matrix::{killed, kills, note};
use support::*;

const OPERATIONS: u64 = 60;

/// What the child does until it dies: puts items of its round, gets some, takes the lock.
fn busy(queue: &impl Line, mutex: &Mutex, ledger: &Ledger, round: u64, holder: Holder) -> i32 {
    for operation in 0..OPERATIONS {
        ledger.write(BEGUN, operation + 1);
        put_at(queue, &item(round << 16 | operation), operation as i64 * 7 % 10);
        ledger.write(PUT, operation + 1);
        if let Some(bytes) = (operation % 3 != 0).then(|| try_get(queue)).flatten() {
            ledger.got(number_of(&bytes));
        }
        block(&mut LockCall { mutex, holder }, soon(), &mut Plainly).expect("the lock in time");
        mutex.unlock(|| holder.name).expect("its own");
    }
    0
}

struct Scene<Q> {
    queue: Q,
    mutex: Mutex,
    ledger: Ledger,
    killed: u64,
    lost: u64,
    recovered: u64,
}

impl<Q: Line> Scene<Q> {
    fn new() -> Self {
        let segment = Segment::create(0).expect("a segment");
        let (queue, mutex) = (Q::make(segment, 0), Mutex::new(segment).expect("a lock"));
        Self { queue, mutex, ledger: Ledger::new(), killed: 0, lost: 0, recovered: 0 }
    }

    /// One child that dies, or not, while the parent works on the same queue and lock; then the count.
    /// In words, what was seen of it if it died.
    fn round(
        &mut self,
        round: u64,
        what: &str,
        fate: impl FnOnce(),
        kill_after: Option<Duration>,
    ) -> Option<&'static str> {
        self.ledger.reset();
        let holder = Holder { name: 2, scoped: true };
        let child = Child::start(|| {
            fate();
            busy(&self.queue, &self.mutex, &self.ledger, round, holder)
        });
        if let Some(delay) = kill_after {
            std::thread::sleep(delay);
            child.kill();
        }
        let mut seen = HashSet::new();
        let mut add = |number: u64| {
            assert_eq!(number >> 16, round, "{what}: an item of another round");
            assert!(seen.insert(number), "{what}: item {number} came twice");
        };
        let ended = loop {
            match try_get(&self.queue) {
                Some(bytes) => add(number_of(&bytes)),
                None => std::thread::sleep(Duration::from_micros(20)),
            }
            if let Some(status) = child.ended() {
                break status;
            }
        };
        assert!(ended == 0 || ended == -libc::SIGKILL, "{what}: the child ended with {ended}");
        // What the dead owned goes before anybody has passed by and repaired what it was changing.
        let segment = self.queue.object().segment();
        segment.me().and_then(|me| arena::sweep(segment, me)).expect("a sound segment");
        let taken = block(&mut LockCall { mutex: &self.mutex, holder }, soon(), &mut Plainly);
        let taken = taken.unwrap_or_else(|stop| panic!("{what}: the lock is dead: {stop:?}"));
        assert_eq!(self.mutex.is_recovered(), taken == Taken::Recovered);
        self.mutex.unlock(|| holder.name).expect("its own");
        self.recovered += u64::from(taken == Taken::Recovered);
        // What is put now comes after all that the child has put.
        put_at(&self.queue, &item(round << 16 | OPERATIONS), i64::MAX);
        loop {
            let number = number_of(&get(&self.queue));
            if number == (round << 16 | OPERATIONS) {
                break;
            }
            add(number);
        }
        self.ledger.all_got().for_each(&mut add);
        let killed = u64::from(ended != 0);
        let (put, begun) = (self.ledger.read(PUT), self.ledger.read(BEGUN));
        let count = seen.len() as u64;
        assert!(count <= begun, "{what}: {count} items of {begun}");
        assert!(count + killed >= put, "{what}: {count} items of {put}, {killed} killed");
        assert_eq!(self.queue.len(), Ok(0), "{what}");
        self.killed += killed;
        let lost = put.saturating_sub(count);
        self.lost += lost;
        (killed > 0).then_some(match (lost, taken) {
            (0, Taken::Clean) => "nothing lost",
            (0, Taken::Recovered) => "nothing lost, lock recovered",
            (_, Taken::Clean) => "what it was taking lost",
            (_, Taken::Recovered) => "what it was taking lost, lock recovered",
        })
    }
}

/// Steps that a busy child does not come to; each has a test of its own, below, in `deadlocks`,
/// `deaths_sync`, `deaths_at_meetings` or `deaths_of_holders`.
const ELSEWHERE: [Step; 55] = [
    Step::WaitLinked,
    Step::WaitWritten,
    Step::WaitShown,
    Step::VerdictEntered,
    Step::VerdictReached,
    Step::VerdictLeft,
    Step::WaitHidden,
    Step::DepthWritten,
    Step::DepthCleared,
    Step::PermitTaken,
    Step::PermitReturned,
    Step::FreeWritten,
    Step::HoldFreed,
    Step::PermitsCounted,
    Step::SemaphoreLeft,
    Step::SemaphoreTold,
    Step::ChildExpected,
    Step::ChildBorn,
    Step::HoldingsMade,
    Step::HoldingGiven,
    Step::HoldingLinked,
    Step::ItemShared,
    Step::HoldStruck,
    Step::HoldingUnlinked,
    Step::ItemReclaimed,
    Step::SeatTaken,
    Step::SeatsLinked,
    Step::SeatsOwned,
    Step::SeatNotified,
    Step::SeatWoken,
    Step::SeatRelieved,
    Step::SeatLeft,
    Step::PartySeated,
    Step::PartyActs,
    Step::PartyLeft,
    Step::BreakNoted,
    Step::RoundEnded,
    Step::SeatsCleared,
    Step::BarrierRepaired,
    Step::BarrierTold,
    Step::FlagRaised,
    Step::FlagTold,
    Step::BlockCarved,
    Step::FileGrown,
    Step::SizeWritten,
    Step::MutexTakenOver,
    Step::TailRepaired,
    Step::HeadRepaired,
    Step::HeapMade,
    Step::HeapRetired,
    Step::HeapNamed,
    Step::HeapOwned,
    Step::HeapRebuilt,
    Step::WordBumped,
    Step::MaskTaken,
];

/// Steps of queues whose items are acknowledged; see `deaths_of_receivers`.
const OF_PENDING_ITEMS: [Step; 8] = [
    Step::SlotFilled,
    Step::SlotsCounted,
    Step::PageLinked,
    Step::SlotOrphaned,
    Step::SlotTakenOver,
    Step::ItemClaimed,
    Step::ItemAcknowledged,
    Step::DoneTold,
];

/// Steps of priority queues alone.
const OF_PRIORITY_QUEUES: [Step; 10] = [
    Step::ItemCopied,
    Step::OrderEntered,
    Step::ItemLabelled,
    Step::ItemPut,
    Step::ItemIndexed,
    Step::ItemCounted,
    Step::ItemTaken,
    Step::ItemRemoved,
    Step::OrderLeft,
    Step::ItemTold,
];

#[test]
fn a_process_killed_after_any_step_harms_nobody() {
    let elsewhere = [&ELSEWHERE[..], &OF_PRIORITY_QUEUES, &OF_PENDING_ITEMS].concat();
    let here = |step: &Step| !elsewhere.contains(step);
    harm_nobody::<Queue>(Step::ALL.iter().copied().filter(here));
}

#[test]
fn one_killed_after_any_step_of_a_priority_queue_harms_nobody() {
    harm_nobody::<PriorityQueue>(OF_PRIORITY_QUEUES.into_iter());
}

fn harm_nobody<Q: Line>(steps: impl Iterator<Item = Step>) {
    let most = 4 * kills(12);
    for (index, step) in steps.enumerate() {
        let mut scene = Scene::<Q>::new();
        let mut passes = 0;
        for round in 0..most {
            let what = format!("{step:?} after {passes} passes, round {round}");
            let saw = scene.round(index as u64 * most + round, &what, || kill_at(step, passes), None);
            // As late as it is still passed, some steps are passed only once.
            passes = if saw.is_some() { (passes * 3 + 1) % 50 } else { passes / 2 };
            saw.into_iter().for_each(|saw| killed(step, saw));
            if scene.killed == kills(12) {
                break;
            }
        }
        println!(
            "{step:?}: {} killed, {} items lost, {} locks recovered",
            scene.killed, scene.lost, scene.recovered
        );
        assert_eq!(scene.killed, kills(12), "{step:?} is not passed often enough");
    }
}

#[test]
fn one_killed_while_memory_grows_harms_nobody() {
    for step in [Step::FileGrown, Step::SizeWritten, Step::BlockCarved] {
        for round in 0..kills(2) {
            apart(|| {
                let segment = Segment::create(0).expect("a segment");
                let child = Child::start(|| {
                    kill_at(step, round as u32 % 2);
                    let queue = Queue::new(segment, 0).expect("a queue");
                    (0..2000).for_each(|number| put(&queue, &item(number)));
                    0
                });
                assert_eq!(child.join(), -libc::SIGKILL, "{step:?}");
                let queue = Queue::new(segment, 0).expect("a queue");
                (0..500).for_each(|number| put(&queue, &item(number)));
                assert!((0..500).all(|number| number_of(&get(&queue)) == number), "{step:?}");
            });
            killed(step, "the memory grew for others");
        }
    }
}

/// What repairs is killed over it, too, and then a third repairs.
#[test]
fn one_killed_while_it_repairs_harms_nobody() {
    for (first, second, saw) in [
        (Step::Committed, Step::TailRepaired, "what the first had put was there"),
        (Step::PayloadOwned, Step::TailRepaired, "nothing was put"),
        (Step::Taken, Step::HeadRepaired, "what the first was taking lost"),
        (Step::PayloadTaken, Step::HeadRepaired, "what the first was taking lost"),
    ] {
        for _ in 0..kills(1) {
            apart(|| one_dies_over_the_repair_of(first, second));
            killed(second, saw);
        }
    }
}

fn one_dies_over_the_repair_of(first: Step, second: Step) {
    let large = |number: u64| number * 5;
    let queue = Queue::new(Segment::create(0).expect("a segment"), 0).expect("a queue");
    put(&queue, &item(large(1)));
    put(&queue, &item(large(2)));
    for (step, number) in [(first, 3), (second, 4)] {
        let child = Child::start(|| {
            kill_at(step, 0);
            put(&queue, &item(large(number)));
            number_of(&get(&queue));
            0
        });
        assert_eq!(child.join(), -libc::SIGKILL, "{first:?}, {second:?}, {step:?}");
    }
    put(&queue, &item(large(5)));
    let mut left = vec![number_of(&get(&queue)) / 5];
    while left.last() != Some(&5) {
        left.push(number_of(&get(&queue)) / 5);
    }
    let expected: &[u64] = match second {
        // Both senders died before they had put anything.
        Step::TailRepaired if first == Step::PayloadOwned => &[1, 2, 5],
        // The second sender died before it had put anything.
        Step::TailRepaired => &[1, 2, 3, 5],
        // The first receiver died with an item, the second before it had one, but after it had put.
        _ => &[2, 3, 4, 5],
    };
    assert_eq!(left, expected, "{first:?}, {second:?}");
}

#[test]
fn a_lock_survives_two_owners_in_a_row() {
    let holder = Holder { name: 1, scoped: true };
    for _ in 0..kills(1) {
        apart(|| {
            let mutex = Mutex::new(Segment::create(0).expect("a segment")).expect("a lock");
            for step in [Step::MutexTaken, Step::MutexTakenOver] {
                let child = Child::start(|| {
                    kill_at(step, 0);
                    let taken = block(&mut LockCall { mutex: &mutex, holder }, soon(), &mut Plainly);
                    i32::from(taken.is_err())
                });
                assert_eq!(child.join(), -libc::SIGKILL, "{step:?}");
                assert!(mutex.is_locked());
            }
            let taken = block(&mut LockCall { mutex: &mutex, holder }, soon(), &mut Plainly);
            assert_eq!(taken, Ok(Taken::Recovered));
        });
        killed(Step::MutexTakenOver, "lock recovered");
    }
}

/// Wakes the thread that runs it.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn run<C: Call>(call: C) -> C::Output {
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut waiting = Waiting::new(call);
    let started = Instant::now();
    loop {
        match Pin::new(&mut waiting).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output.expect("a sound segment"),
            Poll::Pending => std::thread::park_timeout(PATIENCE),
        }
        assert!(started.elapsed() < PATIENCE, "the task hangs");
    }
}

#[test]
fn a_task_gets_what_a_sender_died_over() {
    for step in [Step::Committed, Step::TailLeft, Step::WordBumped, Step::MaskTaken, Step::PutTold] {
        for _ in 0..kills(1) {
            apart(|| {
                let queue = Queue::new(Segment::create(0).expect("a segment"), 0).expect("a queue");
                let child = Child::start(|| {
                    // The task waits by then, usually; the last two steps are passed only if it does.
                    std::thread::sleep(Duration::from_millis(100));
                    kill_at(step, 0);
                    put(&queue, &item(2));
                    0
                });
                let got = run(GetCall { queue: &queue, buffer: Vec::new() });
                assert!(matches!(got, Ok(Item::Small { bytes, .. }) if number_of(&bytes) == 2), "{step:?}");
                assert_eq!(child.join(), -libc::SIGKILL, "{step:?}");
            });
            killed(step, "a task that waited got the item");
        }
    }
}

#[test]
fn whoever_waits_for_a_flag_goes_on_if_it_is_up() {
    for step in [Step::FlagRaised, Step::WordBumped, Step::FlagTold] {
        for _ in 0..kills(1) {
            apart(|| {
                let event = Event::new(Segment::create(0).expect("a segment")).expect("an event");
                let child = Child::start(|| {
                    // The parent is in its long sleep by then, usually; right either way.
                    std::thread::sleep(Duration::from_millis(80));
                    kill_at(step, 0);
                    i32::from(event.set().is_err())
                });
                let started = Instant::now();
                let waited = block(&mut EventCall::new(&event), soon(), &mut Plainly);
                assert_eq!(waited, Ok(()), "{step:?}");
                // At its deadline it would have looked once more.
                assert!(started.elapsed() < PATIENCE / 2, "{step:?}: nobody woke the waiter");
                assert!(event.is_set());
                assert_eq!(child.join(), -libc::SIGKILL, "{step:?}");
                event.clear();
                assert!(!event.is_set());
            });
            killed(step, "a thread that waited went on");
        }
    }
}

#[test]
fn the_memory_of_the_dead_is_used_again() {
    let segment = Segment::create(16 << 20).expect("a segment");
    let queue = Queue::new(segment, 0).expect("a queue");
    // Far more than fits, if those who die keep what they have allocated, taken, or were just giving back.
    for round in 0..90 {
        let step = [Step::TailEntered, Step::PayloadTaken, Step::BlockFreed][round % 3];
        let child = Child::start(|| {
            kill_at(step, 0);
            put(&queue, &vec![1; 1 << 20]);
            drop(get(&queue));
            0
        });
        assert_eq!(child.join(), -libc::SIGKILL, "round {round}");
        put(&queue, &vec![2; 1 << 20]);
        assert_eq!(get(&queue).len(), 1 << 20);
    }
}

#[test]
fn a_process_killed_at_any_instant_harms_nobody() {
    harm_nobody_at_any_instant::<Queue>();
}

#[test]
fn one_killed_at_any_instant_of_a_priority_queue_harms_nobody() {
    harm_nobody_at_any_instant::<PriorityQueue>();
}

fn harm_nobody_at_any_instant<Q: Line>() {
    let mut random =
        std::process::id() as u64 ^ std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos() as u64);
    println!("seed {random}");
    let when = format!("a random instant (seed {random})");
    let mut scene = Scene::<Q>::new();
    for round in 0.. {
        if scene.killed == 250 * stress() {
            break;
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let delay = Duration::from_nanos((random >> 33) % 500_000);
        let saw = scene.round(round, &format!("killed after {delay:?}, round {round}"), || {}, Some(delay));
        saw.into_iter().for_each(|saw| note(&when, saw));
    }
    println!("{} killed, {} items lost, {} locks recovered", scene.killed, scene.lost, scene.recovered);
}

#[test]
fn a_receiver_asleep_for_long_gets_what_a_sender_died_over() {
    let steps = [Step::Committed, Step::TailLeft, Step::WordBumped, Step::PutTold];
    for step in steps {
        let queue = Queue::new(Segment::create(0).expect("a segment"), 0).expect("a queue");
        let child = Child::start(|| {
            // The parent is in its long sleep by then, usually; right either way.
            std::thread::sleep(Duration::from_millis(80));
            kill_at(step, 0);
            put(&queue, &item(2));
            0
        });
        let started = Instant::now();
        assert_eq!(number_of(&get(&queue)), 2, "{step:?}");
        assert!(started.elapsed() < PATIENCE / 2, "{step:?}: nobody woke the receiver");
        assert_eq!(child.join(), -libc::SIGKILL, "{step:?}");
        killed(step, "a thread that waited got the item");
    }
}

#[test]
fn a_waiter_asleep_for_long_gets_the_lock_that_another_process_gave_back_for_its_owner() {
    let mutex = Mutex::new(Segment::create(0).expect("a segment")).expect("a lock");
    let holder = Holder { name: 1, scoped: false };
    assert_eq!(mutex.try_lock(holder), Ok(true));
    let child = Child::start(|| {
        std::thread::sleep(Duration::from_millis(80));
        kill_at(Step::MutexReleased, 0);
        i32::from(mutex.unlock(|| 1).is_err())
    });
    let started = Instant::now();
    assert_eq!(block(&mut LockCall { mutex: &mutex, holder }, soon(), &mut Plainly), Ok(Taken::Clean));
    assert!(started.elapsed() < PATIENCE / 2, "nobody woke the waiter");
    assert_eq!(child.join(), -libc::SIGKILL);
}

#[test]
fn a_waiter_asleep_for_long_gets_the_lock_of_one_that_dies() {
    let mutex = Mutex::new(Segment::create(0).expect("a segment")).expect("a lock");
    let taken = shared_numbers(1);
    let child = Child::start(|| {
        assert_eq!(mutex.try_lock(Holder { name: 3, scoped: true }), Ok(true));
        taken[0].store(1, Ordering::SeqCst);
        std::thread::sleep(PATIENCE);
        0
    });
    while taken[0].load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    let waiter = Child::start(|| {
        let mut call = LockCall { mutex: &mutex, holder: Holder { name: 4, scoped: true } };
        i32::from(block(&mut call, Deadline::Never, &mut Plainly) != Ok(Taken::Recovered))
    });
    std::thread::sleep(Duration::from_millis(100));
    child.kill();
    assert_eq!(waiter.join(), 0);
    assert_eq!(child.join(), -libc::SIGKILL);
    // The waiter has ended without releasing.
    let mut call = LockCall { mutex: &mutex, holder: Holder { name: 1, scoped: true } };
    assert_eq!(block(&mut call, soon(), &mut Plainly), Ok(Taken::Recovered));
}
