//! A mutex that nobody else wants: lock, change a number, unlock.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::rounds::{Rival, Row};

/// A number behind a mutex.
trait Guarded: Default {
    fn increment(&self);
}

impl Guarded for oneloom::Mutex<u64> {
    fn increment(&self) {
        *self.lock() += 1;
    }
}

impl Guarded for parking_lot::Mutex<u64> {
    fn increment(&self) {
        *self.lock() += 1;
    }
}

impl Guarded for std::sync::Mutex<u64> {
    fn increment(&self) {
        *self.lock().unwrap() += 1;
    }
}

fn uncontended<M: Guarded>(count: u64) -> Duration {
    let mutex = M::default();
    let start = Instant::now();
    for _ in 0..count {
        black_box(&mutex).increment();
    }
    start.elapsed()
}

/// The rows.
pub fn rows() -> Vec<Row> {
    vec![Row {
        key: "rust-mutex",
        rivals: vec![
            Rival { name: "oneloom", run: uncontended::<oneloom::Mutex<u64>> },
            Rival { name: "parking_lot", run: uncontended::<parking_lot::Mutex<u64>> },
            Rival { name: "std", run: uncontended::<std::sync::Mutex<u64>> },
        ],
    }]
}
