//! Tasks on a pool of processes, of which one crashes, one panics, and one never ends: each fails alone, and is told why.
//!
//! `cargo run --release -p oneloom --example crashing_task`

use std::error::Error;
use std::time::Duration;

use oneloom::pool::{Limits, ProcessPool};
use oneloom::process;

/// How many steps the Collatz sequence takes from a number to 1; some numbers make trouble.
fn steps(number: u64) -> u32 {
    match number {
        7 => std::process::abort(),
        11 => panic!("{number} is too odd for me"),
        13 => loop {
            std::thread::park();
        },
        _ => {
            let next = |last: &u64| Some(if last % 2 == 0 { last / 2 } else { 3 * last + 1 });
            std::iter::successors(Some(number), next).take_while(|&here| here != 1).count() as u32
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    process::init(|functions| functions.add(steps)); // first: a worker runs this main, too

    let pool = ProcessPool::new(2)?;
    let limits = Limits { timeout: Some(Duration::from_millis(200)), retries: 0 };
    let tasks: Vec<_> = (1..=15).map(|number| (number, pool.submit_with(limits, steps, number))).collect();
    for (number, task) in tasks {
        match task.wait() {
            Ok(steps) => println!("{number:2}: {steps} steps"),
            Err(error) => println!("{number:2}: {error}"),
        }
    }
    Ok(())
}
