//! The queue as a state machine: items, those who want one, those who have one too many, and the tally of
//! unfinished work, all behind one gate.
//!
//! Waiters get permission, not items: a put offers the item to the first getter in line, and a running thread
//! may be faster. A getter that has been overtaken for a millisecond is promised one item instead, which
//! nobody else takes; likewise a putter and a free place. A promise that is not used passes on.
//!
//! Where threads meet at that gate, puts get a gate of their own; see `intake`.
//!
//! Putting releases and getting acquires: what a producer did before its put happens before what a consumer
//! does after its get of that item.

mod calls;
mod intake;
mod legacy;
mod store;

use std::sync::OnceLock;

use oneloom_wait::atomic::{AtomicUsize, Ordering};
use oneloom_wait::gate::{AfterFork, Gate, Inside};
use oneloom_wait::graph::Resource;
use oneloom_wait::wait::Primitive;
use oneloom_wait::waiter::Wakes;

use super::line::{Counters, Line, Name};

pub use calls::{ClaimCall, GetCall, JoinCall, PutCall, ReserveCall};
pub use legacy::Legacy;
pub use store::{Fifo, Lifo, Store};

use intake::Intake;

/// Whether a queue still takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It does.
    Open,
    /// It only gives what is left.
    Closed,
}

/// What stands behind a queue's gate.
pub struct QueueState<S> {
    store: S,
    getters: Line,
    putters: Line,
    joiners: Line,
    /// Items that stand in the store and are promised to getters: handed over, or claimed by a get in two steps.
    promised_items: usize,
    /// Free places that are promised to putters: handed over, or reserved by a put in two steps.
    promised_places: usize,
    unfinished: usize,
    maxsize: usize,
    phase: Phase,
    /// Whether somebody else goes on in its place; it is closed and empty then.
    handed_over: bool,
    /// Whether threads have met at the gate: only then is the intake worth its own. Never goes back.
    crowded: bool,
}

impl<S: Store> AfterFork for QueueState<S> {
    fn after_fork(&mut self, torn: bool) {
        for line in [&mut self.getters, &mut self.putters, &mut self.joiners] {
            line.waiters.forget();
        }
        self.promised_items = 0;
        self.promised_places = 0;
        if torn {
            // Half-changed: neither read nor dropped.
            std::mem::forget(std::mem::take(&mut self.store));
            self.unfinished = 0;
        }
    }
}

impl<S: Store> QueueState<S> {
    fn has_item(&self) -> bool {
        self.store.len() > self.promised_items
    }

    /// While the intake is shut.
    fn has_place(&self) -> bool {
        self.maxsize == 0 || self.store.len() + self.promised_places < self.maxsize
    }

    /// For how many items there may be room while the intake is open; 0: it must be shut.
    #[inline]
    fn room(&self) -> usize {
        let somebody_waits = !(self.getters.waiters.is_empty() && self.putters.waiters.is_empty());
        if !S::IN_ORDER || !self.crowded || somebody_waits || self.phase == Phase::Closed {
            return 0;
        }
        match self.maxsize {
            0 => usize::MAX,
            // One item is no batch.
            1 => 0,
            maxsize => maxsize.saturating_sub(self.promised_places),
        }
    }

    /// An item is there that nobody was told of: tells the first getter.
    fn offer_item(&mut self, wakes: &mut Wakes) {
        match self.getters.waiters.front() {
            None => {}
            Some(first) if first.starving => {
                self.promised_items += 1;
                self.getters.grant_first(0, wakes);
            }
            Some(_) => _ = self.getters.waiters.wake_first(wakes),
        }
    }

    /// A place is free that nobody was told of: tells the first putter.
    fn offer_place(&mut self, wakes: &mut Wakes) {
        match self.putters.waiters.front() {
            None => {}
            Some(first) if first.starving => {
                self.promised_places += 1;
                self.putters.grant_first(0, wakes);
            }
            Some(_) => _ = self.putters.waiters.wake_first(wakes),
        }
    }

    #[inline]
    fn insert(&mut self, item: S::Item, wakes: &mut Wakes) {
        self.store.push(item);
        self.offer_item(wakes);
    }

    fn take(&mut self, wakes: &mut Wakes) -> Option<S::Item> {
        let item = self.store.pop()?;
        if self.maxsize != 0 && !self.putters.waiters.is_empty() && self.has_place() {
            self.offer_place(wakes);
        }
        Some(item)
    }
}

/// A queue.
pub struct RawQueue<S: Store> {
    state: Gate<QueueState<S>>,
    /// How many items the store holds; written inside the gate. Read by who puts into the intake, and as a hint.
    length: AtomicUsize,
    /// Given once: at once, or by an embedding whose objects are named after they are made.
    name: OnceLock<Name>,
    /// Outside the gate for those who only look; changed inside.
    maxsize: AtomicUsize,
    intake: Intake<S>,
}

/// The queue was shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutDown;

/// [`RawQueue::task_done`] was called more often than there were items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyDone;

