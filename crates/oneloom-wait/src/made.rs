//! A place for one thing that is made when it is first wanted, and that nobody waits for.
//!
//! `OnceLock` lets others wait for whoever makes the thing; in the child of a fork that thread is not there, and they
//! would wait for ever. Here several may make one at the same time: the first to be done stays, the others are dropped.

use std::marker::PhantomData;
use std::ptr;

use crate::atomic::of_the_process::{AtomicPtr, Ordering};

/// A place for a `T`. See the module.
pub struct Made<T>(AtomicPtr<T>, PhantomData<Box<T>>);

impl<T> Made<T> {
    /// With nothing in it.
    pub const fn nothing() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()), PhantomData)
    }
}

impl<T: Send + Sync> Made<T> {
    /// What was made. Happens after its making.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        // SAFETY: null, or a box that is given back with this place alone.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// What was made, by this call if there was nothing.
    #[inline]
    pub fn get_or_make(&self, make: impl FnOnce() -> Box<T>) -> &T {
        match self.get() {
            Some(made) => made,
            None => self.keep_first(make).0,
        }
    }

    /// Puts `thing` here; false if something was here before.
    pub fn put(&self, thing: Box<T>) -> bool {
        self.keep_first(|| thing).1
    }

    /// What is here now, and whether that is what this call has made.
    #[cold]
    fn keep_first(&self, make: impl FnOnce() -> Box<T>) -> (&T, bool) {
        let made = Box::into_raw(make());
        match self.0.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: as in `get`.
            Ok(_) => (unsafe { &*made }, true),
            Err(first) => {
                // SAFETY: it comes from a box, and nobody else has seen it.
                drop(unsafe { Box::from_raw(made) });
                // SAFETY: as in `get`.
                (unsafe { &*first }, false)
            }
        }
    }
}

impl<T> Drop for Made<T> {
    fn drop(&mut self) {
        let made = *self.0.get_mut();
        if !made.is_null() {
            // SAFETY: it comes from a box, and whoever looks at it borrows this place.
            drop(unsafe { Box::from_raw(made) });
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::sync::Arc;

    use super::Made;

    #[test]
    fn who_makes_one_keeps_nobody_waiting_and_the_first_stays() {
        let (place, kept, dropped) = (Made::nothing(), Arc::new(1), Arc::new(2));
        assert_eq!(place.get(), None);
        let made = place.get_or_make(|| {
            // As another thread would, while this one is at it.
            assert_eq!(**place.get_or_make(|| Box::new(kept.clone())), 1);
            Box::new(dropped.clone())
        });
        assert_eq!(**made, 1);
        assert!(!place.put(Box::new(dropped.clone())));
        assert_eq!((Arc::strong_count(&kept), Arc::strong_count(&dropped)), (2, 1));
        drop(place);
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
