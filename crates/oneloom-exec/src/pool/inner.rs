//! What the owner's threads share, and what they do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use oneloom_shm::error::Error;
use oneloom_shm::family;
use oneloom_shm::flow::AnyQueue;
use oneloom_shm::payload::Item;
use oneloom_shm::process;
use oneloom_shm::queue::Queue;
use oneloom_shm::segment::Segment;
use oneloom_sync::raw::RawEvent;
use oneloom_sync::{Mutex, MutexGuard};
use oneloom_wait::{clock, fork};

use crate::desk::put;
use crate::dispatch::{Action, Content, Dispatch};
use crate::launch::{Launcher, Seat};
use crate::message::{Head, Kind, TaskId};
use crate::packet::Packet;
use crate::seat::Place;
use crate::task::{End, Failure, Refusal, Reply, Report};

use super::mail;
use super::watcher::Watcher;
use super::{Pool, Settings};

/// Now, as the machine counts.
pub use clock::now;

/// A task's content.
pub struct Job {
    /// What its workers get. None while a large one is with one of them.
    pub packet: Option<Packet>,
    pub report: Box<dyn Report>,
}

impl Content for Job {
    fn running(&self, running: bool) {
        self.report.running(running);
    }
}

/// What is behind the lock.
pub struct State {
    pub machine: Dispatch<Job>,
    /// The workers' queues, by their numbers.
    seats: Vec<(u32, Arc<Queue>)>,
    outbox: Outbox,
    /// When the collector looks at the clock again by itself, as [`now`] counts.
    pub alarm: u64,
}

/// What is to be told to others when the locks are left.
#[derive(Default)]
pub struct Outbox {
    ended: Vec<(Box<dyn Report>, End)>,
    seats: Vec<Place>,
    /// Queues of workers that have ended, whose memory is to be given back.
    left: Vec<Arc<Queue>>,
}

/// Runs what somebody else has written. If that panics, which it has told then, the others are to be told all the same.
pub fn apart(call: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(call));
}

impl Outbox {
    fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.seats.is_empty() && self.left.is_empty()
    }

    /// Tells it, outside all locks.
    pub fn deliver(self, pool: &Pool) {
        if self.is_empty() {
            return;
        }
        for (report, end) in self.ended {
            apart(|| report.ended(end));
        }
        for place in self.seats {
            let told = pool.clone();
            let seat = Seat::new(place, Box::new(move |how| told.launched(place.worker, how)));
            apart(|| pool.0.launcher.launch(seat));
        }
        for queue in self.left {
            // What can't be given back stays: nobody could be told.
            let _ = queue.end();
        }
        if pool.0.telling.fetch_sub(1, Ordering::SeqCst) == 1 | OVER {
            pool.0.wake_collector();
        }
    }
}

/// In [`Inner::telling`]: there will be nothing else to tell.
const OVER: usize = 1 << (usize::BITS - 1);

/// Whoever has it reads the mail, and nobody else does.
pub type Reading<'a> = MutexGuard<'a, ()>;

/// See the module.
pub struct Inner {
    pub launcher: Arc<dyn Launcher>,
    pub mailbox: Arc<Queue>,
    pub watcher: Watcher,
    /// The fork generation of the process that made it.
    born: u32,
    /// Who the workers live and die with.
    owner: (u32, u64),
    /// Held by whoever takes mail, until the machine knows of it. Comes before `state`.
    pub reading: Mutex<()>,
    pub state: Mutex<State>,
    /// How many threads have an [`Outbox`] that is not empty, perhaps with [`OVER`].
    telling: AtomicUsize,
    /// Held by the thread that reads the mail in the collector's place.
    pub helping: Mutex<()>,
    /// Such a thread has come since the collector last looked.
    pub helped: AtomicBool,
    /// It has left without what it waited for.
    pub resumed: RawEvent,
    /// Something was changed that the collector does not know.
    pub is_to_look: AtomicBool,
    /// Until when nobody helps, as [`now`] counts.
    pub crowded: AtomicU64,
    /// How long tasks take, in nanoseconds.
    pub mean: AtomicU64,
    pub over: RawEvent,
}

