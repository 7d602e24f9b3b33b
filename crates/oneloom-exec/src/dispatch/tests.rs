//! The machine, step by step: what it decides when it is told this and that.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::{Action, Cancelled, Content, Dispatch};
use crate::launch::{Exit, Status};
use crate::message::TaskId;
use crate::task::{Failure, Limits, Refusal};

/// A content that tells whether it runs.
#[derive(Clone, Default, Debug)]
struct Runs(Rc<Cell<bool>>);

impl Content for Runs {
    fn running(&self, running: bool) {
        self.0.set(running);
    }
}

const PLAIN: Limits = Limits { timeout: None, retries: 0 };
const MILLISECOND: u64 = 1_000_000;

type Machine = Dispatch<Runs>;

/// What is to be done, in words.
fn actions(machine: &mut Machine) -> Vec<String> {
    std::iter::from_fn(|| machine.next_action())
        .map(|action| match action {
            Action::Launch(worker) => format!("launch {worker}"),
            Action::Send(worker, task) => format!("send {} to {worker}", task.0 >> 32),
            Action::Drain(worker) => format!("drain {worker}"),
            Action::Overdue(worker, task) => format!("{} is overdue at {worker}", task.0 >> 32),
            Action::Dismiss(worker) => format!("dismiss {worker}"),
            Action::Kill(worker) => format!("kill {worker}"),
            Action::Finish(task, _, failure) => {
                let failure = format!("{failure:?}");
                let end = failure.find([' ', '(']).unwrap_or(failure.len());
                format!("{} ends: {}", task.0 >> 32, &failure[..end])
            }
        })
        .collect()
}

fn submit(machine: &mut Machine, limits: Limits, now: u64) -> (TaskId, Runs) {
    let runs = Runs::default();
    (machine.submit(runs.clone(), limits, now).expect("a machine that takes tasks"), runs)
}

/// A machine with so many workers, which are ready; they have the numbers from 1 on, and ten times that as processes.
fn ready(workers: u32) -> Machine {
    let mut machine = Machine::new(workers as usize, None);
    machine.want(workers as usize);
    machine.advance(0);
    for worker in 1..=workers {
        machine.launched(worker, worker * 10);
        machine.ready(worker, worker * 10);
    }
    machine.advance(0);
    assert_eq!(actions(&mut machine).len(), workers as usize);
    machine
}

/// The same, where tasks are known to be quick, so that many are given ahead.
fn quick(workers: u32) -> Machine {
    let mut machine = ready(workers);
    let (id, _) = submit(&mut machine, PLAIN, 0);
    machine.answered(1, id, false, 1, 0).expect("its end");
    assert_eq!(actions(&mut machine), ["send 1 to 1"]);
    machine
}

fn exit(code: i32) -> Exit {
    Exit { status: Status::Code(code), text: None }
}

#[test]
fn a_task_launches_a_worker_and_is_sent_when_that_is_ready() {
    let mut machine = Machine::new(2, None);
    let (id, runs) = submit(&mut machine, PLAIN, 0);
    assert_eq!(actions(&mut machine), ["launch 1"]);
    machine.ready(1, 10);
    machine.advance(0);
    assert_eq!(actions(&mut machine), ["send 1 to 1"]);
    assert!(runs.0.get() && machine.runs(1, id));
    assert!(machine.answered(1, id, false, 5, 5).is_some());
    assert_eq!(machine.counts(), (0, 0, 1));
}

#[test]
fn a_worker_that_is_free_comes_before_one_more() {
    let mut machine = Machine::new(2, None);
    for _ in 0..3 {
        let (id, _) = submit(&mut machine, PLAIN, 0);
        machine.ready(1, 10);
        machine.advance(0);
        machine.answered(1, id, false, MILLISECOND, 0);
    }
    submit(&mut machine, PLAIN, 0);
    assert_eq!(machine.counts(), (0, 1, 1));
}

