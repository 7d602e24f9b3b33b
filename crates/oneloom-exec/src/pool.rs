//! The owner's side of a pool of processes.

use std::sync::Arc;

use oneloom_shm::error::Error;
use oneloom_shm::segment::Segment;
use oneloom_sync::raw::RawEvent;

use crate::launch::Launcher;
use crate::packet::Packet;
use crate::task::{Limits, Refusal, Report, TaskId};

/// What a pool is to be like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// How many workers there are at most; they are launched when tasks come.
    pub workers: usize,
    /// After how many tasks a worker ends and another takes its place; `None` is never.
    pub tasks_per_worker: Option<u64>,
}

/// What a pool is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Tasks that no worker runs yet.
    pub pending: usize,
    /// Tasks that a worker runs.
    pub running: usize,
    /// Workers, those included that are being launched or are about to end.
    pub workers: usize,
}

/// A pool of processes. Cloned, it is the same pool; one that nobody has shut down goes on when it is dropped.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    launcher: Arc<dyn Launcher>,
    segment: &'static Segment,
    over: RawEvent,
}

impl Pool {
    /// A pool, without any worker yet.
    ///
    /// # Errors
    /// If there is no shared memory or no thread for it.
    pub fn new(_settings: Settings, launcher: Arc<dyn Launcher>) -> Result<Self, Error> {
        let segment = oneloom_shm::family::home()?;
        Ok(Self(Arc::new(Inner { launcher, segment, over: RawEvent::default() })))
    }

    /// Where packets for this pool's tasks stand.
    pub fn segment(&self) -> &'static Segment {
        self.0.segment
    }

    /// Hands in a task. May wait a moment for others who do the same, so not to be called attached.
    ///
    /// # Errors
    /// Why it takes none; then `report` is told nothing.
    pub fn submit(
        &self,
        _packet: Packet,
        _limits: Limits,
        _report: Box<dyn Report>,
    ) -> Result<TaskId, Refusal> {
        Err(Refusal::ShutDown)
    }

    /// Cancels a task that no worker runs yet; with `running` also one that does, whose worker is killed. True if it is
    /// cancelled, which its report was told by then; false if it has ended, or runs.
    pub fn cancel(&self, _task: TaskId, _running: bool) -> bool {
        false
    }

    /// Takes no more tasks, and ends when all are done; with `cancel`, those that no worker runs yet are cancelled.
    pub fn shut_down(&self, _cancel: bool) {
        self.0.over.set();
        self.0.launcher.over();
    }

    /// Kills all workers; all tasks that have not ended are told [`Terminated`](crate::task::Failure::Terminated).
    pub fn terminate(&self) {
        self.0.over.set();
    }

    /// Set when all tasks and all workers have ended, after a shutdown.
    pub fn over(&self) -> &RawEvent {
        &self.0.over
    }

    /// What it is doing now.
    pub fn counts(&self) -> Counts {
        Counts::default()
    }

    /// The processes that are its workers now, by number.
    pub fn workers(&self) -> Vec<(u32, u32)> {
        Vec::new()
    }

    /// Launches workers ahead of tasks, until there are so many.
    pub fn launch(&self, _workers: usize) {}

    pub(crate) fn launched(&self, _worker: u32, _pid: u32) {}

    pub(crate) fn not_launched(&self, _worker: u32, _why: String) {}
}
