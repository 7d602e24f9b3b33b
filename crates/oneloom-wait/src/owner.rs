//! Who can own and wait: slots with generations for threads and tasks.
//!
//! An [`Owner`] names a slot and the generation in which it was taken, so that a name never comes to mean
//! somebody else. Slots are plain [`Record`]s in a [`Table`] over memory that is given: no pointers, sizes
//! and offsets fixed, so that another process can read who waits for what. What only this process can use
//! (the object that is waited for, the word to wake) stands beside the table, each behind a gate.
//!
//! A record's fields and who writes them:
//!
//! | field | writer |
//! |---|---|
//! | `generation`, `kind` | whoever takes or retires the slot |
//! | `native_thread`, `home`, `tag`, `process` | the owner itself, before it first waits |
//! | `wait_*` | the owner itself, inside its own gate; `wait_sequence` changes with every change |

use crate::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::fork;
use crate::gate::{AfterFork, Gate};
use crate::graph::{Verdict, WaitFrame};
use crate::made::Made;

/// A thread or a task, by slot and generation. 56 bits: it fits a lock word beside 8 flags.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner(u64);

impl std::fmt::Debug for Owner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Owner({}.{})", self.index(), self.generation())
    }
}

impl Owner {
    /// Nobody in particular: a future on an executor that has no tasks we know, or a full table.
    pub const NOBODY: Self = Self(0);
    const INDEX_BITS: u32 = 24;
    /// How many bits of [`Owner::short`] are the slot's place: enough for a process's own table.
    const SHORT_INDEX: u32 = 20;
    const SHORT_GENERATION: u32 = 10;

    fn new(index: u32, generation: u32) -> Self {
        Self(u64::from(generation) << Self::INDEX_BITS | u64::from(index))
    }

    /// As 56 bits.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// From what [`Owner::to_bits`] gave.
    #[inline]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// As 30 bits, which nobody shares who lives at the same time: the slot, and the lowest bits of its generation.
    #[inline]
    pub const fn short(self) -> u32 {
        (self.0 as u32 & ((1 << Self::SHORT_INDEX) - 1))
            | (self.generation() & ((1 << Self::SHORT_GENERATION) - 1)) << Self::SHORT_INDEX
    }

    /// The slot's place in its table.
    pub const fn index(self) -> u32 {
        self.0 as u32 & ((1 << Self::INDEX_BITS) - 1)
    }

    const fn generation(self) -> u32 {
        (self.0 >> Self::INDEX_BITS) as u32
    }

    /// Whether it names anybody.
    pub const fn is_somebody(self) -> bool {
        self.0 != 0
    }
}

/// What kind of owner has a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// The slot is free.
    Free = 0,
    /// An operating-system thread.
    Thread = 1,
    /// A task of an event loop.
    Task = 2,
}

impl Kind {
    fn from_bits(bits: u32) -> Self {
        match bits {
            1 => Self::Thread,
            2 => Self::Task,
            _ => Self::Free,
        }
    }
}

/// Whether an owner can still release what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It can.
    Alive,
    /// It has ended, or stayed behind in the parent of a fork.
    Ended,
    /// Not known: nobody in particular, or a fork whose surviving thread has not shown itself yet.
    Unknown,
}

/// What kind of wait a [`Record`] shows, in bits.
pub mod flag {
    /// The wait has a deadline.
    pub const TIMED: u32 = 1;
    /// A task awaits; it can be cancelled from outside.
    pub const AWAITS: u32 = 1 << 1;
    /// The main thread waits at exit for other threads.
    pub const AT_EXIT: u32 = 1 << 2;
    /// The thread that waits runs an event loop further down its stack.
    pub const ON_LOOP: u32 = 1 << 3;
    /// What is waited for is shared with other processes.
    pub const SHARED: u32 = 1 << 4;
    /// The waiter may be ended by what other processes can't see: a handler of signals, the end of its process.
    pub const MAY_END: u32 = 1 << 5;
    /// The process ends when the waiter does.
    pub const MAIN_THREAD: u32 = 1 << 6;
    /// It waits for something to do: what never comes is missed by nobody.
    pub const IDLE: u32 = 1 << 7;
}

/// One slot, 64 bytes, the same in every process that maps the table.
#[repr(C, align(64))]
#[derive(Default)]
pub struct Record {
    generation: AtomicU32,
    kind: AtomicU32,
    /// The fork generation of the process that took the slot.
    process: AtomicU32,
    native_thread: AtomicU32,
    /// A task's thread: the owner that runs its loop.
    home: AtomicU64,
    /// What the embedding program knows the owner by.
    tag: AtomicU64,
    wait_sequence: AtomicU64,
    /// What is waited for, 0 for nothing.
    wait_resource: AtomicU64,
    wait_since: AtomicU64,
    wait_flags: AtomicU32,
    _reserved: AtomicU32,
}

#[cfg(not(any(loom, shuttle)))]
const _: () = assert!(size_of::<Record>() == 64);

