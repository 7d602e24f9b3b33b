//! Pools whose workers are real processes: this program, started once more.
//!
//! A program of its own, because a worker runs its `main`. `cargo test -p oneloom-exec --test processes NAME` runs the tests
//! that have NAME in theirs.

#![cfg_attr(
    oneloom_tsan,
    allow(dead_code, unused_imports, reason = "ThreadSanitizer does not survive a fork")
)]

mod deaths;
mod life;
mod support;
mod work;
mod worker;

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    worker::work_if_one();
    life::own_if_owner();
    if cfg!(oneloom_tsan) {
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let all = work::TESTS.iter().chain(deaths::TESTS).chain(life::TESTS);
    let mut failed = Vec::new();
    for (name, test) in
        all.filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|part| name.contains(part)))
    {
        let started = Instant::now();
        let _watched = support::Watchdog::set(name);
        let passed = catch_unwind(test).is_ok();
        let time = started.elapsed();
        println!("test {name} ... {} ({time:.1?})", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(name);
        }
    }
    println!("\ntest result: {}, {} failed", if failed.is_empty() { "ok" } else { "FAILED" }, failed.len());
    ExitCode::from(u8::from(!failed.is_empty()))
}
