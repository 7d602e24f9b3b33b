//! What the tests wait with: a plain environment, futures polled by hand, conditions with a deadline.

use std::borrow::Borrow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::Deadlock;
use oneloom_wait::owner::Owner;
use oneloom_wait::wait::{Call, Environment, Judgement, Stop, Waiting, block};

/// Every deadlock ends the call; nothing else does.
pub struct Plain;

impl Environment for Plain {
    fn judge(&mut self, _deadlock: &Deadlock) -> Judgement {
        Judgement::Raise
    }
}

/// Runs a call to its end.
pub fn wait<C: Call>(primitive: &impl Borrow<C::Primitive>, mut call: C) -> C::Output {
    match block(primitive.borrow(), &mut call, Deadline::Never, &mut Plain) {
        Ok(output) => output,
        Err(stop) => panic!("{stop:?}"),
    }
}

/// Runs a call for at most `timeout`.
pub fn wait_for<C: Call>(
    primitive: &impl Borrow<C::Primitive>,
    mut call: C,
    timeout: Duration,
) -> Option<C::Output> {
    match block(primitive.borrow(), &mut call, Deadline::after(Some(timeout)), &mut Plain) {
        Ok(output) => Some(output),
        Err(Stop::TimedOut) => None,
        Err(stop) => panic!("{stop:?}"),
    }
}

/// Looks until `condition` holds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(20), "never: {what}");
        thread::yield_now();
    }
}

/// Lets time pass until whoever waits now counts as starving.
pub fn starve() {
    let started = Instant::now();
    eventually("two milliseconds", || started.elapsed() > Duration::from_millis(2));
}

/// Counts wakes and unparks a thread.
struct Bell {
    rung: AtomicUsize,
    thread: thread::Thread,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// A call as a future, polled by hand.
pub struct Polled<C: Call> {
    future: Pin<Box<Waiting<Arc<C::Primitive>, C>>>,
    bell: Arc<Bell>,
}

impl<C: Call> Polled<C> {
    pub fn new(primitive: &Arc<C::Primitive>, call: C) -> Self {
        let bell = Arc::new(Bell { rung: AtomicUsize::new(0), thread: thread::current() });
        Self { future: Box::pin(Waiting::new(primitive.clone(), call)), bell }
    }

    /// One that was polled once and has joined the line.
    #[track_caller]
    pub fn waiting(primitive: &Arc<C::Primitive>, call: C) -> Self {
        let mut polled = Self::new(primitive, call);
        assert!(polled.poll().is_none(), "it did not have to wait");
        polled
    }

    pub fn poll(&mut self) -> Option<C::Output> {
        let waker = Waker::from(self.bell.clone());
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// How often it was woken.
    pub fn rung(&self) -> usize {
        self.bell.rung.load(Ordering::SeqCst)
    }

    /// Its result, if it had arrived, as when a deadline passes.
    pub fn expire(&mut self) -> Option<C::Output> {
        self.future.as_mut().expire().ok()
    }

    pub fn has_failed(&self) -> bool {
        self.future.has_failed()
    }

    pub fn call(&mut self) -> &mut C {
        self.future.as_mut().call_mut()
    }

    /// Parks the thread until it is ready.
    pub fn finish(mut self) -> C::Output {
        loop {
            if let Some(output) = self.poll() {
                return output;
            }
            thread::park();
        }
    }
}

/// The calling thread.
pub fn me() -> Owner {
    oneloom_wait::owner::current()
}

/// Numbers that look random, the same ones for a seed every time.
pub struct Random(u64);

impl Random {
    /// With the seed in `ONELOOM_TEST_SEED`, or this one; prints it for whoever sees the test fail.
    pub fn new(seed: u64) -> Self {
        let chosen = std::env::var("ONELOOM_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = chosen.unwrap_or(seed);
        println!("ONELOOM_TEST_SEED={seed}");
        Self(seed)
    }

    /// An independent one, for another thread.
    pub fn split(&mut self) -> Self {
        let high = u64::from(self.below(u32::MAX));
        Self(high << 32 | u64::from(self.below(u32::MAX)))
    }

    pub fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(end)) as u32
    }
}
