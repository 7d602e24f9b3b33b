//! The barrier.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use oneloom_sync::raw::{ArriveCall, Arrived, Broken, Name, RawBarrier};
use oneloom_wait::clock::Deadline;
use oneloom_wait::wait::block;

use crate::harness::{Plain, Polled, eventually, wait};

fn barrier(parties: u32) -> Arc<RawBarrier> {
    Arc::new(RawBarrier::new(parties, Name::NONE))
}

fn party(barrier: &Arc<RawBarrier>) -> Polled<ArriveCall> {
    Polled::waiting(barrier, ArriveCall::new(false))
}

const fn passed(index: u32) -> Option<Result<Arrived, Broken>> {
    Some(Ok(Arrived::Passed { index }))
}

const BROKEN: Option<Result<Arrived, Broken>> = Some(Err(Broken));

#[test]
fn all_go_on_when_the_last_arrives_each_with_its_index() {
    let barrier = barrier(3);
    for _ in 0..3 {
        let (mut first, mut second) = (party(&barrier), party(&barrier));
        assert_eq!(barrier.waiting(), 2);
        assert_eq!(Polled::new(&barrier, ArriveCall::new(false)).poll(), passed(2));
        assert_eq!((barrier.waiting(), barrier.is_broken()), (0, false));
        assert_eq!(second.poll(), passed(1));
        assert_eq!(first.poll(), passed(0));
    }
}

#[test]
fn one_party_never_waits() {
    for parties in [0, 1] {
        let barrier = RawBarrier::new(parties, Name::NONE);
        assert_eq!(barrier.parties(), 1);
        assert_eq!(Some(wait(&barrier, ArriveCall::new(false))), passed(0));
    }
}

#[test]
fn the_last_acts_before_the_others_go_on() {
    let barrier = barrier(2);
    let mut first = party(&barrier);
    let Ok(Arrived::Last { index: 1, round }) = wait(&barrier, ArriveCall::new(true)) else { panic!() };
    assert_eq!((first.poll(), barrier.waiting()), (None, 2));
    // Who comes meanwhile waits for the next round.
    let mut early = party(&barrier);
    assert_eq!(barrier.waiting(), 2);
    assert_eq!(barrier.release(round), Ok(()));
    assert_eq!(barrier.release(round), Err(Broken), "only once");
    assert_eq!(first.poll(), passed(0));
    assert_eq!(early.poll(), None);
    assert_eq!(barrier.waiting(), 1);
    assert_eq!(Some(wait(&barrier, ArriveCall::new(false))), passed(1));
    assert_eq!(early.poll(), passed(0));
}

#[test]
fn more_than_a_round_may_wait_at_the_entrance() {
    let barrier = barrier(2);
    let mut first = party(&barrier);
    let Ok(Arrived::Last { round, .. }) = wait(&barrier, ArriveCall::new(true)) else { panic!() };
    let mut early: Vec<_> = (0..5).map(|_| party(&barrier)).collect();
    barrier.release(round).unwrap();
    assert_eq!(first.poll(), passed(0));
    let outcomes: Vec<_> = early.iter_mut().map(Polled::poll).collect();
    assert_eq!(outcomes, [None, passed(1), None, passed(1), None]);
    assert_eq!((early[0].poll(), early[2].poll()), (passed(0), passed(0)));
    assert_eq!(barrier.waiting(), 1);
}

#[test]
fn what_the_last_could_not_do_breaks_the_barrier() {
    let barrier = barrier(2);
    let mut first = party(&barrier);
    let Ok(Arrived::Last { round, .. }) = wait(&barrier, ArriveCall::new(true)) else { panic!() };
    let mut early = party(&barrier);
    barrier.abort_round(round);
    assert_eq!((first.poll(), early.poll()), (BROKEN, BROKEN));
    assert!(barrier.is_broken());
    barrier.reset();
    barrier.abort_round(round);
    assert!(!barrier.is_broken(), "that round is over");
}

#[test]
fn aborting_turns_everybody_away_until_a_reset() {
    let barrier = barrier(3);
    let (mut first, mut second) = (party(&barrier), party(&barrier));
    barrier.abort();
    assert_eq!((first.poll(), second.poll(), barrier.waiting()), (BROKEN, BROKEN, 0));
    assert_eq!(wait(&barrier, ArriveCall::new(false)), Err(Broken));
    barrier.reset();
    assert!(!barrier.is_broken());
    let _first = party(&barrier);
    assert_eq!(barrier.waiting(), 1);
}

#[test]
fn a_reset_turns_away_those_who_wait_and_nobody_else() {
    let barrier = barrier(2);
    let mut first = party(&barrier);
    barrier.reset();
    assert_eq!((first.poll(), barrier.is_broken(), barrier.waiting()), (BROKEN, false, 0));
    let mut second = party(&barrier);
    assert_eq!(Some(wait(&barrier, ArriveCall::new(false))), passed(1));
    assert_eq!(second.poll(), passed(0));
}

