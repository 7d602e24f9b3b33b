//! What a pool's owner and its workers tell each other, through shared queues.
//!
//! A message is a head and what belongs to whom the pool serves, its *content*:
//!
//! | bytes | |
//! |---|---|
//! | 0..8 | the task's number; 0 in a message that is about none |
//! | 8..16 | in an answer: how long the task took, in nanoseconds; when a worker is ready: its process |
//! | 16..20 | the worker's number |
//! | 20..24 | the [`Kind`] |
//! | 24.., or 64.. in a block of its own | the content: there, buffers in it stand as aligned as they were written |
//!
//! The mark of the queue's item is the content's.

/// How long the head of a small message is.
pub const SMALL_HEAD: usize = 24;
/// How long the head of a message in a block of its own is.
pub const LARGE_HEAD: usize = 64;

/// A task's number in its pool: no other one ever has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TaskId(pub u64);

impl TaskId {
    /// No task.
    pub const NONE: Self = Self(0);
}

/// What a message says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// To a worker: run this task.
    Task = 1,
    /// To a worker: there will be no more tasks.
    End = 2,
    /// From a worker: it takes tasks from now on.
    Ready = 3,
    /// From a worker: the task's result.
    Succeeded = 4,
    /// From a worker: the task has failed, and may be tried again.
    Failed = 5,
    /// From a worker: the task has failed, and would fail again.
    FailedForGood = 6,
    /// From a worker: it can't take tasks, and no other worker could.
    Refused = 7,
    /// From a worker: something to hand on, about no task.
    Record = 8,
    /// From the watcher of deaths, behind all that the worker has sent: its process has ended.
    Died = 9,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Task,
        Self::End,
        Self::Ready,
        Self::Succeeded,
        Self::Failed,
        Self::FailedForGood,
        Self::Refused,
        Self::Record,
        Self::Died,
    ];
}

/// A message without its content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The task that it is about; [`TaskId::NONE`] if it is about none.
    pub task: TaskId,
    /// How long the task took, in nanoseconds; of one that is ready, its process.
    pub took: u64,
    /// Which worker sent it, or gets it.
    pub worker: u32,
    /// What it says.
    pub kind: Kind,
}

impl Head {
    /// A message about no task.
    pub fn about(worker: u32, kind: Kind) -> Self {
        Self { task: TaskId::NONE, took: 0, worker, kind }
    }

    /// As bytes.
    pub fn to_bytes(self) -> [u8; SMALL_HEAD] {
        let mut bytes = [0; SMALL_HEAD];
        bytes[..8].copy_from_slice(&self.task.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.took.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.worker.to_le_bytes());
        bytes[20..].copy_from_slice(&(self.kind as u32).to_le_bytes());
        bytes
    }

    /// The head of a message; `None` if it has none.
    pub fn of(message: &[u8]) -> Option<Self> {
        let head: &[u8; SMALL_HEAD] = message.first_chunk()?;
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| head[at + index]));
        let short = |at: usize| u32::from_le_bytes(std::array::from_fn(|index| head[at + index]));
        let kind = Kind::ALL.into_iter().nth((short(20) as usize).checked_sub(1)?)?;
        Some(Self { task: TaskId(long(0)), took: long(8), worker: short(16), kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        for kind in Kind::ALL {
            let head = Head { task: TaskId(0x0102_0304_0506_0708), took: 9, worker: 10, kind };
            assert_eq!(Head::of(&head.to_bytes()), Some(head));
        }
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let mut bytes = Head::about(1, Kind::Died).to_bytes();
        assert_eq!(Head::of(&bytes[1..]), None);
        for kind in [0, Kind::ALL.len() as u8 + 1] {
            bytes[20] = kind;
            assert_eq!(Head::of(&bytes), None);
        }
    }
}
