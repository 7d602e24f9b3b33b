//! The condition variable as a state machine: a line, and nothing else.
//!
//! A wait joins the line, then lets go of the caller's lock, then sleeps: whoever takes the lock afterwards and
//! notifies finds it there. A notification is handed over; one whose receiver gave up in the same instant goes
//! to the next. Taking the lock again is the caller's part.

use oneloom_wait::const_unless_modelled;
use oneloom_wait::gate::Gate;
use oneloom_wait::graph::Resource;
use oneloom_wait::wait::{Call, Primitive};
use oneloom_wait::waiter::{Notice, WaiterList, Wakes};

use super::line::{Counters, Line, Name};

/// A condition variable without a lock.
pub struct RawCondvar {
    line: Gate<Line>,
    name: Name,
    /// Behind a second reference, as a mutex's is.
    kind: &'static &'static str,
}

#[cfg(not(any(loom, shuttle)))]
const _: () = assert!(size_of::<RawCondvar>() <= 64);

impl Default for RawCondvar {
    fn default() -> Self {
        Self::new(Name::NONE)
    }
}

impl RawCondvar {
    const_unless_modelled! {
        /// One that nobody waits for.
        pub fn new(name: Name) -> Self {
            Self::of_kind(name, &"Condvar")
        }
    }

    const_unless_modelled! {
        /// One that a report calls by another word: `&"Condition"`.
        pub fn of_kind(name: Name, kind: &'static &'static str) -> Self {
            Self { line: Gate::new(Line::new()), name, kind }
        }
    }

    /// Lets up to `count` of those who wait go on, first come first; returns how many.
    pub fn notify(&self, count: usize) -> usize {
        let mut wakes = Wakes::new();
        let mut line = self.line.enter();
        (0..count).take_while(|_| line.grant_first(0, &mut wakes)).count()
    }

    /// Lets everybody go on who waits now; returns how many.
    pub fn notify_all(&self) -> usize {
        self.notify(usize::MAX)
    }

    /// How many wait now.
    pub fn waiting(&self) -> usize {
        self.line.enter().waiters.len()
    }

    /// The name it was given.
    pub fn given_name(&self) -> Option<&str> {
        self.name.get()
    }

    /// How many wait now, and what happened to them. Every wait is slow here.
    pub fn statistics(&self) -> (usize, Counters) {
        let line = self.line.enter();
        (line.waiters.len(), line.waiters.counters)
    }
}

impl Resource for RawCondvar {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn name(&self) -> Option<&str> {
        self.name.get()
    }
}

impl Primitive for RawCondvar {
    type State = Line;

    fn gate(&self) -> &Gate<Line> {
        &self.line
    }
}

/// Waiting for a notification.
pub struct NotifiedCall<F> {
    unlock: F,
}

impl<F: FnMut() -> bool> NotifiedCall<F> {
    /// A call that joins the line and then lets go of the caller's lock with `unlock`, which runs once and
    /// outside the gate. Where it returns false, the wait ends as if interrupted; a future has failed then.
    pub fn new(unlock: F) -> Self {
        Self { unlock }
    }
}

impl<F: FnMut() -> bool> Call for NotifiedCall<F> {
    type Primitive = RawCondvar;
    type Output = ();
    const SPINS: bool = false;

    fn line<'s>(&self, state: &'s mut Line) -> &'s mut WaiterList {
        &mut state.waiters
    }

    fn looks_ready(&self, _condvar: &RawCondvar) -> bool {
        false
    }

    fn attempt(&mut self, _condvar: &RawCondvar) -> Option<()> {
        None
    }

    fn attempt_or_enlist(
        &mut self,
        _condvar: &RawCondvar,
        line: &mut Line,
        _wakes: &mut Wakes,
    ) -> Option<()> {
        line.count_wait();
        None
    }

    fn enlisted(&mut self, _condvar: &RawCondvar) -> bool {
        (self.unlock)()
    }

    fn granted(&mut self, _condvar: &RawCondvar, _token: u32) -> Option<()> {
        Some(())
    }

    fn withdraw(&mut self, _condvar: &RawCondvar, line: &mut Line, notice: Notice, wakes: &mut Wakes) {
        line.count_withdrawal();
        if let Notice::Granted(_) = notice {
            line.grant_first(0, wakes);
        }
    }
}
