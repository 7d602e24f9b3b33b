//! What the models and the histories of this crate share: how to wait, and data that only a lock protects.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod history;
pub mod programs;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use oneloom_wait::atomic::{AtomicU32, Ordering};
use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::Deadlock;
use oneloom_wait::owner::Owner;
use oneloom_wait::wait::{Call, Environment, Judgement, Stop, Waiting, block};

/// Runs a model through every interleaving of at most `preemptions` switches that no thread asked for.
#[cfg(loom)]
pub fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 10_000;
    builder.check(model);
}

/// As [`check`], once where a release offers and once where it always hands over.
#[cfg(loom)]
pub fn check_both_ways(preemptions: usize, model: impl Fn() + Send + Sync + Clone + 'static) {
    for limit in [1, 0] {
        oneloom_wait::clock::set_starvation_limit(limit);
        check(preemptions, model.clone());
    }
}

/// Starts a thread of the model that uses `shared`.
#[cfg(loom)]
pub fn start<P: Send + Sync + 'static, R: 'static>(
    shared: &Arc<P>,
    body: impl FnOnce(&P) -> R + Send + 'static,
) -> loom::thread::JoinHandle<R> {
    let shared = shared.clone();
    loom::thread::spawn(move || body(&shared))
}

/// Waits as long as it takes.
pub fn wait<C: Call>(primitive: &C::Primitive, mut call: C) -> C::Output {
    match block(primitive, &mut call, Deadline::Never, &mut Alone) {
        Ok(output) => output,
        Err(stop) => panic!("{stop:?}"),
    }
}

/// Waits until the time is over, which the model checker decides.
pub fn wait_in_time<C: Call>(primitive: &C::Primitive, mut call: C) -> Option<C::Output> {
    match block(primitive, &mut call, soon(), &mut Alone) {
        Ok(output) => Some(output),
        Err(Stop::TimedOut) => None,
        Err(stop) => panic!("{stop:?}"),
    }
}

/// A deadline: in a model it passes or does not, in every order.
pub fn soon() -> Deadline {
    Deadline::after(Some(Duration::from_secs(3600)))
}

/// A call as a future that can be polled and dropped by hand.
pub fn future<C: Call>(primitive: &Arc<C::Primitive>, call: C) -> Pin<Box<Waiting<Arc<C::Primitive>, C>>> {
    Box::pin(Waiting::new(primitive.clone(), call))
}

/// Polls once with a waker that does nothing.
pub fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Where random choices start: from `ONELOOM_SEED`, or from the clock. Printed in either case.
pub fn seed() -> u64 {
    let given =
        std::env::var("ONELOOM_SEED").ok().map(|text| text.parse().expect("ONELOOM_SEED is a number"));
    let seed = given.unwrap_or_else(|| {
        let now = std::time::UNIX_EPOCH.elapsed().expect("a clock that is not before 1970");
        now.as_nanos() as u64
    });
    println!("ONELOOM_SEED={seed}");
    seed
}

/// How many rounds to run where `usual` are usual: `ONELOOM_STRESS` times more, far less in an interpreter.
pub fn rounds(usual: usize) -> usize {
    if cfg!(miri) {
        return (usual / 100).max(2);
    }
    let times = std::env::var("ONELOOM_STRESS").ok().and_then(|times| times.parse().ok());
    usual * times.unwrap_or(1)
}

/// An owner that no registry knows: the primitives only compare it.
pub fn owner(number: u64) -> Owner {
    Owner::from_bits(1 << 24 | number)
}

/// The environment of a thread that nobody interrupts.
pub struct Alone;

impl Environment for Alone {
    fn judge(&mut self, _deadlock: &Deadlock) -> Judgement {
        Judgement::Raise
    }
}

/// A number that is read and written in two steps and without any ordering: two threads that change it at
/// once, or one after the other without one happening before the other, lose a change in some interleaving.
pub struct Unprotected(AtomicU32);

impl Unprotected {
    /// Zero.
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Adds one.
    pub fn add(&self) {
        self.0.store(self.get() + 1, Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}
