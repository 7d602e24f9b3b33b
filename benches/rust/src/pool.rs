//! Pools of two threads: submit closures that do nothing, then wait for every result.
//!
//! A task's result comes back through what each pool has for that; rayon and a bare channel have nothing, so they get the
//! plainest thing that does it.

use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use oneloom::pool::{Future, ThreadPool};

use crate::rounds::{Rival, Row};

const WORKERS: usize = 2;
/// Enough that both workers have begun before the clock runs.
const FIRST: u64 = 64;

/// A pool whose tasks give back a number.
trait Pool {
    type Pending;

    fn open() -> Self;
    fn submit(&self, number: u64) -> Self::Pending;
    fn wait(pending: Self::Pending) -> u64;
}

impl Pool for ThreadPool {
    type Pending = Future<u64>;

    fn open() -> Self {
        Self::new(WORKERS)
    }
    fn submit(&self, number: u64) -> Future<u64> {
        self.submit(move || number)
    }
    fn wait(pending: Future<u64>) -> u64 {
        pending.wait().unwrap()
    }
}

/// A place for one result.
#[derive(Clone, Default)]
struct Slot(Arc<(Mutex<Option<u64>>, Condvar)>);

impl Slot {
    fn fill(&self, number: u64) {
        *self.0.0.lock().unwrap() = Some(number);
        self.0.1.notify_one();
    }
    fn wait(self) -> u64 {
        let (number, filled) = &*self.0;
        let found = filled.wait_while(number.lock().unwrap(), |number| number.is_none()).unwrap();
        found.unwrap()
    }
}

impl Pool for rayon::ThreadPool {
    type Pending = Slot;

    fn open() -> Self {
        rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build().unwrap()
    }
    fn submit(&self, number: u64) -> Slot {
        let slot = Slot::default();
        let result = slot.clone();
        self.spawn(move || result.fill(number));
        slot
    }
    fn wait(pending: Slot) -> u64 {
        pending.wait()
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Threads that take closures from a channel, and end with it.
struct Channel {
    jobs: Option<crossbeam_channel::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool for Channel {
    type Pending = Slot;

    fn open() -> Self {
        let (sender, receiver) = crossbeam_channel::unbounded::<Job>();
        let worker = |_| {
            let jobs = receiver.clone();
            thread::spawn(move || jobs.iter().for_each(|job| job()))
        };
        Self { jobs: Some(sender), threads: (0..WORKERS).map(worker).collect() }
    }
    fn submit(&self, number: u64) -> Slot {
        let slot = Slot::default();
        let result = slot.clone();
        self.jobs.as_ref().unwrap().send(Box::new(move || result.fill(number))).unwrap();
        slot
    }
    fn wait(pending: Slot) -> u64 {
        pending.wait()
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.jobs = None;
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

/// The time from the first submit to the last result.
fn submitted<P: Pool>(count: u64) -> Duration {
    let pool = P::open();
    let run = |count| {
        let pending: Vec<_> = (0..count).map(|number| pool.submit(number)).collect();
        pending.into_iter().map(P::wait).sum::<u64>()
    };
    run(FIRST);
    let start = Instant::now();
    let sum = run(count);
    let took = start.elapsed();
    assert_eq!(sum, (0..count).sum::<u64>(), "a task was lost or run twice");
    took
}

/// The rows.
pub fn rows() -> Vec<Row> {
    vec![Row {
        key: "rust-pool-submit",
        rivals: vec![
            Rival { name: "oneloom", run: submitted::<ThreadPool> },
            Rival { name: "rayon", run: submitted::<rayon::ThreadPool> },
            Rival { name: "crossbeam-channel", run: submitted::<Channel> },
        ],
    }]
}