/// Slots over memory that is given.
pub struct Table {
    records: *const Record,
    capacity: u32,
}

// SAFETY: records are atomics in memory that outlives the table.
unsafe impl Send for Table {}
// SAFETY: as for Send.
unsafe impl Sync for Table {}

impl Table {
    /// A table over `capacity` records that start at `records`.
    ///
    /// # Safety
    /// The memory is zeroed or holds such a table already, is aligned as [`Record`] is, and stays mapped
    /// as long as the table.
    pub unsafe fn over(records: *const Record, capacity: u32) -> Self {
        Self { records, capacity: capacity.min(1 << Owner::INDEX_BITS) }
    }

    fn record(&self, index: u32) -> Option<&Record> {
        // SAFETY: in bounds, by `over`'s contract.
        (index < self.capacity).then(|| unsafe { &*self.records.add(index as usize) })
    }

    /// The record of `owner`, if the slot is still its own.
    fn of(&self, owner: Owner) -> Option<&Record> {
        self.record(owner.index())
            .filter(|record| record.generation.load(Ordering::Acquire) == owner.generation())
            .filter(|record| record.kind.load(Ordering::Acquire) != Kind::Free as u32)
    }
}

/// The wait fields of a record at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaitFields {
    pub sequence: u64,
    pub flags: u32,
    pub since: u64,
}

/// Free slots.
struct Free {
    fresh: u32,
    returned: Vec<u32>,
}

impl AfterFork for Free {
    fn after_fork(&mut self, torn: bool) {
        if torn {
            // The vector may be half-changed: leave it to leak; its slots are never used again.
            std::mem::forget(std::mem::take(&mut self.returned));
        }
    }
}

/// How many places beside the table are made at a time.
const CHUNK: usize = if cfg!(any(loom, shuttle)) { 4 } else { 256 };
type Frames = [Gate<WaitFrame>; CHUNK];

/// On the heap from the start: they are many.
fn make_frames() -> Box<Frames> {
    let frames: Box<[_]> = (0..CHUNK).map(|_| Gate::new(WaitFrame::new())).collect();
    frames.try_into().unwrap_or_else(|_| unreachable!("there are as many as in a chunk"))
}

/// A table with what only this process can use of it.
pub struct Registry {
    table: Table,
    free: Gate<Free>,
    /// Each is made when somebody needs one of its places.
    beside: Box<[Made<Frames>]>,
    /// How many waits are published: lets an ending owner know that nobody can wait for it.
    pub(crate) published: AtomicU32,
    /// Who is inside decides about cycles; no two do so at once.
    pub(crate) verdict: Gate<Verdict>,
}

impl Registry {
    /// A registry over `table`, which nobody else takes slots from.
    pub fn new(table: Table) -> Self {
        let chunks = (table.capacity as usize).div_ceil(CHUNK);
        Self {
            table,
            // Slot 0 is nobody's.
            free: Gate::new(Free { fresh: 1, returned: Vec::new() }),
            beside: (0..chunks).map(|_| Made::nothing()).collect(),
            published: AtomicU32::new(0),
            verdict: Gate::new(Verdict),
        }
    }

    /// Takes a slot; [`Owner::NOBODY`] when the table is full.
    pub fn take(&self, kind: Kind, home: Owner, tag: u64) -> Owner {
        let index = {
            let mut free = self.free.enter();
            match free.returned.pop() {
                Some(index) => index,
                None if free.fresh < self.table.capacity => {
                    free.fresh += 1;
                    free.fresh - 1
                }
                None => return Owner::NOBODY,
            }
        };
        let Some(record) = self.table.record(index) else { return Owner::NOBODY };
        let generation = record.generation.load(Ordering::Relaxed).wrapping_add(1).max(1);
        record.process.store(fork::generation(), Ordering::Relaxed);
        record.native_thread.store(native_thread(kind), Ordering::Relaxed);
        record.home.store(home.to_bits(), Ordering::Relaxed);
        record.tag.store(tag, Ordering::Relaxed);
        record.generation.store(generation, Ordering::Relaxed);
        record.kind.store(kind as u32, Ordering::Release);
        Owner::new(index, generation)
    }

    /// Gives a slot back: its owner has ended, and every name of it says so from now on.
    pub fn retire(&self, owner: Owner) {
        if let Some(record) = self.table.of(owner) {
            record.kind.store(Kind::Free as u32, Ordering::Release);
            self.free.enter().returned.push(owner.index());
        }
    }

    /// Says that `owner` is the thread that lives on in this child of a fork.
    pub fn adopt(&self, owner: Owner) {
        if let Some(record) = self.table.of(owner) {
            record.native_thread.store(native_thread(Kind::Thread), Ordering::Relaxed);
            record.process.store(fork::generation(), Ordering::Release);
        }
    }

