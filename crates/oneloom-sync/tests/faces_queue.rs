//! What the queues promise to threads and async tasks.

mod faces_support;

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use faces_support::{ByHand, SHORT, block_on, eventually, rounds, starve};
use oneloom_sync::{GetError, LifoQueue, PutError, Queue, ShutDown, SimpleQueue};

#[test]
fn futures_of_a_queue_may_change_threads() {
    fn is_send<F: Future + Send>(_: F) {}
    let queue = Queue::new();
    is_send(queue.put_async(1));
    is_send(queue.get_async());
    is_send(queue.join_async());
}

#[test]
fn nothing_is_lost_or_doubled_between_threads_and_tasks() {
    let each = rounds(5_000) as u64;
    for bound in [None, Some(1), Some(7)] {
        let queue = Queue::with_name("mixed", bound);
        let mut taken: Vec<u64> = thread::scope(|scope| {
            let consumers = [
                scope.spawn(|| queue.iter().collect::<Vec<_>>()),
                scope.spawn(|| (&queue).into_iter().collect()),
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
            let queue = &queue;
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
        assert!(taken.into_iter().eq(0..2 * each), "bound {bound:?}");
        let statistics = queue.statistics();
        assert_eq!((statistics.waiting_getters, statistics.waiting_putters), (0, 0));
    }
}

#[test]
fn one_consumer_sees_each_producers_items_in_order() {
    let each = rounds(2_000);
    let queue = Queue::bounded(16);
    thread::scope(|scope| {
        for producer in 0..3 {
            let queue = &queue;
            scope.spawn(move || (0..each).for_each(|number| queue.put((producer, number)).unwrap()));
        }
        let mut next = [0; 3];
        for (producer, number) in queue.iter().take(3 * each) {
            assert_eq!(number, next[producer]);
            next[producer] += 1;
        }
    });
}

#[test]
fn a_bounded_queue_refuses_and_gives_the_item_back() {
    let queue = Queue::bounded(1);
    queue.put(1).unwrap();
    assert_eq!(queue.try_put(2), Err(PutError::Full(2)));
    assert_eq!(queue.put_timeout(2, SHORT), Err(PutError::Full(2)));
    assert!(queue.is_full() && queue.len() == 1 && queue.unfinished() == 1);
    queue.shutdown();
    assert_eq!(queue.try_put(2), Err(PutError::ShutDown(2)));
    assert_eq!(queue.put_timeout(2, SHORT), Err(PutError::ShutDown(2)));
    assert_eq!(queue.put(2), Err(ShutDown(2)));
    assert_eq!(block_on(queue.put_async(2)), Err(ShutDown(2)));
    assert_eq!(queue.get(), Ok(1));
    assert_eq!(queue.try_get(), Err(GetError::ShutDown));
    assert_eq!(queue.get_timeout(SHORT), Err(GetError::ShutDown));
    assert_eq!(block_on(queue.get_async()), Err(ShutDown(())));
}

#[test]
fn errors_say_what_to_do() {
    assert!(PutError::Full(1).to_string().contains("higher bound"));
    assert!(GetError::Empty.to_string().contains("shutdown()"));
    assert_eq!(ShutDown(Rc::new(1)).to_string(), GetError::ShutDown.to_string());
    assert_eq!(format!("{:?}", PutError::Full(Rc::new(1))), "Full(..)");
}

#[test]
#[should_panic(expected = "bounded to 0")]
fn a_bound_of_nothing_is_refused() {
    drop(Queue::<u8>::bounded(0));
}

#[test]
#[should_panic(expected = "once for each item")]
fn reporting_more_than_was_put_is_refused() {
    Queue::<u8>::new().task_done();
}

#[test]
fn shutting_down_ends_every_kind_of_wait() {
    let empty = Queue::<u8>::bounded(1);
    let full = Queue::bounded(1);
    full.put(0).unwrap();
    thread::scope(|scope| {
        let getter = scope.spawn(|| empty.get());
        let task_getter = scope.spawn(|| block_on(empty.get_async()));
        let putter = scope.spawn(|| full.put(1));
        let task_putter = scope.spawn(|| block_on(full.put_async(2)));
        eventually("all wait", || {
            empty.statistics().waiting_getters == 2 && full.statistics().waiting_putters == 2
        });
        empty.shutdown();
        full.shutdown();
        assert_eq!(getter.join().unwrap(), Err(ShutDown(())));
        assert_eq!(task_getter.join().unwrap(), Err(ShutDown(())));
        assert_eq!(putter.join().unwrap(), Err(ShutDown(1)));
        assert_eq!(task_putter.join().unwrap(), Err(ShutDown(2)));
    });
    assert_eq!(full.get(), Ok(0));
    assert!(full.is_shut_down());
}

#[test]
fn shutting_down_at_once_gives_back_what_is_left_and_ends_joining() {
    let queue = LifoQueue::new();
    (0..3).for_each(|number| queue.put(number).unwrap());
    thread::scope(|scope| {
        let joiner = scope.spawn(|| queue.join());
        eventually("it joins", || queue.statistics().waiting_joiners == 1);
        assert_eq!(queue.shutdown_now(), [2, 1, 0]);
        joiner.join().unwrap();
    });
    assert_eq!(queue.get(), Err(ShutDown(())));
    assert!(queue.is_empty());
}

#[test]
fn joining_waits_for_the_work_not_for_the_getting() {
    let queue = Queue::new();
    queue.put(1).unwrap();
    queue.put(2).unwrap();
    assert_eq!((queue.get(), queue.get()), (Ok(1), Ok(2)));
    assert!(!queue.join_timeout(SHORT));
    let mut joiner = ByHand::waiting(queue.join_async());
    queue.task_done();
    assert!(joiner.poll().is_none());
    queue.task_done();
    joiner.finish();
    queue.join();
}

#[test]
fn a_dropped_get_takes_nothing_in_any_stage() {
    for starving in [false, true] {
        let queue = Queue::new();
        drop(queue.get_async());
        drop(ByHand::waiting(queue.get_async()));
        assert_eq!(queue.statistics().waiting_getters, 0);

        let told = ByHand::waiting(queue.get_async());
        let next = ByHand::waiting(queue.get_async());
        if starving {
            starve();
        }
        queue.put("one").unwrap();
        assert_eq!((told.alarm.count(), next.alarm.count()), (1, 0));
        drop(told);
        assert_eq!(next.finish(), Ok("one"));
        queue.put("two").unwrap();
        assert_eq!(queue.try_get(), Ok("two"));
    }
}

#[test]
fn a_dropped_put_has_put_nothing_in_any_stage_and_drops_its_item_once() {
    for starving in [false, true] {
        let item = Arc::new(());
        let queue = Queue::bounded(1);
        drop(queue.put_async(item.clone()));
        queue.put(item.clone()).unwrap();
        drop(ByHand::waiting(queue.put_async(item.clone())));
        assert_eq!((queue.statistics().waiting_putters, Arc::strong_count(&item)), (0, 2));

        let told = ByHand::waiting(queue.put_async(item.clone()));
        let next = ByHand::waiting(queue.put_async(item.clone()));
        if starving {
            starve();
        }
        drop(queue.get().unwrap());
        assert_eq!((told.alarm.count(), next.alarm.count()), (1, 0));
        drop(told);
        next.finish().unwrap();
        assert_eq!((queue.len(), Arc::strong_count(&item)), (1, 2));
        assert_eq!(queue.unfinished(), 2);
        drop(queue);
        assert_eq!(Arc::strong_count(&item), 1);
    }
}

#[test]
fn an_item_promised_to_a_starving_getter_is_nobody_elses() {
    let queue = Queue::new();
    let starving = ByHand::waiting(queue.get_async());
    starve();
    queue.put(1).unwrap();
    assert_eq!((queue.len(), queue.try_get()), (1, Err(GetError::Empty)));
    assert_eq!(starving.finish(), Ok(1));
    assert_eq!(queue.statistics().gets.handovers, 1);
}

#[test]
fn items_that_put_into_their_own_queue_when_dropped_do_no_harm() {
    struct Phoenix(Arc<Queue<Phoenix>>, u8);
    impl Drop for Phoenix {
        fn drop(&mut self) {
            if self.1 > 0 {
                // Refused once the queue is shut down: then this is dropped in here.
                let _ = self.0.put(Phoenix(self.0.clone(), self.1 - 1));
            }
        }
    }
    let queue = Arc::new(Queue::new());
    queue.put(Phoenix(queue.clone(), 3)).unwrap();
    drop(queue.get());
    assert_eq!(queue.len(), 1);
    drop(queue.shutdown_now());
    assert_eq!((queue.len(), Arc::strong_count(&queue)), (0, 1));
}

#[test]
fn a_simple_queue_takes_everything() {
    let queue = SimpleQueue::with_name("results");
    assert_eq!((queue.try_get(), queue.get_timeout(SHORT)), (None, None));
    thread::scope(|scope| {
        let getter = scope.spawn(|| queue.get());
        let task = scope.spawn(|| block_on(queue.get_async()));
        eventually("both wait", || queue.statistics().waiting_getters == 2);
        queue.put(1);
        queue.put(2);
        assert_eq!(getter.join().unwrap() + task.join().unwrap(), 3);
    });
    let shown = r#"SimpleQueue { name: "results", len: 0, waiting_getters: 0 }"#;
    assert_eq!(format!("{queue:?}"), shown);
}

#[test]
fn debug_shows_state_and_waiters() {
    let queue = Queue::with_name("jobs", 2);
    queue.put(1).unwrap();
    let shown = r#"Queue { name: "jobs", len: 1, bound: 2, shut_down: false, unfinished: 1, waiting_getters: 0, waiting_putters: 0, waiting_joiners: 0 }"#;
    assert_eq!(format!("{queue:?}"), shown);
}
