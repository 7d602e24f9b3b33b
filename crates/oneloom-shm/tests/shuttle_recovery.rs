//! Processes that die at any step, in random interleavings: four of them, one of which dies, in a model that chooses where
//! each goes on.
//!
//! Each test prints its seed; `ONELOOM_SEED` repeats it, and `ONELOOM_STRESS` runs that many times more.

#![cfg(shuttle)]

mod support;

use std::collections::HashSet;
use std::iter;
use std::sync::{Arc, Mutex as StdMutex};

use oneloom_shm::arena::{self, Kind, Whose};
use oneloom_shm::flow::{AnyQueue, GetCall, ShutDown};
use oneloom_shm::handle::{Handle, Object};
use oneloom_shm::mutex::{Holder, LockCall, Mutex, Taken};
use oneloom_shm::priority::PriorityQueue;
use oneloom_shm::process::modelled::{begin, deaths_at, killed_at, start};
use oneloom_shm::queue::Queue;
use oneloom_shm::segment::Segment;
use oneloom_shm::semaphore::{AcquireCall, Returned, Semaphore};
use oneloom_shm::step::Step;
use oneloom_shm::wait::{Call, block};
use oneloom_wait::atomic::{AtomicU32, Ordering};
use oneloom_wait::clock::Deadline;
use oneloom_wait::owner::modelled::Owners;
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};
use support::{Line, Plainly, bytes_of, item, number_of, stress};

/// The memory of a model's segment.
const BYTES: u64 = 512 << 10;

/// Runs a scenario in random interleavings, and in ones with few but unlucky switches; then looks whether a process has
/// died at each of the `steps`.
fn explore(usual: u64, steps: &[Step], scenario: impl Fn() + Send + Sync + Clone + 'static) {
    let seed = seed();
    let rounds = (usual * stress()) as usize;
    let mut config = Config::new();
    config.stack_size = 1 << 16;
    Runner::new(RandomScheduler::new_from_seed(seed, rounds), config.clone()).run(scenario.clone());
    Runner::new(PctScheduler::new_from_seed(seed, 3, rounds), config).run(scenario);
    let never: Vec<_> = steps.iter().filter(|step| deaths_at(**step) == 0).collect();
    assert!(never.is_empty(), "nobody has died at {never:?}");
}

/// Where random choices start: from `ONELOOM_SEED`, or from the clock. Printed in either case.
fn seed() -> u64 {
    let given = std::env::var("ONELOOM_SEED").ok().and_then(|text| text.parse().ok());
    let seed =
        given.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_nanos() as u64));
    println!("ONELOOM_SEED={seed}");
    seed
}

/// After how many steps a process is to die, so that any of about `most` is as likely.
fn some_time(most: u32) -> Option<u32> {
    Some(thread_rng().gen_range(0..most))
}

fn wait<C: Call>(mut call: C) -> C::Output {
    block(&mut call, Deadline::Never, &mut Plainly).expect("a sound segment")
}

/// The lists that outlive a process: what it had begun to put, what it had put, what it had got.
#[derive(Clone, Default)]
struct Ledger(Arc<StdMutex<[Vec<u64>; 3]>>);

const BEGUN: usize = 0;
const PUT: usize = 1;
const GOT: usize = 2;

impl Ledger {
    fn note(&self, list: usize, number: u64) {
        self.0.lock().expect("nobody dies here")[list].push(number);
    }

    fn read(&self, list: usize) -> Vec<u64> {
        self.0.lock().expect("nobody dies here")[list].clone()
    }
}

fn queue_in<Q: Line>(segment: &'static Segment, handle: Handle) -> Q {
    Q::from_object(Object::open_in(segment, handle).expect("an object"))
}

fn send(queue: &impl Line, ledger: &Ledger, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        ledger.note(BEGUN, number);
        let put = queue.put_within(&item(number), number as i64 % 3, Deadline::Never);
        assert_eq!(put.expect("a sound segment"), Ok(()));
        ledger.note(PUT, number);
    }
}

fn receive(queue: &impl Line, ledger: &Ledger) -> bool {
    let mut buffer = Vec::new();
    let got = queue.try_get(&mut buffer).expect("a sound segment");
    match got.unwrap_or_else(|| wait(GetCall { queue, buffer })) {
        Ok(got) => ledger.note(GOT, number_of(&bytes_of(got))),
        Err(ShutDown) => return false,
    }
    true
}

