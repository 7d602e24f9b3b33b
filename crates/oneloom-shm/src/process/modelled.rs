//! Processes of a model: threads of shuttle's that take each other for processes, and that die where the model says.
//!
//! Every process has its own view of one segment on the heap, and joins the family as usual. One that dies unwinds from
//! the point at which it was, without anything that it does from there being seen (`oneloom_wait::atomic::interleaved`
//! sees to that); before, it plays the kernel and the monitors of the others, who learn of the death whenever the model
//! gets to it. The end of a process is its death, too.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use shuttle::thread;

use super::Life;
use crate::monitor;
use crate::segment::Segment;
use crate::step::Step;

/// What a dying process unwinds with.
struct Killed;

/// The system of one run.
#[derive(Default)]
struct System {
    processes: BTreeSet<u32>,
    dead: BTreeSet<u32>,
    /// At which step the last one that did not end by itself has died.
    killed_at: Option<Step>,
}

thread_local! {
    // All threads of a model run on one thread of the system.
    static SYSTEM: RefCell<System> = RefCell::default();
    /// Allocated once, and wiped for each run.
    static MEMORY: Cell<Option<&'static Segment>> = const { Cell::new(None) };
    /// How many died at each step, in all runs.
    static DEATHS: RefCell<Vec<u64>> = RefCell::new(vec![0; Step::ALL.len() + 1]);
}

/// Who the calling thread of the model is.
#[derive(Clone, Copy)]
struct Me {
    id: u32,
    /// How many steps it passes before it dies.
    passes: Option<u32>,
}

shuttle::thread_local! {
    static ME: Cell<Me> = Cell::new(Me { id: 0, passes: None });
}

/// The calling process.
pub fn id() -> u32 {
    ME.with(Cell::get).id
}

/// All start at once.
pub fn started(_pid: u32) -> Option<u64> {
    Some(1)
}

/// There is one namespace.
pub fn namespace() -> u64 {
    1
}

/// Looks at a process.
pub fn examine(pid: u32, _start: u64) -> Life {
    if SYSTEM.with_borrow(|system| system.dead.contains(&pid)) { Life::Dead } else { Life::Alive }
}

/// Begins a run: the calling thread is a process that does not die, with a new segment of `bytes`.
///
/// # Panics
/// If there is no memory.
pub fn begin(bytes: u64) -> &'static Segment {
    SYSTEM.take();
    monitor::modelled::begin();
    become_process(None);
    match MEMORY.get() {
        Some(memory) => {
            memory.renew().expect("a random number");
            memory.seen_by_another()
        }
        None => {
            let memory = Segment::on_heap(bytes).expect("memory");
            MEMORY.set(Some(memory));
            memory.seen_by_another()
        }
    }
}

fn become_process(passes: Option<u32>) -> u32 {
    let id = SYSTEM.with_borrow_mut(|system| {
        let id = system.processes.last().map_or(100, |last| last + 1);
        system.processes.insert(id);
        id
    });
    ME.with(|me| me.set(Me { id, passes }));
    id
}

/// Starts a process that runs `body` with its view of the segment; if `passes` is given, it dies at the step that it
/// comes to after so many. Joining it gives what `body` gave, None if it died before.
pub fn start<R: Send + 'static>(
    segment: &'static Segment,
    passes: Option<u32>,
    body: impl FnOnce(&'static Segment) -> R + Send + 'static,
) -> thread::JoinHandle<Option<R>> {
    thread::spawn(move || {
        let id = become_process(passes);
        let segment = segment.seen_by_another();
        let result = catch_unwind(AssertUnwindSafe(|| {
            let result = body(segment);
            end(id, segment);
            result
        }));
        match result {
            Ok(result) => Some(result),
            Err(reason) if reason.is::<Killed>() => {
                end(id, segment);
                None
            }
            Err(reason) => resume_unwind(reason),
        }
    })
}

/// The process is dead; the others' monitors notice.
fn end(id: u32, segment: &'static Segment) {
    let others: Vec<u32> = SYSTEM.with_borrow_mut(|system| {
        system.dead.insert(id);
        system.processes.difference(&system.dead).copied().collect()
    });
    for other in others {
        // In the place of that one's monitor.
        ME.with(|me| me.set(Me { id: other, passes: None }));
        segment.find_dead();
        monitor::modelled::somebody_died();
    }
}

/// Passes a point.
pub fn at(step: Step) {
    let mut me = ME.with(Cell::get);
    let Some(passes) = me.passes else { return };
    if std::thread::panicking() {
        return;
    }
    if passes == 0 {
        DEATHS.with_borrow_mut(|deaths| deaths[step as usize] += 1);
        SYSTEM.with_borrow_mut(|system| system.killed_at = Some(step));
        resume_unwind(Box::new(Killed));
    }
    me.passes = Some(passes - 1);
    ME.with(|place| place.set(me));
}

/// At which step a process was killed in this run.
pub fn killed_at() -> Option<Step> {
    SYSTEM.with_borrow(|system| system.killed_at)
}

/// How many processes have died at a step so far, in all runs on this thread.
pub fn deaths_at(step: Step) -> u64 {
    DEATHS.with_borrow(|deaths| deaths[step as usize])
}
