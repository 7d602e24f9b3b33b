//! A certain deadlock panics in exactly one of the plain blocking calls, with names; nothing else ever does.

mod faces_support;

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier as Meeting;
use std::thread;

use faces_support::{LONG, SHORT, block_on, eventually, rounds};
use oneloom_sync::{Condvar, Mutex, ReentrantMutex};

fn message(panic: Box<dyn Any + Send>) -> String {
    *panic.downcast::<String>().expect("the panic of a deadlock has a message")
}

/// Runs `first` and `second` on threads of those names; returns the messages of those that panicked.
fn panics_of(threads: Vec<(String, Box<dyn FnOnce() + Send + '_>)>) -> Vec<String> {
    thread::scope(|scope| {
        let threads: Vec<_> = threads
            .into_iter()
            .map(|(name, body)| thread::Builder::new().name(name).spawn_scoped(scope, body).unwrap())
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().err()).map(message).collect()
    })
}

fn ring(length: usize) -> Vec<String> {
    let locks: Vec<_> = (0..length).map(|number| Mutex::with_name(&format!("lock {number}"), 0)).collect();
    let meeting = Meeting::new(length);
    let body = |number: usize| {
        let (locks, meeting) = (&locks, &meeting);
        let body = move || {
            let _mine = locks[number].lock();
            meeting.wait();
            *locks[(number + 1) % length].lock() += 1;
        };
        (format!("knitter {number}"), Box::new(body) as Box<dyn FnOnce() + Send>)
    };
    let panics = panics_of((0..length).map(body).collect());
    let passed: usize = locks.iter().map(|lock| *lock.lock()).sum();
    assert_eq!(passed, length - panics.len(), "everybody else went on");
    assert!(locks.iter().all(|lock| lock.statistics().waiting == 0));
    panics
}

#[test]
fn two_locks_in_opposite_order_panic_in_exactly_one_thread_and_name_both() {
    for _ in 0..rounds(100) {
        let panics = ring(2);
        assert_eq!(panics.len(), 1, "{panics:#?}");
        for name in ["knitter 0", "knitter 1", "Mutex 'lock 0'", "Mutex 'lock 1'", "same order"] {
            assert!(panics[0].contains(name), "no {name:?} in {}", panics[0]);
        }
    }
}

#[test]
fn a_ring_of_five_panics_in_exactly_one_thread_and_names_all() {
    for _ in 0..rounds(50) {
        let panics = ring(5);
        assert_eq!(panics.len(), 1, "{panics:#?}");
        for number in 0..5 {
            assert!(panics[0].contains(&format!("lock {number}")), "{}", panics[0]);
            assert!(panics[0].contains(&format!("knitter {number}")), "{}", panics[0]);
        }
    }
}

#[test]
fn locking_a_mutex_twice_panics_and_says_what_to_use() {
    let lock = Mutex::with_name("only", 1);
    let guard = lock.lock();
    let panic = catch_unwind(AssertUnwindSafe(|| drop(lock.lock()))).unwrap_err();
    let text = message(panic);
    assert!(text.contains("'only'") && text.contains("ReentrantMutex"), "{text}");
    drop(guard);
    assert_eq!(*lock.lock(), 1);
}

#[test]
fn the_panic_points_at_the_call() {
    let lock = Mutex::new(());
    let _guard = lock.lock();
    let place = std::sync::Arc::new(std::sync::Mutex::new(None));
    let here = thread::current().id();
    let (found, before) = (place.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| {
        if thread::current().id() == here {
            *found.lock().unwrap() = info.location().map(|location| location.file().to_owned());
        } else {
            before(info);
        }
    }));
    catch_unwind(AssertUnwindSafe(|| drop(lock.lock()))).unwrap_err();
    drop(std::panic::take_hook());
    assert_eq!(place.lock().unwrap().as_deref(), Some(file!()));
}

#[test]
fn reentrant_mutexes_take_part_in_cycles() {
    let (lock, tree) = (Mutex::with_name("lock", ()), ReentrantMutex::with_name("tree", ()));
    let meeting = Meeting::new(2);
    let one = || {
        let _both = (tree.lock(), tree.lock());
        meeting.wait();
        drop(lock.lock());
    };
    let other = || {
        let _lock = lock.lock();
        meeting.wait();
        drop(tree.lock());
    };
    let panics = panics_of(vec![("one".into(), Box::new(one)), ("other".into(), Box::new(other))]);
    assert_eq!(panics.len(), 1, "{panics:#?}");
    assert!(panics[0].contains("ReentrantMutex 'tree'") && panics[0].contains("Mutex 'lock'"));
}

