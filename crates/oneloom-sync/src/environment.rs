//! What a plain Rust program has to say to a blocking call: nothing interrupts it, and a wait that can
//! certainly never end panics, as locking a mutex twice may in the standard library.

use std::fmt::Write;

use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::{Certainty, Deadlock, Edge};
use oneloom_wait::owner::{Kind, Owner, registry};
use oneloom_wait::wait::{Call, Environment, Judgement, Stop, block};

/// The environment of a Rust thread.
pub(crate) struct Plain;

impl Environment for Plain {
    fn judge(&mut self, deadlock: &Deadlock) -> Judgement {
        match deadlock.certainty {
            Certainty::Certain => Judgement::Raise,
            Certainty::Suspected | Certainty::Quiescent => Judgement::KeepWaiting,
        }
    }
}

/// Runs a call until it has its result.
///
/// # Panics
/// In a certain deadlock.
pub(crate) fn wait<C: Call>(primitive: &C::Primitive, call: &mut C) -> C::Output {
    match block(primitive, call, Deadline::Never, &mut Plain) {
        Ok(output) => output,
        Err(Stop::Deadlock(deadlock)) => panic!("{}", describe(&deadlock)),
        Err(Stop::TimedOut | Stop::Interrupted) => {
            unreachable!("a wait without a deadline and without interruptions")
        }
    }
}

/// Runs a call until it has its result or the deadline passes.
pub(crate) fn wait_until<C: Call>(
    primitive: &C::Primitive,
    call: &mut C,
    deadline: Deadline,
) -> Option<C::Output> {
    block(primitive, call, deadline, &mut Plain).ok()
}

/// A deadlock in words: a line for each participant, who waits for what and who holds it.
pub fn describe(deadlock: &Deadlock) -> String {
    let mut text = String::from(match deadlock.certainty {
        Certainty::Certain => "deadlock: these wait for each other for ever",
        Certainty::Suspected => "suspected deadlock: these wait for each other",
        Certainty::Quiescent => "deadlock: nothing in this process can move any more",
    });
    for step in &deadlock.steps {
        let _ = write!(text, "\n  {} waits for {}", name(step.owner), step.kind);
        match &step.name {
            Some(name) => _ = write!(text, " '{name}'"),
            None => _ = write!(text, " at {:#x}", step.resource),
        }
        match step.edge {
            Edge::HeldBy { holder, .. } if deadlock.holder_ended => {
                let _ = write!(text, ", held by {} which has ended", name(holder));
            }
            Edge::HeldBy { holder, .. } => _ = write!(text, ", held by {}", name(holder)),
            Edge::RunsOn(thread) => _ = write!(text, " of {}, which is blocked", name(thread)),
            Edge::Unheld => {}
        }
    }
    text
}

fn name(owner: Owner) -> String {
    match registry().kind(owner) {
        Kind::Thread => format!("thread {}", registry().native_thread(owner)),
        Kind::Task => format!("task {:?}", owner),
        Kind::Free => format!("{owner:?}"),
    }
}
