//! Larger scenarios than loom can exhaust, in random interleavings: four threads, several calls each, any of
//! them timed, awaited, expired or dropped halfway.
//!
//! Each prints its seed; `ONELOOM_SEED` repeats it, and `ONELOOM_STRESS` runs that many times more.

#![cfg(shuttle)]

mod support;

use std::sync::Arc;

use oneloom_sync::raw::queue::{Fifo, GetCall, Lifo, PutCall, RawQueue, ReserveCall, ShutDown};
use oneloom_sync::raw::{
    AcquireCall, LockCall, Name, NotifiedCall, RawCondvar, RawMutex, RawPriorityQueue, RawSemaphore,
    SortCall, Sorting, Unput,
};
use oneloom_wait::atomic::{AtomicU32, Ordering};
use oneloom_wait::clock::Deadline;
use oneloom_wait::graph::Deadlock;
use oneloom_wait::owner::modelled::{Owners, act_as};
use oneloom_wait::owner::{Owner, flag};
use oneloom_wait::wait::{Call, Environment, Judgement, Stop, block};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner, future::block_on, thread};
use support::history::{Order, Refusals, Sequential, is_linearizable};
use support::programs::{Random, random_program, run};
use support::{Alone, Unprotected, future, owner, poll_once, rounds, seed, wait, wait_in_time};

const THREADS: usize = 4;

/// Runs a scenario in random interleavings, and in ones with few but unlucky switches; each once where a
/// release offers and once where it always hands over.
fn explore(usual: usize, scenario: impl Fn() + Send + Sync + Clone + 'static) {
    for limit in [1, 0] {
        explore_with(limit, usual, scenario.clone());
    }
}

/// Runs a scenario where a release offers (1), or where it always hands over (0).
fn explore_with(limit: u64, usual: usize, scenario: impl Fn() + Send + Sync + Clone + 'static) {
    let seed = seed();
    oneloom_wait::clock::set_starvation_limit(limit);
    let random = RandomScheduler::new_from_seed(seed, rounds(usual));
    Runner::new(random, Config::new()).run(scenario.clone());
    let unlucky = PctScheduler::new_from_seed(seed, 3, rounds(usual));
    Runner::new(unlucky, Config::new()).run(scenario);
}

/// Runs `body` on four threads, each told its number.
fn on_threads<P: Send + Sync + 'static>(shared: &Arc<P>, body: impl Fn(&P, usize) + Send + Sync + 'static) {
    let body = Arc::new(body);
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let (shared, body) = (shared.clone(), body.clone());
            thread::spawn(move || body(&shared, number))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn choice(count: usize) -> usize {
    thread_rng().gen_range(0..count)
}

/// Makes a call in one of the ways in which calls are made; `None` where it was given up.
fn call_somehow<C: Call>(primitive: &Arc<C::Primitive>, call: C) -> Option<C::Output> {
    match choice(5) {
        0 => Some(wait(&**primitive, call)),
        1 => wait_in_time(&**primitive, call),
        2 => Some(block_on(future(primitive, call))),
        3 => {
            let mut future = future(primitive, call);
            match poll_once(future.as_mut()) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => {
                    thread::yield_now();
                    future.as_mut().expire().ok()
                }
            }
        }
        _ => {
            let mut future = future(primitive, call);
            match poll_once(future.as_mut()) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => {
                    thread::yield_now();
                    None
                }
            }
        }
    }
}

#[test]
fn a_mutex_under_calls_of_every_kind() {
    explore(3000, || {
        let shared = Arc::new((Arc::new(RawMutex::new(Name::NONE)), Unprotected::new(), AtomicU32::new(0)));
        on_threads(&shared, |(mutex, data, changes), _| {
            for _ in 0..4 {
                let call = LockCall { owner: Owner::NOBODY, scoped: false };
                if call_somehow(mutex, call).is_some() {
                    data.add();
                    thread::yield_now();
                    changes.fetch_add(1, Ordering::Relaxed);
                    mutex.release(|| Owner::NOBODY).unwrap();
                }
            }
        });
        let (mutex, data, changes) = &*shared;
        assert_eq!(data.get(), changes.load(Ordering::Relaxed));
        assert_eq!((mutex.is_locked(), mutex.statistics().0), (false, 0));
    });
}