#[test]
fn nothing_is_given_ahead_before_it_is_known_how_long_tasks_take() {
    let mut machine = ready(1);
    (0..10).for_each(|_| drop(submit(&mut machine, PLAIN, 0)));
    assert_eq!(actions(&mut machine), ["send 1 to 1"]);
}

#[test]
fn what_is_given_ahead_lasts_a_millisecond() {
    for (took, ahead) in [(1, 63), (20_000, 50), (MILLISECOND / 2, 2), (MILLISECOND, 1), (MILLISECOND + 1, 0)]
    {
        let mut machine = ready(1);
        let (id, _) = submit(&mut machine, PLAIN, 0);
        (0..100).for_each(|_| drop(submit(&mut machine, PLAIN, 0)));
        machine.answered(1, id, false, took, 0);
        machine.advance(0);
        assert_eq!(actions(&mut machine).len(), 2 + ahead, "{took}");
    }
}

#[test]
fn the_least_loaded_worker_gets_the_next_task() {
    let mut machine = quick(2);
    (0..4).for_each(|_| drop(submit(&mut machine, PLAIN, 0)));
    assert_eq!(actions(&mut machine), ["send 2 to 1", "send 3 to 2", "send 4 to 1", "send 5 to 2"]);
}

#[test]
fn what_lies_behind_a_long_task_is_taken_back_in_its_order() {
    let mut machine = quick(1);
    let ids: Vec<_> = (0..4).map(|_| submit(&mut machine, PLAIN, 0).0).collect();
    actions(&mut machine);
    assert_eq!(machine.alarm(), 2 * MILLISECOND);
    machine.advance(2 * MILLISECOND - 1);
    assert_eq!(actions(&mut machine), [""; 0]);
    machine.advance(2 * MILLISECOND);
    assert_eq!(actions(&mut machine), ["drain 1"]);
    machine.drained(1, &ids[1..], 0);
    assert!(machine.is_to_advance());
    machine.advance(2 * MILLISECOND);
    assert_eq!(actions(&mut machine), [""; 0], "nothing goes behind it again");
    assert_eq!(machine.alarm(), u64::MAX);
    machine.answered(1, ids[0], false, 3 * MILLISECOND, 3 * MILLISECOND);
    machine.advance(3 * MILLISECOND);
    assert_eq!(actions(&mut machine)[0], "send 3 to 1");
}

#[test]
fn the_dead_pay_with_the_task_that_they_ran() {
    let mut machine = quick(1);
    let tasks: Vec<_> = (0..3).map(|_| submit(&mut machine, PLAIN, 0)).collect();
    actions(&mut machine);
    machine.drained(1, &[tasks[2].0], 0);
    assert!(machine.answered(1, tasks[0].0, false, 1, 0).is_some());
    assert!(tasks[1].1.0.get());
    machine.died(1, exit(1));
    machine.advance(0);
    assert_eq!(actions(&mut machine), ["3 ends: Died", "launch 2"]);
    machine.ready(2, 20);
    machine.advance(0);
    assert_eq!(actions(&mut machine), ["send 4 to 2"]);
}

#[test]
fn who_died_before_it_took_anything_pays_nothing() {
    let mut machine = ready(1);
    let (id, runs) = submit(&mut machine, PLAIN, 0);
    machine.drained(1, &[id], 0);
    assert!(!runs.0.get());
    machine.died(1, exit(0));
    machine.advance(0);
    assert_eq!(actions(&mut machine), ["send 1 to 1", "launch 2"]);
}

#[test]
fn a_task_is_tried_again_as_often_as_it_may() {
    let mut machine = ready(1);
    let (id, runs) = submit(&mut machine, Limits { retries: 2, ..PLAIN }, 0);
    assert!(machine.may_run_again(id));
    assert!(machine.answered(1, id, true, 1, 0).is_none());
    assert!(!runs.0.get());
    machine.advance(0);
    actions(&mut machine);
    machine.died(1, exit(1));
    machine.advance(0);
    assert_eq!(actions(&mut machine), ["launch 2"]);
    assert!(!machine.may_run_again(id));
    machine.ready(2, 20);
    machine.advance(0);
    assert!(machine.answered(2, id, true, 1, 0).is_some(), "that was the last run");
}

