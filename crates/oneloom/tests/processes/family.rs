//! Shared objects between living processes and dying ones.

use std::task::{Context, Waker};
use std::time::Duration;

use oneloom::process::{Functions, Process};
use oneloom::shared::{
    Barrier, BarrierError, ByteQueue, Condvar, Error, Event, GetError, LockError, Mutex, PutError, Queue,
    ReentrantMutex, Semaphore,
};
use oneloom_shm::step::{Step, kill_at};
use serde::{Deserialize, Serialize};

use crate::harness::{PATIENCE, eventually, tests};

tests![
    a_mutex_excludes_processes,
    a_mutex_whose_owner_was_killed_comes_as_an_error_with_the_guard,
    a_mutex_whose_owner_was_killed_comes_to_a_task,
    a_mutex_whose_owner_was_killed_comes_to_who_only_tries,
    a_reentrant_mutex_whose_owner_was_killed_comes_as_an_error_with_the_guard,
    a_permit_whose_owner_was_killed_comes_as_an_error_with_it,
    a_condvar_s_news_reach_another_process_and_outlive_who_was_told,
    a_condvar_s_news_outlive_who_dies_while_it_hands_them_on,
    a_barrier_is_broken_by_the_death_of_a_party,
    a_deadlock_of_two_processes_panics_in_one_and_names_both,
    an_event_is_set_by_a_child,
    a_child_s_event_reaches_a_task,
    values_come_back_in_order,
    bytes_come_back_as_they_are,
    a_bound_makes_a_child_wait,
    a_shutdown_ends_a_child_s_loop,
    a_join_waits_for_what_a_child_does,
    objects_travel_through_queues,
    a_child_s_objects_come_back,
    a_child_killed_while_it_puts_leaves_a_sound_queue,
    who_was_killed_while_it_waited_takes_nothing_with_it,
    what_a_killed_child_had_not_acknowledged_comes_again,
];

pub fn register(functions: &mut Functions) {
    functions.add(count);
    functions.add(hold);
    functions.add(hold_twice);
    functions.add(keep);
    functions.add(await_news);
    functions.add(pass_news_on);
    functions.add(arrive);
    functions.add(cross);
    functions.add(raise);
    functions.add(produce);
    functions.add(echo);
    functions.add(serve);
    functions.add(consume);
    functions.add(answer);
    functions.add(make);
    functions.add(flood);
    functions.add(take);
    functions.add(borrow);
}

const ROUNDS: u64 = 2000;

/// Adds to a number in a file, which only a lock makes right.
fn count((mutex, path): (Mutex, String)) {
    for _ in 0..ROUNDS / 10 {
        let _guard = mutex.lock().expect("a lock whose owners live");
        let number: u64 = std::fs::read_to_string(&path).expect("the file").parse().expect("a number");
        std::fs::write(&path, (number + 1).to_string()).expect("the file");
    }
}

fn hold((mutex, held): (Mutex, Event)) {
    let _guard = mutex.lock().expect("a free lock");
    held.set().expect("sound memory");
    loop {
        std::thread::park();
    }
}

fn hold_twice((mutex, held): (ReentrantMutex, Event)) {
    let _outer = mutex.lock().expect("a free lock");
    let _inner = mutex.lock().expect("its own lock");
    held.set().expect("sound memory");
    loop {
        std::thread::park();
    }
}

/// Keeps one permit, and consumes another.
fn keep((semaphore, held): (Semaphore, Event)) {
    let _permit = semaphore.acquire().expect("a permit");
    semaphore.consume().expect("a permit");
    held.set().expect("sound memory");
    loop {
        std::thread::park();
    }
}

fn await_news((mutex, changed): (Mutex, Condvar)) {
    let guard = mutex.lock().or_else(LockError::into_guard).expect("sound memory");
    drop(changed.wait(guard).or_else(LockError::into_guard).expect("sound memory"));
}

/// Waits, and dies while it gives up what it was told.
fn pass_news_on((mutex, changed, told): (Mutex, Condvar, Event)) {
    let guard = pollster::block_on(mutex.lock_async()).or_else(LockError::into_guard).expect("sound memory");
    let mut waiting = Box::pin(changed.wait_async(guard));
    let mut context = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    told.wait().expect("sound memory");
    // It has its notification now, and waits for the mutex.
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    kill_at(Step::SeatLeft, 0);
    drop(waiting);
}

fn arrive(barrier: Barrier) -> bool {
    barrier.wait().is_ok()
}

