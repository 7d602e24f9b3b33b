//! Where a queue keeps its items, and in which order it gives them out.

use std::collections::VecDeque;

/// Where a queue keeps its items, and in which order it gives them out.
pub trait Store: Default + Send {
    /// What it keeps.
    type Item: Send;
    /// What a report calls such a queue.
    const KIND: &'static str;
    /// Whether younger items may stand apart until all older ones are gone.
    const IN_ORDER: bool = false;
    /// Adds an item.
    fn push(&mut self, item: Self::Item);
    /// Adds all items of `younger`, and leaves it empty. Asked only of those that are [`Self::IN_ORDER`].
    fn append(&mut self, younger: &mut Self) {
        while let Some(item) = younger.pop() {
            self.push(item);
        }
    }
    /// Takes the next item out.
    fn pop(&mut self) -> Option<Self::Item>;
    /// Shows every item.
    fn for_each(&self, look: &mut dyn FnMut(&Self::Item));
    /// How many there are.
    fn len(&self) -> usize;
    /// All of them, in the order in which they stand here.
    fn into_items(mut self) -> Vec<Self::Item> {
        std::iter::from_fn(|| self.pop()).collect()
    }
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// First in, first out.
pub struct Fifo<T>(VecDeque<T>);

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Send> Store for Fifo<T> {
    type Item = T;
    const KIND: &'static str = "Queue";
    const IN_ORDER: bool = true;

    #[inline]
    fn push(&mut self, item: T) {
        self.0.push_back(item);
    }

    #[inline]
    fn append(&mut self, younger: &mut Self) {
        if self.0.is_empty() {
            std::mem::swap(self, younger);
        } else {
            self.0.append(&mut younger.0);
        }
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    fn for_each(&self, look: &mut dyn FnMut(&T)) {
        self.0.iter().for_each(look);
    }

    #[inline]
    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Last in, first out.
pub struct Lifo<T>(Vec<T>);

impl<T> Default for Lifo<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Send> Store for Lifo<T> {
    type Item = T;
    const KIND: &'static str = "LifoQueue";

    fn push(&mut self, item: T) {
        self.0.push(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    fn into_items(self) -> Vec<T> {
        self.0
    }

    fn for_each(&self, look: &mut dyn FnMut(&T)) {
        self.0.iter().for_each(look);
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}