#[test]
fn what_was_answered_late_is_nobodys() {
    let mut machine = ready(1);
    let (id, _) = submit(&mut machine, PLAIN, 0);
    machine.kill(1, id, |pid| Failure::TimedOut { pid });
    assert_eq!(actions(&mut machine), ["send 1 to 1", "kill 1", "1 ends: TimedOut"]);
    assert!(machine.answered(1, id, false, 1, 0).is_none());
    submit(&mut machine, PLAIN, 0);
    assert_eq!(actions(&mut machine), ["launch 2"], "the killed get no tasks");
    machine.died(1, exit(0));
    machine.advance(0);
    assert_eq!(actions(&mut machine), [""; 0]);
}

#[test]
fn a_task_is_overdue_when_its_time_is_over_and_not_before() {
    let mut machine = ready(1);
    let limits = Limits { timeout: Some(Duration::from_millis(5)), retries: 0 };
    let (first, _) = submit(&mut machine, limits, MILLISECOND);
    let (second, _) = submit(&mut machine, limits, MILLISECOND);
    assert_eq!(machine.alarm(), 6 * MILLISECOND);
    machine.advance(6 * MILLISECOND - 1);
    assert_eq!(actions(&mut machine), ["send 1 to 1"]);
    machine.answered(1, first, false, 5 * MILLISECOND, 6 * MILLISECOND - 1);
    machine.advance(6 * MILLISECOND);
    assert_eq!(actions(&mut machine), ["send 2 to 1"], "its own time begins with its run");
    machine.advance(12 * MILLISECOND);
    assert_eq!(actions(&mut machine), ["2 is overdue at 1"]);
    assert!(machine.runs(1, second));
}

#[test]
fn cancelling_tells_where_the_task_is() {
    let mut machine = quick(1);
    let (first, _) = submit(&mut machine, PLAIN, 0);
    let (second, _) = submit(&mut machine, PLAIN, 0);
    assert_eq!(machine.cancel(first), Cancelled::Runs(1));
    assert_eq!(machine.cancel(second), Cancelled::Waits(1));
    machine.drained(1, &[second], 0);
    assert_eq!(machine.cancel(second), Cancelled::Yes);
    assert_eq!(machine.cancel(second), Cancelled::Ended);
    machine.advance(0);
    assert_eq!(actions(&mut machine), ["send 2 to 1", "send 3 to 1", "3 ends: Cancelled"]);
    machine.kill(1, first, |_| Failure::Cancelled);
    assert_eq!(machine.cancel(first), Cancelled::Ended);
}

#[test]
fn a_cancelled_task_is_never_sent() {
    let mut machine = ready(1);
    let (first, _) = submit(&mut machine, PLAIN, 0);
    let (second, _) = submit(&mut machine, PLAIN, 0);
    submit(&mut machine, PLAIN, 0);
    assert_eq!(machine.cancel(second), Cancelled::Yes);
    machine.answered(1, first, false, 2 * MILLISECOND, 0);
    machine.advance(0);
    assert_eq!(actions(&mut machine), ["send 1 to 1", "2 ends: Cancelled", "send 3 to 1"]);
}

#[test]
fn a_worker_leaves_after_its_tasks_and_is_replaced() {
    let mut machine = Machine::new(1, Some(2));
    let ids: Vec<_> = (0..3).map(|_| submit(&mut machine, PLAIN, 0).0).collect();
    machine.ready(1, 10);
    machine.advance(0);
    machine.answered(1, ids[0], false, 1, 0);
    machine.advance(0);
    machine.answered(1, ids[1], false, 1, 0);
    machine.advance(0);
    assert_eq!(actions(&mut machine), ["launch 1", "send 1 to 1", "send 2 to 1", "dismiss 1", "launch 2"]);
    machine.died(1, exit(0));
    machine.ready(2, 20);
    machine.advance(0);
    assert_eq!(actions(&mut machine), ["send 3 to 2"]);
}

