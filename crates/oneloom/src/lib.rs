//! One set of locks, queues and pools for all that runs at once: threads and async tasks use the *same object*, and
//! processes those of [`shared`]. When threads deadlock, one of them is told so, with names, instead of all of them hanging;
//! and in a [`pool`] of processes a crash costs one task.
//!
//! ```
//! use oneloom::Queue;
//!
//! let jobs = Queue::bounded(100); // threads and async tasks meet here
//!
//! let total: u64 = std::thread::scope(|scope| {
//!     // threads empty it, until it is shut down ...
//!     let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| jobs.iter().sum::<u64>())).collect();
//!
//!     // ... and a task fills it, on any executor
//!     pollster::block_on(async {
//!         for number in 0..1000 {
//!             jobs.put_async(number).await.unwrap();
//!         }
//!     });
//!     jobs.shutdown();
//!     workers.into_iter().map(|worker| worker.join().unwrap()).sum()
//! });
//! assert_eq!(total, 499_500);
//! ```
//!
//! # What there is
//!
//! | | |
//! |---|---|
//! | [`Mutex<T>`] | data for one holder at a time |
//! | [`ReentrantMutex<T>`] | the same, and the thread that holds it may lock again |
//! | [`Semaphore`], [`BoundedSemaphore`] | permits to share |
//! | [`Event`] | a flag to wait for |
//! | [`Condvar`] | waiting, under a mutex, for what others change under it |
//! | [`Barrier`] | parties wait for each other |
//! | [`Queue<T>`], [`LifoQueue<T>`], [`PriorityQueue<T>`] | many producers, many consumers; bounds, `join`, `shutdown` |
//! | [`SimpleQueue<T>`] | the plainest: no bound, no end |
//! | [`OneShot<T>`] | a value that is set once and waited for |
//! | [`shared`] | locks, flags and queues for several processes at once, surviving the death of any of them |
//! | [`pool::ThreadPool`], [`pool::ProcessPool`] | workers that run closures or functions, and futures of what comes of them |
//! | [`pool::ProcessPool`] | processes that run functions of this program; one crash costs one task |
//! | [`process::Process`] | a function of this program in a process of its own |
//!
//! Of those for one process, all but the queues and the barrier are made by `const fn`s, so they stand in a `static`; a
//! `Mutex<()>` takes 64 bytes. Waiting never allocates.
//!
//! # Four ways to wait
//!
//! Whatever may have to wait can be called in four ways:
//!
//! | call | waits | where |
//! |---|---|---|
//! | `lock`, `get`, `wait`, … | as long as it takes | a thread |
//! | `lock_timeout`, `get_timeout`, … | for a [`Duration`](std::time::Duration) at most | a thread |
//! | `try_lock`, `try_get`, … | not at all | anywhere |
//! | `lock_async`, `get_async`, … | as long as it takes | a task on any executor |
//!
//! ```
//! use oneloom::{GetError, Queue};
//! use std::time::Duration;
//!
//! let jobs = Queue::new();
//! assert_eq!(jobs.try_get(), Err(GetError::Empty));
//! assert_eq!(jobs.get_timeout(Duration::from_millis(1)), Err(GetError::Empty));
//! jobs.put("sweep").unwrap();
//! assert_eq!(jobs.get(), Ok("sweep"));
//! # jobs.put("dust").unwrap();
//! # pollster::block_on(async {
//! assert_eq!(jobs.get_async().await, Ok("dust"));
//! # });
//! ```
//!
//! Giving up is exact. A get that timed out, or whose future was dropped, has taken nothing; a put has put nothing, and
//! errors give the item back. What had been handed to a waiter in the instant in which it gave up goes to the next. So
//! any executor's own timeout and `select!` work on these futures.
//!
//! Waiters are served in the order of their coming. A running thread may be faster than one that was just woken, which
//! saves two context switches; one that has been overtaken for a millisecond is handed what it waits for.
//!
//! # Deadlocks answer
//!
//! A thread that is about to wait looks who holds what it wants, what that one waits for, and so on. If that leads back
//! to itself, and nothing outside the circle could end any of these waits, the call panics:
//!
//! ```
//! use oneloom::Mutex;
//! use std::sync::Barrier;
//!
//! let (left, right) = (Mutex::with_name("left", ()), Mutex::with_name("right", ()));
//! let both_hold_one = Barrier::new(2);
//!
//! let panics = std::thread::scope(|scope| {
//!     let one = scope.spawn(|| {
//!         let _left = left.lock();
//!         both_hold_one.wait();
//!         drop(right.lock());
//!     });
//!     let other = scope.spawn(|| {
//!         let _right = right.lock();
//!         both_hold_one.wait();
//!         drop(left.lock());
//!     });
//!     [one.join(), other.join()].into_iter().filter_map(Result::err).count()
//! });
//! assert_eq!(panics, 1);
//! ```
//!
//! One thread panics, and says who waits for what and who holds it. Its guards are dropped on the way out, and the others
//! go on.
//!
//! ```text
//! deadlock: these wait for each other for ever
//!   thread 'Ann' (4711) waits for Mutex 'right', held by thread 'Bob' (4712)
//!   thread 'Bob' (4712) waits for Mutex 'left', held by thread 'Ann' (4711)
//!   help: take the locks in the same order everywhere, or wait with a _timeout call, which gives up
//! ```
//!
//! It is never a guess: calls with a timeout never panic and are never part of a circle, nor are async tasks, since
//! somebody may drop them. A lock that is free costs nothing more for all this.
//!
//! There is no poisoning: after a panic under a guard the mutex is free, and the data is as the panic left it.
//!
//! # Seeing what happens
//!
//! Every primitive has a `with_name` constructor, a `Debug` that shows its state, its holder and who waits, and
//! `statistics()` of what happened on its slow path; the fast path counts nothing.
//!
//! ```
//! use oneloom::Mutex;
//!
//! let balance = Mutex::with_name("balance", 100);
//! assert_eq!(format!("{balance:?}"), r#"Mutex { name: "balance", data: 100, waiting: 0 }"#);
//! assert_eq!(balance.statistics().waits, 0);
//! ```
//!
//! # Several processes
//!
//! What [`shared`] holds is used by threads and tasks of several processes at once, and a process that is killed takes
//! nothing with it. [`process::Process`] runs a function of this program in a process of its own.
//!
//! ```standalone_crate
//! use oneloom::process::{self, Process};
//! use oneloom::shared::{GetError, Queue};
//!
//! fn square((numbers, squares): (Queue<u64>, Queue<(u64, u64)>)) -> Result<(), String> {
//!     for number in &numbers {
//!         let number = number.map_err(|error| error.to_string())?;
//!         squares.put(&(number, number * number)).map_err(|error| error.to_string())?;
//!     }
//!     Ok(())
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     process::init(|functions| functions.add(square)); // first: a child runs this main, too
//!
//!     let (numbers, squares) = (Queue::new()?, Queue::new()?);
//!     let workers = [(); 2].map(|()| Process::spawn(square, (numbers.clone(), squares.clone())));
//!     numbers.put_many(0..5)?;
//!     numbers.shutdown()?;
//!     for worker in workers {
//!         worker?.join()??;
//!     }
//!     squares.shutdown()?;
//!     let mut all = squares.iter().collect::<Result<Vec<_>, GetError>>()?;
//!     all.sort();
//!     assert_eq!(all, [(0, 0), (1, 1), (2, 4), (3, 9), (4, 16)]);
//!     Ok(())
//! }
//! ```
//!
//! # Pools
//!
//! A [`pool::ThreadPool`] runs closures, a [`pool::ProcessPool`] functions of this program; their futures are waited for on a
//! thread or awaited on any executor.
//!
//! ```standalone_crate
//! use oneloom::pool::{Limits, ProcessPool, TaskError, ThreadPool};
//! use oneloom::process;
//! use std::time::Duration;
//!
//! fn count_primes(below: u64) -> usize {
//!     (2..below).filter(|number| (2..*number).all(|factor| number % factor != 0)).count()
//! }
//!
//! fn crash(_: ()) {
//!     std::process::abort()
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     process::init(|functions| {
//!         functions.add(count_primes); // first: a worker runs this main, too
//!         functions.add(crash);
//!     });
//!
//!     let threads = ThreadPool::new(4); // for closures
//!     let base = 10;
//!     assert_eq!(threads.submit(move || base + 1).wait()?, 11);
//!
//!     let processes = ProcessPool::new(2)?; // for functions, where one crash costs one task
//!     let crashed = processes.submit(crash, ());
//!     let counts = [10, 100, 1000].map(|below| processes.submit(count_primes, below));
//!     assert!(matches!(crashed.wait(), Err(TaskError::Died { .. })));
//!     assert_eq!(counts.map(|count| count.wait()), [Ok(4), Ok(25), Ok(168)]);
//!
//!     let limits = Limits { timeout: Some(Duration::from_secs(30)), retries: 2 };
//!     let task = processes.submit_with(limits, count_primes, 100);
//!     assert_eq!(pollster::block_on(task)?, 25); // on any executor
//!     Ok(())
//! }
//! ```
//!
//! # Examples to run
//!
//! `cargo run --release -p oneloom --example …`
//!
//! - `pipeline`: a word count by threads and tasks over two queues, beside the same over `std::sync::mpsc`;
//! - `bounded`: a fast producer waits for a slow consumer;
//! - `two_locks`: the deadlock above, which ends by itself;
//! - `killed_worker`: worker processes on a shared queue, one of which is killed in the midst of it;
//! - `crashing_task`: tasks on a pool of processes, of which one crashes, one panics and one never ends.
//!
//! Linux 5.10 or newer, on x86-64 or aarch64.

#![forbid(unsafe_code)]

pub mod pool;
pub mod process;
pub mod shared;

pub use oneloom_sync::{
    AlreadySet, Arrival, AsyncMutexGuard, AsyncReentrantMutexGuard, Barrier, BoundedSemaphore, BrokenBarrier,
    Condvar, Counters, Event, Fifo, GetError, Iter, Lifo, LifoQueue, Mutex, MutexGuard, OneShot, Permit,
    PriorityIter, PriorityQueue, PutError, Queue, QueueOf, QueueStatistics, ReentrantMutex,
    ReentrantMutexGuard, Semaphore, ShutDown, SimpleQueue, Statistics, Store, TooManyPermits,
};
