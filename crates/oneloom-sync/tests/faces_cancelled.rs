//! A hundred thousand waits that are cancelled or time out leave no waiter behind and lose nothing.

mod faces_support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use faces_support::{ByHand, Choices, eventually, rounds};
use oneloom_sync::{Condvar, Mutex, Queue, Semaphore};

/// Waits to be given up, by each of the threads.
const WAITS: usize = 25_000;
const THREADS: usize = 4;

/// A timeout between nothing and 60 µs: about as long as the others need.
fn brief(choices: &mut Choices) -> Duration {
    Duration::from_micros(choices.below(60))
}

/// Polls a future up to three times, and drops it if it is not ready by then.
fn hastily<T>(choices: &mut Choices, mut future: ByHand<'_, T>) -> Option<T> {
    (0..choices.below(3)).find_map(|_| {
        thread::yield_now();
        future.poll()
    })
}

/// Runs `body` on some threads until they have given up often enough; then ends `helper`.
fn give_up_often(body: impl Fn(&mut Choices) -> bool + Sync, helper: impl Fn(&AtomicBool) + Sync) {
    let mut choices = Choices::new();
    let (over, waits) = (AtomicBool::new(false), rounds(WAITS));
    thread::scope(|scope| {
        let hasty: Vec<_> = (0..THREADS)
            .map(|_| {
                let (mut choices, body) = (choices.split(), &body);
                scope.spawn(move || {
                    let mut given_up = 0;
                    while given_up < waits {
                        given_up += usize::from(!body(&mut choices));
                    }
                })
            })
            .collect();
        let helper = scope.spawn(|| helper(&over));
        hasty.into_iter().for_each(|thread| thread.join().unwrap());
        over.store(true, Ordering::Relaxed);
        helper.join().unwrap();
    });
}

#[test]
fn stress_getting_that_is_given_up_loses_no_item() {
    let queue = Queue::new();
    let (put, got) = (AtomicU64::new(0), AtomicU64::new(0));
    let get = |choices: &mut Choices| {
        let item = match choices.below(2) {
            0 => queue.get_timeout(brief(choices)).ok(),
            _ => hastily(choices, ByHand::new(queue.get_async())).map(Result::unwrap),
        };
        item.map(|item: u64| got.fetch_add(item, Ordering::Relaxed)).is_some()
    };
    give_up_often(get, |over| {
        let mut number = 0;
        while !over.load(Ordering::Relaxed) {
            number += 1;
            queue.put(number).unwrap();
            put.fetch_add(number, Ordering::Relaxed);
            while queue.len() > 2 && !over.load(Ordering::Relaxed) {
                thread::yield_now();
            }
        }
    });
    queue.shutdown();
    let left: u64 = queue.iter().sum();
    assert_eq!(got.into_inner() + left, put.into_inner());
    assert_eq!(queue.statistics().waiting_getters, 0);
}

#[test]
fn stress_putting_that_is_given_up_puts_nothing() {
    let queue = Queue::bounded(2);
    let (put, got) = (AtomicU64::new(0), AtomicU64::new(0));
    let attempt = |choices: &mut Choices| {
        let item = 1 + choices.below(1000);
        let done = match choices.below(2) {
            0 => queue.put_timeout(item, brief(choices)).is_ok(),
            _ => hastily(choices, ByHand::new(queue.put_async(item))).is_some(),
        };
        put.fetch_add(if done { item } else { 0 }, Ordering::Relaxed);
        done
    };
    give_up_often(attempt, |over| {
        while !over.load(Ordering::Relaxed) {
            got.fetch_add(queue.get_timeout(Duration::from_millis(1)).unwrap_or(0), Ordering::Relaxed);
        }
    });
    queue.shutdown();
    let left: u64 = queue.iter().sum();
    assert_eq!(got.into_inner() + left, put.into_inner());
    assert_eq!(queue.statistics().waiting_putters, 0);
}

#[test]
fn stress_locking_that_is_given_up_leaves_the_mutex_free() {
    let lock = Mutex::new(0_u64);
    let locked = AtomicU64::new(0);
    let attempt = |choices: &mut Choices| {
        let done = match choices.below(2) {
            0 => lock.lock_timeout(brief(choices)).map(|mut count| *count += 1),
            _ => hastily(choices, ByHand::new(lock.lock_async())).map(|mut count| *count += 1),
        };
        locked.fetch_add(u64::from(done.is_some()), Ordering::Relaxed);
        done.is_some()
    };
    give_up_often(attempt, |over| {
        while !over.load(Ordering::Relaxed) {
            let _guard = lock.lock();
            (0..20).for_each(|_| thread::yield_now());
        }
    });
    assert_eq!(*lock.try_lock().unwrap(), locked.into_inner());
    assert_eq!(lock.statistics().waiting, 0);
}

#[test]
fn stress_acquiring_that_is_given_up_loses_no_permit() {
    let semaphore = Semaphore::new(2);
    let attempt = |choices: &mut Choices| {
        let permit = match choices.below(2) {
            0 => semaphore.acquire_timeout(brief(choices)),
            _ => hastily(choices, ByHand::new(semaphore.acquire_async())),
        };
        permit.is_some()
    };
    give_up_often(attempt, |over| {
        while !over.load(Ordering::Relaxed) {
            let _both = (semaphore.acquire(), semaphore.acquire());
            (0..20).for_each(|_| thread::yield_now());
        }
    });
    assert_eq!((semaphore.available(), semaphore.statistics().waiting), (2, 0));
}

#[derive(Default)]
struct Table {
    /// The patient one is in line.
    patient_waits: bool,
    closed: bool,
}

/// Lets the patient one go when it goes, after a failure as well.
struct Closing<'a> {
    table: &'a Mutex<Table>,
    announced: &'a Condvar,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.table.lock().closed = true;
        self.announced.notify_all();
    }
}

#[test]
fn stress_waiting_for_a_condition_that_is_given_up_loses_no_notification() {
    let (table, announced) = (Mutex::new(Table::default()), Condvar::new());
    let received = AtomicU64::new(0);
    let attempt = |choices: &mut Choices| {
        let notified = match choices.below(2) {
            0 => announced.wait_timeout(table.lock(), brief(choices)).1,
            _ => {
                let wait = async { drop(announced.wait_async(table.lock_async().await).await) };
                hastily(choices, ByHand::new(wait)).is_some()
            }
        };
        received.fetch_add(u64::from(notified), Ordering::Relaxed);
        notified
    };
    // Only ever one notification is on its way, while somebody waits who never gives up: it must arrive.
    let notify = |over: &AtomicBool| {
        while !over.load(Ordering::Relaxed) {
            let seen = received.load(Ordering::Relaxed);
            let told = Some(table.lock()).is_some_and(|table| table.patient_waits && announced.notify_one());
            if told {
                eventually("it arrives", || received.load(Ordering::Relaxed) > seen);
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut table = table.lock();
            while !table.closed {
                table.patient_waits = true;
                table = announced.wait(table);
                table.patient_waits = false;
                received.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _closing = Closing { table: &table, announced: &announced };
        give_up_often(attempt, notify);
    });
    assert_eq!((announced.statistics().waiting, table.is_locked()), (0, false));
}
