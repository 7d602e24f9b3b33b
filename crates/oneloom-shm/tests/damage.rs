//! A segment in use, in which random words are overwritten: whatever is called then ends, with an error or a wrong answer,
//! but neither crashes, nor reads outside the segment, nor loops for ever.
//!
//! The rounds are always the same ones; with `ONELOOM_STRESS` above 1 there are many times as many, different in every
//! run. Each is a process of its own and prints its seed; `ONELOOM_SEED` repeats one.

// ThreadSanitizer does not survive a fork.
#![cfg(not(any(loom, shuttle, oneloom_tsan)))]

mod support;

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use oneloom_shm::arena;
use oneloom_shm::barrier::{ArriveCall, Barrier};
use oneloom_shm::condition::{Condition, LettingGo, NotifiedCall};
use oneloom_shm::event::{Event, EventCall};
use oneloom_shm::flow::{AnyQueue, GetCall, JoinCall};
use oneloom_shm::handle::{Handle, Object, Shared};
use oneloom_shm::held::Held;
use oneloom_shm::layout::{BLOCKS_AT, RECORDS_AT};
use oneloom_shm::mutex::{Holder, LockCall, Mutex};
use oneloom_shm::payload::Item;
use oneloom_shm::priority::{self, Priority, PriorityQueue};
use oneloom_shm::queue::{self, Batch, Bounds, GetManyCall, Part, Queue, Receipt};
use oneloom_shm::reentrant::{ReentrantCall, ReentrantMutex};
use oneloom_shm::segment::Segment;
use oneloom_shm::semaphore::{AcquireCall, Returned, Semaphore};
use oneloom_shm::wait::{Call, Waiting, block};
use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::Deadlock;
use oneloom_wait::wait::{Environment, Judgement};
use support::*;

struct Random(u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.word() % limit.max(1)
    }
}

/// Gives up when it is woken for the second time.
struct Hasty(u32);

impl Environment for Hasty {
    fn is_interruptible(&self) -> bool {
        true
    }

    fn interrupted(&mut self) -> bool {
        self.0 += 1;
        self.0 > 1
    }

    fn judge(&mut self, _deadlock: &Deadlock) -> Judgement {
        Judgement::KeepWaiting
    }
}

/// A condition's lock that anybody lets go of at any time.
struct Unheld;

impl LettingGo for Unheld {
    fn let_go(&mut self) -> bool {
        true
    }

    fn is_abandoned(&self) -> bool {
        false
    }
}

const ME: Holder = Holder { name: 1, scoped: true };
const ANOTHER: Holder = Holder { name: 2, scoped: false };
/// As large as the segment may become.
const LIMIT: u64 = 6 << 20;

/// A segment with objects in use.
struct Scene {
    segment: &'static Segment,
    queues: Vec<Queue>,
    priorities: Vec<PriorityQueue>,
    mutex: Mutex,
    reentrant: ReentrantMutex,
    semaphore: Semaphore,
    event: Event,
    condition: Condition,
    barrier: Barrier,
    /// Items that were taken and not given back.
    held: Vec<Held>,
    /// What may be acknowledged.
    receipts: Vec<Receipt>,
}

impl Scene {
    fn new(on_heap: bool) -> Self {
        let segment = if on_heap { Segment::on_heap(2 << 20) } else { Segment::create(LIMIT) };
        let segment = segment.expect("a segment");
        let bounds = Bounds { maxsize: 0, max_bytes: 50_000 };
        let mut scene = Self {
            segment,
            queues: vec![
                Queue::make(segment, 0),
                Queue::make(segment, 5),
                Queue::bounded(segment, bounds, false).expect("a queue"),
                Queue::bounded(segment, bounds, true).expect("a queue"),
            ],
            priorities: vec![PriorityQueue::make(segment, 0), PriorityQueue::make(segment, 5)],
            mutex: Mutex::new(segment).expect("a lock"),
            reentrant: ReentrantMutex::new(segment).expect("a lock"),
            semaphore: Semaphore::new(segment, 3, true).expect("a semaphore"),
            event: Event::new(segment).expect("an event"),
            condition: Condition::new(segment).expect("a condition"),
            barrier: Barrier::new(segment, 3).expect("a barrier"),
            held: Vec::new(),
            receipts: Vec::new(),
        };
        let mut buffer = Vec::new();
        for number in 0..4 {
            scene.queues.iter().for_each(|queue| put(queue, &item(number)));
            scene.priorities.iter().for_each(|queue| put_at(queue, &item(number), number as i64 % 3));
        }
        // Beyond one chunk, and beyond the first heap.
        (4..60).for_each(|number| put(&scene.queues[0], &item(number)));
        (4..60).for_each(|number| put_at(&scene.priorities[0], &item(number), number as i64 % 7));
        for _ in 0..3 {
            let _ = scene.queues[0].try_get(&mut buffer);
            let _ = scene.priorities[0].try_get(&mut buffer);
        }
        let lent = hold(&scene.queues[3], 2, soon()).expect("items");
        scene.receipts.extend(lent.into_iter().map(|(_, receipt)| receipt));
        assert_eq!(scene.mutex.try_lock(ME), Ok(true));
        assert_eq!(scene.reentrant.try_lock(1), Ok(true));
        assert!(scene.semaphore.try_acquire(true).is_ok());
        scene.event.set().expect("a member");
        scene
    }

