//! Who sleeps in this process, and the two threads that look after them once somebody sleeps for long.
//!
//! A sleeping futex does not notice that whoever was to wake it has died. So one thread polls the pidfds of all other
//! processes of the family. The other sleeps on this process's doorbell: it is rung for tasks, which have no futex of their
//! own, after a death, which makes everybody here look again, and when a process joins the family and is to be watched. Both start with the first long wait, block all signals, and know nothing of any interpreter.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::task::Waker;
use std::time::Duration;

use oneloom_wait::atomic::{AtomicBool, Ordering};
use oneloom_wait::background;
use oneloom_wait::clock::Deadline;
use oneloom_wait::fork;
use oneloom_wait::gate::{AfterFork, Gate};
use oneloom_wait::word::Scope;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::event_count::EventCount;
use crate::member::{Life, Tag, examine, pid_of};
use crate::segment::Segment;

/// Who sleeps here for long.
struct Sleepers {
    last: u64,
    threads: Vec<(u64, &'static EventCount)>,
    tasks: Vec<Group>,
}

/// Tasks that wait for one event, the first to be woken first.
struct Group {
    segment: &'static Segment,
    event: &'static EventCount,
    /// The event's steps up to which tasks were woken.
    seen: u32,
    waiting: VecDeque<(u64, Waker)>,
}

impl AfterFork for Sleepers {
    fn after_fork(&mut self, _torn: bool) {
        // The threads and tasks of the parent are not here. Their wakers are not to be touched.
        std::mem::forget(std::mem::take(&mut self.threads));
        std::mem::forget(std::mem::take(&mut self.tasks));
    }
}

static SLEEPERS: Gate<Sleepers> = Gate::new(Sleepers { last: 0, threads: Vec::new(), tasks: Vec::new() });

impl Sleepers {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// Somebody died, and everybody here is to look again.
static SOMEBODY_DIED: AtomicBool = AtomicBool::new(false);

/// A thread's long sleep, known to the monitor; dropping it ends that.
pub struct Watched {
    number: u64,
    generation: u32,
    /// Deaths can't be watched, for lack of threads or descriptors: nap instead.
    pub blind: bool,
}

impl Watched {
    /// False in the child of a fork that happened meanwhile.
    pub fn is_of_this_process(&self) -> bool {
        self.generation == fork::generation()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        SLEEPERS.enter().threads.retain(|(number, _)| *number != self.number);
    }
}

/// From now on, a death in the family makes the calling thread look again at `event`.
pub fn watch(segment: &'static Segment, event: &'static EventCount) -> Watched {
    let number = {
        let mut sleepers = SLEEPERS.enter();
        let number = sleepers.number();
        sleepers.threads.push((number, event));
        number
    };
    Watched { number, generation: fork::generation(), blind: !start(segment) }
}

/// A task's place in its line.
pub struct Place {
    number: u64,
    generation: u32,
}

/// Puts a task in line for `event`; at the front if it was woken before and overtaken. The state is to be looked at
/// afterwards.
pub fn enlist(segment: &'static Segment, event: &'static EventCount, waker: Waker, front: bool) -> Place {
    let number = {
        let mut sleepers = SLEEPERS.enter();
        let number = sleepers.number();
        let group = match sleepers.tasks.iter().position(|group| std::ptr::eq(group.event, event)) {
            Some(at) => &mut sleepers.tasks[at],
            None => {
                let (seen, waiting) = (event.steps(), VecDeque::new());
                sleepers.tasks.push(Group { segment, event, seen, waiting });
                sleepers.tasks.last_mut().expect("just pushed")
            }
        };
        if front {
            group.waiting.push_front((number, waker))
        } else {
            group.waiting.push_back((number, waker))
        }
        number
    };
    start(segment);
    if let Ok(me) = segment.me() {
        event.announce_tasks(me.bit());
    }
    Place { number, generation: fork::generation() }
}

/// Takes a task out of its line; false if it had been woken.
pub fn leave(event: &'static EventCount, place: Place) -> bool {
    let mut sleepers = SLEEPERS.enter();
    if place.generation != fork::generation() {
        return true;
    }
    let Some(group) = sleepers.tasks.iter().position(|group| std::ptr::eq(group.event, event)) else {
        return false;
    };
    let waiting = &mut sleepers.tasks[group].waiting;
    let found =
        waiting.iter().position(|(number, _)| *number == place.number).and_then(|at| waiting.remove(at));
    if waiting.is_empty() {
        sleepers.tasks.swap_remove(group);
    }
    drop(sleepers);
    // A waker is foreign code, its end included: outside the gate.
    found.is_some()
}

/// Rings the processes in `mask`, for which tasks wait for `event`.
pub fn ring(segment: &'static Segment, event: &'static EventCount, mask: u64) {
    let Ok(me) = segment.me() else { return };
    if mask & me.bit() != 0 {
        deliver(|group| std::ptr::eq(group.event, event));
    }
    segment.ring_others(mask, me);
}

/// Wakes as many tasks of each chosen event as the event has gone up since.
fn deliver(chosen: impl Fn(&Group) -> bool) {
    loop {
        let mut wakers = Vec::new();
        let mut left = Vec::new();
        {
            let mut sleepers = SLEEPERS.enter();
            for group in sleepers.tasks.iter_mut().filter(|group| chosen(group)) {
                let now = group.event.steps();
                let steps = EventCount::between(group.seen, now) as usize;
                group.seen = now;
                let woken = steps.min(group.waiting.len());
                wakers.extend(group.waiting.drain(..woken).map(|(_, waker)| waker));
                if !group.waiting.is_empty() {
                    left.push((group.segment, group.event, now));
                }
            }
            sleepers.tasks.retain(|group| !group.waiting.is_empty());
        }
        wakers.into_iter().for_each(Waker::wake);
        // Whoever rang took this process out of the mask.
        let announce = |(segment, event, seen): (&'static Segment, &'static EventCount, u32)| {
            segment.me().is_ok_and(|me| {
                event.announce_tasks(me.bit());
                event.steps() != seen
            })
        };
        // Every one of them is announced, whatever the first says.
        if left.into_iter().filter(|group| announce(*group)).count() == 0 {
            return;
        }
    }
}

/// Makes everybody here look again.
fn disturb() {
    let (threads, tasks) = {
        let mut sleepers = SLEEPERS.enter();
        let threads: Vec<_> = sleepers.threads.iter().map(|(_, event)| *event).collect();
        (threads, std::mem::take(&mut sleepers.tasks))
    };
    threads.into_iter().for_each(EventCount::disturb);
    tasks.into_iter().flat_map(|group| group.waiting).for_each(|(_, waker)| waker.wake());
}

/// Starts the monitor if this process has none yet; false if it can't.
fn start(segment: &'static Segment) -> bool {
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
            match examine(pid, other.started.load(Ordering::Acquire)) {
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
