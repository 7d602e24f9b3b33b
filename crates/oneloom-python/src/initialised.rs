//! What an object is made of, once its `__init__` has said so.
//!
//! A subclass may take other arguments than its base, and hands over to `super().__init__` what that is to have. So
//! `__new__` can't know what is meant: it takes anything, and the content comes with the first `__init__`.

use std::ops::Deref;
use std::sync::OnceLock;

/// A content that is set once. Where a subclass's `__init__` forgot the one above it, a plain content stands in.
pub struct Initialised<T> {
    content: OnceLock<T>,
    plain: fn() -> T,
}

impl<T> Initialised<T> {
    /// Nothing yet; `plain` makes what is used if nothing comes.
    pub fn or(plain: fn() -> T) -> Self {
        Self { content: OnceLock::new(), plain }
    }

    /// The content, unless there is one: threads may be using it already.
    pub fn initialise(&self, content: T) {
        drop(self.content.set(content));
    }

    /// The content so far.
    pub fn get(&self) -> Option<&T> {
        self.content.get()
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