/// Who waits at a queue now, and what happened on its slow paths.
#[derive(Clone, Copy, Debug)]
pub struct QueueStatistics {
    /// Calls that wait for an item.
    pub waiting_getters: usize,
    /// Calls that wait for a free place.
    pub waiting_putters: usize,
    /// Calls that wait for all work to be done.
    pub waiting_joiners: usize,
    /// What happened to getters.
    pub gets: Counters,
    /// What happened to putters.
    pub puts: Counters,
}

impl<S: Store> RawQueue<S> {
    /// An empty queue for up to `maxsize` items, 0 for any number.
    pub fn new(maxsize: usize, name: Name) -> Self {
        let state = QueueState {
            store: S::default(),
            getters: Line::new(),
            putters: Line::new(),
            joiners: Line::new(),
            promised_items: 0,
            promised_places: 0,
            unfinished: 0,
            maxsize,
            phase: Phase::Open,
            handed_over: false,
            crowded: cfg!(any(loom, shuttle)), // Models begin where it gets difficult.
        };
        let queue = Self {
            state: Gate::new(state),
            length: AtomicUsize::new(0),
            name: OnceLock::new(),
            maxsize: AtomicUsize::new(maxsize),
            intake: Intake::new(),
        };
        queue.set_name(name);
        queue
    }

