//! What every face has in common: a name, its handle, how it travels, and how its calls wait.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use oneloom_shm::error::Error;
use oneloom_shm::family;
use oneloom_shm::handle::{Handle, LENGTH, Object, Shared};
use oneloom_shm::segment::Segment;
use oneloom_shm::wait::{Call, Stop, Waiting, block};
use oneloom_sync::environment::{Patient, Plain, refuse};
use oneloom_wait::clock::Deadline;
use oneloom_wait::wait::Environment;
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

/// An object as `oneloom-shm` has it.
pub trait Raw: Sized {
    /// What stands in the segment.
    type Content: Shared;

    fn from_object(object: Object<Self::Content>) -> Self;
    fn object(&self) -> &Object<Self::Content>;

    /// The same object, which reports of deadlocks call `name`.
    #[must_use]
    fn named(self, _name: Option<&str>) -> Self {
        self
    }
}

/// Says of a type of `oneloom-shm` that it is [`Raw`].
macro_rules! raw {
    ($raw:ty, $content:ty $(, $named:ident)?) => {
        impl $crate::shared::object::Raw for $raw {
            type Content = $content;

            fn from_object(object: oneloom_shm::handle::Object<$content>) -> Self {
                Self::from_object(object)
            }

            fn object(&self) -> &oneloom_shm::handle::Object<$content> {
                self.object()
            }

            $(fn named(self, name: Option<&str>) -> Self {
                self.$named(name.map(str::to_owned))
            })?
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
        Ok(Self::over(make(family::home()?)?, name))
    }

    /// The object that a handle names.
    pub fn open(handle: &[u8], name: Option<&str>) -> Result<Self, Error> {
        let object = Object::open(Handle::from_bytes(handle)?)?;
        Ok(Self::over(R::from_object(object), name))
    }

    fn over(raw: R, name: Option<&str>) -> Self {
        Self { raw: Arc::new(raw.named(name)), name: name.map(Arc::from) }
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
        Self::open(&handle, name.as_deref()).map_err(serde::de::Error::custom)
    }
}

/// Gives a face with the field `held`, made by `over`, what every one has: its name, its handle, and how it travels.
macro_rules! face {
    ($face:ident $(<$($parameter:ident: $bound:path),+>)?) => {
        impl $(<$($parameter: $bound),+>)? $face $(<$($parameter),+>)? {
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

        impl $(<$($parameter: $bound),+>)? Clone for $face $(<$($parameter),+>)? {
            fn clone(&self) -> Self {
                Self::over(self.held.clone())
            }
        }

        /// As its handle, with its name.
        impl $(<$($parameter: $bound),+>)? serde::Serialize for $face $(<$($parameter),+>)? {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.held.serialize(serializer)
            }
        }

        impl<'de $(, $($parameter: $bound),+)?> serde::Deserialize<'de> for $face $(<$($parameter),+>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::shared::object::Held::deserialize(deserializer).map(Self::over)
            }
        }
    };
}
pub(super) use face;

/// Runs a call, for as long as it takes or for `timeout` at most; `None` when that is over.
///
/// # Panics
/// In a certain deadlock, if it has no time limit.
#[track_caller]
pub fn wait<C: Call>(call: &mut C, timeout: Option<Duration>) -> Result<Option<C::Output>, Error> {
    wait_until(call, Deadline::after(timeout))
}

/// As [`wait`], until a deadline.
#[track_caller]
pub fn wait_until<C: Call>(call: &mut C, deadline: Deadline) -> Result<Option<C::Output>, Error> {
    run(call, deadline, &mut Plain)
}

/// As [`wait`], for as long as it takes.
#[track_caller]
pub fn wait_for_ever<C: Call>(call: &mut C) -> Result<C::Output, Error> {
    Ok(run(call, Deadline::Never, &mut Plain)?.expect("a wait without a time limit ends with a result"))
}

/// As [`wait_for_ever`], and never panics: in a deadlock, somebody else has to give way.
pub fn wait_patiently<C: Call>(call: &mut C) -> Result<C::Output, Error> {
    Ok(run(call, Deadline::Never, &mut Patient)?.expect("a wait without a time limit ends with a result"))
}

#[track_caller]
fn run<C: Call>(
    call: &mut C,
    deadline: Deadline,
    environment: &mut impl Environment,
) -> Result<Option<C::Output>, Error> {
    match block(call, deadline, environment) {
        Ok(output) => Ok(Some(output)),
        Err(Stop::TimedOut) => Ok(None),
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::Deadlock(deadlock)) => refuse(&deadlock),
        Err(Stop::Interrupted) => unreachable!("nothing interrupts a Rust thread's wait"),
    }
}

/// Runs a call as a task.
pub async fn wait_async<C: Call>(call: C) -> Result<C::Output, Error> {
    Waiting::new(call).await
}
