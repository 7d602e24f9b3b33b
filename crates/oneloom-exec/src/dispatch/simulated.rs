//! The machine among workers that are played: thousands of random histories, each from its seed, in which workers are slow,
//! fail to begin, answer late and die at any instant. Whatever happens, every task ends once, no death costs more than the
//! task that ran, and nobody is killed for another's task.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::{Action, Cancelled, Content, Dispatch};
use crate::launch::{Exit, Status};
use crate::message::TaskId;
use crate::task::{Failure, Limits};

/// Numbers that look random, from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

struct Nothing;

impl Content for Nothing {
    fn running(&self, _running: bool) {}
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Task(TaskId),
    End,
}

#[derive(Clone, Copy, Debug)]
enum Mail {
    Ready(u32),
    Answer(u32, TaskId, bool),
    Died(u32),
}

#[derive(Default)]
struct Worker {
    has_process: bool,
    is_ready: bool,
    is_dead: bool,
    queue: VecDeque<Order>,
    running: Option<TaskId>,
}

#[derive(Debug, PartialEq)]
enum Ended {
    Answered,
    Lost(&'static str),
}

struct World {
    machine: Dispatch<Nothing>,
    workers: HashMap<u32, Worker>,
    mail: VecDeque<Mail>,
    tasks: HashMap<TaskId, Limits>,
    /// How often each task was begun by some worker.
    runs: HashMap<TaskId, u32>,
    ended: HashMap<TaskId, Ended>,
    dice: Dice,
    now: u64,
}

fn pid(worker: u32) -> u32 {
    worker * 10
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let tasks_per_worker = (dice.roll(3) == 0).then(|| 1 + dice.roll(5));
        Self {
            machine: Dispatch::new(1 + dice.roll(4) as usize, tasks_per_worker),
            workers: HashMap::new(),
            mail: VecDeque::new(),
            tasks: HashMap::new(),
            runs: HashMap::new(),
            ended: HashMap::new(),
            dice,
            now: 0,
        }
    }

    fn end(&mut self, task: TaskId, how: Ended) {
        assert_eq!(self.ended.insert(task, how), None, "{task:?} has ended twice");
    }

    /// What the owner does with what was decided.
    fn perform(&mut self) {
        loop {
            let Some(action) = self.machine.next_action() else {
                if !self.machine.is_to_advance() {
                    return;
                }
                self.machine.advance(self.now);
                continue;
            };
            match action {
                Action::Launch(number) => {
                    self.workers.insert(number, Worker::default());
                }
                Action::Send(number, task) => self.worker(number).queue.push_back(Order::Task(task)),
                Action::Dismiss(number) => self.worker(number).queue.push_back(Order::End),
                Action::Drain(number) => self.drain(number),
                Action::Overdue(number, task) => {
                    assert!(self.tasks[&task].timeout.is_some(), "{task:?} has no time limit");
                    self.end_running(number, task, |pid| Failure::TimedOut { pid });
                }
                Action::Kill(number) => self.die(number),
                Action::Finish(task, Nothing, failure) => self.finish(task, &failure),
            }
        }
    }

    fn finish(&mut self, task: TaskId, failure: &Failure) {
        if let Failure::Died { pid, .. } = failure {
            let worker = &self.workers[&(pid / 10)];
            assert!(worker.is_dead && worker.running == Some(task), "{task:?} did not run in the dead {pid}");
        }
        let name = match failure {
            Failure::Died { .. } => "died",
            Failure::TimedOut { .. } => "timed out",
            Failure::Cancelled => "cancelled",
            Failure::Refused(_) => "refused",
            Failure::Terminated => "terminated",
            Failure::Memory(_) => "memory",
        };
        self.end(task, Ended::Lost(name));
    }

    fn worker(&mut self, number: u32) -> &mut Worker {
        self.workers.get_mut(&number).expect("a worker that was launched")
    }

    fn drain(&mut self, number: u32) {
        let orders = std::mem::take(&mut self.worker(number).queue);
        let ids: Vec<_> = orders
            .iter()
            .filter_map(|order| if let Order::Task(task) = order { Some(*task) } else { None })
            .collect();
        self.machine.drained(number, &ids, self.now);
    }

    fn end_running(&mut self, number: u32, task: TaskId, failure: fn(u32) -> Failure) -> bool {
        self.drain(number);
        self.read();
        if !self.machine.runs(number, task) {
            return false;
        }
        let worker = &self.workers[&number];
        assert!(worker.running == Some(task) || worker.is_dead, "{number} would be killed for {task:?}");
        assert!(worker.queue.is_empty(), "{number} would be killed with a neighbour in its queue");
        self.machine.kill(number, task, failure);
        true
    }

    fn die(&mut self, number: u32) {
        let worker = self.worker(number);
        if worker.has_process && !worker.is_dead {
            worker.is_dead = true;
            self.mail.push_back(Mail::Died(number));
        }
    }

