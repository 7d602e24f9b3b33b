//! The one engine that every blocking call and every future runs on.
//!
//! A primitive describes each of its calls as a [`Call`]: how to try, which list to join, what a notice means
//! and how to give up. [`block`] runs a call on the calling thread, [`Waiting`] runs it as a future. Both
//! keep these promises for every primitive:
//!
//! - a call is tried again inside the gate before its waiter joins the list, so no wake-up is lost;
//! - one that was woken and overtaken goes back to the front of its line;
//! - one that gives up leaves the list inside the gate; what had been handed to it by then is kept (a
//!   deadline that passes in the same instant) or passed on (a cancellation, an interruption).

mod blocking;
mod future;

use std::sync::Arc;

use crate::fork;
use crate::gate::{AfterFork, Gate};
use crate::graph::{Deadlock, Resource};
use crate::owner::Owner;
use crate::waiter::{Notice, Waiter, WaiterList, Wakes};

pub use blocking::block;
pub use future::{Expired, Waiting};

/// What can be waited for: its state, and its waiters' lists, stand behind one gate.
pub trait Primitive: Resource {
    /// What stands behind the gate.
    type State: AfterFork;

    /// The gate; the same one at every call.
    fn gate(&self) -> &Gate<Self::State>;
}

/// One call of a primitive, as a state machine.
pub trait Call {
    /// What is called.
    type Primitive: Primitive;
    /// What the call gives.
    type Output;

    /// The list to wait in; the same one at every call.
    fn line<'s>(&self, state: &'s mut StateOf<Self>) -> &'s mut WaiterList;

    /// For whom: stands in the waiter, so that a release can hand over to it.
    fn owner(&self) -> Owner {
        Owner::NOBODY
    }

    /// A remark that stands in the waiter.
    fn mode(&self) -> u32 {
        0
    }

    /// Whether looking again for a while may save the sleep. False where only somebody who is not running
    /// now can end the wait.
    const SPINS: bool = true;

    /// Whether who comes last is served first: where it does not matter who is, and who has only just begun to wait
    /// can go on soonest.
    const NEWEST_FIRST: bool = false;

    /// Whether trying may succeed: a cheap look outside the gate, repeated while spinning.
    fn looks_ready(&self, primitive: &Self::Primitive) -> bool;

    /// Tries outside the gate.
    fn attempt(&mut self, primitive: &Self::Primitive) -> Option<Self::Output>;

    /// Tries inside the gate. On `None` the primitive's state already tells the other side that somebody
    /// waits, and the waiter joins the list before the gate is left.
    fn attempt_or_enlist(
        &mut self,
        primitive: &Self::Primitive,
        state: &mut StateOf<Self>,
        wakes: &mut Wakes,
    ) -> Option<Self::Output>;

    /// The waiter has joined the line, for the first time, and the gate was left: what must happen before it
    /// sleeps (a condition's lock is released). False ends the call as if interrupted.
    fn enlisted(&mut self, _primitive: &Self::Primitive) -> bool {
        true
    }

    /// What was waited for has been handed over. Outside the gate. `None`: it is gone again, wait on.
    fn granted(&mut self, primitive: &Self::Primitive, token: u32) -> Option<Self::Output>;

    /// Gives up, inside the gate and out of the list. `notice` says what had been received and is not
    /// going to be used: it must be passed on.
    fn withdraw(
        &mut self,
        primitive: &Self::Primitive,
        state: &mut StateOf<Self>,
        notice: Notice,
        wakes: &mut Wakes,
    );
}

/// What stands behind the gate of a call's primitive.
pub type StateOf<C> = <<C as Call>::Primitive as Primitive>::State;

/// How a future holds on to its primitive: by reference, by [`Arc`], by an embedding's own pointer.
///
/// # Safety
/// `primitive` gives the same address every time, wherever the handle is moved, and what stands there lives
/// as long as the handle.
pub unsafe trait Handle {
    /// What is held.
    type Primitive;
    /// It.
    fn primitive(&self) -> &Self::Primitive;
}

// SAFETY: a shared reference is stable and outlives itself.
unsafe impl<P> Handle for &P {
    type Primitive = P;
    fn primitive(&self) -> &P {
        self
    }
}

// SAFETY: an Arc's content does not move while the Arc lives.
unsafe impl<P> Handle for Arc<P> {
    type Primitive = P;
    fn primitive(&self) -> &P {
        self
    }
}

/// Why a blocking call ended without its result.
#[derive(Debug)]
pub enum Stop {
    /// The deadline passed.
    TimedOut,
    /// The environment ended it, and knows why.
    Interrupted,
    /// It could never have ended.
    Deadlock(Box<Deadlock>),
}

/// What is to happen to a waiter in a deadlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The call fails.
    Raise,
    /// It goes on waiting.
    KeepWaiting,
}

/// What a waiting thread tells of itself to other processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Who it is, what it waits for, and where it stands: a line each.
    pub text: String,
    /// Whether something that other processes can't see may end the wait.
    pub may_end: bool,
}

/// What the program around a blocking call has a say in.
pub trait Environment {
    /// Bits of [`crate::owner::flag`] to show with the wait.
    fn flags(&self) -> u32 {
        0
    }

    /// Whether signals are to end this wait. One that arrives in the instant before the sleep interrupts
    /// nothing; so such a wait looks for signals again soon, and then more rarely.
    fn is_interruptible(&self) -> bool {
        false
    }

    /// A signal handler ran on this thread, or may have, also while the questions below were answered: true ends
    /// the call. The handler may wait, fork or raise.
    fn interrupted(&mut self) -> bool {
        false
    }

    /// What other processes are to know of this wait for `resource`; asked before a long sleep. Called outside every gate.
    fn account(&mut self, resource: &dyn Resource) -> Account {
        let thread = std::thread::current();
        let thread =
            thread.name().map_or_else(|| String::from("a thread"), |name| format!("thread '{name}'"));
        let what = match (resource.name(), resource.number()) {
            (Some(name), _) => format!("{} '{name}'", resource.kind()),
            (None, number) => format!("{} number {:#x}", resource.kind(), number.unwrap_or(0)),
        };
        let text = format!("{thread} of process {}\n{what}", std::process::id());
        Account { text, may_end: false }
    }

    /// A deadlock was found in which this call takes part. Called outside every gate.
    fn judge(&mut self, deadlock: &Deadlock) -> Judgement;

    /// Nothing in the process seems to move. Whether the program knows of something that still may (a
    /// signal handler, an event loop) and a victim must not be chosen.
    fn may_still_move(&mut self) -> bool {
        true
    }
}

/// Takes a waiter out of its line. With `keep`, what it had received by then is the result; otherwise, and
/// where there was only a wake-up that somebody else used, the call withdraws and passes it on.
fn leave<C: Call>(
    primitive: &C::Primitive,
    call: &mut C,
    waiter: &Waiter,
    born: u32,
    keep: bool,
) -> Option<C::Output> {
    let mut wakes = Wakes::new();
    let mut state = primitive.gate().enter();
    if waiter.is_queued() {
        if fork::generation() == born {
            call.line(&mut state).remove(waiter);
        } else {
            waiter.forget();
        }
    }
    let notice = waiter.take_notice();
    if keep {
        match notice {
            Notice::Granted(token) => {
                drop(state);
                return call.granted(primitive, token);
            }
            Notice::Woken => {
                if let Some(output) = call.attempt_or_enlist(primitive, &mut state, &mut wakes) {
                    return Some(output);
                }
            }
            Notice::Waiting => {}
        }
    }
    call.withdraw(primitive, &mut state, notice, &mut wakes);
    None
}
