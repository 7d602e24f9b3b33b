//! A process that works for a pool: it runs the functions that it is asked for, until there are no more.

use oneloom_exec::desk::{Desk, Order, Verdict};
use oneloom_exec::packet::Packet;
use oneloom_shm::error::Error;
use oneloom_shm::wait::Stop;
use oneloom_sync::environment::Patient;

use crate::process::functions::{Ran, call};

/// What an answer is, as its mark says.
pub const RESULT: u32 = 0;
/// The message of a panic.
pub const PANIC: u32 = 1;
/// Why a function was not run, or its result can't be written.
pub const REFUSAL: u32 = 2;

/// Works from this seat; gives the status with which the process is to end.
pub fn work(seat: &[u8]) -> i32 {
    match Desk::sit(seat).map_err(Stop::Failed).and_then(|desk| serve(&desk)) {
        Ok(()) => 0,
        Err(failure) => {
            eprintln!("oneloom: a pool's worker can't go on: {failure:?}");
            1
        }
    }
}

fn serve(desk: &Desk) -> Result<(), Stop> {
    desk.ready().map_err(Stop::Failed)?;
    loop {
        match desk.next(Vec::new(), &mut Patient)? {
            Order::End => return Ok(()),
            Order::Task(ticket, packet) => {
                let (verdict, answer) = run(desk, &packet);
                // Its memory is not needed any more.
                drop(packet);
                desk.answer(ticket, verdict, answer.map_err(Stop::Failed)?).map_err(Stop::Failed)?;
            }
        }
    }
}

fn run(desk: &Desk, packet: &Packet) -> (Verdict, Result<Packet, Error>) {
    let (verdict, bytes, mark) = match packet.bytes().map(call) {
        Ok(Ran::Returned(result)) => (Verdict::Succeeded, result, RESULT),
        Ok(Ran::Panicked(message)) => (Verdict::Failed, message.into_bytes(), PANIC),
        Ok(Ran::Refused(why)) => (Verdict::FailedForGood, why.into_bytes(), REFUSAL),
        Err(error) => (Verdict::FailedForGood, error.to_string().into_bytes(), REFUSAL),
    };
    match Packet::copy_of(desk.segment(), &[&bytes], mark) {
        Ok(answer) => (verdict, Ok(answer)),
        // For a large result there is no memory; why, is short.
        Err(error) => {
            let why = format!("its result could not be handed over: {error}");
            (Verdict::FailedForGood, Packet::copy_of(desk.segment(), &[why.as_bytes()], REFUSAL))
        }
    }
}