impl Inner {
    pub fn new(settings: Settings, launcher: Arc<dyn Launcher>) -> Result<Self, Error> {
        let state = State {
            machine: Dispatch::new(settings.workers, settings.tasks_per_worker),
            seats: Vec::new(),
            outbox: Outbox::default(),
            alarm: u64::MAX,
        };
        let pid = process::id();
        Ok(Self {
            launcher,
            mailbox: Arc::new(Queue::new(family::home()?, 0)?),
            watcher: Watcher::new()
                .map_err(|error| Error::system("a pool's workers can't be watched", error))?,
            born: fork::generation(),
            owner: (pid, process::started(pid).unwrap_or(0)),
            reading: Mutex::new(()),
            state: Mutex::new(state),
            telling: AtomicUsize::new(0),
            helping: Mutex::new(()),
            helped: AtomicBool::new(false),
            resumed: RawEvent::default(),
            is_to_look: AtomicBool::new(false),
            crowded: AtomicU64::new(0),
            mean: AtomicU64::new(u64::MAX),
            over: RawEvent::default(),
        })
    }

    pub fn segment(&self) -> &'static Segment {
        self.mailbox.segment()
    }

    pub fn is_here(&self) -> bool {
        fork::generation() == self.born
    }

    pub fn watch_deaths(&self) {
        self.watcher.run(&self.mailbox, &*self.launcher);
    }

    pub fn stop_watching(&self) {
        self.watcher.stop();
    }

    /// A worker's end is to be told from now on.
    pub fn watch(&self, worker: u32, pid: u32) {
        self.watcher.watch(worker, pid);
    }

    /// Does what the machine has decided, and lets the collector know what it is to know. What others are to be told is for
    /// the caller to deliver, outside the locks.
    pub fn carry_on(&self, state: &mut State, reading: Option<&Reading<'_>>) -> Outbox {
        self.perform(state, reading);
        if state.machine.is_over() {
            self.wake_collector();
        } else {
            let next = state.machine.alarm();
            if next < state.alarm {
                state.alarm = next;
                self.wake_collector();
            }
        }
        self.take_outbox(state)
    }

    pub fn take_outbox(&self, state: &mut State) -> Outbox {
        let outbox = std::mem::take(&mut state.outbox);
        if !outbox.is_empty() {
            self.telling.fetch_add(1, Ordering::SeqCst);
        }
        outbox
    }

    /// Whether there will never be anything to do, and everybody was told. Where that is still to come, who tells it wakes
    /// the collector.
    pub fn is_over(&self, state: &State) -> bool {
        state.machine.is_over() && self.telling.fetch_or(OVER, Ordering::SeqCst) & !OVER == 0
    }

    /// Does what the machine has decided. Without `reading`, what is overdue is left to the collector.
    pub fn perform(&self, state: &mut State, reading: Option<&Reading<'_>>) {
        loop {
            let Some(action) = state.machine.next_action() else {
                if !state.machine.is_to_advance() {
                    return;
                }
                state.machine.advance(now());
                continue;
            };
            match action {
                Action::Launch(worker) => self.prepare_seat(state, worker),
                Action::Send(worker, task) => self.send(state, worker, task),
                Action::Drain(worker) => self.drain(state, worker),
                Action::Overdue(worker, task) => match reading {
                    Some(reading) => {
                        let failure = |pid| Failure::TimedOut { pid };
                        self.end_running(state, reading, worker, task, failure);
                    }
                    None => self.wake_collector(),
                },
                Action::Dismiss(worker) => {
                    let Some(queue) = seat(state, worker) else { continue };
                    let end = Packet::empty().seal(Head::about(worker, Kind::End));
                    if end.and_then(|end| put(&queue, end)).is_err() {
                        // There is no memory to tell it so.
                        self.watcher.kill(worker);
                    }
                }
                Action::Kill(worker) => self.watcher.kill(worker),
                Action::Finish(_, job, failure) => state.outbox.ended.push((job.report, End::Lost(failure))),
            }
        }
    }

    fn prepare_seat(&self, state: &mut State, worker: u32) {
        match Queue::new(self.segment(), 0) {
            Ok(queue) => {
                let place = Place {
                    tasks: queue.object().handle(),
                    mailbox: self.mailbox.object().handle(),
                    worker,
                    owner: self.owner.0,
                    owner_started: self.owner.1,
                };
                state.outbox.seats.push(place);
                state.seats.push((worker, Arc::new(queue)));
            }
            Err(error) => state.machine.not_launched(worker, error.to_string()),
        }
    }

    /// Forgets the queue of a worker that has no process.
    pub fn leave_seat(&self, state: &mut State, worker: u32) {
        if let Some(place) = state.seats.iter().position(|(number, _)| *number == worker) {
            let (_, queue) = state.seats.swap_remove(place);
            state.outbox.left.push(queue);
        }
    }

    fn send(&self, state: &mut State, worker: u32, task: TaskId) {
        let Some(queue) = seat(state, worker) else { return };
        let is_last_run = !state.machine.may_run_again(task);
        let Some(job) = state.machine.content(task) else { return };
        let head = Head { task, ..Head::about(worker, Kind::Task) };
        if let Err(error) = self.put_task(&queue, job, head, is_last_run) {
            // As if the worker had answered so: the next one in its queue is the first now.
            if let Some(job) = state.machine.answered(worker, task, false, 0, now()) {
                state.outbox.ended.push((job.report, End::Lost(Failure::Memory(error))));
            }
        }
    }

    fn put_task(
        &self,
        queue: &Arc<Queue>,
        job: &mut Job,
        head: Head,
        is_last_run: bool,
    ) -> Result<(), Error> {
        let packet = job.packet.as_mut().ok_or(Error::Corrupt("a task that was sent twice"))?;
        match packet.sealed(head)? {
            Some((bytes, mark)) => match queue.try_put(bytes, mark)? {
                Some(_) => Ok(()),
                None => put(queue, Item::Small { bytes: bytes.to_vec(), mark }),
            },
            // Its memory goes with it, unless it may be needed again.
            None if is_last_run => match job.packet.take() {
                Some(packet) => put(queue, packet.seal(head)?),
                None => Ok(()),
            },
            None => put(queue, packet.copy(self.segment())?.seal(head)?),
        }
    }

    /// Takes back what a worker has not taken.
    pub fn drain(&self, state: &mut State, worker: u32) {
        let Some(queue) = seat(state, worker) else { return };
        let mut ids = Vec::new();
        for (head, packet) in mail::take(&queue).unwrap_or_default() {
            if head.kind == Kind::Task {
                ids.push(head.task);
                if let Some(job) = state.machine.content(head.task) {
                    job.packet.get_or_insert(packet);
                }
            }
        }
        state.machine.drained(worker, &ids, now());
    }

    /// Ends the task that a worker runs, by killing it, unless it turns out to have ended.
    pub fn end_running(
        &self,
        state: &mut State,
        reading: &Reading<'_>,
        worker: u32,
        task: TaskId,
        failure: impl FnOnce(u32) -> Failure,
    ) -> bool {
        self.drain(state, worker);
        let mail = mail::take(&self.mailbox).unwrap_or_default();
        self.read(state, reading, mail);
        let runs = state.machine.runs(worker, task);
        if runs {
            state.machine.kill(worker, task, failure);
        }
        runs
    }

    /// Tells the machine what came.
    pub fn read(&self, state: &mut State, _reading: &Reading<'_>, mail: Vec<(Head, Packet)>) {
        let now = now();
        for (head, packet) in mail {
            let worker = head.worker;
            match head.kind {
                Kind::Succeeded | Kind::Failed | Kind::FailedForGood => {
                    let again = head.kind == Kind::Failed;
                    if let Some(job) = state.machine.answered(worker, head.task, again, head.took, now) {
                        let took = Duration::from_nanos(head.took);
                        let reply = Reply { packet, took, pid: state.machine.pid(worker) };
                        let end = if head.kind == Kind::Succeeded { End::Succeeded } else { End::Failed };
                        state.outbox.ended.push((job.report, end(reply)));
                    }
                }
                Kind::Ready => state.machine.ready(worker, head.took as u32),
                Kind::Refused => state.machine.refuse(worker, Refusal::Worker(Arc::new(packet))),
                Kind::Record => {
                    let pid = state.machine.pid(worker);
                    apart(|| self.launcher.record(pid, packet));
                }
                Kind::Died => {
                    self.drain(state, worker);
                    state.machine.died(worker, self.watcher.exit(worker));
                    self.leave_seat(state, worker);
                }
                Kind::Task | Kind::End => {}
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.is_here() {
            // The collector had a share in this: so all workers have ended, and nobody sends.
            let _ = self.mailbox.end();
        }
    }
}

fn seat(state: &State, worker: u32) -> Option<Arc<Queue>> {
    state.seats.iter().find(|(number, _)| *number == worker).map(|(_, queue)| queue.clone())
}