#[test]
fn an_answer_calls_for_another_look() {
    let mut machine = ready(1);
    let limits = Limits { timeout: Some(Duration::from_millis(10)), retries: 0 };
    let (first, _) = submit(&mut machine, limits, 0);
    submit(&mut machine, PLAIN, 0);
    machine.advance(10 * MILLISECOND);
    assert_eq!(actions(&mut machine), ["send 1 to 1", "1 is overdue at 1"]);
    // It ended just in time: that is read in the midst of ending it.
    assert!(machine.answered(1, first, false, 1, 10 * MILLISECOND).is_some());
    assert!(machine.is_to_advance());
    machine.advance(10 * MILLISECOND);
    assert_eq!(actions(&mut machine), ["send 2 to 1"]);
}

#[test]
fn a_worker_that_takes_nothing_is_replaced_and_no_task_pays_for_it() {
    let mut machine = ready(1);
    let limits = Limits { timeout: Some(Duration::from_millis(400)), retries: 0 };
    let (id, runs) = submit(&mut machine, limits, 0);
    assert_eq!(actions(&mut machine), ["send 1 to 1"]);
    for late in [400, 800] {
        machine.drained(1, &[id], late * MILLISECOND);
        machine.advance(late * MILLISECOND);
        assert_eq!(actions(&mut machine), ["send 1 to 1"]);
    }
    machine.drained(1, &[id], 1200 * MILLISECOND);
    machine.advance(1200 * MILLISECOND);
    assert_eq!(actions(&mut machine), ["kill 1", "launch 2"]);
    machine.died(1, exit(9));
    machine.ready(2, 20);
    machine.advance(1300 * MILLISECOND);
    assert_eq!(actions(&mut machine), ["send 1 to 2"]);
    assert!(runs.0.get());
}

#[test]
fn three_false_starts_in_a_row_end_what_waits() {
    let mut machine = Machine::new(1, None);
    submit(&mut machine, PLAIN, 0);
    machine.not_launched(1, "no".into());
    machine.advance(0);
    machine.launched(2, 20);
    machine.died(2, exit(3));
    machine.advance(0);
    assert_eq!(actions(&mut machine), ["launch 1", "launch 2", "launch 3"]);
    machine.not_launched(3, "the last".into());
    machine.advance(0);
    let Some(Action::Finish(_, _, Failure::Refused(Refusal::Launch { why, pid: None }))) =
        machine.next_action()
    else {
        panic!("no refusal")
    };
    assert!(why.contains("the last"), "{why}");
    assert_eq!(actions(&mut machine), [""; 0]);
    submit(&mut machine, PLAIN, 0);
    assert_eq!(actions(&mut machine), ["launch 4"], "the next task is a new attempt");
}

#[test]
fn as_long_as_a_worker_lives_tasks_wait_for_it() {
    let mut machine = Machine::new(2, None);
    let (id, _) = submit(&mut machine, PLAIN, 0);
    machine.ready(1, 10);
    machine.advance(0);
    submit(&mut machine, PLAIN, 0);
    for worker in 2..5 {
        machine.not_launched(worker, "no".into());
        machine.advance(0);
    }
    assert_eq!(actions(&mut machine), ["launch 1", "send 1 to 1", "launch 2", "launch 3", "launch 4"]);
    machine.answered(1, id, false, 1, 0);
    machine.advance(0);
    assert_eq!(actions(&mut machine), ["send 2 to 1"]);
}

