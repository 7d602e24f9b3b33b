//! Processes that die by SIGKILL at every step of what conditions and barriers do: whoever waits goes on.

// ThreadSanitizer does not survive a fork.
#![cfg(not(any(loom, shuttle, oneloom_tsan)))]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use oneloom_shm::arena::{self, Kind, Whose};
use oneloom_shm::barrier::{ArriveCall, Arrived, Barrier, Broken};
use oneloom_shm::condition::{Condition, LettingGo, NotifiedCall};
use oneloom_shm::mutex::Taken;
use oneloom_shm::reentrant::{ReentrantCall, ReentrantMutex};
use oneloom_shm::segment::Segment;
use oneloom_shm::step::{Step, kill_at};
use oneloom_shm::wait::block;
use oneloom_wait::clock::Deadline;
use support::matrix::{killed, kills};
use support::*;

fn lock(mutex: &ReentrantMutex, name: u64) -> Taken {
    let mut call = ReentrantCall { mutex, name, count: 1 };
    block(&mut call, soon(), &mut Plainly).expect("the lock in time")
}

/// Lets go of a reentrant lock around a condition.
struct Around<'a> {
    mutex: &'a ReentrantMutex,
    name: u64,
    count: u32,
}

impl LettingGo for Around<'_> {
    fn let_go(&mut self) -> bool {
        self.mutex.unlock_all(self.name).map(|count| self.count = count).is_ok()
    }

    fn is_abandoned(&self) -> bool {
        self.mutex.is_abandoned()
    }
}

/// A condition with its lock, and how many there are of what is waited for.
struct Store {
    changed: Condition,
    mutex: ReentrantMutex,
    there: &'static [AtomicU64],
}

impl Store {
    fn new() -> Self {
        Self::within(segment())
    }

    fn within(segment: &'static Segment) -> Self {
        let changed = Condition::new(segment).expect("a condition");
        Self { changed, mutex: ReentrantMutex::new(segment).expect("a lock"), there: shared_numbers(1) }
    }

    fn there(&self) -> u64 {
        self.there[0].load(Ordering::SeqCst)
    }

    /// Takes one, waiting for it.
    fn take(&self, name: u64, deadline: Deadline) -> bool {
        lock(&self.mutex, name);
        while self.there() == 0 {
            let around = Around { mutex: &self.mutex, name, count: 0 };
            let mut call = NotifiedCall::new(&self.changed, around);
            let notified = block(&mut call, deadline, &mut Plainly);
            let count = call.lock.count;
            drop(call);
            block(&mut ReentrantCall { mutex: &self.mutex, name, count }, soon(), &mut Plainly)
                .expect("the lock again in time");
            if notified.is_err() {
                break;
            }
            drop(notified);
        }
        let taken = self.there() > 0;
        if taken {
            self.there[0].fetch_sub(1, Ordering::SeqCst);
        }
        self.mutex.unlock(name).expect("its own");
        taken
    }

    fn give(&self, name: u64) {
        lock(&self.mutex, name);
        self.there[0].fetch_add(1, Ordering::SeqCst);
        self.changed.notify(1).expect("a sound segment");
        self.mutex.unlock(name).expect("its own");
    }

    fn until_waiting(&self, count: usize) {
        while self.changed.waiting() < count {
            std::thread::yield_now();
        }
    }
}

#[test]
fn whoever_waits_is_notified_though_the_notifier_dies() {
    for step in
        [Step::DepthWritten, Step::SeatNotified, Step::SeatWoken, Step::DepthCleared, Step::MutexReleased]
    {
        for delay in [0, 60] {
            let store = Store::new();
            let child = Child::start(|| {
                store.until_waiting(1);
                std::thread::sleep(Duration::from_millis(delay));
                lock(&store.mutex, 7);
                store.there[0].fetch_add(1, Ordering::SeqCst);
                kill_at(step, 0);
                // Once more, for the first step.
                lock(&store.mutex, 7);
                store.changed.notify(1).expect("a sound segment");
                store.mutex.unlock_all(7).expect("its own");
                0
            });
            assert!(store.take(1, soon()), "{step:?}");
            assert_eq!(child.join(), -libc::SIGKILL, "{step:?}");
            killed(step, "whoever waited was notified");
        }
    }
}

