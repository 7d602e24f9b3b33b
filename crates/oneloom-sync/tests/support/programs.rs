//! Random programs on one queue: several threads that put, get and try, and a history of what they were
//! answered. The same under a model checker and on real threads.

use std::sync::Arc;

use oneloom_sync::raw::Name;
use oneloom_sync::raw::queue::{GetCall, PutCall, RawQueue, ShutDown, Store};
use oneloom_wait::atomic::{AtomicU64, AtomicUsize, Ordering, yield_now};
use oneloom_wait::wait::Call;

use super::history::{Answer, Event, Operation};
use super::wait;

#[cfg(shuttle)]
use shuttle::thread;
#[cfg(not(shuttle))]
use std::thread;

/// Small random numbers, the same for the same seed.
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The increment is odd and irregular, so the sum passes every number; the rest mixes its bits.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }
}

/// What each thread does.
pub fn random_program(random: &mut Random, threads: usize, calls: usize) -> Vec<Vec<Operation>> {
    let mut item = 0;
    (0..threads)
        .map(|_| {
            (0..calls)
                .map(|_| {
                    item += 1;
                    match random.below(6) {
                        0 | 1 => Operation::Put(item),
                        2 => Operation::TryPut(item),
                        3 | 4 => Operation::Get,
                        _ => Operation::TryGet,
                    }
                })
                .collect()
        })
        .collect()
}

struct Shared<S: Store> {
    queue: RawQueue<S>,
    clock: AtomicU64,
    starting: AtomicUsize,
    running: AtomicUsize,
}

impl<S: Store<Item = u32> + 'static> Shared<S> {
    fn call(&self, thread: usize, operation: Operation) -> Event {
        let began = self.clock.fetch_add(1, Ordering::SeqCst);
        let answer = match operation {
            Operation::Put(item) => put(Some(wait(&self.queue, PutCall::new(item)))),
            Operation::TryPut(item) => put(PutCall::new(item).attempt(&self.queue)),
            Operation::Get => get(Some(wait(&self.queue, GetCall::default()))),
            Operation::TryGet => get(GetCall::default().attempt(&self.queue)),
            Operation::ShutDown => {
                self.queue.shut_down(false);
                Answer::Done
            }
        };
        let ended = self.clock.fetch_add(1, Ordering::SeqCst);
        Event { thread, began, ended, operation, answer }
    }
}

fn put(answer: Option<Result<(), ShutDown>>) -> Answer {
    match answer {
        Some(Ok(())) => Answer::Done,
        Some(Err(ShutDown)) => Answer::Closed,
        None => Answer::NotNow,
    }
}

fn get(answer: Option<Result<u32, ShutDown>>) -> Answer {
    match answer {
        Some(Ok(item)) => Answer::Item(item),
        Some(Err(ShutDown)) => Answer::Closed,
        None => Answer::NotNow,
    }
}

/// Runs a program and returns what happened. Once nobody can go on any more, the queue is shut down.
pub fn run<S: Store<Item = u32> + 'static>(program: &[Vec<Operation>], maxsize: usize) -> Vec<Event> {
    let shared = Arc::new(Shared {
        queue: RawQueue::<S>::new(maxsize, Name::NONE),
        clock: AtomicU64::new(0),
        starting: AtomicUsize::new(program.len()),
        running: AtomicUsize::new(program.len()),
    });
    let threads: Vec<_> = program
        .iter()
        .enumerate()
        .map(|(thread, operations)| {
            let (shared, operations) = (shared.clone(), operations.clone());
            thread::spawn(move || {
                // All at once: a thread takes longer to start than most programs to run.
                shared.starting.fetch_sub(1, Ordering::SeqCst);
                while shared.starting.load(Ordering::SeqCst) != 0 {
                    yield_now();
                }
                let events: Vec<_> =
                    operations.into_iter().map(|operation| shared.call(thread, operation)).collect();
                shared.running.fetch_sub(1, Ordering::SeqCst);
                events
            })
        })
        .collect();
    loop {
        let running = shared.running.load(Ordering::SeqCst);
        let statistics = shared.queue.statistics();
        if statistics.waiting_getters + statistics.waiting_putters == running {
            break;
        }
        yield_now();
    }
    let mut history = vec![shared.call(program.len(), Operation::ShutDown)];
    history.extend(threads.into_iter().flat_map(|thread| thread.join().unwrap()));
    history.sort_by_key(|event| event.began);
    history
}
