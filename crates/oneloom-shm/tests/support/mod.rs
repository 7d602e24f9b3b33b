//! What the tests share: children by fork, a page that they report on, and a deadline for all.
#![allow(dead_code, reason = "each test file uses its own part")]

#[cfg(not(shuttle))]
pub mod matrix;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use oneloom_shm::arena;
use oneloom_shm::flow::{AnyQueue, GetCall, ShutDown};
use oneloom_shm::payload::Item;
use oneloom_shm::priority::{self, Priority, PriorityQueue};
use oneloom_shm::queue::{self, GetManyCall, Lent, Part, Queue, Receipt};
use oneloom_shm::segment::Segment;
#[cfg(not(shuttle))]
use oneloom_shm::step::{Step, kill_at};
use oneloom_shm::wait::{Stop, block};
use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::Deadlock;
use oneloom_wait::wait::{Environment, Judgement};

/// How long anything may take before it counts as hanging.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How many times longer the tests run that gain from it.
pub fn stress() -> u64 {
    std::env::var("ONELOOM_STRESS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// A thread without handlers of signals.
pub struct Plainly;

impl Environment for Plainly {
    fn judge(&mut self, _deadlock: &Deadlock) -> Judgement {
        Judgement::KeepWaiting
    }
}

pub fn soon() -> Deadline {
    Deadline::after(Some(PATIENCE))
}

/// Numbers that parent and child both see.
pub fn shared_numbers(count: usize) -> &'static [AtomicU64] {
    // SAFETY: a new mapping, never unmapped, of zeros.
    unsafe {
        let place = libc::mmap(
            std::ptr::null_mut(),
            count * 8,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(place, libc::MAP_FAILED);
        std::slice::from_raw_parts(place.cast(), count)
    }
}

/// A child process.
pub struct Child(i32);

impl Child {
    /// Runs `work` in a fork; it ends with the status that gives.
    pub fn start(work: impl FnOnce() -> i32) -> Self {
        // SAFETY: the child runs `work` and leaves without running anything of the parent's.
        match unsafe { libc::fork() } {
            -1 => panic!("no fork"),
            0 => {
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(101);
                // SAFETY: ends this process.
                unsafe { libc::_exit(ended) }
            }
            child => Self(child),
        }
    }

    /// A child of one that has died, which is this process's now.
    pub fn adopted(pid: i32) -> Self {
        Self(pid)
    }

    pub fn pid(&self) -> i32 {
        self.0
    }

    pub fn kill(&self) {
        // SAFETY: a child that was not reaped yet.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
    }

    /// Whether it is dead, without reaping it: a signal that was sent takes its time.
    pub fn is_dead(&self) -> bool {
        // SAFETY: writes to a local variable, for which zeros are valid.
        unsafe {
            let mut found: libc::siginfo_t = std::mem::zeroed();
            let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            libc::waitid(libc::P_PID, self.0 as libc::id_t, &raw mut found, options) == 0
                && found.si_pid() != 0
        }
    }

    /// How it ended, if it has: an exit status, or a signal's number, negative.
    pub fn ended(&self) -> Option<i32> {
        let mut status = 0;
        // SAFETY: writes to a local variable.
        let reaped = unsafe { libc::waitpid(self.0, &raw mut status, libc::WNOHANG) };
        (reaped == self.0).then(|| {
            if libc::WIFSIGNALED(status) { -libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) }
        })
    }

    /// Waits for its end.
    pub fn join(self) -> i32 {
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            if started.elapsed() > PATIENCE {
                self.kill();
                panic!("the child {} hangs", self.0);
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Runs `work` in a process of its own, so that the segments which it makes go with it.
pub fn apart(work: impl FnOnce()) {
    let child = Child::start(|| {
        work();
        0
    });
    assert_eq!(child.join(), 0, "what it said stands above");
}

/// What items are marked with.
const MARK: u32 = 7;

/// A queue of either order.
pub trait Line: AnyQueue {
    fn make(segment: &'static Segment, maxsize: u64) -> Self;

    /// As users do it: at once where that goes, else waiting. What has no order of its own ignores the priority.
    fn put_within(
        &self,
        item: &[u8],
        priority: i64,
        deadline: Deadline,
    ) -> Result<Result<(), ShutDown>, Stop>;
}

impl Line for Queue {
    fn make(segment: &'static Segment, maxsize: u64) -> Self {
        Self::new(segment, maxsize).expect("a queue")
    }

    fn put_within(&self, item: &[u8], _: i64, deadline: Deadline) -> Result<Result<(), ShutDown>, Stop> {
        match self.try_put(item, MARK).map_err(Stop::Failed)? {
            Some(ended) => Ok(ended),
            None => {
                let item = Item::copy_of(self.segment(), item, MARK).map_err(Stop::Failed)?;
                block(&mut queue::PutCall::new(self, item), deadline, &mut Plainly)
            }
        }
    }
}

impl Line for PriorityQueue {
    fn make(segment: &'static Segment, maxsize: u64) -> Self {
        Self::new(segment, maxsize).expect("a priority queue")
    }

    fn put_within(
        &self,
        item: &[u8],
        priority: i64,
        deadline: Deadline,
    ) -> Result<Result<(), ShutDown>, Stop> {
        let priority = Priority::from(priority);
        match self.try_put(item, MARK, priority).map_err(Stop::Failed)? {
            Some(ended) => Ok(ended),
            None => {
                let item = Item::copy_of(self.segment(), item, MARK).map_err(Stop::Failed)?;
                block(&mut priority::PutCall::new(self, item, priority), deadline, &mut Plainly)
            }
        }
    }
}

/// The one segment of tests that make many objects: there is not address space for many segments.
pub fn segment() -> &'static Segment {
    static SEGMENT: OnceLock<&Segment> = OnceLock::new();
    SEGMENT.get_or_init(|| Segment::create(0).expect("a segment"))
}

/// A child that does `work` and is killed over `step`, the first time it is there.
#[cfg(not(shuttle))]
pub fn killed_over<R>(step: Step, work: impl FnOnce() -> R) {
    let child = Child::start(|| {
        kill_at(step, 0);
        let _ = work();
        0
    });
    assert_eq!(child.join(), -libc::SIGKILL, "{step:?}");
}

pub fn put(queue: &impl Line, item: &[u8]) {
    put_at(queue, item, 0);
}

pub fn put_at(queue: &impl Line, item: &[u8], priority: i64) {
    queue.put_within(item, priority, soon()).expect("put in time").expect("not shut down");
}

pub fn put_within(queue: &impl Line, item: &[u8], deadline: Deadline) -> Result<Result<(), ShutDown>, Stop> {
    queue.put_within(item, 0, deadline)
}

pub fn put_many_within(
    queue: &Queue,
    items: &[Vec<u8>],
    deadline: Deadline,
) -> Result<Result<(), ShutDown>, Stop> {
    let copy = |item: &Vec<u8>| Item::copy_of(queue.segment(), item, MARK);
    let items = items.iter().map(copy).collect::<Result<_, _>>().map_err(Stop::Failed)?;
    block(&mut queue::PutCall::many(queue, items), deadline, &mut Plainly)
}

pub fn put_many(queue: &Queue, items: &[Vec<u8>]) {
    put_many_within(queue, items, soon()).expect("put in time").expect("not shut down");
}

pub fn get_many_within(
    queue: &Queue,
    most: u64,
    deadline: Deadline,
) -> Result<Result<Vec<Vec<u8>>, ShutDown>, Stop> {
    let got = block(&mut GetManyCall { queue, most }, deadline, &mut Plainly)?;
    Ok(got.map(|mut batch| {
        let items: Vec<_> = batch
            .parts()
            .map(|part| match part {
                Part::Small { bytes, mark } => {
                    assert_eq!(mark, MARK);
                    bytes.to_vec()
                }
                Part::Large(payload) => payload.bytes().expect("a sound segment").to_vec(),
            })
            .collect();
        assert_eq!(items.len(), batch.len());
        items
    }))
}

pub fn get_many(queue: &Queue, most: u64) -> Vec<Vec<u8>> {
    get_many_within(queue, most, soon()).expect("got in time").expect("not shut down")
}

/// Gives back what belongs to the dead; then, with no items anywhere, none has memory any more.
pub fn no_item_is_left(segment: &'static Segment, what: &str) {
    segment.me().and_then(|me| arena::sweep(segment, me)).expect("a sound segment");
    let used = |kind: &u32, whose: &arena::Whose| {
        *kind == arena::Kind::Payload as u32 && matches!(whose, arena::Whose::Process | arena::Whose::Object)
    };
    let left = arena::census(segment).iter().filter(|(kind, whose)| used(kind, whose)).count();
    assert_eq!(left, 0, "{what}: blocks of items that are nowhere");
}

/// Takes items that are pending from then on.
pub fn hold(queue: &Queue, most: u64, deadline: Deadline) -> Result<Vec<(u64, Receipt)>, Stop> {
    let batch = block(&mut GetManyCall { queue, most }, deadline, &mut Plainly)?.expect("not shut down");
    let one = |lent: Lent| (number_of(lent.bytes().expect("a sound segment")), lent.into_receipt());
    Ok(batch.into_lent().into_iter().map(one).collect())
}

pub fn get(queue: &impl AnyQueue) -> Vec<u8> {
    get_within(queue, soon()).expect("got in time").expect("not shut down")
}

pub fn get_within(queue: &impl AnyQueue, deadline: Deadline) -> Result<Result<Vec<u8>, ShutDown>, Stop> {
    let mut buffer = Vec::new();
    let ended = match queue.try_get(&mut buffer).map_err(Stop::Failed)? {
        Some(ended) => ended,
        None => block(&mut GetCall { queue, buffer }, deadline, &mut Plainly)?,
    };
    Ok(ended.map(bytes_of))
}

pub fn try_get(queue: &impl AnyQueue) -> Option<Vec<u8>> {
    match get_within(queue, Deadline::after(Some(Duration::ZERO))) {
        Ok(item) => Some(item.expect("not shut down")),
        Err(stop) => {
            assert_eq!(stop, Stop::TimedOut);
            None
        }
    }
}

pub fn bytes_of(item: Item) -> Vec<u8> {
    let (bytes, mark) = match item {
        Item::Small { bytes, mark } => (bytes, mark),
        Item::Large(payload) => (payload.bytes().expect("a sound segment").to_vec(), payload.mark),
    };
    assert_eq!(mark, MARK);
    bytes
}

/// An item that tells its number and whether it is whole; of a length that depends on the number.
pub fn item(number: u64) -> Vec<u8> {
    let length = match number % 5 {
        0 => 10_000 + (number % 7) as usize * 3000,
        1 => 3000,
        other => 16 + other as usize * 11,
    };
    let mut bytes = vec![number as u8; length];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// The number of an item, which must be whole.
pub fn number_of(bytes: &[u8]) -> u64 {
    let number = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes"));
    assert_eq!(bytes, item(number), "item {number} is not whole");
    number
}

pub fn total(numbers: &[AtomicU64]) -> u64 {
    numbers.iter().map(|number| number.load(Ordering::SeqCst)).sum()
}

/// What a child did, in numbers that survive it.
pub struct Ledger(&'static [AtomicU64]);

pub const BEGUN: usize = 0;
pub const PUT: usize = 1;
pub const GOT: usize = 2;
const FIRST_GOT: usize = 8;

impl Ledger {
    pub fn new() -> Self {
        Self(shared_numbers(4096))
    }

    pub fn reset(&self) {
        self.0.iter().for_each(|number| number.store(0, Ordering::SeqCst));
    }

    pub fn read(&self, at: usize) -> u64 {
        self.0[at].load(Ordering::SeqCst)
    }

    pub fn write(&self, at: usize, value: u64) {
        self.0[at].store(value, Ordering::SeqCst);
    }

    pub fn got(&self, number: u64) {
        let count = self.read(GOT);
        self.write(FIRST_GOT + count as usize, number);
        self.write(GOT, count + 1);
    }

    pub fn all_got(&self) -> impl Iterator<Item = u64> {
        (0..self.read(GOT) as usize).map(|at| self.read(FIRST_GOT + at))
    }
}
