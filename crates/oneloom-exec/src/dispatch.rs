//! Who runs what, and what becomes of it: a state machine without threads, without a clock, and without processes.
//!
//! It is told what happened and when (nanoseconds, from any beginning), and gives [`Action`]s in the order in which they
//! are to be done. It never assumes that an action has had its effect before it is told so.
//!
//! A worker's tasks stand in its queue in the order of `assigned`; it takes one at a time, and answers it before it takes
//! the next. So the first of them is the one that it runs, and the others may still be in its queue, from where the owner
//! can take them back (*drain*). Nobody is killed before its queue was drained and the mail was read once more: then there
//! is no other task that could be hit.

mod tasks;
mod workers;

#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use crate::launch::Exit;
use crate::message::TaskId;
use crate::task::{Failure, Limits, Refusal};

use tasks::{Place, Task, Tasks};
use workers::{Pace, Phase, Worker};

/// What the machine knows of a task's content.
pub trait Content {
    /// A worker has it now, or (false) has it no more and will not answer it.
    fn running(&self, running: bool);
}

/// What is to be done.
#[derive(Debug)]
pub enum Action<T> {
    /// Launch a worker of that number; then tell [`Dispatch::launched`] or [`Dispatch::not_launched`].
    Launch(u32),
    /// Put the task into the worker's queue.
    Send(u32, TaskId),
    /// Take everything out of the worker's queue; then tell [`Dispatch::drained`].
    Drain(u32),
    /// The worker's task has taken too long: drain the worker, read the mail, and if [`Dispatch::runs`] it still, tell
    /// [`Dispatch::kill`].
    Overdue(u32, TaskId),
    /// Tell the worker that there are no more tasks.
    Dismiss(u32),
    /// Kill the worker's process.
    Kill(u32),
    /// The task has ended without an answer.
    Finish(TaskId, T, Failure),
}

/// What came of trying to cancel a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cancelled {
    /// It is cancelled.
    Yes,
    /// It has ended.
    Ended,
    /// It is the one that this worker runs.
    Runs(u32),
    /// This worker may have it in its queue: drain it, and try again.
    Waits(u32),
}

/// How many times in a row a worker may fail to begin before tasks are refused.
const FALSE_STARTS: u32 = 3;
/// After how long a worker's queue is emptied behind a task that takes longer than those before.
const STUCK: u64 = 2_000_000;

/// A worker that leaves what it is given for so long, and answers nothing, is replaced: it was stopped, perhaps.
const DEAF: u64 = 1_000_000_000;

/// So many cancelled tasks, and as many as wait, may stand among these: taking each out at once would go through all.
const MOST_CANCELLED: usize = 1024;

/// No time limit is shorter: it counts from when a task is given to a worker, which has to wake up for it.
const SHORTEST_LIMIT: u64 = 5_000_000;

/// See the module.
pub struct Dispatch<T> {
    tasks: Tasks<T>,
    /// Tasks for which there was no place yet; some of them may be cancelled meanwhile.
    pending: VecDeque<TaskId>,
    /// How many of `pending` are not.
    waiting: usize,
    workers: Vec<Worker>,
    /// The number of the next worker.
    next_worker: u32,
    /// How many workers there are at most.
    most: usize,
    /// How many there shall be even without tasks for them.
    wanted: usize,
    /// How many tasks each gets at most.
    tasks_per_worker: u64,
    pace: Pace,
    /// How many workers in a row have failed to begin, each launched after the one before had failed; how the last one did,
    /// and its process if it had one; and from which number on they count. What fells many at once says nothing of those
    /// that come after.
    false_starts: u32,
    why_not: (String, Option<u32>),
    counted_from: u32,
    /// Why it takes no tasks any more.
    refused: Option<Refusal>,
    closed: bool,
    /// What waits is to be cancelled.
    dropping: bool,
    /// Tasks came back, a worker has room, or is no more, and nobody has looked yet who is to take over.
    moved: bool,
    actions: VecDeque<Action<T>>,
}

