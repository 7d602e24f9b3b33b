//! A worker's place: the bytes by which its process finds it.
//!
//! | bytes | |
//! |---|---|
//! | 0..24 | the handle of the worker's own queue |
//! | 24..48 | the handle of the mailbox |
//! | 48..52 | the worker's number |
//! | 52..56 | the owner's process |
//! | 56..64 | when that started, as the system counts |

use oneloom_shm::error::Error;
use oneloom_shm::handle::{self, Handle};

/// How long a seat's bytes are.
pub const LENGTH: usize = 64;

/// What a worker is to know before it knows anything else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// The worker's own queue.
    pub tasks: Handle,
    /// Where it answers.
    pub mailbox: Handle,
    /// Its number.
    pub worker: u32,
    /// The owner's process.
    pub owner: u32,
    /// When that started.
    pub owner_started: u64,
}

impl Place {
    /// As bytes.
    pub fn to_bytes(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..24].copy_from_slice(&self.tasks.to_bytes());
        bytes[24..48].copy_from_slice(&self.mailbox.to_bytes());
        bytes[48..52].copy_from_slice(&self.worker.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.owner.to_le_bytes());
        bytes[56..].copy_from_slice(&self.owner_started.to_le_bytes());
        bytes
    }

    /// From what [`Place::to_bytes`] gave.
    ///
    /// # Errors
    /// If it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let bytes: &[u8; LENGTH] =
            bytes.try_into().map_err(|_| Error::Handle("a worker's seat is 64 bytes long"))?;
        let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|index| bytes[at + index]));
        Ok(Self {
            tasks: Handle::from_bytes(&bytes[..handle::LENGTH])?,
            mailbox: Handle::from_bytes(&bytes[24..48])?,
            worker: number(48),
            owner: number(52),
            owner_started: u64::from(number(60)) << 32 | u64::from(number(56)),
        })
    }
}