#[test]
fn a_notification_of_one_that_dies_goes_to_the_next() {
    for step in [Step::MutexTaken, Step::MutexTakenOver, Step::WordBumped] {
        let store = Store::new();
        // It waits first, so that it is notified first, and dies over taking the lock again, or before.
        let first = Child::start(|| {
            lock(&store.mutex, 1);
            let mut call =
                NotifiedCall::new(&store.changed, Around { mutex: &store.mutex, name: 1, count: 0 });
            let notified = block(&mut call, soon(), &mut Plainly);
            if step == Step::MutexTaken {
                kill_at(step, 0);
                lock(&store.mutex, 1);
            }
            // SAFETY: a signal to oneself.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
            drop(notified);
            0
        });
        store.until_waiting(1);
        let second = Child::start(|| i32::from(!store.take(2, soon())));
        store.until_waiting(2);
        store.give(3);
        assert_eq!(first.join(), -libc::SIGKILL, "{step:?}");
        assert_eq!(second.join(), 0, "{step:?}: the second was not notified");
        assert_eq!(store.changed.waiting(), 0);
    }
}

#[test]
fn one_killed_anywhere_at_a_condition_leaves_nobody_asleep() {
    let steps = [
        Step::SeatTaken,
        Step::DepthCleared,
        Step::MutexReleased,
        Step::MutexTaken,
        Step::DepthWritten,
        Step::SeatNotified,
        Step::SeatWoken,
        Step::SeatLeft,
    ];
    for step in steps {
        let store = Store::new();
        let over = shared_numbers(1);
        // There is one for two, who have to wait for it every now and then.
        let work = |name| {
            while over[0].load(Ordering::SeqCst) == 0 {
                assert!(store.take(name, soon()));
                (0..20).for_each(|_| std::thread::yield_now());
                store.give(name);
            }
            0
        };
        for round in 0..kills(8) {
            over[0].store(0, Ordering::SeqCst);
            let child = Child::start(|| {
                kill_at(step, round as u32 % 10);
                work(2)
            });
            let other = Child::start(|| work(3));
            store.give(1);
            assert_eq!(child.join(), -libc::SIGKILL, "{step:?}, round {round}");
            over[0].store(1, Ordering::SeqCst);
            // It may have died with the only one there was.
            store.give(1);
            assert_eq!(other.join(), 0, "{step:?}, round {round}: the other one hangs");
            killed(step, "the others went on");
            while store.take(1, Deadline::after(Some(Duration::ZERO))) {}
            assert_eq!(store.changed.waiting(), 0, "{step:?}, round {round}");
        }
    }
}

#[test]
fn more_wait_than_a_block_has_seats_and_one_dies_linking_another() {
    const CROWD: usize = 36;
    // Its own: others' blocks are none of its business.
    let segment = Segment::create(0).expect("a segment");
    for step in [Step::SeatsLinked, Step::SeatsOwned] {
        for _ in 0..kills(1) {
            let store = Store::within(segment);
            let crowd: Vec<_> = (0..CROWD)
                .map(|_| {
                    Child::start(|| {
                        kill_at(step, 0);
                        i32::from(!store.take(1, soon()))
                    })
                })
                .collect();
            // The one who finds no seat dies; the others sit down.
            store.until_waiting(CROWD - 1);
            (1..CROWD).for_each(|_| store.give(1));
            let mut ended: Vec<_> = crowd.into_iter().map(Child::join).collect();
            ended.sort_unstable();
            assert_eq!(ended[0], -libc::SIGKILL, "{step:?}");
            assert!(ended[1..].iter().all(|status| *status == 0), "{step:?}: {ended:?}");
            segment.me().and_then(|me| arena::sweep(segment, me)).expect("a sound segment");
            let kind = Kind::Condition as u32;
            assert!(
                !arena::census(segment).contains(&(kind, Whose::Process)),
                "{step:?}: seats belong to the dead"
            );
            killed(step, "the others sat down and were notified");
        }
    }
}