    /// Whether `owner` can still release what it holds.
    pub fn standing(&self, owner: Owner) -> Standing {
        if !owner.is_somebody() {
            return Standing::Unknown;
        }
        match self.table.of(owner) {
            None => Standing::Ended,
            Some(record) if record.process.load(Ordering::Acquire) == fork::generation() => Standing::Alive,
            Some(_) if survivor_known() => Standing::Ended,
            Some(_) => Standing::Unknown,
        }
    }

    /// The kind of owner, [`Kind::Free`] if it has ended.
    pub fn kind(&self, owner: Owner) -> Kind {
        self.table.of(owner).map_or(Kind::Free, |r| Kind::from_bits(r.kind.load(Ordering::Relaxed)))
    }

    /// The owner that runs a task's loop.
    pub fn home(&self, owner: Owner) -> Owner {
        self.table.of(owner).map_or(Owner::NOBODY, |r| Owner::from_bits(r.home.load(Ordering::Relaxed)))
    }

    /// What the embedding program knows the owner by, 0 if it has ended.
    pub fn tag(&self, owner: Owner) -> u64 {
        self.table.of(owner).map_or(0, |record| record.tag.load(Ordering::Relaxed))
    }

    /// Sets what the embedding program knows the owner by.
    pub fn set_tag(&self, owner: Owner, tag: u64) {
        if let Some(record) = self.table.of(owner) {
            record.tag.store(tag, Ordering::Relaxed);
        }
    }

    /// The operating system's number of a thread, 0 for a task.
    pub fn native_thread(&self, owner: Owner) -> u32 {
        self.table.of(owner).map_or(0, |record| record.native_thread.load(Ordering::Relaxed))
    }

    /// Every owner of this process that has a slot now.
    pub fn owners(&self) -> Vec<Owner> {
        let end = self.free.enter().fresh;
        let process = fork::generation();
        (1..end)
            .filter_map(|index| {
                let record = self.table.record(index)?;
                let here = record.process.load(Ordering::Acquire) == process;
                let taken = record.kind.load(Ordering::Acquire) != Kind::Free as u32;
                (here && taken).then(|| Owner::new(index, record.generation.load(Ordering::Acquire)))
            })
            .collect()
    }

    /// Whose [`Owner::short`] that is: the latest one, who may have ended.
    pub fn of_short(&self, short: u32) -> Owner {
        let index = short & ((1 << Owner::SHORT_INDEX) - 1);
        let Some(record) = self.table.record(index) else { return Owner::NOBODY };
        let newest = record.generation.load(Ordering::Acquire);
        let back = newest.wrapping_sub(short >> Owner::SHORT_INDEX) & ((1 << Owner::SHORT_GENERATION) - 1);
        Owner::new(index, newest.wrapping_sub(back))
    }

    /// What stands beside the slot of `owner`.
    pub(crate) fn frame(&self, owner: Owner) -> Option<&Gate<WaitFrame>> {
        let index = owner.index() as usize;
        self.beside.get(index / CHUNK)?.get_or_make(make_frames).get(index % CHUNK)
    }

    /// Writes the wait fields. Only by the owner itself, inside its gate.
    pub(crate) fn write_wait(&self, owner: Owner, resource: u64, flags: u32, since: u64) {
        if let Some(record) = self.table.of(owner) {
            record.wait_sequence.fetch_add(1, Ordering::Relaxed);
            record.wait_flags.store(flags, Ordering::Relaxed);
            record.wait_since.store(since, Ordering::Relaxed);
            record.wait_resource.store(resource, Ordering::Release);
        }
    }

    /// The wait fields, if the owner waits. Consistent inside the owner's gate.
    pub(crate) fn read_wait(&self, owner: Owner) -> Option<WaitFields> {
        let record = self.table.of(owner)?;
        (record.wait_resource.load(Ordering::Acquire) != 0).then(|| WaitFields {
            sequence: record.wait_sequence.load(Ordering::Relaxed),
            flags: record.wait_flags.load(Ordering::Relaxed),
            since: record.wait_since.load(Ordering::Relaxed),
        })
    }
}

#[cfg(not(any(loom, shuttle, miri)))]
fn native_thread(kind: Kind) -> u32 {
    match kind {
        Kind::Thread => rustix::thread::gettid().as_raw_nonzero().get() as u32,
        _ => 0,
    }
}

#[cfg(any(loom, shuttle, miri))]
fn native_thread(_kind: Kind) -> u32 {
    0
}

// Who the calling thread is, and where the table stands: the process's own, or what a model brings.
#[cfg(not(any(loom, shuttle)))]
mod process;
#[cfg(not(any(loom, shuttle)))]
use process::survivor_known;
#[cfg(not(any(loom, shuttle)))]
pub use process::{confirm_after_fork, current, registry};

#[cfg(any(loom, shuttle))]
pub mod modelled;
#[cfg(any(loom, shuttle))]
use modelled::survivor_known;
#[cfg(any(loom, shuttle))]
pub use modelled::{confirm_after_fork, current, registry};
