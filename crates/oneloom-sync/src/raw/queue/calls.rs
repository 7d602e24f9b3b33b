//! The calls of a queue that may wait: put, reserve, get and join.

use std::marker::PhantomData;

use oneloom_wait::atomic::Ordering;
use oneloom_wait::wait::Call;
use oneloom_wait::waiter::{Notice, WaiterList, Wakes};

use super::{Phase, QueueState, RawQueue, ShutDown, Store};

/// Waiting to put an item. One that ends without having put leaves the item in here.
pub struct PutCall<S: Store> {
    /// The item, until it is put.
    pub item: Option<S::Item>,
}

impl<S: Store> PutCall<S> {
    /// A call that puts `item`.
    pub fn new(item: S::Item) -> Self {
        Self { item: Some(item) }
    }

    #[inline]
    fn put(&mut self, state: &mut QueueState<S>, wakes: &mut Wakes) {
        if let Some(item) = self.item.take() {
            state.unfinished += 1;
            state.insert(item, wakes);
        }
    }
}

impl<S: Store> Call for PutCall<S> {
    type Primitive = RawQueue<S>;
    type Output = Result<(), ShutDown>;

    fn line<'s>(&self, state: &'s mut QueueState<S>) -> &'s mut WaiterList {
        &mut state.putters.waiters
    }

    fn looks_ready(&self, queue: &RawQueue<S>) -> bool {
        queue.seems_to_have_places()
    }

    #[inline]
    fn attempt(&mut self, queue: &RawQueue<S>) -> Option<Self::Output> {
        if queue.intake.is_open() && queue.intake.put(&mut self.item, &queue.length) {
            return Some(Ok(()));
        }
        let mut wakes = Wakes::new();
        let mut state = queue.enter();
        let crowded = state.crowded;
        if crowded {
            queue.shut_intake(&mut state);
        }
        if state.phase == Phase::Closed {
            return Some(Err(ShutDown));
        }
        state.has_place().then(|| {
            self.put(&mut state, &mut wakes);
            if crowded {
                queue.empty_intake(&mut state);
            }
            Ok(())
        })
    }

    fn attempt_or_enlist(
        &mut self,
        queue: &RawQueue<S>,
        state: &mut QueueState<S>,
        wakes: &mut Wakes,
    ) -> Option<Self::Output> {
        queue.shut_intake(state);
        if state.phase == Phase::Closed {
            return Some(Err(ShutDown));
        }
        if !state.has_place() {
            state.putters.count_wait();
            return None;
        }
        self.put(state, wakes);
        queue.length.store(state.store.len(), Ordering::Relaxed);
        Some(Ok(()))
    }

    fn granted(&mut self, queue: &RawQueue<S>, _token: u32) -> Option<Self::Output> {
        let mut wakes = Wakes::new();
        let mut state = queue.enter_alone();
        state.promised_places = state.promised_places.saturating_sub(1);
        if state.phase == Phase::Closed {
            return Some(Err(ShutDown));
        }
        self.put(&mut state, &mut wakes);
        Some(Ok(()))
    }

    fn withdraw(
        &mut self,
        _queue: &RawQueue<S>,
        state: &mut QueueState<S>,
        notice: Notice,
        wakes: &mut Wakes,
    ) {
        state.putters.count_withdrawal();
        withdraw_putter(state, notice, wakes);
    }
}

fn withdraw_putter<S: Store>(state: &mut QueueState<S>, notice: Notice, wakes: &mut Wakes) {
    if let Notice::Granted(_) = notice {
        state.promised_places = state.promised_places.saturating_sub(1);
    }
    if notice != Notice::Waiting && state.has_place() {
        state.offer_place(wakes);
    }
}

/// Waiting to reserve a place, which [`RawQueue::commit`] fills or [`RawQueue::abandon`] gives back.
pub struct ReserveCall<S>(PhantomData<S>);

impl<S> Default for ReserveCall<S> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<S: Store> Call for ReserveCall<S> {
    type Primitive = RawQueue<S>;
    type Output = Result<(), ShutDown>;

    fn line<'s>(&self, state: &'s mut QueueState<S>) -> &'s mut WaiterList {
        &mut state.putters.waiters
    }

    fn looks_ready(&self, queue: &RawQueue<S>) -> bool {
        queue.seems_to_have_places()
    }

    fn attempt(&mut self, queue: &RawQueue<S>) -> Option<Self::Output> {
        let mut state = queue.enter_alone();
        if state.phase == Phase::Closed {
            return Some(Err(ShutDown));
        }
        state.has_place().then(|| {
            state.promised_places += 1;
            Ok(())
        })
    }

    fn attempt_or_enlist(
        &mut self,
        queue: &RawQueue<S>,
        state: &mut QueueState<S>,
        _wakes: &mut Wakes,
    ) -> Option<Self::Output> {
        queue.shut_intake(state);
        if state.phase == Phase::Closed {
            return Some(Err(ShutDown));
        }
        if !state.has_place() {
            state.putters.count_wait();
            return None;
        }
        state.promised_places += 1;
        Some(Ok(()))
    }

    fn granted(&mut self, _queue: &RawQueue<S>, _token: u32) -> Option<Self::Output> {
        // The place is promised already; that promise is the reservation.
        Some(Ok(()))
    }

    fn withdraw(
        &mut self,
        _queue: &RawQueue<S>,
        state: &mut QueueState<S>,
        notice: Notice,
        wakes: &mut Wakes,
    ) {
        state.putters.count_withdrawal();
        withdraw_putter(state, notice, wakes);
    }
}

/// Waiting to get an item.
pub struct GetCall<S>(PhantomData<S>);

