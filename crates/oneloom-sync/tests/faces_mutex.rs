//! What `Mutex` and `ReentrantMutex` promise to threads and async tasks.

mod faces_support;

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use faces_support::{ByHand, SHORT, block_on, eventually, rounds, starve};
use oneloom_sync::{AsyncMutexGuard, Mutex, MutexGuard, ReentrantMutex};

const fn is_send<T: Send + ?Sized>() {}
const fn is_sync<T: Sync + ?Sized>() {}

#[test]
fn what_may_change_threads_does() {
    is_send::<Mutex<Cell<u8>>>();
    is_sync::<Mutex<Cell<u8>>>();
    is_sync::<ReentrantMutex<Cell<u8>>>();
    is_send::<AsyncMutexGuard<'_, Cell<u8>>>();
    is_sync::<MutexGuard<'_, u8>>();
    is_sync::<AsyncMutexGuard<'_, u8>>();
    is_sync::<Mutex<dyn Send>>();
    fn future_is_send<F: Future + Send>(future: F) -> F {
        future
    }
    let lock = Mutex::new(Cell::new(1));
    drop(future_is_send(lock.lock_async()));
}

#[test]
fn threads_and_tasks_exclude_each_other() {
    let rounds = rounds(2_000) as u64;
    let counter = Mutex::new((0_u64, 0_u64));
    let bump = |counts: &mut (u64, u64)| {
        counts.0 += 1;
        assert_eq!(counts.0, counts.1 + 1);
        counts.1 += 1;
    };
    thread::scope(|scope| {
        for number in 0..6 {
            let counter = &counter;
            scope.spawn(move || {
                for round in 0..rounds {
                    match (number + round) % 3 {
                        0 => bump(&mut counter.lock()),
                        1 => block_on(async { bump(&mut *counter.lock_async().await) }),
                        _ => loop {
                            if let Some(mut guard) = counter.lock_timeout(SHORT) {
                                break bump(&mut guard);
                            }
                        },
                    }
                }
            });
        }
    });
    assert_eq!(*counter.lock(), (6 * rounds, 6 * rounds));
    assert_eq!(counter.statistics().waiting, 0);
}

#[test]
fn a_panic_under_a_guard_leaves_the_mutex_free_and_the_data_as_it_was() {
    let lock = Mutex::new(1);
    let failing = || {
        let mut guard = lock.lock();
        *guard = 2;
        panic!("on purpose");
    };
    catch_unwind(AssertUnwindSafe(failing)).unwrap_err();
    assert_eq!(*lock.try_lock().unwrap(), 2);
}

#[test]
fn an_async_guard_moves_to_another_thread_and_is_released_there() {
    let lock = Arc::new(Mutex::new(1));
    thread::scope(|scope| {
        let guard = block_on(lock.lock_async());
        scope.spawn(move || drop(guard));
        *lock.lock() += 1;
    });
    assert_eq!(Arc::into_inner(lock).unwrap().into_inner(), 2);
}

#[test]
fn waiters_are_served_in_the_order_of_their_coming() {
    let lock = Mutex::new(());
    let guard = lock.lock();
    let mut first = ByHand::waiting(lock.lock_async());
    let mut second = ByHand::waiting(lock.lock_async());
    drop(guard);
    assert_eq!((first.alarm.count(), second.alarm.count()), (1, 0));
    let guard = first.poll().unwrap();
    assert!(second.poll().is_none());
    drop(guard);
    assert!(second.poll().is_some());
}

#[test]
fn who_starves_is_handed_the_mutex_and_nobody_barges_in() {
    let lock = Mutex::new(());
    let guard = lock.lock();
    let first = ByHand::waiting(lock.lock_async());
    starve();
    drop(guard);
    assert!(lock.try_lock().is_none());
    drop(first.finish());
    assert!(lock.try_lock().is_some());
    assert_eq!(lock.statistics().handovers, 1);
}

