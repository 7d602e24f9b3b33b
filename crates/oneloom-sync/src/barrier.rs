//! A barrier: parties wait for each other, and then all go on.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use oneloom_wait::wait::{Call, Waiting};

use crate::environment;
use crate::raw::Name;
use crate::raw::barrier::{ArriveCall, Arrived, Broken, RawBarrier};
use crate::statistics::Statistics;

/// A place where a fixed number of parties, threads and async tasks alike, wait for each other; once all have
/// arrived they go on, and the next round begins.
///
/// What any party did before it arrived happens before what every party does after it went on. A party that stops
/// waiting, because its time is over or its future was dropped, counts as not arrived, and the others go on
/// waiting. [`abort`](Self::abort) breaks the barrier for everybody.
///
/// No call panics in a deadlock: who might still arrive can't be known.
///
/// # Examples
///
/// ```
/// use oneloom_sync::Barrier;
///
/// let finished = Barrier::new(3);
/// let leaders: usize = std::thread::scope(|scope| {
///     let parties: Vec<_> = (0..3)
///         .map(|_| scope.spawn(|| usize::from(finished.wait().unwrap().is_leader())))
///         .collect();
///     parties.into_iter().map(|party| party.join().unwrap()).sum()
/// });
/// assert_eq!(leaders, 1);
/// ```
pub struct Barrier {
    raw: RawBarrier,
}

/// How a party came through a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    index: u32,
    parties: u32,
}

impl Arrival {
    /// The party's number in its round: 0 for the first to arrive, one more for each that came later.
    ///
    /// ```
    /// # use oneloom_sync::Barrier;
    /// assert_eq!(Barrier::new(1).wait().unwrap().index(), 0);
    /// ```
    pub fn index(self) -> u32 {
        self.index
    }

    /// Whether this was the last party to arrive; one of each round is, for what must be done once.
    ///
    /// ```
    /// # use oneloom_sync::Barrier;
    /// assert!(Barrier::new(1).wait().unwrap().is_leader());
    /// ```
    pub fn is_leader(self) -> bool {
        self.index == self.parties - 1
    }
}

impl Barrier {
    /// A barrier for `parties`.
    ///
    /// # Panics
    /// If there are no parties, or 2³² - 4 or more.
    ///
    /// ```
    /// # use oneloom_sync::Barrier;
    /// assert_eq!(Barrier::new(3).parties(), 3);
    /// ```
    pub fn new(parties: u32) -> Self {
        Self::make(parties, Name::NONE)
    }

    /// A barrier for `parties` that reports and `Debug` call `name`.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    ///
    /// ```
    /// # use oneloom_sync::Barrier;
    /// assert_eq!(Barrier::with_name("finished", 3).name(), Some("finished"));
    /// ```
    pub fn with_name(name: &str, parties: u32) -> Self {
        Self::make(parties, Name::new(name))
    }

    fn make(parties: u32, name: Name) -> Self {
        let most = RawBarrier::MAXIMUM;
        assert!((1..=most).contains(&parties), "a barrier is for 1 to {most} parties, not for {parties}");
        Self { raw: RawBarrier::new(parties, name) }
    }

