//! Measures one row of oneloom's Rust faces beside their peers; prints one line of JSON for each sample.
//!
//! `oneloom-benches ROW ROUNDS MILLISECONDS`, as benches/python/measure.py takes them.

mod mutex;
mod pool;
mod process_pool;
mod processes;
mod queue;
mod rounds;

use std::time::Duration;

use oneloom::process;
use rounds::Effort;

fn main() {
    process::init(|functions| {
        processes::register(functions);
        process_pool::register(functions);
    });
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [key, rounds, milliseconds] = arguments.as_slice() else {
        eprintln!("usage: oneloom-benches ROW ROUNDS MILLISECONDS");
        std::process::exit(2);
    };
    let effort = Effort {
        rounds: rounds.parse().expect("a number of rounds"),
        sample: Duration::from_millis(milliseconds.parse().expect("milliseconds for a sample")),
    };
    let mut rows = mutex::rows()
        .into_iter()
        .chain(queue::rows())
        .chain(processes::rows())
        .chain(pool::rows())
        .chain(process_pool::rows());
    match rows.find(|row| row.key == key) {
        Some(row) => rounds::measure(&row, effort),
        None => panic!("no row is called {key}"),
    }
}
