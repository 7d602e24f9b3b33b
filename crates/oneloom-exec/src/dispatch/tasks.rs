//! The tasks of a pool that have not ended, by number.

use crate::message::TaskId;

/// Where a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// With the owner.
    Pending,
    /// With this worker: in its queue, or taken.
    At(u32),
}

/// A task that has not ended.
pub struct Task<T> {
    /// What it is.
    pub content: T,
    /// How often it may be tried again.
    pub retries: u32,
    /// How long one run may take, in nanoseconds.
    pub timeout: Option<u64>,
    /// Where it is.
    pub place: Place,
}

struct Entry<T> {
    id: TaskId,
    task: Option<Task<T>>,
}

/// A table whose places are used again, but not their numbers: the lower half of a number is the place, the upper counts
/// all tasks of the pool.
pub struct Tasks<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    count: u32,
}

impl<T> Tasks<T> {
    pub fn new() -> Self {
        Self { entries: Vec::new(), free: Vec::new(), count: 0 }
    }

    #[inline]
    pub fn insert(&mut self, task: Task<T>) -> TaskId {
        self.count = self.count.wrapping_add(1).max(1);
        let place = self.free.pop().unwrap_or(self.entries.len() as u32);
        let id = TaskId(u64::from(self.count) << 32 | u64::from(place));
        let entry = Entry { id, task: Some(task) };
        match self.entries.get_mut(place as usize) {
            Some(unused) => *unused = entry,
            None => self.entries.push(entry),
        }
        id
    }

    #[inline]
    pub fn get(&self, id: TaskId) -> Option<&Task<T>> {
        self.entries.get(id.0 as u32 as usize).filter(|entry| entry.id == id)?.task.as_ref()
    }

    #[inline]
    pub fn get_mut(&mut self, id: TaskId) -> Option<&mut Task<T>> {
        self.entries.get_mut(id.0 as u32 as usize).filter(|entry| entry.id == id)?.task.as_mut()
    }

    #[inline]
    pub fn remove(&mut self, id: TaskId) -> Option<Task<T>> {
        let place = id.0 as u32;
        let task = self.entries.get_mut(place as usize).filter(|entry| entry.id == id)?.task.take()?;
        self.free.push(place);
        if self.is_empty() && self.entries.capacity() > 1024 {
            // A million tasks have left a table that nobody may need again.
            (self.entries, self.free) = (Vec::new(), Vec::new());
        }
        Some(task)
    }

    /// All of them, in the order of their numbers.
    pub fn drain(&mut self) -> Vec<(TaskId, Task<T>)> {
        self.free.clear();
        let entries = self.entries.drain(..);
        let mut all: Vec<_> = entries.filter_map(|entry| entry.task.map(|task| (entry.id, task))).collect();
        all.sort_by_key(|(id, _)| id.0);
        all
    }

    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
