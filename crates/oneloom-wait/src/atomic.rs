//! Where every atomic of the workspace comes from, so that loom or shuttle can replace them all.
//!
//! Code outside this module never names `std::sync::atomic`. `--cfg loom` chooses that model checker's types, `--cfg
//! shuttle` those of `interleaved`; `--cfg oneloom_tsan` keeps the standard ones but turns fences into
//! read-modify-writes, because ThreadSanitizer does not model fences.

#[cfg(loom)]
pub use loom::{
    cell::{MutPtr, UnsafeCell},
    hint::spin_loop,
    sync::{
        Arc, Condvar as ModelCondvar, Mutex as ModelMutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread::yield_now,
};

#[cfg(shuttle)]
pub mod interleaved;
#[cfg(shuttle)]
pub use {
    interleaved::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, fence},
    shuttle::{hint::spin_loop, sync::Arc, thread::yield_now},
    std::sync::atomic::Ordering,
};

#[cfg(not(any(loom, shuttle)))]
pub use std::{
    hint::spin_loop,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    thread::yield_now,
};

/// For what belongs to the process and outlives every model: always the standard library's, and made at compile
/// time.
pub(crate) mod of_the_process {
    #[cfg(shuttle)]
    pub use std::sync::atomic::{AtomicBool, AtomicUsize};
    pub use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
}

/// A full fence.
#[cfg(not(any(loom, shuttle, oneloom_tsan)))]
#[inline]
pub fn fence(order: Ordering) {
    std::sync::atomic::fence(order);
}

/// A full fence as ThreadSanitizer can see it: a read-modify-write on one word that all fences share.
#[cfg(all(oneloom_tsan, not(any(loom, shuttle))))]
pub fn fence(_order: Ordering) {
    static SHARED: AtomicU32 = AtomicU32::new(0);
    SHARED.fetch_add(1, Ordering::SeqCst);
}

#[cfg(not(loom))]
mod plain_cell {
    /// `std`'s cell under loom's interface: the pointer is borrowed through a guard, which loom checks.
    #[repr(transparent)]
    pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// A cell that holds `value`.
        pub const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// A pointer for exclusive access; whoever dereferences it must have that access.
        #[inline]
        pub fn get_mut(&self) -> MutPtr<T> {
            MutPtr(self.0.get())
        }
    }

    /// An exclusive pointer into an [`UnsafeCell`].
    pub struct MutPtr<T>(*mut T);

    impl<T> MutPtr<T> {
        /// The value.
        ///
        /// # Safety
        /// The caller has exclusive access to the cell while the reference lives.
        #[inline]
        #[expect(clippy::mut_from_ref, reason = "the shape of loom's MutPtr, which checks it")]
        pub unsafe fn deref(&self) -> &mut T {
            // SAFETY: exclusive by this function's contract; the pointer comes from a live cell.
            unsafe { &mut *self.0 }
        }
    }
}
#[cfg(not(loom))]
pub use plain_cell::{MutPtr, UnsafeCell};

/// Defines a constructor that is `const`, except under loom, whose atomics have no const constructor.
#[macro_export]
macro_rules! const_unless_modelled {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($parameter:ident: $kind:ty),* $(,)?) -> $result:ty $body:block) => {
        $(#[$attribute])*
        #[cfg(not(any(loom, shuttle)))]
        $visibility const fn $name($($parameter: $kind),*) -> $result $body

        $(#[$attribute])*
        #[cfg(any(loom, shuttle))]
        $visibility fn $name($($parameter: $kind),*) -> $result $body
    };
}
