//! Measures oneloom's Rust faces beside their peers; prints one line of JSON for each sample.
//!
//! `oneloom-benches ROUNDS MILLISECONDS [ROW…]`: rows by key, all of them if none is named.

mod mutex;
mod queue;
mod rounds;

use std::time::Duration;

use rounds::Effort;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [rounds, milliseconds, wanted @ ..] = arguments.as_slice() else {
        eprintln!("usage: oneloom-benches ROUNDS MILLISECONDS [ROW...]");
        std::process::exit(2);
    };
    let effort = Effort {
        rounds: rounds.parse().expect("a number of rounds"),
        sample: Duration::from_millis(milliseconds.parse().expect("milliseconds for a sample")),
    };
    for row in mutex::rows().into_iter().chain(queue::rows()) {
        if wanted.is_empty() || wanted.iter().any(|key| key == row.key) {
            rounds::measure(&row, effort);
        }
    }
}
