//! Sleeping until another process changes something: as a thread, and as a task.
//!
//! A thread tries, looks again for a while, and sleeps; a task looks as long before it is enlisted. A thread's first nap
//! ends by itself, so that a short wait costs nothing more; a longer one is told to the [`monitor`], and sleeps until it
//! is woken. From then on every look also asks whether whoever is waited for has died, and a wait for what somebody holds
//! is shown to all who look for a deadlock.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::{Deadlock, Resource};
use oneloom_wait::owner::{Owner, flag};
use oneloom_wait::spin;
use oneloom_wait::wait::{Environment, Judgement};
use oneloom_wait::waiter::Waiter;
use oneloom_wait::word::Woken;

use crate::deadlock::{Awaited, Patient, Sleeper};
use crate::error::Error;
use crate::event_count::EventCount;
use crate::member::Tag;
use crate::monitor::{self, Place};
use crate::segment::Segment;

/// Something that may have to be waited for.
pub trait Call {
    /// What it gives.
    type Output;

    /// Where it stands.
    fn segment(&self) -> &'static Segment;

    /// Where it is told that trying again may succeed.
    fn event(&self) -> &'static EventCount;

    /// Whether trying may succeed: a cheap look, repeated while spinning.
    fn looks_ready(&self) -> bool;

    /// What it waits for, if somebody may hold it.
    fn awaited(&self) -> Option<Awaited<'_>> {
        None
    }

    /// Tries. `thorough`: also asks whether somebody it waits for has died, which costs 10 µs.
    ///
    /// # Errors
    /// If shared memory fails.
    fn attempt(&mut self, me: Tag, thorough: bool) -> Result<Option<Self::Output>, Error>;
}

/// Why there is no result.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// The deadline passed.
    TimedOut,
    /// The environment ended it, and knows why.
    Interrupted,
    /// It could never have ended.
    Deadlock(Box<Deadlock>),
    /// Shared memory failed.
    Failed(Error),
}

/// How often a call may look ready, and be overtaken, before it sleeps.
const SPURTS: u32 = 8;
/// How long the first nap lasts, and how long all do where deaths can't be watched.
const FIRST_NAP: Duration = Duration::from_millis(20);
const BLIND_NAP: Duration = Duration::from_millis(200);
/// A signal that came in the instant before a sleep is noticed after a nap; naps become ever longer.
const LONGEST_NAP: Duration = Duration::from_secs(60);

/// Runs a call on the calling thread.
///
/// # Errors
/// [`Stop`] says why there is no result; then nothing was taken.
pub fn block<C: Call>(
    call: &mut C,
    deadline: Deadline,
    environment: &mut impl Environment,
) -> Result<C::Output, Stop> {
    let me = call.segment().me().map_err(Stop::Failed)?;
    if let Some(output) = call.attempt(me, false).map_err(Stop::Failed)? {
        return Ok(output);
    }
    if deadline.remaining().is_some_and(|left| left.is_zero()) {
        return call.attempt(me, true).map_err(Stop::Failed)?.ok_or(Stop::TimedOut);
    }
    for _ in 0..SPURTS {
        if !spin::until(|| call.looks_ready()) {
            break;
        }
        if let Some(output) = call.attempt(me, false).map_err(Stop::Failed)? {
            return Ok(output);
        }
    }
    sleep(call, me, deadline, environment)
}

fn sleep<C: Call>(
    call: &mut C,
    me: Tag,
    deadline: Deadline,
    environment: &mut impl Environment,
) -> Result<C::Output, Stop> {
    let event = call.event();
    let mut watched = None;
    let waiter = Waiter::new(Owner::NOBODY, 0);
    let mut sleeper: Option<Sleeper> = None;
    let mut nap = FIRST_NAP;
    // A handler may fork; then this goes on in the child as another process.
    let mut me = me;
    loop {
        let seen = event.announce_thread();
        if let Some(output) = call.attempt(me, watched.is_some()).map_err(Stop::Failed)? {
            return Ok(output);
        }
        // SAFETY: what is waited for and the waiter outlive this turn of the loop, and what is shown with it.
        let shown =
            unsafe { sleeper.as_ref().zip(call.awaited()).map(|(own, awaited)| own.show(&awaited, &waiter)) };
        // Tried only while nothing is shown: whoever sees the wait is to know that nothing was taken.
        if shown.is_some() && call.looks_ready() {
            continue;
        }
        if let Some(deadlock) = sleeper.as_ref().and_then(|sleeper| sleeper.examine(call.segment(), me)) {
            drop(shown);
            match environment.judge(&deadlock) {
                Judgement::Raise => {
                    let last = call.attempt(me, true).map_err(Stop::Failed)?;
                    return last.ok_or_else(|| Stop::Deadlock(Box::new(deadlock)));
                }
                Judgement::KeepWaiting if environment.interrupted() => return Err(Stop::Interrupted),
                Judgement::KeepWaiting => continue,
            }
        }
        let until = match (&watched, environment.is_interruptible()) {
            (Some(monitor::Watched { blind: false, .. }), false) => deadline,
            _ => sooner(deadline, Deadline::after(Some(nap))),
        };
        let woken =
            event.sleep(seen, sooner(until, sleeper.as_ref().map_or(Deadline::Never, Sleeper::next_look)));
        drop(shown);
        if let Some(sleeper) = &mut sleeper {
            sleeper.woken(woken == Woken::Look);
        }
        if woken == Woken::Look {
            continue;
        }
        if deadline.remaining().is_some_and(|left| left.is_zero()) {
            return call.attempt(me, true).map_err(Stop::Failed)?.ok_or(Stop::TimedOut);
        }
        if environment.interrupted() {
            return Err(Stop::Interrupted);
        }
        me = call.segment().me().map_err(Stop::Failed)?;
        let here = watched.as_ref().is_some_and(monitor::Watched::is_of_this_process);
        if !here {
            watched = Some(monitor::watch(call.segment(), event));
            sleeper = call
                .awaited()
                .map(|awaited| Sleeper::new(call.segment(), &awaited, deadline.is_timed(), environment));
            // It was asked about itself, which may have run a handler.
            if environment.interrupted() {
                return Err(Stop::Interrupted);
            }
        }
        let blind = watched.as_ref().is_some_and(|watched| watched.blind);
        nap = if blind { BLIND_NAP } else { (nap * 2).min(LONGEST_NAP) };
    }
}

