//! A call as a future, for any executor: its waiter stands inside the future, and dropping gives up.

use std::future::Future;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::{Call, Handle, Primitive, leave};
use crate::fork;
use crate::graph::{self, Deadlock, Published, Resource};
use crate::owner::{self, Owner, flag};
use crate::waiter::{Notice, Place, Waiter, Wakes};

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
    /// Who is shown as waiting, if it is a task: the call's owner, or whom an embedding has named.
    task: Owner,
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
    /// The call itself has ended the wait, and there is no result.
    Failed,
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
            task: call.owner(),
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

    /// Shows `task` as waiting, in the wait graph and in dumps.
    #[must_use]
    pub fn shown_as(mut self, task: Owner) -> Self {
        self.task = task;
        self
    }

    /// What holds on to the primitive.
    pub fn handle(&self) -> &H {
        &self.handle
    }

    /// Whether the call itself has ended the wait ([`Call::enlisted`] was false). There is no result then, and the
    /// future is not to be polled again; whoever made the call knows why.
    pub fn has_failed(&self) -> bool {
        self.stage == Stage::Failed
    }

    /// Whether somebody holds what is waited for, so that there may be a deadlock.
    pub fn has_holder(&self) -> bool {
        self.handle.primitive().hold().is_some()
    }

    /// Whether this wait is part of what looks like a deadlock. Never certain: whoever polls the future may
    /// drop it instead.
    pub fn examine(&self) -> Option<Deadlock> {
        self.published.as_ref()?;
        let found = graph::examine(self.task);
        graph::pardon(self.task);
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
        let task = self.task;
        if task.is_somebody() && owner::registry().kind(task) == owner::Kind::Task {
            // SAFETY: the handle keeps the primitive where it is, the waiter is part of this pinned future,
            // and dropping takes the publication back first.
            let published =
                unsafe { graph::publish(task, self.handle.primitive(), &self.waiter, self.flags) };
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
                Stage::Done | Stage::Failed => panic!("a future was polled after it had ended"),
            }
        };
        match this.enlist(place, context.waker()) {
            Some(output) => this.finish(output),
            None => {
                if place == Place::Back && !this.call.enlisted(this.handle.primitive()) {
                    this.give_up(false);
                    this.stage = Stage::Failed;
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
