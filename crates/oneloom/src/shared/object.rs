//! What every face has in common: a name, its handle, how it travels, and how its calls wait.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use oneloom_shm::error::Error;
use oneloom_shm::family;
use oneloom_shm::handle::{Handle, LENGTH, Object, Shared};
use oneloom_shm::segment::Segment;
use oneloom_shm::wait::{Call, Stop, Waiting, block};
use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::Deadlock;
use oneloom_wait::wait::{Environment, Judgement};
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

/// An object as `oneloom-shm` has it.
pub trait Raw: Sized {
    /// What stands in the segment.
    type Content: Shared;

    fn from_object(object: Object<Self::Content>) -> Self;
    fn object(&self) -> &Object<Self::Content>;
}

/// Says of a type of `oneloom-shm` that it is [`Raw`].
macro_rules! raw {
    ($raw:ty, $content:ty) => {
        impl $crate::shared::object::Raw for $raw {
            type Content = $content;

            fn from_object(object: oneloom_shm::handle::Object<$content>) -> Self {
                Self::from_object(object)
            }

            fn object(&self) -> &oneloom_shm::handle::Object<$content> {
                self.object()
            }
        }
    };
}
pub(super) use raw;

/// An object and the name that it was given.
pub struct Held<R> {
    raw: Arc<R>,
    name: Option<Arc<str>>,
}

impl<R> Clone for Held<R> {
    fn clone(&self) -> Self {
        Self { raw: self.raw.clone(), name: self.name.clone() }
    }
}

impl<R: Raw> Held<R> {
    /// A new object of this process's family.
    pub fn create(
        name: Option<&str>,
        make: impl FnOnce(&'static Segment) -> Result<R, Error>,
    ) -> Result<Self, Error> {
        Ok(Self { raw: Arc::new(make(family::home()?)?), name: name.map(Arc::from) })
    }

    pub fn open(handle: &[u8], name: Option<String>) -> Result<Self, Error> {
        let object = Object::open(Handle::from_bytes(handle)?)?;
        Ok(Self { raw: Arc::new(R::from_object(object)), name: name.map(Arc::from) })
    }

    #[inline]
    pub fn raw(&self) -> &Arc<R> {
        &self.raw
    }

    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub fn handle(&self) -> [u8; LENGTH] {
        self.raw.object().handle().to_bytes()
    }

    /// Begins to show the object.
    pub fn debug<'a, 'b: 'a>(
        &self,
        formatter: &'a mut fmt::Formatter<'b>,
        kind: &str,
    ) -> fmt::DebugStruct<'a, 'b> {
        let mut fields = formatter.debug_struct(kind);
        match self.name() {
            Some(name) => fields.field("name", &name),
            None => fields.field("number", &self.raw.object().number()),
        };
        fields
    }
}

impl<R: Raw> Serialize for Held<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.handle(), self.name()).serialize(serializer)
    }
}

impl<'de, R: Raw> Deserialize<'de> for Held<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (handle, name) = <([u8; LENGTH], Option<String>)>::deserialize(deserializer)?;
        Self::open(&handle, name).map_err(serde::de::Error::custom)
    }
}

/// Gives a face with the field `held`, made by `over`, what every one has: its name, its handle, and how it travels.
macro_rules! face {
    ($face:ident $(<$parameter:ident: $bound:path>)?) => {
        impl $(<$parameter: $bound>)? $face $(<$parameter>)? {
            /// The name it was given; it travels with the object.
            pub fn name(&self) -> Option<&str> {
                self.held.name()
            }

            /// What names this object in every process of its family, as plain bytes. From now on it stays as long as
            /// the family: bytes under way can't be counted.
            pub fn to_handle(&self) -> [u8; 24] {
                self.held.handle()
            }

            /// The object that a handle names.
            ///
            /// # Errors
            /// If the bytes are no handle, or one of another family or another kind of object, or the object is gone.
            pub fn from_handle(handle: &[u8]) -> Result<Self, $crate::shared::Error> {
                $crate::shared::object::Held::open(handle, None).map(Self::over)
            }
        }

        impl $(<$parameter: $bound>)? Clone for $face $(<$parameter>)? {
            fn clone(&self) -> Self {
                Self::over(self.held.clone())
            }
        }

        /// As its handle, with its name.
        impl $(<$parameter: $bound>)? serde::Serialize for $face $(<$parameter>)? {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.held.serialize(serializer)
            }
        }

        impl<'de $(, $parameter: $bound)?> serde::Deserialize<'de> for $face $(<$parameter>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::shared::object::Held::deserialize(deserializer).map(Self::over)
            }
        }
    };
}
pub(super) use face;

/// A plain Rust thread: nothing interrupts its waits.
struct Plain;

impl Environment for Plain {
    fn judge(&mut self, _deadlock: &Deadlock) -> Judgement {
        Judgement::KeepWaiting
    }
}

/// Runs a call, for as long as it takes or for `timeout` at most; `None` when that is over.
pub fn wait<C: Call>(call: &mut C, timeout: Option<Duration>) -> Result<Option<C::Output>, Error> {
    match block(call, Deadline::after(timeout), &mut Plain) {
        Ok(output) => Ok(Some(output)),
        Err(Stop::TimedOut) => Ok(None),
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::Interrupted | Stop::Deadlock(_)) => unreachable!("what nobody has asked for"),
    }
}

/// Runs a call for as long as it takes.
pub fn wait_for_ever<C: Call>(call: &mut C) -> Result<C::Output, Error> {
    wait(call, None).map(|output| output.expect("a wait without a time limit ends with a result"))
}

/// Runs a call as a task.
pub async fn wait_async<C: Call>(call: C) -> Result<C::Output, Error> {
    Waiting::new(call).await
}