    /// Enters, and notes the length when it leaves. What was put into the intake is not in the store.
    #[inline]
    fn enter(&self) -> Changing<'_, S> {
        let mut state = self.state.enter();
        if state.found_shut() {
            state.crowded = true;
        }
        Changing { state, length: &self.length }
    }

    /// Enters, and finds every item in the store and the intake shut.
    #[inline]
    fn enter_alone(&self) -> Changing<'_, S> {
        let mut state = self.enter();
        self.shut_intake(&mut state);
        state
    }

    #[cold]
    fn shut_intake(&self, state: &mut QueueState<S>) {
        if self.intake.is_open() {
            state.unfinished += self.intake.collect(&mut state.store, &self.length, 0);
        }
    }

    /// Takes over what was put into the intake, and opens it if it may be open.
    #[cold]
    fn empty_intake(&self, state: &mut QueueState<S>) {
        let room = state.room();
        if room > 0 || self.intake.is_open() {
            state.unfinished += self.intake.collect(&mut state.store, &self.length, room);
        }
    }

    /// How many items there are now.
    pub fn len(&self) -> usize {
        self.enter_alone().store.len()
    }

    /// Whether there is no item now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items a look from outside the gates finds; items on their way to the store may be missed.
    fn seems_to_have(&self) -> usize {
        self.length.load(Ordering::Relaxed) + self.intake.len()
    }

    /// Up to how many items it takes, 0 for any number.
    pub fn maxsize(&self) -> usize {
        self.maxsize.load(Ordering::Relaxed)
    }

    /// Changes up to how many items it takes. Items beyond that stay; new places are offered to those who wait.
    pub fn set_maxsize(&self, maxsize: usize) {
        let mut wakes = Wakes::new();
        let mut state = self.enter_alone();
        state.maxsize = maxsize;
        self.maxsize.store(maxsize, Ordering::Relaxed);
        // As many offers as there are places and waiters; each woken one looks for itself.
        let mut places = if maxsize == 0 { usize::MAX } else { maxsize.saturating_sub(state.store.len()) };
        while places > 0 && state.has_place() && !state.putters.waiters.is_empty() {
            state.offer_place(&mut wakes);
            places -= 1;
        }
    }

    /// Whether it pays to try a put, for who has found the queue full: where one in eight places is free, one look
    /// at the other end is enough for several puts. Who has looked long enough tries in any case.
    fn seems_to_have_places(&self) -> bool {
        let maxsize = self.maxsize();
        maxsize == 0 || self.seems_to_have() < maxsize - maxsize / 8
    }

    /// How many items were put and not yet reported done.
    pub fn unfinished(&self) -> usize {
        self.enter_alone().unfinished
    }

    /// Whether it was shut down.
    pub fn is_shut_down(&self) -> bool {
        self.state.enter().phase == Phase::Closed
    }

    /// The name it was given.
    pub fn given_name(&self) -> Option<&str> {
        self.name.get().and_then(Name::get)
    }

    /// Names the queue, if it has no name yet.
    pub fn set_name(&self, name: Name) {
        if name.get().is_some() {
            // A second name is refused: reports may know it by the first already.
            let _ = self.name.set(name);
        }
    }

    /// Reports one item as done.
    ///
    /// # Errors
    /// If every item was already.
    pub fn task_done(&self) -> Result<(), TooManyDone> {
        let mut wakes = Wakes::new();
        let mut state = self.enter();
        if state.unfinished <= 1 {
            // The last one, as far as is known here.
            self.empty_intake(&mut state);
        }
        state.unfinished = state.unfinished.checked_sub(1).ok_or(TooManyDone)?;
        if state.unfinished == 0 {
            state.joiners.waiters.grant_all(0, &mut wakes);
        }
        Ok(())
    }

    /// Refuses further puts. With `immediate`, items that nobody took are given back, to be dropped by the
    /// caller, and count as done.
    pub fn shut_down(&self, immediate: bool) -> Vec<S::Item> {
        let mut wakes = Wakes::new();
        self.shut_down_quietly(immediate, &mut wakes)
    }

    /// [`Self::shut_down`], but whoever calls says when the others wake.
    pub(crate) fn shut_down_quietly(&self, immediate: bool, wakes: &mut Wakes) -> Vec<S::Item> {
        let mut left = Vec::new();
        let mut state = self.enter_alone();
        state.phase = Phase::Closed;
        if immediate {
            while let Some(item) = state.store.pop() {
                left.push(item);
            }
            state.promised_items = 0;
            state.unfinished = state.unfinished.saturating_sub(left.len());
            if state.unfinished == 0 {
                state.joiners.waiters.grant_all(0, wakes);
            }
        }
        state.getters.waiters.wake_all(wakes);
        state.putters.waiters.wake_all(wakes);
        left
    }

    /// Finishes a put in two steps: fills the place that [`ReserveCall`] reserved.
    pub fn commit(&self, item: S::Item) {
        let mut wakes = Wakes::new();
        self.commit_quietly(item, &mut wakes);
    }

    /// [`Self::commit`], but whoever calls says when the others wake.
    pub(crate) fn commit_quietly(&self, item: S::Item, wakes: &mut Wakes) {
        let mut state = self.enter_alone();
        state.promised_places = state.promised_places.saturating_sub(1);
        state.unfinished += 1;
        state.insert(item, wakes);
    }

    /// Gives a reserved place back.
    pub fn abandon(&self) {
        let mut wakes = Wakes::new();
        self.abandon_quietly(&mut wakes);
    }

    /// [`Self::abandon`], but whoever calls says when the others wake.
    pub(crate) fn abandon_quietly(&self, wakes: &mut Wakes) {
        let mut state = self.enter_alone();
        state.promised_places = state.promised_places.saturating_sub(1);
        if state.has_place() {
            state.offer_place(wakes);
        }
    }

    /// Finishes a get in two steps: takes the item that [`ClaimCall`] was promised. `None` if it is gone: dropped by a
    /// shutdown, or with everything else to whom the queue was handed over.
    pub fn redeem(&self) -> Option<S::Item> {
        let mut wakes = Wakes::new();
        let mut state = self.enter();
        state.promised_items = state.promised_items.saturating_sub(1);
        state.take(&mut wakes)
    }

    /// Undoes a get: the item is there again, even beyond `maxsize`.
    pub fn put_back(&self, item: S::Item) {
        let mut wakes = Wakes::new();
        self.put_back_quietly(item, &mut wakes);
    }

    /// [`Self::put_back`], but whoever calls says when the others wake.
    pub(crate) fn put_back_quietly(&self, item: S::Item, wakes: &mut Wakes) {
        self.enter_alone().insert(item, wakes);
    }

    /// Shows every item, inside the gate: `look` must not call anything that might come back here. For
    /// garbage collectors.
    pub fn for_each(&self, mut look: impl FnMut(&S::Item)) {
        self.enter_alone().store.for_each(&mut look);
    }

    /// Takes every item out without telling anybody, for a collector that breaks a cycle of garbage.
    pub fn clear(&self) -> Vec<S::Item> {
        let mut state = self.enter_alone();
        std::iter::from_fn(|| state.store.pop()).collect()
    }

    /// Who waits now, and what happened on the slow paths.
    pub fn statistics(&self) -> QueueStatistics {
        let state = self.state.enter();
        QueueStatistics {
            waiting_getters: state.getters.waiters.len(),
            waiting_putters: state.putters.waiters.len(),
            waiting_joiners: state.joiners.waiters.len(),
            gets: state.getters.waiters.counters,
            puts: state.putters.waiters.counters,
        }
    }
}

/// The inside of the gate for those who change what is in the store.
struct Changing<'a, S: Store> {
    state: Inside<'a, QueueState<S>>,
    length: &'a AtomicUsize,
}

impl<S: Store> std::ops::Deref for Changing<'_, S> {
    type Target = QueueState<S>;
    #[inline]
    fn deref(&self) -> &QueueState<S> {
        &self.state
    }
}

impl<S: Store> std::ops::DerefMut for Changing<'_, S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut QueueState<S> {
        &mut self.state
    }
}

impl<S: Store> Drop for Changing<'_, S> {
    #[inline]
    fn drop(&mut self) {
        self.length.store(self.state.store.len(), Ordering::Relaxed);
    }
}

impl<S: Store> Resource for RawQueue<S> {
    fn kind(&self) -> &'static str {
        S::KIND
    }

    fn name(&self) -> Option<&str> {
        self.given_name()
    }
}

impl<S: Store> Primitive for RawQueue<S> {
    type State = QueueState<S>;

    fn gate(&self) -> &Gate<QueueState<S>> {
        &self.state
    }
}
