//! Models of the wait graph on real mutexes: of several threads that close a cycle at once exactly one is told,
//! and nobody is told who is not in one.

#![cfg(loom)]

mod support;

use std::sync::Arc;

use loom::future::block_on;
use loom::thread;
use oneloom_sync::raw::{ArrivedCall, LockCall, Name, RawEnds, RawMutex, RawOnce};
use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::{Certainty, Deadlock};
use oneloom_wait::owner::modelled::{Owners, act_as};
use oneloom_wait::owner::{Owner, flag};
use oneloom_wait::wait::{Environment, Judgement, Stop, block};
use support::{check, future, poll_once, wait_in_time};

/// Raises, as a program does by default, and remembers what it was told.
#[derive(Default)]
struct Raises(Vec<Deadlock>);

impl Environment for Raises {
    fn judge(&mut self, deadlock: &Deadlock) -> Judgement {
        self.0.push(deadlock.clone());
        Judgement::Raise
    }
}

/// As `who`, who holds `held`, takes `wanted` too; then releases what it has. Whether it was the victim.
fn cross(who: Owner, held: &RawMutex, wanted: &RawMutex) -> bool {
    act_as(who);
    let mut environment = Raises::default();
    let mut call = LockCall { owner: who, scoped: true };
    let victim = match block(wanted, &mut call, Deadline::Never, &mut environment) {
        Ok(()) => {
            wanted.release(|| who).unwrap();
            false
        }
        Err(Stop::Deadlock(deadlock)) => {
            assert_eq!(deadlock.certainty, Certainty::Certain);
            assert_eq!(deadlock.steps[0].owner, who);
            true
        }
        Err(stop) => panic!("{stop:?}"),
    };
    held.release(|| who).unwrap();
    victim
}

/// `count` threads stand in a ring: each holds a mutex and wants its neighbour's. Returns how many were told.
fn ring(count: usize, first: usize) -> usize {
    let owners = Arc::new(Owners::new(count as u32));
    let mutexes: Arc<Vec<RawMutex>> = Arc::new((0..count).map(|_| RawMutex::new(Name::NONE)).collect());
    let members: Vec<Owner> = mutexes
        .iter()
        .map(|mutex| {
            let member = owners.thread();
            assert!(mutex.try_lock(member, true));
            member
        })
        .collect();
    if first != 0 {
        // Not a cycle: one mutex of the ring is free.
        mutexes[0].release(|| members[0]).unwrap();
    }
    let threads: Vec<_> = (first..count)
        .map(|place| {
            let (mutexes, member) = (mutexes.clone(), members[place]);
            thread::spawn(move || cross(member, &mutexes[place], &mutexes[(place + 1) % mutexes.len()]))
        })
        .collect();
    let told = threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum();
    assert!(mutexes.iter().all(|mutex| !mutex.is_locked() && mutex.statistics().0 == 0));
    told
}

#[test]
fn of_two_that_close_a_cycle_at_once_exactly_one_is_told() {
    check(2, || assert_eq!(ring(2, 0), 1));
}

#[test]
fn of_three_that_close_a_cycle_at_once_exactly_one_is_told() {
    check(1, || assert_eq!(ring(3, 0), 1));
}

#[test]
fn of_three_that_take_and_then_cross_no_cycle_is_missed() {
    // Here each takes its own mutex while the others already walk: a hold that is not seen would hide the cycle.
    check(2, || {
        let owners = Arc::new(Owners::new(3));
        let mutexes = Arc::new([(); 3].map(|()| RawMutex::new(Name::NONE)));
        let members = [(); 3].map(|()| owners.thread());
        let join = |place: usize| {
            let (mutexes, member) = (mutexes.clone(), members[place]);
            move || {
                let (held, wanted) = (&mutexes[place], &mutexes[(place + 1) % 3]);
                held.try_lock(member, true) && cross(member, held, wanted)
            }
        };
        let others = [thread::spawn(join(1)), thread::spawn(join(2))];
        let mine = join(0)();
        let told = others.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum::<usize>();
        assert!(told + usize::from(mine) <= 1);
    });
}

#[test]
fn one_who_is_overtaken_by_one_who_then_waits_for_it_finds_the_cycle() {
    check(2, || {
        let owners = Owners::new(2);
        let mutexes = Arc::new([(); 2].map(|()| RawMutex::new(Name::NONE)));
        let [overtaken, faster] = [(); 2].map(|()| owners.thread());
        assert!(mutexes[0].try_lock(overtaken, true) && mutexes[1].try_lock(faster, true));
        let other = thread::spawn({
            let mutexes = mutexes.clone();
            move || cross(overtaken, &mutexes[0], &mutexes[1])
        });
        // What is released is offered to the other, which may be slower than who takes it again.
        mutexes[1].release(|| faster).unwrap();
        let told = mutexes[1].try_lock(faster, true) && cross(faster, &mutexes[1], &mutexes[0]);
        assert!(!(other.join().unwrap() && told));
    });
}