    /// Waits until all parties have arrived.
    ///
    /// # Errors
    /// [`BrokenBarrier`] if somebody broke or reset the barrier.
    ///
    /// ```
    /// # use oneloom_sync::Barrier;
    /// let finished = Barrier::new(2);
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| finished.wait());
    ///     finished.wait().unwrap();
    /// });
    /// ```
    pub fn wait(&self) -> Result<Arrival, BrokenBarrier> {
        self.arrival(environment::wait(&self.raw, &mut Self::call()))
    }

    /// Passes if all others have arrived already. Never waits. `None` if somebody is missing.
    ///
    /// # Errors
    /// [`BrokenBarrier`] if the barrier is broken.
    ///
    /// ```
    /// # use oneloom_sync::Barrier;
    /// assert_eq!(Barrier::new(2).try_wait(), Ok(None));
    /// ```
    pub fn try_wait(&self) -> Result<Option<Arrival>, BrokenBarrier> {
        self.arrival_in_time(Self::call().attempt(&self.raw))
    }

    /// As [`wait`](Self::wait), for `timeout` at most; `None` if somebody was still missing then, and this party
    /// counts as not arrived.
    ///
    /// # Errors
    /// [`BrokenBarrier`] if somebody broke or reset the barrier.
    ///
    /// ```
    /// # use oneloom_sync::Barrier;
    /// # use std::time::Duration;
    /// let finished = Barrier::new(2);
    /// assert_eq!(finished.wait_timeout(Duration::from_millis(1)), Ok(None));
    /// assert_eq!(finished.waiting(), 0);
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<Arrival>, BrokenBarrier> {
        self.arrival_in_time(environment::wait_for(&self.raw, &mut Self::call(), timeout))
    }

    /// As [`wait`](Self::wait), for async code on any executor. A party whose future is dropped counts as not
    /// arrived.
    ///
    /// # Errors
    /// [`BrokenBarrier`] if somebody broke or reset the barrier.
    ///
    /// ```
    /// # use oneloom_sync::Barrier;
    /// # pollster::block_on(async {
    /// let finished = Barrier::new(2);
    /// let (one, two) = futures_lite::future::zip(finished.wait_async(), finished.wait_async()).await;
    /// assert!(!one.unwrap().is_leader() && two.unwrap().is_leader());
    /// # });
    /// ```
    pub async fn wait_async(&self) -> Result<Arrival, BrokenBarrier> {
        self.arrival(Waiting::new(&self.raw, Self::call()).await)
    }

    fn call() -> ArriveCall {
        let mut call = ArriveCall::new(false);
        call.breaks = false;
        call
    }

    fn arrival(&self, arrived: Result<Arrived, Broken>) -> Result<Arrival, BrokenBarrier> {
        match arrived {
            Ok(Arrived::Passed { index } | Arrived::Last { index, .. }) => {
                Ok(Arrival { index, parties: self.parties() })
            }
            Err(Broken) => Err(BrokenBarrier),
        }
    }

    fn arrival_in_time(
        &self,
        arrived: Option<Result<Arrived, Broken>>,
    ) -> Result<Option<Arrival>, BrokenBarrier> {
        arrived.map(|arrived| self.arrival(arrived)).transpose()
    }

    /// Breaks the barrier: everybody who waits, and everybody who comes until it is reset, is turned away.
    ///
    /// ```
    /// # use oneloom_sync::{Barrier, BrokenBarrier};
    /// let finished = Barrier::new(2);
    /// finished.abort();
    /// assert_eq!(finished.wait(), Err(BrokenBarrier));
    /// ```
    pub fn abort(&self) {
        self.raw.abort();
    }

    /// Makes the barrier as new; everybody who waits is turned away.
    ///
    /// ```
    /// # use oneloom_sync::Barrier;
    /// let finished = Barrier::new(1);
    /// finished.abort();
    /// finished.reset();
    /// assert!(finished.wait().is_ok());
    /// ```
    pub fn reset(&self) {
        self.raw.reset();
    }

    /// Whether the barrier is broken.
    ///
    /// ```
    /// # use oneloom_sync::Barrier;
    /// assert!(!Barrier::new(2).is_broken());
    /// ```
    pub fn is_broken(&self) -> bool {
        self.raw.is_broken()
    }

    /// How many parties have to arrive.
    ///
    /// ```
    /// # use oneloom_sync::Barrier;
    /// assert_eq!(Barrier::new(2).parties(), 2);
    /// ```
    pub fn parties(&self) -> u32 {
        self.raw.parties()
    }

    /// How many parties of the current round have arrived.
    ///
    /// ```
    /// # use oneloom_sync::Barrier;
    /// assert_eq!(Barrier::new(2).waiting(), 0);
    /// ```
    pub fn waiting(&self) -> u32 {
        self.raw.waiting()
    }

    /// The name it was given.
    ///
    /// ```
    /// # use oneloom_sync::Barrier;
    /// assert_eq!(Barrier::new(2).name(), None);
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.raw.given_name()
    }

    /// Who waits now, and what happened on the slow path.
    ///
    /// ```
    /// # use oneloom_sync::Barrier;
    /// assert_eq!(Barrier::new(2).statistics().waiting, 0);
    /// ```
    pub fn statistics(&self) -> Statistics {
        self.raw.statistics().into()
    }
}

/// Shows how many have arrived.
impl fmt::Debug for Barrier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("Barrier");
        if let Some(name) = self.name() {
            fields.field("name", &name);
        }
        fields
            .field("waiting", &self.waiting())
            .field("parties", &self.parties())
            .field("broken", &self.is_broken())
            .finish()
    }
}

/// A barrier was broken or reset while this party waited, or is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BrokenBarrier;

impl fmt::Display for BrokenBarrier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "the barrier was broken: somebody called abort(), or reset() while parties waited; reset() makes it usable again",
        )
    }
}

impl Error for BrokenBarrier {}
