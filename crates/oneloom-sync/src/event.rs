//! A flag that threads and async tasks wait for.

use std::fmt;
use std::time::Duration;

use oneloom_wait::const_unless_modelled;
use oneloom_wait::wait::Waiting;

use crate::environment;
use crate::raw::Name;
use crate::raw::event::{EventCall, RawEvent};
use crate::statistics::Statistics;

/// A flag that is set or not; whoever waits goes on once it is set.
///
/// Setting lets everybody go on who waits, even if the flag is cleared before they run. Setting releases;
/// waiting, clearing and looking acquire: what was done before setting happens before what a waiter does after.
/// Setting or looking costs some nanoseconds while nobody waits. No call panics in a deadlock: who might still
/// set the flag can't be known.
///
/// # Examples
///
/// ```
/// use oneloom_sync::Event;
///
/// static READY: Event = Event::new();
///
/// std::thread::scope(|scope| {
///     scope.spawn(|| READY.wait());
///     scope.spawn(|| pollster::block_on(READY.wait_async()));
///     READY.set();
/// });
/// ```
pub struct Event {
    raw: RawEvent,
}

impl Event {
    const_unless_modelled! {
        /// An event that is not set.
        ///
        /// ```
        /// # use oneloom_sync::Event;
        /// assert!(!Event::new().is_set());
        /// ```
        pub fn new() -> Self {
            Self { raw: RawEvent::new(Name::NONE) }
        }
    }

    /// An event that is not set, which reports and `Debug` call `name`.
    ///
    /// ```
    /// # use oneloom_sync::Event;
    /// assert_eq!(Event::with_name("ready").name(), Some("ready"));
    /// ```
    pub fn with_name(name: &str) -> Self {
        Self { raw: RawEvent::new(Name::new(name)) }
    }

    /// Sets the flag, and lets everybody go on who waits.
    ///
    /// ```
    /// # use oneloom_sync::Event;
    /// let ready = Event::new();
    /// ready.set();
    /// assert!(ready.is_set());
    /// ```
    #[inline]
    pub fn set(&self) {
        self.raw.set();
    }

    /// Makes those wait who come from now on. Whoever clears and then looks for work sees the work of every
    /// setting that it has wiped out.
    ///
    /// ```
    /// # use oneloom_sync::Event;
    /// let ready = Event::new();
    /// ready.set();
    /// ready.clear();
    /// assert!(!ready.is_set());
    /// ```
    #[inline]
    pub fn clear(&self) {
        self.raw.clear();
    }

    /// Whether the flag is set now.
    ///
    /// ```
    /// # use oneloom_sync::Event;
    /// assert!(!Event::new().is_set());
    /// ```
    #[inline]
    pub fn is_set(&self) -> bool {
        self.raw.is_set()
    }

    /// Waits until the flag is set.
    ///
    /// ```
    /// # use oneloom_sync::Event;
    /// let ready = Event::new();
    /// ready.set();
    /// ready.wait();
    /// ```
    #[inline]
    pub fn wait(&self) {
        environment::wait(&self.raw, &mut EventCall);
    }

    /// As [`wait`](Self::wait), for `timeout` at most; whether the flag was set by then.
    ///
    /// ```
    /// # use oneloom_sync::Event;
    /// # use std::time::Duration;
    /// assert!(!Event::new().wait_timeout(Duration::from_millis(1)));
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        environment::wait_for(&self.raw, &mut EventCall, timeout).is_some()
    }

    /// As [`wait`](Self::wait), for async code on any executor. The future may be dropped at any time.
    ///
    /// ```
    /// # use oneloom_sync::Event;
    /// # pollster::block_on(async {
    /// let ready = Event::new();
    /// ready.set();
    /// ready.wait_async().await;
    /// # });
    /// ```
    pub async fn wait_async(&self) {
        Waiting::new(&self.raw, EventCall).await;
    }

    /// The name it was given.
    ///
    /// ```
    /// # use oneloom_sync::Event;
    /// assert_eq!(Event::new().name(), None);
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.raw.given_name()
    }

    /// Who waits now, and what happened on the slow path.
    ///
    /// ```
    /// # use oneloom_sync::Event;
    /// assert_eq!(Event::new().statistics().waiting, 0);
    /// ```
    pub fn statistics(&self) -> Statistics {
        self.raw.statistics().into()
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows the flag and who waits.
impl fmt::Debug for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("Event");
        if let Some(name) = self.name() {
            fields.field("name", &name);
        }
        fields.field("set", &self.is_set()).field("waiting", &self.statistics().waiting).finish()
    }
}
