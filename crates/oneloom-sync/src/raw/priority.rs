//! The priority queue in two parts: a queue that only counts, and a heap that only one may compare in.
//!
//! Comparing items is foreign code: it may take long, fail, panic, or call the same queue again. So nothing is
//! compared inside a gate. Who waits, places, shut-down and unfinished work are the business of the *flow*, a
//! [`RawQueue`] of nothing but tokens. The heap is taken out from behind its gate by whoever holds the queue's
//! *order*, a mutex that knows its holder: others wait for it, and the holder itself is refused
//! ([`Reentered`]).
//!
//! | | first | then, with the order | and where comparing fails |
//! |---|---|---|---|
//! | put | reserve a place in the flow ([`ReserveCall`]) | [`Sorting::put`]: push, commit a token | the place is given back |
//! | get | get a token from the flow ([`GetCall`]) | [`Sorting::get`]: pop | the token is put back |
//! | shut down | | [`Sorting::shut_down`] | |
//! | hand over | | [`Sorting::hand_over`] | |
//!
//! The order is had by a [`SortCall`] and then [`RawPriorityQueue::sorting`]. A put that can't have it abandons
//! its place ([`RawQueue::abandon`]), a get puts its token back ([`RawQueue::put_back`]).
//!
//! A token enters the flow after its item has entered the heap, and leaves before; so whoever has a token finds
//! an item: the least of those that are there by then.
//!
//! [`ReserveCall`]: super::queue::ReserveCall
//! [`GetCall`]: super::queue::GetCall

use oneloom_wait::gate::{AfterFork, Gate};
use oneloom_wait::graph::{Hold, Resource};
use oneloom_wait::owner::{self, Owner, Standing};
use oneloom_wait::wait::{Call, Primitive};
use oneloom_wait::waiter::{Notice, WaiterList, Wakes};

use super::heap::Heap;
use super::line::{Line, Name};
use super::mutex::{LockCall, RawMutex};
use super::queue::{Legacy, RawQueue, Store};

/// Tokens, all alike.
#[derive(Default)]
pub struct Count(usize);

impl Store for Count {
    type Item = ();
    const KIND: &'static str = "PriorityQueue";

    fn push(&mut self, _token: ()) {
        self.0 += 1;
    }

    fn pop(&mut self) -> Option<()> {
        self.0 = self.0.checked_sub(1)?;
        Some(())
    }

    fn for_each(&self, look: &mut dyn FnMut(&())) {
        (0..self.0).for_each(|_| look(&()));
    }

    fn len(&self) -> usize {
        self.0
    }
}

/// The heap, unless somebody is sorting in it.
struct Shelf<T>(Option<Heap<T>>);

impl<T> AfterFork for Shelf<T> {
    fn after_fork(&mut self, torn: bool) {
        if torn {
            // Half-changed: neither read nor dropped.
            std::mem::forget(self.0.replace(Heap::new()));
        }
    }
}

/// A priority queue.
pub struct RawPriorityQueue<T> {
    flow: RawQueue<Count>,
    order: RawMutex,
    shelf: Gate<Shelf<T>>,
}

/// The caller is comparing items of this very queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reentered;

/// Why an item was not put; it is given back.
#[derive(Debug, PartialEq, Eq)]
pub enum Unput<T, E> {
    /// The queue was shut down.
    ShutDown(T),
    /// A comparison failed.
    Compare(T, E),
}

impl<T: Send> RawPriorityQueue<T> {
    /// An empty queue for up to `maxsize` items, 0 for any number.
    pub fn new(maxsize: usize, name: Name) -> Self {
        let order = RawMutex::of_kind(Name::NONE, &"order of a PriorityQueue");
        let shelf = Gate::new(Shelf(Some(Heap::new())));
        Self { flow: RawQueue::new(maxsize, name), order, shelf }
    }

    /// Who waits, how many items there are, what is unfinished. Its shut-down is [`Sorting::shut_down`].
    pub fn flow(&self) -> &RawQueue<Count> {
        &self.flow
    }

