//! Deadlocks across processes: one in the circle is told, a wait with an end is not, and the dead are no part of any.

// ThreadSanitizer does not survive a fork.
#![cfg(not(any(loom, shuttle, oneloom_tsan)))]

mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use oneloom_shm::mutex::{Holder, LockCall, Mutex, Taken};
use oneloom_shm::segment::Segment;
use oneloom_shm::step::{Step, kill_at};
use oneloom_shm::wait::{Stop, block};
use oneloom_shm::waits;
use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::{Certainty, Deadlock};
use oneloom_wait::owner;
use oneloom_wait::wait::{Environment, Judgement};
use support::matrix::{killed, kills};
use support::*;

/// A thread that raises what is certain.
struct Raises;

impl Environment for Raises {
    fn judge(&mut self, deadlock: &Deadlock) -> Judgement {
        match deadlock.certainty {
            Certainty::Certain => Judgement::Raise,
            _ => Judgement::KeepWaiting,
        }
    }
}

fn lock(mutex: &Mutex) -> Result<Taken, Stop> {
    lock_within(mutex, true, Deadline::Never)
}

fn lock_within(mutex: &Mutex, scoped: bool, deadline: Deadline) -> Result<Taken, Stop> {
    let holder = Holder { name: owner::current().to_bits(), scoped };
    block(&mut LockCall { mutex, holder }, deadline, &mut Raises)
}

fn unlock(mutex: &Mutex) {
    mutex.unlock(|| owner::current().to_bits()).expect("its own");
}

fn locks<const COUNT: usize>() -> [Mutex; COUNT] {
    let segment = Segment::create(0).expect("a segment");
    std::array::from_fn(|_| Mutex::new(segment).expect("a lock"))
}

fn is_deadlock(end: &Result<Taken, Stop>) -> bool {
    matches!(end, Err(Stop::Deadlock(_)))
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Whether some process shows a wait.
fn somebody_waits(mutex: &Mutex) -> bool {
    let segment = mutex.object().segment();
    segment.members().any(|tag| waits::of(segment, tag).count() > 0)
}

#[test]
fn exactly_one_in_a_circle_of_processes_is_told() {
    const COUNT: usize = 4;
    for _ in 0..5 * stress() {
        let mutexes = locks::<COUNT>();
        let told = shared_numbers(2);
        let crowd: Vec<_> = (0..COUNT)
            .map(|place| {
                let mutexes = &mutexes;
                Child::start(move || {
                    assert_eq!(lock(&mutexes[place]), Ok(Taken::Clean));
                    told[1].fetch_add(1, Ordering::SeqCst);
                    until("all have one", || told[1].load(Ordering::SeqCst) == COUNT as u64);
                    let next = &mutexes[(place + 1) % COUNT];
                    let end = lock(next);
                    match &end {
                        Err(Stop::Deadlock(deadlock)) => {
                            assert_eq!(deadlock.steps.len(), COUNT);
                            told[0].fetch_add(1, Ordering::SeqCst);
                        }
                        Ok(Taken::Clean) => unlock(next),
                        other => panic!("{other:?}"),
                    }
                    unlock(&mutexes[place]);
                    0
                })
            })
            .collect();
        assert!(crowd.into_iter().all(|child| child.join() == 0));
        assert_eq!(told[0].load(Ordering::SeqCst), 1);
    }
}

#[test]
fn a_wait_with_an_end_is_no_part_of_a_deadlock() {
    let [ours, theirs] = locks::<2>();
    assert_eq!(lock(&ours), Ok(Taken::Clean));
    let child = Child::start(|| {
        assert_eq!(lock(&theirs), Ok(Taken::Clean));
        let soon = Deadline::after(Some(Duration::from_millis(300)));
        assert_eq!(lock_within(&ours, true, soon), Err(Stop::TimedOut));
        unlock(&theirs);
        0
    });
    until("the child has its lock", || theirs.is_locked());
    assert_eq!(lock(&theirs), Ok(Taken::Clean));
    assert_eq!(child.join(), 0);
}

#[test]
fn what_anybody_may_release_is_no_certain_deadlock() {
    let [ours, theirs] = locks::<2>();
    assert_eq!(lock_within(&ours, false, Deadline::Never), Ok(Taken::Clean));
    let child = Child::start(|| {
        assert_eq!(lock(&theirs), Ok(Taken::Clean));
        i32::from(lock(&ours) != Ok(Taken::Clean))
    });
    until("the child waits", || somebody_waits(&ours));
    let soon = Deadline::after(Some(Duration::from_millis(300)));
    let name = owner::current().to_bits();
    let waits = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            ours.unlock(|| 0).expect("anybody may");
        });
        block(&mut LockCall { mutex: &theirs, holder: Holder { name, scoped: true } }, soon, &mut Raises)
    });
    assert!(!is_deadlock(&waits), "{waits:?}");
    assert_eq!(child.join(), 0);
}

