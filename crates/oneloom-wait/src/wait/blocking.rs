//! A call on the calling thread: try, look again for a while, sleep; meanwhile see to signals, deadlocks and forks.

use std::time::Duration;

use super::{Call, Environment, Judgement, Primitive, Stop, leave};
use crate::clock::Deadline;
use crate::fork;
use crate::graph::{self, Certainty, Deadlock, Published};
use crate::owner::{self, Owner, flag};
use crate::quiescence;
use crate::spin;
use crate::waiter::{Notice, Place, Waiter, Wakes};
use crate::word::Woken;

/// Runs a call on the calling thread.
///
/// # Errors
/// [`Stop`] says why there is no result; then nothing was taken.
#[inline]
pub fn block<C: Call>(
    primitive: &C::Primitive,
    call: &mut C,
    deadline: Deadline,
    environment: &mut impl Environment,
) -> Result<C::Output, Stop> {
    match call.attempt(primitive) {
        Some(output) => Ok(output),
        None => block_slowly(primitive, call, deadline, environment),
    }
}

/// How often a call may look ready, and be overtaken, before it sleeps. There is a bound because looking
/// ready is no promise: what is there may be promised to another, for as long as that one's loop is busy.
const SPURTS: u32 = if cfg!(any(loom, shuttle)) { 1 } else { 8 };

#[cold]
fn block_slowly<C: Call>(
    primitive: &C::Primitive,
    call: &mut C,
    deadline: Deadline,
    environment: &mut impl Environment,
) -> Result<C::Output, Stop> {
    if deadline.remaining().is_some_and(|left| left.is_zero()) {
        return Err(Stop::TimedOut);
    }
    for _ in 0..if C::SPINS { SPURTS } else { 0 } {
        if !spin::until(|| call.looks_ready(primitive)) {
            break;
        }
        if let Some(output) = call.attempt(primitive) {
            return Ok(output);
        }
    }
    let waiter = Waiter::new(call.owner(), call.mode());
    let timed = if deadline.is_timed() { flag::TIMED } else { 0 };
    let thread = owner::current();
    let flags = environment.flags() | timed;
    // SAFETY: primitive and waiter outlive the publication, a local of this function.
    let published = unsafe { graph::publish(thread, primitive, &waiter, flags) };
    let born = fork::generation();
    let newcomer = match flags & flag::ON_LOOP {
        _ if C::NEWEST_FIRST => Place::Front,
        0 => Place::Back,
        _ => Place::AheadOfTasksOn(thread),
    };
    Blocked { primitive, call, waiter: &waiter, published: &published, deadline, thread, born }
        .run(newcomer, environment)
}

/// A blocking call that could not succeed at once.
struct Blocked<'a, C: Call> {
    primitive: &'a C::Primitive,
    call: &'a mut C,
    waiter: &'a Waiter,
    published: &'a Published,
    deadline: Deadline,
    thread: Owner,
    /// The fork generation in which the waiter joined its list.
    born: u32,
}

/// An untimed waiter looks after a second whether it will ever be woken, then ever more rarely.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const RAREST_LOOK: Duration = Duration::from_secs(60);
/// Where one victim had to go, others may have to follow as soon as it has ended.
const NEXT_VICTIM: Duration = Duration::from_millis(10);

