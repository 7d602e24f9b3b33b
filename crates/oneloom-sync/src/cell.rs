//! The only unsafe code of this crate: data beside the lock that protects it, and the one-shot cell's slot.
//!
//! A [`Guarded`] owns its lock and shows it to nobody, so nothing outside this file can release it, and a
//! [`Hold`] is only ever made here, by whoever has just acquired it. That is the whole argument: a hold means
//! that the lock is held, for as long as the hold lives.

#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use oneloom_wait::const_unless_modelled;
use oneloom_wait::owner::{self, Owner};
use oneloom_wait::wait::Waiting;

use crate::environment;
use crate::raw::{DoneCall, LockCall, Name, RawMutex, RawOnce, RawReentrantMutex, ReentrantLockCall};
use crate::statistics::Statistics;

/// Data beside the lock `L`.
pub(crate) struct Guarded<L, T: ?Sized> {
    lock: L,
    data: UnsafeCell<T>,
}

// SAFETY: the data is reached through a hold only, and a `RawMutex` admits one hold at a time; the data
// changes threads with it, so it must be `Send`, and need not be `Sync`.
unsafe impl<T: ?Sized + Send> Sync for Guarded<RawMutex, T> {}
// SAFETY: a `RawReentrantMutex` admits several holds, all of one thread or one of a task; they only give shared
// references, so that the data still changes threads as a whole: `Send`.
unsafe impl<T: ?Sized + Send> Sync for Guarded<RawReentrantMutex, T> {}

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

impl<T> Guarded<RawMutex, T> {
    const_unless_modelled! {
        pub(crate) fn new(name: Name, data: T) -> Self {
            Self { lock: RawMutex::new(name), data: UnsafeCell::new(data) }
        }
    }
}

impl<T: ?Sized> Guarded<RawMutex, T> {
    #[inline]
    #[track_caller]
    pub(crate) fn lock(&self) -> Hold<'_, RawMutex, T, OfThread> {
        let owner = owner::current();
        environment::wait(&self.lock, &mut LockCall { owner, scoped: true });
        Hold::acquired(self, owner)
    }

    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Hold<'_, RawMutex, T, OfThread>> {
        let owner = owner::current();
        self.lock.try_lock(owner, true).then(|| Hold::acquired(self, owner))
    }

    pub(crate) fn lock_timeout(&self, timeout: Duration) -> Option<Hold<'_, RawMutex, T, OfThread>> {
        let owner = owner::current();
        environment::wait_for(&self.lock, &mut LockCall { owner, scoped: true }, timeout)
            .map(|()| Hold::acquired(self, owner))
    }

    /// As nobody in particular: what an executor's task does next can't be known, so nothing is certain.
    pub(crate) async fn lock_async(&self) -> Hold<'_, RawMutex, T, OfTask> {
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

impl<T> Guarded<RawReentrantMutex, T> {
    const_unless_modelled! {
        pub(crate) fn new_reentrant(name: Name, data: T) -> Self {
            Self { lock: RawReentrantMutex::new(name), data: UnsafeCell::new(data) }
        }
    }
}

impl<T: ?Sized> Guarded<RawReentrantMutex, T> {
    #[inline]
    #[track_caller]
    pub(crate) fn lock(&self) -> Hold<'_, RawReentrantMutex, T, OfThread> {
        let owner = owner::current();
        environment::wait(&self.lock, &mut ReentrantLockCall::new(owner));
        Hold::acquired(self, owner)
    }

    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Hold<'_, RawReentrantMutex, T, OfThread>> {
        let owner = owner::current();
        self.lock.try_lock(owner).then(|| Hold::acquired(self, owner))
    }

    pub(crate) fn lock_timeout(&self, timeout: Duration) -> Option<Hold<'_, RawReentrantMutex, T, OfThread>> {
        let owner = owner::current();
        environment::wait_for(&self.lock, &mut ReentrantLockCall::new(owner), timeout)
            .map(|()| Hold::acquired(self, owner))
    }

    /// As nobody in particular, who never takes it again: there is one hold, and it may change threads.
    pub(crate) async fn lock_async(&self) -> Hold<'_, RawReentrantMutex, T, OfTask> {
        let owner = Owner::NOBODY;
        Waiting::new(&self.lock, ReentrantLockCall::new(owner)).await;
        Hold::acquired(self, owner)
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }

    pub(crate) fn holder(&self) -> Option<Owner> {
        self.lock.holder()
    }

    /// How often the calling thread holds it.
    pub(crate) fn depth(&self) -> u64 {
        self.lock.recursion_count(owner::current())
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.lock.given_name()
    }

    pub(crate) fn statistics(&self) -> Statistics {
        self.lock.statistics().into()
    }
}

/// A hold that belongs to the thread that took it, and stays there; a reference to it may still be shared.
pub(crate) type OfThread = PhantomData<std::sync::MutexGuard<'static, ()>>;
/// A hold that belongs to an async task, and moves between threads with it.
pub(crate) type OfTask = PhantomData<()>;

/// A lock that a hold can stand for.
pub(crate) trait Release {
    /// Undoes one acquisition by `owner`.
    fn release(&self, owner: Owner);
}

impl Release for RawMutex {
    #[inline]
    fn release(&self, owner: Owner) {
        // It is held, and by this owner: there is no error to meet.
        let _ = self.release(|| owner);
    }
}

impl Release for RawReentrantMutex {
    #[inline]
    fn release(&self, owner: Owner) {
        // As above.
        let _ = self.release(owner);
    }
}

