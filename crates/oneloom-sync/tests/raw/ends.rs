//! The first end of several.

use std::sync::{Arc, mpsc};
use std::thread;

use oneloom_sync::raw::{ArrivedCall, Name, RawEnds, RawOnce};
use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::{Crew, wait_of};
use oneloom_wait::owner::Owner;
use oneloom_wait::wait::{Stop, block};

use crate::harness::{Plain, eventually, me};

type Ends = RawEnds<Arc<RawOnce>>;

fn once(crew: Option<&Arc<Crew>>) -> Arc<RawOnce> {
    Arc::new(RawOnce::new(Name::NONE, "future").by_crew(crew.cloned()))
}

fn held_by(owner: Owner) -> Arc<RawOnce> {
    let once = once(None);
    once.set_owner(owner);
    once
}

/// The ends of these, one of which is waited for.
fn first_of(things: &[Arc<RawOnce>]) -> Ends {
    let ends = Ends::default();
    for (index, thing) in (0..).zip(things) {
        ends.watch(index, thing.clone());
    }
    ends.want(1);
    ends
}

/// Waits; whether this was told that it waits in vain.
fn is_told(ends: &Ends) -> bool {
    let end = block(ends, &mut ArrivedCall::default(), Deadline::Never, &mut Plain);
    matches!(end, Err(Stop::Deadlock(_)))
}

#[test]
fn ends_arrive_in_their_order_each_once() {
    let things = [once(None), once(None), once(None)];
    things[2].finish();
    let ends = first_of(&things);
    assert!(ends.want(1));
    assert_eq!(ends.take(), [2]);
    assert!(!ends.want(2));
    things[1].finish();
    ends.expect(7);
    ends.arrive(7);
    assert!(!is_told(&ends));
    assert_eq!(ends.take(), [1, 7]);
    assert_eq!(ends.take(), []);
    ends.close();
    things[0].finish();
    assert_eq!(ends.take(), []);
    assert_eq!(things[0].statistics().0, 0);
}

#[test]
fn what_only_the_waiter_could_bring_is_waited_for_in_vain() {
    let crew = Arc::new(Crew::new(1));
    crew.seat(0, me());
    let things = [held_by(me()), once(Some(&crew)), once(Some(&crew))];
    assert!(is_told(&first_of(&things)));
    things[1].set_at_work(Some(me()));
    assert!(is_told(&first_of(&things)));
}

#[test]
fn one_way_out_is_enough() {
    let crew = Arc::new(Crew::new(2));
    // Held by one who runs, by nobody who could be named, with an empty place beside, and by whoever tells of it.
    for way_out in [Some(held_by(me())), Some(once(None)), Some(once(Some(&crew))), None] {
        let ends = Ends::default();
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            let waits = scope.spawn(|| {
                crew.seat(0, me());
                ends.watch(0, held_by(me()));
                match &way_out {
                    Some(thing) => ends.watch(1, thing.clone()),
                    None => ends.expect(1),
                }
                ends.want(1);
                tell.send(me()).unwrap();
                is_told(&ends)
            });
            let waiter = told.recv().unwrap();
            eventually("it waits, or was told", || wait_of(waiter).is_some() || waits.is_finished());
            ends.arrive(1);
            assert!(!waits.join().unwrap());
        });
    }
}

#[test]
fn of_a_crew_that_waits_for_first_ends_exactly_one_gives_way() {
    for _ in 0..20 {
        let crew = Arc::new(Crew::new(3));
        let jobs = [once(Some(&crew)), once(Some(&crew))];
        let mut told = thread::scope(|scope| {
            let wait = |place| {
                let (crew, jobs) = (&crew, &jobs);
                scope.spawn(move || {
                    crew.seat(place, me());
                    let told = is_told(&first_of(jobs));
                    // Who is told goes back to work, and does what the others wait for.
                    crew.seat(place, Owner::NOBODY);
                    if told {
                        jobs[place % 2].finish();
                    }
                    told
                })
            };
            let threads: Vec<_> = (0..3).map(wait).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        told.sort_unstable();
        assert_eq!(told, [false, false, true]);
    }
}
