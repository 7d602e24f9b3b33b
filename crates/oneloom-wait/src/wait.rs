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

use std::future::Future;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::Deadline;
use crate::fork;
use crate::gate::{AfterFork, Gate};
use crate::graph::{self, Certainty, Deadlock, Published, Resource};
use crate::owner::{self, Owner, flag};
use crate::quiescence;
use crate::spin;
use crate::waiter::{Notice, Place, Waiter, WaiterList, Wakes};
use crate::word::Woken;

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

/// What the program around a blocking call has a say in.
pub trait Environment {
    /// Bits of [`owner::flag`] to show with the wait.
    fn flags(&self) -> u32 {
        0
    }

    /// A signal handler ran on this thread; true ends the call. The handler may wait, fork or raise.
    fn interrupted(&mut self) -> bool {
        false
    }

    /// A deadlock was found in which this call takes part. Called outside every gate.
    fn judge(&mut self, deadlock: &Deadlock) -> Judgement;

    /// Nothing in the process seems to move. Whether the program knows of something that still may (a
    /// signal handler, an event loop) and a victim must not be chosen.
    fn may_still_move(&mut self) -> bool {
        true
    }
}

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
    let newcomer = if flags & flag::ON_LOOP == 0 { Place::Back } else { Place::AheadOfTasksOn(thread) };
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
        loop {
            if let Some(output) = self.enlist(place) {
                return Ok(output);
            }
            if place == newcomer && !self.call.enlisted(self.primitive) {
                return self.give_up(Stop::Interrupted);
            }
            if place == newcomer
                && !self.deadline.is_timed()
                && let Some(deadlock) = graph::examine(self.thread)
                && deadlock.certainty == Certainty::Certain
                && let Some(end) = self.answer(deadlock, environment)
            {
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

    /// Sleeps until there is a notice. `None`: try again; otherwise the call's end.
    fn park(&mut self, environment: &mut impl Environment) -> Option<Result<C::Output, Stop>> {
        let mut looks = Looks::new();
        loop {
            match self.waiter.take_notice() {
                Notice::Waiting => {}
                Notice::Woken => return None,
                Notice::Granted(token) => return self.call.granted(self.primitive, token).map(Ok),
            }
            let timed = self.deadline.is_timed();
            match self.waiter.sleep(if timed { self.deadline } else { looks.next() }) {
                Woken::TimedOut if timed => return Some(self.give_up(Stop::TimedOut)),
                Woken::Interrupted => {
                    if environment.interrupted() {
                        return Some(self.give_up(Stop::Interrupted));
                    }
                    if fork::generation() != self.born {
                        // The handler forked, and this is the child: its lists are empty.
                        self.born = fork::generation();
                        drop(self.primitive.gate().enter());
                        if self.waiter.is_queued() {
                            self.waiter.forget();
                            return None;
                        }
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
        if let Some(deadlock) = graph::examine(self.thread)
            && (deadlock.certainty == Certainty::Certain || !looks.reported)
        {
            looks.reported = true;
            if let Some(end) = self.answer(deadlock, environment) {
                return Some(end);
            }
        }
        if quiescence::look(self.thread, || environment.may_still_move()) {
            looks.hurry();
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
        match environment.judge(&deadlock) {
            Judgement::Raise => Some(self.give_up(Stop::Deadlock(Box::new(deadlock)))),
            Judgement::KeepWaiting => {
                graph::pardon(self.thread);
                None
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

/// The future did not get its result before it was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired;

/// A call as a future. Dropping it gives up; what it had received then passes on to the next.
///
/// The future publishes its wait in the wait graph if its call has an owner that is a task.
pub struct Waiting<H, C>
where
    H: Handle<Primitive = C::Primitive>,
    C: Call,
{
    // Taken back before what it points to goes.
    published: Option<Published>,
    call: C,
    waiter: Waiter,
    stage: Stage,
    born: u32,
    flags: u32,
    /// Last, so that it is dropped last.
    handle: H,
    _pinned: PhantomPinned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Enlisted,
    Done,
}

// SAFETY: the waiter's cells are only touched inside the gate or through `&mut self`, and the published frame
// is only followed inside its owner's gate; the future may change threads when handle and call may.
unsafe impl<H, C> Send for Waiting<H, C>
where
    H: Handle<Primitive = C::Primitive> + Send,
    C: Call + Send,
{
}

impl<H, C> Waiting<H, C>
where
    H: Handle<Primitive = C::Primitive>,
    C: Call,
{
    /// A future for `call`, which was not tried yet.
    pub fn new(handle: H, call: C) -> Self {
        Self {
            published: None,
            waiter: Waiter::new(call.owner(), call.mode()),
            call,
            stage: Stage::New,
            born: 0,
            flags: flag::AWAITS,
            handle,
            _pinned: PhantomPinned,
        }
    }

    /// Says that the wait has a time limit, which its user keeps: it is never part of a deadlock then.
    #[must_use]
    pub fn timed(mut self) -> Self {
        self.flags |= flag::TIMED;
        self
    }

    /// Whether this wait is part of what looks like a deadlock. Never certain: whoever polls the future may
    /// drop it instead.
    pub fn examine(&self) -> Option<Deadlock> {
        self.published.as_ref()?;
        let owner = self.call.owner();
        let found = graph::examine(owner);
        graph::pardon(owner);
        found
    }

    /// Ends the wait: the result if it arrived in the same instant.
    ///
    /// # Errors
    /// [`Expired`] if it had not; nothing was taken then.
    pub fn expire(self: Pin<&mut Self>) -> Result<C::Output, Expired> {
        // SAFETY: nothing is moved out.
        unsafe { self.get_unchecked_mut() }.give_up(true).ok_or(Expired)
    }

    /// Ends the wait and passes on what it had received.
    pub fn cancel(self: Pin<&mut Self>) {
        // SAFETY: nothing is moved out.
        unsafe { self.get_unchecked_mut() }.give_up(false);
    }

    /// The call, to take out what it did not use once the wait is over.
    pub fn call_mut(self: Pin<&mut Self>) -> &mut C {
        // SAFETY: the call is not structurally pinned.
        unsafe { &mut self.get_unchecked_mut().call }
    }

    /// Tries, joins the line with `waker`, or keeps its place there.
    fn enlist(&mut self, place: Place, waker: &Waker) -> Option<C::Output> {
        // Cloned and dropped outside the gate: wakers are foreign code.
        let waker = waker.clone();
        let unused;
        let mut wakes = Wakes::new();
        let primitive = self.handle.primitive();
        let mut state = primitive.gate().enter();
        if let Some(output) = self.call.attempt_or_enlist(primitive, &mut state, &mut wakes) {
            return Some(output);
        }
        unused = self.waiter.replace_waker(Some(waker), owner::current());
        // SAFETY: the future is pinned, the waiter is in no list, and `give_up`, which dropping calls, takes
        // it out again.
        unsafe { self.call.line(&mut state).insert(&self.waiter, place) };
        drop(state);
        drop(unused);
        self.stage = Stage::Enlisted;
        self.born = fork::generation();
        None
    }

    /// Replaces the waker of a waiter in line; false if it has been notified meanwhile.
    fn rewake(&mut self, waker: &Waker) -> bool {
        let waker = waker.clone();
        let unused;
        let state = self.handle.primitive().gate().enter();
        if !self.waiter.is_queued() {
            return false;
        }
        unused = self.waiter.replace_waker(Some(waker), owner::current());
        drop(state);
        drop(unused);
        true
    }

    fn publish(&mut self) {
        let owner = self.call.owner();
        if owner.is_somebody() && owner::registry().kind(owner) == owner::Kind::Task {
            // SAFETY: the handle keeps the primitive where it is, the waiter is part of this pinned future,
            // and dropping takes the publication back first.
            let published =
                unsafe { graph::publish(owner, self.handle.primitive(), &self.waiter, self.flags) };
            self.published = Some(published);
        }
    }

    fn finish(&mut self, output: C::Output) -> Poll<C::Output> {
        self.stage = Stage::Done;
        self.published = None;
        Poll::Ready(output)
    }

    fn give_up(&mut self, keep: bool) -> Option<C::Output> {
        if std::mem::replace(&mut self.stage, Stage::Done) != Stage::Enlisted {
            return None;
        }
        self.published = None;
        leave(self.handle.primitive(), &mut self.call, &self.waiter, self.born, keep)
    }
}

impl<H, C> Future for Waiting<H, C>
where
    H: Handle<Primitive = C::Primitive>,
    C: Call,
{
    type Output = C::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<C::Output> {
        // SAFETY: nothing is moved out; the waiter stays where it is.
        let this = unsafe { self.get_unchecked_mut() };
        let place = loop {
            match this.stage {
                Stage::New => {
                    if let Some(output) = this.call.attempt(this.handle.primitive()) {
                        return this.finish(output);
                    }
                    this.publish();
                    break Place::Back;
                }
                Stage::Enlisted => match this.waiter.take_notice() {
                    Notice::Granted(token) => match this.call.granted(this.handle.primitive(), token) {
                        Some(output) => return this.finish(output),
                        None => break Place::Front,
                    },
                    Notice::Woken => break Place::Front,
                    Notice::Waiting if this.born != fork::generation() => {
                        // The list that it was in stayed behind in the parent.
                        this.waiter.forget();
                        break Place::Front;
                    }
                    Notice::Waiting if this.rewake(context.waker()) => return Poll::Pending,
                    Notice::Waiting => {}
                },
                Stage::Done => panic!("a future was polled after it had ended"),
            }
        };
        match this.enlist(place, context.waker()) {
            Some(output) => this.finish(output),
            None => {
                if place == Place::Back {
                    // A future has nobody to tell; whoever made the call asks it what went wrong.
                    this.call.enlisted(this.handle.primitive());
                }
                Poll::Pending
            }
        }
    }
}

impl<H, C> Drop for Waiting<H, C>
where
    H: Handle<Primitive = C::Primitive>,
    C: Call,
{
    fn drop(&mut self) {
        self.give_up(false);
    }
}
