//! What a model brings in place of the process: a registry of its own, and who each of its threads is.
//!
//! A model checker runs all threads of a model on one operating-system thread and the model many times over,
//! so nothing here may outlive one run.

use std::cell::Cell;

use super::{Kind, Owner, Record, Registry, Table};
use crate::graph;

thread_local! {
    static REGISTRY: Cell<*const Registry> = const { Cell::new(std::ptr::null()) };
}

#[cfg(loom)]
loom::thread_local! {
    static CURRENT: Cell<Owner> = Cell::new(Owner::NOBODY);
}

#[cfg(shuttle)]
shuttle::thread_local! {
    static CURRENT: Cell<Owner> = Cell::new(Owner::NOBODY);
}

/// The owners of one run of a model. Outlives every thread of the model that waits.
pub struct Owners {
    registry: Box<Registry>,
    _records: Box<[Record]>,
}

impl Owners {
    /// Room for `count` owners.
    pub fn new(count: u32) -> Self {
        let records: Box<[Record]> = (0..=count).map(|_| Record::default()).collect();
        // SAFETY: the records are new, and stand in the heap as long as the registry does.
        let registry = Box::new(Registry::new(unsafe { Table::over(records.as_ptr(), count + 1) }));
        REGISTRY.set(&raw const *registry);
        Self { registry, _records: records }
    }

    /// A thread of the model, which says so itself by [`act_as`].
    pub fn thread(&self) -> Owner {
        self.take(Kind::Thread, Owner::NOBODY)
    }

    /// A task of the event loop that runs on the thread `home`.
    pub fn task(&self, home: Owner) -> Owner {
        self.take(Kind::Task, home)
    }

    fn take(&self, kind: Kind, home: Owner) -> Owner {
        let owner = self.registry.take(kind, home, 0);
        // Made here, so that the model's threads don't race to make it where the checker can't see it.
        self.registry.frame(owner);
        owner
    }

    /// The thread `owner` ends, with whatever it holds.
    pub fn end(&self, owner: Owner) {
        self.registry.retire(owner);
        graph::owner_ended(owner);
    }
}

impl Drop for Owners {
    fn drop(&mut self) {
        REGISTRY.set(std::ptr::null());
    }
}

/// Says who the calling thread of the model is.
pub fn act_as(owner: Owner) {
    CURRENT.with(|current| current.set(owner));
}

/// Who the calling thread of the model is: nobody, unless it said so.
pub fn current() -> Owner {
    CURRENT.with(Cell::get)
}

/// The running model's registry.
///
/// # Panics
/// If the model made no [`Owners`].
pub fn registry() -> &'static Registry {
    // SAFETY: null, or a registry that its `Owners` keeps.
    unsafe { REGISTRY.get().as_ref() }.expect("a model with owners makes them first")
}

/// Models have no forks.
pub fn confirm_after_fork() {}

pub(super) fn survivor_known() -> bool {
    true
}