#[test]
fn calls_with_a_timeout_never_panic_and_nobody_panics_because_of_them() {
    let (left, right) = (Mutex::new(()), Mutex::new(()));
    let meeting = Meeting::new(2);
    let patient = || {
        let _left = left.lock();
        meeting.wait();
        drop(right.lock());
    };
    let hasty = || {
        let _right = right.lock();
        meeting.wait();
        eventually("the other waits", || right.statistics().waiting == 1);
        assert!(left.try_lock().is_none());
        assert!(left.lock_timeout(SHORT).is_none());
    };
    let panics = panics_of(vec![("patient".into(), Box::new(patient)), ("hasty".into(), Box::new(hasty))]);
    assert_eq!(panics, [""; 0]);
}

#[test]
fn a_thread_waits_for_an_async_task_without_a_verdict() {
    let (left, right) = (Mutex::new(()), Mutex::new(()));
    thread::scope(|scope| {
        let task_holds = block_on(left.lock_async());
        let _right = right.lock();
        scope.spawn(|| {
            let _left = left.lock();
            // Nobody holds this one any more, or soon will not.
            drop(right.lock_timeout(LONG).unwrap());
        });
        eventually("the other waits", || left.statistics().waiting == 1);
        assert!(left.lock_timeout(SHORT).is_none());
        drop(task_holds);
    });
}

#[test]
fn waiting_for_a_thread_that_leaked_its_guard_and_ended_panics() {
    let lock = Mutex::with_name("lost", ());
    let leaked = Meeting::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            mem::forget(lock.lock());
            leaked.wait();
            eventually("somebody waits", || lock.statistics().waiting == 1);
        });
        leaked.wait();
        // Waits while the holder still lives, and is told when it ends.
        let text = message(catch_unwind(AssertUnwindSafe(|| drop(lock.lock()))).unwrap_err());
        assert!(text.contains("'lost'") && text.contains("ended"), "{text}");
        // And one that comes later is told at once.
        let text = message(catch_unwind(AssertUnwindSafe(|| drop(lock.lock()))).unwrap_err());
        assert!(text.contains("'lost'") && text.contains("ended"), "{text}");
    });
}

/// One holds `outer` and waits on a condition under `inner`; another takes `inner`, notifies, and wants `outer`.
fn relock_cycle(timed: bool) -> Vec<String> {
    let (outer, inner) = (Mutex::with_name("outer", ()), Mutex::with_name("inner", false));
    let changed = Condvar::new();
    let holds_outer = Meeting::new(2);
    let waiter = || {
        let _outer = outer.lock();
        let inside = inner.lock();
        holds_outer.wait();
        if timed {
            drop(changed.wait_timeout(inside, LONG));
        } else {
            drop(changed.wait_while(inside, |changed| !*changed));
        }
    };
    let notifier = || {
        holds_outer.wait();
        let mut inside = inner.lock();
        *inside = true;
        assert!(changed.notify_one());
        drop(outer.lock());
    };
    let threads: Vec<(String, Box<dyn FnOnce() + Send>)> =
        vec![("waiter".into(), Box::new(waiter)), ("notifier".into(), Box::new(notifier))];
    panics_of(threads)
}

#[test]
fn taking_the_mutex_again_after_a_notification_can_close_a_cycle() {
    let panics = relock_cycle(false);
    assert_eq!(panics.len(), 1, "{panics:#?}");
    assert!(panics[0].contains("'outer'") && panics[0].contains("'inner'"));
}

#[test]
fn a_timed_wait_on_a_condition_leaves_the_panic_to_the_other() {
    let panics = relock_cycle(true);
    assert_eq!(panics.len(), 1, "{panics:#?}");
    assert!(panics[0].starts_with("deadlock") && panics[0].contains("'notifier'"), "{}", panics[0]);
    let victim = panics[0].lines().nth(1).unwrap();
    assert!(victim.contains("'notifier'"), "the victim comes first: {}", panics[0]);
}
