//! What happens once.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use oneloom_sync::environment::Patient;
use oneloom_sync::raw::{DoneCall, Name, RawOnce};
use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::{Crew, Hold, Resource};
use oneloom_wait::owner::Owner;
use oneloom_wait::wait::{Stop, block};

use crate::harness::{Plain, Polled, eventually, me, wait, wait_for};

fn once() -> Arc<RawOnce> {
    Arc::new(RawOnce::new(Name::NONE, "Thread"))
}

#[test]
fn it_is_done_for_ever() {
    let once = once();
    assert!(!once.is_done());
    assert_eq!(wait_for(&once, DoneCall::default(), Duration::from_millis(5)), None);
    let mut waiting = Polled::waiting(&once, DoneCall::default());
    once.finish();
    once.finish();
    assert_eq!(waiting.poll(), Some(()));
    assert!(once.is_done());
    wait(&once, DoneCall::default());
}

#[test]
fn one_begins_and_one_takes() {
    let once = once();
    assert!(!once.take(), "there is nothing yet");
    assert!(once.begin());
    assert!(!once.begin());
    assert!(!once.take());
    once.finish();
    assert!(!once.is_taken());
    assert!(once.take());
    assert!(!once.take());
    assert!(once.is_taken());
    let other = RawOnce::new(Name::NONE, "Future");
    other.finish();
    assert!(!other.begin(), "finishing begins");
}

#[test]
fn it_tells_who_will_finish_it_until_it_is_done() {
    let once = once();
    assert_eq!((once.hold(), once.owner(), once.kind()), (None, None, "Thread"));
    once.set_owner(me());
    assert_eq!(once.hold(), Some(Hold { owner: me(), certain: true }));
    once.finish();
    assert_eq!((once.hold(), once.owner()), (None, Some(me())));
    once.set_owner(Owner::NOBODY);
    assert_eq!(once.owner(), None);
}

#[test]
fn waiting_for_oneself_is_a_deadlock() {
    let once = once();
    once.set_owner(me());
    let end = block(&*once, &mut DoneCall::default(), Deadline::Never, &mut Plain);
    let Err(Stop::Deadlock(deadlock)) = end else { panic!("{end:?}") };
    assert_eq!(deadlock.steps.len(), 1);
    assert_eq!(once.statistics().0, 0);
    // With a deadline it is just late.
    assert_eq!(wait_for(&once, DoneCall::default(), Duration::from_millis(5)), None);
}

#[test]
fn two_threads_that_join_each_other_are_told() {
    let (left, right) = (once(), once());
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        for (mine, theirs) in [(&left, &right), (&right, &left)] {
            let tell = tell.clone();
            scope.spawn(move || {
                mine.set_owner(me());
                eventually("both have begun", || theirs.owner().is_some());
                let end = block(&**theirs, &mut DoneCall::default(), Deadline::Never, &mut Plain);
                tell.send(matches!(end, Err(Stop::Deadlock(_)))).unwrap();
                mine.finish();
            });
        }
    });
    let mut victims: Vec<bool> = [told.recv().unwrap(), told.recv().unwrap()].into();
    victims.sort_unstable();
    assert_eq!(victims, [false, true], "exactly one gives way");
}

#[test]
fn one_that_has_ended_without_finishing_is_not_waited_for() {
    let once = once();
    let begun = once.clone();
    thread::spawn(move || begun.set_owner(me())).join().unwrap();
    let end = block(&*once, &mut DoneCall::default(), Deadline::Never, &mut Plain);
    let Err(Stop::Deadlock(deadlock)) = end else { panic!("{end:?}") };
    assert!(deadlock.holder_ended);
}