    /// Begins to sort, if nobody does. `None`: somebody else does, wait with a [`SortCall`].
    ///
    /// # Errors
    /// If `owner` is sorting already.
    pub fn try_sort(&self, owner: Owner) -> Result<Option<Sorting<'_, T>>, Reentered> {
        match self.claim(owner) {
            Some(Ok(())) => Ok(self.sorting(owner)),
            Some(Err(reentered)) => Err(reentered),
            None => Ok(None),
        }
    }

    /// Begins to sort, after a [`SortCall`] for `owner` has succeeded; `None` if none has.
    pub fn sorting(&self, owner: Owner) -> Option<Sorting<'_, T>> {
        if self.order.holder() != Some(owner) {
            return None;
        }
        let heap = self.shelf.enter().0.take()?;
        Some(Sorting { queue: self, heap, owner, owed: Owed::Nothing, wakes: Wakes::new() })
    }

    /// Gives the order back unused, after a [`SortCall`] for `owner` has succeeded.
    pub fn pass_on(&self, owner: Owner) {
        let _ = self.order.release(|| owner);
    }

    #[inline]
    fn claim(&self, owner: Owner) -> Option<Result<(), Reentered>> {
        if self.order.try_lock(owner, true) { Some(Ok(())) } else { self.claim_from(owner) }
    }

    #[cold]
    fn claim_from(&self, owner: Owner) -> Option<Result<(), Reentered>> {
        let holder = self.order.holder()?;
        if holder == owner && owner.is_somebody() {
            return Some(Err(Reentered));
        }
        owner::confirm_after_fork();
        if owner::registry().standing(holder) != Standing::Ended || !self.order.inherit(holder, owner) {
            return None;
        }
        self.begin_anew();
        Some(Ok(()))
    }

    /// Makes tokens and items agree again after somebody stayed behind in a fork's parent while sorting: what
    /// that one had in hand is not here.
    fn begin_anew(&self) {
        let items = self.shelf.enter().0.get_or_insert_default().len();
        let lost = self.flow.clear().len().saturating_sub(items);
        for _ in 0..items {
            self.flow.put_back(());
        }
        for _ in 0..lost {
            let _ = self.flow.task_done();
        }
    }

    /// Shows every item, inside a gate: `look` must not call anything that might come back here. Shows none
    /// while somebody is sorting. For garbage collectors.
    pub fn for_each(&self, look: impl FnMut(&T)) {
        if let Some(heap) = &self.shelf.enter().0 {
            heap.items().iter().for_each(look);
        }
    }

    /// Takes every item out without telling anybody, for a collector that breaks a cycle of garbage.
    pub fn clear(&self) -> Vec<T> {
        let heap = self.shelf.enter().0.as_mut().map(std::mem::take);
        self.flow.clear();
        heap.map_or(Vec::new(), |mut heap| heap.shed(usize::MAX))
    }
}

impl<T: Send> Resource for RawPriorityQueue<T> {
    fn kind(&self) -> &'static str {
        self.order.kind()
    }

    fn name(&self) -> Option<&str> {
        self.flow.given_name()
    }

    fn hold(&self) -> Option<Hold> {
        self.order.hold()
    }
}

impl<T: Send> Primitive for RawPriorityQueue<T> {
    type State = Line;

    fn gate(&self) -> &Gate<Line> {
        self.order.gate()
    }
}

/// What the one who sorts owes the flow if it ends now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owed {
    Nothing,
    /// A reserved place.
    Place,
    /// A token.
    Token,
}

/// The right to compare items of a [`RawPriorityQueue`]; dropping it lets the next one sort.
pub struct Sorting<'a, T: Send> {
    queue: &'a RawPriorityQueue<T>,
    heap: Heap<T>,
    owner: Owner,
    owed: Owed,
    /// Fired last of all, when the order is somebody else's.
    wakes: Wakes,
}