/// Raises, on a thread that runs an event loop further down its stack.
struct OnLoop;

impl Environment for OnLoop {
    fn flags(&self) -> u32 {
        flag::ON_LOOP
    }

    fn judge(&mut self, _deadlock: &Deadlock) -> Judgement {
        Judgement::Raise
    }
}

#[test]
fn a_lock_that_is_handed_to_a_task_as_its_loop_blocks_is_seen_to_close_a_cycle() {
    oneloom_wait::clock::set_starvation_limit(0);
    check(2, || {
        let owners = Owners::new(4);
        let [releaser, looper, holder] = [(); 3].map(|()| owners.thread());
        let task = owners.task(looper);
        let mutexes = Arc::new([(); 2].map(|()| Arc::new(RawMutex::new(Name::NONE))));
        assert!(mutexes[0].try_lock(releaser, true) && mutexes[1].try_lock(holder, true));
        act_as(looper);
        let mut awaited = future(&mutexes[0], LockCall { owner: task, scoped: true });
        assert!(poll_once(awaited.as_mut()).is_pending());
        // The task is in line for what the holder wants, too; the loop's thread blocks for what the holder has.
        let blocks = thread::spawn({
            let mutexes = mutexes.clone();
            move || {
                act_as(looper);
                let mut call = LockCall { owner: looper, scoped: true };
                if block(&*mutexes[1], &mut call, Deadline::Never, &mut OnLoop).is_ok() {
                    mutexes[1].release(|| looper).unwrap();
                }
                block_on(awaited);
                mutexes[0].release(|| task).unwrap();
            }
        });
        let holds = thread::spawn({
            let mutexes = mutexes.clone();
            move || cross(holder, &mutexes[1], &mutexes[0])
        });
        act_as(releaser);
        mutexes[0].release(|| releaser).unwrap();
        blocks.join().unwrap();
        holds.join().unwrap();
        assert!(mutexes.iter().all(|mutex| !mutex.is_locked() && mutex.statistics().0 == 0));
    });
}

#[test]
fn a_chain_that_ends_at_a_free_lock_is_nobodys_deadlock() {
    check(2, || assert_eq!(ring(3, 1), 0));
}

#[test]
fn a_cycle_with_a_timed_wait_ends_by_itself() {
    check(2, || {
        let owners = Owners::new(2);
        let mutexes = Arc::new([(); 2].map(|()| RawMutex::new(Name::NONE)));
        let [timed, patient] = [(); 2].map(|()| owners.thread());
        assert!(mutexes[0].try_lock(timed, true) && mutexes[1].try_lock(patient, true));
        let other = thread::spawn({
            let mutexes = mutexes.clone();
            move || cross(patient, &mutexes[1], &mutexes[0])
        });
        act_as(timed);
        if wait_in_time(&mutexes[1], LockCall { owner: timed, scoped: true }).is_some() {
            mutexes[1].release(|| timed).unwrap();
        }
        mutexes[0].release(|| timed).unwrap();
        assert!(!other.join().unwrap());
    });
}

#[test]
fn one_who_waits_for_an_owner_that_ends_is_told_though_nobody_polls() {
    check(3, || {
        let owners = Owners::new(2);
        let mutexes = Arc::new([(); 2].map(|()| RawMutex::new(Name::NONE)));
        let [waits, ends] = [(); 2].map(|()| owners.thread());
        assert!(mutexes[0].try_lock(waits, true) && mutexes[1].try_lock(ends, true));
        let told = thread::spawn({
            let mutexes = mutexes.clone();
            move || cross(waits, &mutexes[0], &mutexes[1])
        });
        owners.end(ends);
        assert!(told.join().unwrap());
    });
}

#[test]
fn one_who_takes_a_lock_twice_is_told_at_once() {
    check(2, || {
        let owners = Owners::new(1);
        let me = owners.thread();
        let mutex = RawMutex::new(Name::NONE);
        assert!(mutex.try_lock(me, true));
        assert!(cross(me, &mutex, &mutex));
    });
}

#[test]
fn of_two_that_wait_for_the_first_of_several_ends_exactly_one_is_told() {
    check(1, || {
        let owners = Arc::new(Owners::new(2));
        let members = [(); 2].map(|()| owners.thread());
        let things = members.map(|member| {
            let thing = RawOnce::new(Name::NONE, "thread");
            thing.set_owner(member);
            Arc::new(thing)
        });
        let wait = |place: usize| {
            let things = things.clone();
            move || {
                act_as(members[place]);
                let ends = RawEnds::default();
                (0..).zip(&things).for_each(|(index, thing)| ends.watch(index, thing.clone()));
                ends.want(1);
                let call = &mut ArrivedCall::default();
                let end = block(&ends, call, Deadline::Never, &mut Raises::default());
                ends.close();
                things[place].finish();
                matches!(end, Err(Stop::Deadlock(_)))
            }
        };
        let other = thread::spawn(wait(1));
        let mine = wait(0)();
        assert_ne!(mine, other.join().unwrap());
    });
}
