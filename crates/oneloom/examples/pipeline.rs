//! A word count as a pipeline, over `oneloom::Queue` and over `std::sync::mpsc`: equal results, times side by side.
//!
//! ```text
//! feed (a task)  --pages-->  find words (threads)  --words-->  count (a task)
//! ```
//!
//! With oneloom the feeder and the counter are async tasks, the finders are threads, and all of them share two bounded
//! queues. The standard library's channels can't be awaited and have one receiver each: there the feeder and the counter
//! are threads as well, and each finder has a channel of its own, served in turn, because a receiver behind a mutex would
//! be slower.
//!
//! `cargo run --release -p oneloom --example pipeline [FOLDER]` counts the words of a folder's text files, those of this
//! project if none is given.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use futures_lite::future::zip;
use oneloom::{Barrier, Queue};

const FINDERS: usize = 2;
const BOUND: usize = 100;
/// Lines that are handed over at a time.
const PAGE: usize = 20;
const ROUNDS: usize = 7;
/// The smaller the corpus, the more often it is counted.
const LINES: usize = 400_000;

type Counts<'a> = HashMap<&'a str, u64>;

fn find_words<'a>(page: &[&'a str]) -> Vec<&'a str> {
    let words = |line: &&'a str| line.split(|letter: char| !letter.is_alphanumeric());
    page.iter().flat_map(words).filter(|word| !word.is_empty()).collect()
}

fn add<'a>(counts: &mut Counts<'a>, words: Vec<&'a str>) {
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
}

fn with_oneloom<'a>(corpus: &[&'a str]) -> Counts<'a> {
    let pages = Queue::with_name("pages", BOUND);
    let words = Queue::with_name("words", BOUND);
    let finders_done = Barrier::new(FINDERS as u32);

    let find = || {
        for page in &pages {
            words.put(find_words(page)).expect("open until the last finder is done");
        }
        if finders_done.wait().expect("nobody breaks it").is_leader() {
            words.shutdown();
        }
    };
    let feed = async {
        for page in corpus.chunks(PAGE) {
            pages.put_async(page).await.expect("open until all is fed");
        }
        pages.shutdown();
    };
    let count = async {
        let mut counts = Counts::new();
        while let Ok(found) = words.get_async().await {
            add(&mut counts, found);
        }
        counts
    };
    thread::scope(|scope| {
        for _ in 0..FINDERS {
            scope.spawn(find);
        }
        pollster::block_on(zip(feed, count)).1
    })
}

fn with_channels<'a>(corpus: &[&'a str]) -> Counts<'a> {
    thread::scope(|scope| {
        let (words, all_words) = sync_channel(BOUND);
        let finders: Vec<_> = (0..FINDERS)
            .map(|_| {
                let (pages, my_pages) = sync_channel::<&[&str]>(BOUND / FINDERS);
                let words = words.clone();
                scope.spawn(move || {
                    for page in my_pages {
                        words.send(find_words(page)).expect("the counter waits for the last finder");
                    }
                });
                pages
            })
            .collect();
        drop(words);
        scope.spawn(move || {
            for (page, finder) in corpus.chunks(PAGE).zip((0..FINDERS).cycle()) {
                finders[finder].send(page).expect("a finder waits for the last page");
            }
        });
        let mut counts = Counts::new();
        for found in all_words {
            add(&mut counts, found);
        }
        counts
    })
}

fn read(folder: &Path, texts: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            read(&path, texts)?;
        } else if path.is_file() {
            texts.extend(fs::read_to_string(&path));
        }
    }
    Ok(())
}

fn timed<'a>(pipeline: impl Fn(&[&'a str]) -> Counts<'a>, corpus: &[&'a str]) -> (Duration, Counts<'a>) {
    let started = Instant::now();
    let counts = pipeline(corpus);
    (started.elapsed(), counts)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn main() -> io::Result<()> {
    let folder = env::args().nth(1).unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/../..").into());
    let mut texts = Vec::new();
    read(Path::new(&folder), &mut texts)?;
    let once: Vec<&str> = texts.iter().flat_map(|text| text.lines()).collect();
    let corpus: Vec<&str> = once.iter().copied().cycle().take(LINES.max(once.len())).collect();
    println!("{} text files, {} lines, {} of them to count", texts.len(), once.len(), corpus.len());

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut last = Counts::new();
    for round in 0..ROUNDS {
        let (time, counts) = timed(with_oneloom, &corpus);
        let (std_time, std_counts) = timed(with_channels, &corpus);
        assert!(counts == std_counts, "the results differ");
        println!("round {round}: oneloom {time:>7.1?}, mpsc {std_time:>7.1?}, equal results");
        ours.push(time);
        theirs.push(std_time);
        last = counts;
    }

    let mut ranking: Vec<_> = last.into_iter().collect();
    ranking.sort_unstable_by_key(|&(word, times)| (Reverse(times), word));
    let total: u64 = ranking.iter().map(|(_, times)| times).sum();
    let first = ranking.iter().take(5).map(|(word, times)| format!("{word} {times}")).collect::<Vec<_>>();
    println!("\n{total} words, {} different; most often: {}", ranking.len(), first.join(", "));
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    println!("oneloom, tasks and threads on two queues    {ours:>8.1?}");
    println!(
        "mpsc, threads only, a channel per finder    {theirs:>8.1?}    oneloom is {ratio:.2} times as fast"
    );
    Ok(())
}
