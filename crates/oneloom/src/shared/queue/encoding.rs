//! What stands in a shared queue, as bytes.

use std::cell::Cell;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// How items become bytes and bytes become items; [`Serde`] and [`Bytes`] are the ones there are.
pub trait Encoding: Sized + sealed::Sealed {
    /// What is put.
    type Sent: ?Sized;
    /// What is got.
    type Item;

    #[doc(hidden)]
    const MARK: u32;

    #[doc(hidden)]
    fn encode<R>(item: &Self::Sent, then: impl FnOnce(&[u8]) -> R) -> Result<R, String>;

    #[doc(hidden)]
    fn decode(bytes: &[u8], mark: u32) -> Result<Self::Item, String>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Bytes {}
    impl<T> Sealed for super::Serde<T> {}
}

/// Bytes as they are.
#[derive(Debug)]
pub struct Bytes;

impl Encoding for Bytes {
    type Sent = [u8];
    type Item = Vec<u8>;

    /// As every face marks plain bytes.
    const MARK: u32 = 1;

    fn encode<R>(item: &[u8], then: impl FnOnce(&[u8]) -> R) -> Result<R, String> {
        Ok(then(item))
    }

    fn decode(bytes: &[u8], _mark: u32) -> Result<Vec<u8>, String> {
        Ok(bytes.to_vec())
    }
}

/// Values that serde can write and read.
#[derive(Debug)]
pub struct Serde<T>(PhantomData<fn(T) -> T>);

/// A buffer that has become larger than this is not kept.
const KEPT: usize = 1 << 16;

thread_local! {
    /// What a thread's puts are written to, and the room of the last one.
    static WRITTEN: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl<T: Serialize + DeserializeOwned> Encoding for Serde<T> {
    type Sent = T;
    type Item = T;

    /// No other face writes like this.
    const MARK: u32 = 0x52;

    fn encode<R>(item: &T, then: impl FnOnce(&[u8]) -> R) -> Result<R, String> {
        // Taken out, for an item may write to a queue while it is written.
        let mut buffer = WRITTEN.take();
        buffer.clear();
        let written = postcard::to_extend(item, buffer).map_err(|error| error.to_string())?;
        let result = then(&written);
        if written.capacity() <= KEPT {
            WRITTEN.set(written);
        }
        Ok(result)
    }

    fn decode(bytes: &[u8], mark: u32) -> Result<T, String> {
        if mark != Self::MARK {
            return Err("it was not put by a queue of Rust values".into());
        }
        postcard::from_bytes(bytes).map_err(|error| error.to_string())
    }
}
