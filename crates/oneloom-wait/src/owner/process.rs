//! The process's own registry, and who the calling thread is: it takes a slot when it first asks, and gives
//! it back when it ends.

use std::cell::Cell;

use super::{Kind, Owner, Record, Registry, Table};
use crate::atomic::{AtomicU32, Ordering};
use crate::fork;
use crate::made::Made;

/// Slots that a process can have: 64 MiB of address space, of which only what is used costs memory.
#[cfg(not(miri))]
const CAPACITY: u32 = 1 << 20;
#[cfg(miri)]
const CAPACITY: u32 = 64;

/// This process's registry.
#[inline]
pub fn registry() -> &'static Registry {
    static REGISTRY: Made<Registry> = Made::nothing();
    REGISTRY.get_or_make(|| {
        let records = reserve(CAPACITY);
        // SAFETY: zeroed memory that is never given back: unused, it is address space alone.
        Box::new(Registry::new(unsafe { Table::over(records, CAPACITY) }))
    })
}

#[cfg(not(miri))]
fn reserve(capacity: u32) -> *const Record {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let bytes = capacity as usize * size_of::<Record>();
    // SAFETY: a fresh anonymous mapping touches no memory that anyone uses.
    let memory = unsafe {
        mmap_anonymous(
            std::ptr::null_mut(),
            bytes,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | MapFlags::NORESERVE,
        )
    };
    memory.expect("64 MiB of address space for owner slots").cast()
}

#[cfg(miri)]
fn reserve(capacity: u32) -> *const Record {
    let records: Vec<Record> = (0..capacity).map(|_| Record::default()).collect();
    records.leak().as_ptr()
}

thread_local! {
    /// This thread's owner, once it has one. Without a destructor, so that reading it is one load.
    static CURRENT: Cell<Owner> = const { Cell::new(Owner::NOBODY) };
    /// The fork generation in which `CURRENT` was last confirmed.
    static CONFIRMED: Cell<u32> = const { Cell::new(0) };
    /// Retires the slot when the thread ends.
    static LEAVING: Leaving = const { Leaving };
}

struct Leaving;

impl Drop for Leaving {
    fn drop(&mut self) {
        // Destructors that run after this one may lock again: they do so as nobody in particular.
        let owner = CURRENT.replace(Owner::NOBODY);
        if owner.is_somebody() {
            registry().retire(owner);
            crate::graph::owner_ended(owner);
        }
    }
}

/// The calling thread as an owner. One load, once the thread has a slot.
#[inline]
pub fn current() -> Owner {
    let owner = CURRENT.get();
    if owner.is_somebody() { owner } else { join_table() }
}

#[cold]
fn join_table() -> Owner {
    if LEAVING.try_with(|_| ()).is_err() {
        return Owner::NOBODY;
    }
    let owner = registry().take(Kind::Thread, Owner::NOBODY, 0);
    CURRENT.set(owner);
    CONFIRMED.set(fork::generation());
    // A child's first thread is the one that forked; where it had no slot before, there is none to adopt.
    if registry().native_thread(owner) == std::process::id() {
        SURVIVOR.store(fork::generation(), Ordering::Release);
    }
    owner
}

/// The fork generation whose surviving thread has shown itself.
static SURVIVOR: AtomicU32 = AtomicU32::new(1);

pub(super) fn survivor_known() -> bool {
    SURVIVOR.load(Ordering::Acquire) == fork::generation()
}

/// Tells, in the child of a fork, that the calling thread is the one that lives on.
///
/// Called by an embedding's fork hook; a fork that no hook sees is noticed when the survivor first waits.
pub fn confirm_after_fork() {
    let generation = fork::generation();
    if CONFIRMED.get() == generation {
        return;
    }
    let owner = current();
    if CONFIRMED.replace(generation) != generation {
        registry().adopt(owner);
        SURVIVOR.store(generation, Ordering::Release);
    }
}
