//! What semaphores, events, condition variables, barriers and one-shot cells promise to threads and async tasks.

mod faces_support;

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use faces_support::{ByHand, LONG, SHORT, block_on, eventually, rounds, starve};
use futures_lite::future::zip;
use oneloom_sync::{
    AlreadySet, Barrier, BoundedSemaphore, BrokenBarrier, Condvar, Event, Mutex, OneShot, Semaphore,
    TooManyPermits,
};

#[test]
fn futures_may_change_threads() {
    fn is_send<F: Future + Send>(_: F) {}
    let (semaphore, event, barrier, cell) =
        (Semaphore::new(1), Event::new(), Barrier::new(1), OneShot::<u8>::new());
    let (lock, condvar) = (Mutex::new(()), Condvar::new());
    is_send(semaphore.acquire_async());
    is_send(event.wait_async());
    is_send(barrier.wait_async());
    is_send(cell.wait_async());
    is_send(async { condvar.wait_async(lock.lock_async().await).await });
}

#[test]
fn other_executors_run_them_as_well() {
    let (event, cell) = (Event::new(), OneShot::new());
    let (first, second) = pollster::block_on(zip(
        async {
            event.wait_async().await;
            *cell.wait_async().await
        },
        async {
            cell.set(1).unwrap();
            event.set();
            2
        },
    ));
    assert_eq!((first, second), (1, 2));
}

#[test]
fn never_more_are_inside_than_there_are_permits() {
    let semaphore = BoundedSemaphore::new(2);
    let inside = AtomicUsize::new(0);
    let visit = || {
        assert!(inside.fetch_add(1, Ordering::Relaxed) < 2);
        thread::yield_now();
        inside.fetch_sub(1, Ordering::Relaxed);
    };
    thread::scope(|scope| {
        for number in 0..6 {
            let (semaphore, visit) = (&semaphore, &visit);
            scope.spawn(move || {
                for round in 0..rounds(300) {
                    let _permit = match (number + round) % 3 {
                        0 => semaphore.acquire(),
                        1 => block_on(semaphore.acquire_async()),
                        _ => match semaphore.acquire_timeout(SHORT) {
                            Some(permit) => permit,
                            None => continue,
                        },
                    };
                    visit();
                }
            });
        }
    });
    assert_eq!((semaphore.available(), semaphore.statistics().waiting), (2, 0));
}

#[test]
fn dropping_an_acquiring_future_in_any_stage_passes_the_permit_on() {
    for starving in [false, true] {
        let semaphore = Semaphore::new(0);
        drop(semaphore.acquire_async());
        drop(ByHand::waiting(semaphore.acquire_async()));
        assert_eq!(semaphore.statistics().waiting, 0);

        let told = ByHand::waiting(semaphore.acquire_async());
        let next = ByHand::waiting(semaphore.acquire_async());
        if starving {
            starve();
        }
        semaphore.release(1);
        assert_eq!((told.alarm.count(), next.alarm.count()), (1, 0));
        drop(told);
        drop(next.finish());
        assert_eq!(semaphore.available(), 1);
    }
}

#[test]
fn releasing_several_permits_serves_several() {
    let semaphore = Semaphore::new(0);
    let waiters: Vec<_> = (0..3).map(|_| ByHand::waiting(semaphore.acquire_async())).collect();
    semaphore.release(5);
    waiters.into_iter().for_each(|waiter| waiter.finish().forget());
    assert_eq!(semaphore.available(), 2);
}

#[test]
fn a_bounded_semaphore_refuses_more_than_it_began_with() {
    let semaphore = BoundedSemaphore::new(1);
    assert_eq!(semaphore.release(1), Err(TooManyPermits { bound: 1 }));
    assert!(TooManyPermits { bound: 1 }.to_string().contains("forgotten"));
    semaphore.acquire().forget();
    assert!(semaphore.acquire_timeout(SHORT).is_none());
    assert_eq!(semaphore.release(1), Ok(()));
}

