//! What primitives tell of their slow paths, as frozen objects.

use oneloom_sync::raw::Counters;
use oneloom_sync::raw::queue::QueueStatistics as QueueCounters;
use pyo3::prelude::*;

/// Slow-path events of one primitive since it was made, and who waits now. Calls that need not wait are not counted.
///
/// >>> import oneloom
/// >>> event = oneloom.Event()
/// >>> event.wait(timeout=0.05)
/// False
/// >>> event.statistics()
/// Statistics(waiting=0, waits=1, handovers=0, withdrawals=1)
#[pyclass(frozen, get_all, eq, module = "oneloom")]
#[derive(PartialEq)]
pub struct Statistics {
    /// Threads and coroutines that wait now.
    waiting: usize,
    /// Calls that had to wait.
    waits: u32,
    /// Waits that ended because what was waited for was handed over, not merely offered.
    handovers: u32,
    /// Waits that were given up: timed out, cancelled or interrupted.
    withdrawals: u32,
}

impl From<(usize, Counters)> for Statistics {
    fn from((waiting, counters): (usize, Counters)) -> Self {
        let Counters { waits, handovers, withdrawals } = counters;
        Self { waiting, waits, handovers, withdrawals }
    }
}

#[pymethods]
impl Statistics {
    fn __repr__(&self) -> String {
        format!(
            "Statistics(waiting={}, waits={}, handovers={}, withdrawals={})",
            self.waiting, self.waits, self.handovers, self.withdrawals
        )
    }
}

/// Who waits for an object that processes share: threads of all of them that sleep, as the kernel counts them, and coroutines
/// of this process; at a condition, all of them. Whoever was killed does not count.
///
/// >>> import oneloom.shared
/// >>> oneloom.shared.Lock().statistics()
/// Statistics(waiting=0)
#[pyclass(frozen, get_all, eq, module = "oneloom.shared", name = "Statistics")]
#[derive(PartialEq)]
pub struct SharedStatistics {
    /// How many wait now.
    pub waiting: usize,
}

#[pymethods]
impl SharedStatistics {
    fn __repr__(&self) -> String {
        format!("Statistics(waiting={})", self.waiting)
    }
}

/// Slow-path events of a queue since it was made, and who waits now. Calls that need not wait are not counted.
///
/// >>> import oneloom, queue
/// >>> jobs = oneloom.Queue()
/// >>> try:
/// ...     jobs.get(timeout=0.05)
/// ... except queue.Empty:
/// ...     jobs.statistics().get_waits
/// 1
#[pyclass(frozen, get_all, eq, module = "oneloom")]
#[derive(PartialEq)]
pub struct QueueStatistics {
    /// Threads and coroutines that wait now, for whatever.
    waiting: usize,
    /// Those that wait for an item.
    waiting_getters: usize,
    /// Those that wait for a free place.
    waiting_putters: usize,
    /// Those that wait for all work to be done.
    waiting_joiners: usize,
    /// Gets that had to wait.
    get_waits: u32,
    /// Gets that were promised an item because they had been overtaken too long.
    get_handovers: u32,
    /// Gets that were given up.
    get_withdrawals: u32,
    /// Puts that had to wait.
    put_waits: u32,
    /// Puts that were promised a place because they had been overtaken too long.
    put_handovers: u32,
    /// Puts that were given up.
    put_withdrawals: u32,
}

impl From<QueueCounters> for QueueStatistics {
    fn from(counters: QueueCounters) -> Self {
        let QueueCounters { waiting_getters, waiting_putters, waiting_joiners, gets, puts } = counters;
        Self {
            waiting: waiting_getters + waiting_putters + waiting_joiners,
            waiting_getters,
            waiting_putters,
            waiting_joiners,
            get_waits: gets.waits,
            get_handovers: gets.handovers,
            get_withdrawals: gets.withdrawals,
            put_waits: puts.waits,
            put_handovers: puts.handovers,
            put_withdrawals: puts.withdrawals,
        }
    }
}

#[pymethods]
impl QueueStatistics {
    fn __repr__(&self) -> String {
        format!(
            "QueueStatistics(waiting_getters={}, waiting_putters={}, waiting_joiners={}, get_waits={}, put_waits={})",
            self.waiting_getters, self.waiting_putters, self.waiting_joiners, self.get_waits, self.put_waits
        )
    }
}

/// Who waits for a queue that processes share: threads of all of them that sleep, as the kernel counts them, and coroutines
/// of this process. Whoever was killed does not count.
///
/// >>> import oneloom.shared
/// >>> jobs = oneloom.shared.Queue()
/// >>> jobs.statistics()
/// QueueStatistics(waiting_getters=0, waiting_putters=0, waiting_joiners=0)
#[pyclass(frozen, get_all, eq, module = "oneloom.shared", name = "QueueStatistics")]
#[derive(PartialEq)]
pub struct SharedQueueStatistics {
    /// How many wait now, for whatever.
    waiting: usize,
    /// Those that wait for an item.
    waiting_getters: usize,
    /// Those that wait for a free place.
    waiting_putters: usize,
    /// Those that wait for all work to be done.
    waiting_joiners: usize,
}

impl From<[usize; 3]> for SharedQueueStatistics {
    fn from([waiting_getters, waiting_putters, waiting_joiners]: [usize; 3]) -> Self {
        let waiting = waiting_getters + waiting_putters + waiting_joiners;
        Self { waiting, waiting_getters, waiting_putters, waiting_joiners }
    }
}

#[pymethods]
impl SharedQueueStatistics {
    fn __repr__(&self) -> String {
        format!(
            "QueueStatistics(waiting_getters={}, waiting_putters={}, waiting_joiners={})",
            self.waiting_getters, self.waiting_putters, self.waiting_joiners
        )
    }
}
