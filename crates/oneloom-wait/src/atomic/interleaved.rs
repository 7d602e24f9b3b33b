//! The atomics of shuttle's models: the standard library's, with a point before each operation at which the model may
//! go on with another thread.
//!
//! Shuttle has atomics of its own, which do the same and no more: it explores orders of operations, never what weak
//! ordering allows. But those are larger than an integer. These have its layout, so that they can stand in memory that
//! processes share, where a model finds them by casting, as the code does.
//!
//! A thread that unwinds changes nothing any more, though all that it tries seems to succeed. That is how a model kills
//! a process: its thread unwinds from where it was, and no destructor that runs then is seen by others. Where nothing
//! was killed, a panic ends the model anyway.

use super::of_the_process as plain;
use plain::Ordering;

/// Lets the model choose who goes on; false if the calling thread is being killed.
pub(crate) fn point() -> bool {
    // What shuttle offers for this alone counts as a yield, after which others are preferred.
    static POINT: shuttle::sync::atomic::AtomicBool = shuttle::sync::atomic::AtomicBool::new(false);
    let alive = !std::thread::panicking();
    if alive {
        POINT.load(Ordering::SeqCst);
    }
    alive
}

macro_rules! atomic {
    ($name:ident, $integer:ty) => {
        /// As in the standard library, but for what this module says.
        #[derive(Debug, Default)]
        #[repr(transparent)]
        #[allow(missing_docs, reason = "as in the standard library")]
        pub struct $name(plain::$name);

        #[allow(missing_docs, reason = "as in the standard library")]
        impl $name {
            pub const fn new(value: $integer) -> Self {
                Self(plain::$name::new(value))
            }

            pub fn load(&self, _order: Ordering) -> $integer {
                point();
                self.0.load(Ordering::SeqCst)
            }

            pub fn store(&self, value: $integer, _order: Ordering) {
                if point() {
                    self.0.store(value, Ordering::SeqCst);
                }
            }

            pub fn swap(&self, value: $integer, order: Ordering) -> $integer {
                self.update(order, |_| value)
            }

            pub fn compare_exchange(
                &self,
                current: $integer,
                new: $integer,
                _success: Ordering,
                _failure: Ordering,
            ) -> Result<$integer, $integer> {
                if point() {
                    self.0.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst)
                } else {
                    Ok(current)
                }
            }

            pub fn compare_exchange_weak(
                &self,
                current: $integer,
                new: $integer,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$integer, $integer> {
                self.compare_exchange(current, new, success, failure)
            }

            /// One step, where the standard library's is a loop: `change` must be pure.
            pub fn fetch_update(
                &self,
                _set: Ordering,
                _fetch: Ordering,
                change: impl FnMut($integer) -> Option<$integer>,
            ) -> Result<$integer, $integer> {
                if point() {
                    self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change)
                } else {
                    Ok(self.0.load(Ordering::SeqCst))
                }
            }

            pub fn fetch_and(&self, value: $integer, order: Ordering) -> $integer {
                self.update(order, |seen| seen & value)
            }

            pub fn fetch_or(&self, value: $integer, order: Ordering) -> $integer {
                self.update(order, |seen| seen | value)
            }

            fn update(&self, order: Ordering, change: impl Fn($integer) -> $integer) -> $integer {
                self.fetch_update(order, order, |seen| Some(change(seen))).unwrap_or_else(|seen| seen)
            }
        }
    };
}

macro_rules! counting {
    ($name:ident, $integer:ty) => {
        #[allow(missing_docs, reason = "as in the standard library")]
        impl $name {
            pub fn fetch_add(&self, value: $integer, order: Ordering) -> $integer {
                self.update(order, |seen| seen.wrapping_add(value))
            }

            pub fn fetch_sub(&self, value: $integer, order: Ordering) -> $integer {
                self.update(order, |seen| seen.wrapping_sub(value))
            }

            pub fn fetch_max(&self, value: $integer, order: Ordering) -> $integer {
                self.update(order, |seen| seen.max(value))
            }

            pub fn fetch_min(&self, value: $integer, order: Ordering) -> $integer {
                self.update(order, |seen| seen.min(value))
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);
atomic!(AtomicUsize, usize);
counting!(AtomicU32, u32);
counting!(AtomicU64, u64);
counting!(AtomicUsize, usize);

/// A full fence: nothing, as operations are never reordered here.
pub fn fence(_order: Ordering) {}
