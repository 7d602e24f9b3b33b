//! A cell that is set once and can be waited for.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use oneloom_wait::const_unless_modelled;

use crate::cell::Slot;
use crate::raw::Name;
use crate::statistics::Statistics;

/// A value that somebody sets once; anybody, threads and async tasks alike, waits for it and then shares it.
///
/// Setting releases and getting acquires: what was done before setting happens before what is done with the
/// value. Once it is set, getting it costs a load. No call panics in a deadlock: who might still set it can't be
/// known.
///
/// # Examples
///
/// ```
/// use oneloom_sync::OneShot;
///
/// static ANSWER: OneShot<u32> = OneShot::new();
///
/// std::thread::scope(|scope| {
///     scope.spawn(|| assert_eq!(*ANSWER.wait(), 42));
///     scope.spawn(|| pollster::block_on(async { assert_eq!(*ANSWER.wait_async().await, 42) }));
///     ANSWER.set(42).unwrap();
/// });
/// ```
pub struct OneShot<T> {
    slot: Slot<T>,
}

impl<T> OneShot<T> {
    const_unless_modelled! {
        /// A cell without a value yet.
        ///
        /// ```
        /// # use oneloom_sync::OneShot;
        /// assert_eq!(OneShot::<u32>::new().get(), None);
        /// ```
        pub fn new() -> Self {
            Self { slot: Slot::new(Name::NONE) }
        }
    }

    /// A cell without a value yet, which reports and `Debug` call `name`.
    ///
    /// ```
    /// # use oneloom_sync::OneShot;
    /// assert_eq!(OneShot::<u32>::with_name("answer").name(), Some("answer"));
    /// ```
    pub fn with_name(name: &str) -> Self {
        Self { slot: Slot::new(Name::new(name)) }
    }

    /// Sets the value, and lets everybody go on who waits for it.
    ///
    /// # Errors
    /// [`AlreadySet`], with the value, if somebody was faster.
    ///
    /// ```
    /// # use oneloom_sync::{AlreadySet, OneShot};
    /// let answer = OneShot::new();
    /// assert_eq!(answer.set(42), Ok(()));
    /// assert_eq!(answer.set(43), Err(AlreadySet(43)));
    /// ```
    pub fn set(&self, value: T) -> Result<(), AlreadySet<T>> {
        self.slot.set(value).map_err(AlreadySet)
    }

    /// The value, if it is set. Never waits.
    ///
    /// ```
    /// # use oneloom_sync::OneShot;
    /// let answer = OneShot::new();
    /// answer.set(42).unwrap();
    /// assert_eq!(answer.get(), Some(&42));
    /// ```
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.slot.get()
    }

    /// Whether the value is set.
    ///
    /// ```
    /// # use oneloom_sync::OneShot;
    /// assert!(!OneShot::<u32>::new().is_set());
    /// ```
    pub fn is_set(&self) -> bool {
        self.get().is_some()
    }

    /// Waits until the value is set.
    ///
    /// ```
    /// # use oneloom_sync::OneShot;
    /// let answer = OneShot::new();
    /// answer.set(42).unwrap();
    /// assert_eq!(answer.wait(), &42);
    /// ```
    pub fn wait(&self) -> &T {
        self.slot.wait()
    }

    /// As [`wait`](Self::wait), for `timeout` at most; `None` if the value was not set by then.
    ///
    /// ```
    /// # use oneloom_sync::OneShot;
    /// # use std::time::Duration;
    /// assert_eq!(OneShot::<u32>::new().wait_timeout(Duration::from_millis(1)), None);
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Option<&T> {
        self.slot.wait_timeout(timeout)
    }

    /// As [`wait`](Self::wait), for async code on any executor. The future may be dropped at any time.
    ///
    /// ```
    /// # use oneloom_sync::OneShot;
    /// # pollster::block_on(async {
    /// let answer = OneShot::new();
    /// answer.set(42).unwrap();
    /// assert_eq!(answer.wait_async().await, &42);
    /// # });
    /// ```
    pub async fn wait_async(&self) -> &T {
        self.slot.wait_async().await
    }

    /// The value, to change, if it is set; borrowing the cell exclusively means that nobody shares it.
    ///
    /// ```
    /// # use oneloom_sync::OneShot;
    /// assert_eq!(OneShot::<u32>::new().get_mut(), None);
    /// ```
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.slot.get_mut()
    }

    /// The value, if it is set.
    ///
    /// ```
    /// # use oneloom_sync::OneShot;
    /// let answer = OneShot::new();
    /// answer.set(42).unwrap();
    /// assert_eq!(answer.into_inner(), Some(42));
    /// ```
    pub fn into_inner(self) -> Option<T> {
        self.slot.into_inner()
    }

    /// The name it was given.
    ///
    /// ```
    /// # use oneloom_sync::OneShot;
    /// assert_eq!(OneShot::<u32>::new().name(), None);
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.slot.name()
    }

    /// Who waits now, and what happened on the slow path.
    ///
    /// ```
    /// # use oneloom_sync::OneShot;
    /// assert_eq!(OneShot::<u32>::new().statistics().waiting, 0);
    /// ```
    pub fn statistics(&self) -> Statistics {
        self.slot.statistics()
    }
}

impl<T> Default for OneShot<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows the value, if it is set, and who waits.
impl<T: fmt::Debug> fmt::Debug for OneShot<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("OneShot");
        if let Some(name) = self.name() {
            fields.field("name", &name);
        }
        fields.field("value", &self.get()).field("waiting", &self.statistics().waiting).finish()
    }
}

/// The cell has a value already; this is the one that was not set.
///
/// ```
/// use oneloom_sync::{AlreadySet, OneShot};
///
/// let answer = OneShot::new();
/// answer.set(42).unwrap();
/// let AlreadySet(refused) = answer.set(43).unwrap_err();
/// assert_eq!(refused, 43);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AlreadySet<T>(pub T);

/// Without the value, so that any value will do.
impl<T> fmt::Debug for AlreadySet<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AlreadySet(..)")
    }
}

impl<T> fmt::Display for AlreadySet<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the cell has a value already: a OneShot is set once, a Queue takes many values")
    }
}

impl<T> Error for AlreadySet<T> {}