#[test]
fn setting_an_event_lets_those_go_who_waited_even_if_it_is_cleared_at_once() {
    let event = Event::new();
    thread::scope(|scope| {
        let thread = scope.spawn(|| event.wait_timeout(LONG));
        let task = ByHand::waiting(event.wait_async());
        eventually("both wait", || event.statistics().waiting == 2);
        event.set();
        event.clear();
        assert!(thread.join().unwrap());
        task.finish();
    });
    assert!(!event.is_set() && !event.wait_timeout(SHORT));
    drop(ByHand::waiting(event.wait_async()));
    assert_eq!(event.statistics().waiting, 0);
}

#[test]
fn a_notification_reaches_somebody_who_waits_and_nobody_is_woken_without_one() {
    let (level, risen) = (Mutex::new(0), Condvar::new());
    assert!(!risen.notify_one());
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let level = risen.wait(level.lock());
            *level
        });
        eventually("it waits", || risen.statistics().waiting == 1);
        let mut task = ByHand::waiting(async {
            let level = risen.wait_async(level.lock_async().await).await;
            *level
        });
        assert!(!level.is_locked(), "a wait releases the mutex");
        *level.lock() = 1;
        assert!(risen.notify_one());
        assert_eq!(thread.join().unwrap(), 1);
        assert!(task.poll().is_none());
        *level.lock() = 2;
        assert_eq!(risen.notify_all(), 1);
        assert_eq!(task.finish(), 2);
    });
}

#[test]
fn a_wait_for_a_condition_ends_with_its_timeout_and_holds_the_mutex_again() {
    let (level, risen) = (Mutex::new(0), Condvar::new());
    let (guard, notified) = risen.wait_timeout(level.lock(), SHORT);
    assert!(!notified && level.is_locked());
    let (guard, enough) = risen.wait_while_timeout(guard, |level| *level < 1, SHORT);
    assert!(!enough && level.is_locked());
    drop(guard);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| risen.wait_while_timeout(level.lock(), |level| *level < 2, LONG).1);
        eventually("it waits", || risen.statistics().waiting == 1);
        for _ in 0..2 {
            *level.lock() += 1;
            risen.notify_all();
        }
        assert!(waiter.join().unwrap());
    });
    assert!(!level.is_locked());
}

#[test]
fn dropping_a_wait_for_a_condition_in_any_stage_passes_the_notification_on() {
    let (lock, condvar) = (Mutex::new(()), Condvar::new());
    let wait = || async { drop(condvar.wait_async(lock.lock_async().await).await) };
    drop(wait());
    // Waits.
    drop(ByHand::waiting(wait()));
    assert_eq!(condvar.statistics().waiting, 0);
    // Was notified and does not know it yet.
    let (told, next) = (ByHand::waiting(wait()), ByHand::waiting(wait()));
    assert!(condvar.notify_one());
    drop(told);
    next.finish();
    // Knows it, and waits for the mutex.
    let (mut told, mut next) = (ByHand::waiting(wait()), ByHand::waiting(wait()));
    let guard = lock.lock();
    assert!(condvar.notify_one());
    assert!(told.poll().is_none());
    drop(told);
    assert_eq!(next.alarm.count(), 1);
    assert!(next.poll().is_none());
    drop(guard);
    next.finish();
    assert!(!lock.is_locked() && lock.statistics().waiting == 0);
}

#[test]
fn a_guard_dropped_with_an_unpolled_wait_releases_the_mutex() {
    let (lock, condvar) = (Mutex::new(()), Condvar::new());
    drop(condvar.wait_async(block_on(lock.lock_async())));
    assert!(!lock.is_locked());
}

#[test]
fn a_barrier_serves_round_after_round_of_threads_and_tasks() {
    let rounds = rounds(200);
    let barrier = Barrier::new(4);
    let arrived = AtomicUsize::new(0);
    let leaders: usize = thread::scope(|scope| {
        let party = |number: usize| {
            let (barrier, arrived) = (&barrier, &arrived);
            move || {
                let lead = |round: usize| {
                    arrived.fetch_add(1, Ordering::Relaxed);
                    let arrival = match number % 2 {
                        0 => barrier.wait(),
                        _ => block_on(barrier.wait_async()),
                    };
                    let arrival = arrival.unwrap();
                    assert!(arrived.load(Ordering::Relaxed) >= 4 * (round + 1));
                    assert!(arrival.index() < 4);
                    usize::from(arrival.is_leader())
                };
                (0..rounds).map(lead).sum::<usize>()
            }
        };
        let parties: Vec<_> = (0..4).map(|number| scope.spawn(party(number))).collect();
        parties.into_iter().map(|party| party.join().unwrap()).sum()
    });
    assert_eq!((leaders, barrier.waiting()), (rounds, 0));
}

