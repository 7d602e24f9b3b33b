//! What is seen of each who is killed: `make kill-matrix` makes the page `docs/kill-matrix.md` of it, on which every step
//! must have its row.
//!
//! A test that kills a child at a step says so by [`killed`], once for each, with what those who live saw.

use std::io::Write;

use oneloom_shm::step::Step;

use super::stress;

/// How many to kill at each step: `usual`, but a hundred at least where tests run for longer.
pub fn kills(usual: u64) -> u64 {
    if stress() == 1 { usual } else { (usual * stress()).max(100) }
}

/// One was killed at `step`; in a few words what others `saw`, the same for the same.
pub fn killed(step: Step, saw: &str) {
    note(&format!("{step:?}"), saw);
}

/// One was killed `when`.
pub fn note(when: &str, saw: &str) {
    let Some(path) = std::env::var_os("ONELOOM_KILL_MATRIX") else { return };
    let notes = std::fs::OpenOptions::new().create(true).append(true).open(path);
    // In one call, so that tests beside each other don't tear each other's lines.
    notes
        .and_then(|mut notes| notes.write_all(format!("{when}\t{saw}\n").as_bytes()))
        .expect("a file for notes");
}
