//! The first-in-first-out list of those who wait: parked threads and [`Waker`]s alike.
//!
//! A [`Waiter`] stands on the stack of the thread that waits, or inside the future; a list links waiters
//! without owning or allocating anything. The list stands behind a primitive's [`Gate`](crate::gate::Gate),
//! and so do the links of every waiter in it. A waiter's word is what crosses the gate:
//!
//! | word | meaning | set by |
//! |---|---|---|
//! | `IDLE` | in no list, nothing received | its waiter |
//! | `QUEUED` | in a list | its waiter, inside the gate |
//! | `POKED` | in a list, and to look around: who it waits for may be gone | whoever walks the wait graph |
//! | `WOKEN` | taken out of the list: look again, somebody may have been faster | a notifier, inside the gate |
//! | `GRANTED + token` | taken out of the list: it is yours | a notifier, inside the gate |
//!
//! Notifiers publish with release and waiters look with acquire: what the notifier did before happens
//! before what the waiter does after. Whoever stops waiting leaves the list inside the gate, and looks at
//! its word there: a notification that came first is consumed or passed on, never lost.
//!
//! Nobody is woken inside the gate: notifications collect in [`Wakes`], which fires when the gate is left.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr;
use std::task::Waker;

use crate::atomic::{Ordering, fence};
use crate::clock;
use crate::graph;
use crate::owner::Owner;
use crate::word::{Handle, Scope, Word};

const IDLE: u32 = 0;
const QUEUED: u32 = 1;
const POKED: u32 = 2;
const WOKEN: u32 = 3;
const GRANTED: u32 = 4;

/// What became of a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Nothing yet.
    Waiting,
    /// Look again; somebody else may have been faster.
    Woken,
    /// What was waited for was handed over, with a word from the giver.
    Granted(u32),
}

/// Where in its line a waiter goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A newcomer.
    Back,
    /// A newcomer that has blocked its own event loop: ahead of that loop's tasks. They can't run before it
    /// goes on, so what is offered to one of them would be lost on it.
    AheadOfTasksOn(Owner),
    /// One who was woken and overtaken keeps its turn.
    Front,
}

/// One who waits. The links and the waker are only touched inside the gate of the list it is in.
pub struct Waiter {
    word: Word,
    previous: Cell<*const Waiter>,
    next: Cell<*const Waiter>,
    /// None: a thread sleeps on the word.
    waker: Cell<Option<Waker>>,
    /// The thread on which its future was polled, for one that has a waker.
    home: Cell<Owner>,
    owner: Owner,
    mode: u32,
    /// When it first joined, on the monotonic clock: overtaking does not reset it.
    since: Cell<u64>,
}

impl Waiter {
    /// A waiter for `owner`; `mode` is the primitive's own remark, given back by [`WaiterList::front`].
    pub fn new(owner: Owner, mode: u32) -> Self {
        Self {
            word: Word::new(IDLE),
            previous: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            waker: Cell::new(None),
            home: Cell::new(Owner::NOBODY),
            owner,
            mode,
            since: Cell::new(0),
        }
    }

    /// What became of it so far.
    #[inline]
    pub(crate) fn notice(&self) -> Notice {
        match self.word.load(Ordering::Acquire) {
            IDLE | QUEUED | POKED => Notice::Waiting,
            WOKEN => Notice::Woken,
            granted => Notice::Granted(granted - GRANTED),
        }
    }

    /// Takes the notice and is as new, except that it remembers when it first joined.
    pub(crate) fn take_notice(&self) -> Notice {
        let notice = self.notice();
        if notice != Notice::Waiting {
            self.word.store(IDLE, Ordering::Relaxed);
        }
        notice
    }

    pub(crate) fn is_queued(&self) -> bool {
        matches!(self.word.load(Ordering::Relaxed), QUEUED | POKED)
    }