#[test]
fn false_starts_are_forgotten_when_a_worker_ends_that_had_begun() {
    let mut machine = Machine::new(2, None);
    submit(&mut machine, PLAIN, 0);
    machine.ready(1, 10);
    machine.advance(0);
    submit(&mut machine, PLAIN, 0);
    for worker in 2..5 {
        machine.not_launched(worker, "no".into());
        machine.advance(0);
    }
    actions(&mut machine);
    machine.died(1, exit(3));
    machine.advance(0);
    assert_eq!(actions(&mut machine), ["1 ends: Died", "launch 5"], "the other task has a chance yet");
}

#[test]
fn cancelled_tasks_do_not_heap_up_behind_a_long_one() {
    let mut machine = ready(1);
    submit(&mut machine, PLAIN, 0);
    let kept = submit(&mut machine, PLAIN, 0).0;
    for _ in 0..100_000 {
        let (id, _) = submit(&mut machine, PLAIN, 0);
        assert_eq!(machine.cancel(id), Cancelled::Yes);
        actions(&mut machine);
    }
    assert!(machine.pending.len() < 2000 && machine.pending.contains(&kept), "{}", machine.pending.len());
}

#[test]
fn what_one_worker_refuses_is_refused_by_all() {
    let mut machine = Machine::new(2, None);
    submit(&mut machine, PLAIN, 0);
    machine.refuse(1, Refusal::Launch { why: "no".into(), pid: None });
    machine.advance(0);
    assert_eq!(actions(&mut machine), ["launch 1", "1 ends: Refused"]);
    assert!(machine.submit(Runs::default(), PLAIN, 0).is_err());
}

#[test]
fn a_closed_machine_ends_when_all_is_done() {
    let mut machine = ready(2);
    let (id, _) = submit(&mut machine, PLAIN, 0);
    machine.close(false);
    machine.advance(0);
    assert!(matches!(machine.submit(Runs::default(), PLAIN, 0), Err((_, Refusal::ShutDown))));
    assert_eq!(actions(&mut machine), ["send 1 to 1"]);
    machine.answered(1, id, false, 1, 0);
    machine.advance(0);
    assert_eq!(actions(&mut machine), ["dismiss 1", "dismiss 2"]);
    machine.died(1, exit(0));
    machine.advance(0);
    assert!(!machine.is_over());
    machine.died(2, exit(0));
    machine.advance(0);
    assert!(machine.is_over());
    assert_eq!(actions(&mut machine), [""; 0]);
}

#[test]
fn closing_may_cancel_what_no_worker_runs() {
    let mut machine = quick(1);
    let (first, _) = submit(&mut machine, PLAIN, 0);
    let (second, _) = submit(&mut machine, PLAIN, 0);
    machine.close(true);
    assert_eq!(actions(&mut machine), ["send 2 to 1", "send 3 to 1", "drain 1"]);
    machine.drained(1, &[second], 0);
    machine.advance(0);
    assert_eq!(actions(&mut machine), ["3 ends: Cancelled"]);
    assert!(machine.answered(1, first, false, 1, 0).is_some());
}

#[test]
fn termination_kills_whoever_has_a_process_now_or_later() {
    let mut machine = Machine::new(2, None);
    submit(&mut machine, PLAIN, 0);
    submit(&mut machine, PLAIN, 0);
    machine.ready(1, 10);
    machine.advance(0);
    actions(&mut machine);
    machine.terminate();
    machine.advance(0);
    assert_eq!(actions(&mut machine), ["kill 1", "kill 2", "1 ends: Terminated", "2 ends: Terminated"]);
    machine.launched(2, 20);
    assert_eq!(actions(&mut machine), ["kill 2"]);
    machine.died(1, exit(0));
    machine.died(2, exit(0));
    assert!(machine.is_over());
}

#[test]
fn a_time_limit_leaves_a_worker_the_time_to_wake_up() {
    let mut machine = ready(1);
    submit(&mut machine, Limits { timeout: Some(Duration::ZERO), retries: 0 }, 0);
    assert_eq!(machine.alarm(), 5 * MILLISECOND);
}
