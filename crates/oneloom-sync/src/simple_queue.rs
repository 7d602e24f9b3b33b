//! The plainest queue: no bound, no end.

use std::fmt;
use std::time::Duration;

use crate::queue::Queue;
use crate::raw::queue::QueueStatistics;

/// A queue for any number of items that is never shut down, so that putting always succeeds at once.
///
/// What was said of [`QueueOf`](crate::QueueOf) holds here: threads and async tasks at once, oldest item first,
/// a put happens before the get of its item, some 30 ns for a call that need not wait.
///
/// # Examples
///
/// ```
/// use oneloom_sync::SimpleQueue;
///
/// let results = SimpleQueue::new();
/// std::thread::scope(|scope| {
///     scope.spawn(|| results.put(6 * 7));
///     assert_eq!(results.get(), 42);
/// });
/// ```
pub struct SimpleQueue<T: Send> {
    queue: Queue<T>,
}

impl<T: Send> SimpleQueue<T> {
    /// An empty queue.
    ///
    /// ```
    /// # use oneloom_sync::SimpleQueue;
    /// assert!(SimpleQueue::<u32>::new().is_empty());
    /// ```
    pub fn new() -> Self {
        Self { queue: Queue::new() }
    }

    /// An empty queue that reports and `Debug` call `name`.
    ///
    /// ```
    /// # use oneloom_sync::SimpleQueue;
    /// assert_eq!(SimpleQueue::<u32>::with_name("results").name(), Some("results"));
    /// ```
    pub fn with_name(name: &str) -> Self {
        Self { queue: Queue::with_name(name, None) }
    }

    /// Adds an item. Never waits.
    ///
    /// ```
    /// # use oneloom_sync::SimpleQueue;
    /// let results = SimpleQueue::new();
    /// results.put(42);
    /// assert_eq!(results.len(), 1);
    /// ```
    #[inline]
    pub fn put(&self, item: T) {
        // No bound, and nobody can shut it down: there is no error to meet.
        let _ = self.queue.put(item);
    }

    /// Waits until there is an item, and takes it.
    ///
    /// ```
    /// # use oneloom_sync::SimpleQueue;
    /// let results = SimpleQueue::new();
    /// results.put(42);
    /// assert_eq!(results.get(), 42);
    /// ```
    #[inline]
    pub fn get(&self) -> T {
        self.queue.get().unwrap_or_else(|_| never_shut_down())
    }

    /// Takes an item if there is one now. Never waits.
    ///
    /// ```
    /// # use oneloom_sync::SimpleQueue;
    /// assert_eq!(SimpleQueue::<u32>::new().try_get(), None);
    /// ```
    #[inline]
    pub fn try_get(&self) -> Option<T> {
        self.queue.try_get().ok()
    }

    /// As [`get`](Self::get), for `timeout` at most; when that is over, nothing was taken.
    ///
    /// ```
    /// # use oneloom_sync::SimpleQueue;
    /// # use std::time::Duration;
    /// assert_eq!(SimpleQueue::<u32>::new().get_timeout(Duration::from_millis(1)), None);
    /// ```
    pub fn get_timeout(&self, timeout: Duration) -> Option<T> {
        self.queue.get_timeout(timeout).ok()
    }

    /// As [`get`](Self::get), for async code on any executor. Dropping the future before it is ready takes nothing.
    ///
    /// ```
    /// # use oneloom_sync::SimpleQueue;
    /// # pollster::block_on(async {
    /// let results = SimpleQueue::new();
    /// results.put(42);
    /// assert_eq!(results.get_async().await, 42);
    /// # });
    /// ```
    pub async fn get_async(&self) -> T {
        self.queue.get_async().await.unwrap_or_else(|_| never_shut_down())
    }

    /// How many items there are now; by the time one looks at it, it may be wrong.
    ///
    /// ```
    /// # use oneloom_sync::SimpleQueue;
    /// assert_eq!(SimpleQueue::<u32>::new().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether there is no item now.
    ///
    /// ```
    /// # use oneloom_sync::SimpleQueue;
    /// assert!(SimpleQueue::<u32>::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The name it was given.
    ///
    /// ```
    /// # use oneloom_sync::SimpleQueue;
    /// assert_eq!(SimpleQueue::<u32>::new().name(), None);
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.queue.name()
    }

    /// Who waits now, and what happened on the slow paths.
    ///
    /// ```
    /// # use oneloom_sync::SimpleQueue;
    /// assert_eq!(SimpleQueue::<u32>::new().statistics().waiting_getters, 0);
    /// ```
    pub fn statistics(&self) -> QueueStatistics {
        self.queue.statistics()
    }
}

#[cold]
fn never_shut_down() -> ! {
    unreachable!("a simple queue can't be shut down")
}

impl<T: Send> Default for SimpleQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows the state and who waits, not the items.
impl<T: Send> fmt::Debug for SimpleQueue<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("SimpleQueue");
        if let Some(name) = self.name() {
            fields.field("name", &name);
        }
        fields.field("len", &self.len()).field("waiting_getters", &self.statistics().waiting_getters).finish()
    }
}
