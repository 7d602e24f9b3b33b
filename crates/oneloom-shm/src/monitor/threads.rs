//! The two threads of the monitor, and how they start.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use oneloom_wait::atomic::{AtomicBool, Ordering};
use oneloom_wait::background;
use oneloom_wait::clock::Deadline;
use oneloom_wait::fork;
use oneloom_wait::word::Scope;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::{deliver, disturb};
use crate::member::{Tag, pid_of};
use crate::process::{self, Life};
use crate::segment::Segment;
use crate::unborn::UNBORN;

/// Somebody died, and everybody here is to look again.
static SOMEBODY_DIED: AtomicBool = AtomicBool::new(false);

/// Starts the monitor if this process has none yet; false if it can't.
pub fn start(segment: &'static Segment) -> bool {
    let generation = fork::generation();
    let running = segment.monitored.load(Ordering::Acquire);
    if running == generation {
        return true;
    }
    let mine = segment.monitored.compare_exchange(running, generation, Ordering::AcqRel, Ordering::Acquire);
    if mine.is_err() {
        return true;
    }
    let started = segment.me().is_ok_and(|me| {
        let Ok(poke) = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK) else { return false };
        // The doorbell's thread keeps it open for both.
        let poked = poke.as_raw_fd();
        background::spawn("oneloom-bell", move || answer_doorbell(segment, me, &poke)).is_ok()
            && background::spawn("oneloom-watch", move || {
                if let Some(poked) = leave_descriptors_behind(poked) {
                    watch_deaths(segment, me, &poked);
                }
            })
            .is_ok()
    });
    if !started {
        segment.monitored.store(running, Ordering::Release);
    }
    started
}

fn answer_doorbell(segment: &'static Segment, me: Tag, poke: &OwnedFd) {
    let Some(record) = segment.record_of(me) else { return };
    // First this, then a look at who is there: whoever joins later sees it and rings.
    record.listening.store(1, Ordering::SeqCst);
    let mut joined = None;
    loop {
        let rung = record.doorbell.load(Ordering::SeqCst);
        let now = segment.header().joined.load(Ordering::SeqCst);
        if joined.replace(now) != Some(now) {
            // A full counter is readable already.
            let _ = rustix::io::write(poke, &1_u64.to_ne_bytes());
        }
        if SOMEBODY_DIED.swap(false, Ordering::SeqCst) {
            disturb();
        }
        deliver(|group| std::ptr::eq(group.segment, segment));
        record.doorbell.wait(rung, Deadline::Never, Scope::Shared);
    }
}

/// Gives the calling thread a table of descriptors of its own, with only the one that it is given: what it opens counts
/// toward nobody's limit, and no child of a fork inherits it.
fn leave_descriptors_behind(kept: RawFd) -> Option<OwnedFd> {
    // The lowest, so that all others can be closed in one call.
    const KEPT: RawFd = 0;
    if cfg!(oneloom_tsan) {
        // ThreadSanitizer takes every descriptor for one of the process's.
        // SAFETY: the doorbell's thread keeps it open.
        return unsafe { BorrowedFd::borrow_raw(kept) }.try_clone_to_owned().ok();
    }
    // SAFETY: the thread has its own table from the first call on, and nobody else closes what stands there.
    unsafe {
        if libc::unshare(libc::CLONE_FILES) != 0 || libc::dup2(kept, KEPT) != KEPT {
            return None;
        }
        libc::syscall(libc::SYS_close_range, KEPT + 1, u32::MAX, 0);
        Some(OwnedFd::from_raw_fd(KEPT))
    }
}

/// How soon to look again where a process can't be watched.
const BLIND_LOOK: Duration = Duration::from_millis(200);

fn watch_deaths(segment: &'static Segment, me: Tag, poked: &OwnedFd) {
    let Some(record) = segment.record_of(me) else { return };
    let mut watched: Vec<(Tag, OwnedFd)> = Vec::new();
    loop {
        let mut all = true;
        for tag in segment.members().filter(|tag| *tag != me) {
            if watched.iter().any(|(known, _)| *known == tag) {
                continue;
            }
            let Some(other) = segment.record_of(tag) else { continue };
            let pid = pid_of(other.identity.load(Ordering::SeqCst));
            if pid == UNBORN {
                // It rings when it is born, and leaves nobody waiting before.
                continue;
            }
            match process::examine(pid, other.started.load(Ordering::Acquire)) {
                Life::Dead => segment.bury(tag),
                Life::Watched(descriptor) => watched.push((tag, descriptor)),
                Life::Alive => all = false,
            }
        }
        // Whoever was buried by others before it could be watched has left somebody here asleep, perhaps. Waking is
        // the other thread's work: a waker may need a descriptor that is not in this thread's table.
        SOMEBODY_DIED.store(true, Ordering::SeqCst);
        record.doorbell.fetch_add(1, Ordering::SeqCst);
        record.doorbell.handle().wake(1, Scope::Shared);
        let ended: Vec<bool> = {
            let mut polled = vec![PollFd::new(poked, PollFlags::IN)];
            polled.extend(watched.iter().map(|(_, descriptor)| PollFd::new(descriptor, PollFlags::IN)));
            let soon = Timespec::try_from(BLIND_LOOK).ok();
            // Interrupted or refused, it shows nothing, and the next round asks again.
            let _ = poll(&mut polled, if all { None } else { soon.as_ref() });
            polled.iter().map(|polled| !polled.revents().is_empty()).collect()
        };
        if ended.first() == Some(&true) {
            let _ = rustix::io::read(poked, &mut [0_u8; 8]);
        }
        let mut ended = ended.into_iter().skip(1);
        watched.retain(|(tag, _)| {
            let over = ended.next() == Some(true);
            if over {
                segment.bury(*tag);
            }
            !over
        });
    }
}