    fn word(&self, offset: u64) -> Option<&'static AtomicU64> {
        let place = self.segment.bytes(offset / 8 * 8, 8).ok()?;
        // SAFETY: inside the segment, aligned, and never unmapped.
        Some(unsafe { place.cast().as_ref() })
    }

    fn halves(&self, offset: u64) -> Option<&'static [AtomicU32; 2]> {
        let place = self.segment.bytes(offset / 8 * 8, 8).ok()?;
        // SAFETY: as for `word`.
        Some(unsafe { place.cast().as_ref() })
    }

    /// Where blocks begin, for all that can be told.
    fn blocks(&self) -> Vec<u64> {
        let mut found = Vec::new();
        let mut offset = BLOCKS_AT;
        while let Some(size) = self.word(offset + 16) {
            found.push(offset);
            match size.load(Ordering::Relaxed) {
                size @ 64..LIMIT => offset += size / 64 * 64,
                _ => break,
            }
        }
        found
    }

    /// Overwrites a word somewhere.
    fn damage(&self, random: &mut Random) {
        let blocks = self.blocks();
        // The objects themselves were made first, and are few.
        let among = if random.below(2) == 0 { 24.min(blocks.len()) } else { blocks.len() };
        let block = blocks[random.below(among as u64) as usize];
        let offset = match random.below(16) {
            0 => random.below(128),
            1 => random.below(RECORDS_AT),
            2 => RECORDS_AT + random.below(256),
            3..7 => block + random.below(64),
            7..14 => block + 64 + random.below(320),
            14 => block + random.below(70_000),
            _ => BLOCKS_AT + random.below(LIMIT),
        };
        let Some(place) = self.word(offset) else { return };
        let other = self
            .word(block.saturating_add(random.below(4096)))
            .map_or(0, |word| word.load(Ordering::Relaxed));
        let old = place.load(Ordering::Relaxed);
        let new = match random.below(10) {
            0 => 0,
            1 => u64::MAX,
            2 => random.word(),
            3 => random.below(4096),
            4 => old.wrapping_add(random.below(17)).wrapping_sub(8),
            5 => old ^ u64::from(random.word() as u32) << (random.below(2) * 32),
            6 => other,
            7 => random.below(LIMIT) / 64 * 64,
            _ => old ^ 1 << random.below(64),
        };
        place.store(new, Ordering::Relaxed);
        // A latch whose holder lives is waited for, for ever and rightly so.
        let me = self.segment.me().map_or(0, |me| me.0);
        if let Some(halves) = self.halves(offset) {
            for half in halves.iter().filter(|half| half.load(Ordering::Relaxed) == me) {
                half.store(me ^ 1 << 20, Ordering::Relaxed);
            }
        }
    }

    /// Calls something.
    fn call(&mut self, random: &mut Random) {
        let mut buffer = Vec::new();
        let bytes = item(random.below(8));
        let chosen = random.below(4) as usize;
        let (queue, priority) = (&self.queues[chosen], &self.priorities[chosen % 2]);
        let urgency = Priority::from(random.below(9) as i64);
        match random.below(45) {
            0 => drop(queue.try_put(&bytes, 1)),
            1 => self.keep(queue.try_get(&mut buffer).ok().flatten().and_then(Result::ok)),
            2 => drop(
                Item::copy_of(self.segment, &bytes, 1).map(|item| attempt(queue::PutCall::new(queue, item))),
            ),
            3 => self.keep(finish(GetCall { queue, buffer }).and_then(Result::ok)),
            4 => {
                let items = (0..5).filter_map(|_| Item::copy_of(self.segment, &bytes, 1).ok());
                attempt(queue::PutCall::many(queue, items.collect()));
            }
            5 => {
                let mut got = finish(GetManyCall { queue, most: random.below(9) + 1 });
                for part in got.iter_mut().flatten().flat_map(|batch| batch.parts()) {
                    match part {
                        Part::Small { bytes, .. } => read(bytes),
                        Part::Large(payload) => drop(payload.bytes().map(read)),
                    }
                }
                for lent in got.into_iter().flatten().flat_map(Batch::into_lent) {
                    let _ = lent.bytes().map(read);
                    self.receipts.push(lent.into_receipt());
                }
            }
            6 => drop((queue.len(), queue.is_empty(), queue.unfinished(), queue.bytes(), queue.bounds())),
            7 => drop((
                queue.task_done(),
                queue.held(),
                queue.acknowledge(&std::mem::take(&mut self.receipts)),
            )),
            8 => attempt(JoinCall { queue }),
            9 => drop(priority.try_put(&bytes, 1, urgency)),
            10 => self.keep(priority.try_get(&mut buffer).ok().flatten().and_then(Result::ok)),
            11 => drop(
                Item::copy_of(self.segment, &bytes, 1)
                    .map(|item| attempt(priority::PutCall::new(priority, item, urgency))),
            ),
            12 => self.keep(finish(GetCall { queue: priority, buffer }).and_then(Result::ok)),
            13 => drop((priority.len(), priority.is_empty(), priority.unfinished())),
            14 => drop(priority.task_done()),
            15 => attempt(JoinCall { queue: priority }),
            16 => drop(self.mutex.try_lock(ANOTHER)),
            17 => attempt(LockCall { mutex: &self.mutex, holder: ANOTHER }),
            18 => drop((self.mutex.unlock(|| 1), self.mutex.is_recovered(), self.mutex.owner())),
            19 => drop((self.reentrant.try_lock(1), self.reentrant.count(), self.reentrant.owner())),
            20 => attempt(ReentrantCall { mutex: &self.reentrant, name: 2, count: 1 }),
            21 => {
                drop((self.reentrant.unlock(1), self.reentrant.unlock_all(1), self.reentrant.is_recovered()))
            }
            22 => drop((self.semaphore.try_acquire(random.below(2) == 0), self.semaphore.value())),
            23 => attempt(AcquireCall { semaphore: &self.semaphore, scoped: true }),
            24 => {
                drop((self.semaphore.release(Returned::Scoped), self.semaphore.release(Returned::Plainly(1))))
            }
            25 => drop((self.event.set(), self.event.is_set())),
            26 => self.event.clear(),
            27 => attempt(EventCall::new(&self.event)),
            28 => drop(self.segment.me().and_then(|me| arena::sweep(self.segment, me))),
            29 => drop((arena::usage(self.segment), arena::census(self.segment))),
            30 => drop(Queue::new(self.segment, 0).map(|queue| queue.try_put(&bytes, 1))),
            31 => drop(PriorityQueue::new(self.segment, 0).map(|queue| queue.try_put(&bytes, 1, urgency))),
            32 => drop((Mutex::new(self.segment), Event::new(self.segment))),
            33 => self.held.truncate(random.below(3) as usize),
            34 => self.segment.find_dead(),
            35 => self.open(random),
            36 => drop((queue.shut_down(random.below(2) == 0), priority.shut_down(random.below(2) == 0))),
            37 => drop((self.condition.notify(random.below(3) as usize), self.condition.waiting())),
            38 => drop(self.condition.try_notify(usize::MAX)),
            39 => attempt(ArriveCall::new(&self.barrier, false, false)),
            40 => attempt(ArriveCall::new(&self.barrier, true, true)),
            41 => drop((self.barrier.abort(), self.barrier.waiting(), self.barrier.waiting_at_all())),
            42 => drop((self.barrier.reset(), self.barrier.is_broken(), self.barrier.parties())),
            43 => attempt(NotifiedCall::new(&self.condition, Unheld)),
            _ => self.wait_long(random),
        }
    }

    fn keep(&mut self, item: Option<Item>) {
        match item {
            Some(Item::Small { bytes, .. }) => read(&bytes),
            Some(Item::Large(payload)) => {
                let held = Held::new(payload);
                let _ = held.bytes().map(read);
                self.held.push(held);
            }
            None => {}
        }
    }

    /// Opens what a handle names, of any kind, and what it names when it is damaged.
    fn open(&self, random: &mut Random) {
        let mut bytes = match random.below(4) {
            0 => self.queues[0].object().handle().to_bytes(),
            1 => self.priorities[0].object().handle().to_bytes(),
            2 => self.mutex.object().handle().to_bytes(),
            _ => self.event.object().handle().to_bytes(),
        };
        if random.below(2) == 0 {
            bytes[16 + random.below(8) as usize] ^= 1 << random.below(8);
        }
        let Ok(handle) = Handle::from_bytes(&bytes) else { return };
        fn opened<T: Shared>(segment: &'static Segment, handle: Handle) -> Option<Object<T>> {
            Object::open_in(segment, handle).ok()
        }
        let mut buffer = Vec::new();
        drop(opened(self.segment, handle).map(|object| Queue::from_object(object).try_get(&mut buffer)));
        drop(
            opened(self.segment, handle)
                .map(|object| PriorityQueue::from_object(object).try_get(&mut buffer)),
        );
        let _ = opened(self.segment, handle).map(|object| Mutex::from_object(object).is_locked());
        let _ = opened(self.segment, handle).map(|object| Event::from_object(object).is_set());
        let copy = self.segment.descriptor().and_then(|descriptor| descriptor.try_clone_to_owned().ok());
        if let Some(other) = copy.and_then(|copy| Segment::attach(copy).ok()) {
            drop(opened(other, handle).map(|object| Queue::from_object(object).try_get(&mut buffer)));
        }
    }

    /// Waits for so long that deaths are watched and deadlocks looked for; and as a task.
    fn wait_long(&self, random: &mut Random) {
        if random.below(4) > 0 {
            return;
        }
        // What is held is shared.
        assert_eq!(Child::start(|| 0).join(), 0);
        let (mutex, reentrant) = (&self.mutex, &self.reentrant);
        let _ = block(&mut LockCall { mutex, holder: ANOTHER }, Deadline::Never, &mut Hasty(0));
        let _ =
            block(&mut ReentrantCall { mutex: reentrant, name: 2, count: 1 }, Deadline::Never, &mut Hasty(0));
        let mut task = Waiting::new(GetCall { queue: &self.queues[0], buffer: Vec::new() });
        let _ = Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop()));
        let _ = task.expire();
    }
}

