//! Who sleeps in this process, and the two threads that look after them once somebody sleeps for long.
//!
//! A sleeping futex does not notice that whoever was to wake it has died. So one thread polls the pidfds of all other
//! processes of the family. The other sleeps on this process's doorbell: it is rung for tasks, which have no futex of their
//! own, after a death, which makes everybody here look again, and when a process joins the family and is to be watched. Both start with the first long wait, block all signals, and know nothing of any interpreter.

use std::collections::VecDeque;
use std::task::Waker;

use oneloom_wait::fork;
use oneloom_wait::gate::AfterFork;
#[cfg(not(shuttle))]
use oneloom_wait::gate::Gate;

use crate::event_count::EventCount;
use crate::segment::Segment;

#[cfg(shuttle)]
pub(crate) mod modelled;
#[cfg(not(shuttle))]
mod threads;
#[cfg(shuttle)]
use modelled::sleepers;
#[cfg(shuttle)]
pub use modelled::start;
#[cfg(not(shuttle))]
pub use threads::start;

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

/// Those of the calling process.
#[cfg(not(shuttle))]
fn sleepers() -> &'static Gate<Sleepers> {
    static SLEEPERS: Gate<Sleepers> = Gate::new(Sleepers::NONE);
    &SLEEPERS
}

impl Sleepers {
    const NONE: Self = Self { last: 0, threads: Vec::new(), tasks: Vec::new() };

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

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
        sleepers().enter().threads.retain(|(number, _)| *number != self.number);
    }
}

/// From now on, a death in the family makes the calling thread look again at `event`.
pub fn watch(segment: &'static Segment, event: &'static EventCount) -> Watched {
    let number = {
        let mut sleepers = sleepers().enter();
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
        let mut sleepers = sleepers().enter();
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

/// How many wait for `event` now: the threads of all processes that sleep, and the tasks of this one.
#[cfg(not(shuttle))]
pub fn waiting(event: &'static EventCount) -> usize {
    let sleepers = sleepers().enter();
    let here = sleepers.tasks.iter().filter(|group| std::ptr::eq(group.event, event));
    here.map(|group| group.waiting.len()).sum::<usize>() + event.threads() as usize
}

/// Takes a task out of its line; false if it had been woken.
pub fn leave(event: &'static EventCount, place: Place) -> bool {
    let mut sleepers = sleepers().enter();
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
///
/// An event is touched inside the gate alone: as long as somebody waits there, its object is held.
fn deliver(chosen: impl Fn(&Group) -> bool) {
    loop {
        let mut wakers = Vec::new();
        let mut gone_up = false;
        {
            let mut sleepers = sleepers().enter();
            for group in sleepers.tasks.iter_mut().filter(|group| chosen(group)) {
                let now = group.event.steps();
                let steps = EventCount::between(group.seen, now) as usize;
                group.seen = now;
                let woken = steps.min(group.waiting.len());
                wakers.extend(group.waiting.drain(..woken).map(|(_, waker)| waker));
                // Whoever rang took this process out of the mask.
                if let (false, Ok(me)) = (group.waiting.is_empty(), group.segment.me()) {
                    group.event.announce_tasks(me.bit());
                    gone_up |= group.event.steps() != now;
                }
            }
            sleepers.tasks.retain(|group| !group.waiting.is_empty());
        }
        wakers.into_iter().for_each(Waker::wake);
        if !gone_up {
            return;
        }
    }
}

/// Makes everybody here look again.
fn disturb() {
    let tasks = {
        let mut sleepers = sleepers().enter();
        // Inside the gate, for all that it takes: outside, a thread may leave, and the object go with it.
        sleepers.threads.iter().for_each(|(_, event)| event.disturb());
        std::mem::take(&mut sleepers.tasks)
    };
    tasks.into_iter().flat_map(|group| group.waiting).for_each(|(_, waker)| waker.wake());
}
