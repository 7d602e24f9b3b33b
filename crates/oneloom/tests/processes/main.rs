//! Processes of this program, and what they share: each face between threads and between real processes.
//!
//! A program of its own, because a process runs its `main`. `cargo test -p oneloom --test processes NAME` runs the tests
//! that have NAME in theirs.

#![cfg_attr(
    oneloom_tsan,
    allow(dead_code, unused_imports, reason = "ThreadSanitizer does not survive a fork")
)]

mod family;
mod pools;
mod starting;
mod support;

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Instant;

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
    if cfg!(oneloom_tsan) {
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let all = starting::TESTS.iter().chain(family::TESTS).chain(pools::TESTS);
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
