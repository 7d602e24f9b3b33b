//! What an object is made of, once its `__init__` has said so.
//!
//! A subclass may take other arguments than its base, and hands over to `super().__init__` what that is to have. So
//! `__new__` can't know what is meant: it takes anything, and the content comes with the first `__init__`. `Written` tells
//! the garbage collector, which may come even before `__new__` is done.

use std::hint::black_box;
use std::ops::Deref;
use std::sync::OnceLock;

/// Stands in what an object is made of, and says that it is there.
///
/// Before, the object's memory is all zeros, and the garbage collector may come by: CPython 3.11 and 3.12 make the
/// dictionary of an object before PyO3 writes what it is made of. So whoever visits for the collector asks first.
pub struct Written(bool);

impl Written {
    /// What to write.
    pub const YES: Self = Self(true);

    /// Whether it was written.
    pub fn is_so(&self) -> bool {
        // Nothing else is ever made, but memory may be zero.
        black_box(self.0)
    }
}

/// A content that is set once. Where a subclass's `__init__` forgot the one above it, a plain content stands in.
pub struct Initialised<T> {
    written: Written,
    content: OnceLock<T>,
    plain: fn() -> T,
}

impl<T> Initialised<T> {
    /// Nothing yet; `plain` makes what is used if nothing comes.
    pub fn or(plain: fn() -> T) -> Self {
        Self { written: Written::YES, content: OnceLock::new(), plain }
    }

    /// The content, unless there is one: threads may be using it already.
    pub fn initialise(&self, content: T) {
        drop(self.content.set(content));
    }

    /// See [`Written`].
    pub fn is_written(&self) -> bool {
        self.written.is_so()
    }

    /// The content so far. May be asked by the garbage collector, at any time.
    pub fn get(&self) -> Option<&T> {
        if self.is_written() { self.content.get() } else { None }
    }

    #[cold]
    fn stand_in(&self) -> &T {
        // Made outside the cell: making Python objects may run other code, which may use this object.
        let content = (self.plain)();
        self.initialise(content);
        self.content.get().expect("a content was set just now")
    }
}

impl<T> Deref for Initialised<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match self.content.get() {
            Some(content) => content,
            None => self.stand_in(),
        }
    }
}