#[test]
fn a_semaphore_under_calls_of_every_kind() {
    explore(3000, || {
        let shared = Arc::new((Arc::new(RawSemaphore::new(2, Some(2), Name::NONE)), AtomicU32::new(0)));
        on_threads(&shared, |(semaphore, inside), _| {
            for _ in 0..4 {
                if call_somehow(semaphore, AcquireCall).is_some() {
                    assert!(inside.fetch_add(1, Ordering::Relaxed) < 2);
                    thread::yield_now();
                    inside.fetch_sub(1, Ordering::Relaxed);
                    semaphore.release(1).unwrap();
                }
            }
        });
        assert_eq!((shared.0.value(), shared.0.statistics().0), (2, 0));
    });
}

#[test]
fn a_bounded_queue_loses_nothing_whoever_gives_up() {
    explore(3000, || {
        let queue = Arc::new(RawQueue::<Fifo<u32>>::new(2, Name::NONE));
        let put = Arc::new(AtomicU32::new(0));
        let got = Arc::new(AtomicU32::new(0));
        let producers: Vec<_> = (0..2)
            .map(|producer| {
                let (queue, put) = (queue.clone(), put.clone());
                thread::spawn(move || {
                    for number in 0..4 {
                        // As bits, so that a sum shows one that came twice, or not at all.
                        let item = 1 << (producer * 4 + number);
                        if let Some(answer) = call_somehow(&queue, PutCall::new(item)) {
                            assert_eq!(answer, Ok(()));
                            put.fetch_add(item, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        let consumers: Vec<_> = (0..2)
            .map(|_| {
                let (queue, got) = (queue.clone(), got.clone());
                thread::spawn(move || {
                    let mut last = [0; 2];
                    loop {
                        match call_somehow(&queue, GetCall::default()) {
                            Some(Ok(item)) => {
                                let order = &mut last[usize::from(item >= 1 << 4)];
                                assert!(item > *order, "the items of one producer keep their order");
                                *order = item;
                                got.fetch_add(item, Ordering::Relaxed);
                            }
                            Some(Err(ShutDown)) => break,
                            None => {}
                        }
                    }
                })
            })
            .collect();
        producers.into_iter().for_each(|thread| thread.join().unwrap());
        queue.shut_down(false);
        consumers.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(put.load(Ordering::Relaxed), got.load(Ordering::Relaxed));
        let rest = queue.statistics();
        assert_eq!((rest.waiting_getters, rest.waiting_putters, queue.len()), (0, 0, 0));
    });
}

fn less(left: &u32, right: &u32) -> Result<bool, ()> {
    // Now and then a comparison fails, as those of a program may.
    if choice(8) == 0 { Err(()) } else { Ok(left < right) }
}

/// Sorts as `me`, unless that is given up.
fn sort<R>(
    queue: &Arc<RawPriorityQueue<u32>>,
    me: Owner,
    act: impl FnOnce(&mut Sorting<'_, u32>) -> R,
) -> Option<R> {
    let call = SortCall::new(me);
    let sorts = if choice(2) == 0 { Some(wait(&**queue, call)) } else { wait_in_time(&**queue, call) };
    sorts?.expect("nobody sorts while sorting");
    Some(act(&mut queue.sorting(me).unwrap()))
}

#[test]
fn a_priority_queue_loses_nothing_whoever_gives_up_and_whatever_fails() {
    explore(1000, || {
        let owners = Owners::new(THREADS as u32);
        let members = [(); THREADS].map(|()| owners.thread());
        let shared = Arc::new((Arc::new(RawPriorityQueue::new(2, Name::NONE)), AtomicU32::new(0)));
        on_threads(&shared, move |(queue, balance), number| {
            let me = members[number];
            act_as(me);
            for round in 0..4 {
                // As bits, so that the balance shows one that came twice, or not at all.
                let item = 1 << (number * 4 + round);
                if choice(2) == 0 && wait_in_time(queue.flow(), ReserveCall::default()).is_some() {
                    match sort(queue, me, |sorting| sorting.put(item, less)) {
                        Some(Ok(())) => _ = balance.fetch_add(item, Ordering::Relaxed),
                        Some(Err(unput)) => assert_eq!(unput, Unput::Compare(item, ())),
                        None => queue.flow().abandon(),
                    }
                } else if wait_in_time(queue.flow(), GetCall::default()).is_some() {
                    match sort(queue, me, |sorting| sorting.get(less)) {
                        Some(Ok(got)) => _ = balance.fetch_sub(got.unwrap(), Ordering::Relaxed),
                        Some(Err(())) => {}
                        None => queue.flow().put_back(()),
                    }
                }
            }
        });
        let (queue, balance) = &*shared;
        let left = queue.try_sort(members[0]).unwrap().unwrap().shut_down(true);
        assert_eq!(left.iter().sum::<u32>(), balance.load(Ordering::Relaxed));
        let rest = queue.flow().statistics();
        assert_eq!((rest.waiting_getters, rest.waiting_putters), (0, 0));
    });
}

/// A buffer of one place, by hand.
struct Buffer {
    mutex: RawMutex,
    changed: RawCondvar,
    full: Unprotected,
}

impl Buffer {
    fn change(&self, me: Owner, from: u32) {
        wait(&self.mutex, LockCall { owner: me, scoped: true });
        while self.full.get() % 2 != from {
            let unlock = NotifiedCall::new(|| self.mutex.release(|| me).is_ok());
            // One that gives up has to look again like one that was told.
            if choice(2) == 0 {
                wait(&self.changed, unlock);
            } else {
                wait_in_time(&self.changed, unlock);
            }
            wait(&self.mutex, LockCall { owner: me, scoped: true });
        }
        self.full.add();
        self.changed.notify_all();
        self.mutex.release(|| me).unwrap();
    }
}

#[test]
fn a_monitor_with_waits_that_give_up() {
    explore(2000, || {
        let buffer = Arc::new(Buffer {
            mutex: RawMutex::new(Name::NONE),
            changed: RawCondvar::new(Name::NONE),
            full: Unprotected::new(),
        });
        on_threads(&buffer, |buffer, number| {
            (0..3).for_each(|_| buffer.change(owner(number as u64 + 1), number as u32 % 2));
        });
        assert_eq!(buffer.full.get(), 12);
        assert_eq!(buffer.changed.statistics().0 + buffer.mutex.statistics().0, 0);
    });
}

#[test]
fn locks_taken_in_any_order_end_in_a_verdict_and_never_hang() {
    explore(3000, || {
        let owners = Owners::new(THREADS as u32);
        let members = [(); THREADS].map(|()| owners.thread());
        let shared = Arc::new([(); 3].map(|()| RawMutex::new(Name::NONE)));
        on_threads(&shared, move |mutexes, number| {
            let me = members[number];
            act_as(me);
            let lock = |mutex: &RawMutex| {
                let mut call = LockCall { owner: me, scoped: true };
                match block(mutex, &mut call, Deadline::Never, &mut Alone) {
                    Ok(()) => true,
                    Err(Stop::Deadlock(_)) => false,
                    Err(stop) => panic!("{stop:?}"),
                }
            };
            for _ in 0..2 {
                let first = choice(3);
                let second = (first + 1 + choice(2)) % 3;
                assert!(lock(&mutexes[first]), "one who holds nothing is in no cycle");
                if lock(&mutexes[second]) {
                    mutexes[second].release(|| me).unwrap();
                }
                mutexes[first].release(|| me).unwrap();
            }
        });
        assert!(shared.iter().all(|mutex| !mutex.is_locked() && mutex.statistics().0 == 0));
    });
}

/// The environment of a thread that runs an event loop further down its stack.
struct OnLoop;

impl Environment for OnLoop {
    fn flags(&self) -> u32 {
        flag::ON_LOOP
    }

    fn judge(&mut self, _deadlock: &Deadlock) -> Judgement {
        Judgement::Raise
    }
}

#[test]
fn a_thread_that_blocks_its_own_loop_is_not_kept_waiting_by_that_loops_tasks() {
    explore(1000, || {
        let owners = Owners::new(THREADS as u32);
        let members = [(); THREADS].map(|()| owners.thread());
        let semaphore = Arc::new(RawSemaphore::new(0, None, Name::NONE));
        let shared = Arc::new(semaphore);
        on_threads(&shared, move |semaphore: &Arc<RawSemaphore>, number| {
            act_as(members[number]);
            if number == 0 {
                // One for each loop's thread, and one for its task.
                (0..2 * (THREADS - 1)).for_each(|_| semaphore.release(1).unwrap());
                return;
            }
            let mut task = future(semaphore, AcquireCall);
            let early = poll_once(task.as_mut()).is_ready();
            // Its loop stands still: whatever the task is offered or handed meanwhile, it can't take.
            block(&**semaphore, &mut AcquireCall, Deadline::Never, &mut OnLoop).unwrap();
            if !early {
                block_on(task);
            }
        });
        assert_eq!((shared.value(), shared.statistics().0), (0, 0));
    });
}

#[test]
fn what_is_offered_to_a_task_of_a_blocked_loop_is_offered_to_a_thread_too() {
    // Only offered: what is handed over to a task belongs to it, and can close a cycle.
    explore_with(1, 3000, || {
        let owners = Owners::new(THREADS as u32);
        let members = [(); THREADS].map(|()| owners.thread());
        let shared = Arc::new([(); 2].map(|()| Arc::new(RawMutex::new(Name::NONE))));
        on_threads(&shared, move |[outer, inner], number| {
            let me = members[number];
            act_as(me);
            let lock = |mutex: &RawMutex| {
                let mut call = LockCall { owner: me, scoped: true };
                block(mutex, &mut call, Deadline::Never, &mut OnLoop).unwrap();
            };
            let release_task = || inner.release(|| Owner::NOBODY).unwrap();
            let mut task = future(inner, LockCall { owner: Owner::NOBODY, scoped: false });
            let early = poll_once(task.as_mut()).is_ready();
            if early {
                release_task();
            }
            // All threads take the two in one order: what keeps them can only be an offer that lies with a task.
            lock(outer);
            lock(inner);
            inner.release(|| me).unwrap();
            outer.release(|| me).unwrap();
            if !early {
                block_on(task);
                release_task();
            }
        });
        assert!(shared.iter().all(|mutex| !mutex.is_locked() && mutex.statistics().0 == 0));
    });
}

#[test]
fn a_lock_that_is_handed_to_a_task_of_a_blocked_loop_ends_in_a_verdict_and_never_hangs() {
    explore(2000, || {
        let owners = Owners::new(2 * THREADS as u32);
        let members = [(); THREADS].map(|()| {
            let thread = owners.thread();
            (thread, owners.task(thread))
        });
        let shared = Arc::new([(); 2].map(|()| Arc::new(RawMutex::new(Name::NONE))));
        on_threads(&shared, move |[outer, inner], number| {
            let (me, my_task) = members[number];
            act_as(me);
            let lock = |mutex: &RawMutex| {
                let mut call = LockCall { owner: me, scoped: true };
                match block(mutex, &mut call, Deadline::Never, &mut OnLoop) {
                    Ok(()) => true,
                    Err(Stop::Deadlock(_)) => false,
                    Err(stop) => panic!("{stop:?}"),
                }
            };
            let mut task = future(inner, LockCall { owner: my_task, scoped: true });
            let early = poll_once(task.as_mut()).is_ready();
            if lock(outer) {
                if lock(inner) {
                    inner.release(|| me).unwrap();
                }
                outer.release(|| me).unwrap();
            }
            if !early {
                block_on(task);
            }
            inner.release(|| my_task).unwrap();
        });
        assert!(shared.iter().all(|mutex| !mutex.is_locked() && mutex.statistics().0 == 0));
    });
}

#[test]
fn histories_of_queues_are_linearizable() {
    explore(2000, || {
        let mut random = Random::new(thread_rng().r#gen());
        let program = random_program(&mut random, THREADS, 4);
        let (order, maxsize) = ([Order::Fifo, Order::Lifo][choice(2)], choice(3));
        let history = match order {
            Order::Fifo => run::<Fifo<u32>>(&program, maxsize),
            Order::Lifo => run::<Lifo<u32>>(&program, maxsize),
        };
        // Where nothing is handed over, nothing is promised.
        let refusals = match oneloom_wait::clock::starvation_limit() {
            0 => Refusals::WhileOthersWait,
            _ => Refusals::Exact,
        };
        let explained = is_linearizable(&history, &Sequential::new(order, maxsize), refusals);
        assert!(explained, "{order:?}, {maxsize}: {history:#?}");
    });
}