/// Takes the first lock, and the second one when everybody has the first.
fn cross((first, second, mine, yours): (Mutex, Mutex, Event, Event)) {
    let _guard = first.lock().expect("a free lock");
    mine.set().expect("sound memory");
    yours.wait().expect("sound memory");
    drop(second.lock());
}

fn raise(event: Event) {
    event.set().expect("sound memory");
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Job {
    number: u64,
    text: String,
    parts: Vec<(f64, Option<bool>)>,
}

fn job(number: u64) -> Job {
    // Some are larger than what stands in a queue itself.
    let length = if number % 50 == 0 { 6000 } else { number as usize % 40 };
    Job {
        number,
        text: "x".repeat(length),
        parts: vec![(number as f64 / 3.0, Some(number % 2 == 0)), (0.5, None)],
    }
}

fn produce((jobs, many): (Queue<Job>, u64)) {
    (0..many).for_each(|number| jobs.put(&job(number)).expect("an open queue"));
}

fn echo((questions, answers): (Queue<Job>, Queue<Job>)) {
    for question in &questions {
        answers.put(&question.expect("a job")).expect("an open queue");
    }
}

fn serve((questions, answers): (ByteQueue, ByteQueue)) {
    while let Ok(bytes) = questions.get() {
        answers.put(&bytes).expect("an open queue");
    }
}

fn consume(jobs: Queue<u64>) -> u64 {
    jobs.iter()
        .map(|number| {
            let number = number.expect("a number");
            jobs.task_done().expect("sound memory");
            number
        })
        .sum()
}

/// A question with the queue for its answer.
#[derive(Serialize, Deserialize)]
struct Question {
    number: u64,
    answer: Queue<u64>,
}

fn answer(questions: Queue<Question>) {
    for question in &questions {
        let Question { number, answer } = question.expect("a question");
        answer.put(&(number * number)).expect("an open queue");
    }
}

fn make(name: String) -> (Mutex, Queue<String>) {
    let queue = Queue::new().expect("memory");
    queue.put(&name).expect("memory");
    (Mutex::with_name(&name).expect("memory"), queue)
}

/// Puts until it is killed.
fn flood(numbers: Queue<(u64, Vec<u8>)>) {
    for number in 0.. {
        let length = if number % 3 == 0 { 9000 } else { 30 };
        numbers.put(&(number, vec![number as u8; length])).expect("an open queue");
    }
}

/// Waits for what never comes.
fn take((numbers, mutex, event, here): (Queue<u64>, Mutex, Event, Event)) {
    std::thread::scope(|scope| {
        scope.spawn(|| numbers.get());
        scope.spawn(|| drop(mutex.lock()));
        scope.spawn(|| event.wait());
        here.set().expect("sound memory");
    });
}

/// Acknowledges one of two items.
fn borrow((jobs, here): (Queue<u64>, Event)) {
    let _lent = jobs.lend().expect("an item");
    jobs.lend().expect("an item").acknowledge().expect("sound memory");
    here.set().expect("sound memory");
    loop {
        std::thread::park();
    }
}

fn a_mutex_excludes_processes() {
    let mutex = Mutex::with_name("number").expect("a lock");
    let path = std::env::temp_dir().join(format!("oneloom-number-{}", std::process::id()));
    std::fs::write(&path, "0").expect("a file");
    let name = path.to_str().expect("a plain name").to_owned();
    let children = [(); 3].map(|()| Process::spawn(count, (mutex.clone(), name.clone())).expect("a process"));
    children.iter().for_each(|child| assert_eq!(child.join(), Ok(())));
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), (3 * ROUNDS / 10).to_string());
    std::fs::remove_file(&path).expect("the file");
}

/// A child that holds the lock.
fn holder(mutex: &Mutex) -> Process<()> {
    let held = Event::new().expect("an event");
    let child = Process::spawn(hold, (mutex.clone(), held.clone())).expect("a process");
    assert_eq!(held.wait_timeout(PATIENCE), Ok(true));
    child
}

fn a_mutex_whose_owner_was_killed_comes_as_an_error_with_the_guard() {
    let mutex = Mutex::with_name("ledger").expect("a lock");
    let child = holder(&mutex);
    assert!(mutex.lock_timeout(Duration::from_millis(1)).expect("sound memory").is_none());
    assert!(format!("{mutex:?}").contains(&format!("process {}", child.id())), "{mutex:?}");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| match mutex.lock() {
            Err(error @ LockError::OwnerDied(_)) => {
                let told = error.to_string();
                let guard = error.into_guard().expect("a guard");
                (told, guard.recovered())
            }
            other => panic!("{other:?}"),
        });
        child.kill().expect("a living child");
        let (told, recovered) = waiter.join().expect("a waiter");
        assert!(told.contains("half-changed") && recovered, "{told}");
    });
    let guard = mutex.lock().expect("what was told once is not told again");
    assert!(!guard.recovered());
}