#[test]
fn a_party_that_stops_waiting_counts_as_not_arrived() {
    let barrier = Barrier::new(2);
    drop(ByHand::waiting(barrier.wait_async()));
    assert_eq!((barrier.wait_timeout(SHORT), barrier.waiting()), (Ok(None), 0));
    let party = ByHand::waiting(barrier.wait_async());
    assert_eq!(barrier.waiting(), 1);
    let last = barrier.try_wait().unwrap().unwrap();
    assert!(last.is_leader() && party.finish().unwrap().index() == 0);
    // The round was complete when this one was dropped.
    let gone = ByHand::waiting(barrier.wait_async());
    barrier.wait().unwrap();
    drop(gone);
    assert_eq!((barrier.waiting(), barrier.is_broken()), (0, false));
}

#[test]
fn a_broken_barrier_turns_everybody_away_until_it_is_reset() {
    let barrier = Barrier::new(2);
    let party = ByHand::waiting(barrier.wait_async());
    barrier.abort();
    assert_eq!(party.finish(), Err(BrokenBarrier));
    assert_eq!(barrier.wait(), Err(BrokenBarrier));
    assert_eq!(barrier.try_wait(), Err(BrokenBarrier));
    assert!(barrier.is_broken() && BrokenBarrier.to_string().contains("reset()"));
    barrier.reset();
    let party = ByHand::waiting(barrier.wait_async());
    barrier.reset();
    assert_eq!((party.finish(), barrier.is_broken()), (Err(BrokenBarrier), false));
}

#[test]
#[should_panic(expected = "1 to")]
fn a_barrier_for_nobody_is_refused() {
    drop(Barrier::new(0));
}

#[test]
fn a_one_shot_cell_is_set_by_the_fastest_and_shared_by_all() {
    for _ in 0..rounds(200) {
        let cell = OneShot::new();
        let winners: usize = thread::scope(|scope| {
            let waiter = scope.spawn(|| *cell.wait());
            let task = scope.spawn(|| block_on(async { *cell.wait_async().await }));
            let setters = [1, 2].map(|number| {
                let cell = &cell;
                scope.spawn(move || match cell.set(vec![number].len() * number) {
                    Ok(()) => 1,
                    Err(AlreadySet(refused)) => {
                        assert_eq!(refused, number);
                        0
                    }
                })
            });
            let seen = waiter.join().unwrap();
            assert!(seen == task.join().unwrap() && Some(&seen) == cell.get());
            setters.into_iter().map(|setter| setter.join().unwrap()).sum()
        });
        assert_eq!(winners, 1);
    }
}

#[test]
fn a_one_shot_cell_drops_its_value_once() {
    let value = std::sync::Arc::new(());
    let mut cell = OneShot::new();
    assert!(cell.wait_timeout(SHORT).is_none() && cell.get_mut().is_none());
    cell.set(value.clone()).unwrap();
    drop(cell.set(value.clone()));
    assert!(cell.get_mut().is_some() && cell.is_set());
    assert_eq!(std::sync::Arc::strong_count(&value), 2);
    drop(cell);
    assert_eq!(std::sync::Arc::strong_count(&value), 1);
}

#[test]
fn debug_shows_state_and_waiters() {
    let shown = |value: &dyn std::fmt::Debug| format!("{value:?}");
    assert_eq!(shown(&Semaphore::with_name("s", 2)), r#"Semaphore { name: "s", available: 2, waiting: 0 }"#);
    assert_eq!(shown(&BoundedSemaphore::new(2)), "BoundedSemaphore { available: 2, bound: 2, waiting: 0 }");
    assert_eq!(shown(&Event::with_name("e")), r#"Event { name: "e", set: false, waiting: 0 }"#);
    assert_eq!(shown(&Condvar::new()), "Condvar { waiting: 0 }");
    assert_eq!(shown(&Barrier::new(2)), "Barrier { waiting: 0, parties: 2, broken: false }");
    assert_eq!(shown(&OneShot::<u8>::new()), "OneShot { value: None, waiting: 0 }");
}