#[test]
fn whoever_takes_a_lock_twice_is_told() {
    let [mutex] = locks::<1>();
    assert_eq!(lock(&mutex), Ok(Taken::Clean));
    assert!(is_deadlock(&lock(&mutex)));
    unlock(&mutex);
    assert!(!mutex.is_locked());
}

/// The steps of showing a wait and of finding a deadlock.
const STEPS: [Step; 7] = [
    Step::WaitLinked,
    Step::WaitWritten,
    Step::WaitShown,
    Step::VerdictEntered,
    Step::VerdictReached,
    Step::VerdictLeft,
    Step::WaitHidden,
];

/// Parent and child close a circle, and the child dies over it.
#[test]
fn one_killed_while_it_looks_for_a_deadlock_harms_nobody() {
    for step in STEPS {
        for _ in 0..kills(5) {
            apart(|| one_dies_over_a_circle(step));
        }
    }
}

fn one_dies_over_a_circle(step: Step) {
    let [ours, theirs] = locks::<2>();
    assert_eq!(lock(&ours), Ok(Taken::Clean));
    let child = Child::start(|| {
        assert_eq!(lock(&theirs), Ok(Taken::Clean));
        until("the parent waits", || somebody_waits(&ours));
        kill_at(step, 0);
        let _ = lock(&ours);
        unlock(&theirs);
        0
    });
    until("the child has its lock", || theirs.is_locked());
    let end = lock(&theirs);
    // Before it died, the child may have waited long enough for this one to find the circle first.
    assert!(end == Ok(Taken::Recovered) || is_deadlock(&end), "{step:?}: {end:?}");
    let again = lock(&theirs);
    assert!(end.is_ok() == is_deadlock(&again), "{step:?}: {again:?}");
    assert_eq!(child.join(), -libc::SIGKILL, "{step:?}");
    // Nothing of the dead stands in the way of the next.
    let third = Child::start(|| i32::from(lock_within(&theirs, true, soon()) != Ok(Taken::Clean)));
    unlock(&theirs);
    assert_eq!(third.join(), 0, "{step:?}");
    let alone = end.is_ok();
    killed(step, if alone { "lock recovered" } else { "the circle found by another, then lock recovered" });
}

#[test]
fn the_dead_are_no_part_of_a_deadlock() {
    for _ in 0..10 * stress() {
        let [ours, theirs] = locks::<2>();
        assert_eq!(lock(&ours), Ok(Taken::Clean));
        let child = Child::start(|| {
            assert_eq!(lock(&theirs), Ok(Taken::Clean));
            i32::from(!is_deadlock(&lock(&ours)))
        });
        until("the child waits", || somebody_waits(&ours));
        child.kill();
        until("the child is dead", || child.is_dead());
        // Its lock and its wait stand as it left them, perhaps for as long as nobody has buried it.
        assert_eq!(lock(&theirs), Ok(Taken::Recovered));
        assert_eq!(child.join(), -libc::SIGKILL);
    }
}
