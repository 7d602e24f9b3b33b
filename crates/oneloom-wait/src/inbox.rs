//! Wakes for an event loop from outside: many producers, one loop, one descriptor.
//!
//! A wake is a token put into the loop's inbox. An eventfd, which the loop watches, is written only when the
//! inbox was empty, so a burst of wakes costs one system call. Delivering needs no interpreter lock.
//!
//! On the loop's own thread even that system call is spared: inside a [`Local`] scope tokens only collect,
//! and whoever opened the scope tells the loop afterwards, in the loop's own way.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::Wake;

use rustix::event::{EventfdFlags, eventfd};

use crate::gate::{AfterFork, Gate};
use crate::owner::{self, Owner};

#[derive(Default)]
struct Tokens {
    waiting: Vec<u64>,
    /// The loop was told and has not drained yet.
    announced: bool,
}

impl AfterFork for Tokens {
    fn after_fork(&mut self, torn: bool) {
        if torn {
            std::mem::forget(std::mem::take(&mut self.waiting));
            self.announced = false;
        }
    }
}

/// Where wakes for one event loop arrive.
pub struct Inbox {
    tokens: Gate<Tokens>,
    bell: OwnedFd,
    home: Owner,
}

thread_local! {
    /// Whether the innermost scope on this thread is local, and whether tokens came meanwhile.
    static LOCAL: Cell<bool> = const { Cell::new(false) };
    static COLLECTED: Cell<bool> = const { Cell::new(false) };
    /// For whom they came: loops that this thread runs, or has run.
    static INBOXES: RefCell<Vec<Arc<Inbox>>> = const { RefCell::new(Vec::new()) };
}

impl Inbox {
    /// An inbox for the loop that runs on the calling thread.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> std::io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let tokens = Gate::new(Tokens { waiting: Vec::new(), announced: false });
        Ok(Self { tokens, bell, home: owner::current() })
    }

    /// The descriptor that becomes readable when the inbox was empty and is not any more.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Puts a token in, and tells the loop unless it was told already.
    pub fn deliver(self: &Arc<Self>, token: u64) {
        let first = {
            let mut tokens = self.tokens.enter();
            tokens.waiting.push(token);
            !std::mem::replace(&mut tokens.announced, true)
        };
        if !first {
            return;
        }
        if LOCAL.get() && owner::current() == self.home {
            COLLECTED.set(true);
            INBOXES.with_borrow_mut(|inboxes| inboxes.push(self.clone()));
        } else {
            self.ring();
        }
    }

    /// Makes the bell readable.
    pub fn ring(&self) {
        // The counter can't overflow: a full one is readable already.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    /// Silences the bell and takes all tokens out. For whoever the bell has called, on the loop's thread.
    pub fn answer(&self, into: &mut Vec<u64>) {
        // First the bell: a token that comes between the two is taken here, one that comes later rings again.
        let _ = rustix::io::read(&self.bell, &mut [0_u8; 8]);
        self.take(into);
    }

    /// Takes all tokens out, in the order of their delivery, and leaves the bell as it is: for a loop that is
    /// told on its own thread. At worst the bell calls for nothing afterwards.
    pub fn take(&self, into: &mut Vec<u64>) {
        let mut tokens = self.tokens.enter();
        tokens.announced = false;
        into.append(&mut tokens.waiting);
    }
}

/// While it lives, wakes for a loop on this very thread collect instead of making a system call.
pub struct Local {
    outer: bool,
}

impl Local {
    /// Opens the scope. Whoever does so asks [`Local::finish`] afterwards.
    #[inline]
    pub fn open() -> Self {
        Self { outer: LOCAL.replace(true) }
    }

    /// Ends the scope. Each inbox it gives must be drained by its loop soon: if that loop runs on this thread
    /// now, by being told so in its own way, otherwise by [`Inbox::ring`].
    #[inline]
    pub fn finish(self) -> Vec<Arc<Inbox>> {
        if self.outer || !COLLECTED.replace(false) {
            return Vec::new();
        }
        INBOXES.take()
    }
}

impl Drop for Local {
    #[inline]
    fn drop(&mut self) {
        LOCAL.set(self.outer);
    }
}

/// A waker that delivers its token.
pub struct LoopWaker {
    /// The loop's inbox.
    pub inbox: Arc<Inbox>,
    /// What it delivers.
    pub token: u64,
}

impl Wake for LoopWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.inbox.deliver(self.token);
    }
}
