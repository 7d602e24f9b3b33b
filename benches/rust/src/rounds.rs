//! Alternating rounds: every rival of a row runs once per round, so that what disturbs the machine disturbs all.

use std::time::Duration;

/// One implementation of a row's operation: runs it so many times and says how long that took.
pub struct Rival {
    /// The name in the table.
    pub name: &'static str,
    /// Time for the work alone, without starting and ending threads where that can be told apart.
    pub run: fn(u64) -> Duration,
}

/// An operation and those who compete in it.
pub struct Row {
    /// The row's key, which the driver knows.
    pub key: &'static str,
    /// oneloom first.
    pub rivals: Vec<Rival>,
}

/// How long to measure.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Rounds of each row.
    pub rounds: usize,
    /// What one rival's share of a round takes, about.
    pub sample: Duration,
}

/// Measures a row and prints a line of JSON for each sample.
pub fn measure(row: &Row, effort: Effort) {
    let counts: Vec<u64> = row.rivals.iter().map(|rival| scale(rival, effort.sample)).collect();
    for round in 0..effort.rounds {
        for turn in 0..row.rivals.len() {
            // Everybody goes first in some round.
            let index = (round + turn) % row.rivals.len();
            let (rival, count) = (&row.rivals[index], counts[index]);
            let nanoseconds = (rival.run)(count).as_nanos() as f64 / count as f64;
            println!(
                r#"{{"row": "{}", "rival": "{}", "round": {round}, "count": {count}, "nanoseconds": {nanoseconds:.3}}}"#,
                row.key, rival.name
            );
        }
    }
}

/// How many operations fill a sample. Warms up, too.
fn scale(rival: &Rival, sample: Duration) -> u64 {
    let mut count = 64;
    loop {
        let took = (rival.run)(count);
        if took * 4 >= sample {
            let wanted = count as f64 * sample.as_secs_f64() / took.as_secs_f64();
            return (wanted as u64).max(64).next_multiple_of(64);
        }
        count *= 4;
    }
}