fn a_mutex_whose_owner_was_killed_comes_to_a_task() {
    let mutex = Mutex::new().expect("a lock");
    let child = holder(&mutex);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let taken = pollster::block_on(mutex.lock_async());
            matches!(taken, Err(LockError::OwnerDied(guard)) if guard.recovered())
        });
        child.kill().expect("a living child");
        assert!(waiter.join().expect("a waiter"));
    });
    assert!(!pollster::block_on(mutex.lock_async()).expect("a free lock").recovered());
}

fn a_mutex_whose_owner_was_killed_comes_to_who_only_tries() {
    let mutex = Mutex::new().expect("a lock");
    let child = holder(&mutex);
    assert!(mutex.try_lock().expect("sound memory").is_none());
    child.kill().expect("a living child");
    child.join().expect_err("a killed child");
    assert!(matches!(mutex.try_lock(), Err(LockError::OwnerDied(_))));
    assert!(mutex.try_lock().expect("a free lock").is_some());
}

fn a_reentrant_mutex_whose_owner_was_killed_comes_as_an_error_with_the_guard() {
    let (mutex, held) = (ReentrantMutex::new().expect("a lock"), Event::new().expect("an event"));
    let child = Process::spawn(hold_twice, (mutex.clone(), held.clone())).expect("a process");
    assert_eq!(held.wait_timeout(PATIENCE), Ok(true));
    assert_eq!(mutex.depth(), 2);
    assert!(mutex.try_lock().expect("sound memory").is_none());
    child.kill().expect("a living child");
    let Err(LockError::OwnerDied(guard)) = mutex.lock() else { panic!("its owner was killed") };
    assert!(guard.recovered() && mutex.depth() == 1);
    let again = mutex.lock().expect("its own lock");
    drop((guard, again));
    assert!(!mutex.lock().expect("a free lock").recovered());
}

fn a_permit_whose_owner_was_killed_comes_as_an_error_with_it() {
    let (semaphore, held) = (Semaphore::bounded(2).expect("a semaphore"), Event::new().expect("an event"));
    let child = Process::spawn(keep, (semaphore.clone(), held.clone())).expect("a process");
    assert_eq!(held.wait_timeout(PATIENCE), Ok(true));
    assert!(semaphore.try_acquire().expect("sound memory").is_none());
    child.kill().expect("a living child");
    let permit = match semaphore.acquire() {
        Err(LockError::OwnerDied(permit)) => permit,
        other => panic!("its owner was killed: {other:?}"),
    };
    assert!(semaphore.try_acquire().expect("sound memory").is_none(), "what was consumed is gone");
    drop(permit);
    assert_eq!(semaphore.available(), 1);
    drop(semaphore.acquire().expect("what was told once is not told again"));
    semaphore.release(1).expect("what was consumed may come back");
}

fn a_condvar_s_news_reach_another_process_and_outlive_who_was_told() {
    let (mutex, changed) = (Mutex::new().expect("a lock"), Condvar::new().expect("a condition"));
    let start = || Process::spawn(await_news, (mutex.clone(), changed.clone())).expect("a process");
    let child = start();
    eventually("the child waits", || changed.waiting() == 1);
    changed.notify_one().expect("sound memory");
    assert_eq!(child.join(), Ok(()));
    // The first is told, can't have the lock, and dies: so the second is told.
    let first = start();
    eventually("the first waits", || changed.waiting() == 1);
    let second = start();
    eventually("the second waits", || changed.waiting() == 2);
    let guard = mutex.lock().expect("a free lock");
    changed.notify_one().expect("sound memory");
    first.kill().expect("a living child");
    first.join().expect_err("a killed child");
    drop(guard);
    assert_eq!(second.join_timeout(PATIENCE), Some(Ok(())));
}

fn a_condvar_s_news_outlive_who_dies_while_it_hands_them_on() {
    let (mutex, changed) = (Mutex::new().expect("a lock"), Condvar::new().expect("a condition"));
    let told = Event::new().expect("an event");
    let first = Process::spawn(pass_news_on, (mutex.clone(), changed.clone(), told.clone()));
    let first = first.expect("a process");
    eventually("the first waits", || changed.waiting() == 1);
    let second = Process::spawn(await_news, (mutex.clone(), changed.clone())).expect("a process");
    eventually("the second waits", || changed.waiting() == 2);
    let guard = mutex.lock().expect("a free lock");
    changed.notify_one().expect("sound memory");
    told.set().expect("sound memory");
    first.join().expect_err("it kills itself");
    drop(guard);
    assert_eq!(second.join_timeout(PATIENCE), Some(Ok(())));
}

