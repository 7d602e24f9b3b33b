//! What these tests share.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use oneloom_exec::launch::Seat;
use oneloom_exec::launch::{Exit, Launcher, reap};
use oneloom_exec::message::TaskId;
use oneloom_exec::packet::Packet;
use oneloom_exec::pool::{Pool, Settings};
use oneloom_exec::task::{End, Failure, Limits, Refusal, Report};
use oneloom_shm::{family, start};
use rustix::fs::{MemfdFlags, memfd_create};

use crate::harness::{PATIENCE, eventually};
use crate::worker::{opening, task};

/// How many times longer the tests run that gain from it.
pub fn stress() -> u64 {
    std::env::var("ONELOOM_STRESS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Launches this program.
#[derive(Default)]
pub struct Program {
    /// See [`opening`].
    pub opening: AtomicU8,
    /// How many launches are to fail.
    pub failing: AtomicUsize,
    /// How many there were.
    pub launches: AtomicUsize,
    /// What workers have handed on.
    pub records: Mutex<Vec<u64>>,
}

impl Launcher for Program {
    fn launch(&self, seat: Seat) {
        self.launches.fetch_add(1, Ordering::SeqCst);
        let fails = |left: usize| left.checked_sub(1);
        if self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails).is_ok() {
            return seat.failed("it was to fail".into());
        }
        let opening = self.opening.load(Ordering::SeqCst);
        std::thread::spawn(move || {
            let file = File::from(memfd_create("seat", MemfdFlags::CLOEXEC).expect("a file"));
            file.write_all_at(&[&[opening], &seat.to_bytes()[..]].concat(), 0).expect("room");
            let segment = family::home().expect("a family").descriptor().expect("its descriptor");
            match start::again([file.as_fd(), segment]) {
                Ok(child) => seat.launched(child.id()),
                Err(error) => seat.failed(error.to_string()),
            }
        });
    }

    fn ended(&self, _worker: u32, pid: u32) -> Exit {
        Exit { status: reap(pid), text: None }
    }

    fn record(&self, _pid: u32, record: Packet) {
        self.records.lock().expect("no panic").push(number(&record));
    }
}

/// The number that a packet begins with.
pub fn number(packet: &Packet) -> u64 {
    u64::from_le_bytes(*packet.bytes().expect("its bytes").first_chunk().expect("a number"))
}

/// A pool of this program, terminated when it is dropped.
pub struct Works {
    pub pool: Pool,
    pub program: Arc<Program>,
}

/// A task that was handed in.
pub struct Handle {
    pub id: TaskId,
    end: Receiver<End>,
    has_ended: Arc<AtomicBool>,
}

struct Tell(Sender<End>, Arc<AtomicBool>);

impl Report for Tell {
    fn ended(self: Box<Self>, end: End) {
        // Nobody may wait for it any more.
        let _ = self.0.send(end);
        self.1.store(true, Ordering::SeqCst);
    }
}

pub const PLAIN: Limits = Limits { timeout: None, retries: 0 };

impl Works {
    pub fn new(workers: usize) -> Self {
        Self::with(workers, None, opening::NONE)
    }

    pub fn with(workers: usize, tasks_per_worker: Option<u64>, opening: u8) -> Self {
        let program = Arc::new(Program { opening: opening.into(), ..Program::default() });
        let pool = Pool::new(Settings { workers, tasks_per_worker }, program.clone()).expect("a pool");
        Self { pool, program }
    }

    /// Hands in a task of that kind, with a number and more bytes.
    pub fn submit(&self, limits: Limits, kind: u8, number: u64, more: &[u8]) -> Handle {
        self.try_submit(limits, kind, number, more).expect("a pool that takes tasks")
    }

    pub fn try_submit(&self, limits: Limits, kind: u8, number: u64, more: &[u8]) -> Result<Handle, Refusal> {
        let pieces: [&[u8]; 3] = [&[kind], &number.to_le_bytes(), more];
        let packet = Packet::copy_of(self.pool.segment(), &pieces, kind.into()).expect("memory");
        let ((tell, end), has_ended) = (channel(), Arc::new(AtomicBool::new(false)));
        let id = self.pool.submit(packet, limits, Box::new(Tell(tell, has_ended.clone())))?;
        Ok(Handle { id, end, has_ended })
    }

    /// Hands in a plain task.
    pub fn ask(&self, kind: u8, number: u64) -> Handle {
        self.submit(PLAIN, kind, number, &[])
    }

    /// A task that a worker runs, for so many milliseconds, as is known for sure.
    pub fn hold(&self, milliseconds: u64) -> Handle {
        let records = || self.program.records.lock().expect("no panic").len();
        let before = records();
        let handle = self.ask(task::HOLD, milliseconds);
        eventually("it runs", || records() > before);
        handle
    }

    /// Waits for the end of all, which somebody has asked for.
    pub fn join(&self) {
        eventually("the pool is over", || self.pool.over().is_set());
    }
}

impl Drop for Works {
    fn drop(&mut self) {
        self.pool.terminate();
        if !std::thread::panicking() {
            self.join();
        }
    }
}

impl Handle {
    /// Reads the mail for a moment until this has ended, or others are to.
    pub fn help(self, works: &Works) -> Self {
        works.pool.help(&|| self.has_ended.load(Ordering::SeqCst));
        self
    }

    /// How it ended.
    pub fn end(self) -> End {
        self.end.recv_timeout(PATIENCE).expect("an end in time")
    }

    /// The number that it was answered with.
    pub fn answer(self) -> u64 {
        match self.end() {
            End::Succeeded(reply) => number(&reply.packet),
            end => panic!("no success: {end:?}"),
        }
    }

    /// Why it has no answer.
    pub fn failure(self) -> Failure {
        match self.end() {
            End::Lost(failure) => failure,
            end => panic!("an answer: {end:?}"),
        }
    }
}
