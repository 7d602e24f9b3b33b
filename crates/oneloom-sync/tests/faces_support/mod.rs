//! What the tests of the faces share: polling futures by hand, waiting for a condition, seeded choices.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Long enough for a machine under load; nothing that works takes this long.
pub const LONG: Duration = Duration::from_secs(60);
/// Short enough to be over soon.
pub const SHORT: Duration = Duration::from_millis(2);

/// Waits until `condition` holds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::yield_now();
    }
}

/// Lets so much time pass that whoever waits since before is starving: a release then hands over to it.
pub fn starve() {
    let since = Instant::now();
    while since.elapsed() < Duration::from_millis(2) {
        std::thread::yield_now();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The plainest executor: one future, one thread that parks.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// A waker that counts.
#[derive(Default)]
pub struct Alarm(AtomicUsize);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Alarm {
    /// How often it rang.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A future that is polled by hand.
pub struct ByHand<'a, T> {
    future: Option<Pin<Box<dyn Future<Output = T> + Send + 'a>>>,
    pub alarm: Arc<Alarm>,
}

impl<'a, T> ByHand<'a, T> {
    pub fn new(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self { future: Some(Box::pin(future)), alarm: Arc::default() }
    }

    /// A future that was polled once and waits.
    #[track_caller]
    pub fn waiting(future: impl Future<Output = T> + Send + 'a) -> Self {
        let mut by_hand = Self::new(future);
        assert!(by_hand.poll().is_none(), "it was ready at once");
        by_hand
    }

    pub fn poll(&mut self) -> Option<T> {
        let waker = Waker::from(Arc::clone(&self.alarm));
        let future = self.future.as_mut().expect("it was dropped");
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// The output of a future that was woken.
    #[track_caller]
    pub fn finish(mut self) -> T {
        assert!(self.alarm.count() > 0, "it was not woken");
        self.poll().expect("it was woken and still waits")
    }
}

/// How many rounds to run where `usual` are usual: `ONELOOM_STRESS` times more, far less in an interpreter.
pub fn rounds(usual: usize) -> usize {
    if cfg!(miri) {
        return (usual / 100).max(2);
    }
    let times = std::env::var("ONELOOM_STRESS").ok().and_then(|times| times.parse().ok());
    usual * times.unwrap_or(1)
}

/// Choices that a printed seed repeats.
pub struct Choices(u64);

impl Choices {
    /// From `ONELOOM_SEED`, or from the clock; printed in either case.
    pub fn new() -> Self {
        let seed = std::env::var("ONELOOM_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok())
            .unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64);
        println!("ONELOOM_SEED={seed}");
        Self(seed | 1)
    }

    /// Choices of their own, for a thread.
    pub fn split(&mut self) -> Self {
        Self(self.next() | 1)
    }

    pub fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
