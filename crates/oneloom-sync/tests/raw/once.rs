//! What happens once.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use oneloom_sync::raw::{DoneCall, Name, RawOnce};
use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::{Hold, Resource};
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
