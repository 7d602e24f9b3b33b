//! The thread that watches workers' processes: an end is told to the mailbox, behind all that the dead have sent.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use oneloom_shm::queue::Queue;
use oneloom_sync::Mutex;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::desk::put;
use crate::launch::{Exit, Launcher, Status};
use crate::message::{Head, Kind};
use crate::packet::Packet;

/// How soon an end is told again that could not be told.
const RETRY: Duration = Duration::from_millis(100);
/// Workers count from 1.
const POKED: u64 = 0;

/// Processes that are watched.
pub struct Watcher {
    polled: OwnedFd,
    poke: OwnedFd,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    watched: Vec<Watched>,
    /// Those that had ended before they could be watched, or could not be: then why.
    missed: Vec<(u32, u32, Option<String>)>,
    /// How processes have ended whose message is on its way.
    exits: Vec<(u32, Exit)>,
    over: bool,
}

struct Watched {
    worker: u32,
    pid: u32,
    handle: OwnedFd,
}

impl Watcher {
    pub fn new() -> io::Result<Self> {
        let polled = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let poke = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&polled, &poke, epoll::EventData::new_u64(POKED), epoll::EventFlags::IN)?;
        Ok(Self { polled, poke, known: Mutex::new(Known::default()) })
    }

    /// Watches a process that nobody has waited for yet.
    pub fn watch(&self, worker: u32, pid: u32) {
        let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let opened = id.ok_or(rustix::io::Errno::SRCH).and_then(|id| pidfd_open(id, PidfdFlags::empty()));
        let mut known = self.known.lock();
        let watched = opened.and_then(|handle| {
            epoll::add(
                &self.polled,
                &handle,
                epoll::EventData::new_u64(worker.into()),
                epoll::EventFlags::IN,
            )?;
            known.watched.push(Watched { worker, pid, handle });
            Ok(())
        });
        if let Err(error) = watched {
            let why = (error != rustix::io::Errno::SRCH).then(|| format!("it could not be watched: {error}"));
            if let Some(id) = id.filter(|_| why.is_some()) {
                // Nobody would know when it ends.
                let _ = rustix::process::kill_process(id, Signal::KILL);
            }
            known.missed.push((worker, pid, why));
            self.poke();
        }
    }

    /// Kills a worker's process, if it has one that has not ended.
    pub fn kill(&self, worker: u32) {
        if let Some(watched) = self.known.lock().watched.iter().find(|watched| watched.worker == worker) {
            // It may just have ended.
            let _ = pidfd_send_signal(&watched.handle, Signal::KILL);
        }
    }

    /// How a process has ended whose message has come.
    pub fn exit(&self, worker: u32) -> Exit {
        let exits = &mut self.known.lock().exits;
        let place = exits.iter().position(|(known, _)| *known == worker);
        place.map_or(Exit { status: Status::Unknown, text: None }, |place| exits.swap_remove(place).1)
    }

    /// Lets the thread end.
    pub fn stop(&self) {
        self.known.lock().over = true;
        self.poke();
    }

    fn poke(&self) {
        // A full counter is readable already.
        let _ = rustix::io::write(&self.poke, &1_u64.to_ne_bytes());
    }

    /// What the thread does.
    pub fn run(&self, mailbox: &Arc<Queue>, launcher: &dyn Launcher) {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(16);
        // Whose end could not be told yet, because there was no memory for a few bytes.
        let mut untold: Vec<u32> = Vec::new();
        let soon = Timespec::try_from(RETRY).ok();
        loop {
            events.clear();
            let until = if untold.is_empty() { None } else { soon.as_ref() };
            // Interrupted or refused, it shows nothing, and the next round asks again.
            let _ = epoll::wait(&self.polled, spare_capacity(&mut events), until);
            let mut ended = Vec::new();
            {
                let mut known = self.known.lock();
                if known.over {
                    return;
                }
                ended.append(&mut known.missed);
                for event in &events {
                    let number = event.data.u64();
                    if number == POKED {
                        let _ = rustix::io::read(&self.poke, &mut [0_u8; 8]);
                    }
                    let place = known.watched.iter().position(|watched| u64::from(watched.worker) == number);
                    if let Some(watched) = place.map(|place| known.watched.swap_remove(place)) {
                        // Closing alone would leave it there if a fork's child has it, too.
                        let _ = epoll::delete(&self.polled, &watched.handle);
                        ended.push((watched.worker, watched.pid, None));
                    }
                }
            }
            for (worker, pid, why) in ended {
                let mut exit = launcher.ended(worker, pid);
                exit.text = exit.text.or(why);
                self.known.lock().exits.push((worker, exit));
                untold.push(worker);
            }
            untold.retain(|worker| {
                let message = Packet::empty().seal(Head::about(*worker, Kind::Died));
                message.and_then(|message| put(mailbox, message)).is_err()
            });
        }
    }
}
