//! What a plain Rust program has to say to a blocking call: nothing interrupts it, and a wait that can
//! certainly never end panics, as locking a mutex twice may in the standard library.

use std::fmt::Write;
use std::time::Duration;

use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::{Certainty, Deadlock, Edge, Step};
use oneloom_wait::owner::{Kind, Owner, registry};
use oneloom_wait::wait::{Call, Environment, Judgement, Stop, block};

/// The environment of a Rust thread.
pub struct Plain;

impl Environment for Plain {
    fn judge(&mut self, deadlock: &Deadlock) -> Judgement {
        match deadlock.certainty {
            Certainty::Certain => Judgement::Raise,
            Certainty::Suspected | Certainty::Quiescent => Judgement::KeepWaiting,
        }
    }
}

/// The environment of a Rust thread in a call that may not panic.
pub struct Patient;

impl Environment for Patient {
    fn judge(&mut self, _deadlock: &Deadlock) -> Judgement {
        Judgement::KeepWaiting
    }
}

/// Runs a call until it has its result.
///
/// # Panics
/// In a certain deadlock.
#[inline]
#[track_caller]
pub(crate) fn wait<C: Call>(primitive: &C::Primitive, call: &mut C) -> C::Output {
    match block(primitive, call, Deadline::Never, &mut Plain) {
        Ok(output) => output,
        Err(Stop::Deadlock(deadlock)) => refuse(&deadlock),
        Err(_) => unreachable!("a wait without a deadline and without interruptions"),
    }
}

/// Ends a wait that never can.
///
/// # Panics
/// Always, and says who waits for whom.
#[cold]
#[track_caller]
pub fn refuse(deadlock: &Deadlock) -> ! {
    let remedy = match deadlock.steps.len() {
        _ if deadlock.holder_ended => "a guard was leaked (mem::forget): nobody can release it any more",
        1 => "drop the guard before locking again, or use a ReentrantMutex",
        _ => "take the locks in the same order everywhere, or wait with a _timeout call, which gives up",
    };
    panic!("{}\n  help: {remedy}", describe(deadlock))
}

/// Runs a call until it has its result. Never panics: in a deadlock it goes on waiting, and somebody else in the
/// cycle has to give way.
pub(crate) fn wait_patiently<C: Call>(primitive: &C::Primitive, call: &mut C) -> C::Output {
    match block(primitive, call, Deadline::Never, &mut Patient) {
        Ok(output) => output,
        Err(_) => unreachable!("a wait that nothing can end"),
    }
}

/// Runs a call until it has its result or the timeout is over.
#[inline]
pub(crate) fn wait_for<C: Call>(
    primitive: &C::Primitive,
    call: &mut C,
    timeout: Duration,
) -> Option<C::Output> {
    // Most calls need no clock.
    match call.attempt(primitive) {
        Some(output) => Some(output),
        None => wait_until(primitive, call, Deadline::after(Some(timeout))),
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
fn describe(deadlock: &Deadlock) -> String {
    let mut text = String::from(match deadlock.certainty {
        Certainty::Certain if deadlock.holder_ended => "deadlock: this wait can never end",
        Certainty::Certain if deadlock.steps.len() == 1 => "deadlock: it waits for itself",
        Certainty::Certain => "deadlock: these wait for each other for ever",
        Certainty::Suspected => "suspected deadlock: these wait for each other",
        Certainty::Quiescent => "deadlock: nothing in this process can move any more",
    });
    let several = deadlock.steps.iter().any(|step| step.account.is_some());
    for (index, step) in deadlock.steps.iter().enumerate() {
        let next = &deadlock.steps[(index + 1) % deadlock.steps.len()];
        let _ = write!(text, "\n  {} waits for {}", party(step, several), thing(step));
        match step.edge {
            Edge::HeldBy { holder, .. } if deadlock.holder_ended => {
                let _ = write!(text, ", held by {} which has ended", name(holder));
            }
            // In a circle, whoever holds it is the next.
            Edge::HeldBy { .. } | Edge::HeldElsewhere(_) => {
                _ = write!(text, ", held by {}", party(next, several))
            }
            Edge::RunsOn(thread) => _ = write!(text, " of {}, which is blocked", name(thread)),
            Edge::AnyOf => text.push_str(", which no worker is free to begin"),
            Edge::Unheld => {}
        }
    }
    text
}

/// Who waits; with the process, where that is not one and the same.
fn party(step: &Step, several: bool) -> String {
    match &step.account {
        Some(account) => account.text.lines().next().unwrap_or_default().to_owned(),
        None if several => format!("{} of process {}", name(step.owner), std::process::id()),
        None => name(step.owner),
    }
}

/// What is waited for.
fn thing(step: &Step) -> String {
    let told = step.account.as_ref().and_then(|account| account.text.lines().nth(1));
    match (told, &step.name) {
        (Some(told), _) => told.to_owned(),
        (None, Some(name)) => format!("{} '{name}'", step.kind),
        (None, None) => format!("{} at {:#x}", step.kind, step.resource),
    }
}

/// An owner in words.
pub(crate) fn name(owner: Owner) -> String {
    match registry().kind(owner) {
        Kind::Thread => thread_name(registry().native_thread(owner)),
        Kind::Task => format!("task {owner:?}"),
        Kind::Free if owner.is_somebody() => String::from("a thread"),
        Kind::Free => String::from("an async task"),
    }
}

/// A thread's name as the kernel keeps it (15 bytes of it), and its number.
fn thread_name(native: u32) -> String {
    match std::fs::read_to_string(format!("/proc/self/task/{native}/comm")) {
        Ok(name) => format!("thread '{}' ({native})", name.trim_end()),
        Err(_) => format!("thread {native}"),
    }
}
