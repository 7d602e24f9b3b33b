//! The monitor of a process in a model: who sleeps in each, and what its threads would do when somebody dies.

use std::cell::RefCell;
use std::collections::HashMap;

use oneloom_wait::atomic::Ordering;
use oneloom_wait::gate::Gate;

use super::{Sleepers, disturb};
use crate::process;
use crate::segment::Segment;

thread_local! {
    // All threads of a model run on one thread of the system.
    static SLEEPERS: RefCell<HashMap<u32, &'static Gate<Sleepers>>> = RefCell::default();
}

/// Those of the calling process.
pub(super) fn sleepers() -> &'static Gate<Sleepers> {
    let new = || -> &'static _ { Box::leak(Box::new(Gate::new(Sleepers::NONE))) };
    SLEEPERS.with_borrow_mut(|all| *all.entry(process::id()).or_insert_with(new))
}

/// Nobody sleeps: a run begins.
pub fn begin() {
    SLEEPERS.take();
}

/// There is no thread to start: whoever dies tells.
pub fn start(segment: &'static Segment) -> bool {
    segment.monitored.load(Ordering::Relaxed) == 0
}

/// As whoever looks after the sleepers of the calling process: somebody has died.
pub fn somebody_died() {
    disturb();
}