    fn read(&mut self) {
        while let Some(mail) = self.mail.pop_front() {
            match mail {
                Mail::Ready(number) => self.machine.ready(number, pid(number)),
                Mail::Answer(number, task, again) => {
                    let took = 1 << self.dice.roll(24);
                    if self.machine.answered(number, task, again, took, self.now).is_some() {
                        self.end(task, Ended::Answered);
                    }
                }
                Mail::Died(number) => {
                    self.drain(number);
                    self.machine.died(number, Exit { status: Status::Signal(9), text: None });
                }
            }
        }
    }

    fn collect(&mut self) {
        self.read();
        self.machine.advance(self.now);
        self.perform();
    }

    fn submit(&mut self) {
        let timeout = (self.dice.roll(3) == 0).then(|| Duration::from_millis(self.dice.roll(20)));
        let limits = Limits { timeout, retries: self.dice.roll(3) as u32 };
        if let Ok(task) = self.machine.submit(Nothing, limits, self.now) {
            self.tasks.insert(task, limits);
        }
        self.perform();
    }

    fn cancel(&mut self) {
        let mut known: Vec<_> = self.tasks.keys().copied().collect();
        known.sort_unstable_by_key(|task| task.0);
        let Some(task) = known.get(self.dice.roll(known.len().max(1) as u64) as usize).copied() else {
            return;
        };
        let had_ended = self.ended.contains_key(&task);
        let mut found = self.machine.cancel(task);
        if let Cancelled::Waits(number) = found {
            self.drain(number);
            found = self.machine.cancel(task);
        }
        if self.dice.roll(2) == 0 {
            if let Cancelled::Runs(number) | Cancelled::Waits(number) = found {
                let ended = self.end_running(number, task, |_| Failure::Cancelled);
                found = if ended { Cancelled::Yes } else { self.machine.cancel(task) };
            }
        }
        self.machine.advance(self.now);
        self.perform();
        let is_cancelled = self.ended.get(&task) == Some(&Ended::Lost("cancelled"));
        assert_eq!(found == Cancelled::Yes, is_cancelled && !had_ended, "{task:?}");
    }

    /// Something that a worker does, or that is done to it. `mishaps`: also what it would rather not.
    fn work(&mut self, mishaps: bool) {
        let mut numbers: Vec<_> =
            self.workers.iter().filter(|(_, worker)| !worker.is_dead).map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        let Some(number) = numbers.get(self.dice.roll(numbers.len().max(1) as u64) as usize).copied() else {
            return;
        };
        // Beginning is harder than going on.
        let risk = if self.workers[&number].is_ready { 20 } else { 4 };
        let mishap = mishaps && self.dice.roll(risk) == 0;
        let again = mishaps && self.dice.roll(4) == 0;
        let worker = self.worker(number);
        if !worker.has_process {
            worker.has_process = !mishap;
            worker.is_dead = mishap;
            match mishap {
                true => self.machine.not_launched(number, "a mishap".into()),
                false => self.machine.launched(number, pid(number)),
            }
            self.machine.advance(self.now);
            return self.perform();
        }
        if mishap {
            return self.die(number);
        }
        if !worker.is_ready {
            worker.is_ready = true;
            return self.mail.push_back(Mail::Ready(number));
        }
        if let Some(task) = worker.running.take() {
            return self.mail.push_back(Mail::Answer(number, task, again));
        }
        match worker.queue.pop_front() {
            Some(Order::Task(task)) => {
                worker.running = Some(task);
                *self.runs.entry(task).or_default() += 1;
            }
            Some(Order::End) => self.die(number),
            None => {}
        }
    }

    /// Lets a history happen, and then all come to its end.
    fn live(&mut self) {
        for _ in 0..400 {
            match self.dice.roll(16) {
                0..3 => self.submit(),
                3..10 => self.work(true),
                10..13 => self.collect(),
                13..15 => self.now += 1 << self.dice.roll(27),
                _ => self.cancel(),
            }
        }
        match self.dice.roll(4) {
            0 => self.machine.terminate(),
            how => self.machine.close(how == 1),
        }
        self.perform();
        for _ in 0..100_000 {
            self.collect();
            if self.machine.is_over() {
                break;
            }
            self.work(false);
        }
        assert!(self.machine.is_over(), "{:?} are left", self.machine.counts());
        for (task, limits) in &self.tasks {
            assert!(self.ended.contains_key(task), "{task:?} has not ended");
            let runs = self.runs.get(task).copied().unwrap_or(0);
            assert!(runs <= limits.retries + 1, "{task:?} has run {runs} times, with {limits:?}");
        }
        assert!(self.ended.len() == self.tasks.len());
    }
}

#[test]
fn whatever_happens_every_task_ends_once_and_nobody_pays_for_another() {
    let mut ends = HashMap::new();
    let stress: u64 = std::env::var("ONELOOM_STRESS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for seed in 0..1200 * stress {
        let lived = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            world.live();
            world.ended
        });
        let ended = lived.unwrap_or_else(|_| panic!("in the history of seed {seed}"));
        ended.into_values().for_each(|end| *ends.entry(format!("{end:?}")).or_insert(0) += 1);
    }
    println!("{ends:?}");
    // Otherwise it was not tried.
    assert!(ends.len() == 6 && ends.values().all(|count| *count > 50), "{ends:?}");
}
