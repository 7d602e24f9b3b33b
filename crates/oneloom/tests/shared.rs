//! Shared objects in one process: between threads and tasks, as handles, and what is refused.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use oneloom::shared::{
    Barrier, BarrierError, Bounds, ByteQueue, Condvar, Error, Event, GetError, Mutex, PriorityQueue,
    PutError, Queue, ReentrantMutex, ReleaseError, Semaphore,
};
use serde::{Deserialize, Serialize};

/// How long anything may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_mutex_excludes_threads_and_tasks() {
    let mutex = Mutex::new().expect("a lock");
    let (inside, sum) = (AtomicBool::new(false), AtomicU64::new(0));
    let work = || {
        assert!(!inside.swap(true, Ordering::SeqCst), "two at once");
        sum.fetch_add(1, Ordering::Relaxed);
        inside.store(false, Ordering::SeqCst);
    };
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let _guard = mutex.lock().expect("a lock");
                    work();
                }
            });
            scope.spawn(|| {
                pollster::block_on(async {
                    for _ in 0..500 {
                        let _guard = mutex.lock_async().await.expect("a lock");
                        work();
                    }
                });
            });
        }
    });
    assert_eq!(sum.load(Ordering::Relaxed), 2000);
    assert!(!mutex.is_locked());
}

#[test]
fn a_reentrant_mutex_is_taken_again_by_its_thread_alone() {
    let mutex = ReentrantMutex::with_name("ledger").expect("a lock");
    let outer = mutex.lock().expect("a lock");
    let inner = mutex.try_lock().expect("sound memory").expect("its own lock");
    assert_eq!(mutex.depth(), 2);
    let elsewhere = || {
        thread::scope(|scope| {
            scope.spawn(|| mutex.try_lock().expect("sound memory").is_some()).join().expect("a thread")
        })
    };
    assert!(!elsewhere());
    drop(outer);
    assert!(!elsewhere() && mutex.is_locked());
    drop(inner);
    assert!(elsewhere() && !mutex.is_locked());
}

#[test]
fn tasks_exclude_each_other_from_a_reentrant_mutex() {
    let mutex = ReentrantMutex::new().expect("a lock");
    let mut context = Context::from_waker(Waker::noop());
    let first = pollster::block_on(mutex.lock_async()).expect("a lock");
    let mut second = Box::pin(mutex.lock_async());
    assert!(second.as_mut().poll(&mut context).is_pending());
    assert!(mutex.try_lock().expect("sound memory").is_none(), "a thread is another one, too");
    drop(first);
    let Poll::Ready(Ok(guard)) = second.as_mut().poll(&mut context) else { panic!("it is free") };
    assert_eq!(mutex.depth(), 1);
    drop(guard);
    assert!(!mutex.is_locked());
}

#[test]
fn permits_are_taken_and_come_back() {
    let semaphore = Semaphore::with_name("downloads", 2, true).expect("a semaphore");
    let one = semaphore.acquire().expect("a permit");
    let other = pollster::block_on(semaphore.acquire_async()).expect("a permit");
    assert!(semaphore.try_acquire().expect("sound memory").is_none());
    assert!(semaphore.acquire_timeout(Duration::from_millis(1)).expect("sound memory").is_none());
    assert_eq!(format!("{semaphore:?}"), r#"Semaphore { name: "downloads", available: 0, bound: 2 }"#);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| semaphore.acquire().map(drop).is_ok());
        drop(one);
        assert!(waiter.join().expect("a waiter"));
    });
    drop(other);
    assert_eq!((semaphore.available(), semaphore.bound()), (2, Some(2)));
    assert_eq!(semaphore.release(1), Err(ReleaseError::TooMany { bound: 2 }));
    let news = Semaphore::new(0).expect("a semaphore");
    assert_eq!(news.try_consume(), Ok(false));
    news.release(3).expect("sound memory");
    news.consume().expect("sound memory");
    pollster::block_on(news.consume_async()).expect("sound memory");
    assert_eq!(news.consume_timeout(Duration::from_millis(1)), Ok(true));
    assert_eq!(news.available(), 0);
}

/// Wakes everybody when it goes, after a failure as well: a test that fails is not to hang.
struct NotifiesAll<'a>(&'a Condvar);

