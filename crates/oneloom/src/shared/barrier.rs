//! A barrier between processes: parties wait for each other, and then all go on.

use std::fmt;
use std::time::Duration;

use oneloom_shm::barrier::{ArriveCall, Arrived, Barrier as Raw, Broken, Content, MAXIMUM};

use super::Error;
use super::object::{Held, face, raw, wait, wait_async, wait_for_ever};

raw!(Raw, Content);
face!(Barrier);

/// A number of parties, threads or async tasks of whatever processes, wait for each other, and then all go on; again and
/// again.
///
/// If one of them dies while it waits, the barrier is broken: the others are told, as is whoever comes until
/// [`reset`](Self::reset).
///
/// # Examples
///
/// ```
/// use oneloom::shared::Barrier;
///
/// let ready = Barrier::new(2)?;
/// let leaders = std::thread::scope(|scope| {
///     let parties = [(); 2].map(|()| scope.spawn(|| ready.wait().unwrap().is_leader()));
///     parties.into_iter().map(|party| u32::from(party.join().unwrap())).sum::<u32>()
/// });
/// assert_eq!(leaders, 1);
/// # Ok::<(), oneloom::shared::Error>(())
/// ```
pub struct Barrier {
    held: Held<Raw>,
}

/// That a party has come through a [`Barrier`] with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    index: u32,
    parties: u32,
}

impl Arrival {
    /// Another number for each party of a round, from 0 on.
    pub fn index(self) -> u32 {
        self.index
    }

    /// True for one party of each round.
    pub fn is_leader(self) -> bool {
        self.index == self.parties - 1
    }
}

impl Barrier {
    fn over(held: Held<Raw>) -> Self {
        Self { held }
    }

    /// A barrier for so many parties.
    ///
    /// # Errors
    /// If there is no memory for it.
    ///
    /// # Panics
    /// If there are none, or too many.
    pub fn new(parties: u32) -> Result<Self, Error> {
        Self::make(None, parties)
    }

    /// A barrier for so many parties, which messages and `Debug` call `name`.
    ///
    /// # Errors
    /// If there is no memory for it.
    ///
    /// # Panics
    /// If there are none, or too many.
    pub fn with_name(name: &str, parties: u32) -> Result<Self, Error> {
        Self::make(Some(name), parties)
    }

    fn make(name: Option<&str>, parties: u32) -> Result<Self, Error> {
        assert!(
            (1..=MAXIMUM).contains(&parties),
            "a barrier is for 1 to {MAXIMUM} parties, not for {parties}"
        );
        Held::create(name, |segment| Raw::new(segment, parties)).map(Self::over)
    }

    /// Waits until as many parties have arrived as the barrier is for.
    ///
    /// # Errors
    /// [`BarrierError::Broken`] if the barrier is broken, or becomes so.
    pub fn wait(&self) -> Result<Arrival, BarrierError> {
        self.arrival(wait_for_ever(&mut self.call())?)
    }

    /// Passes if all others have arrived; `None`, and this party has not arrived, if not. Never waits.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn try_wait(&self) -> Result<Option<Arrival>, BarrierError> {
        self.wait_timeout(Duration::ZERO)
    }

    /// As [`wait`](Self::wait), for `timeout` at most; `None`, and this party has not arrived, when that is over.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<Arrival>, BarrierError> {
        let arrived = wait(&mut self.call(), Some(timeout))?;
        arrived.map(|arrived| self.arrival(arrived)).transpose()
    }

    /// As [`wait`](Self::wait), for async code on any executor. Dropping the future before it is ready takes the arrival
    /// back.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub async fn wait_async(&self) -> Result<Arrival, BarrierError> {
        self.arrival(wait_async(ArriveCall::new(self.held.raw().clone(), false, false)).await?)
    }

    fn call(&self) -> ArriveCall<&Raw> {
        ArriveCall::new(&**self.held.raw(), false, false)
    }

    fn arrival(&self, arrived: Result<Arrived, Broken>) -> Result<Arrival, BarrierError> {
        match arrived {
            Ok(Arrived::Passed { index } | Arrived::Last { index, .. }) => {
                Ok(Arrival { index, parties: self.parties() })
            }
            Err(Broken) => Err(BarrierError::Broken),
        }
    }

    /// Breaks the barrier: everybody who waits, and everybody who comes until [`reset`](Self::reset), is turned away.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn abort(&self) -> Result<(), Error> {
        self.held.raw().abort()
    }

    /// Makes the barrier usable again; those who wait are turned away.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn reset(&self) -> Result<(), Error> {
        self.held.raw().reset()
    }

    /// Whether it is broken.
    pub fn is_broken(&self) -> bool {
        self.held.raw().is_broken()
    }

    /// For how many it is.
    pub fn parties(&self) -> u32 {
        self.held.raw().parties()
    }

    /// How many have arrived and wait; by the time one looks at it, it may be wrong.
    pub fn waiting(&self) -> u32 {
        self.held.raw().waiting()
    }
}

/// Shows who waits.
impl fmt::Debug for Barrier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = self.held.debug(formatter, "Barrier");
        fields.field("waiting", &self.waiting()).field("parties", &self.parties());
        fields.field("broken", &self.is_broken()).finish()
    }
}

/// Why a party was turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BarrierError {
    /// The barrier was broken: somebody called `abort`, or `reset` while parties waited, or died while it waited.
    Broken,
    /// Shared memory failed.
    Failed(Error),
}

impl From<Error> for BarrierError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl fmt::Display for BarrierError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken => formatter.write_str(
                "the barrier was broken: somebody called abort(), or reset() while parties waited, or died while it \
                 waited; reset() makes it usable again",
            ),
            Self::Failed(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for BarrierError {}
