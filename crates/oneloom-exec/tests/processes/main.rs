//! Pools whose workers are real processes: this program, started once more.
//!
//! A program of its own, because a worker runs its `main`. `cargo test -p oneloom-exec --test processes NAME` runs the tests
//! that have NAME in theirs.

mod deaths;
mod harness;
mod life;
mod support;
mod work;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    worker::work_if_one();
    life::own_if_owner();
    harness::run(&[work::TESTS, deaths::TESTS, life::TESTS])
}
