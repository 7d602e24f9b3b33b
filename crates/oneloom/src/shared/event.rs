//! A flag that processes wait for.

use std::fmt;
use std::time::Duration;

use oneloom_shm::event::{Content, Event as Raw, EventCall};

use super::Error;
use super::object::{Held, face, raw, wait, wait_async, wait_for_ever};

raw!(Raw, Content);
face!(Event);

/// A flag that is set or not; whoever waits, in any process of the family, goes on once it is set.
///
/// Setting lets everybody go on who waits, even if the flag is cleared before they run. What was done before setting
/// happens before what a waiter does after.
///
/// # Examples
///
/// ```
/// use oneloom::shared::Event;
///
/// let ready = Event::with_name("ready")?;
/// std::thread::scope(|scope| {
///     let waiter = scope.spawn(|| ready.wait());
///     ready.set()?;
///     waiter.join().unwrap()
/// })?;
/// assert!(ready.is_set());
/// # Ok::<(), oneloom::shared::Error>(())
/// ```
pub struct Event {
    held: Held<Raw>,
}

impl Event {
    fn over(held: Held<Raw>) -> Self {
        Self { held }
    }

    /// An event that is not set.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new() -> Result<Self, Error> {
        Held::create(None, Raw::new).map(Self::over)
    }

    /// An event that is not set, which messages and `Debug` call `name`.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn with_name(name: &str) -> Result<Self, Error> {
        Held::create(Some(name), Raw::new).map(Self::over)
    }

    /// Sets the flag, and lets everybody go on who waits.
    ///
    /// # Errors
    /// If this process can't join the family.
    pub fn set(&self) -> Result<(), Error> {
        self.held.raw().set()
    }

    /// Makes those wait who come from now on.
    pub fn clear(&self) {
        self.held.raw().clear();
    }

    /// Whether the flag is set now.
    pub fn is_set(&self) -> bool {
        self.held.raw().is_set()
    }

    /// Waits until the flag is set.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn wait(&self) -> Result<(), Error> {
        wait_for_ever(&mut EventCall::new(self.held.raw()))
    }

    /// As [`wait`](Self::wait), for `timeout` at most; whether the flag was set by then.
    ///
    /// # Errors
    /// If shared memory fails.
    ///
    /// ```
    /// # use oneloom::shared::Event;
    /// # use std::time::Duration;
    /// assert_eq!(Event::new()?.wait_timeout(Duration::from_millis(1)), Ok(false));
    /// # Ok::<(), oneloom::shared::Error>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool, Error> {
        Ok(wait(&mut EventCall::new(self.held.raw()), Some(timeout))?.is_some())
    }

    /// As [`wait`](Self::wait), for async code on any executor. It counts what was set since this call was made; the
    /// future may be dropped at any time.
    ///
    /// # Errors
    /// If shared memory fails.
    ///
    /// ```
    /// # use oneloom::shared::Event;
    /// # pollster::block_on(async {
    /// let ready = Event::new()?;
    /// ready.set()?;
    /// ready.wait_async().await
    /// # }).unwrap();
    /// ```
    pub fn wait_async(&self) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        wait_async(EventCall::new(self.held.raw().clone()))
    }
}

/// Shows the flag.
impl fmt::Debug for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.held.debug(formatter, "Event").field("set", &self.is_set()).finish()
    }
}
