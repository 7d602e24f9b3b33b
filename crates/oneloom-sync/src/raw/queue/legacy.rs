//! Handing a queue over: an embedding that has its own idea of a queue takes what this one holds, and goes on in
//! its place.
//!
//! From then on this queue is one that was shut down and is empty, so nothing on the way of a put or a get looks
//! whether it was handed over: whoever is refused asks, and goes to where the items are now. That holds for those
//! who wait as well; they wake.

use oneloom_wait::waiter::Wakes;

use super::{Phase, RawQueue, Store};

/// What a queue leaves behind.
#[derive(Debug, PartialEq, Eq)]
pub struct Legacy<T> {
    /// Its items, in the order in which its store keeps them.
    pub items: Vec<T>,
    /// How many items were put and not yet reported done.
    pub unfinished: usize,
    /// Whether it had been shut down.
    pub was_shut_down: bool,
}

impl<T> Legacy<T> {
    /// The same, with these items.
    pub(crate) fn with<U>(self, items: Vec<U>) -> Legacy<U> {
        Legacy { items, unfinished: self.unfinished, was_shut_down: self.was_shut_down }
    }
}

impl<S: Store> RawQueue<S> {
    /// Gives everything up to the caller, who goes on in its place. `None` if somebody else does already.
    ///
    /// From now on puts and gets, also those that wait, end with `ShutDown`, joins end, and
    /// [`Self::is_handed_over`] tells why.
    pub fn hand_over(&self) -> Option<Legacy<S::Item>> {
        let mut wakes = Wakes::new();
        self.hand_over_quietly(&mut wakes)
    }

    /// [`Self::hand_over`], but whoever calls says when the others wake.
    pub(crate) fn hand_over_quietly(&self, wakes: &mut Wakes) -> Option<Legacy<S::Item>> {
        let mut state = self.enter_alone();
        if std::mem::replace(&mut state.handed_over, true) {
            return None;
        }
        let legacy = Legacy {
            items: std::mem::take(&mut state.store).into_items(),
            unfinished: std::mem::take(&mut state.unfinished),
            was_shut_down: state.phase == Phase::Closed,
        };
        state.phase = Phase::Closed;
        state.promised_items = 0;
        state.getters.waiters.wake_all(wakes);
        state.putters.waiters.wake_all(wakes);
        state.joiners.waiters.grant_all(0, wakes);
        Some(legacy)
    }

    /// Whether somebody else goes on in this queue's place.
    pub fn is_handed_over(&self) -> bool {
        self.state.enter().handed_over
    }
}