impl<T: Send> Sorting<'_, T> {
    /// Puts an item in the place that was reserved.
    ///
    /// # Errors
    /// Why not, with the item; the place is given back then.
    pub fn put<E>(
        &mut self,
        item: T,
        less: impl FnMut(&T, &T) -> Result<bool, E>,
    ) -> Result<(), Unput<T, E>> {
        self.settle(Owed::Place);
        // Shutting down needs the order too, so this stays true until the item is there.
        if self.queue.flow.is_shut_down() {
            self.settle(Owed::Nothing);
            return Err(Unput::ShutDown(item));
        }
        let pushed = self.heap.push(item, less);
        match pushed {
            Ok(()) => {
                self.owed = Owed::Nothing;
                self.queue.flow.commit_quietly((), &mut self.wakes);
                Ok(())
            }
            Err((item, error)) => {
                self.settle(Owed::Nothing);
                Err(Unput::Compare(item, error))
            }
        }
    }

    /// Takes the least item for a token that was got. `None` if it is gone: to a garbage collector.
    ///
    /// # Errors
    /// What the comparison says; the token is put back then.
    pub fn get<E>(&mut self, less: impl FnMut(&T, &T) -> Result<bool, E>) -> Result<Option<T>, E> {
        self.settle(Owed::Token);
        let popped = self.heap.pop(less);
        if popped.is_ok() {
            self.owed = Owed::Nothing;
        }
        self.settle(Owed::Nothing);
        popped
    }

    /// Refuses further puts. With `immediate`, items that nobody took are given back, to be dropped by the
    /// caller once this guard is gone, and count as done.
    pub fn shut_down(&mut self, immediate: bool) -> Vec<T> {
        let tokens = self.queue.flow.shut_down_quietly(immediate, &mut self.wakes);
        self.heap.shed(tokens.len())
    }

    /// Gives everything up to somebody who goes on in this queue's place, as [`RawQueue::hand_over`] does; the
    /// items in the order of the heap. A put that has a place already is refused, a get that has a token finds
    /// nothing.
    pub fn hand_over(&mut self) -> Option<Legacy<T>> {
        let legacy = self.queue.flow.hand_over_quietly(&mut self.wakes)?;
        Some(legacy.with(self.heap.shed(usize::MAX)))
    }

    /// Pays what is owed, by a comparison that failed or panicked, and then owes `next`.
    fn settle(&mut self, next: Owed) {
        match std::mem::replace(&mut self.owed, next) {
            Owed::Nothing => {}
            Owed::Place => self.queue.flow.abandon_quietly(&mut self.wakes),
            Owed::Token => self.queue.flow.put_back_quietly((), &mut self.wakes),
        }
    }
}

impl<T: Send> Drop for Sorting<'_, T> {
    fn drop(&mut self) {
        self.settle(Owed::Nothing);
        let heap = std::mem::take(&mut self.heap);
        self.queue.shelf.enter().0 = Some(heap);
        let _ = self.queue.order.release(|| self.owner);
    }
}

/// Waiting for the right to sort. Where it succeeds, [`RawPriorityQueue::sorting`] must follow, or
/// [`RawPriorityQueue::pass_on`].
pub struct SortCall<T> {
    /// Who is going to sort: who runs now, for it sorts at once.
    pub owner: Owner,
    _items: std::marker::PhantomData<fn(T)>,
}

impl<T> SortCall<T> {
    /// A call for `owner`.
    pub fn new(owner: Owner) -> Self {
        Self { owner, _items: std::marker::PhantomData }
    }

    fn inner(&self) -> LockCall {
        LockCall { owner: self.owner, scoped: true }
    }
}

impl<T: Send> Call for SortCall<T> {
    type Primitive = RawPriorityQueue<T>;
    type Output = Result<(), Reentered>;

    fn line<'s>(&self, state: &'s mut Line) -> &'s mut WaiterList {
        &mut state.waiters
    }

    fn owner(&self) -> Owner {
        self.owner
    }

    fn mode(&self) -> u32 {
        self.inner().mode()
    }

    fn looks_ready(&self, queue: &RawPriorityQueue<T>) -> bool {
        !queue.order.is_locked()
    }

    #[inline]
    fn attempt(&mut self, queue: &RawPriorityQueue<T>) -> Option<Self::Output> {
        queue.claim(self.owner)
    }

    fn attempt_or_enlist(
        &mut self,
        queue: &RawPriorityQueue<T>,
        line: &mut Line,
        wakes: &mut Wakes,
    ) -> Option<Self::Output> {
        self.inner().attempt_or_enlist(&queue.order, line, wakes).map(Ok)
    }

    fn granted(&mut self, queue: &RawPriorityQueue<T>, token: u32) -> Option<Self::Output> {
        self.inner().granted(&queue.order, token).map(Ok)
    }

    fn withdraw(&mut self, queue: &RawPriorityQueue<T>, line: &mut Line, notice: Notice, wakes: &mut Wakes) {
        self.inner().withdraw(&queue.order, line, notice, wakes);
    }
}