    /// Forgets that it was in a list: after a fork, the list is gone.
    pub(crate) fn forget(&self) {
        self.word.store(IDLE, Ordering::Relaxed);
    }

    /// Sleeps until notified or poked; may return early.
    pub(crate) fn sleep(&self, deadline: clock::Deadline) -> crate::word::Woken {
        let woken = self.word.wait(QUEUED, deadline, Scope::Private);
        if self.word.load(Ordering::Relaxed) == POKED {
            // A notice may come in between, and stays.
            let _ = self.word.compare_exchange(POKED, QUEUED, Ordering::Relaxed, Ordering::Relaxed);
        }
        woken
    }

    /// Lets a thread that sleeps, or is about to, look around without a notice.
    pub(crate) fn poke(&self) {
        if self.word.compare_exchange(QUEUED, POKED, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.word.handle().wake(1, Scope::Private);
        }
    }

    /// Replaces the waker. Inside the gate; what it returns is to be dropped outside, being foreign code.
    #[must_use]
    pub(crate) fn replace_waker(&self, waker: Option<Waker>, home: Owner) -> Option<Waker> {
        self.home.set(home);
        self.waker.replace(waker)
    }
}

/// What a list shows of a waiter.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// For whom it waits.
    pub owner: Owner,
    /// The primitive's own remark about it.
    pub mode: u32,
    /// Whether it has been overtaken for longer than [`clock::starvation_limit`], and can run: what is handed
    /// over to a task whose loop's thread is blocked would be lost on it.
    pub starving: bool,
}

/// Those who wait, first come first. Stands behind a gate.
pub struct WaiterList {
    head: *const Waiter,
    tail: *const Waiter,
    /// How many of them are threads, or at least not known to be polled on one.
    threads: u32,
    /// What happened to those who waited, for whoever keeps the list.
    pub counters: Counters,
}

/// Events of the slow path since the list was made; they wrap at 2³².
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls that had to wait.
    pub waits: u32,
    /// Waits that ended because what was waited for was handed over, not merely offered.
    pub handovers: u32,
    /// Waits that were given up: timed out, cancelled or interrupted.
    pub withdrawals: u32,
}

impl Counters {
    const NONE: Self = Self { waits: 0, handovers: 0, withdrawals: 0 };
}

// SAFETY: the pointers are only followed inside the gate that owns the list, one thread at a time; what
// they point to is kept alive by its waiter, which leaves the list inside the same gate before it ends.
unsafe impl Send for WaiterList {}

impl Default for WaiterList {
    fn default() -> Self {
        Self::new()
    }
}

impl WaiterList {
    /// Nobody waits.
    pub const fn new() -> Self {
        Self { head: ptr::null(), tail: ptr::null(), threads: 0, counters: Counters::NONE }
    }

    /// Whether nobody waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// Whether at least two wait.
    pub fn has_second(&self) -> bool {
        !ptr::eq(self.head, self.tail)
    }

    /// How many wait. Walks the list.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Who is next.
    #[inline]
    pub fn front(&self) -> Option<Waiting> {
        // Asking for the time costs as much as all else here, so only where somebody waits.
        if self.is_empty() { None } else { self.iter().next() }
    }

    /// Those who wait, first come first.
    pub fn iter(&self) -> impl Iterator<Item = Waiting> {
        let now = clock::now();
        let mut next = self.head;
        std::iter::from_fn(move || {
            // SAFETY: the list is borrowed, so this is inside its gate, and linked waiters are alive.
            let waiter = unsafe { next.as_ref() }?;
            next = waiter.next.get();
            let starving = now.saturating_sub(waiter.since.get()) >= clock::starvation_limit();
            Some(Waiting {
                owner: waiter.owner,
                mode: waiter.mode,
                starving: starving && !graph::is_blocked(waiter.home.get()),
            })
        })
    }

    /// Forgets everybody, without looking at them: they belong to a process that is not this one.
    pub fn forget(&mut self) {
        *self = Self { counters: self.counters, ..Self::new() };
    }

