//! What parent and child tell each other: a file in memory, with what is asked and then what is answered.
//!
//! | bytes | |
//! |---|---|
//! | 0..8 | what there is: see the constants; written last |
//! | 8..16 | how many bytes follow |
//! | 16.. | these |
//!
//! A pipe would have to be emptied while the child runs, and a copy of it in a grandchild would hold up its end. Here
//! the child's end is the sign: what it had answered by then counts, and nothing else can.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::process::ExitStatus;

use rustix::fs::{MemfdFlags, memfd_create};
use serde::Serialize;

use super::Outcome;
use super::error::{JoinError, SpawnError};
use super::functions;

/// Unlike what any other file begins with: nothing else is written to.
const ASKED: u64 = u64::from_ne_bytes(*b"oneloom?");
const SEAT: u64 = u64::from_ne_bytes(*b"oneloom#");
const TAKEN: u64 = 2;
const RETURNED: u64 = 3;
const PANICKED: u64 = 4;
const REFUSED: u64 = 5;

/// What a child is asked for.
pub enum Asked {
    /// To run a function: its name and its argument.
    Call(Vec<u8>),
    /// To work for a pool, from this seat.
    Seat(Vec<u8>),
}

/// What a child answers.
pub enum Answer {
    /// What its function returned.
    Returned(Vec<u8>),
    /// With what message it panicked.
    Panicked(String),
    /// Why it was not run.
    Refused(String),
}

pub struct Letter {
    file: File,
}

impl AsFd for Letter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Letter {
    pub fn new() -> io::Result<Self> {
        Ok(Self { file: File::from(memfd_create("oneloom-process", MemfdFlags::CLOEXEC)?) })
    }

    /// The letter that this process was started with.
    pub fn given(descriptor: OwnedFd) -> Self {
        Self { file: File::from(descriptor) }
    }

    /// Asks for a function to be run.
    pub fn ask(&self, function: &str, argument: &impl Serialize) -> Result<(), SpawnError> {
        Ok(self.write(ASKED, &functions::written(function, argument)?)?)
    }

    /// Asks for work from this seat, which is not answered here.
    pub fn seat(&self, seat: &[u8]) -> io::Result<()> {
        self.write(SEAT, seat)
    }

    /// What was asked.
    pub fn take(&self) -> io::Result<Asked> {
        let (state, asked) = self.read()?;
        let asked = match state {
            ASKED => Asked::Call(asked),
            SEAT => Asked::Seat(asked),
            _ => return Err(io::Error::other("its descriptors are no process's")),
        };
        self.write(TAKEN, &[])?;
        Ok(asked)
    }

    pub fn reply(&self, answer: &Answer) -> io::Result<()> {
        match answer {
            Answer::Returned(result) => self.write(RETURNED, result),
            Answer::Panicked(message) => self.write(PANICKED, message.as_bytes()),
            Answer::Refused(why) => self.write(REFUSED, why.as_bytes()),
        }
    }

    /// What the child has answered, which has ended like this.
    pub fn answer(&self, ended: io::Result<ExitStatus>) -> Outcome {
        let (state, bytes) = self.read().map_err(|error| JoinError::Lost(error.to_string()))?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        match state {
            RETURNED => Ok(bytes),
            PANICKED => Err(JoinError::Panicked(text(&bytes))),
            REFUSED => Err(JoinError::Refused(text(&bytes))),
            state => {
                let status = ended.map_err(|error| JoinError::Lost(error.to_string()))?;
                // A signal may come before it could do anything.
                let came_to_it = state == TAKEN || status.code().is_none();
                Err(if came_to_it { JoinError::Died(status) } else { JoinError::NotRun(status) })
            }
        }
    }

    fn write(&self, state: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, 16)?;
        self.file.write_all_at(&(bytes.len() as u64).to_ne_bytes(), 8)?;
        // Whoever dies before this has said nothing.
        self.file.write_all_at(&state.to_ne_bytes(), 0)
    }

    fn read(&self) -> io::Result<(u64, Vec<u8>)> {
        let (mut state, mut length) = ([0; 8], [0; 8]);
        self.file.read_exact_at(&mut state, 0)?;
        self.file.read_exact_at(&mut length, 8)?;
        let there = self.file.metadata()?.len().saturating_sub(16);
        let mut bytes = vec![0; u64::from_ne_bytes(length).min(there) as usize];
        self.file.read_exact_at(&mut bytes, 16)?;
        Ok((u64::from_ne_bytes(state), bytes))
    }
}
