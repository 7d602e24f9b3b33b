//! Deadlocks where any of several could help: work that nobody has begun is waited for in vain when each of the crew who
//! could begin it is stuck, and so is the first of several ends when each who could bring one is.
//!
//! Such a wait has several ways out, and one open way is enough. So the walk gathers all whom `start` waits for,
//! directly and through others; it is a deadlock when every one of them waits without a deadline, and `start` is
//! among those that are waited for. Who waits for that from outside is no part of it: a victim's end frees it.

use std::ops::ControlFlow;

use super::{Certainty, Deadlock, Edge, step_of};
use crate::atomic::{AtomicU64, Ordering};
use crate::made::Made;
use crate::owner::{Kind, Owner, Registry, Standing, flag};

/// The places of those who work for everybody. An empty one may be taken at any time.
pub struct Crew {
    places: usize,
    /// Each twice as long as the one before, and made when a place in it is taken: most of many places never are.
    rows: Box<[Made<Box<[AtomicU64]>>]>,
}

impl Crew {
    /// That many places, all of them empty.
    pub fn new(places: usize) -> Self {
        let rows = usize::BITS - places.leading_zeros();
        Self { places, rows: (0..rows).map(|_| Made::nothing()).collect() }
    }

    /// How many places there are.
    pub fn len(&self) -> usize {
        self.places
    }

    /// Whether there is no place at all.
    pub fn is_empty(&self) -> bool {
        self.places == 0
    }

    /// Says who works in a place: [`Owner::NOBODY`] where nobody does.
    pub fn seat(&self, place: usize, worker: Owner) {
        let row = (place + 1).ilog2() as usize;
        let first = (1 << row) - 1;
        let length = (self.places - first).min(1 << row);
        let empty = || (0..length).map(|_| AtomicU64::new(Owner::NOBODY.to_bits())).collect();
        self.rows[row].get_or_make(|| Box::new(empty()))[place - first]
            .store(worker.to_bits(), Ordering::Release);
    }

    /// Shows who works in each place, until `each` has seen enough; of the empty ones, one may stand for many. Reads only
    /// atomics.
    pub fn show(&self, each: &mut dyn FnMut(Owner) -> ControlFlow<()>) -> ControlFlow<()> {
        for row in &self.rows {
            let Some(row) = row.get() else { return each(Owner::NOBODY) };
            row.iter().try_for_each(|worker| each(Owner::from_bits(worker.load(Ordering::Acquire))))?;
        }
        ControlFlow::Continue(())
    }
}

/// Walks from `start`; returns everybody it waits for, itself first, if none of them can go on.
pub(super) fn walk(registry: &Registry, start: Owner) -> Option<Deadlock> {
    let mut found = Deadlock { steps: Vec::new(), certainty: Certainty::Certain, holder_ended: false };
    let mut ahead = vec![start];
    let mut seen = vec![start];
    let mut comes_back = false;
    while let Some(owner) = ahead.pop() {
        let step = step_of(registry, owner)?;
        if step.flags & flag::TIMED != 0 {
            return None;
        }
        let mut next = Vec::new();
        match step.edge {
            Edge::HeldBy { holder, certain } => {
                if !certain || step.flags & flag::AWAITS != 0 {
                    found.certainty = Certainty::Suspected;
                }
                next.push(holder);
            }
            Edge::RunsOn(thread) => next.push(thread),
            Edge::AnyOf => {
                if step.flags & flag::AWAITS != 0 {
                    found.certainty = Certainty::Suspected;
                }
                next = helpers_of(registry, owner, step.sequence)?;
            }
            Edge::HeldElsewhere(_) | Edge::Unheld => return None,
        }
        comes_back |= next.contains(&start);
        found.steps.push(step);
        for other in next {
            // Who has ended is told, or those who wait for it are: they can still act.
            if !other.is_somebody() || registry.standing(other) == Standing::Ended {
                return None;
            }
            if !seen.contains(&other) {
                seen.push(other);
                ahead.push(other);
            }
        }
    }
    comes_back.then_some(found)
}

/// Who could help `owner`, if that is still the same wait and none of them can act, as far as can be seen from here. Where
/// one can, which is nearly always, this takes no memory and looks no further.
pub(super) fn helpers_of(registry: &Registry, owner: Owner, sequence: u64) -> Option<Vec<Owner>> {
    let place = registry.frame(owner)?.enter();
    let frame = place.waiting?;
    let fields = registry.read_wait(owner)?;
    let mut helpers = Vec::new();
    let mut one_can_act = false;
    let mut look = |helper| {
        one_can_act = may_act(registry, helper);
        if one_can_act {
            return ControlFlow::Break(());
        }
        if !helpers.contains(&helper) {
            helpers.push(helper);
        }
        ControlFlow::Continue(())
    };
    // SAFETY: inside the gate, what the frame points to is alive.
    let is_so = unsafe { frame.resource.as_ref() }.helpers(&mut look);
    (is_so && !one_can_act && fields.sequence == sequence).then_some(helpers)
}

/// Whether `helper` is not seen to wait without a deadline. A task may be blocked with its loop.
fn may_act(registry: &Registry, helper: Owner) -> bool {
    match registry.kind(helper) {
        Kind::Thread => registry.read_wait(helper).is_none_or(|wait| wait.flags & flag::TIMED != 0),
        Kind::Task => false,
        Kind::Free => true,
    }
}
