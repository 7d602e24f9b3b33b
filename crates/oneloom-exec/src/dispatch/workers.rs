//! Workers as the machine knows them, and how many tasks each is given ahead.

use std::collections::VecDeque;

use crate::message::TaskId;

use super::STUCK;

/// How far a worker is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It is being launched, or not ready yet.
    Starting,
    /// It takes tasks.
    Ready,
    /// It gets no more tasks, and will end.
    Leaving,
    /// It was killed, or will be as soon as it has a process.
    Killed,
}

/// One of them.
pub struct Worker {
    pub number: u32,
    /// Its process, 0 as long as it has none.
    pub pid: u32,
    pub phase: Phase,
    /// What it was given and has not answered, in order.
    pub assigned: VecDeque<TaskId>,
    /// Since when it has run the first of them.
    pub since: u64,
    /// How many it was given, but for those that were taken back.
    pub given: u64,
    /// The first one has been taking so long that none was left behind it.
    pub stuck: bool,
    /// For how long it has left the first one in its queue, each time until that was taken back, since its last answer.
    pub deaf_for: u64,
}

impl Worker {
    pub fn new(number: u32) -> Self {
        Self {
            number,
            pid: 0,
            phase: Phase::Starting,
            assigned: VecDeque::new(),
            since: 0,
            given: 0,
            stuck: false,
            deaf_for: 0,
        }
    }

    /// Whether it may be given one more.
    #[inline]
    pub fn has_room(&self, credit: usize) -> bool {
        self.phase == Phase::Ready
            && (self.assigned.is_empty() || (self.assigned.len() < credit && !self.stuck))
    }

    /// Whether others should have what lies behind its first task.
    pub fn is_stuck(&self, now: u64) -> bool {
        self.stuck_at() <= now
    }

    /// When that will be.
    #[inline]
    pub fn stuck_at(&self) -> u64 {
        if self.assigned.len() > 1 && !self.stuck { self.since.saturating_add(STUCK) } else { u64::MAX }
    }
}

/// How long tasks take as a rule.
#[derive(Default)]
pub struct Pace {
    /// The mean of the last few, in nanoseconds, the newest counting most; None before the first.
    mean: Option<u64>,
}

/// For how long the tasks that a worker is given ahead should last: longer than it takes to be given the next one,
/// and short enough that nobody minds their lying there.
const AHEAD: u64 = 1_000_000;
/// How many that may be.
const MOST_AHEAD: u64 = 63;

impl Pace {
    #[inline]
    pub fn note(&mut self, took: u64) {
        self.mean = Some(match self.mean {
            None => took,
            Some(mean) => mean - mean / 8 + took / 8,
        });
    }

    pub fn mean(&self) -> u64 {
        self.mean.unwrap_or(u64::MAX)
    }

    /// How many tasks a worker is given at most, the one that it runs among them.
    #[inline]
    pub fn credit(&self) -> usize {
        1 + self.mean.map_or(0, |mean| (AHEAD / mean.max(1)).min(MOST_AHEAD)) as usize
    }
}
