//! The owner's side of a pool of processes: the state machine of [`crate::dispatch`], the mailbox, and two threads.
//!
//! The *collector* reads the mailbox and does what the machine decides then. So does whoever cancels, and for a moment
//! whoever waits; who submits does at once what that brings about. The *watcher* tells of processes that have ended.
//!
//! Two locks: `reading` is held by whoever takes mail until the machine knows of it, so that mail is known in its order;
//! `state` is the machine's, and is taken inside it. Nothing foreign runs inside either: what a [`Report`] or a
//! [`Launcher`] is to be told is collected, and told when they are left; but for what they only note.

mod collector;
mod inner;
mod mail;
mod watcher;

use std::sync::Arc;

use oneloom_shm::error::Error;
use oneloom_shm::segment::Segment;
use oneloom_sync::raw::RawEvent;
use oneloom_wait::background;

use crate::dispatch::Cancelled;
use crate::launch::Launcher;
use crate::message::TaskId;
use crate::packet::Packet;
use crate::task::{Failure, Limits, Refusal, Report};

use inner::{Inner, Job, now};

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

impl Pool {
    /// A pool, without any worker yet.
    ///
    /// # Errors
    /// If there is no shared memory or no thread for it.
    pub fn new(settings: Settings, launcher: Arc<dyn Launcher>) -> Result<Self, Error> {
        let inner = Arc::new(Inner::new(settings, launcher)?);
        let no_thread = |error| Error::system("no thread for a pool", error);
        let (watching, collecting) = (inner.clone(), inner.clone());
        background::spawn("oneloom-deaths", move || watching.watch_deaths()).map_err(no_thread)?;
        let pool = Self(inner.clone());
        background::spawn("oneloom-mail", move || collecting.collect(&pool)).map_err(|error| {
            inner.stop_watching();
            no_thread(error)
        })?;
        Ok(Self(inner))
    }

    /// Where packets for this pool's tasks stand.
    pub fn segment(&self) -> &'static Segment {
        self.0.segment()
    }

    /// Whether this process made it, and not the one that it was forked from.
    pub fn is_here(&self) -> bool {
        self.0.is_here()
    }

    /// Hands in a task. May wait a moment for others who do the same, so not to be called attached.
    ///
    /// # Errors
    /// Why it takes none; then `report` is told nothing.
    pub fn submit(&self, packet: Packet, limits: Limits, report: Box<dyn Report>) -> Result<TaskId, Refusal> {
        if !self.is_here() {
            return Err(Refusal::Forked);
        }
        let mut state = self.0.state.lock();
        let id = match state.machine.submit(Job { packet: Some(packet), report }, limits, now()) {
            Ok(id) => id,
            Err((job, refusal)) => {
                // Dropping the report may run anything.
                drop(state);
                drop(job);
                return Err(refusal);
            }
        };
        let outbox = self.0.carry_on(&mut state, None);
        drop(state);
        outbox.deliver(self);
        Ok(id)
    }

    /// Cancels a task that no worker runs yet; with `running` also one that does, whose worker is killed. True if it is
    /// cancelled, which its report was told by then; false if it has ended, or runs.
    pub fn cancel(&self, task: TaskId, running: bool) -> bool {
        if !self.is_here() {
            return false;
        }
        let reading = self.0.reading.lock();
        let mut state = self.0.state.lock();
        let mut found = state.machine.cancel(task);
        if let Cancelled::Waits(worker) = found {
            self.0.drain(&mut state, worker);
            found = state.machine.cancel(task);
        }
        if running {
            if let Cancelled::Runs(worker) | Cancelled::Waits(worker) = found {
                let ended = self.0.end_running(&mut state, &reading, worker, task, |_| Failure::Cancelled);
                // It may have failed meanwhile, and wait to be tried again.
                found = if ended { Cancelled::Yes } else { state.machine.cancel(task) };
            }
        }
        state.machine.advance(now());
        let outbox = self.0.carry_on(&mut state, Some(&reading));
        drop(state);
        drop(reading);
        outbox.deliver(self);
        found == Cancelled::Yes
    }

    /// Takes no more tasks, and ends when all are done; with `cancel`, those that no worker runs yet are cancelled.
    pub fn shut_down(&self, cancel: bool) {
        self.change(|inner, state| {
            state.machine.close(cancel);
            // What waits in queues is to be known before anything is handed out anew.
            inner.perform(state, None);
        });
    }

    /// Kills all workers; all tasks that have not ended are told [`Terminated`](Failure::Terminated).
    pub fn terminate(&self) {
        self.change(|_, state| state.machine.terminate());
    }

    /// Launches workers ahead of tasks, until there are so many.
    pub fn launch(&self, workers: usize) {
        self.change(|_, state| state.machine.want(workers));
    }

    /// Reads the answers that come on the calling thread, for half a millisecond at most, until `done`: for whoever is about to
    /// wait for one of them, where a thread in between would cost as much as the task. Returns at once where tasks take
    /// long. Whoever called it waits as ever afterwards.
    pub fn help(&self, done: &dyn Fn() -> bool) {
        if self.is_here() {
            self.0.help(self, done);
        }
    }

    /// Set when all tasks and all workers have ended, after a shutdown, and everybody was told.
    pub fn over(&self) -> &RawEvent {
        &self.0.over
    }

    /// What it is doing now.
    pub fn counts(&self) -> Counts {
        if !self.is_here() {
            return Counts::default();
        }
        let (pending, running, workers) = self.0.state.lock().machine.counts();
        Counts { pending, running, workers }
    }

    /// The processes that are its workers now: their numbers in the pool, and their process ids.
    pub fn workers(&self) -> Vec<(u32, u32)> {
        if !self.is_here() {
            return Vec::new();
        }
        self.0.state.lock().machine.processes().collect()
    }

    fn launched(&self, worker: u32, how: Result<u32, String>) {
        self.change(|inner, state| match how {
            Ok(pid) => {
                state.machine.launched(worker, pid);
                inner.watch(worker, pid);
            }
            Err(why) => {
                state.machine.not_launched(worker, why);
                inner.leave_seat(state, worker);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&Inner, &mut inner::State)) {
        if self.is_here() {
            // What is overdue may be found here, too.
            let reading = self.0.reading.lock();
            let mut state = self.0.state.lock();
            change(&self.0, &mut state);
            state.machine.advance(now());
            let outbox = self.0.carry_on(&mut state, Some(&reading));
            drop(state);
            drop(reading);
            outbox.deliver(self);
        }
    }
}
