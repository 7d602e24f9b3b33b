//! Processes of this program, and what they share: each face between threads and between real processes.
//!
//! A program of its own, because a process runs its `main`. `cargo test -p oneloom --test processes NAME` runs the tests
//! that have NAME in theirs.

mod family;
mod pools;
mod starting;

#[path = "../../../oneloom-exec/tests/processes/harness.rs"]
mod harness;

use std::process::ExitCode;

use oneloom::process;

fn main() -> ExitCode {
    if std::env::var_os(starting::WITHOUT_INIT).is_some() {
        return starting::without_init();
    }
    if std::env::var_os(starting::INIT_TOO_LATE).is_some() {
        return starting::init_too_late();
    }
    process::init(|functions| {
        starting::register(functions);
        family::register(functions);
        pools::register(functions);
    });
    harness::run(&[starting::TESTS, family::TESTS, pools::TESTS])
}
