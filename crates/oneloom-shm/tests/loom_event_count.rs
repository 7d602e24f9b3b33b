//! Models of the event count: whoever announced itself and found nothing is woken by the change that it waits for. A lost
//! wake-up shows as a model in which nobody can go on.

#![cfg(loom)]

use std::sync::Arc;

use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use loom::thread;
use oneloom_shm::event_count::EventCount;
use oneloom_wait::clock::Deadline;

/// Permits, with no more order than the event count itself gives.
struct Permits {
    free: AtomicU32,
    event: EventCount,
    /// The masks that were rung.
    rung: AtomicU64,
}

impl Permits {
    fn new() -> Arc<Self> {
        Arc::new(Self { free: AtomicU32::new(0), event: EventCount::new(), rung: AtomicU64::new(0) })
    }

    fn take(&self) -> bool {
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(1)).is_ok()
    }

    fn wait(&self) {
        loop {
            let seen = self.event.announce_thread();
            if self.take() {
                return;
            }
            self.event.sleep(seen, Deadline::Never);
        }
    }

    fn give(&self) {
        self.free.fetch_add(1, Ordering::Relaxed);
        self.event.notify(1, |mask| {
            self.rung.fetch_or(mask, Ordering::SeqCst);
        });
    }
}

fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn a_sleeper_is_woken() {
    check(4, || {
        let permits = Permits::new();
        let waiter = thread::spawn({
            let permits = permits.clone();
            move || permits.wait()
        });
        permits.give();
        waiter.join().unwrap();
    });
}

#[test]
fn two_sleepers_are_woken_by_two_wakers() {
    check(2, || {
        let permits = Permits::new();
        let waiters = [0, 1].map(|_| {
            let permits = permits.clone();
            thread::spawn(move || permits.wait())
        });
        let giver = thread::spawn({
            let permits = permits.clone();
            move || permits.give()
        });
        permits.give();
        giver.join().unwrap();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    });
}

/// The flag is cleared by a waker that finds nobody, while another thread is about to rely on it.
#[test]
fn clearing_the_flag_loses_nobody() {
    check(3, || {
        let permits = Permits::new();
        // Announced, and gone: what the first waker finds.
        permits.event.announce_thread();
        let waiter = thread::spawn({
            let permits = permits.clone();
            move || {
                permits.wait();
                permits.wait();
            }
        });
        permits.give();
        permits.give();
        waiter.join().unwrap();
    });
}

#[test]
fn a_process_whose_task_found_nothing_is_rung() {
    check(4, || {
        let permits = Permits::new();
        let task = thread::spawn({
            let permits = permits.clone();
            move || {
                permits.event.announce_tasks(4);
                permits.take()
            }
        });
        permits.give();
        let taken = task.join().unwrap();
        assert!(
            taken || permits.rung.load(Ordering::SeqCst) == 4,
            "a task waits and nobody has told its process"
        );
    });
}
