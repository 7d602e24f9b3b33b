//! Pools of two processes: submit calls of a function that does nothing, then wait for every result; and one after the other.
//!
//! The peer is the plainest thing that does it over ipc-channel: two processes, each with a channel for calls and one for
//! results, which get calls by turns. It loses what a killed process was sent, and knows no limits.

use std::time::{Duration, Instant};

use ipc_channel::ipc::{self, IpcOneShotServer, IpcReceiver, IpcSender};
use oneloom::pool::ProcessPool;
use oneloom::process::{Functions, Process};

use crate::rounds::{Rival, Row};

const WORKERS: usize = 2;
/// Enough that both workers have begun before the clock runs.
const FIRST: u64 = 64;

fn same(number: u64) -> u64 {
    number
}

/// Something that runs [`same`] in processes.
trait Pool {
    fn open() -> Self;
    /// Submits so many calls, and adds up their results.
    fn all(&mut self, count: u64) -> u64;
}

impl Pool for ProcessPool {
    fn open() -> Self {
        Self::new(WORKERS).unwrap()
    }
    fn all(&mut self, count: u64) -> u64 {
        let pending: Vec<_> = (0..count).map(|number| self.submit(same, number)).collect();
        pending.into_iter().map(|future| future.wait().unwrap()).sum()
    }
}

/// Processes at the other end of channels.
struct Channels {
    ends: Vec<(IpcSender<u64>, IpcReceiver<u64>)>,
    processes: Vec<Process<()>>,
}

/// In a process: answers until there are no more calls.
fn answer(address: String) {
    let (there, calls) = ipc::channel().unwrap();
    let (results, back) = ipc::channel().unwrap();
    IpcSender::<(IpcSender<u64>, IpcReceiver<u64>)>::connect(address).unwrap().send((there, back)).unwrap();
    while let Ok(number) = calls.recv() {
        results.send(same(number)).unwrap();
    }
}

impl Pool for Channels {
    fn open() -> Self {
        let (mut ends, mut processes) = (Vec::new(), Vec::new());
        for _ in 0..WORKERS {
            let (server, address) = IpcOneShotServer::<(IpcSender<u64>, IpcReceiver<u64>)>::new().unwrap();
            processes.push(Process::spawn(answer, address).unwrap());
            ends.push(server.accept().unwrap().1);
        }
        Self { ends, processes }
    }
    fn all(&mut self, count: u64) -> u64 {
        // A channel that nobody empties is full some time: what is back already is taken on the way.
        let mut sum = 0;
        let mut left = count;
        for number in 0..count {
            let (calls, results) = &self.ends[number as usize % WORKERS];
            calls.send(number).unwrap();
            while let Ok(result) = results.try_recv() {
                (sum, left) = (sum + result, left - 1);
            }
        }
        while left > 0 {
            for (_, results) in &self.ends {
                while let Ok(result) = results.try_recv() {
                    (sum, left) = (sum + result, left - 1);
                }
            }
        }
        sum
    }
}

impl Drop for Channels {
    fn drop(&mut self) {
        self.ends.clear();
        self.processes.drain(..).for_each(|process| process.join().unwrap());
    }
}

/// The time from the first submit to the last result, of so many at once.
fn timed<P: Pool>(count: u64, at_once: u64) -> Duration {
    let mut pool = P::open();
    pool.all(FIRST);
    let start = Instant::now();
    let sums: u64 = (0..count / at_once).map(|_| pool.all(at_once)).sum();
    let took = start.elapsed();
    let each = (0..at_once).sum::<u64>();
    assert_eq!(sums, each * (count / at_once), "a task was lost or run twice");
    took
}

fn submitted<P: Pool>(count: u64) -> Duration {
    timed::<P>(count, count)
}

fn round_trips<P: Pool>(count: u64) -> Duration {
    timed::<P>(count, 1)
}

/// What processes run.
pub fn register(functions: &mut Functions) {
    functions.add(same);
    functions.add(answer);
}

/// The rows.
pub fn rows() -> Vec<Row> {
    vec![
        Row {
            key: "rust-process-pool-submit",
            rivals: vec![
                Rival { name: "oneloom", run: submitted::<ProcessPool> },
                Rival { name: "ipc-channel", run: submitted::<Channels> },
            ],
        },
        Row {
            key: "rust-process-pool-round-trip",
            rivals: vec![
                Rival { name: "oneloom", run: round_trips::<ProcessPool> },
                Rival { name: "ipc-channel", run: round_trips::<Channels> },
            ],
        },
    ]
}
