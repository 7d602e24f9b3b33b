//! One futex word: a 32-bit atomic that threads can sleep on until it changes.
//!
//! `wait` sleeps only while the word holds the expected value, which the kernel checks in one step with
//! falling asleep; so a waker that first changes the word and then wakes can't be missed. Every return
//! may be spurious: callers look at the word again.
//!
//! Under a model checker the futex is emulated: in loom with a mutex and a condition variable that each word brings, in
//! shuttle with a table of who sleeps at which address, so that a word is four bytes there, too. A wait with a
//! deadline never sleeps: it lets others run and then times out, so that the checker explores both orders.

use std::ops::Deref;

use crate::atomic::AtomicU32;
use crate::clock::Deadline;

/// Who may sleep on a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Threads of this process.
    Private,
    /// Threads of any process that maps the memory.
    Shared,
}

/// Why a wait returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Woken, or the word differed, or for no reason: look at the word.
    Look,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran on this thread.
    Interrupted,
}

/// A 32-bit atomic with a place to sleep.
pub struct Word {
    value: AtomicU32,
    #[cfg(loom)]
    sleepers: crate::atomic::Arc<emulated::Sleepers>,
}

impl Deref for Word {
    type Target = AtomicU32;

    #[inline]
    fn deref(&self) -> &AtomicU32 {
        &self.value
    }
}

impl Word {
    const_unless_modelled! {
        /// A word that holds `value`.
        pub fn new(value: u32) -> Self {
            Self {
                value: AtomicU32::new(value),
                #[cfg(loom)]
                sleepers: Default::default(),
            }
        }
    }

    /// What wakes this word's sleepers. It may outlive the word: waking is then at worst a spurious wake-up
    /// of somebody else's word, which every sleeper must expect anyway.
    #[inline]
    pub fn handle(&self) -> Handle {
        Handle {
            #[cfg(not(loom))]
            address: std::ptr::from_ref(&self.value),
            #[cfg(loom)]
            sleepers: self.sleepers.clone(),
        }
    }
}

#[cfg(not(any(loom, shuttle)))]
mod native {
    use super::{Deadline, Handle, Scope, Woken, Word};
    use rustix::io::Errno;
    use rustix::thread::futex;

    fn flags(scope: Scope) -> futex::Flags {
        match scope {
            Scope::Private => futex::Flags::PRIVATE,
            Scope::Shared => futex::Flags::empty(),
        }
    }

    impl Word {
        /// Sleeps while the word holds `expected`, until woken, interrupted or `deadline`.
        pub fn wait(&self, expected: u32, deadline: Deadline, scope: Scope) -> Woken {
            let timeout = match deadline.remaining() {
                None => None,
                Some(left) if left.is_zero() => return Woken::TimedOut,
                Some(left) => Some(futex::Timespec {
                    tv_sec: left.as_secs() as i64,
                    tv_nsec: left.subsec_nanos().into(),
                }),
            };
            match futex::wait(self, flags(scope), expected, timeout.as_ref()) {
                Err(Errno::TIMEDOUT) => Woken::TimedOut,
                Err(Errno::INTR) => Woken::Interrupted,
                _ => Woken::Look,
            }
        }

        /// How many threads sleep on the word now, in whatever process. Costs a system call. If the word changes all the
        /// time, or the kernel does not tell, 0.
        pub fn sleepers(&self, scope: Scope) -> u32 {
            const ATTEMPTS: usize = 16;
            // They are moved to where they are: nobody is woken, and the kernel says how many there were.
            let count = || {
                let seen = self.load(crate::atomic::Ordering::Relaxed);
                futex::cmp_requeue(self, flags(scope), 0, i32::MAX as u32, self, seen)
            };
            let told = (0..ATTEMPTS).map(|_| count()).find(|told| *told != Err(Errno::AGAIN));
            told.and_then(Result::ok).map_or(0, |count| count as u32)
        }
    }

    impl Handle {
        /// Wakes up to `count` threads that sleep on the word; how many there were. Costs a system call: about 0.2 µs
        /// when nobody sleeps there, 1 to 30 µs when somebody does.
        pub fn wake(&self, count: u32, scope: Scope) -> u32 {
            // rustix asks for a reference here, which a word that is gone can't give.
            let operation = match scope {
                Scope::Private => libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                Scope::Shared => libc::FUTEX_WAKE,
            };
            // SAFETY: the kernel uses the address as a key only, and answers EFAULT where nothing is mapped.
            let woken = unsafe {
                libc::syscall(libc::SYS_futex, self.address, operation, count.min(i32::MAX as u32))
            };
            woken.try_into().unwrap_or(0)
        }
    }
}

