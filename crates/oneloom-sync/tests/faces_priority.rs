//! What the priority queue promises: the least first, whatever comparing does.

mod faces_support;

use std::cmp::{Ordering, Reverse};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use faces_support::{ByHand, Choices, SHORT, block_on, eventually, rounds, starve};
use oneloom_sync::{GetError, PriorityQueue, PutError, ShutDown};

#[test]
fn items_come_out_in_order_whatever_order_they_went_in() {
    let mut choices = Choices::new();
    for _ in 0..rounds(50) {
        let numbers: Vec<u64> = (0..choices.below(40)).map(|_| choices.below(20)).collect();
        let (queue, greatest_first) = (PriorityQueue::new(), PriorityQueue::new());
        for &number in &numbers {
            queue.put(number).unwrap();
            greatest_first.put(Reverse(number)).unwrap();
        }
        queue.shutdown();
        greatest_first.shutdown();
        let mut sorted = numbers;
        sorted.sort_unstable();
        assert_eq!(queue.iter().collect::<Vec<_>>(), sorted);
        assert!(greatest_first.iter().map(|item| item.0).eq(sorted.into_iter().rev()));
    }
}

#[test]
fn nothing_is_lost_or_doubled_between_threads_and_tasks() {
    let each = rounds(2_000) as u64;
    let queue = PriorityQueue::bounded(5);
    let mut taken: Vec<u64> = thread::scope(|scope| {
        let queue = &queue;
        let consumers = [
            scope.spawn(|| queue.iter().collect::<Vec<_>>()),
            scope.spawn(|| {
                block_on(async {
                    let mut taken = Vec::new();
                    while let Ok(number) = queue.get_async().await {
                        taken.push(number);
                    }
                    taken
                })
            }),
        ];
        let producers = [
            scope.spawn(move || (0..each).for_each(|number| queue.put(number).unwrap())),
            scope.spawn(move || {
                block_on(async {
                    for number in each..2 * each {
                        queue.put_async(number).await.unwrap();
                    }
                });
            }),
        ];
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        queue.shutdown();
        consumers.into_iter().flat_map(|consumer| consumer.join().unwrap()).collect()
    });
    taken.sort_unstable();
    assert!(taken.into_iter().eq(0..2 * each));
    assert_eq!(queue.statistics().waiting_getters + queue.statistics().waiting_putters, 0);
}

#[test]
fn a_bounded_queue_refuses_and_gives_the_item_back() {
    let queue = PriorityQueue::bounded(1);
    queue.put(1).unwrap();
    assert_eq!(queue.try_put(0), Err(PutError::Full(0)));
    assert_eq!(queue.put_timeout(0, SHORT), Err(PutError::Full(0)));
    queue.shutdown();
    assert_eq!(queue.try_put(0), Err(PutError::ShutDown(0)));
    assert_eq!(block_on(queue.put_async(0)), Err(ShutDown(0)));
    assert_eq!((queue.get(), queue.get()), (Ok(1), Err(ShutDown(()))));
    assert_eq!(queue.get_timeout(SHORT), Err(GetError::ShutDown));
}

#[test]
fn dropped_futures_have_put_and_taken_nothing_in_any_stage() {
    for starving in [false, true] {
        let queue = PriorityQueue::bounded(1);
        drop(ByHand::waiting(queue.get_async()));
        let (told, next) = (ByHand::waiting(queue.get_async()), ByHand::waiting(queue.get_async()));
        if starving {
            starve();
        }
        queue.put(1).unwrap();
        drop(told);
        assert_eq!(next.finish(), Ok(1));

        queue.put(2).unwrap();
        drop(ByHand::waiting(queue.put_async(0)));
        let (told, next) = (ByHand::waiting(queue.put_async(0)), ByHand::waiting(queue.put_async(3)));
        if starving {
            starve();
        }
        assert_eq!(queue.get(), Ok(2));
        drop(told);
        next.finish().unwrap();
        assert_eq!((queue.len(), queue.get(), queue.unfinished()), (1, Ok(3), 3));
    }
}

#[test]
fn shutting_down_at_once_gives_back_what_is_left_and_ends_every_wait() {
    let queue = PriorityQueue::bounded(2);
    [1, 2].into_iter().for_each(|number| queue.put(number).unwrap());
    thread::scope(|scope| {
        let putter = scope.spawn(|| queue.put(3));
        let joiner = scope.spawn(|| queue.join());
        eventually("both wait", || {
            queue.statistics().waiting_putters == 1 && queue.statistics().waiting_joiners == 1
        });
        let mut left = queue.shutdown_now();
        left.sort_unstable();
        assert_eq!(left, [1, 2]);
        assert_eq!(putter.join().unwrap(), Err(ShutDown(3)));
        joiner.join().unwrap();
    });
    assert!(queue.is_empty() && queue.is_shut_down());
}

/// An item whose comparisons do what they are told.
struct Touchy<'a> {
    rank: u32,
    compare: &'a (dyn Fn() + Sync),
    /// Counts the items that exist.
    _alive: Arc<()>,
}

impl Ord for Touchy<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.compare)();
        self.rank.cmp(&other.rank)
    }
}

impl PartialOrd for Touchy<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Touchy<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Touchy<'_> {}

#[test]
fn a_comparison_that_panics_loses_nothing() {
    let failing = AtomicBool::new(false);
    let compare = || assert!(!failing.load(Relaxed), "on purpose");
    let alive = Arc::new(());
    let queue = PriorityQueue::bounded(4);
    let item = |rank| Touchy { rank, compare: &compare, _alive: alive.clone() };
    [3, 1, 2].into_iter().for_each(|rank| queue.put(item(rank)).unwrap());

    failing.store(true, Relaxed);
    for _ in 0..3 {
        catch_unwind(AssertUnwindSafe(|| drop(queue.put(item(0))))).unwrap_err();
        catch_unwind(AssertUnwindSafe(|| drop(queue.get()))).unwrap_err();
        catch_unwind(AssertUnwindSafe(|| drop(block_on(queue.get_async())))).unwrap_err();
    }
    failing.store(false, Relaxed);

    assert_eq!((queue.len(), queue.unfinished(), Arc::strong_count(&alive)), (3, 3, 4));
    queue.put(item(0)).unwrap();
    queue.shutdown();
    assert!(queue.iter().map(|item| item.rank).eq(0..4));
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn a_comparison_that_calls_its_own_queue_panics_and_loses_nothing() {
    static QUEUE: std::sync::OnceLock<PriorityQueue<Touchy<'static>>> = std::sync::OnceLock::new();
    static CALLS: AtomicBool = AtomicBool::new(false);
    let queue = QUEUE.get_or_init(PriorityQueue::new);
    let compare: &'static (dyn Fn() + Sync) = &|| {
        if CALLS.load(Relaxed) {
            drop(QUEUE.get().unwrap().try_get());
        }
    };
    let alive = Arc::new(());
    let item = |rank| Touchy { rank, compare, _alive: alive.clone() };
    [2, 3, 1].into_iter().for_each(|rank| queue.put(item(rank)).unwrap());
    CALLS.store(true, Relaxed);
    catch_unwind(AssertUnwindSafe(|| drop(queue.get()))).unwrap_err();
    CALLS.store(false, Relaxed);
    assert_eq!((queue.len(), Arc::strong_count(&alive)), (3, 4));
    queue.shutdown();
    assert!(queue.iter().map(|item| item.rank).eq(1..4));
}