/// Everything that was put came out once, but for one item that a receiver may have died with.
fn check(ledger: &Ledger, receivers_killed: usize) {
    let got = ledger.read(GOT);
    let once: HashSet<_> = got.iter().collect();
    assert_eq!(once.len(), got.len(), "an item came twice: {got:?}");
    let begun = ledger.read(BEGUN);
    assert!(got.iter().all(|number| begun.contains(number)), "an item that nobody has put: {got:?}");
    let lost: Vec<_> = ledger.read(PUT).into_iter().filter(|number| !once.contains(number)).collect();
    assert!(lost.len() <= receivers_killed, "lost {lost:?}, {receivers_killed} receivers killed");
}

fn sweep(segment: &'static Segment) {
    arena::sweep(segment, segment.me().expect("a member")).expect("a sound segment");
}

/// After a sweep there is what each object needs, and else nothing: of `objects`, kinds and how many there are.
fn check_memory(segment: &'static Segment, objects: &[(Kind, usize)]) {
    sweep(segment);
    // Whoever enters the arena notices what the dead have left there.
    let me = segment.me().expect("a member");
    arena::allocate(segment, me, Kind::Payload, 1).and_then(|block| block.free(me)).expect("memory");
    let census = arena::census(segment);
    // A process that lives keeps what shows its waits.
    let kept = |block: &&(u32, Whose)| **block == (Kind::Wait as u32, Whose::Process);
    let used: Vec<_> =
        census.iter().filter(|block| block.1 != Whose::Free && !kept(block)).copied().collect();
    let needed =
        objects.iter().flat_map(|(kind, count)| iter::repeat_n((*kind as u32, Whose::Object), *count));
    let mut missing: Vec<_> = needed.collect();
    for block in &used {
        let place = missing.iter().position(|needed| needed == block);
        let place =
            place.unwrap_or_else(|| panic!("{block:?} is left of {used:?}, killed at {:?}", killed_at()));
        missing.swap_remove(place);
    }
    assert!(missing.is_empty(), "{missing:?} is gone, killed at {:?}", killed_at());
}

/// What an empty queue consists of: itself, and one part of this kind.
const CHUNKS: [Kind; 2] = [Kind::Queue, Kind::Chunk];
const HEAP: [Kind; 2] = [Kind::PriorityQueue, Kind::Heap];

/// Two senders and two receivers, one of which dies.
fn one_of_four_dies<Q: Line>(maxsize: u64, [queue_kind, part]: [Kind; 2]) {
    let segment = begin(BYTES);
    let queue = Q::make(segment, maxsize);
    let handle = queue.object().handle();
    let ledger = Ledger::default();
    let victim = thread_rng().gen_range(0..4);
    let fate = |process| if process == victim { some_time(60) } else { None };
    let senders = [0, 1].map(|sender| {
        let ledger = ledger.clone();
        start(segment, fate(sender), move |segment| {
            // Large ones, which come to stand in the same memory, some of which a chunk holds but two, and a small one.
            send(
                &queue_in::<Q>(segment, handle),
                &ledger,
                [0, 1, 6, 11, 2, 70].into_iter().map(|kind| sender * 100 + kind),
            );
        })
    });
    let receivers = [2, 3].map(|receiver| {
        let ledger = ledger.clone();
        start(segment, fate(receiver), move |segment| {
            let queue = queue_in::<Q>(segment, handle);
            while receive(&queue, &ledger) {}
        })
    });
    for sender in senders {
        sender.join().expect("a sound process");
        // While others work.
        sweep(segment);
    }
    queue.shut_down(false).expect("a sound segment");
    let ended = receivers.map(|receiver| receiver.join().expect("a sound process").is_some());
    while receive(&queue, &ledger) {}
    check(&ledger, ended.iter().filter(|ended| !**ended).count());
    check_memory(segment, &[(queue_kind, 1), (part, 1)]);
}

