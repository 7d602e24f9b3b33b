//! The only unsafe code of this crate: data beside the lock that protects it.
//!
//! A [`Guarded`] owns its lock and shows it to nobody, so nothing outside this file can release it, and a
//! [`Hold`] is only ever made here, by whoever has just acquired it. That is the whole argument: a hold means
//! that the lock is held, for as long as the hold lives.

#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use oneloom_wait::const_unless_modelled;
use oneloom_wait::owner::{self, Owner};
use oneloom_wait::wait::Waiting;

use crate::environment;
use crate::raw::{LockCall, Name, RawMutex};
use crate::statistics::Statistics;

/// Data beside the lock `L`.
pub(crate) struct Guarded<L, T: ?Sized> {
    lock: L,
    data: UnsafeCell<T>,
}

// SAFETY: the data is reached through a hold only, and a `RawMutex` admits one hold at a time; the data
// changes threads with it, so it must be `Send`, and need not be `Sync`.
unsafe impl<T: ?Sized + Send> Sync for Guarded<RawMutex, T> {}

impl<T> Guarded<RawMutex, T> {
    const_unless_modelled! {
        pub(crate) fn new(name: Name, data: T) -> Self {
            Self { lock: RawMutex::new(name), data: UnsafeCell::new(data) }
        }
    }
}

impl<L, T: ?Sized> Guarded<L, T> {
    pub(crate) fn into_inner(self) -> T
    where
        T: Sized,
    {
        self.data.into_inner()
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }
}

impl<T: ?Sized> Guarded<RawMutex, T> {
    #[inline]
    #[track_caller]
    pub(crate) fn lock(&self) -> Hold<'_, T> {
        let owner = owner::current();
        environment::wait(&self.lock, &mut LockCall { owner, scoped: true });
        Hold::acquired(self, owner)
    }

    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Hold<'_, T>> {
        let owner = owner::current();
        self.lock.try_lock(owner, true).then(|| Hold::acquired(self, owner))
    }

    pub(crate) fn lock_timeout(&self, timeout: Duration) -> Option<Hold<'_, T>> {
        let owner = owner::current();
        environment::wait_for(&self.lock, &mut LockCall { owner, scoped: true }, timeout)
            .map(|()| Hold::acquired(self, owner))
    }

    /// As nobody in particular: what an executor's task does next can't be known, so nothing is certain.
    pub(crate) async fn lock_async(&self) -> Hold<'_, T> {
        let owner = Owner::NOBODY;
        Waiting::new(&self.lock, LockCall { owner, scoped: false }).await;
        Hold::acquired(self, owner)
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }

    pub(crate) fn holder(&self) -> Option<Owner> {
        self.lock.holder()
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.lock.given_name()
    }

    pub(crate) fn statistics(&self) -> Statistics {
        self.lock.statistics().into()
    }
}

/// That a mutex is held, and so the right to use its data. Dropping it releases the mutex.
///
/// It may change threads where the data may; a face whose holds belong to a thread adds [`OfThread`].
pub(crate) struct Hold<'a, T: ?Sized> {
    guarded: &'a Guarded<RawMutex, T>,
    owner: Owner,
    /// Sends and shares as a reference to the data would.
    _data: PhantomData<&'a mut T>,
}

impl<'a, T: ?Sized> Hold<'a, T> {
    /// The mutex beside `guarded` was just acquired for `owner`, and no other hold stands for that.
    #[inline]
    fn acquired(guarded: &'a Guarded<RawMutex, T>, owner: Owner) -> Self {
        Self { guarded, owner, _data: PhantomData }
    }
}

impl<T: ?Sized> Deref for Hold<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the mutex is held while this hold lives, so only through it is the data reached, and
        // `self` is borrowed for as long as the reference lives.
        unsafe { &*self.guarded.data.get() }
    }
}

impl<T: ?Sized> DerefMut for Hold<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`, and `self` is borrowed exclusively.
        unsafe { &mut *self.guarded.data.get() }
    }
}

impl<T: ?Sized> Drop for Hold<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let owner = self.owner;
        // It is held, and by this owner: there is no error to meet.
        let _ = self.guarded.lock.release(|| owner);
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Hold<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

/// Ties what contains it to the thread that made it; a reference to it may still be shared.
pub(crate) type OfThread = PhantomData<std::sync::MutexGuard<'static, ()>>;