/// Wakes the sleepers of one [`Word`], by address.
#[derive(Clone)]
pub struct Handle {
    #[cfg(not(loom))]
    address: *const AtomicU32,
    #[cfg(loom)]
    sleepers: crate::atomic::Arc<emulated::Sleepers>,
}

// SAFETY: the address is only ever used as a key, by the kernel or by a model.
#[cfg(not(loom))]
unsafe impl Send for Handle {}
// SAFETY: as for Send; a handle has no state of its own.
#[cfg(not(loom))]
unsafe impl Sync for Handle {}

#[cfg(loom)]
mod emulated {
    use super::{Deadline, Handle, Scope, Woken, Word, pass_time};
    use crate::atomic::{ModelCondvar, ModelMutex, Ordering};

    #[derive(Default)]
    pub struct Sleepers {
        /// How many sleep.
        lock: ModelMutex<u32>,
        changed: ModelCondvar,
    }

    impl Word {
        /// Sleeps while the word holds `expected`; with a deadline, only lets others run.
        pub fn wait(&self, expected: u32, deadline: Deadline, _scope: Scope) -> Woken {
            if deadline.is_timed() {
                return pass_time(self, expected);
            }
            let mut asleep = self.sleepers.lock.lock().unwrap();
            if self.value.load(Ordering::Relaxed) == expected {
                *asleep += 1;
                drop(self.sleepers.changed.wait(asleep).unwrap());
            }
            Woken::Look
        }
    }

    impl Handle {
        /// Wakes the threads that sleep on the word; how many there were.
        pub fn wake(&self, count: u32, _scope: Scope) -> u32 {
            let mut asleep = self.sleepers.lock.lock().unwrap();
            let woken = if count == 1 { (*asleep).min(1) } else { *asleep };
            *asleep -= woken;
            if count == 1 {
                self.sleepers.changed.notify_one();
            } else {
                self.sleepers.changed.notify_all();
            }
            woken
        }
    }
}

#[cfg(shuttle)]
mod emulated {
    use std::cell::RefCell;

    use super::{Deadline, Handle, Scope, Woken, Word, pass_time};
    use crate::atomic::interleaved::point;
    use crate::atomic::{AtomicU32, Ordering};
    use shuttle::thread::{Thread, ThreadId, current, park};

    thread_local! {
        // All threads of a model run on one thread of the system. Nobody sleeps any more when a model ends well.
        static SLEEPERS: RefCell<Vec<(*const AtomicU32, Thread)>> = const { RefCell::new(Vec::new()) };
    }

    fn sleeps(address: *const AtomicU32, id: ThreadId) -> bool {
        SLEEPERS.with_borrow(|all| all.iter().any(|(at, thread)| *at == address && thread.id() == id))
    }

    impl Word {
        /// Sleeps while the word holds `expected`; with a deadline, only lets others run.
        pub fn wait(&self, expected: u32, deadline: Deadline, _scope: Scope) -> Woken {
            if deadline.is_timed() {
                return pass_time(self, expected);
            }
            // Nobody comes in between the look and the falling asleep, as in the kernel.
            if self.value.load(Ordering::Relaxed) == expected {
                let (address, me) = (self.handle().address, current());
                let id = me.id();
                SLEEPERS.with_borrow_mut(|all| all.push((address, me)));
                while sleeps(address, id) {
                    park();
                }
            }
            Woken::Look
        }
    }

    impl Handle {
        /// Wakes up to `count` threads that sleep on the word, the first to fall asleep first; how many there were.
        pub fn wake(&self, count: u32, _scope: Scope) -> u32 {
            if !point() {
                return 0;
            }
            let mut woken = Vec::new();
            SLEEPERS.with_borrow_mut(|all| {
                all.retain(|(address, thread)| {
                    let wakes = *address == self.address && woken.len() < count as usize;
                    if wakes {
                        woken.push(thread.clone());
                    }
                    !wakes
                });
            });
            woken.iter().for_each(Thread::unpark);
            woken.len() as u32
        }
    }
}

/// A wait with a deadline, in a model: others may run meanwhile.
#[cfg(any(loom, shuttle))]
fn pass_time(word: &Word, expected: u32) -> Woken {
    crate::atomic::yield_now();
    let unchanged = word.value.load(crate::atomic::Ordering::Relaxed) == expected;
    if unchanged { Woken::TimedOut } else { Woken::Look }
}
