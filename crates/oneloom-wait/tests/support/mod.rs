//! What the loom models of this crate share: how to run one, and the simplest primitive that uses the
//! whole engine, a counter of permits.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use oneloom_wait::clock::{self, Deadline};
use oneloom_wait::gate::{AfterFork, Gate};
use oneloom_wait::graph::{Deadlock, Resource};
use oneloom_wait::owner::Owner;
use oneloom_wait::wait::{Call, Environment, Judgement, Primitive, Stop, Waiting, block};
use oneloom_wait::waiter::{Notice, WaiterList, Wakes};

/// Runs a model through every interleaving of at most `preemptions` switches that no thread asked for.
pub fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 10_000;
    builder.check(model);
}

/// As [`check`], once where a release offers and once where it always hands over.
pub fn check_both_ways(preemptions: usize, model: impl Fn() + Send + Sync + Clone + 'static) {
    for limit in [1, 0] {
        clock::set_starvation_limit(limit);
        check(preemptions, model.clone());
    }
}

/// Permits, behind the gate.
pub struct State {
    permits: u32,
    line: WaiterList,
}

impl AfterFork for State {
    fn after_fork(&mut self, _torn: bool) {
        self.line.forget();
    }
}

/// A counter of permits: the smallest primitive with offers, hand-overs and withdrawals.
pub struct Permits {
    state: Gate<State>,
}

impl Permits {
    /// A counter of `permits`.
    pub fn new(permits: u32) -> Arc<Self> {
        let permits = Self { state: Gate::new(State { permits, line: WaiterList::new() }) };
        // The first to enter a gate takes the slow way; models need not look at that again and again.
        drop(permits.state.enter());
        Arc::new(permits)
    }

    /// Adds one.
    pub fn release(&self) {
        let mut wakes = Wakes::new();
        self.pass_on(&mut self.state.enter(), &mut wakes);
    }

    /// Takes one, however long it takes.
    pub fn acquire(&self) {
        block(self, &mut Acquire, Deadline::Never, &mut Alone).expect("nobody interrupts a model");
    }

    /// Takes one unless the time is over first, which the model checker decides.
    pub fn acquire_in_time(&self) -> bool {
        match block(self, &mut Acquire, soon(), &mut Alone) {
            Ok(()) => true,
            Err(Stop::TimedOut) => false,
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Takes one unless a signal comes first.
    pub fn acquire_future(self: &Arc<Self>) -> Pin<Box<Waiting<Arc<Self>, Acquire>>> {
        Box::pin(Waiting::new(self.clone(), Acquire))
    }

    /// What is left when everything is over: the permits, and whether nobody waits.
    pub fn rest(&self) -> (u32, bool) {
        let state = self.state.enter();
        (state.permits, state.line.is_empty())
    }

    fn pass_on(&self, state: &mut State, wakes: &mut Wakes) {
        match state.line.front() {
            Some(first) if first.starving => _ = state.line.grant_first(0, wakes),
            _ => {
                state.permits += 1;
                state.line.wake_first(wakes);
            }
        }
    }
}

impl Resource for Permits {
    fn kind(&self) -> &'static str {
        "Permits"
    }
}

impl Primitive for Permits {
    type State = State;

    fn gate(&self) -> &Gate<State> {
        &self.state
    }
}

/// Taking a permit.
pub struct Acquire;

impl Call for Acquire {
    type Primitive = Permits;
    type Output = ();
    // Every look is a choice for the model checker; `attempt` looks already.
    const SPINS: bool = false;

    fn line<'s>(&self, state: &'s mut State) -> &'s mut WaiterList {
        &mut state.line
    }

    fn looks_ready(&self, _permits: &Permits) -> bool {
        false
    }

    fn attempt(&mut self, _permits: &Permits) -> Option<()> {
        // Left to `attempt_or_enlist`, for fewer steps.
        None
    }

    fn attempt_or_enlist(&mut self, _: &Permits, state: &mut State, _: &mut Wakes) -> Option<()> {
        state.permits = state.permits.checked_sub(1)?;
        Some(())
    }

    fn granted(&mut self, _permits: &Permits, _token: u32) -> Option<()> {
        Some(())
    }

    fn withdraw(&mut self, permits: &Permits, state: &mut State, notice: Notice, wakes: &mut Wakes) {
        match notice {
            Notice::Waiting => {}
            Notice::Granted(_) => permits.pass_on(state, wakes),
            Notice::Woken if state.permits > 0 => _ = state.line.wake_first(wakes),
            Notice::Woken => {}
        }
    }

    fn owner(&self) -> Owner {
        Owner::NOBODY
    }
}

/// A deadline: under loom it passes or does not, in every order.
pub fn soon() -> Deadline {
    Deadline::after(Some(Duration::from_secs(3600)))
}

/// The environment of a thread that nobody interrupts.
pub struct Alone;

impl Environment for Alone {
    fn judge(&mut self, _deadlock: &Deadlock) -> Judgement {
        Judgement::Raise
    }
}

/// Polls once with a waker that does nothing.
pub fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
