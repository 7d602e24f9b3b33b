//! What these tests share.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How long anything may take before it counts as hanging.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A test by its name.
pub type Test = (&'static str, fn());

/// Names tests by their functions.
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        pub const TESTS: &[$crate::support::Test] = &[$((stringify!($test), $test)),*];
    };
}
pub(crate) use tests;

/// Ends this program if a test hangs; dropped, it stops watching.
pub struct Watchdog {
    _until: Sender<()>,
}

impl Watchdog {
    pub fn set(name: &'static str) -> Self {
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
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
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
