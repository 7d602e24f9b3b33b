//! How an object is named across processes: a family, a place and a generation, as bytes.
//!
//! | bytes | |
//! |---|---|
//! | 0, 1 | `0x6f`, the version of this form |
//! | 2..4 | the kind of object |
//! | 4..8 | 0 |
//! | 8..16 | the family's number |
//! | 16..24 | the [`Reference`]: offset and generation |
//!
//! An object that never left its process, neither as bytes nor through a fork, ends with its last owner here. One that
//! did may be held by anybody, and stays as long as the family.

use std::cell::Cell;
use std::marker::PhantomData;

use oneloom_wait::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::arena::{Block, HEADER, Kind, Reference, allocate};
use crate::error::Error;
use crate::family;
use crate::member::Tag;
use crate::segment::{Plain, Segment};

/// What can be an object of its own.
///
/// # Safety
/// Blocks of this kind hold this type and nothing else, ever; zeros are a valid new one.
pub unsafe trait Shared: Plain + 'static {
    /// The kind of its blocks.
    const KIND: Kind;

    /// Gives back what the object has beside its own block. Nobody uses it any more.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    fn dismantle(block: Block, me: Tag) -> Result<(), Error>;
}

/// The length of a handle.
pub const LENGTH: usize = 24;
const FORM: [u8; 2] = [0x6f, 1];

/// A handle's parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handle {
    family: u64,
    kind: u32,
    reference: Reference,
}

impl Handle {
    /// As bytes.
    pub fn to_bytes(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..2].copy_from_slice(&FORM);
        bytes[2..4].copy_from_slice(&(self.kind as u16).to_le_bytes());
        bytes[8..16].copy_from_slice(&self.family.to_le_bytes());
        bytes[16..].copy_from_slice(&self.reference.0.to_le_bytes());
        bytes
    }

    /// From what [`Handle::to_bytes`] gave.
    ///
    /// # Errors
    /// If the bytes are of another length or form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let bytes: &[u8; LENGTH] = bytes.try_into().map_err(|_| Error::Handle("it is not 24 bytes long"))?;
        if bytes[0] != FORM[0] {
            return Err(Error::Handle("it does not begin as one"));
        }
        if bytes[1] != FORM[1] {
            return Err(Error::Handle("it is of another version: use the same oneloom in all processes"));
        }
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]));
        let kind = u32::from(u16::from_le_bytes([bytes[2], bytes[3]]));
        Ok(Self { family: number(8), kind, reference: Reference(number(16)) })
    }
}

/// How often this process was forked: what was made before may be somebody else's, too.
static FORKS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// The fork that this thread is about to make only runs another program.
    static HARMLESS: Cell<bool> = const { Cell::new(false) };
}

extern "C" fn before_fork() {
    if !HARMLESS.get() {
        FORKS.fetch_add(1, Ordering::SeqCst);
    }
}

/// Runs `start`, whose forks leave no copy of this process behind.
pub(crate) fn without_counting_forks<T>(start: impl FnOnce() -> T) -> T {
    HARMLESS.set(true);
    let result = start();
    HARMLESS.set(false);
    result
}

fn count_forks() {
    // Not a `Once`, for which the child of a fork could wait for ever. Registered twice, it counts by two.
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if !REGISTERED.load(Ordering::Acquire) {
        // SAFETY: the handler only counts.
        unsafe { libc::pthread_atfork(Some(before_fork), None, None) };
        REGISTERED.store(true, Ordering::Release);
    }
}

/// An object in a segment, held by this process.
pub struct Object<T: Shared> {
    block: Block,
    content: &'static T,
    /// The fork count at its creation here; None for one that came from elsewhere.
    born: Option<u32>,
    /// It was given away as bytes.
    travelled: AtomicBool,
    kind: PhantomData<T>,
}

impl<T: Shared> Object<T> {
    /// A new one, all zeros.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn create(segment: &'static Segment) -> Result<Self, Error> {
        Self::create_with(segment, 0)
    }

    /// A new one with so many bytes behind it, all zeros.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn create_with(segment: &'static Segment, more: u64) -> Result<Self, Error> {
        count_forks();
        let me = segment.me()?;
        let size = size_of::<T>() as u64 + more;
        let block = allocate(segment, me, T::KIND, size)?;
        let place = block.bytes(size)?;
        // SAFETY: the block is this process's own, as large as this, and nobody knows of it yet.
        unsafe { place.write_bytes(0, size as usize) };
        // It belongs to itself: whoever has it may outlive this process.
        block.becomes_part_of(block.reference)?;
        let born = Some(FORKS.load(Ordering::SeqCst));
        Ok(Self {
            content: block.content()?,
            block,
            born,
            travelled: AtomicBool::new(false),
            kind: PhantomData,
        })
    }

    /// The object that a handle names.
    ///
    /// # Errors
    /// If this process does not know the family, or the object is gone or of another kind.
    pub fn open(handle: Handle) -> Result<Self, Error> {
        Self::open_in(family::of(handle.family).ok_or(Error::Foreign)?, handle)
    }

    /// The object that a handle names in a segment of its family.
    ///
    /// # Errors
    /// As for [`Object::open`].
    pub fn open_in(segment: &'static Segment, handle: Handle) -> Result<Self, Error> {
        if handle.kind != T::KIND as u32 {
            return Err(Error::Kind);
        }
        let block = Block::find(segment, handle.reference, T::KIND)?;
        if block.capacity()? < size_of::<T>() as u64 {
            return Err(Error::Corrupt("an object that is too short"));
        }
        let travelled = AtomicBool::new(true);
        Ok(Self { content: block.content()?, block, born: None, travelled, kind: PhantomData })
    }

    /// Its name for other processes, which from now on may hold it.
    pub fn handle(&self) -> Handle {
        self.travelled.store(true, Ordering::SeqCst);
        let family = self.block.segment.family();
        Handle { family, kind: T::KIND as u32, reference: self.block.reference }
    }

    /// Ends it, although it may have left this process: what names it names nothing from now on. For an object that nobody
    /// uses any more, because all who knew of it are dead or have said so.
    ///
    /// # Errors
    /// If the segment contradicts itself.
    pub fn end(&self) -> Result<(), Error> {
        self.travelled.store(true, Ordering::SeqCst);
        let me = self.block.segment.me()?;
        T::dismantle(self.block, me)?;
        self.block.free(me)
    }

    /// Where it stands.
    #[inline]
    pub fn segment(&self) -> &'static Segment {
        self.block.segment
    }

    /// Its own block.
    #[inline]
    pub fn block(&self) -> Block {
        self.block
    }

    /// What stands there.
    #[inline]
    pub fn content(&self) -> &'static T {
        self.content
    }

    /// Its number in the family, for messages: the same in every process.
    pub fn number(&self) -> u64 {
        self.block.reference.offset() + HEADER
    }
}

impl<T: Shared> Drop for Object<T> {
    fn drop(&mut self) {
        let private =
            self.born == Some(FORKS.load(Ordering::SeqCst)) && !self.travelled.load(Ordering::SeqCst);
        if let (true, Ok(me)) = (private, self.block.segment.me()) {
            // What can't be given back stays: nobody could be told.
            let _ = T::dismantle(self.block, me).and_then(|()| self.block.free(me));
        }
    }
}