#[test]
fn a_round_that_was_reset_or_aborted_under_the_last_is_broken_for_it_too() {
    for reset in [false, true] {
        let barrier = barrier(2);
        let mut first = party(&barrier);
        let Ok(Arrived::Last { round, .. }) = wait(&barrier, ArriveCall::new(true)) else { panic!() };
        if reset {
            barrier.reset()
        } else {
            barrier.abort()
        }
        assert_eq!(first.poll(), BROKEN);
        assert_eq!(barrier.release(round), Err(Broken));
        assert_eq!(barrier.is_broken(), !reset);
    }
}

#[test]
fn a_party_that_gives_up_breaks_the_barrier() {
    let barrier = barrier(3);
    let mut first = party(&barrier);
    drop(party(&barrier));
    assert_eq!((first.poll(), barrier.is_broken()), (BROKEN, true));
}

#[test]
fn a_party_that_said_so_only_counts_as_not_arrived() {
    let barrier = barrier(3);
    let mut first = party(&barrier);
    let mut leaving = party(&barrier);
    leaving.call().breaks = false;
    drop(leaving);
    assert_eq!((barrier.waiting(), barrier.is_broken()), (1, false));
    let mut second = party(&barrier);
    assert_eq!(Some(wait(&barrier, ArriveCall::new(false))), passed(2));
    assert_eq!((first.poll(), second.poll()), (passed(0), passed(1)));
}

#[test]
fn a_party_that_leaves_the_entrance_breaks_the_next_round_and_not_this() {
    let barrier = barrier(2);
    let mut first = party(&barrier);
    let Ok(Arrived::Last { round, .. }) = wait(&barrier, ArriveCall::new(true)) else { panic!() };
    let mut stays = party(&barrier);
    drop(party(&barrier));
    assert!(!barrier.is_broken());
    assert_eq!(barrier.release(round), Ok(()));
    assert_eq!((first.poll(), stays.poll(), barrier.is_broken()), (passed(0), BROKEN, true));
}

#[test]
fn a_party_that_passed_and_is_dropped_breaks_nothing() {
    let barrier = barrier(2);
    let first = party(&barrier);
    assert_eq!(Some(wait(&barrier, ArriveCall::new(false))), passed(1));
    drop(first);
    assert!(!barrier.is_broken());
    let mut first = party(&barrier);
    assert_eq!(Some(wait(&barrier, ArriveCall::new(false))), passed(1));
    assert_eq!(first.expire(), passed(0), "the outcome came with the deadline");
}

#[test]
fn a_deadline_breaks_the_barrier_even_if_it_was_over_at_the_start() {
    for timeout in [Duration::ZERO, Duration::from_millis(5)] {
        let barrier = barrier(2);
        let mut call = ArriveCall::new(false);
        let deadline = Deadline::after(Some(timeout));
        assert!(block(&*barrier, &mut call, deadline, &mut Plain).is_err());
        call.leave(&barrier);
        assert!(barrier.is_broken());
        barrier.reset();
        call.leave(&barrier);
        assert!(!barrier.is_broken(), "it has left already");
    }
    let barrier = barrier(1);
    let over = Deadline::after(Some(Duration::ZERO));
    assert!(block(&*barrier, &mut ArriveCall::new(false), over, &mut Plain).is_ok());
}

#[test]
fn rounds_do_not_mix() {
    const PARTIES: u32 = 4;
    const ROUNDS: usize = 300;
    let barrier = barrier(PARTIES);
    let (arrived, actions) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for number in 0..PARTIES {
            let (barrier, arrived, actions) = (&barrier, &arrived, &actions);
            scope.spawn(move || {
                for round in 1..=ROUNDS {
                    arrived.fetch_add(1, Ordering::SeqCst);
                    let call = ArriveCall::new(true);
                    let outcome = if number % 2 == 0 {
                        wait(barrier, call)
                    } else {
                        Polled::new(barrier, call).finish()
                    };
                    if let Arrived::Last { round: completed, .. } = outcome.unwrap() {
                        assert_eq!(arrived.load(Ordering::SeqCst), round * PARTIES as usize);
                        actions.fetch_add(1, Ordering::SeqCst);
                        barrier.release(completed).unwrap();
                    }
                    assert!(actions.load(Ordering::SeqCst) >= round);
                }
            });
        }
    });
    assert_eq!(actions.into_inner(), ROUNDS);
}

#[test]
fn a_thread_that_waits_is_counted() {
    let barrier = barrier(2);
    thread::scope(|scope| {
        let thread = scope.spawn(|| wait(&barrier, ArriveCall::new(false)));
        eventually("one waits", || barrier.waiting() == 1);
        assert_eq!(barrier.statistics().0, 1);
        barrier.abort();
        assert_eq!(thread.join().unwrap(), Err(Broken));
    });
}