impl Drop for NotifiesAll<'_> {
    fn drop(&mut self) {
        self.0.notify_all().expect("sound memory");
    }
}

#[test]
fn a_condvar_wakes_as_many_as_it_is_told() {
    let (mutex, changed) =
        (Mutex::new().expect("a lock"), Condvar::with_name("changed").expect("a condition"));
    let woken = AtomicU64::new(0);
    let until = |holds: &dyn Fn() -> bool| {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < PATIENCE, "it hangs: {changed:?}, {woken:?}");
            thread::yield_now();
        }
    };
    let count = || woken.fetch_add(1, Ordering::SeqCst);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let guard = mutex.lock().expect("a lock");
                let _guard = changed.wait(guard).expect("a lock");
                count()
            });
            scope.spawn(|| {
                pollster::block_on(async {
                    let guard = mutex.lock_async().await.expect("a lock");
                    let _guard = changed.wait_async(guard).await.expect("a lock");
                    count()
                })
            });
        }
        let _rest = NotifiesAll(&changed);
        until(&|| changed.waiting() == 4);
        // Whoever waits is seen first, and then lets go of it.
        until(&|| !mutex.is_locked());
        changed.notify_one().expect("sound memory");
        until(&|| woken.load(Ordering::SeqCst) == 1);
        assert_eq!(changed.waiting(), 3);
    });
    assert_eq!(woken.load(Ordering::SeqCst), 4);
    assert!(!mutex.is_locked());
}

#[test]
fn a_condvar_s_time_limit_gives_the_mutex_back() {
    let (mutex, changed) = (Mutex::new().expect("a lock"), Condvar::new().expect("a condition"));
    let guard = mutex.lock().expect("a lock");
    let (guard, notified) = changed.wait_timeout(guard, Duration::from_millis(1)).expect("a lock");
    assert!(!notified && mutex.is_locked() && changed.waiting() == 0);
    let (guard, ended) =
        changed.wait_while_timeout(guard, || true, Duration::from_millis(1)).expect("a lock");
    assert!(!ended);
    let (guard, ended) = changed.wait_while_timeout(guard, || false, PATIENCE).expect("a lock");
    assert!(ended);
    drop(guard);
    assert!(!mutex.is_locked());
    let mut context = Context::from_waker(Waker::noop());
    let guard = pollster::block_on(mutex.lock_async()).expect("a lock");
    let mut waiting = Box::pin(changed.wait_async(guard));
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    assert_eq!(changed.waiting(), 1);
    drop(waiting);
    assert!(changed.waiting() == 0 && !mutex.is_locked());
}

#[test]
fn what_a_dropped_waiter_was_notified_of_goes_to_the_next() {
    let (mutex, changed) = (Mutex::new().expect("a lock"), Condvar::new().expect("a condition"));
    let mut context = Context::from_waker(Waker::noop());
    let wait = || {
        let guard = pollster::block_on(mutex.lock_async()).expect("a lock");
        Box::pin(changed.wait_async(guard))
    };
    let mut first = wait();
    assert!(first.as_mut().poll(&mut context).is_pending());
    let mut second = wait();
    assert!(second.as_mut().poll(&mut context).is_pending());
    let guard = mutex.lock().expect("a lock");
    changed.notify_one().expect("sound memory");
    // It has its notification now, and waits for the mutex.
    assert!(first.as_mut().poll(&mut context).is_pending());
    drop(first);
    drop(guard);
    assert!(matches!(second.as_mut().poll(&mut context), Poll::Ready(Ok(_))));
}