impl<S> Default for GetCall<S> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<S: Store> Call for GetCall<S> {
    type Primitive = RawQueue<S>;
    type Output = Result<S::Item, ShutDown>;

    fn line<'s>(&self, state: &'s mut QueueState<S>) -> &'s mut WaiterList {
        &mut state.getters.waiters
    }

    fn looks_ready(&self, queue: &RawQueue<S>) -> bool {
        queue.seems_to_have() > 0
    }

    #[inline]
    fn attempt(&mut self, queue: &RawQueue<S>) -> Option<Self::Output> {
        let mut wakes = Wakes::new();
        let mut state = queue.enter();
        if !state.has_item() {
            queue.empty_intake(&mut state);
        }
        get(&mut state, &mut wakes)
    }

    fn attempt_or_enlist(
        &mut self,
        queue: &RawQueue<S>,
        state: &mut QueueState<S>,
        wakes: &mut Wakes,
    ) -> Option<Self::Output> {
        queue.shut_intake(state);
        let output = get(state, wakes);
        if output.is_none() {
            state.getters.count_wait();
        }
        queue.length.store(state.store.len(), Ordering::Relaxed);
        output
    }

    fn granted(&mut self, queue: &RawQueue<S>, _token: u32) -> Option<Self::Output> {
        let mut wakes = Wakes::new();
        let mut state = queue.enter();
        state.promised_items = state.promised_items.saturating_sub(1);
        get(&mut state, &mut wakes)
    }

    fn withdraw(
        &mut self,
        _queue: &RawQueue<S>,
        state: &mut QueueState<S>,
        notice: Notice,
        wakes: &mut Wakes,
    ) {
        withdraw_getter(state, notice, wakes);
    }
}

fn withdraw_getter<S: Store>(state: &mut QueueState<S>, notice: Notice, wakes: &mut Wakes) {
    state.getters.count_withdrawal();
    if let Notice::Granted(_) = notice {
        state.promised_items = state.promised_items.saturating_sub(1);
    }
    if notice != Notice::Waiting && state.has_item() {
        state.offer_item(wakes);
    }
}

#[inline]
fn get<S: Store>(state: &mut QueueState<S>, wakes: &mut Wakes) -> Option<Result<S::Item, ShutDown>> {
    let item = if state.has_item() { state.take(wakes) } else { None };
    // Items that are promised to others don't keep a newcomer waiting after the end.
    item.map(Ok).or_else(|| (state.phase == Phase::Closed).then_some(Err(ShutDown)))
}

/// Waiting to be promised an item, which [`RawQueue::redeem`] then takes. For whom items may only leave the queue at
/// a moment of their own choice.
pub struct ClaimCall<S>(PhantomData<S>);

impl<S> Default for ClaimCall<S> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<S: Store> Call for ClaimCall<S> {
    type Primitive = RawQueue<S>;
    type Output = Result<(), ShutDown>;

    fn line<'s>(&self, state: &'s mut QueueState<S>) -> &'s mut WaiterList {
        &mut state.getters.waiters
    }

    fn looks_ready(&self, queue: &RawQueue<S>) -> bool {
        queue.seems_to_have() > 0
    }

    fn attempt(&mut self, queue: &RawQueue<S>) -> Option<Self::Output> {
        let mut state = queue.enter();
        if !state.has_item() {
            queue.empty_intake(&mut state);
        }
        claim(&mut state)
    }

    fn attempt_or_enlist(
        &mut self,
        queue: &RawQueue<S>,
        state: &mut QueueState<S>,
        _wakes: &mut Wakes,
    ) -> Option<Self::Output> {
        queue.shut_intake(state);
        let output = claim(state);
        if output.is_none() {
            state.getters.count_wait();
        }
        output
    }

    fn granted(&mut self, _queue: &RawQueue<S>, _token: u32) -> Option<Self::Output> {
        // The item is promised already.
        Some(Ok(()))
    }

    fn withdraw(
        &mut self,
        _queue: &RawQueue<S>,
        state: &mut QueueState<S>,
        notice: Notice,
        wakes: &mut Wakes,
    ) {
        withdraw_getter(state, notice, wakes);
    }
}

fn claim<S: Store>(state: &mut QueueState<S>) -> Option<Result<(), ShutDown>> {
    if state.has_item() {
        state.promised_items += 1;
        return Some(Ok(()));
    }
    (state.phase == Phase::Closed).then_some(Err(ShutDown))
}

/// Waiting until every item was reported done.
pub struct JoinCall<S>(PhantomData<S>);

impl<S> Default for JoinCall<S> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<S: Store> Call for JoinCall<S> {
    type Primitive = RawQueue<S>;
    type Output = ();
    const SPINS: bool = false;

    fn line<'s>(&self, state: &'s mut QueueState<S>) -> &'s mut WaiterList {
        &mut state.joiners.waiters
    }

    fn looks_ready(&self, _queue: &RawQueue<S>) -> bool {
        false
    }

    fn attempt(&mut self, queue: &RawQueue<S>) -> Option<()> {
        (queue.enter_alone().unfinished == 0).then_some(())
    }

    fn attempt_or_enlist(
        &mut self,
        queue: &RawQueue<S>,
        state: &mut QueueState<S>,
        _wakes: &mut Wakes,
    ) -> Option<()> {
        queue.shut_intake(state);
        if state.unfinished == 0 {
            return Some(());
        }
        state.joiners.count_wait();
        None
    }

    fn granted(&mut self, _queue: &RawQueue<S>, _token: u32) -> Option<()> {
        Some(())
    }

    fn withdraw(
        &mut self,
        _queue: &RawQueue<S>,
        state: &mut QueueState<S>,
        _notice: Notice,
        _wakes: &mut Wakes,
    ) {
        state.joiners.count_withdrawal();
    }
}