    /// Tells the first to look again. False when nobody waits.
    ///
    /// Where the first is a task, the first thread is told too. A task runs only when its loop's thread does,
    /// and that thread may be about to block for something that the thread in line holds: then the offer would
    /// lie with one who can't take it, and the others would sleep on.
    pub fn wake_first(&mut self, wakes: &mut Wakes) -> bool {
        let Some(home) = self.notify_first(WOKEN, wakes) else { return false };
        if home.is_somebody() && !self.is_empty() && (self.threads > 0 || graph::is_blocked(home)) {
            self.wake_another(wakes);
        }
        true
    }

    /// Tells the first thread, which can run whatever loops do; where none waits, the first task that can run now.
    #[cold]
    fn wake_another(&mut self, wakes: &mut Wakes) {
        let threads_only = self.threads > 0;
        let mut next = self.head;
        // SAFETY: inside the gate, linked waiters are alive.
        while let Some(waiter) = unsafe { next.as_ref() } {
            let on = waiter.home.get();
            if !on.is_somebody() || (!threads_only && !graph::is_blocked(on)) {
                self.notify(waiter, WOKEN, wakes);
                return;
            }
            next = waiter.next.get();
        }
    }

    /// Hands over to the first, with a word of at most `u32::MAX - 4`. False when nobody waits.
    pub fn grant_first(&mut self, token: u32, wakes: &mut Wakes) -> bool {
        let Some(home) = self.notify_first(GRANTED + token, wakes) else { return false };
        if home.is_somebody() {
            // It may have blocked in this very instant. What was handed over closes a cycle then, which its
            // walk came too early to see.
            fence(Ordering::SeqCst);
            graph::poke_if_blocked(home);
        }
        true
    }

    /// Tells everybody to look again.
    pub fn wake_all(&mut self, wakes: &mut Wakes) {
        while self.wake_first(wakes) {}
    }

    /// Hands over to everybody; returns to how many.
    pub fn grant_all(&mut self, token: u32, wakes: &mut Wakes) -> usize {
        let mut count = 0;
        while self.grant_first(token, wakes) {
            count += 1;
        }
        count
    }

    /// Notifies the first; returns where it is polled, nobody for a thread.
    fn notify_first(&mut self, notice: u32, wakes: &mut Wakes) -> Option<Owner> {
        // SAFETY: inside the gate, linked waiters are alive.
        let waiter = unsafe { self.head.as_ref() }?;
        let home = waiter.home.get();
        self.notify(waiter, notice, wakes);
        Some(home)
    }

    fn notify(&mut self, waiter: &Waiter, notice: u32, wakes: &mut Wakes) {
        self.unlink(waiter);
        // Everything is taken out of the waiter before its word changes: from then on it may be gone.
        match waiter.waker.take() {
            Some(waker) => wakes.push(Wake::Task(waker)),
            None => wakes.push(Wake::Thread(waiter.word.handle())),
        }
        // Not a plain store: one who unpokes itself at the same time must see the notice, and not undo it.
        waiter.word.swap(notice, Ordering::Release);
    }

    /// Adds a waiter.
    ///
    /// # Safety
    /// Inside the gate that owns this list. `waiter` is in no list, does not move, and stays alive until it
    /// was notified or removed inside the same gate.
    pub(crate) unsafe fn insert(&mut self, waiter: &Waiter, place: Place) {
        if waiter.since.get() == 0 {
            waiter.since.set(clock::now());
        }
        waiter.word.store(QUEUED, Ordering::Relaxed);
        let (previous, next) = match place {
            Place::Back => (self.tail, ptr::null()),
            Place::Front => (ptr::null(), self.head),
            Place::AheadOfTasksOn(home) => self.ahead_of_tasks_on(home),
        };
        self.link(waiter, previous, next);
    }