#[test]
fn a_barrier_lets_its_parties_go_together_or_turns_them_away() {
    let barrier = Barrier::with_name("start", 3).expect("a barrier");
    for _ in 0..50 {
        let mut arrived: Vec<_> = thread::scope(|scope| {
            let threads = [(); 2].map(|()| scope.spawn(|| barrier.wait()));
            let task = scope.spawn(|| pollster::block_on(barrier.wait_async()));
            threads.into_iter().chain([task]).map(|party| party.join().expect("a party")).collect()
        });
        arrived.sort_by_key(|arrival| arrival.as_ref().map(|arrival| arrival.index()).ok());
        let arrived: Vec<_> = arrived.into_iter().map(|arrival| arrival.expect("unbroken")).collect();
        assert_eq!(arrived.iter().map(|arrival| arrival.index()).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(arrived.iter().filter(|arrival| arrival.is_leader()).count(), 1);
    }
    assert_eq!(barrier.try_wait(), Ok(None));
    assert_eq!(barrier.wait_timeout(Duration::from_millis(1)), Ok(None));
    assert_eq!((barrier.waiting(), barrier.parties()), (0, 3));
    thread::scope(|scope| {
        let waiter = scope.spawn(|| barrier.wait());
        let started = Instant::now();
        while barrier.waiting() == 0 {
            assert!(started.elapsed() < PATIENCE, "nobody comes");
            thread::yield_now();
        }
        barrier.abort().expect("sound memory");
        assert_eq!(waiter.join().expect("a waiter"), Err(BarrierError::Broken));
    });
    assert_eq!(barrier.wait(), Err(BarrierError::Broken));
    barrier.reset().expect("sound memory");
    assert!(!barrier.is_broken());
}

#[test]
fn a_dropped_future_takes_nothing() {
    let (mutex, numbers) = (Mutex::new().expect("a lock"), Queue::new().expect("a queue"));
    let event = Event::new().expect("an event");
    let mut context = Context::from_waker(Waker::noop());
    {
        let guard = mutex.lock().expect("a lock");
        let mut waiting = Box::pin(mutex.lock_async());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        let mut getting = Box::pin(numbers.get_async());
        assert!(getting.as_mut().poll(&mut context).is_pending());
        let mut rising = Box::pin(event.wait_async());
        assert!(rising.as_mut().poll(&mut context).is_pending());
        drop(guard);
        numbers.put(&5).expect("an open queue");
        event.set().expect("sound memory");
    }
    assert!(mutex.try_lock().expect("sound memory").is_some());
    assert_eq!(numbers.try_get(), Ok(5));
    let bounded = Queue::bounded(1).expect("a queue");
    bounded.put(&1).expect("an open queue");
    {
        let mut putting = Box::pin(bounded.put_async(&2));
        assert!(putting.as_mut().poll(&mut context).is_pending());
        assert_eq!(bounded.get(), Ok(1));
    }
    assert_eq!(bounded.try_get(), Err(GetError::Empty));
}

#[test]
fn a_future_is_woken_and_may_leave_its_maker() {
    let numbers = Queue::<u64>::new().expect("a queue");
    let getting = numbers.get_async();
    let getter = thread::spawn(move || pollster::block_on(getting));
    numbers.put(&9).expect("an open queue");
    assert_eq!(getter.join().expect("a getter"), Ok(9));
    let mut putting = pin!(numbers.put_async(&10));
    let poll = putting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(poll, Poll::Ready(Ok(())));
}

#[test]
fn bounds_and_timeouts_end_a_wait() {
    let jobs = Queue::bounded(2).expect("a queue");
    let moment = Duration::from_millis(20);
    assert_eq!(jobs.get_timeout(moment), Err(GetError::Empty));
    assert_eq!(jobs.bound(), Some(2));
    jobs.put(&1).expect("an open queue");
    jobs.try_put(&2).expect("an open queue");
    assert_eq!(jobs.try_put(&3), Err(PutError::Full));
    assert_eq!(jobs.put_timeout(&3, moment), Err(PutError::Full));
    assert_eq!(jobs.iter().take(2).collect::<Result<Vec<_>, _>>(), Ok(vec![1, 2]));
    assert_eq!(Event::new().expect("an event").wait_timeout(moment), Ok(false));
    let mutex = Mutex::new().expect("a lock");
    let _guard = mutex.lock().expect("a lock");
    assert!(mutex.lock_timeout(moment).expect("sound memory").is_none());
}

#[test]
fn many_are_put_and_taken_at_once() {
    let jobs = Queue::bounded(10).expect("a queue");
    jobs.put_many(0..10).expect("an open queue");
    assert_eq!(jobs.try_put_many([10]), Err(PutError::Full));
    assert_eq!(jobs.get_many(4), Ok(vec![0, 1, 2, 3]));
    assert_eq!(jobs.put_many_timeout(10..15, Duration::from_millis(1)), Err(PutError::Full), "all or none");
    pollster::block_on(jobs.put_many_async(10..14)).expect("an open queue");
    assert_eq!(pollster::block_on(jobs.get_many_async(100)), Ok((4..14).collect()));
    assert_eq!(jobs.try_get_many(1), Err(GetError::Empty));
    assert_eq!(jobs.get_many_timeout(1, Duration::from_millis(1)), Err(GetError::Empty));
    jobs.shutdown().expect("sound memory");
    assert_eq!(jobs.get_many(1), Err(GetError::ShutDown));
    let large: Vec<Vec<u8>> = (1..5).map(|number| vec![number; 5000]).collect();
    let lines = ByteQueue::new().expect("a queue");
    lines.put_many(large.clone()).expect("an open queue");
    assert!(lines.get_many(10) == Ok(large));
}

#[test]
fn a_bound_may_be_one_of_bytes() {
    let lines = ByteQueue::bounded(Bounds { items: None, bytes: Some(100) }).expect("a queue");
    assert_eq!((lines.bound(), lines.byte_bound()), (None, Some(100)));
    lines.put(&[1; 60]).expect("an open queue");
    assert_eq!(lines.try_put(&[2; 60]), Err(PutError::Full));
    assert_eq!(lines.get(), Ok(vec![1; 60]));
    lines.put(&[2; 60]).expect("an open queue");
    let error = lines.put(&[3; 101]).expect_err("it is too large");
    assert!(matches!(&error, PutError::Failed(Error::TooLarge { .. })), "{error}");
}

#[test]
fn what_is_lent_is_done_when_it_is_acknowledged() {
    let jobs = Queue::acknowledging("jobs", 2).expect("a queue");
    jobs.put_many([1, 2]).expect("an open queue");
    let job = jobs.lend().expect("an item");
    let other = pollster::block_on(jobs.lend_async()).expect("an item");
    assert_eq!((*job, *other, format!("{job:?}")), (1, 2, "Lent(1)".to_owned()));
    assert_eq!(jobs.try_lend().expect_err("both are lent"), GetError::Empty);
    assert_eq!(job.acknowledge(), Ok(1));
    assert_eq!(jobs.join_timeout(Duration::from_millis(1)), Ok(false));
    assert_eq!(other.acknowledge(), Ok(2));
    assert_eq!(jobs.join(), Ok(()));
    jobs.put_many([3, 4]).expect("an open queue");
    assert_eq!(jobs.get_many(5), Ok(vec![3, 4]), "which acknowledges at once");
    assert_eq!(jobs.unfinished(), Ok(0));
}

#[test]
#[should_panic(expected = "made by acknowledging()")]
fn another_queue_lends_nothing() {
    let _ = Queue::<u8>::new().expect("a queue").lend();
}

#[test]
fn the_smallest_priority_comes_first_and_equals_as_they_came() {
    let jobs = PriorityQueue::bounded(5).expect("a queue");
    for (name, priority) in [("c", 3), ("a", -1), ("d", 3), ("b", 0)] {
        jobs.put(&name.to_owned(), priority).expect("an open queue");
    }
    pollster::block_on(jobs.put_async(&"e".to_owned(), i64::MAX)).expect("an open queue");
    assert_eq!(jobs.try_put(&"f".to_owned(), 0), Err(PutError::Full));
    assert_eq!(jobs.put_timeout(&"f".to_owned(), 0, Duration::from_millis(1)), Err(PutError::Full));
    assert_eq!((0..5).map(|_| jobs.get().expect("an item")).collect::<String>(), "abcde");
    let again = PriorityQueue::<String>::from_handle(&jobs.to_handle()).expect("the same queue");
    again.put(&"g".repeat(9000), 1).expect("an open queue");
    assert_eq!(pollster::block_on(jobs.get_async()), Ok("g".repeat(9000)));
    assert_eq!(Queue::<String>::from_handle(&jobs.to_handle()).err(), Some(Error::Kind));
}

#[test]
#[should_panic(expected = "could hold nothing")]
fn a_queue_for_no_items_is_refused() {
    let _ = Queue::<u8>::bounded(0);
}

#[test]
fn a_shutdown_drains_or_drops() {
    let jobs = Queue::new().expect("a queue");
    jobs.put(&1).expect("an open queue");
    jobs.shutdown().expect("sound memory");
    assert_eq!(jobs.put(&2), Err(PutError::ShutDown));
    assert_eq!(pollster::block_on(jobs.put_async(&2)), Err(PutError::ShutDown));
    assert_eq!(jobs.get(), Ok(1));
    assert_eq!(pollster::block_on(jobs.get_async()), Err(GetError::ShutDown));
    let jobs = Queue::new().expect("a queue");
    (0..5).for_each(|number| jobs.put(&number).expect("an open queue"));
    jobs.shutdown_now().expect("sound memory");
    assert!(jobs.is_shut_down());
    assert_eq!((jobs.get(), jobs.unfinished()), (Err(GetError::ShutDown), Ok(0)));
}

#[test]
#[should_panic(expected = "task_done() on the shared queue jobs")]
fn one_task_done_too_many_panics() {
    let _ = Queue::<u8>::with_name("jobs", None).expect("a queue").task_done();
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Everything {
    mutex: Vec<u8>,
    map: std::collections::BTreeMap<String, (i8, u64)>,
    shape: Shape,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Shape {
    Point,
    Circle { radius: f32 },
    Text(String, char),
}

#[test]
fn values_of_all_kinds_come_out_as_they_went_in() {
    let queue = Queue::new().expect("a queue");
    for shape in [Shape::Point, Shape::Circle { radius: 0.1 }, Shape::Text("ü".into(), '\u{1F9F5}')] {
        let map = (0..300).map(|number| (number.to_string(), (-1, u64::MAX / (number + 1)))).collect();
        let value = Everything { mutex: vec![0, 255], map, shape };
        queue.put(&value).expect("an open queue");
        assert_eq!(queue.get(), Ok(value));
    }
}

#[test]
fn what_can_not_be_read_is_an_error_and_the_queue_goes_on() {
    let numbers = Queue::<u64>::new().expect("a queue");
    let bytes = ByteQueue::from_handle(&numbers.to_handle()).expect("the same queue");
    bytes.put(&[1, 2, 3]).expect("an open queue");
    let texts = Queue::<String>::from_handle(&numbers.to_handle()).expect("the same queue");
    texts.put(&"text".to_owned()).expect("an open queue");
    numbers.put(&300).expect("an open queue");
    assert!(matches!(numbers.get(), Err(GetError::Encoding(_))));
    assert_eq!(numbers.get(), Ok(4), "another type may read as something else: it is not told");
    assert_eq!(numbers.get(), Ok(300));
}

#[test]
fn handles_name_objects_and_wrong_ones_are_refused() {
    let (event, mutex) = (Event::with_name("ready").expect("an event"), Mutex::new().expect("a lock"));
    let again = Event::from_handle(&event.to_handle()).expect("the same event");
    again.set().expect("sound memory");
    assert!(event.is_set() && again.name().is_none());
    assert_eq!(Event::from_handle(&mutex.to_handle()).err(), Some(Error::Kind));
    assert!(matches!(Event::from_handle(b"short"), Err(Error::Handle(_))));
    let mut foreign = event.to_handle();
    foreign[9] ^= 1;
    assert_eq!(Event::from_handle(&foreign).err(), Some(Error::Foreign));
    let travelled: Event =
        postcard::from_bytes(&postcard::to_stdvec(&event).expect("bytes")).expect("the same event");
    assert!(travelled.is_set());
    assert_eq!(travelled.name(), Some("ready"));
}

#[test]
fn debug_shows_name_and_state() {
    let mutex = Mutex::with_name("ledger").expect("a lock");
    assert_eq!(format!("{mutex:?}"), r#"Mutex { name: "ledger", locked: false }"#);
    let guard = mutex.lock().expect("a lock");
    assert!(format!("{guard:?}").contains("recovered: false"));
    assert!(format!("{mutex:?}").contains(&format!("holder: process {}", std::process::id())));
    let queue = Queue::<u8>::with_name("jobs", 7).expect("a queue");
    assert_eq!(format!("{queue:?}"), r#"Queue { name: "jobs", len: 0, bound: 7, shut_down: false }"#);
    let event = Event::with_name("ready").expect("an event");
    assert_eq!(format!("{event:?}"), r#"Event { name: "ready", set: false }"#);
}

#[test]
#[should_panic(expected = "deadlock: it waits for itself")]
fn locking_twice_panics() {
    let mutex = Mutex::with_name("ledger").expect("a lock");
    let _guard = mutex.lock();
    drop(mutex.lock());
}