#[test]
fn dropping_the_future_in_any_stage_passes_the_mutex_on() {
    for starving in [false, true] {
        let lock = Mutex::new(());
        drop(lock.lock_async());
        let guard = lock.lock();
        drop(ByHand::waiting(lock.lock_async()));
        assert_eq!(lock.statistics().waiting, 0);

        let told = ByHand::waiting(lock.lock_async());
        let next = ByHand::waiting(lock.lock_async());
        if starving {
            starve();
        }
        drop(guard);
        assert_eq!((told.alarm.count(), next.alarm.count()), (1, 0));
        drop(told);
        drop(next.finish());
        assert!(!lock.is_locked());
        assert_eq!(lock.statistics().waiting, 0);
        drop(lock.lock());
    }
}

#[test]
fn a_future_wakes_the_last_waker_that_it_was_polled_with() {
    let lock = Mutex::new(());
    let guard = lock.lock();
    let mut moved = ByHand::waiting(lock.lock_async());
    let before = std::mem::take(&mut moved.alarm);
    assert!(moved.poll().is_none());
    drop(guard);
    assert_eq!((before.count(), moved.alarm.count()), (0, 1));
}

#[test]
fn a_timeout_ends_when_it_should() {
    let lock = Mutex::new(());
    let _guard = lock.lock();
    let since = Instant::now();
    assert!(lock.lock_timeout(Duration::from_millis(20)).is_none());
    assert!(since.elapsed() >= Duration::from_millis(20));
    assert!(lock.lock_timeout(Duration::ZERO).is_none());
    let statistics = lock.statistics();
    assert_eq!((statistics.waiting, statistics.waits, statistics.withdrawals), (0, 1, 1));
}

#[test]
fn a_timeout_beyond_the_clock_waits_as_long_as_it_takes() {
    let lock = Mutex::new(0);
    thread::scope(|scope| {
        let guard = lock.lock();
        let waiter = scope.spawn(|| lock.lock_timeout(Duration::MAX).is_some());
        eventually("it waits", || lock.statistics().waiting == 1);
        drop(guard);
        assert!(waiter.join().unwrap());
    });
}

#[test]
fn a_reentrant_mutex_is_free_when_the_last_guard_is_gone() {
    let tree = ReentrantMutex::new(Cell::new(0));
    let tried_elsewhere = || thread::scope(|scope| scope.spawn(|| tree.try_lock().is_some()).join().unwrap());
    let outer = tree.lock();
    let inner = tree.try_lock().unwrap();
    let third = tree.lock_timeout(SHORT).unwrap();
    third.set(outer.get() + 1);
    assert_eq!((inner.get(), tree.depth()), (1, 3));
    drop(outer);
    drop(third);
    assert!(!tried_elsewhere());
    drop(inner);
    assert!(tried_elsewhere());
    assert_eq!(tree.depth(), 0);
}

#[test]
fn threads_share_a_reentrant_mutex_with_tasks() {
    let rounds = rounds(1_000);
    let tree = ReentrantMutex::new(Cell::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..rounds {
                    let outer = tree.lock();
                    let inner = tree.lock();
                    inner.set(outer.get() + 1);
                }
            });
            scope.spawn(|| {
                for _ in 0..rounds {
                    block_on(async {
                        let guard = tree.lock_async().await;
                        guard.set(guard.get() + 1);
                    });
                }
            });
        }
    });
    assert_eq!(tree.into_inner().get(), 4 * rounds);
}

#[test]
fn debug_shows_state_holder_and_waiters() {
    let lock = Mutex::with_name("jobs", 5);
    assert_eq!(format!("{lock:?}"), r#"Mutex { name: "jobs", data: 5, waiting: 0 }"#);
    let guard = lock.lock();
    let shown = format!("{lock:?}");
    assert!(shown.contains("<locked>") && shown.contains("holder: Some(thread "), "{shown}");
    drop(guard);
    let guard = block_on(lock.lock_async());
    assert!(format!("{lock:?}").contains("holder: Some(an async task)"));
    assert_eq!(format!("{guard:?} {guard}"), "5 5");
    let tree = ReentrantMutex::new(7);
    let _guard = tree.lock();
    assert_eq!(format!("{tree:?}"), "ReentrantMutex { data: 7, depth: 1, waiting: 0 }");
}