    /// The gap before the first waiter that is polled on `home`; the list's end if there is none.
    fn ahead_of_tasks_on(&self, home: Owner) -> (*const Waiter, *const Waiter) {
        let mut next = self.head;
        // SAFETY: inside the gate, linked waiters are alive.
        while let Some(waiter) = unsafe { next.as_ref() } {
            if home.is_somebody() && waiter.home.get() == home {
                return (waiter.previous.get(), next);
            }
            next = waiter.next.get();
        }
        (self.tail, ptr::null())
    }

    fn link(&mut self, waiter: &Waiter, previous: *const Waiter, next: *const Waiter) {
        self.threads += u32::from(!waiter.home.get().is_somebody());
        waiter.previous.set(previous);
        waiter.next.set(next);
        // SAFETY: neighbours are linked in this list, hence alive.
        match unsafe { previous.as_ref() } {
            Some(neighbour) => neighbour.next.set(waiter),
            None => self.head = waiter,
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            Some(neighbour) => neighbour.previous.set(waiter),
            None => self.tail = waiter,
        }
    }

    /// Takes a queued waiter out. Inside the gate that owns this list.
    pub(crate) fn remove(&mut self, waiter: &Waiter) {
        self.unlink(waiter);
        waiter.word.store(IDLE, Ordering::Relaxed);
    }

    fn unlink(&mut self, waiter: &Waiter) {
        let (previous, next) = (waiter.previous.get(), waiter.next.get());
        // A primitive that shows one list for joining and another for leaving would corrupt both.
        let at_head = previous.is_null() == ptr::eq(self.head, waiter);
        let at_tail = next.is_null() == ptr::eq(self.tail, waiter);
        if !(at_head && at_tail) {
            std::process::abort();
        }
        self.threads -= u32::from(!waiter.home.get().is_somebody());
        // SAFETY: neighbours are linked in this list, hence alive.
        match unsafe { previous.as_ref() } {
            Some(neighbour) => neighbour.next.set(next),
            None => self.head = next,
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            Some(neighbour) => neighbour.previous.set(previous),
            None => self.tail = previous,
        }
    }
}

enum Wake {
    Thread(Handle),
    Task(Waker),
}

impl Wake {
    fn fire(self) {
        match self {
            Self::Thread(handle) => {
                handle.wake(1, Scope::Private);
            }
            Self::Task(waker) => waker.wake(),
        }
    }
}

/// Wake-ups that were decided inside a gate and are carried out after it was left: by [`Wakes::fire`], or
/// by dropping. Declare it before entering the gate, so that it is dropped after.
pub struct Wakes {
    /// Nearly every notification wakes one; more than that are put aside on the heap. Dropped by hand: nearly every
    /// gate is left without a notification, and then there is one thing to look at.
    first: ManuallyDrop<Option<Wake>>,
    #[expect(clippy::box_collection, reason = "a null check instead of a vector's three words")]
    more: ManuallyDrop<Option<Box<Vec<Wake>>>>,
}

impl Default for Wakes {
    fn default() -> Self {
        Self::new()
    }
}

impl Wakes {
    /// Nobody is to be woken yet.
    #[inline]
    pub const fn new() -> Self {
        Self { first: ManuallyDrop::new(None), more: ManuallyDrop::new(None) }
    }

    fn push(&mut self, wake: Wake) {
        if self.first.is_none() {
            *self.first = Some(wake);
        } else {
            self.more.get_or_insert_default().push(wake);
        }
    }

    /// Wakes them. Outside every gate: wakers are foreign code.
    #[inline]
    pub fn fire(self) {}

    #[inline(never)]
    fn fire_all(&mut self) {
        self.first.take().into_iter().for_each(Wake::fire);
        self.more.take().into_iter().flat_map(|more| *more).for_each(Wake::fire);
    }
}

impl Drop for Wakes {
    #[inline]
    fn drop(&mut self) {
        // Where there is no first one, there are no more.
        if self.first.is_some() {
            self.fire_all();
        }
    }
}