impl<T: Content> Dispatch<T> {
    /// For so many workers, each of which gets so many tasks at most.
    pub fn new(workers: usize, tasks_per_worker: Option<u64>) -> Self {
        Self {
            tasks: Tasks::new(),
            pending: VecDeque::new(),
            waiting: 0,
            workers: Vec::new(),
            next_worker: 1,
            most: workers.max(1),
            wanted: 0,
            tasks_per_worker: tasks_per_worker.unwrap_or(u64::MAX).max(1),
            pace: Pace::default(),
            false_starts: 0,
            why_not: Default::default(),
            counted_from: 0,
            refused: None,
            closed: false,
            dropping: false,
            moved: false,
            actions: VecDeque::new(),
        }
    }

    /// The next thing to do.
    #[inline]
    pub fn next_action(&mut self) -> Option<Action<T>> {
        self.actions.pop_front()
    }

    /// Whether what was done since the last [`Self::advance`] calls for another one.
    #[inline]
    pub fn is_to_advance(&self) -> bool {
        self.moved
    }

    /// A new task.
    ///
    /// # Errors
    /// Why there is none; with the content.
    #[inline]
    pub fn submit(&mut self, content: T, limits: Limits, now: u64) -> Result<TaskId, (T, Refusal)> {
        if let Some(refusal) = &self.refused {
            return Err((content, refusal.clone()));
        }
        if self.closed {
            return Err((content, Refusal::ShutDown));
        }
        let nanoseconds = |timeout: Duration| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        let timeout = limits.timeout.map(|timeout| nanoseconds(timeout).max(SHORTEST_LIMIT));
        let id = self.tasks.insert(Task { content, retries: limits.retries, timeout, place: Place::Pending });
        self.pending.push_back(id);
        self.waiting += 1;
        self.hand_out(now);
        self.scale();
        Ok(id)
    }

    /// A task's content.
    pub fn content(&mut self, id: TaskId) -> Option<&mut T> {
        self.tasks.get_mut(id).map(|task| &mut task.content)
    }

    /// Whether another run may follow this one.
    pub fn may_run_again(&self, id: TaskId) -> bool {
        self.tasks.get(id).is_some_and(|task| task.retries > 0)
    }

    /// A worker has a process.
    pub fn launched(&mut self, number: u32, pid: u32) {
        if let Some(worker) = self.worker(number) {
            worker.pid = pid;
            if worker.phase == Phase::Killed {
                self.actions.push_back(Action::Kill(number));
            }
        }
    }

    /// A worker could not be launched.
    pub fn not_launched(&mut self, number: u32, why: String) {
        if let Some(place) = self.place_of(number) {
            self.workers.swap_remove(place);
            self.moved = true;
            self.false_start(number, why, None);
        }
    }

    /// A worker takes tasks from now on.
    pub fn ready(&mut self, number: u32, pid: u32) {
        if let Some(worker) = self.starting(number) {
            worker.phase = Phase::Ready;
            worker.pid = pid;
            self.moved = true;
            self.false_starts = 0;
        }
    }

    /// A worker says that nobody could run this pool's tasks.
    pub fn refuse(&mut self, number: u32, why: Refusal) {
        if let Some(worker) = self.starting(number) {
            worker.phase = Phase::Leaving;
            self.refused.get_or_insert(why);
        }
    }

    /// A worker has answered a task, or failed to put it into its queue. Gives the content if that was its end: with
    /// `again`, only if it may not be tried once more.
    #[inline]
    pub fn answered(&mut self, number: u32, id: TaskId, again: bool, took: u64, now: u64) -> Option<T> {
        let place = self.place_of(number)?;
        let worker = &mut self.workers[place];
        let position = worker.assigned.iter().position(|assigned| *assigned == id)?;
        worker.assigned.remove(position);
        self.pace.note(took);
        self.moved = true;
        worker.stuck = false;
        worker.deaf_for = 0;
        if position == 0 {
            worker.since = now;
            if let Some(task) = worker.assigned.front().and_then(|next| self.tasks.get(*next)) {
                task.content.running(true);
            }
        }
        if worker.assigned.is_empty() && worker.given >= self.tasks_per_worker && worker.phase == Phase::Ready
        {
            worker.phase = Phase::Leaving;
            self.actions.push_back(Action::Dismiss(number));
        }
        if again && self.try_again(id) {
            return None;
        }
        self.tasks.remove(id).map(|task| task.content)
    }