fn a_barrier_is_broken_by_the_death_of_a_party() {
    let barrier = Barrier::new(2).expect("a barrier");
    let child = Process::spawn(arrive, barrier.clone()).expect("a process");
    assert!(barrier.wait().is_ok());
    assert_eq!(child.join(), Ok(true));
    let child = Process::spawn(arrive, barrier.clone()).expect("a process");
    eventually("the child waits", || barrier.waiting() == 1);
    child.kill().expect("a living child");
    child.join().expect_err("a killed child");
    assert_eq!(barrier.wait(), Err(BarrierError::Broken));
    barrier.reset().expect("sound memory");
    assert!(!barrier.is_broken());
}

fn a_deadlock_of_two_processes_panics_in_one_and_names_both() {
    let [left, right] = ["left", "right"].map(|name| Mutex::with_name(name).expect("a lock"));
    let [one, other] = [(); 2].map(|()| Event::new().expect("an event"));
    let ours = (left.clone(), right.clone(), one.clone(), other.clone());
    let children =
        [ours, (right, left, other, one)].map(|locks| Process::spawn(cross, locks).expect("a process"));
    let ends = children.iter().map(|child| child.join());
    let told: Vec<String> = ends.filter_map(|end| end.err().map(|error| error.to_string())).collect();
    let [told] = &*told else { panic!("one of them is told: {told:?}") };
    let named = ["shared Lock 'left'", "shared Lock 'right'", "deadlock: these wait for each other for ever"];
    let processes = children.iter().map(|child| format!("of process {}", child.id()));
    for part in named.map(String::from).into_iter().chain(processes) {
        assert!(told.contains(&part), "{part} is not in: {told}");
    }
}

fn an_event_is_set_by_a_child() {
    let event = Event::new().expect("an event");
    let child = Process::spawn(raise, event.clone()).expect("a process");
    assert_eq!(event.wait(), Ok(()));
    assert_eq!(child.join(), Ok(()));
    assert!(event.is_set());
    event.clear();
    assert!(!event.is_set());
}

fn a_child_s_event_reaches_a_task() {
    let event = Event::new().expect("an event");
    let waiting = event.wait_async();
    let child = Process::spawn(raise, event).expect("a process");
    assert_eq!(pollster::block_on(waiting), Ok(()));
    assert_eq!(child.join(), Ok(()));
}

fn values_come_back_in_order() {
    let (questions, answers) = (Queue::new().expect("a queue"), Queue::new().expect("a queue"));
    let child = Process::spawn(echo, (questions.clone(), answers.clone())).expect("a process");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..ROUNDS).for_each(|number| questions.put(&job(number)).expect("an open queue"));
            questions.shutdown().expect("sound memory");
        });
        for number in 0..ROUNDS {
            assert_eq!(answers.get(), Ok(job(number)));
        }
    });
    assert_eq!(child.join(), Ok(()));
    assert_eq!(answers.try_get(), Err(GetError::Empty));
}

fn bytes_come_back_as_they_are() {
    let (questions, answers) = (ByteQueue::new().expect("a queue"), ByteQueue::new().expect("a queue"));
    let child = Process::spawn(serve, (questions.clone(), answers.clone())).expect("a process");
    for length in [0, 1, 100, 4096, 4097, 100_000] {
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        questions.put(&bytes).expect("an open queue");
        assert!(answers.get() == Ok(bytes), "{length} bytes");
    }
    questions.shutdown().expect("sound memory");
    assert_eq!(child.join(), Ok(()));
}

fn a_bound_makes_a_child_wait() {
    let jobs = Queue::with_name("jobs", 3).expect("a queue");
    let child = Process::spawn(produce, (jobs.clone(), 200)).expect("a process");
    for number in 0..200 {
        assert!(jobs.len().expect("sound memory") <= 3);
        assert_eq!(jobs.get(), Ok(job(number)));
    }
    assert_eq!(child.join(), Ok(()));
}

fn a_shutdown_ends_a_child_s_loop() {
    let jobs = Queue::new().expect("a queue");
    let child = Process::spawn(consume, jobs.clone()).expect("a process");
    (1..=100).for_each(|number| jobs.put(&number).expect("an open queue"));
    jobs.shutdown().expect("sound memory");
    assert_eq!(child.join(), Ok(5050));
    assert_eq!(jobs.put(&1), Err(PutError::ShutDown));
}

