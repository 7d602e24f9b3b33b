//! An item made of a head and buffers, as one run of bytes, in which every buffer stands aligned.
//!
//! | bytes | |
//! |---|---|
//! | 0..8 | how many buffers there are |
//! | 8..16 | the head's length |
//! | 8 each | the buffers' lengths |
//! | | the head |
//! | | each buffer, from the next multiple of 64 on |

use std::ops::Range;
use std::ptr::NonNull;

use crate::error::Error;
use crate::layout::ALIGNMENT;

const NUMBER: u64 = 8;
const TORN: Error = Error::Corrupt("an item whose buffers reach behind its end");

/// Bytes that somebody else may be changing at this moment.
#[derive(Clone, Copy)]
pub struct Piece {
    start: *const u8,
    length: usize,
}

impl Piece {
    /// The `length` bytes from `start` on.
    ///
    /// # Safety
    /// They can be read as long as this value is used.
    pub unsafe fn new(start: *const u8, length: usize) -> Self {
        Self { start, length }
    }
}

impl From<&[u8]> for Piece {
    fn from(bytes: &[u8]) -> Self {
        Self { start: bytes.as_ptr(), length: bytes.len() }
    }
}

/// A parcel that is still to be written.
pub struct Parcel {
    /// What the head is put together of.
    pub head: Vec<Piece>,
    /// What stands for itself.
    pub buffers: Vec<Piece>,
}

fn starts_at(buffers: usize) -> u64 {
    NUMBER * (2 + buffers as u64)
}

impl Parcel {
    /// How long it will be.
    pub fn length(&self) -> u64 {
        let head = starts_at(self.buffers.len()) + self.length_of_head();
        let behind = |end: u64, buffer: &Piece| end.next_multiple_of(ALIGNMENT) + buffer.length as u64;
        self.buffers.iter().fold(head, behind)
    }

    /// How long the head is.
    pub fn length_of_head(&self) -> u64 {
        self.head.iter().map(|piece| piece.length as u64).sum()
    }

    /// Writes the head alone: nothing says where it ends.
    ///
    /// # Safety
    /// As for [`Parcel::write`], with the head's length.
    pub unsafe fn write_head(&self, place: NonNull<u8>) {
        let mut end = 0;
        for piece in &self.head {
            // SAFETY: by this function's own contract.
            unsafe { place.add(end).as_ptr().copy_from_nonoverlapping(piece.start, piece.length) };
            end += piece.length;
        }
    }

    /// Writes it.
    ///
    /// # Safety
    /// As many bytes as it is long can be written at `place`, by nobody else, and what it is made of can be read.
    pub unsafe fn write(&self, place: NonNull<u8>) {
        let mut end = 0_u64;
        let mut append = |piece: Piece, alignment: u64| {
            let start = end.next_multiple_of(alignment);
            // SAFETY: by this function's own contract; gaps are filled, so that nobody's old bytes are seen.
            unsafe {
                place.add(end as usize).write_bytes(0, (start - end) as usize);
                place.add(start as usize).as_ptr().copy_from_nonoverlapping(piece.start, piece.length);
            }
            end = start + piece.length as u64;
        };
        let numbers = [self.buffers.len() as u64, self.length_of_head()].into_iter();
        for number in numbers.chain(self.buffers.iter().map(|buffer| buffer.length as u64)) {
            append(Piece::from(&number.to_ne_bytes()[..]), 1);
        }
        self.head.iter().for_each(|piece| append(*piece, 1));
        self.buffers.iter().for_each(|piece| append(*piece, ALIGNMENT));
    }
}

/// Where in `bytes` the head and the buffers of a parcel stand.
///
/// # Errors
/// If it is none.
pub fn read(bytes: &[u8]) -> Result<(Range<usize>, Vec<Range<usize>>), Error> {
    let number = |at: u64| {
        let bytes = bytes.get(at as usize..).and_then(|bytes| bytes.first_chunk::<8>());
        bytes.map(|bytes| u64::from_ne_bytes(*bytes)).ok_or(TORN)
    };
    let place = |start: u64, length: u64| {
        let end = start.checked_add(length).filter(|end| *end <= bytes.len() as u64).ok_or(TORN)?;
        Ok(start as usize..end as usize)
    };
    let count = number(0)?;
    if count > bytes.len() as u64 / NUMBER {
        return Err(TORN);
    }
    let head = place(starts_at(count as usize), number(NUMBER)?)?;
    let mut buffers = Vec::with_capacity(count as usize);
    let mut end = head.end as u64;
    for index in 0..count {
        let buffer = place(end.next_multiple_of(ALIGNMENT), number(NUMBER * (2 + index))?)?;
        end = buffer.end as u64;
        buffers.push(buffer);
    }
    Ok((head, buffers))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(head: &[&[u8]], buffers: &[&[u8]]) -> Vec<u8> {
        let pieces = |of: &[&[u8]]| of.iter().map(|bytes| Piece::from(*bytes)).collect();
        let parcel = Parcel { head: pieces(head), buffers: pieces(buffers) };
        let mut bytes = vec![0xee; parcel.length() as usize];
        // SAFETY: the vector is as long as the parcel, whose pieces live.
        unsafe { parcel.write(NonNull::from(&mut bytes[..]).cast()) };
        bytes
    }

    #[test]
    fn what_was_written_is_read() {
        let long = vec![7; 1000];
        let buffers: [&[u8]; 4] = [b"", &long, b"x", b""];
        let bytes = written(&[b"he", b"", b"ad"], &buffers);
        let (head, places) = read(&bytes).expect("a parcel");
        assert_eq!(&bytes[head], b"head");
        assert!(places.iter().all(|place| place.start % 64 == 0));
        assert!(places.iter().map(|place| &bytes[place.clone()]).eq(buffers));
    }

    #[test]
    fn what_is_torn_is_refused() {
        let bytes = written(&[b"head"], &[b"buffer", &[1; 100]]);
        assert!((0..bytes.len()).all(|length| read(&bytes[..length]) == Err(TORN)));
        for at in 0..32 {
            let mut other = bytes.clone();
            other[at] ^= 0xff;
            assert_eq!(read(&other), Err(TORN), "byte {at}");
        }
    }
}
