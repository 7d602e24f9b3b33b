//! What this process holds, and the forks that share it with children.
//!
//! An item that was taken is held until its last user here lets go. Around a fork nobody takes hold of anything or lets
//! go: what is held then is shared before ([`crate::holding`]), and the child has its record when it begins.

use std::cell::UnsafeCell;
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::sync::Once;

use oneloom_wait::gate::{AfterFork, Gate, Inside};

use crate::arena::Block;
use crate::error::Error;
use crate::holding::{keep, release, share};
use crate::payload::Payload;
use crate::unborn::Unborn;

/// What this process holds, by place.
struct All(BTreeMap<(usize, u64), Block>);

impl AfterFork for All {
    fn after_fork(&mut self, torn: bool) {
        if torn {
            // The fork ran no handlers. What was held is nobody's here.
            std::mem::forget(std::mem::take(&mut self.0));
        }
    }
}

static ALL: Gate<All> = Gate::new(All(BTreeMap::new()));

/// An item that this process holds, and children of forks meanwhile as well: its bytes stand as long as any of them
/// does. Dropping it lets go.
pub struct Held {
    payload: ManuallyDrop<Payload>,
}

impl Held {
    /// Holds what was taken.
    pub fn new(payload: Payload) -> Self {
        heed_forks();
        let block = payload.place().0;
        ALL.enter().0.insert(key(block), block);
        Self { payload: ManuallyDrop::new(payload) }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    pub fn bytes(&self) -> Result<&[u8], Error> {
        self.payload.bytes()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let block = self.payload.place().0;
        // First this: from then on no fork shares it.
        ALL.enter().0.remove(&key(block));
        // What can't be given back is swept when this process has ended.
        let _ = release(block);
    }
}

fn key(block: Block) -> (usize, u64) {
    (std::ptr::from_ref(block.segment) as usize, block.reference.0)
}

/// A fork under way: nobody here takes hold of anything or lets go meanwhile. So the gate stays shut while other
/// libraries' handlers run, too, none of which has a reason to wait for somebody who does either.
struct Forking {
    _inside: Inside<'static, All>,
    expected: Vec<Unborn>,
}

/// For the thread that forks, which alone is inside `ALL`.
struct Place(UnsafeCell<Option<Forking>>);

// SAFETY: used by whoever is inside `ALL` alone.
unsafe impl Sync for Place {}

static FORKING: Place = Place(UnsafeCell::new(None));

extern "C" fn before_fork() {
    let inside = ALL.enter();
    let mut expected = Vec::new();
    let mut rest: Vec<_> = inside.0.values().copied().collect();
    while let Some(segment) = rest.first().map(|block| block.segment) {
        let (blocks, others) = rest.into_iter().partition(|block| std::ptr::eq(block.segment, segment));
        rest = others;
        match share(segment, &blocks) {
            Ok(child) => expected.push(child),
            // Memory on the heap is copied by the fork.
            Err(_) if segment.descriptor().is_none() => {}
            Err(_) => keep(segment, &blocks),
        }
    }
    // SAFETY: this thread is inside, and stays there.
    unsafe { *FORKING.0.get() = Some(Forking { _inside: inside, expected }) };
}

extern "C" fn after_fork_in_parent() {
    // SAFETY: this thread is inside since before the fork.
    drop(unsafe { (*FORKING.0.get()).take() });
}

extern "C" fn after_fork_in_child() {
    // SAFETY: the only thread there is, and inside since before the fork.
    let forking = unsafe { (*FORKING.0.get()).take() };
    forking.into_iter().flat_map(|forking| forking.expected).for_each(Unborn::is_born);
}

fn heed_forks() {
    static REGISTERED: Once = Once::new();
    // SAFETY: before a fork the handlers may do anything, and after it the memory of the process is whole.
    REGISTERED.call_once(|| unsafe {
        libc::pthread_atfork(Some(before_fork), Some(after_fork_in_parent), Some(after_fork_in_child));
    });
}
