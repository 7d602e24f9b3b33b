//! A number that changes when the process is forked, at the price of one load.
//!
//! The number stands on a page that the kernel wipes in the child of a fork (`MADV_WIPEONFORK`), so that
//! forks that bypass every library hook are told too. Asking for the process id instead costs 150 ns.

/// This process's fork generation: 1 in a process that was not forked since oneloom started, one more in
/// each child of a child. Never 0.
#[cfg(not(any(loom, shuttle, miri)))]
pub use wiped::generation;

/// Models have no forks.
#[cfg(any(loom, shuttle, miri))]
pub fn generation() -> u32 {
    1
}

#[cfg(not(any(loom, shuttle, miri)))]
mod wiped {
    use std::ptr;

    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

    use crate::atomic::of_the_process::{AtomicPtr, AtomicU32, Ordering};

    const PAGE: usize = 4096;

    /// The word on the wiped page; null until the first call.
    static WIPED: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
    /// The last generation seen, in memory that a fork copies.
    static LAST: AtomicU32 = AtomicU32::new(1);

    /// See [`crate::fork::generation`].
    #[inline]
    pub fn generation() -> u32 {
        let word = WIPED.load(Ordering::Acquire);
        if !word.is_null() {
            // SAFETY: the pointer is null or a page that is never unmapped.
            let generation = unsafe { &*word }.load(Ordering::Relaxed);
            if generation != 0 {
                return generation;
            }
        }
        renew(word)
    }

    #[cold]
    fn renew(word: *mut AtomicU32) -> u32 {
        if word.is_null() {
            map_page();
            return generation();
        }
        // The first thread of the child to come here numbers the child; the others read its number.
        let next = LAST.load(Ordering::Relaxed).wrapping_add(1).max(1);
        // SAFETY: as in `generation`.
        match unsafe { &*word }.compare_exchange(0, next, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                LAST.store(next, Ordering::Relaxed);
                next
            }
            Err(generation) => generation,
        }
    }

    fn map_page() {
        // SAFETY: a fresh anonymous mapping touches no memory that anyone uses.
        let page = unsafe {
            mmap_anonymous(ptr::null_mut(), PAGE, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        }
        .expect("one page of memory for the fork generation");
        // SAFETY: the range is the mapping just made.
        unsafe { madvise(page, PAGE, Advice::LinuxWipeOnFork) }
            .expect("a kernel that wipes pages on fork (Linux 4.14 or newer)");
        let word = page.cast::<AtomicU32>();
        // SAFETY: mapped, zeroed and aligned to a page.
        unsafe { &*word }.store(LAST.load(Ordering::Relaxed), Ordering::Relaxed);
        let published = WIPED.compare_exchange(ptr::null_mut(), word, Ordering::AcqRel, Ordering::Acquire);
        if published.is_err() {
            // SAFETY: another thread published its page first; nobody has seen this one.
            let _ = unsafe { munmap(page, PAGE) };
        }
    }
}
