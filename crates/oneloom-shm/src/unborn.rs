//! The record of a child that a fork is about to make: its parent takes it, so that the child has its tag from its
//! first instruction on, and what is written down for it before the fork stays good whoever is killed.
//!
//! Until the child has written its process id there, nobody knows that. It is awaited as long as somebody holds a lock
//! of the kernel's on the record's first byte in the segment's file, through a descriptor that was opened for this
//! alone: the parent before the fork, then the child, too. The lock goes with the last who has that descriptor.
//!
//! | it died after | it left | repair |
//! |---|---|---|
//! | claiming the record, the parent | a record without a lock | buried by whoever looks for the dead |
//! | the fork, the parent | a child with the lock | none: the child goes on |
//! | the fork, the child | a record that the parent has locked for a moment | buried after that |

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use oneloom_wait::atomic::Ordering;
use oneloom_wait::fork;
use rustix::fs::{Mode, OFlags, open};

use crate::error::Error;
use crate::layout::{RECORDS_AT, Record};
use crate::member::{Tag, pid_of};
use crate::process;
use crate::segment::Segment;
use crate::step::{self, Step};

/// What stands in a record instead of a process id, which is never as large.
pub const UNBORN: u32 = i32::MAX as u32;

/// A child that is expected, in the parent before the fork, and then in both.
pub struct Unborn {
    segment: &'static Segment,
    /// The child's tag.
    pub tag: Tag,
    /// Holds the lock.
    _lock: OwnedFd,
}

impl Unborn {
    /// Expects a child: to be called before a fork.
    ///
    /// # Errors
    /// If there are too many processes, or no descriptor is left.
    pub fn expect(segment: &'static Segment) -> Result<Self, Error> {
        let descriptor = segment.descriptor().ok_or(Error::Foreign)?;
        // A lock belongs to the opening, and this one is shared with nobody yet.
        let opened = open(
            format!("/proc/self/fd/{}", descriptor.as_raw_fd()),
            OFlags::RDWR | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let lock = opened.map_err(|error| Error::system("the segment can't be opened again", error))?;
        let claimed = segment.claim_or_bury(UNBORN).ok_or(Error::Processes)?;
        step::at(Step::ChildExpected);
        let locked = ask(lock.as_fd(), libc::F_OFD_SETLK, claimed).and_then(|_| renew(segment, claimed));
        // It was taken for dead meanwhile, or somebody has an old lock still.
        let tag = locked.ok_or_else(|| Error::System("a child's record can't be locked".into()))?;
        step::at(Step::ChildExpected);
        Ok(Self { segment, tag, _lock: lock })
    }

    /// In the child: the record is this process's from now on.
    pub fn is_born(self) {
        let Some(record) = self.segment.record_of(self.tag) else { return };
        let identity = record.identity.load(Ordering::SeqCst);
        let pid = process::id();
        record.started.store(process::started(pid).unwrap_or(0), Ordering::Release);
        record.identity.store(identity >> 32 << 32 | u64::from(pid), Ordering::SeqCst);
        step::at(Step::ChildBorn);
        let mine = u64::from(fork::generation()) << 32 | u64::from(self.tag.0);
        self.segment.me.store(mine, Ordering::Release);
        self.segment.has_joined(self.tag);
    }
}

/// Gives a record that was locked a new tag, which nobody has ever seen without its lock: who has found the old one
/// hopeless may be about to bury it. `None` if that was faster.
fn renew(segment: &Segment, claimed: Tag) -> Option<Tag> {
    let record = segment.record_of(claimed)?;
    let identity = record.identity.load(Ordering::SeqCst);
    if Tag::of(claimed.slot(), identity) != claimed {
        return None;
    }
    let renewed = ((identity >> 32) + 1) << 32 | u64::from(UNBORN);
    record.identity.compare_exchange(identity, renewed, Ordering::SeqCst, Ordering::SeqCst).ok()?;
    Some(Tag::of(claimed.slot(), renewed))
}

/// Whether a record of somebody unborn will never be anybody's.
pub fn is_hopeless(segment: &Segment, tag: Tag, record: &Record) -> bool {
    let locked = segment.descriptor().and_then(|descriptor| ask(descriptor, libc::F_OFD_GETLK, tag));
    // Whoever was born meanwhile has let go of the lock after writing.
    locked == Some(false) && pid_of(record.identity.load(Ordering::SeqCst)) == UNBORN
}

/// Takes the lock of a record, or asks for it; then, whether somebody has it. `None` if that is refused.
fn ask(descriptor: BorrowedFd<'_>, command: i32, tag: Tag) -> Option<bool> {
    // SAFETY: plain integers.
    let mut wanted: libc::flock = unsafe { std::mem::zeroed() };
    wanted.l_type = libc::F_WRLCK as _;
    wanted.l_whence = libc::SEEK_SET as _;
    wanted.l_start = (RECORDS_AT + (tag.slot() * size_of::<Record>()) as u64) as _;
    wanted.l_len = 1;
    // SAFETY: reads and writes a local variable.
    let done = unsafe { libc::fcntl(descriptor.as_raw_fd(), command, &raw mut wanted) };
    (done == 0).then_some(i32::from(wanted.l_type) != libc::F_UNLCK)
}

#[cfg(all(test, not(any(loom, shuttle, miri))))]
mod tests {
    use super::*;

    #[test]
    fn who_looked_before_the_lock_was_taken_does_not_bury_the_child() {
        let segment = Segment::create(0).expect("a segment");
        let claimed = segment.claim_or_bury(UNBORN).expect("a free record");
        assert!(segment.is_dead(claimed), "nobody has its lock yet");
        let child = renew(segment, claimed).expect("not buried yet");
        segment.bury(claimed);
        assert!(segment.record_of(child).is_some());
        assert_eq!(renew(segment, claimed), None, "it is another's");
    }
}