impl<C: Call> Blocked<'_, C> {
    fn run(&mut self, newcomer: Place, environment: &mut impl Environment) -> Result<C::Output, Stop> {
        let mut place = newcomer;
        let mut is_new = true;
        loop {
            if let Some(output) = self.enlist(place) {
                return Ok(output);
            }
            if std::mem::take(&mut is_new) && !self.call.enlisted(self.primitive) {
                return self.give_up(Stop::Interrupted);
            }
            // Also when it has been overtaken: whoever was faster may wait by now for what this one holds, and found
            // that it did not wait.
            if let Some(end) = self.find_cycle(environment) {
                return end;
            }
            if let Some(end) = self.park(environment) {
                return end;
            }
            place = Place::Front;
        }
    }

    fn enlist(&mut self, place: Place) -> Option<C::Output> {
        let mut wakes = Wakes::new();
        let mut state = self.primitive.gate().enter();
        if let Some(output) = self.call.attempt_or_enlist(self.primitive, &mut state, &mut wakes) {
            return Some(output);
        }
        // SAFETY: the waiter stands still on this thread's stack, is in no list (it is new or was just
        // notified), and every way out of `run` takes it out of the list again: its notice or `give_up`.
        unsafe { self.call.line(&mut state).insert(self.waiter, place) };
        None
    }

    /// Looks whether this wait has just closed a cycle for certain.
    fn find_cycle(&mut self, environment: &mut impl Environment) -> Option<Result<C::Output, Stop>> {
        let examined = if self.deadline.is_timed() { None } else { graph::examine(self.thread) };
        let certain = examined.filter(|deadlock| deadlock.certainty == Certainty::Certain)?;
        self.answer(certain, environment)
    }

    /// Sleeps until there is a notice. `None`: try again; otherwise the call's end.
    fn park(&mut self, environment: &mut impl Environment) -> Option<Result<C::Output, Stop>> {
        let mut looks = Looks::new();
        let mut signals = SignalLooks::new(environment.is_interruptible());
        loop {
            match self.waiter.take_notice() {
                Notice::Waiting => {}
                Notice::Woken => return None,
                Notice::Granted(token) => return self.call.granted(self.primitive, token).map(Ok),
            }
            if fork::generation() != self.born {
                // A signal handler forked, and this is the child: its lists are empty.
                self.born = fork::generation();
                drop(self.primitive.gate().enter());
                if self.waiter.is_queued() {
                    self.waiter.forget();
                    return None;
                }
            }
            let timed = self.deadline.is_timed();
            let until = if timed { self.deadline } else { looks.next() };
            let (until, for_signals) = signals.sooner(until);
            match self.waiter.sleep(until) {
                Woken::TimedOut if timed && !for_signals => return Some(self.give_up(Stop::TimedOut)),
                woken if woken == Woken::Interrupted || (woken == Woken::TimedOut && for_signals) => {
                    signals.took_place();
                    if environment.interrupted() {
                        return Some(self.give_up(Stop::Interrupted));
                    }
                }
                // Woken without a notice: an owner has ended, or a victim was chosen.
                woken if !timed && self.waiter.notice() == Notice::Waiting => {
                    looks.took_place(woken == Woken::Look);
                    if let Some(end) = self.look_around(environment, &mut looks) {
                        return Some(end);
                    }
                }
                _ => {}
            }
        }
    }

    /// Looks whether this wait can still end.
    fn look_around(
        &mut self,
        environment: &mut impl Environment,
        looks: &mut Looks,
    ) -> Option<Result<C::Output, Stop>> {
        let new = |deadlock: &Deadlock| deadlock.certainty == Certainty::Certain || !looks.reported;
        if let Some(deadlock) = graph::examine(self.thread).filter(new) {
            looks.reported = true;
            if let Some(end) = self.answer(deadlock, environment) {
                return Some(end);
            }
        }
        let mut asked = false;
        let may_still_move = || {
            asked = true;
            environment.may_still_move()
        };
        if quiescence::look(self.thread, may_still_move) {
            looks.hurry();
        }
        // What was asked may have run signal handlers, here as in `answer`.
        if asked && environment.interrupted() {
            return Some(self.give_up(Stop::Interrupted));
        }
        if self.published.take_condemned() {
            return self.answer(quiescence::verdict(self.thread), environment);
        }
        None
    }

    fn answer(
        &mut self,
        deadlock: Deadlock,
        environment: &mut impl Environment,
    ) -> Option<Result<C::Output, Stop>> {
        // A release that hands over writes the new holder first and tells it afterwards, inside the gate: seen
        // from in between, the new holder waits for itself. Whoever has passed the gate has been told.
        drop(self.primitive.gate().enter());
        if self.waiter.notice() != Notice::Waiting {
            graph::pardon(self.thread);
            return None;
        }
        match environment.judge(&deadlock) {
            Judgement::Raise => Some(self.give_up(Stop::Deadlock(Box::new(deadlock)))),
            Judgement::KeepWaiting => {
                graph::pardon(self.thread);
                environment.interrupted().then(|| self.give_up(Stop::Interrupted))
            }
        }
    }

    /// Leaves the list. What was received in the same instant is the result after all, except where the
    /// environment has something of its own to say: then it is passed on.
    fn give_up(&mut self, stop: Stop) -> Result<C::Output, Stop> {
        let keep = !matches!(stop, Stop::Interrupted);
        leave(self.primitive, self.call, self.waiter, self.born, keep).ok_or(stop)
    }
}

/// When an untimed waiter next looks whether it will ever be woken.
struct Looks {
    pause: Duration,
    at: Deadline,
    /// Whether it has told of a suspicion: once is enough.
    reported: bool,
}

impl Looks {
    fn new() -> Self {
        Self { pause: FIRST_LOOK, at: Self::deadline(FIRST_LOOK), reported: false }
    }

    fn next(&self) -> Deadline {
        self.at
    }

    /// A look took place: by the clock, or (`poked`) because something had happened.
    fn took_place(&mut self, poked: bool) {
        if poked {
            self.hurry();
        } else {
            self.pause = (self.pause * 2).min(RAREST_LOOK);
            self.at = Self::deadline(self.pause);
        }
    }

    fn hurry(&mut self) {
        self.pause = NEXT_VICTIM;
        self.at = Self::deadline(self.pause);
    }

    /// Models have nobody to look for, and a wait with a deadline never sleeps there.
    fn deadline(pause: Duration) -> Deadline {
        if cfg!(any(loom, shuttle)) { Deadline::Never } else { Deadline::after(Some(pause)) }
    }
}

/// When an interruptible waiter next looks for signals that came in the instant before it slept.
struct SignalLooks {
    pause: Duration,
    at: Deadline,
}

/// How long such a signal waits at most, the first time.
const FIRST_SIGNAL_LOOK: Duration = Duration::from_millis(10);

impl SignalLooks {
    fn new(interruptible: bool) -> Self {
        let at = if interruptible { Looks::deadline(FIRST_SIGNAL_LOOK) } else { Deadline::Never };
        Self { pause: FIRST_SIGNAL_LOOK, at }
    }

    /// The earlier of `other` and the next look, and whether that is the look.
    fn sooner(&self, other: Deadline) -> (Deadline, bool) {
        match (self.at, other) {
            (Deadline::At(look), Deadline::At(end)) if end <= look => (other, false),
            (Deadline::At(_), _) => (self.at, true),
            (Deadline::Never, _) => (other, false),
        }
    }

    fn took_place(&mut self) {
        if self.at.is_timed() {
            self.pause = (self.pause * 2).min(RAREST_LOOK);
            self.at = Looks::deadline(self.pause);
        }
    }
}