/// Three wait, the first is notified and dies; the second is killed if it is the one to notice. Whether it was.
fn relieving_is_deadly(step: Step) -> bool {
    let store = Store::new();
    let first = Child::start(|| {
        lock(&store.mutex, 1);
        let mut call = NotifiedCall::new(&store.changed, Around { mutex: &store.mutex, name: 1, count: 0 });
        let notified = block(&mut call, soon(), &mut Plainly);
        // SAFETY: a signal to oneself.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        drop(notified);
        0
    });
    store.until_waiting(1);
    let second = Child::start(|| {
        kill_at(step, 0);
        i32::from(!store.take(2, soon()))
    });
    store.until_waiting(2);
    let third = Child::start(|| i32::from(!store.take(3, soon())));
    store.until_waiting(3);
    store.give(4);
    assert_eq!(first.join(), -libc::SIGKILL);
    // If one got what there was, the other gets another.
    let (mut ended, started) = ([None, None], Instant::now());
    let mut given = false;
    while ended.contains(&None) {
        assert!(started.elapsed() < PATIENCE, "{step:?}: {ended:?}");
        ended = [ended[0].or_else(|| second.ended()), ended[1].or_else(|| third.ended())];
        if !given && ended.contains(&Some(0)) {
            given = true;
            store.give(4);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    assert_eq!(ended[1], Some(0));
    ended[0] == Some(-libc::SIGKILL)
}

#[test]
fn one_killed_while_it_relieves_the_dead_harms_nobody() {
    for step in [Step::SeatRelieved, Step::SeatNotified] {
        let mut count = 0;
        while count < kills(1) {
            if relieving_is_deadly(step) {
                count += 1;
                killed(step, "the next was notified");
            }
        }
    }
}

fn arrive(barrier: &Barrier, acts: bool) -> Result<Arrived, Broken> {
    let ended = block(&mut ArriveCall::new(barrier, acts, true), soon(), &mut Plainly).expect("in time");
    match ended {
        Ok(Arrived::Last { index, round }) => {
            barrier.release(round).expect("a sound segment")?;
            Ok(Arrived::Passed { index })
        }
        other => other,
    }
}

#[test]
fn parties_of_several_processes_pass_together_each_with_its_index() {
    const ROUNDS: u64 = 200;
    let barrier = Barrier::new(segment(), 3).expect("a barrier");
    let sums = shared_numbers(1);
    let children: Vec<_> = [true, false]
        .map(|acts| {
            Child::start(|| {
                for round in 0..ROUNDS {
                    let Ok(Arrived::Passed { index }) = arrive(&barrier, acts) else { return 1 };
                    let _ = round;
                    sums[0].fetch_add(1 << (20 * index), Ordering::SeqCst);
                }
                0
            })
        })
        .into_iter()
        .collect();
    for round in 1..=ROUNDS {
        let Ok(Arrived::Passed { index }) = arrive(&barrier, false) else {
            panic!("broken in round {round}")
        };
        sums[0].fetch_add(1 << (20 * index), Ordering::SeqCst);
    }
    children.into_iter().for_each(|child| assert_eq!(child.join(), 0));
    assert_eq!(sums[0].load(Ordering::SeqCst), ROUNDS | ROUNDS << 20 | ROUNDS << 40);
    assert_eq!((barrier.waiting(), barrier.is_broken()), (0, false));
}

#[test]
fn a_party_that_dies_breaks_the_barrier_for_the_others() {
    for step in [Step::PartySeated, Step::PartyActs, Step::RoundEnded, Step::SeatsCleared] {
        for round in 0..kills(2) {
            let barrier = Barrier::new(segment(), 3).expect("a barrier");
            let other = Child::start(|| match arrive(&barrier, false) {
                Err(Broken) => 7,
                Ok(_) => 8,
            });
            let child = Child::start(|| {
                while barrier.waiting() < 2 {
                    std::thread::yield_now();
                }
                if round == 0 {
                    // The parent is in its long sleep by then, usually; right either way.
                    std::thread::sleep(Duration::from_millis(60));
                }
                kill_at(step, 0);
                let acts = matches!(step, Step::PartySeated | Step::PartyActs);
                i32::from(arrive(&barrier, acts).is_err())
            });
            let started = Instant::now();
            let mine = arrive(&barrier, false);
            assert!(started.elapsed() < PATIENCE / 2, "{step:?}: nobody woke the waiter");
            assert_eq!(child.join(), -libc::SIGKILL, "{step:?}");
            let passed = matches!(step, Step::RoundEnded | Step::SeatsCleared);
            assert_eq!(mine.is_ok(), passed, "{step:?}");
            assert_eq!(other.join(), if passed { 8 } else { 7 }, "{step:?}");
            killed(step, if passed { "the others passed" } else { "the barrier was broken" });
            if !passed {
                assert!(barrier.is_broken());
                assert_eq!(arrive(&barrier, false), Err(Broken));
                barrier.reset().expect("a sound segment");
            }
            works(&barrier);
        }
    }
}

/// Three parties pass.
fn works(barrier: &Barrier) {
    assert_eq!((barrier.waiting(), barrier.is_broken()), (0, false));
    let children = [(); 2].map(|()| Child::start(|| i32::from(arrive(barrier, true).is_err())));
    assert!(arrive(barrier, true).is_ok());
    children.into_iter().for_each(|child| assert_eq!(child.join(), 0));
}

#[test]
fn a_party_whose_death_nobody_saw_does_not_count() {
    let barrier = Barrier::new(segment(), 3).expect("a barrier");
    killed_over(Step::PartySeated, || arrive(&barrier, false));
    let child = Child::start(|| i32::from(arrive(&barrier, false) != Err(Broken)));
    assert_eq!(arrive(&barrier, false), Err(Broken));
    assert_eq!(child.join(), 0);
    barrier.reset().expect("a sound segment");
    works(&barrier);
}

#[test]
fn a_barrier_that_one_died_over_breaking_is_whole() {
    for _ in 0..kills(1) {
        let barrier = Barrier::new(segment(), 3).expect("a barrier");
        let waiter = Child::start(|| i32::from(arrive(&barrier, false).is_err()));
        while barrier.waiting() < 1 {
            std::thread::yield_now();
        }
        killed_over(Step::BreakNoted, || barrier.abort());
        let third = Child::start(|| i32::from(arrive(&barrier, false).is_err()));
        assert!(arrive(&barrier, false).is_ok());
        assert_eq!((waiter.join(), third.join()), (0, 0));
        killed(Step::BreakNoted, "the barrier was not broken");
        works(&barrier);
    }
}

#[test]
fn one_killed_over_leaving_or_repairing_a_barrier_harms_nobody() {
    for step in [Step::PartyLeft, Step::BarrierRepaired, Step::BarrierTold] {
        for _ in 0..kills(1) {
            let barrier = Barrier::new(segment(), 3).expect("a barrier");
            if step == Step::BarrierRepaired {
                killed_over(Step::PartySeated, || arrive(&barrier, false));
            }
            killed_over(step, || {
                let moment = Deadline::after(Some(Duration::from_millis(5)));
                let breaks = step == Step::BarrierTold;
                drop(block(&mut ArriveCall::new(&barrier, false, breaks), moment, &mut Plainly));
            });
            killed(step, "a reset barrier works");
            barrier.reset().expect("a sound segment");
            works(&barrier);
        }
    }
}
