//! A message on its way: room for the head, and the content behind it, written once.

use std::fmt;
use std::ptr::NonNull;

use oneloom_shm::error::Error;
use oneloom_shm::payload::{Item, Payload, SMALL};
use oneloom_shm::segment::Segment;

use crate::message::{Head, LARGE_HEAD, SMALL_HEAD};

/// The content of a task or an answer. Large ones stand in shared memory, and are not copied on their way.
pub struct Packet {
    item: Item,
}

impl Packet {
    /// A copy of these pieces, one behind the other. `mark` is any number below 2³¹ that its receiver gets with it.
    ///
    /// # Errors
    /// If there is no shared memory for a large one.
    pub fn copy_of(segment: &'static Segment, pieces: &[&[u8]], mark: u32) -> Result<Self, Error> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if SMALL_HEAD + length <= SMALL {
            let mut bytes = Vec::with_capacity(SMALL_HEAD + length);
            bytes.extend_from_slice(&[0; SMALL_HEAD]);
            pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
            return Ok(Self { item: Item::Small { bytes, mark } });
        }
        let mut payload = Payload::headed(segment, LARGE_HEAD, length as u64, mark, |_| ())?;
        let mut place = &mut payload.bytes_mut()?[LARGE_HEAD..];
        for piece in pieces {
            let (here, rest) = place.split_at_mut(piece.len());
            here.copy_from_slice(piece);
            place = rest;
        }
        Ok(Self { item: Item::Large(payload) })
    }

    /// A block of shared memory of its own for `length` bytes, which `write` fills: nothing is copied again. What
    /// `write` is given is aligned to 64 bytes.
    ///
    /// # Errors
    /// If there is no shared memory for it.
    pub fn filled(
        segment: &'static Segment,
        length: u64,
        mark: u32,
        write: impl FnOnce(NonNull<u8>),
    ) -> Result<Self, Error> {
        Ok(Self { item: Item::Large(Payload::headed(segment, LARGE_HEAD, length, mark, write)?) })
    }

    /// Nothing but a head.
    pub(crate) fn empty() -> Self {
        Self { item: Item::Small { bytes: vec![0; SMALL_HEAD], mark: 0 } }
    }

    /// A small one that came through a queue.
    pub(crate) fn small(message: &[u8], mark: u32) -> Self {
        Self { item: Item::Small { bytes: message.to_vec(), mark } }
    }

    /// What came through a queue, and its head.
    pub(crate) fn open(item: Item) -> Result<(Head, Self), Error> {
        let head = match &item {
            Item::Small { bytes, .. } => Head::of(bytes),
            Item::Large(payload) => Head::of(payload.bytes()?).filter(|_| item.length() >= LARGE_HEAD as u64),
        };
        Ok((head.ok_or(Error::Corrupt("a message without a head"))?, Self { item }))
    }

    /// Ready to be put, with that head.
    pub(crate) fn seal(mut self, head: Head) -> Result<Item, Error> {
        self.write(head)?;
        Ok(self.item)
    }

    fn write(&mut self, head: Head) -> Result<(), Error> {
        let place = match &mut self.item {
            Item::Small { bytes, .. } => &mut bytes[..],
            Item::Large(payload) => payload.bytes_mut()?,
        };
        let place = place.get_mut(..SMALL_HEAD).ok_or(Error::Corrupt("a message without room for a head"))?;
        place.copy_from_slice(&head.to_bytes());
        Ok(())
    }

    /// The bytes of a small one with that head, to be put while this stays; `None` for a large one.
    pub(crate) fn sealed(&mut self, head: Head) -> Result<Option<(&[u8], u32)>, Error> {
        self.write(head)?;
        match &self.item {
            Item::Small { bytes, mark } => Ok(Some((bytes, *mark))),
            Item::Large(_) => Ok(None),
        }
    }

    /// Another one with the same content.
    pub(crate) fn copy(&self, segment: &'static Segment) -> Result<Self, Error> {
        Self::copy_of(segment, &[self.bytes()?], self.mark())
    }

    /// What its sender gave with it.
    pub fn mark(&self) -> u32 {
        match &self.item {
            Item::Small { mark, .. } => *mark,
            Item::Large(payload) => payload.mark,
        }
    }

    /// The content.
    ///
    /// # Errors
    /// If shared memory contradicts itself.
    pub fn bytes(&self) -> Result<&[u8], Error> {
        match &self.item {
            Item::Small { bytes, .. } => Ok(&bytes[SMALL_HEAD..]),
            Item::Large(payload) => Ok(&payload.bytes()?[LARGE_HEAD..]),
        }
    }

    /// The item that it is, and where in it the content begins: for whoever goes on using its memory.
    pub fn into_item(self) -> (Item, usize) {
        let start = if matches!(self.item, Item::Small { .. }) { SMALL_HEAD } else { LARGE_HEAD };
        (self.item, start)
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if matches!(self.item, Item::Small { .. }) { "small" } else { "large" };
        write!(out, "Packet({kind}, {} bytes, mark {})", self.bytes().map_or(0, <[u8]>::len), self.mark())
    }
}