fn sooner(one: Deadline, other: Deadline) -> Deadline {
    match (one, other) {
        (Deadline::At(first), Deadline::At(second)) => Deadline::At(first.min(second)),
        (Deadline::Never, at) | (at, Deadline::Never) => at,
    }
}

/// A call as a future, woken through this process's doorbell.
///
/// Dropped or cancelled, it has taken nothing: what it was woken for goes to another.
pub struct Waiting<C: Call> {
    /// What is shown of it once it has waited for long. Goes before the call does.
    task: Option<Patient>,
    /// In one place, wherever the future goes.
    call: Option<Box<C>>,
    event: &'static EventCount,
    segment: &'static Segment,
    place: Option<Place>,
}

// Nothing is pinned: what others know of a future is a number.
impl<C: Call> Unpin for Waiting<C> {}

impl<C: Call> Waiting<C> {
    /// A future for a call.
    pub fn new(call: C) -> Self {
        let (event, segment) = (call.event(), call.segment());
        Self { task: None, event, segment, call: Some(Box::new(call)), place: None }
    }

    /// What it waits for, if somebody may hold that.
    pub fn awaited<R>(&self, ask: impl FnOnce(&dyn Resource) -> R) -> Option<R> {
        Some(ask(self.call.as_ref()?.awaited()?.resource))
    }

    /// It has waited for long as `task`: shows that from now on, with what the task tells of itself, and looks whether it
    /// is part of what looks like a deadlock.
    pub fn examine(&mut self, task: Owner, text: &str) -> Option<Deadlock> {
        self.place.as_ref()?;
        let awaited = self.call.as_ref()?.awaited()?;
        let shown = self.task.insert(Patient::new(self.segment, &awaited, task, flag::AWAITS, text));
        // SAFETY: the call stays in its box until what is shown is hidden.
        unsafe { shown.show(&awaited) };
        shown.examine(self.segment)
    }

    /// Its time is over: tries once more, and gives up. The call that gave its result has ended.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn expire(&mut self) -> Result<Option<C::Output>, Error> {
        self.task = None;
        let me = self.segment.me()?;
        let result = self.call.as_mut().map_or(Ok(None), |call| call.attempt(me, true));
        if !matches!(result, Ok(Some(_))) {
            self.cancel();
        }
        self.end();
        result
    }

    /// Gives up.
    pub fn cancel(&mut self) {
        self.task = None;
        if self.place.take().is_some_and(|place| !monitor::leave(self.event, place)) {
            // It had been woken: somebody else can use that.
            self.event.notify(1, |mask| monitor::ring(self.segment, self.event, mask));
        }
        self.call = None;
    }

    fn end(&mut self) {
        self.task = None;
        if let Some(place) = self.place.take() {
            monitor::leave(self.event, place);
        }
        self.call = None;
    }
}

impl<C: Call> Future for Waiting<C> {
    type Output = Result<C::Output, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(call) = this.call.as_mut() else { return Poll::Pending };
        // Tried only while nothing is shown, as in `sleep`.
        this.task.iter_mut().for_each(Patient::hide);
        let segment = this.segment;
        let attempt =
            |call: &mut C, thorough| segment.me().and_then(|me| call.attempt(me, thorough)).transpose();
        // Only a second look can be for a death.
        let again = this.place.is_some();
        let mut result = attempt(call, again);
        // A loop that is woken from outside has paid more than this look costs.
        if result.is_none() && !again && spin::until(|| call.looks_ready()) {
            result = attempt(call, false);
        }
        if result.is_none() {
            let front = this.place.take().is_some_and(|place| !monitor::leave(this.event, place));
            // It may have one of its own by now.
            this.event = call.event();
            this.place = Some(monitor::enlist(this.segment, this.event, context.waker().clone(), front));
            result = attempt(call, true);
        }
        match result {
            Some(result) => {
                this.end();
                Poll::Ready(result)
            }
            None => {
                if let Some((task, awaited)) = this.task.as_mut().zip(call.awaited()) {
                    // SAFETY: as in `examine`.
                    unsafe { task.show(&awaited) };
                }
                Poll::Pending
            }
        }
    }
}

impl<C: Call> Drop for Waiting<C> {
    fn drop(&mut self) {
        self.cancel();
    }
}
