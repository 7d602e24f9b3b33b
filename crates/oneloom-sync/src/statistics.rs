//! What a primitive tells about itself: who waits now, and what its slow path has seen.

use std::fmt;

use oneloom_wait::owner::Owner;

use crate::environment;
use crate::raw::Counters;

/// Who waits for a primitive now, and what happened on its slow path. The fast path counts nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Threads and futures that wait now.
    pub waiting: usize,
    /// Calls that had to wait so far; wraps at 2³², as all that follows.
    pub waits: u32,
    /// Waits that ended because what was waited for was handed over, not merely offered.
    pub handovers: u32,
    /// Waits that were given up: timed out, or a future that was dropped.
    pub withdrawals: u32,
}

impl From<(usize, Counters)> for Statistics {
    fn from((waiting, counters): (usize, Counters)) -> Self {
        let Counters { waits, handovers, withdrawals } = counters;
        Self { waiting, waits, handovers, withdrawals }
    }
}

/// Shows an owner as reports do.
pub(crate) struct Shown(pub(crate) Owner);

impl fmt::Debug for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&environment::name(self.0))
    }
}
