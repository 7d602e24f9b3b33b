//! Functions of this program, run in processes of their own.
//!
//! [`Process::spawn`] starts this very program once more. Its `main` begins with [`init`], which in such a process runs
//! the function that was asked for, and ends the process. Argument and result are values that serde can write and read,
//! the objects of [`shared`](crate::shared) among them: a child belongs to its parent's family.
//!
//! ```standalone_crate
//! use oneloom::process::{self, Process};
//!
//! fn double(number: u64) -> u64 {
//!     2 * number
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     process::init(|functions| functions.add(double));
//!
//!     let child = Process::spawn(double, 21)?;
//!     assert_eq!(child.join()?, 42);
//!     Ok(())
//! }
//! ```
//!
//! What stands before `init` in `main` is done by every process: let it be the first. A program without it gets
//! [`SpawnError::NotReady`], and starts nothing. A child's command line is its program's name, a mark and two numbers;
//! standard streams, environment and working folder are its parent's. It works with `panic = "abort"` as well, but then
//! a panic is told as a signal. Tests need a `main` of their own (`harness = false`).
//!
//! A child is a process of its own, as one of [`std::process::Command`]: it goes on when its [`Process`] is dropped, and
//! when its parent ends. It leaves no zombie: a thread of oneloom's own waits for each.

mod error;
pub(crate) mod functions;
pub(crate) mod letter;

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use oneloom_shm::family;
use oneloom_shm::start;
use oneloom_sync::OneShot;
use oneloom_wait::background;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::{JoinError, SpawnError};
pub use functions::{Functions, init};
use letter::Letter;

/// What a process has given: its result's bytes, or why there is none.
type Outcome = Result<Vec<u8>, JoinError>;

/// A function of this program that runs, or ran, in a process of its own, and gives an `R`.
///
/// Every call may be made again, by several threads and tasks at once; each gets the result. Starting a process
/// costs a few milliseconds.
pub struct Process<R> {
    id: u32,
    /// Names the process even after its number was given to another.
    handle: OwnedFd,
    outcome: Arc<OneShot<Outcome>>,
    result: PhantomData<fn() -> R>,
}

impl<R> Process<R> {
    /// Runs `function` with `argument` in a process of its own, which is started for it.
    ///
    /// The function is one that [`init`] was told of. It borrows nothing, and is a function or a closure that captures
    /// nothing.
    ///
    /// # Errors
    /// [`SpawnError`] says why none was started.
    ///
    /// ```standalone_crate
    /// # use oneloom::process::{self, Process};
    /// fn greet((greeting, name): (String, String)) -> String {
    ///     format!("{greeting}, {name}")
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// process::init(|functions| functions.add(greet));
    /// let child = Process::spawn(greet, ("Hello".into(), "world".into()))?;
    /// assert_eq!(child.join()?, "Hello, world");
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn<A, F>(function: F, argument: A) -> Result<Self, SpawnError>
    where
        A: Serialize + DeserializeOwned,
        R: Serialize + DeserializeOwned,
        F: Fn(A) -> R + Send + Sync + 'static,
    {
        let name = functions::registered(&function)?;
        let letter = Letter::new()?;
        letter.ask(name, &argument)?;
        let segment = family::home().map_err(SpawnError::Shared)?;
        let segment =
            segment.descriptor().ok_or_else(|| io::Error::other("the family's memory can't be shared"))?;
        let outcome = Arc::new(OneShot::new());
        let (give, given) = sync_channel::<(Child, Letter)>(1);
        let told = outcome.clone();
        // Before there is a process: then there is none that nobody waits for.
        background::spawn("oneloom-child", move || {
            if let Ok((mut child, letter)) = given.recv() {
                let ended = child.wait();
                // It is set here alone.
                let _ = told.set(letter.answer(ended));
            }
        })?;
        let mut child = start::again([letter.as_fd(), segment])?;
        let id = child.id();
        let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
        if handle.is_err() {
            // Nobody could end it later.
            let _ = child.kill();
        }
        // The thread takes it for sure: it does nothing else.
        let _ = give.send((child, letter));
        Ok(Self { id, handle: handle.map_err(io::Error::from)?, outcome, result: PhantomData })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether the process has not ended yet.
    pub fn is_alive(&self) -> bool {
        !self.outcome.is_set()
    }

    /// Waits until the process has ended; gives what its function returned.
    ///
    /// # Errors
    /// [`JoinError`] says why it did not return.
    pub fn join(&self) -> Result<R, JoinError>
    where
        R: DeserializeOwned,
    {
        read(self.outcome.wait())
    }

    /// As [`join`](Self::join), for `timeout` at most; `None` if the process had not ended by then.
    ///
    /// ```standalone_crate
    /// # use oneloom::process::{self, Process};
    /// # use std::time::Duration;
    /// fn for_ever(_: ()) {
    ///     loop {
    ///         std::thread::park();
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// process::init(|functions| functions.add(for_ever));
    /// let child = Process::spawn(for_ever, ())?;
    /// assert_eq!(child.join_timeout(Duration::from_millis(1)), None);
    /// child.kill()?;
    /// let error = child.join().unwrap_err();
    /// assert!(error.to_string().contains("SIGKILL"), "{error}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn join_timeout(&self, timeout: Duration) -> Option<Result<R, JoinError>>
    where
        R: DeserializeOwned,
    {
        self.outcome.wait_timeout(timeout).map(read)
    }

    /// What its function returned, if the process has ended. Never waits.
    pub fn try_join(&self) -> Option<Result<R, JoinError>>
    where
        R: DeserializeOwned,
    {
        self.outcome.get().map(read)
    }

    /// As [`join`](Self::join), for async code on any executor. The future may be dropped at any time.
    ///
    /// # Errors
    /// As for [`join`](Self::join).
    pub async fn join_async(&self) -> Result<R, JoinError>
    where
        R: DeserializeOwned,
    {
        read(self.outcome.wait_async().await)
    }

    /// Ends the process at once, by `SIGKILL`. What it was doing stays as it is; what it shared goes on. Nothing
    /// happens if it has ended already.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Asks the process to end, by `SIGTERM`; it may have a handler. Nothing happens if it has ended already.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.handle, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            sent => Ok(sent?),
        }
    }
}

fn read<R: DeserializeOwned>(outcome: &Outcome) -> Result<R, JoinError> {
    let bytes = outcome.as_ref().map_err(JoinError::clone)?;
    postcard::from_bytes(bytes).map_err(|error| JoinError::Encoding(error.to_string()))
}

/// Shows the process and how it is.
impl<R> fmt::Debug for Process<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("Process");
        fields.field("id", &self.id);
        match self.outcome.get() {
            None => fields.field("state", &format_args!("running")),
            Some(Ok(_)) => fields.field("state", &format_args!("returned")),
            Some(Err(error)) => fields.field("state", error),
        };
        fields.finish()
    }
}