/// Touches every byte.
fn read(bytes: &[u8]) {
    std::hint::black_box(bytes.iter().fold(0_u8, |sum, byte| sum ^ byte));
}

fn finish<C: Call>(mut call: C) -> Option<C::Output> {
    block(&mut call, Deadline::after(Some(Duration::from_micros(100))), &mut Plainly).ok()
}

fn attempt<C: Call>(call: C) {
    drop(finish(call));
}

/// The file can't become larger than that, whatever a damaged segment asks for.
fn bound_memory() {
    let limit = libc::rlimit { rlim_cur: 64 << 20, rlim_max: 64 << 20 };
    // SAFETY: both only set something of this process.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
    }
}

fn round(seed: u64) {
    let mut random = Random(seed);
    let mut scene = Scene::new(seed % 3 == 0);
    for _ in 0..1 + random.below(4) {
        for _ in 0..1 + random.below(6) {
            scene.damage(&mut random);
        }
        for _ in 0..1 + random.below(60) {
            scene.call(&mut random);
        }
    }
}

#[test]
fn whatever_stands_in_a_segment_every_call_ends() {
    let usual = 200;
    let given = std::env::var("ONELOOM_SEED").ok().and_then(|text| text.parse().ok());
    let first = match stress() {
        1 => 0,
        _ => std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos() as u64),
    };
    let seeds = given.map_or(first..first + usual * stress(), |seed: u64| seed..seed + 1);
    for seed in seeds {
        let child = Child::start(|| {
            bound_memory();
            round(seed);
            0
        });
        println!("ONELOOM_SEED={seed}");
        assert_eq!(child.join(), 0, "ONELOOM_SEED={seed}");
    }
}
