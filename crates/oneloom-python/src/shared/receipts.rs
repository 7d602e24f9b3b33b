//! Which items this process has to acknowledge, and who took them: the look-up table behind `task_done`.
//!
//! Each item is kept with the right to acknowledge it, so that `task_done(item)` finds it by what it is, whatever happens to
//! other references. Nothing of this outlives the process: what the table forgets by a death is what is given to others.

use std::collections::VecDeque;

use oneloom_shm::flow::AnyQueue;
use oneloom_shm::queue::{Queue, Receipt};
use oneloom_wait::gate::{AfterFork, Gate};
use pyo3::prelude::*;

/// An item and the right to acknowledge it.
pub type Entry = (Receipt, Py<PyAny>);

/// What one thread or task took from one queue, the oldest first.
struct Taken {
    queue: (u64, u64),
    owner: u64,
    entries: VecDeque<Entry>,
}

struct Table(Vec<Taken>);

impl AfterFork for Table {
    fn after_fork(&mut self, _torn: bool) {
        // The parent's: this process has taken nothing yet.
        std::mem::forget(std::mem::take(&mut self.0));
    }
}

static TABLE: Gate<Table> = Gate::new(Table(Vec::new()));

/// A queue, by whatever handle.
fn name(queue: &Queue) -> (u64, u64) {
    (queue.segment().family(), queue.object().number())
}

/// Remembers what was taken. Only a receiver that has items is in the table.
pub fn add(queue: &Queue, owner: u64, entries: Vec<Entry>) {
    let queue = name(queue);
    let mut table = TABLE.enter();
    match table.0.iter_mut().find(|taken| taken.queue == queue && taken.owner == owner) {
        Some(taken) => taken.entries.extend(entries),
        None if entries.is_empty() => {}
        None => table.0.push(Taken { queue, owner, entries: entries.into() }),
    }
}

/// Forgets the first of those that `chosen` chooses of what was taken from a queue, and gives it.
fn remove(queue: &Queue, owner: impl Fn(u64) -> bool, chosen: impl Fn(&Entry) -> bool) -> Option<Entry> {
    let queue = name(queue);
    let mut table = TABLE.enter();
    let mut places =
        table.0.iter().enumerate().filter(|(_, taken)| taken.queue == queue && owner(taken.owner));
    let (group, at) =
        places.find_map(|(group, taken)| Some((group, taken.entries.iter().position(&chosen)?)))?;
    let entries = &mut table.0[group].entries;
    let entry = entries.remove(at);
    if entries.is_empty() {
        table.0.swap_remove(group);
    }
    entry
}

/// The oldest item that `owner` has.
pub fn oldest(queue: &Queue, owner: u64) -> Option<Entry> {
    remove(queue, |of| of == owner, |_| true)
}

/// The oldest entry of this very object, the owner's own before those of others.
pub fn of(queue: &Queue, owner: u64, item: &Bound<'_, PyAny>) -> Option<Entry> {
    let this = |entry: &Entry| entry.1.as_ptr() == item.as_ptr();
    remove(queue, |of| of == owner, this).or_else(|| remove(queue, |of| of != owner, this))
}
