//! A binary heap whose comparison may fail, or panic, or take its time.
//!
//! Every comparison of a push or a pop is made before anything moves. So a comparison that fails has changed
//! nothing: the item to push is given back, the item to pop is still there, and the heap is in order.
//!
//! The comparisons are those of Python's `heapq`, in the same order: a pop first sinks along the smaller
//! children down to a leaf and then climbs, because the last item nearly always belongs near the leaves.

/// Items in heap order: none is less than its parent.
#[derive(Debug)]
pub struct Heap<T>(Vec<T>);

impl<T> Default for Heap<T> {
    fn default() -> Self {
        Self::new()
    }
}

const fn parent(place: usize) -> usize {
    (place - 1) / 2
}

impl<T> Heap<T> {
    /// No items.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The items; the first is a least one, the others stand in no particular order.
    pub fn items(&self) -> &[T] {
        &self.0
    }

    /// Adds an item.
    ///
    /// # Errors
    /// What the comparison says, and the item; nothing has changed then.
    pub fn push<E>(
        &mut self,
        item: T,
        mut less: impl FnMut(&T, &T) -> Result<bool, E>,
    ) -> Result<(), (T, E)> {
        let end = self.0.len();
        let mut place = end;
        while place > 0 {
            match less(&item, &self.0[parent(place)]) {
                Ok(true) => place = parent(place),
                Ok(false) => break,
                Err(error) => return Err((item, error)),
            }
        }
        self.0.push(item);
        let mut at = end;
        while at > place {
            self.0.swap(at, parent(at));
            at = parent(at);
        }
        Ok(())
    }

    /// Takes a least item out.
    ///
    /// # Errors
    /// What the comparison says; nothing has changed then.
    pub fn pop<E>(&mut self, less: impl FnMut(&T, &T) -> Result<bool, E>) -> Result<Option<T>, E> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut at = self.place_of_last(less)?;
        let least = self.0.swap_remove(0);
        // The last item stands at the root now. Passing along the path, from below, each item that was there
        // comes to the root for a moment and leaves for its parent's place.
        while at > 0 {
            self.0.swap(0, at);
            at = parent(at);
        }
        Ok(Some(least))
    }

    /// Where the last item belongs once the first has gone and everything above that place has moved up.
    fn place_of_last<E>(&self, mut less: impl FnMut(&T, &T) -> Result<bool, E>) -> Result<usize, E> {
        let Some((last, rest)) = self.0.split_last() else { return Ok(0) };
        let mut place = 0;
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            if left >= rest.len() {
                break;
            }
            place = if right < rest.len() && !less(&rest[left], &rest[right])? { right } else { left };
        }
        while place > 0 && less(last, &rest[place])? {
            place = parent(place);
        }
        Ok(place)
    }

    /// Takes out `count` items, or all, none of them asked for: those that need no comparison to go.
    pub fn shed(&mut self, count: usize) -> Vec<T> {
        self.0.split_off(self.0.len().saturating_sub(count))
    }
}

#[cfg(test)]
mod tests {
    use super::Heap;

    fn less(left: &u32, right: &u32) -> Result<bool, ()> {
        Ok(left < right)
    }

    /// Numbers that look random; the same ones every time.
    fn numbers(seed: u64) -> impl Iterator<Item = u32> {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as u32 % 50
        })
    }

    fn assert_in_order(heap: &Heap<u32>) {
        let items = heap.items();
        for place in 1..items.len() {
            assert!(items[super::parent(place)] <= items[place], "{items:?} at {place}");
        }
    }

    #[test]
    fn gives_items_out_in_order() {
        for seed in 0..200 {
            let mut heap = Heap::new();
            let mut expected: Vec<u32> = numbers(seed).take(seed as usize % 40).collect();
            for item in &expected {
                heap.push(*item, less).unwrap();
                assert_in_order(&heap);
            }
            expected.sort_unstable();
            let mut got = Vec::new();
            while let Some(item) = heap.pop(less).unwrap() {
                assert_in_order(&heap);
                got.push(item);
            }
            assert_eq!(got, expected, "seed {seed}");
        }
    }

    #[test]
    fn a_comparison_that_fails_changes_nothing() {
        for seed in 0..50 {
            let mut heap = Heap::new();
            for item in numbers(seed).take(1 + seed as usize) {
                heap.push(item, less).unwrap();
            }
            let before = heap.items().to_vec();
            for allowed in 0.. {
                let mut left = allowed;
                let mut failing = |a: &u32, b: &u32| {
                    left -= 1;
                    if left < 0 { Err("no") } else { Ok(a < b) }
                };
                match heap.push(0, &mut failing) {
                    Err((item, why)) => assert_eq!((item, why), (0, "no")),
                    Ok(()) => break,
                }
                assert_eq!(heap.items(), before, "seed {seed}");
            }
            assert_in_order(&heap);
            let before = heap.items().to_vec();
            for allowed in 0.. {
                let mut left = allowed;
                let failing = |a: &u32, b: &u32| {
                    left -= 1;
                    if left < 0 { Err("no") } else { Ok(a < b) }
                };
                match heap.pop(failing) {
                    Err(why) => assert_eq!(why, "no"),
                    Ok(item) => {
                        assert_eq!(item, Some(0));
                        break;
                    }
                }
                assert_eq!(heap.items(), before, "seed {seed}");
            }
            assert_in_order(&heap);
        }
    }

    #[test]
    fn a_comparison_that_panics_leaves_the_heap_in_order() {
        let mut heap = Heap::new();
        for item in [5, 3, 8, 1, 9, 2] {
            heap.push(item, less).unwrap();
        }
        let before = heap.items().to_vec();
        let panics = |_: &u32, _: &u32| -> Result<bool, ()> { std::panic::resume_unwind(Box::new(())) };
        let popped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| heap.pop(panics)));
        assert!(popped.is_err());
        let pushed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| heap.push(4, panics)));
        assert!(pushed.is_err());
        assert_eq!(heap.items(), before);
    }

    #[test]
    fn shedding_keeps_the_order_of_the_rest() {
        let mut heap = Heap::new();
        for item in numbers(7).take(30) {
            heap.push(item, less).unwrap();
        }
        assert_eq!(heap.shed(11).len(), 11);
        assert_eq!(heap.len(), 19);
        assert_in_order(&heap);
        assert_eq!(heap.shed(100).len(), 19);
        assert!(heap.is_empty());
    }
}
