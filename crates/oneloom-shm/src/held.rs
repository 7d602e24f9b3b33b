//! What this process holds, and the forks that share it with children.
//!
//! An item that was taken is held until its last user here lets go. Around a fork nobody takes hold of anything or lets
//! go: what is held then is shared before ([`crate::holding`]), and the child has its record when it begins.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;

use oneloom_wait::atomic::{AtomicBool, Ordering};
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

thread_local! {
    /// The fork that this thread is about to make. Never dropped, so that it is there until the thread has ended.
    static FORKING: RefCell<ManuallyDrop<Option<Forking>>> = const { RefCell::new(ManuallyDrop::new(None)) };
}

impl Forking {
    fn begin() -> Self {
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
        Self { _inside: inside, expected }
    }
}

extern "C" fn before_fork() {
    FORKING.with_borrow_mut(|forking| {
        // The handlers may be registered twice.
        if forking.is_none() {
            **forking = Some(Forking::begin());
        }
    });
}

extern "C" fn after_fork_in_parent() {
    drop(FORKING.with_borrow_mut(|forking| forking.take()));
}

extern "C" fn after_fork_in_child() {
    let forking = FORKING.with_borrow_mut(|forking| forking.take());
    forking.into_iter().flat_map(|forking| forking.expected).for_each(Unborn::is_born);
}

fn heed_forks() {
    // Not a `Once`, for which the child of a fork could wait for ever: two threads may register at the same time.
    static HEEDED: AtomicBool = AtomicBool::new(false);
    if !HEEDED.load(Ordering::Acquire) {
        register();
        HEEDED.store(true, Ordering::Release);
    }
}

fn register() {
    // SAFETY: before a fork the handlers may do anything, and after it the memory of the process is whole.
    unsafe {
        libc::pthread_atfork(Some(before_fork), Some(after_fork_in_parent), Some(after_fork_in_child));
    }
}

// ThreadSanitizer does not survive a fork.
#[cfg(all(test, not(any(loom, shuttle, miri, oneloom_tsan))))]
mod tests {
    use super::*;
    use crate::arena::{self, Kind};
    use crate::segment::Segment;

    #[test]
    fn handlers_that_two_threads_have_registered_share_with_a_child_once() {
        const BYTES: [u8; 5000] = [7; 5000];
        let segment = Segment::create(0).expect("a segment");
        let me = segment.me().expect("a place");
        let payload = Payload::copy_of(segment, me, &BYTES, 0).expect("memory");
        register();
        register();
        let held = Held::new(payload);
        // SAFETY: the child only lets go of what it holds, and leaves.
        match unsafe { libc::fork() } {
            -1 => panic!("no fork"),
            0 => {
                let whole = held.bytes() == Ok(&BYTES);
                drop(held);
                // SAFETY: ends this process.
                unsafe { libc::_exit(if whole { 0 } else { 1 }) }
            }
            child => {
                let mut status = -1;
                // SAFETY: writes to a local variable.
                assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                assert_eq!(status, 0);
                assert_eq!(held.bytes(), Ok(&BYTES[..]));
                drop(held);
                arena::sweep(segment, me).expect("a sound segment");
                for kind in [Kind::Payload, Kind::Holding] {
                    assert_eq!(arena::in_use(segment, kind).count(), 0, "{kind:?} is left behind");
                }
            }
        }
    }
}
