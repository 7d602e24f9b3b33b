//! The worker's side: what its tasks are, and how it does them.

use std::fs::File;
use std::io::Read;
use std::process::exit;
use std::time::Duration;

use oneloom_exec::desk::{Desk, Order, Verdict};
use oneloom_exec::packet::Packet;
use oneloom_shm::{family, start};
use oneloom_sync::environment::Patient;
use rustix::process::{Signal, getpid, kill_process};

/// What the first byte of a task says; a number follows, and perhaps more.
pub mod task {
    /// Answer the number.
    pub const ECHO: u8 = 1;
    /// Answer after so many milliseconds.
    pub const SLEEP: u8 = 2;
    /// Exit with this status.
    pub const EXIT: u8 = 3;
    /// Get this signal.
    pub const SIGNAL: u8 = 4;
    /// Fail with the number.
    pub const FAIL: u8 = 5;
    /// Fail for good with the number.
    pub const FAIL_FOR_GOOD: u8 = 6;
    /// Answer so many bytes.
    pub const BYTES: u8 = 7;
    /// Answer how many bytes follow.
    pub const LENGTH: u8 = 8;
    /// Answer this worker's process id.
    pub const PID: u8 = 9;
    /// Hand the number on as a record, and answer it.
    pub const RECORD: u8 = 10;
    /// Hand the number on as a record, and answer after so many milliseconds.
    pub const HOLD: u8 = 12;
    /// Append a byte to the file that is named behind the number, and answer how long it is; fail while it is shorter.
    pub const COUNT: u8 = 11;
}

/// What a worker is to do before it is ready; in the file that is given to it, before the seat.
pub mod opening {
    /// Nothing.
    pub const NONE: u8 = 0;
    /// Exit with status 3.
    pub const EXIT: u8 = 1;
    /// Refuse, with the word "no".
    pub const REFUSE: u8 = 2;
}

/// Works, if this process is a worker.
pub fn work_if_one() {
    let Some([file, segment]) = start::given() else { return };
    family::join(segment).expect("a family");
    let mut bytes = Vec::new();
    File::from(file).read_to_end(&mut bytes).expect("a seat");
    let desk = Desk::sit(&bytes[1..]).expect("a desk");
    match bytes[0] {
        opening::EXIT => exit(3),
        opening::REFUSE => {
            desk.refuse(Packet::copy_of(desk.segment(), &[b"no"], 0).expect("memory")).expect("a refusal");
            exit(0)
        }
        _ => desk.ready().expect("a mailbox"),
    }
    loop {
        match desk.next(Vec::new(), &mut Patient).expect("an order") {
            Order::End => exit(0),
            Order::Task(ticket, packet) => {
                let (verdict, answer) = run(&desk, packet.bytes().expect("its bytes"));
                let answer = Packet::copy_of(desk.segment(), &[&answer], packet.mark()).expect("memory");
                desk.answer(ticket, verdict, answer).expect("a mailbox");
            }
        }
    }
}

fn run(desk: &Desk, task: &[u8]) -> (Verdict, Vec<u8>) {
    let number = u64::from_le_bytes(*task[1..].first_chunk().expect("a number"));
    let answer = |number: u64| (Verdict::Succeeded, number.to_le_bytes().to_vec());
    match task[0] {
        task::ECHO => answer(number),
        task::SLEEP => {
            std::thread::sleep(Duration::from_millis(number));
            answer(number)
        }
        task::EXIT => exit(number as i32),
        task::SIGNAL => {
            let signal = Signal::from_named_raw(number as i32).expect("a signal");
            kill_process(getpid(), signal).expect("a signal to this very process");
            answer(number)
        }
        task::FAIL => (Verdict::Failed, number.to_le_bytes().to_vec()),
        task::FAIL_FOR_GOOD => (Verdict::FailedForGood, number.to_le_bytes().to_vec()),
        task::BYTES => (Verdict::Succeeded, (0..number).map(|byte| byte as u8).collect()),
        task::LENGTH => {
            assert!(task[9..].iter().enumerate().all(|(index, byte)| *byte == index as u8));
            answer(task.len() as u64 - 9)
        }
        task::PID => answer(u64::from(std::process::id())),
        task::RECORD => {
            record(desk, number);
            answer(number)
        }
        task::HOLD => {
            record(desk, number);
            std::thread::sleep(Duration::from_millis(number));
            answer(number)
        }
        task::COUNT => {
            let name = std::str::from_utf8(&task[9..]).expect("a name");
            let file = File::options().append(true).create(true).open(name).expect("a file");
            std::io::Write::write_all(&mut &file, b"x").expect("room");
            let length = file.metadata().expect("its length").len();
            let verdict = if length < number { Verdict::Failed } else { Verdict::Succeeded };
            (verdict, length.to_le_bytes().to_vec())
        }
        other => panic!("no such task: {other}"),
    }
}

fn record(desk: &Desk, number: u64) {
    let record = Packet::copy_of(desk.segment(), &[&number.to_le_bytes()], 0).expect("memory");
    desk.record(record).expect("a mailbox");
}