    /// These tasks, in their order, were in the worker's queue and are not any more.
    pub fn drained(&mut self, number: u32, ids: &[TaskId], now: u64) {
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.number == number) else { return };
        for id in ids.iter().rev() {
            let Some(position) = worker.assigned.iter().position(|assigned| assigned == id) else { continue };
            worker.assigned.remove(position);
            worker.given -= 1;
            if position == 0 {
                worker.deaf_for += now.saturating_sub(worker.since);
            }
            if let Some(task) = self.tasks.get_mut(*id) {
                if position == 0 {
                    task.content.running(false);
                }
                task.place = Place::Pending;
                self.pending.push_front(*id);
                self.waiting += 1;
                self.moved = true;
            }
        }
        if worker.deaf_for >= DEAF && worker.phase == Phase::Ready {
            // It has no task that would pay for it.
            worker.phase = Phase::Killed;
            self.actions.push_back(Action::Kill(number));
        }
    }

    /// A worker's process has ended, after all that it has answered; its queue was drained.
    pub fn died(&mut self, number: u32, exit: Exit) {
        let Some(place) = self.place_of(number) else { return };
        let worker = self.workers.swap_remove(place);
        self.moved = true;
        if worker.phase == Phase::Starting {
            let text = exit.text.as_ref().map(|text| format!("\n{text}")).unwrap_or_default();
            self.false_start(
                number,
                format!("process {} {}{text}", worker.pid, exit.status),
                Some(worker.pid),
            );
        } else {
            // It had begun: those that failed to before it was gone say nothing of who takes its place.
            self.false_starts = 0;
        }
        for id in worker.assigned {
            self.fail(id, Failure::Died { pid: worker.pid, exit: exit.clone() });
        }
    }

    /// Whether that is the task which the worker runs.
    pub fn runs(&self, number: u32, id: TaskId) -> bool {
        let worker = self.workers.iter().find(|worker| worker.number == number);
        worker.is_some_and(|worker| worker.assigned.front() == Some(&id))
    }

    /// The worker is to be killed for the task that it [runs](Self::runs), which ends like this.
    pub fn kill(&mut self, number: u32, id: TaskId, failure: impl FnOnce(u32) -> Failure) {
        let Some(worker) = self.worker(number) else { return };
        worker.phase = Phase::Killed;
        worker.assigned.retain(|assigned| *assigned != id);
        let pid = worker.pid;
        self.actions.push_back(Action::Kill(number));
        match failure(pid) {
            Failure::Cancelled => self.finish(id, Failure::Cancelled),
            failure => self.fail(id, failure),
        }
    }

    /// Cancels a task that no worker has.
    pub fn cancel(&mut self, id: TaskId) -> Cancelled {
        match self.tasks.get(id).map(|task| task.place) {
            None => Cancelled::Ended,
            Some(Place::Pending) => {
                self.waiting -= 1;
                self.finish(id, Failure::Cancelled);
                if self.pending.len() > 2 * self.waiting + MOST_CANCELLED {
                    self.pending.retain(|id| self.tasks.get(*id).is_some());
                }
                Cancelled::Yes
            }
            Some(Place::At(number)) if self.runs(number, id) => Cancelled::Runs(number),
            Some(Place::At(number)) => Cancelled::Waits(number),
        }
    }

    /// Takes no more tasks; with `cancel`, those that no worker runs are cancelled.
    pub fn close(&mut self, cancel: bool) {
        self.closed = true;
        if cancel {
            self.dropping = true;
            let filled = self.workers.iter().filter(|worker| worker.assigned.len() > 1);
            self.actions.extend(filled.map(|worker| Action::Drain(worker.number)));
        }
    }

    /// Kills every worker; every task ends.
    pub fn terminate(&mut self) {
        self.closed = true;
        self.pending.clear();
        self.waiting = 0;
        for worker in &mut self.workers {
            worker.assigned.clear();
            if worker.phase != Phase::Killed {
                worker.phase = Phase::Killed;
                self.actions.push_back(Action::Kill(worker.number));
            }
        }
        for (id, task) in self.tasks.drain() {
            self.actions.push_back(Action::Finish(id, task.content, Failure::Terminated));
        }
    }

    /// There shall be so many workers, whether there are tasks for them or not.
    pub fn want(&mut self, workers: usize) {
        self.wanted = workers.min(self.most);
    }

    /// Does what is due. To be called whenever anything was told.
    pub fn advance(&mut self, now: u64) {
        self.moved = false;
        // Looking into it may mean reading the mail, and nobody is to be dead before it was sent what it was given.
        let late = self.find_late(now);
        self.give_up();
        self.hand_out(now);
        self.scale();
        self.actions.extend(late);
        if self.closed && self.tasks.is_empty() {
            for worker in &mut self.workers {
                if matches!(worker.phase, Phase::Starting | Phase::Ready) {
                    worker.phase = Phase::Leaving;
                    self.actions.push_back(Action::Dismiss(worker.number));
                }
            }
        }
    }

    /// When [`Self::advance`] has something to do although nothing happened; never is the largest number.
    pub fn alarm(&self) -> u64 {
        let of = |worker: &Worker| {
            let running = worker.assigned.front().and_then(|id| self.tasks.get(*id));
            let timeout = running.and_then(|task| task.timeout);
            let late = timeout.map_or(u64::MAX, |timeout| worker.since.saturating_add(timeout));
            if worker.phase == Phase::Ready { late.min(worker.stuck_at()) } else { u64::MAX }
        };
        self.workers.iter().map(of).min().unwrap_or(u64::MAX)
    }

    /// How long tasks take as a rule, in nanoseconds; the largest number before the first.
    pub fn mean(&self) -> u64 {
        self.pace.mean()
    }

    /// Whether there will never be anything to do.
    pub fn is_over(&self) -> bool {
        self.closed && self.tasks.is_empty() && self.workers.is_empty()
    }

    /// How many tasks no worker runs, how many one does, and how many workers there are.
    pub fn counts(&self) -> (usize, usize, usize) {
        let running = self.workers.iter().filter(|worker| !worker.assigned.is_empty()).count();
        (self.tasks.len() - running, running, self.workers.len())
    }

    /// The workers that have a process: number and process id.
    pub fn processes(&self) -> impl Iterator<Item = (u32, u32)> {
        self.workers.iter().filter(|worker| worker.pid != 0).map(|worker| (worker.number, worker.pid))
    }

    /// A worker's process, 0 if it has none.
    pub fn pid(&self, number: u32) -> u32 {
        self.workers.iter().find(|worker| worker.number == number).map_or(0, |worker| worker.pid)
    }

    /// Gives waiting tasks to workers that have room for them.
    #[inline]
    fn hand_out(&mut self, now: u64) {
        let credit = self.pace.credit();
        while self.waiting > 0 {
            let has_room =
                |worker: &&mut Worker| worker.has_room(credit) && worker.given < self.tasks_per_worker;
            let free = self.workers.iter_mut().filter(has_room).min_by_key(|worker| worker.assigned.len());
            let Some(worker) = free else { break };
            let Some(id) = self.pending.pop_front() else { break };
            let Some(task) = self.tasks.get_mut(id) else { continue };
            self.waiting -= 1;
            task.place = Place::At(worker.number);
            worker.assigned.push_back(id);
            worker.given += 1;
            if worker.assigned.len() == 1 {
                worker.since = now;
                task.content.running(true);
            }
            self.actions.push_back(Action::Send(worker.number, id));
        }
    }

    /// Launches workers for tasks that nobody runs.
    #[inline]
    fn scale(&mut self) {
        if self.workers.len() == self.most && self.workers.iter().all(|worker| worker.phase == Phase::Ready) {
            return;
        }
        let staying = |worker: &&Worker| matches!(worker.phase, Phase::Starting | Phase::Ready);
        let mut there = self.workers.iter().filter(staying).count();
        let mut starting = self.workers.iter().filter(|worker| worker.phase == Phase::Starting).count();
        let kept: usize = self.workers.iter().map(|worker| worker.assigned.len().saturating_sub(1)).sum();
        let wanted = if self.closed { 0 } else { self.wanted };
        let may = self.refused.is_none() && self.false_starts < FALSE_STARTS;
        while may && there < self.most && (starting < self.waiting + kept || there < wanted) {
            self.workers.push(Worker::new(self.next_worker));
            self.actions.push_back(Action::Launch(self.next_worker));
            self.next_worker += 1;
            there += 1;
            starting += 1;
        }
    }

    /// What is to be done about workers whose task takes long. They get no others meanwhile.
    fn find_late(&mut self, now: u64) -> Vec<Action<T>> {
        let mut late = Vec::new();
        for worker in self.workers.iter_mut().filter(|worker| worker.phase == Phase::Ready) {
            let Some(running) = worker.assigned.front() else { continue };
            let timeout = self.tasks.get(*running).and_then(|task| task.timeout);
            if timeout.is_some_and(|timeout| worker.since.saturating_add(timeout) <= now) {
                late.push(Action::Overdue(worker.number, *running));
            } else if worker.is_stuck(now) {
                late.push(Action::Drain(worker.number));
            } else {
                continue;
            }
            worker.stuck = true;
        }
        late
    }

    /// Ends the tasks that wait for what will not come.
    fn give_up(&mut self) {
        let hopeless = self.false_starts >= FALSE_STARTS
            && !self.workers.iter().any(|worker| matches!(worker.phase, Phase::Starting | Phase::Ready));
        let why = match &self.refused {
            Some(refusal) => Failure::Refused(refusal.clone()),
            None if self.dropping => Failure::Cancelled,
            None if hopeless => {
                self.false_starts = 0;
                // Only tasks bring new attempts.
                self.wanted = 0;
                let (last, pid) = std::mem::take(&mut self.why_not);
                let why = format!(
                    "{FALSE_STARTS} workers in a row ended before they were ready; the last one: {last}"
                );
                Failure::Refused(Refusal::Launch { why, pid })
            }
            None => return,
        };
        self.waiting = 0;
        for id in std::mem::take(&mut self.pending) {
            self.finish(id, why.clone());
        }
    }

    fn false_start(&mut self, number: u32, why: String, pid: Option<u32>) {
        if number >= self.counted_from {
            self.false_starts += 1;
            self.counted_from = self.next_worker;
        }
        self.why_not = (why, pid);
    }

    /// A run of a task has failed.
    fn fail(&mut self, id: TaskId, failure: Failure) {
        if !self.try_again(id) {
            self.finish(id, failure);
        }
    }

    /// Lets a task run once more, if it may.
    fn try_again(&mut self, id: TaskId) -> bool {
        let Some(task) = self.tasks.get_mut(id).filter(|task| task.retries > 0) else { return false };
        task.retries -= 1;
        task.place = Place::Pending;
        task.content.running(false);
        self.pending.push_front(id);
        self.waiting += 1;
        self.moved = true;
        true
    }

    fn finish(&mut self, id: TaskId, failure: Failure) {
        if let Some(task) = self.tasks.remove(id) {
            self.actions.push_back(Action::Finish(id, task.content, failure));
        }
    }

    fn place_of(&self, number: u32) -> Option<usize> {
        self.workers.iter().position(|worker| worker.number == number)
    }

    fn worker(&mut self, number: u32) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|worker| worker.number == number)
    }

    /// A worker that has not said yet whether it takes tasks.
    fn starting(&mut self, number: u32) -> Option<&mut Worker> {
        self.worker(number).filter(|worker| worker.phase == Phase::Starting)
    }
}
