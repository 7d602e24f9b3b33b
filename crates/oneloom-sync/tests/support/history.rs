//! Histories of concurrent calls on a queue, and whether they are linearizable: whether the calls can be put in
//! one order, in which no call comes before one that had returned when it began, so that a queue that is
//! called by one thread only would have answered the same.
//!
//! The search is Wing and Gong's: try every call that may come next, as long as the sequential queue agrees,
//! and remember which sets of done calls with which queue were a dead end.

use std::collections::{HashSet, VecDeque};
use std::fmt;

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Put the item, waiting for a place.
    Put(u32),
    /// Put the item if there is a place.
    TryPut(u32),
    /// Get an item, waiting for one.
    Get,
    /// Get an item if there is one.
    TryGet,
    /// Take no more items.
    ShutDown,
}

/// What it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is put, or shut down.
    Done,
    /// This item.
    Item(u32),
    /// No place, or no item.
    NotNow,
    /// The queue was shut down.
    Closed,
}

/// One call: two instants on a clock that all threads share, and what happened.
#[derive(Clone, Copy)]
pub struct Event {
    pub thread: usize,
    pub began: u64,
    pub ended: u64,
    pub operation: Operation,
    pub answer: Answer,
}

impl fmt::Debug for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { thread, began, ended, operation, answer } = self;
        write!(formatter, "{began:>3}..{ended:<3} thread {thread}: {operation:?} -> {answer:?}")
    }
}

/// In which order a queue gives its items out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    Fifo,
    Lifo,
}

/// When a try may be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusals {
    /// When there is nothing, or no place.
    Exact,
    /// Also while somebody else waits, who may have been promised what there is: waiters are handed
    /// permissions, so between the promise and its use an item, or a place, is neither there nor gone.
    WhileOthersWait,
}

/// A queue that is called by one thread only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sequential {
    items: VecDeque<u32>,
    maxsize: usize,
    order: Order,
    closed: bool,
}

impl Sequential {
    /// An empty queue, 0 for any number of items.
    pub fn new(order: Order, maxsize: usize) -> Self {
        Self { items: VecDeque::new(), maxsize, order, closed: false }
    }

    /// The queue after the call, if it would have answered so.
    fn after(&self, operation: Operation, answer: Answer) -> Option<Self> {
        let full = self.maxsize != 0 && self.items.len() >= self.maxsize;
        let mut next = self.clone();
        let agrees = match (operation, answer) {
            (Operation::Put(item) | Operation::TryPut(item), Answer::Done) => {
                next.items.push_back(item);
                !self.closed && !full
            }
            (Operation::Put(_) | Operation::TryPut(_), Answer::Closed) => self.closed,
            (Operation::TryPut(_), Answer::NotNow) => full && !self.closed,
            (Operation::Get | Operation::TryGet, Answer::Item(item)) => {
                let given = match self.order {
                    Order::Fifo => next.items.pop_front(),
                    Order::Lifo => next.items.pop_back(),
                };
                given == Some(item)
            }
            (Operation::Get | Operation::TryGet, Answer::Closed) => self.closed && self.items.is_empty(),
            (Operation::TryGet, Answer::NotNow) => self.items.is_empty() && !self.closed,
            (Operation::ShutDown, Answer::Done) => {
                next.closed = true;
                true
            }
            _ => false,
        };
        agrees.then_some(next)
    }
}

/// Whether the calls, at most 64 of them, can be put in an order that explains what they answered.
pub fn is_linearizable(history: &[Event], empty: &Sequential, refusals: Refusals) -> bool {
    assert!(history.len() <= 64, "the search keeps the calls that are done in one word");
    let all = if history.len() == 64 { u64::MAX } else { (1 << history.len()) - 1 };
    let mut open = vec![(0_u64, empty.clone())];
    let mut seen = HashSet::new();
    while let Some((done, queue)) = open.pop() {
        if done == all {
            return true;
        }
        let is_open = |place: &usize| done >> place & 1 == 0;
        // Whoever began after another had returned can't come before that one.
        let first_end = (0..history.len()).filter(is_open).map(|place| history[place].ended).min();
        for place in (0..history.len()).filter(is_open) {
            let event = &history[place];
            if Some(event.began) > first_end {
                continue;
            }
            let refused =
                refusals == Refusals::WhileOthersWait && is_refused_while_others_wait(event, history);
            let after = queue.after(event.operation, event.answer);
            if let Some(next) = after.or_else(|| refused.then(|| queue.clone())) {
                let reached = (done | 1 << place, next);
                if seen.insert(reached.clone()) {
                    open.push(reached);
                }
            }
        }
    }
    false
}

fn is_refused_while_others_wait(event: &Event, history: &[Event]) -> bool {
    let waits = |other: &Event| {
        matches!(
            (event.operation, other.operation),
            (Operation::TryGet, Operation::Get) | (Operation::TryPut(_), Operation::Put(_))
        )
    };
    let overlaps = |other: &Event| other.began < event.ended && event.began < other.ended;
    event.answer == Answer::NotNow && history.iter().any(|other| waits(other) && overlaps(other))
}