const OF_QUEUES: &[Step] = &[
    Step::RecordClaimed,
    Step::RecordWritten,
    Step::BlockMarked,
    Step::BlockUnlinked,
    Step::BlockCarved,
    Step::BlockFreed,
    Step::BlockLinked,
    Step::TailEntered,
    Step::ChunkMade,
    Step::ChunkLinked,
    Step::TailMoved,
    Step::ChunkOwned,
    Step::RecordStarted,
    Step::PayloadWritten,
    Step::Committed,
    Step::PayloadOwned,
    Step::TailLeft,
    Step::PutTold,
    Step::HeadEntered,
    Step::ChunkRetired,
    Step::HeadMoved,
    Step::PayloadRead,
    Step::TakingWritten,
    Step::Taken,
    Step::PayloadTaken,
    Step::HeadLeft,
    Step::GetTold,
    Step::WordBumped,
];

#[test]
fn a_queue_loses_nothing_whoever_dies() {
    explore(1000, OF_QUEUES, || one_of_four_dies::<Queue>(0, CHUNKS));
}

#[test]
fn a_bounded_queue_loses_nothing_whoever_dies() {
    explore(1000, OF_QUEUES, || one_of_four_dies::<Queue>(2, CHUNKS));
}

const OF_PRIORITY_QUEUES: &[Step] = &[
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
fn a_priority_queue_loses_nothing_whoever_dies() {
    explore(400, OF_PRIORITY_QUEUES, || one_of_four_dies::<PriorityQueue>(0, HEAP));
}

#[test]
fn a_bounded_priority_queue_loses_nothing_whoever_dies() {
    explore(400, OF_PRIORITY_QUEUES, || one_of_four_dies::<PriorityQueue>(2, HEAP));
}

/// The sweep comes before anybody else has repaired what the dead one was changing.
#[test]
fn what_a_dead_receiver_had_left_is_swept_and_no_more() {
    let steps = [Step::ChunkRetired, Step::HeadMoved, Step::TakingWritten, Step::Taken, Step::PayloadTaken];
    explore(200, &steps, || {
        let segment = begin(BYTES);
        let queue = Queue::new(segment, 0).expect("a queue");
        let (handle, ledger) = (queue.object().handle(), Ledger::default());
        send(&queue, &ledger, [0, 1, 6, 11, 5].into_iter());
        let receiver = start(segment, some_time(40), {
            let ledger = ledger.clone();
            move |segment| (0..5).for_each(|_| assert!(receive(&queue_in::<Queue>(segment, handle), &ledger)))
        });
        assert!(queue.len().expect("a sound segment") <= 5);
        let killed = receiver.join().expect("a sound process").is_none();
        sweep(segment);
        queue.shut_down(false).expect("a sound segment");
        while receive(&queue, &ledger) {}
        check(&ledger, usize::from(killed));
        check_memory(segment, &[(Kind::Queue, 1), (Kind::Chunk, 1)]);
    });
}

/// A sender fills a chunk and goes on to the next, while a receiver has found the first one empty.
#[test]
fn what_is_put_while_a_receiver_looks_is_not_passed_over() {
    explore(2000, &[], || {
        let segment = begin(BYTES);
        let queue = Queue::new(segment, 0).expect("a queue");
        let (handle, ledger) = (queue.object().handle(), Ledger::default());
        let sender = start(segment, None, {
            let ledger = ledger.clone();
            move |segment| send(&queue_in::<Queue>(segment, handle), &ledger, [1, 6, 11].into_iter())
        });
        (0..3).for_each(|_| assert!(receive(&queue, &ledger)));
        sender.join().expect("a sound process");
        assert_eq!(ledger.read(GOT), [1, 6, 11]);
    });
}

#[test]
fn a_lock_goes_on_whoever_dies() {
    let steps = [
        Step::MutexTaken,
        Step::MutexHolderWritten,
        Step::MutexHolderCleared,
        Step::MutexReleased,
        Step::MutexTakenOver,
        Step::WordBumped,
    ];
    explore(2000, &steps, || {
        // Whoever waits for a lock looks for circles, in its own process, too.
        let _owners = Owners::new(8);
        let segment = begin(BYTES);
        let mutex = Mutex::new(segment).expect("a lock");
        let handle = mutex.object().handle();
        let recovered = Arc::new(StdMutex::new(0));
        let inside = Arc::new(AtomicU32::new(0));
        // Only who holds it so is looked at for deadlocks, which ends each sleep in time.
        let scoped = thread_rng().gen_range(0..2) == 0;
        let hold = move |mutex: &Mutex, name: u64, recovered: &StdMutex<u32>, inside: &AtomicU32| {
            let taken = wait(LockCall { mutex, holder: Holder { name, scoped } });
            assert_eq!(mutex.is_recovered(), taken == Taken::Recovered);
            let before = inside.swap(name as u32, Ordering::SeqCst);
            // Whoever died inside did not come to say that it was leaving.
            assert!(before == 0 || taken == Taken::Recovered, "two are inside");
            *recovered.lock().expect("nobody dies here") += u32::from(taken == Taken::Recovered);
            inside.store(0, Ordering::SeqCst);
            mutex.unlock(|| name).expect("its own");
        };
        let mut held = 0;
        let dying = thread_rng().gen_range(1..=2);
        let processes: Vec<_> = (1..=3)
            .map(|name| {
                let (recovered, inside) = (recovered.clone(), inside.clone());
                let fate = if name <= dying { some_time(14) } else { None };
                start(segment, fate, move |segment| {
                    let mutex = Mutex::from_object(Object::open_in(segment, handle).expect("an object"));
                    (0..2).for_each(|_| hold(&mutex, name, &recovered, &inside));
                })
            })
            .collect();
        for process in processes {
            held += u32::from(process.join().expect("a sound process").is_none());
        }
        hold(&mutex, 4, &recovered, &inside);
        let holding =
            [Step::MutexTaken, Step::MutexHolderWritten, Step::MutexHolderCleared, Step::MutexTakenOver];
        let recovered = *recovered.lock().expect("nobody dies here");
        if held == 1 {
            let died_holding = killed_at().is_some_and(|step| holding.contains(&step));
            assert_eq!(recovered, u32::from(died_holding), "{:?}", killed_at());
        }
        assert!(recovered <= held && !mutex.is_locked());
        check_memory(segment, &[(Kind::Mutex, 1)]);
    });
}

#[test]
fn a_semaphore_has_all_its_permits_whoever_dies() {
    const PERMITS: u64 = 2;
    let steps = [
        Step::PermitTaken,
        Step::PermitReturned,
        Step::FreeWritten,
        Step::SemaphoreLeft,
        Step::SemaphoreTold,
        Step::HoldFreed,
        Step::PermitsCounted,
    ];
    explore(1000, &steps, || {
        let segment = begin(BYTES);
        let semaphore = Semaphore::new(segment, PERMITS, true).expect("a semaphore");
        let (handle, inside) = (semaphore.object().handle(), Arc::new(AtomicU32::new(0)));
        // Given back by one who lives on: nobody's end wakes those who wait.
        (0..PERMITS).for_each(|_| _ = wait(AcquireCall { semaphore: &semaphore, scoped: true }));
        let dying = thread_rng().gen_range(1..=2);
        let processes: Vec<_> = (1..=3)
            .map(|name| {
                let inside = inside.clone();
                let fate = if name <= dying { some_time(20) } else { None };
                start(segment, fate, move |segment| {
                    let object = Object::open_in(segment, handle).expect("an object");
                    let semaphore = Semaphore::from_object(object);
                    for _ in 0..2 {
                        wait(AcquireCall { semaphore: &semaphore, scoped: true });
                        // Nobody dies here, so that the count is of those who live.
                        assert!(
                            inside.fetch_add(1, Ordering::SeqCst) < PERMITS as u32,
                            "too many are inside"
                        );
                        inside.fetch_sub(1, Ordering::SeqCst);
                        semaphore.release(Returned::Scoped).expect("its own");
                    }
                })
            })
            .collect();
        // Often they are asleep by then.
        (0..100).for_each(|_| shuttle::thread::yield_now());
        (0..PERMITS).for_each(|_| semaphore.release(Returned::Scoped).expect("its own"));
        processes.into_iter().for_each(|process| _ = process.join().expect("a sound process"));
        (0..PERMITS).for_each(|_| _ = wait(AcquireCall { semaphore: &semaphore, scoped: true }));
        assert_eq!(semaphore.try_acquire(true), Ok(None), "a permit too many");
        (0..PERMITS).for_each(|_| semaphore.release(Returned::Scoped).expect("its own"));
        assert_eq!(semaphore.value(), PERMITS);
        check_memory(segment, &[(Kind::Semaphore, 1)]);
    });
}