fn a_join_waits_for_what_a_child_does() {
    let jobs = Queue::new().expect("a queue");
    (1..=50).for_each(|number| jobs.put(&number).expect("an open queue"));
    assert_eq!(jobs.join_timeout(Duration::from_millis(1)), Ok(false));
    let child = Process::spawn(consume, jobs.clone()).expect("a process");
    assert_eq!(jobs.join(), Ok(()));
    assert_eq!(pollster::block_on(jobs.join_async()), Ok(()));
    assert_eq!(jobs.unfinished(), Ok(0));
    jobs.shutdown().expect("sound memory");
    assert_eq!(child.join(), Ok(1275));
}

fn objects_travel_through_queues() {
    let questions = Queue::new().expect("a queue");
    // It runs before it knows of what it will be sent.
    let child = Process::spawn(answer, questions.clone()).expect("a process");
    for number in 0..20 {
        let answer = Queue::new().expect("a queue");
        questions.put(&Question { number, answer: answer.clone() }).expect("an open queue");
        assert_eq!(answer.get_timeout(PATIENCE), Ok(number * number));
    }
    questions.shutdown().expect("sound memory");
    assert_eq!(child.join(), Ok(()));
}

fn a_child_s_objects_come_back() {
    let child = Process::spawn(make, "Ada".to_owned()).expect("a process");
    let (mutex, queue) = child.join().expect("a result");
    assert_eq!(mutex.name(), Some("Ada"));
    assert!(mutex.try_lock().expect("sound memory").is_some());
    assert_eq!(queue.get(), Ok("Ada".into()));
}

fn a_child_killed_while_it_puts_leaves_a_sound_queue() {
    for round in 0..5 {
        let numbers = Queue::bounded(50).expect("a queue");
        let child = Process::spawn(flood, numbers.clone()).expect("a process");
        let enough = 100 * (round + 1);
        for expected in 0..enough {
            let (number, bytes) = numbers.get().expect("a number");
            assert!(
                number == expected && bytes.iter().all(|byte| *byte == number as u8),
                "{number}, {expected}"
            );
        }
        child.kill().expect("a living child");
        child.join().expect_err("a killed child");
        // What it had put is there, whole and in order, and then the queue goes on.
        let mut expected = enough;
        while let Ok((number, bytes)) = numbers.try_get() {
            assert!(
                number == expected && bytes.iter().all(|byte| *byte == number as u8),
                "{number}, {expected}"
            );
            expected += 1;
        }
        numbers.put(&(7, vec![])).expect("an open queue");
        assert_eq!(numbers.get(), Ok((7, vec![])));
    }
}

fn who_was_killed_while_it_waited_takes_nothing_with_it() {
    let (numbers, event) = (Queue::new().expect("a queue"), Event::new().expect("an event"));
    let (mutex, here) = (Mutex::new().expect("a lock"), Event::new().expect("an event"));
    let guard = mutex.lock().expect("a free lock");
    let everything = (numbers.clone(), mutex.clone(), event.clone(), here.clone());
    let child = Process::spawn(take, everything).expect("a process");
    assert_eq!(here.wait_timeout(PATIENCE), Ok(true));
    child.kill().expect("a living child");
    child.join().expect_err("a killed child");
    drop(guard);
    numbers.put(&1).expect("an open queue");
    assert_eq!(numbers.get_timeout(PATIENCE), Ok(1));
    assert!(mutex.lock().is_ok());
    event.set().expect("sound memory");
    assert_eq!(event.wait(), Ok(()));
    eventually("nobody holds the lock", || !mutex.is_locked());
    assert_eq!(Mutex::from_handle(&numbers.to_handle()).err(), Some(Error::Kind));
}

fn what_a_killed_child_had_not_acknowledged_comes_again() {
    let jobs = Queue::acknowledging("jobs", None).expect("a queue");
    let here = Event::new().expect("an event");
    jobs.put_many(1..=2).expect("an open queue");
    let child = Process::spawn(borrow, (jobs.clone(), here.clone())).expect("a process");
    assert_eq!(here.wait_timeout(PATIENCE), Ok(true));
    assert_eq!(jobs.try_get(), Err(GetError::Empty));
    child.kill().expect("a living child");
    let job = jobs.lend_timeout(PATIENCE).expect("what the child had borrowed");
    assert_eq!(job.acknowledge(), Ok(1));
    assert_eq!(jobs.join_timeout(PATIENCE), Ok(true));
}
