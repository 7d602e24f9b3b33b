//! A fast producer and a slow consumer on one bounded queue: the producer waits, memory does not fill up, and the end
//! is orderly.
//!
//! The producer is an async task, the consumer a thread; the queue does not mind. What a picture of it would show, this
//! prints: how full the queue was at each tenth of the way, and who waited how often.
//!
//! `cargo run --release -p oneloom --example bounded`

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use oneloom::Queue;

const PIECES: usize = 20_000;
const BOUND: usize = 64;

/// Stands for work that takes a while.
fn work(time: Duration) {
    let started = Instant::now();
    while started.elapsed() < time {
        black_box(());
    }
}

async fn produce(pieces: &Queue<usize>) {
    for piece in 0..PIECES {
        work(Duration::from_micros(1));
        pieces.put_async(piece).await.expect("only the producer shuts it down");
    }
    // Whoever takes from the queue gets what is left, and is then told that this was all.
    pieces.shutdown();
}

fn consume(pieces: &Queue<usize>) -> usize {
    let mut done = 0;
    for piece in pieces {
        assert_eq!(piece, done, "in order");
        if piece % (PIECES / 10) == 0 {
            let (full, part) = (pieces.len(), piece * 100 / PIECES);
            println!("{part:>3} %  {:<BOUND$}| {full} of {BOUND}", "#".repeat(full));
        }
        work(Duration::from_micros(5));
        done += 1;
    }
    done
}

fn main() {
    let pieces = Queue::with_name("pieces", BOUND);
    let started = Instant::now();
    let done = thread::scope(|scope| {
        let consumer = scope.spawn(|| consume(&pieces));
        pollster::block_on(produce(&pieces));
        consumer.join().expect("the consumer")
    });
    let time = started.elapsed();
    let statistics = pieces.statistics();
    println!("100 %\n");
    println!("{done} pieces in {time:.1?}: the consumer's pace, with never more than {BOUND} on their way.");
    println!(
        "The producer had to wait {} times, the consumer {}.",
        statistics.puts.waits, statistics.gets.waits
    );
    assert_eq!(done, PIECES);
}
