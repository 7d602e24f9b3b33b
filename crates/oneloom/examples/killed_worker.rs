//! Worker processes on one shared queue, one of which is killed in the midst of it: the others go on, and one number at
//! most is lost, that which the dead worker had just taken. Its lock goes to the next who wants it, who is told.
//!
//! `cargo run --release -p oneloom --example killed_worker`

use std::collections::BTreeMap;
use std::error::Error;

use oneloom::process::{self, Process};
use oneloom::shared::{LockError, Mutex, Queue};

const NUMBERS: u64 = 20_000;
const WORKERS: usize = 3;

/// A number, whether it is a prime, and who has looked.
type Answer = (u64, bool, u32);

fn is_prime(number: u64) -> bool {
    number > 1 && (2..).take_while(|divisor| divisor * divisor <= number).all(|divisor| number % divisor != 0)
}

/// What each worker does: takes numbers until there are no more.
fn examine((numbers, answers): (Queue<u64>, Queue<Answer>)) -> Result<(), String> {
    for number in &numbers {
        let number = number.map_err(|error| error.to_string())?;
        let answer = (number, is_prime(number), std::process::id());
        answers.put(&answer).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Holds a lock until it is killed.
fn hold((ledger, held): (Mutex, Queue<()>)) {
    let _guard = ledger.lock();
    let _ = held.put(&());
    loop {
        std::thread::park();
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    process::init(|functions| {
        functions.add(examine);
        functions.add(hold);
    });

    let (numbers, answers) = (Queue::new()?, Queue::new()?);
    let start = |_| Process::spawn(examine, (numbers.clone(), answers.clone()));
    let workers = (0..WORKERS).map(start).collect::<Result<Vec<_>, _>>()?;
    numbers.put_many(0..NUMBERS)?;
    numbers.shutdown()?;

    let mut primes = 0;
    let mut shares = BTreeMap::<u32, u64>::new();
    let mut count = |(_, prime, worker): Answer| {
        primes += u64::from(prime);
        *shares.entry(worker).or_default() += 1;
    };
    for _ in 0..NUMBERS / 10 {
        count(answers.get()?);
    }
    workers[0].kill()?;
    for worker in &workers {
        match worker.join() {
            Ok(result) => result?,
            Err(error) => println!("worker {}: {error}", worker.id()),
        }
    }
    answers.shutdown()?;
    for answer in &answers {
        count(answer?);
    }
    let looked_at: u64 = shares.values().sum();
    println!("{looked_at} of {NUMBERS} numbers were looked at, {primes} of them primes, by {shares:?}");
    assert!(looked_at + 1 >= NUMBERS, "one is lost at most");

    let (ledger, held) = (Mutex::with_name("ledger")?, Queue::new()?);
    let careless = Process::spawn(hold, (ledger.clone(), held.clone()))?;
    held.get()?;
    careless.kill()?;
    match ledger.lock() {
        Err(LockError::OwnerDied(guard)) => println!("the lock is ours, with a word of warning: {guard:?}"),
        Ok(_) => unreachable!("its owner was killed"),
        Err(LockError::Failed(error)) => return Err(error.into()),
    }
    Ok(())
}
