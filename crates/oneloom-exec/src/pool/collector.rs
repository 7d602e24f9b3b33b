//! Who reads the mail: the collector's thread, or for a moment whoever waits for an answer.
//!
//! An answer that goes through the collector's thread has two threads to wake. Where tasks are short that costs more than
//! they do; so whoever waits for one may read the mail itself, and the collector stands back meanwhile: for so
//! short a time that nobody minds if that thread then turns to something else.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use oneloom_shm::error::Error;
use oneloom_shm::flow::AnyQueue;
use oneloom_shm::wait::{Stop, block};
use oneloom_sync::environment::Patient;
use oneloom_sync::raw::EventCall;
use oneloom_wait::clock::{Deadline, now};
use oneloom_wait::wait;

use super::Pool;
use super::inner::{Inner, apart};
use super::mail::{self, Awaited};

/// What the collector is to know after the mail was read.
struct Told {
    /// When it is to look again without mail.
    alarm: u64,
    /// That is sooner than before.
    is_sooner: bool,
    is_over: bool,
}

/// For how long the collector leaves the mail to others, and these read it.
const STAND_BACK: Duration = Duration::from_micros(500);
/// For how long it does not when several wait at once, in nanoseconds.
const CROWDED: u64 = 10_000_000;
/// Up to how long a task may take, in nanoseconds, so that its answer is better read by whoever waits for it.
const WORTH_HELPING: u64 = 500_000;

/// As a deadline, what the machine has said as a number.
fn at(alarm: u64) -> Deadline {
    match alarm {
        u64::MAX => Deadline::Never,
        _ => Deadline::At(Instant::now() + Duration::from_nanos(alarm.saturating_sub(now()))),
    }
}

fn sooner(one: Deadline, other: Deadline) -> Deadline {
    match (one, other) {
        (Deadline::At(first), Deadline::At(second)) => Deadline::At(first.min(second)),
        (Deadline::Never, at) | (at, Deadline::Never) => at,
    }
}

impl Inner {
    /// What the collector's thread does: reads the mail until all is over.
    pub fn collect(&self, pool: &Pool) {
        let mut alarm = u64::MAX;
        loop {
            let is_to_look = || self.is_to_look.load(Ordering::SeqCst);
            self.resumed.clear();
            if self.helped.swap(false, Ordering::SeqCst) && !is_to_look() {
                // Somebody who waits for an answer is about to read it, and would only be kept from the core.
                let nap = sooner(at(alarm), Deadline::after(Some(STAND_BACK)));
                let _ = wait::block(&self.resumed, &mut EventCall, nap, &mut Patient);
                if self.mailbox.is_empty() == Ok(true) && alarm > now() && !is_to_look() {
                    continue;
                }
            }
            let mut mail = Awaited { mailbox: &self.mailbox, done: &is_to_look };
            let broken = match block(&mut mail, at(alarm), &mut Patient) {
                Err(Stop::Failed(error)) => Some(error),
                _ => None,
            };
            self.is_to_look.store(false, Ordering::SeqCst);
            let told = self.read_mail(pool, broken);
            if self.helping.is_locked() {
                // It may have been that one's answer.
                self.mailbox.flow().not_empty.disturb();
            }
            if told.is_over {
                break;
            }
            alarm = told.alarm;
        }
        self.watcher.stop();
        apart(|| self.launcher.over());
        self.over.set();
    }

    /// Lets the collector look at everything anew.
    pub fn wake_collector(&self) {
        self.is_to_look.store(true, Ordering::SeqCst);
        self.resumed.set();
        self.mailbox.flow().not_empty.disturb();
    }

    /// Reads the mail in the collector's place, for a moment at most, until `done`.
    pub fn help(&self, pool: &Pool, done: &dyn Fn() -> bool) {
        let is_crowded = || now() < self.crowded.load(Ordering::Relaxed);
        if self.mean.load(Ordering::Relaxed) > WORTH_HELPING || is_crowded() || done() {
            return;
        }
        let Some(_helping) = self.helping.try_lock() else {
            // Who helps leaves with its own answer, when others still wait for theirs: these need the collector.
            self.crowded.store(now() + CROWDED, Ordering::Relaxed);
            return;
        };
        self.helped.store(true, Ordering::SeqCst);
        let until = Deadline::after(Some(STAND_BACK));
        let mut is_late = false;
        while !is_late && !done() {
            is_late = block(&mut Awaited { mailbox: &self.mailbox, done }, until, &mut Patient).is_err();
            if !is_late && !done() {
                let told = self.read_mail(pool, None);
                if told.is_over || told.is_sooner {
                    self.wake_collector();
                }
            }
        }
        if is_late || is_crowded() {
            self.helped.store(false, Ordering::SeqCst);
            self.resumed.set();
        }
    }

    fn read_mail(&self, pool: &Pool, broken: Option<Error>) -> Told {
        let reading = self.reading.lock();
        let (mail, broken) = match (broken, mail::take(&self.mailbox)) {
            (Some(error), _) | (_, Err(error)) => (Vec::new(), Some(error)),
            (_, Ok(mail)) => (mail, None),
        };
        let mut state = self.state.lock();
        if broken.is_some() {
            // Something has written over the mailbox: no worker can be heard any more.
            state.machine.terminate();
        }
        self.read(&mut state, &reading, mail);
        state.machine.advance(now());
        self.perform(&mut state, Some(&reading));
        self.mean.store(state.machine.mean(), Ordering::Relaxed);
        let (before, next) = (state.alarm, state.machine.alarm());
        // An alarm that is set stays set: then whoever submits the next task need not set it again.
        state.alarm = if before > now() { before.min(next) } else { next };
        // Without a mailbox nobody could even learn that they have ended.
        let outbox = self.take_outbox(&mut state);
        let is_over = self.is_over(&state) || broken.is_some();
        let told = Told { alarm: state.alarm, is_sooner: state.alarm < before, is_over };
        drop(state);
        drop(reading);
        outbox.deliver(pool);
        told
    }
}
