//! Queues between threads: one producer and one consumer, or four of each; bounded and unbounded.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::rounds::{Rival, Row};

/// What a bounded queue holds: enough that a producer seldom waits for a consumer that keeps up.
const BOUND: usize = 1024;

/// A queue of numbers that any thread may use at either end.
trait Channel: Sync {
    fn with_capacity(capacity: Option<usize>) -> Self;
    fn send(&self, item: u64);
    fn receive(&self) -> u64;
}

impl Channel for oneloom::Queue<u64> {
    fn with_capacity(capacity: Option<usize>) -> Self {
        capacity.map_or_else(Self::new, Self::bounded)
    }
    fn send(&self, item: u64) {
        self.put(item).unwrap();
    }
    fn receive(&self) -> u64 {
        self.get().unwrap()
    }
}

struct Crossbeam(crossbeam_channel::Sender<u64>, crossbeam_channel::Receiver<u64>);

impl Channel for Crossbeam {
    fn with_capacity(capacity: Option<usize>) -> Self {
        let (sender, receiver) =
            capacity.map_or_else(crossbeam_channel::unbounded, crossbeam_channel::bounded);
        Self(sender, receiver)
    }
    fn send(&self, item: u64) {
        self.0.send(item).unwrap();
    }
    fn receive(&self) -> u64 {
        self.1.recv().unwrap()
    }
}

struct Flume(flume::Sender<u64>, flume::Receiver<u64>);

impl Channel for Flume {
    fn with_capacity(capacity: Option<usize>) -> Self {
        let (sender, receiver) = capacity.map_or_else(flume::unbounded, flume::bounded);
        Self(sender, receiver)
    }
    fn send(&self, item: u64) {
        self.0.send(item).unwrap();
    }
    fn receive(&self) -> u64 {
        self.1.recv().unwrap()
    }
}

/// Moves `count` items from `PAIRS` producers to as many consumers. The clock runs from the moment when the first of them
/// goes on after all were ready, which the first does itself, until the last item has arrived.
fn transfer<C: Channel, const PAIRS: usize, const BOUNDED: bool>(count: u64) -> Duration {
    let channel = C::with_capacity(BOUNDED.then_some(BOUND));
    let ready = Barrier::new(2 * PAIRS);
    let share = count / PAIRS as u64;
    thread::scope(|scope| {
        let producers: Vec<_> = (0..PAIRS)
            .map(|_| {
                scope.spawn(|| {
                    ready.wait();
                    let start = Instant::now();
                    (0..share).for_each(|item| channel.send(item));
                    start
                })
            })
            .collect();
        let consumers: Vec<_> = (0..PAIRS)
            .map(|_| {
                scope.spawn(|| {
                    ready.wait();
                    let start = Instant::now();
                    let sum = (0..share).map(|_| channel.receive()).sum::<u64>();
                    (start, Instant::now(), sum)
                })
            })
            .collect();
        let started = producers.into_iter().map(|producer| producer.join().unwrap()).min().unwrap();
        let consumed: Vec<_> = consumers.into_iter().map(|consumer| consumer.join().unwrap()).collect();
        let sum: u64 = consumed.iter().map(|(_, _, sum)| sum).sum();
        assert_eq!(sum, PAIRS as u64 * (0..share).sum::<u64>(), "an item was lost or doubled");
        let start = consumed.iter().map(|(start, _, _)| *start).chain([started]).min().unwrap();
        consumed.iter().map(|(_, end, _)| *end).max().unwrap() - start
    })
}

fn row<const PAIRS: usize, const BOUNDED: bool>(key: &'static str) -> Row {
    Row {
        key,
        rivals: vec![
            Rival { name: "oneloom", run: transfer::<oneloom::Queue<u64>, PAIRS, BOUNDED> },
            Rival { name: "crossbeam-channel", run: transfer::<Crossbeam, PAIRS, BOUNDED> },
            Rival { name: "flume", run: transfer::<Flume, PAIRS, BOUNDED> },
        ],
    }
}

/// The rows.
pub fn rows() -> Vec<Row> {
    vec![
        row::<1, false>("rust-queue-1-1"),
        row::<1, true>("rust-queue-1-1-bounded"),
        row::<4, false>("rust-queue-4-4"),
        row::<4, true>("rust-queue-4-4-bounded"),
    ]
}
