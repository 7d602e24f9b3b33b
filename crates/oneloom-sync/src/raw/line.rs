//! What every primitive has: a line of waiters with counters, and a name.

use oneloom_wait::gate::AfterFork;
use oneloom_wait::waiter::{WaiterList, Wakes};

pub use oneloom_wait::waiter::Counters;

/// Those who wait for one thing, and what was counted about them. Stands behind a gate.
#[derive(Default)]
pub struct Line {
    /// Who waits.
    pub waiters: WaiterList,
}

impl Line {
    /// Nobody waits yet.
    pub const fn new() -> Self {
        Self { waiters: WaiterList::new() }
    }

    /// Counts a call that is about to wait.
    pub fn count_wait(&mut self) {
        self.waiters.counters.waits = self.waiters.counters.waits.wrapping_add(1);
    }

    /// Counts a call that gives up.
    pub fn count_withdrawal(&mut self) {
        self.waiters.counters.withdrawals = self.waiters.counters.withdrawals.wrapping_add(1);
    }

    /// Hands over to the first.
    pub fn grant_first(&mut self, token: u32, wakes: &mut Wakes) -> bool {
        let granted = self.waiters.grant_first(token, wakes);
        self.waiters.counters.handovers = self.waiters.counters.handovers.wrapping_add(u32::from(granted));
        granted
    }
}

impl AfterFork for Line {
    fn after_fork(&mut self, _torn: bool) {
        self.waiters.forget();
    }
}

/// The name a primitive was given, if any. One pointer: most have none, and share a cache line with theirs.
#[derive(Debug, Default)]
pub struct Name(Option<Box<Given>>);

#[derive(Debug)]
struct Given(Box<str>);

impl Name {
    /// No name.
    pub const NONE: Self = Self(None);

    /// This name.
    pub fn new(name: &str) -> Self {
        Self(Some(Box::new(Given(name.into()))))
    }

    /// The name.
    pub fn get(&self) -> Option<&str> {
        self.0.as_ref().map(|given| &*given.0)
    }
}
