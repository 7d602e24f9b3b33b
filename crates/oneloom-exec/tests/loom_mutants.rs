//! The faults that the models of a thread pool's jobs must notice: see `mutants/harness.rs` of `oneloom-sync`.

#![cfg(loom)]

#[path = "../../oneloom-sync/tests/mutants/harness.rs"]
mod harness;

use harness::{Mutant, with, without};

const THREADS: &str = "oneloom-exec/src/threads";

const MUTANTS: &[Mutant] = &[
    with(
        "a job wakes nobody",
        THREADS,
        "state.jobs.push_back(job); state.rouse(&mut wakes);",
        "state.jobs.push_back(job); if !PLANTED { state.rouse(&mut wakes); }",
        ("loom_jobs", "a_job_wakes_a_worker_that_is_about_to_sleep"),
    ),
    with(
        "who takes a job wakes nobody for the next",
        THREADS,
        "state.rouse(&mut wakes); Taken::Job(job)",
        "if !PLANTED { state.rouse(&mut wakes); } Taken::Job(job)",
        ("loom_jobs", "who_takes_a_job_wakes_another_for_the_next"),
    ),
    without(
        "who was awake and goes wakes nobody",
        THREADS,
        "state.rouse(wakes);",
        ("loom_jobs", "who_sleeps_is_woken_when_the_one_awake_never_comes"),
    ),
    with(
        "who works counts as hungry",
        THREADS,
        "if std::mem::take(&mut seat.hungry) {",
        "if std::mem::take(&mut seat.hungry) && !PLANTED {",
        ("loom_jobs", "a_job_that_waits_for_another_is_no_hindrance"),
    ),
    with(
        "who leaves is not replaced",
        THREADS,
        ".then(|| self.more_hands(&mut state)).flatten()",
        ".then(|| self.more_hands(&mut state)).flatten().filter(|_| !PLANTED)",
        ("loom_jobs", "a_worker_is_replaced_as_long_as_there_are_jobs"),
    ),
    with(
        "who gives up counts as asleep",
        THREADS,
        "if notice == Notice::Waiting {",
        "if notice == Notice::Waiting && !PLANTED {",
        ("loom_jobs", "who_gives_up_waiting_leaves_no_job_behind"),
    ),
    without(
        "the end is told to nobody",
        THREADS,
        "state.sleepers.waiters.wake_all(&mut wakes);",
        ("loom_jobs", "the_end_is_told_to_all_who_sleep"),
    ),
];

#[test]
fn every_planted_fault_is_noticed_by_its_model() {
    harness::check(MUTANTS, &["oneloom-wait", "oneloom-sync", "oneloom-shm", "oneloom-exec"]);
}