/// Which of some workers are told that all wait for what only they could begin, until a deadline each; `rest` says who
/// else has a place.
fn stuck(deadlines: &[Deadline], rest: &[Owner]) -> Vec<bool> {
    let workers = deadlines.len();
    let crew = Arc::new(Crew::new(workers + rest.len()));
    for (place, owner) in rest.iter().enumerate() {
        crew.seat(workers + place, *owner);
    }
    let jobs: Vec<_> =
        (0..workers).map(|_| RawOnce::new(Name::NONE, "future").by_crew(Some(crew.clone()))).collect();
    let mut told = thread::scope(|scope| {
        let crew = &crew;
        let wait = |(place, job)| {
            scope.spawn(move || {
                crew.seat(place, me());
                let end = block(job, &mut DoneCall::default(), deadlines[place], &mut Plain);
                // Who is told goes back to work, and does what the others wait for.
                crew.seat(place, Owner::NOBODY);
                matches!(end, Err(Stop::Deadlock(_)))
            })
        };
        let threads: Vec<_> = jobs.iter().enumerate().map(wait).collect();
        if !rest.is_empty() || deadlines.iter().any(|deadline| deadline.is_timed()) {
            eventually("all wait", || jobs.iter().all(|job| job.statistics().0 == 1));
        } else {
            eventually("one was told", || jobs.iter().any(|job| job.statistics().1.withdrawals > 0));
        }
        jobs.iter().for_each(RawOnce::finish);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    told.sort_unstable();
    told
}

#[test]
fn what_a_crew_could_begin_is_waited_for_in_vain_when_all_of_it_are_stuck() {
    assert_eq!(stuck(&[Deadline::Never], &[]), [true]);
    for _ in 0..20 {
        assert_eq!(stuck(&[Deadline::Never; 3], &[]), [false, false, true], "exactly one gives way");
    }
}

#[test]
fn a_worker_that_runs_an_empty_place_and_a_time_limit_are_ways_out() {
    let late = Deadline::after(Some(Duration::from_secs(60)));
    for _ in 0..50 {
        assert_eq!(stuck(&[Deadline::Never; 2], &[me()]), [false, false]);
        assert_eq!(stuck(&[Deadline::Never; 2], &[Owner::NOBODY]), [false, false]);
        assert_eq!(stuck(&[late, Deadline::Never], &[]), [false, false]);
    }
}

#[test]
fn places_that_nobody_takes_cost_nothing() {
    for places in [1, 2, 3, 4, usize::MAX] {
        let crew = Crew::new(places);
        crew.seat(0, me());
        crew.seat(2.min(places - 1), me());
        let mut seen = Vec::new();
        let _ = crew.show(&mut |worker| {
            seen.push(worker);
            ControlFlow::Continue(())
        });
        assert_eq!(seen.contains(&Owner::NOBODY), places > 2, "{places}: {seen:?}");
        assert_eq!(seen.iter().filter(|worker| **worker == me()).count(), places.min(2));
    }
}

#[test]
fn who_waits_for_a_stuck_crew_from_outside_is_not_told() {
    let crew = Arc::new(Crew::new(1));
    let job = RawOnce::new(Name::NONE, "future").by_crew(Some(crew.clone()));
    thread::scope(|scope| {
        scope.spawn(|| {
            crew.seat(0, me());
            // It is told, and waits on: so the crew stays stuck.
            let end = block(&job, &mut DoneCall::default(), Deadline::Never, &mut Patient);
            assert!(end.is_ok());
        });
        eventually("the worker waits", || job.statistics().0 == 1);
        let outside =
            scope.spawn(|| block(&job, &mut DoneCall::default(), Deadline::Never, &mut Plain).is_ok());
        eventually("both wait, or one was told", || job.statistics().0 == 2 || outside.is_finished());
        job.finish();
        assert!(outside.join().unwrap(), "it was told");
    });
}

#[test]
fn what_is_being_worked_at_is_waited_for_as_what_somebody_holds() {
    let crew = Arc::new(Crew::new(1));
    crew.seat(0, me());
    let job = RawOnce::new(Name::NONE, "future").by_crew(Some(crew));
    let mut shown = Vec::new();
    let mut show = |owner| {
        shown.push(owner);
        ControlFlow::Continue(())
    };
    assert!(job.helpers(&mut show));
    job.set_at_work(Some(me()));
    assert!(!job.helpers(&mut show));
    assert_eq!(job.hold(), Some(Hold { owner: me(), certain: true }));
    job.set_aside();
    assert!(job.helpers(&mut show) && job.hold().is_none());
    job.set_at_work(None);
    assert!(!job.helpers(&mut show) && job.hold().is_none());
    job.finish();
    assert!(!job.helpers(&mut show));
    assert_eq!(shown, [me(); 2]);
}
