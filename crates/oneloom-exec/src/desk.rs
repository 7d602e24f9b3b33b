//! The worker's side: it takes a task, answers it, and takes the next; and it ends when its pool's owner does.

use std::sync::Arc;
use std::time::Duration;

use oneloom_shm::error::Error;
use oneloom_shm::flow::{AnyQueue, GetCall, ShutDown};
use oneloom_shm::handle::{Handle, Object};
use oneloom_shm::payload::Item;
use oneloom_shm::process::{self, Life};
use oneloom_shm::queue::{PutCall, Queue};
use oneloom_shm::segment::Segment;
use oneloom_shm::wait::{Stop, block};
use oneloom_sync::environment::Patient;
use oneloom_wait::clock::{self, Deadline};
use oneloom_wait::wait::Environment;
use oneloom_wait::{background, fork};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, getpid, kill_process};

use crate::message::{Head, Kind, TaskId};
use crate::packet::Packet;
use crate::seat::Place;

/// What a worker is to do.
#[derive(Debug)]
pub enum Order {
    /// Run this.
    Task(Ticket, Packet),
    /// End: there are no more tasks.
    End,
}

/// A task that was taken and is to be answered, once.
#[derive(Debug)]
pub struct Ticket {
    task: TaskId,
    taken: u64,
}

/// How a task went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// This is its result.
    Succeeded,
    /// This is why it failed; it may be tried again.
    Failed,
    /// This is why it failed, and would fail again: what can't be read or written, for example.
    FailedForGood,
}

/// A worker's place, taken.
pub struct Desk {
    tasks: Arc<Queue>,
    mailbox: Arc<Queue>,
    worker: u32,
    /// The fork generation of the process that sits here.
    born: u32,
}

impl Desk {
    /// Takes the place that a [`Seat`](crate::launch::Seat) has named; the process has joined its family. From now on it is
    /// killed at once when its pool's owner ends.
    ///
    /// # Errors
    /// If these are no seat's bytes, or the pool is gone.
    pub fn sit(seat: &[u8]) -> Result<Self, Error> {
        let place = Place::from_bytes(seat)?;
        let open = |handle: Handle| Ok(Arc::new(Queue::from_object(Object::open(handle)?)));
        let desk = Self {
            tasks: open(place.tasks)?,
            mailbox: open(place.mailbox)?,
            worker: place.worker,
            born: fork::generation(),
        };
        background::spawn("oneloom-owner", move || die_with(place.owner, place.owner_started))
            .map_err(|error| Error::system("no thread to watch the pool's owner", error))?;
        Ok(desk)
    }

    /// Where packets for this worker's answers stand.
    pub fn segment(&self) -> &'static Segment {
        self.mailbox.segment()
    }

    /// Says that this worker takes tasks from now on. Never waits for long, nor do the other calls that send.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn ready(&self) -> Result<(), Error> {
        let head = Head { took: u64::from(process::id()), ..Head::about(self.worker, Kind::Ready) };
        self.send(head, Packet::empty())
    }

    /// Says that neither this worker nor any other can take tasks; the pool's tasks end with what the packet says.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn refuse(&self, why: Packet) -> Result<(), Error> {
        self.send(Head::about(self.worker, Kind::Refused), why)
    }

    /// Hands something on to the launcher.
    ///
    /// # Errors
    /// If shared memory fails.
    pub fn record(&self, record: Packet) -> Result<(), Error> {
        self.send(Head::about(self.worker, Kind::Record), record)
    }

    /// What to do next, if that is known already: never waits. A small task comes in `buffer`, which is empty.
    ///
    /// # Errors
    /// If shared memory fails, or this is a fork of the worker.
    pub fn try_next(&self, buffer: &mut Vec<u8>) -> Result<Option<Order>, Error> {
        self.must_be_here()?;
        self.tasks.try_get(buffer)?.map(|got| self.order(got)).transpose()
    }

    /// Waits for what to do next. A small task comes in `buffer`, which is empty; [`Packet::into_item`] gives it back.
    ///
    /// # Errors
    /// [`Stop`] says why there is nothing; then nothing was taken.
    pub fn next(&self, buffer: Vec<u8>, environment: &mut impl Environment) -> Result<Order, Stop> {
        self.must_be_here().map_err(Stop::Failed)?;
        let mut call = GetCall { queue: self.tasks.clone(), buffer };
        let got = block(&mut call, Deadline::Never, environment)?;
        self.order(got).map_err(Stop::Failed)
    }

    fn order(&self, got: Result<Item, ShutDown>) -> Result<Order, Error> {
        let Ok(item) = got else { return Ok(Order::End) };
        let (head, packet) = Packet::open(item)?;
        match head.kind {
            Kind::Task => Ok(Order::Task(Ticket { task: head.task, taken: clock::now() }, packet)),
            _ => Ok(Order::End),
        }
    }

    /// Answers a task. To be done before the next one is taken.
    ///
    /// # Errors
    /// If shared memory fails, or this is a fork of the worker.
    pub fn answer(&self, ticket: Ticket, verdict: Verdict, packet: Packet) -> Result<(), Error> {
        let kind = match verdict {
            Verdict::Succeeded => Kind::Succeeded,
            Verdict::Failed => Kind::Failed,
            Verdict::FailedForGood => Kind::FailedForGood,
        };
        let took = clock::now().saturating_sub(ticket.taken);
        self.send(Head { task: ticket.task, took, worker: self.worker, kind }, packet)
    }

    fn send(&self, head: Head, mut packet: Packet) -> Result<(), Error> {
        self.must_be_here()?;
        if let Some((bytes, mark)) = packet.sealed(head)? {
            if self.mailbox.try_put(bytes, mark)?.is_some() {
                return Ok(());
            }
        }
        put(&self.mailbox, packet.seal(head)?)
    }

    fn must_be_here(&self) -> Result<(), Error> {
        if fork::generation() == self.born {
            return Ok(());
        }
        Err(Error::System("this process was forked from a pool's worker, whose tasks are not its own".into()))
    }
}

/// Puts a message into a queue without a bound, which may wait for memory or a latch.
pub(crate) fn put(queue: &Arc<Queue>, message: Item) -> Result<(), Error> {
    match block(&mut PutCall::new(queue.clone(), message), Deadline::Never, &mut Patient) {
        Err(Stop::Failed(error)) => Err(error),
        // These queues are never shut down, and nothing else ends such a wait.
        _ => Ok(()),
    }
}

/// Ends this process at once when that one has ended.
fn die_with(owner: u32, started: u64) {
    /// How soon to look again where a process can't be watched.
    const BLIND_LOOK: Duration = Duration::from_millis(200);
    loop {
        match process::examine(owner, started) {
            Life::Dead => break,
            // Interrupted or refused, it says nothing, and the next look asks again.
            Life::Watched(descriptor) => {
                let _ = poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], None);
            }
            Life::Alive => std::thread::sleep(BLIND_LOOK),
        }
    }
    // Nothing of this process's own may run any more: whom it served is gone.
    let _ = kill_process(getpid(), Signal::KILL);
}
