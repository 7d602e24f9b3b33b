//! How tests run in a program whose `main` is its own, because its processes run that, too: this crate's, and those of
//! `oneloom`.

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How long anything may take before it counts as hanging.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A test by its name.
pub type Test = (&'static str, fn());

/// Names tests by their functions.
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        pub const TESTS: &[$crate::harness::Test] = &[$((stringify!($test), $test)),*];
    };
}
pub(crate) use tests;

/// Runs those of the tests in whose name one of the program's arguments stands, or all.
pub fn run(modules: &[&[Test]]) -> ExitCode {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let mut failed = Vec::new();
    for (name, test) in modules.iter().copied().flatten() {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part)) {
            continue;
        }
        let started = Instant::now();
        let _watched = Watchdog::set(name);
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

/// Ends this program if a test hangs; dropped, it stops watching.
struct Watchdog {
    _until: Sender<()>,
}

impl Watchdog {
    fn set(name: &'static str) -> Self {
        let (_until, over) = channel::<()>();
        std::thread::spawn(move || {
            if over.recv_timeout(2 * PATIENCE) == Err(RecvTimeoutError::Timeout) {
                println!("test {name} ... hangs");
                std::process::exit(1);
            }
        });
        Self { _until }
    }
}

/// Waits until `holds`.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what}: not in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How many descriptors this process has open.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("a /proc").count()
}