/// That a lock is held, and so the right to use its data. Dropping it releases the lock.
pub(crate) struct Hold<'a, L: Release, T: ?Sized, Whose> {
    guarded: &'a Guarded<L, T>,
    owner: Owner,
    /// May be sent and shared where a reference to the data and `Whose` may.
    _may: PhantomData<(&'a mut T, Whose)>,
}

impl<'a, L: Release, T: ?Sized, Whose> Hold<'a, L, T, Whose> {
    /// The lock of `guarded` was just acquired for `owner`, and no other hold stands for that.
    #[inline]
    fn acquired(guarded: &'a Guarded<L, T>, owner: Owner) -> Self {
        Self { guarded, owner, _may: PhantomData }
    }
}

impl<L: Release, T: ?Sized, Whose> Deref for Hold<'_, L, T, Whose> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the lock is held while this hold lives. A mutex has no second hold, so only through this one
        // is the data reached; a reentrant mutex has others on this thread only, and those share it as well.
        unsafe { &*self.guarded.data.get() }
    }
}

impl<T: ?Sized, Whose> DerefMut for Hold<'_, RawMutex, T, Whose> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: a mutex has one hold, this one, and it is borrowed exclusively.
        unsafe { &mut *self.guarded.data.get() }
    }
}

impl<L: Release, T: ?Sized, Whose> Drop for Hold<'_, L, T, Whose> {
    #[inline]
    fn drop(&mut self) {
        self.guarded.lock.release(self.owner);
    }
}

/// A hold that may be let go of for a while and is then taken again: a wait for a condition.
pub(crate) struct Interval<'a, T: ?Sized, Whose> {
    /// Dropped by hand: only while it stands for a held mutex.
    hold: ManuallyDrop<Hold<'a, RawMutex, T, Whose>>,
    held: bool,
}

impl<'a, T: ?Sized, Whose> Interval<'a, T, Whose> {
    pub(crate) fn new(hold: Hold<'a, RawMutex, T, Whose>) -> Self {
        Self { hold: ManuallyDrop::new(hold), held: true }
    }

    /// Releases the mutex. True, for whoever wants to know that it worked.
    pub(crate) fn let_go(&mut self) -> bool {
        if std::mem::take(&mut self.held) {
            Release::release(&self.hold.guarded.lock, self.hold.owner);
        }
        true
    }

    fn call(&self) -> LockCall {
        LockCall { owner: self.hold.owner, scoped: self.hold.owner.is_somebody() }
    }

    /// The hold as it was. The mutex is held.
    fn restored(self) -> Hold<'a, RawMutex, T, Whose> {
        let interval = ManuallyDrop::new(self);
        Hold::acquired(interval.hold.guarded, interval.hold.owner)
    }
}

impl<'a, T: ?Sized> Interval<'a, T, OfThread> {
    /// Takes the mutex again.
    #[track_caller]
    pub(crate) fn retake(self) -> Hold<'a, RawMutex, T, OfThread> {
        if !self.held {
            environment::wait(&self.hold.guarded.lock, &mut self.call());
        }
        self.restored()
    }

    /// Takes the mutex again without ever panicking.
    pub(crate) fn retake_patiently(self) -> Hold<'a, RawMutex, T, OfThread> {
        if !self.held {
            environment::wait_patiently(&self.hold.guarded.lock, &mut self.call());
        }
        self.restored()
    }
}

impl<'a, T: ?Sized> Interval<'a, T, OfTask> {
    /// Takes the mutex again.
    pub(crate) async fn retake(self) -> Hold<'a, RawMutex, T, OfTask> {
        if !self.held {
            Waiting::new(&self.hold.guarded.lock, self.call()).await;
        }
        self.restored()
    }
}

impl<T: ?Sized, Whose> Drop for Interval<'_, T, Whose> {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// A value that is written once, and then shared.
pub(crate) struct Slot<T> {
    once: RawOnce,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: one thread writes the value, before the slot is done; any thread reads it, after. So the value changes
// threads (`Send`) and is then shared between them (`Sync`).
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

impl<T> Slot<T> {
    const_unless_modelled! {
        pub(crate) fn new(name: Name) -> Self {
            Self { once: RawOnce::new(name, "OneShot"), value: UnsafeCell::new(None) }
        }
    }

    /// Writes the value, and lets everybody go on who waits for it. Gives it back if there is one already.
    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        if !self.once.begin() {
            return Err(value);
        }
        // SAFETY: the claim is given out once, and nobody reads before `finish`.
        unsafe { *self.value.get() = Some(value) };
        self.once.finish();
        Ok(())
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        if !self.once.is_done() {
            return None;
        }
        // SAFETY: only `set` finishes, after it has written; nobody writes again while the slot is shared.
        unsafe { &*self.value.get() }.as_ref()
    }

    pub(crate) fn wait(&self) -> &T {
        environment::wait(&self.once, &mut DoneCall::default());
        self.written()
    }

    pub(crate) fn wait_timeout(&self, timeout: Duration) -> Option<&T> {
        environment::wait_for(&self.once, &mut DoneCall::default(), timeout)?;
        self.get()
    }

    pub(crate) async fn wait_async(&self) -> &T {
        Waiting::new(&self.once, DoneCall::default()).await;
        self.written()
    }

    fn written(&self) -> &T {
        self.get().expect("what is done was written")
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut().as_mut()
    }

    pub(crate) fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.once.given_name()
    }

    pub(crate) fn statistics(&self) -> Statistics {
        self.once.statistics().into()
    }
}
