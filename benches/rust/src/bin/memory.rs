//! What oneloom's Rust faces take in memory: an unused mutex, and a thread while it waits.
//!
//! Prints a line of JSON for each figure. The waiting thread has waited before, so that what a thread needs once in
//! its life (its slot among the owners) is there already.

use std::alloc::System;
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use oneloom::{Mutex, Queue};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    report("rust-lock-size", size_of::<Mutex<()>>());

    let mutex = Mutex::new(());
    let held = Cell::new(None);
    let allocated = while_waiting(
        || held.set(Some(mutex.lock())),
        || drop(mutex.lock()),
        || mutex.statistics().waiting == 1,
        || drop(held.take()),
    );
    report("rust-parked-mutex", allocated);

    let queue = Queue::new();
    let put = || queue.put(0_u64).unwrap();
    let get = || assert_eq!(queue.get(), Ok(0));
    report("rust-parked-queue", while_waiting(|| (), get, || queue.statistics().waiting_getters == 1, put));
}

fn report(key: &str, bytes: usize) {
    println!(r#"{{"key": "{key}", "bytes": {bytes}}}"#);
}

/// How many bytes are allocated in a thread's second wait, from its call until that returns: `hinder` makes `wait` wait, `end` ends that.
fn while_waiting(
    hinder: impl Fn(),
    wait: impl Fn() + Sync,
    waits: impl Fn() -> bool,
    end: impl Fn(),
) -> usize {
    let (begun, ended) = (AtomicU32::new(0), AtomicU32::new(0));
    let mut allocated = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 1..=2 {
                until(|| begun.load(Ordering::Acquire) == turn);
                wait();
                ended.store(turn, Ordering::Release);
            }
            // It ends only when the count is over: that allocates.
            until(|| begun.load(Ordering::Acquire) == 3);
        });
        for turn in 1..=2 {
            hinder();
            let region = Region::new(ALLOCATOR);
            begun.store(turn, Ordering::Release);
            until(&waits);
            end();
            until(|| ended.load(Ordering::Acquire) == turn);
            allocated = region.change().bytes_allocated;
        }
        begun.store(3, Ordering::Release);
    });
    allocated
}

fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}
