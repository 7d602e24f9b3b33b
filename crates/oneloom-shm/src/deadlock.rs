//! Deadlocks across processes: waits that can never end, for what somebody in another process holds.
//!
//! A thread that sleeps for longer than a nap shows its wait to all processes ([`crate::waits`]), looks once more whether
//! it must wait, and walks: what I wait for → who holds it → what that one waits for → … The last to show its wait sees
//! all the others; whoever is woken hides its wait before it tries, and walks again after it has shown it again. In its
//! own process the walk follows the graph of `oneloom_wait`, so that locks of this process and threads that are joined are
//! part of it; of another process it sees waits for shared objects only, and ends where there is none. Whoever waits for
//! something of one process alone walks here, too, where its way leads to another process.
//!
//! # Why a cycle that is believed is one
//!
//! Two walks find the same participants, each in the same wait (its number has not changed), each waiting for what the
//! next one holds. At the instant between the walks all of them waited. Who holds a lock is read from one word, in the
//! second walk while the holder is known to wait: it took the lock before that wait began, and nobody else may release
//! it. So at that instant every edge was there, and the first wait to end would have to be that of somebody who was
//! given a lock whose holder still waits. Last, every process is asked whether it lives: a lock whose owner is dead goes
//! to the next, and that is no deadlock.
//!
//! # Who raises
//!
//! The second walk takes place inside the segment's verdict latch, and who finds the cycle hides its own wait before it
//! leaves: of several who close a cycle at the same time, only the first finds it. It may die there: then its locks go to
//! others anyway, and nothing is to be repaired.

use std::cell::Cell;
use std::time::Duration;

use oneloom_wait::clock::{self, Deadline};
use oneloom_wait::graph::{
    self, Account, Certainty, Deadlock, Edge, HoldElsewhere, Published, Step, obstacle_of,
};
use oneloom_wait::owner::{self, Owner, Standing, flag, registry};
use oneloom_wait::wait::{self, Environment};
use oneloom_wait::waiter::Waiter;

use crate::arena::{Block, HEADER, Kind, Reference};
use crate::family;
use crate::member::Tag;
use crate::mutex;
use crate::segment::Segment;
use crate::step;
use crate::waits::{self, Record, Shown, Wait};

/// What a call waits for, where somebody may hold it.
pub struct Awaited<'a> {
    /// For the graph of this process.
    pub resource: &'a dyn graph::Resource,
    /// For other processes.
    pub reference: Reference,
    /// For whom the call is, by its name in this process.
    pub caller: u64,
}

/// That somebody holds a shared object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The process.
    pub process: Tag,
    /// Who in it, by [`Owner::short`].
    pub name: u32,
    /// Whether nobody else can end the hold.
    pub certain: bool,
}

/// In place of a name: the main thread, whose end is the end of its process.
const MAIN: u32 = u32::MAX;
/// In a reference: it names a process, by its tag, which is waited for until it ends.
const PROCESS: u64 = 1 << 63;

/// A hold of somebody in this process.
pub(crate) fn hold_here(segment: &'static Segment, hold: Hold) -> Option<graph::Hold> {
    if hold.name == 0 || segment.me().ok()? != hold.process {
        return None;
    }
    let owner = if hold.name == MAIN {
        registry().owners().into_iter().find(|owner| is_main_thread(*owner))?
    } else {
        registry().of_short(hold.name)
    };
    Some(graph::Hold { owner, certain: hold.certain })
}

fn is_main_thread(owner: Owner) -> bool {
    registry().native_thread(owner) == std::process::id()
}

fn flags_of_thread(owner: Owner) -> u32 {
    if is_main_thread(owner) { flag::MAIN_THREAD } else { 0 }
}

/// A hold of somebody in another process.
pub(crate) fn hold_elsewhere(segment: &'static Segment, hold: Hold) -> Option<HoldElsewhere> {
    let elsewhere = segment.me().is_ok_and(|me| me != hold.process);
    elsewhere.then(|| HoldElsewhere {
        family: segment.family(),
        process: hold.process.0,
        pid: segment.pid(hold.process),
        name: hold.name,
        certain: hold.certain,
    })
}

/// Who holds the object that somebody else waits for, and what it is called.
fn hold_of(segment: &'static Segment, object: Reference) -> Option<(Hold, &'static str)> {
    let held = |(kind, words)| {
        let block = Block::find(segment, object, kind).ok()?;
        Some((mutex::hold_in(block)?, words))
    };
    [(Kind::Mutex, "shared Lock"), (Kind::Reentrant, "shared RLock")].into_iter().find_map(held)
}

/// A thread that sleeps for long.
pub(crate) struct Sleeper {
    thread: Owner,
    flags: u32,
    since: u64,
    /// Where other processes read of it. None for a wait that ends by itself, or where there is no memory.
    record: Option<Record>,
    pause: Duration,
    look: Deadline,
    /// Whether to look now.
    curious: Cell<bool>,
    /// It has slept for so long that a suspicion is worth telling, once.
    suspicious: bool,
    told: Cell<bool>,
}

/// A sleeper looks after a second whether it will ever be woken, then ever more rarely.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const RAREST_LOOK: Duration = Duration::from_secs(60);

impl Sleeper {
    pub(crate) fn new(
        segment: &'static Segment,
        awaited: &Awaited<'_>,
        timed: bool,
        environment: &mut impl Environment,
    ) -> Self {
        graph::look_beyond(beyond);
        let (thread, since) = (owner::current(), clock::now());
        let timed_flag = if timed { flag::TIMED } else { 0 };
        let mut flags = environment.flags() | flag::SHARED | flags_of_thread(thread) | timed_flag;
        let mut record = || {
            let account = environment.account(awaited.resource);
            flags |= if account.may_end { flag::MAY_END } else { 0 };
            let (waiter, caller, resource) = (thread.to_bits(), awaited.caller, awaited.reference);
            // Not earlier: a handler that forked may have run.
            let me = segment.me().ok()?;
            Record::new(segment, me, &Wait { waiter, caller, resource, since, flags }, &account.text).ok()
        };
        let record = if timed { None } else { record() };
        Self {
            thread,
            flags,
            since,
            record,
            pause: FIRST_LOOK,
            look: if timed { Deadline::Never } else { Deadline::after(Some(FIRST_LOOK)) },
            curious: Cell::new(true),
            suspicious: false,
            told: Cell::new(false),
        }
    }

    /// Shows the wait, here and to other processes, until what this returns is dropped.
    ///
    /// # Safety
    /// What is waited for and `waiter` outlive what this returns, which is dropped and not leaked.
    pub(crate) unsafe fn show<'a>(&'a self, awaited: &Awaited<'_>, waiter: &Waiter) -> Showing<'a> {
        // SAFETY: by this function's own contract; a thread's later waits end before its earlier ones.
        let published =
            unsafe { graph::publish_since(self.thread, awaited.resource, waiter, self.flags, self.since) };
        self.record.iter().for_each(Record::show);
        Showing { record: self.record.as_ref(), _published: published }
    }

    /// Whether this wait, which is shown, can never end. Who is told so is to hide it before anything else.
    pub(crate) fn examine(&self, segment: &'static Segment, me: Tag) -> Option<Deadlock> {
        if !self.curious.take() || self.flags & flag::TIMED != 0 {
            return None;
        }
        let found = graph::examine_here(self.thread);
        let found = found.or_else(|| examine(segment, me, self.thread, self.record.as_ref()))?;
        let suspected = found.certainty != Certainty::Certain;
        if suspected && (self.told.get() || !self.suspicious) {
            return None;
        }
        self.told.set(self.told.get() || suspected);
        Some(found)
    }

    /// When to look again, if nobody wakes it before.
    pub(crate) fn next_look(&self) -> Deadline {
        self.look
    }

    /// The sleep has ended, by a wake (`disturbed`) or not.
    pub(crate) fn woken(&mut self, disturbed: bool) {
        let time = self.look.remaining().is_some_and(|left| left.is_zero());
        self.curious.set(disturbed || time);
        if time {
            self.suspicious = true;
            self.pause = (self.pause * 2).min(RAREST_LOOK);
            self.look = Deadline::after(Some(self.pause));
        }
    }
}

/// A wait that is shown.
pub(crate) struct Showing<'a> {
    record: Option<&'a Record>,
    _published: Published,
}

impl Drop for Showing<'_> {
    fn drop(&mut self) {
        self.record.into_iter().for_each(Record::hide);
    }
}

/// Somebody who has waited for long, but does not sleep in [`crate::wait`]: a task, or a thread that joins a process.
pub(crate) struct Patient {
    // Taken back before what it points to goes.
    published: Option<Published>,
    owner: Owner,
    flags: u32,
    since: u64,
    record: Option<Record>,
    /// In one place, wherever this goes.
    waiter: Box<Waiter>,
}

// SAFETY: the publication is only followed inside its owner's gate, and taken back through `&mut`; the waiter is in no list.
unsafe impl Send for Patient {}

impl Patient {
    pub(crate) fn new(
        segment: &'static Segment,
        awaited: &Awaited<'_>,
        owner: Owner,
        flags: u32,
        text: &str,
    ) -> Self {
        graph::look_beyond(beyond);
        let (since, flags) = (clock::now(), flags | flag::SHARED);
        let (waiter, caller, resource) = (owner.to_bits(), awaited.caller, awaited.reference);
        let wait = Wait { waiter, caller, resource, since, flags };
        let record = segment.me().ok().and_then(|me| Record::new(segment, me, &wait, text).ok());
        Self { published: None, owner, flags, since, record, waiter: Box::new(Waiter::new(Owner::NOBODY, 0)) }
    }

    /// Shows the wait, here and to other processes, until it is hidden.
    ///
    /// # Safety
    /// What is waited for outlives this, or the next call of `hide`.
    pub(crate) unsafe fn show(&mut self, awaited: &Awaited<'_>) {
        self.hide();
        // SAFETY: by this function's own contract; the waiter goes with this, after the publication.
        let published = unsafe {
            graph::publish_since(self.owner, awaited.resource, &self.waiter, self.flags, self.since)
        };
        self.published = Some(published);
        self.record.iter().for_each(Record::show);
    }

    pub(crate) fn hide(&mut self) {
        self.record.iter().for_each(Record::hide);
        self.published = None;
    }

    /// Whether this wait, which is shown, can never end, or looks so.
    pub(crate) fn examine(&self, segment: &'static Segment) -> Option<Deadlock> {
        let found = graph::examine_here(self.owner);
        found.or_else(|| examine(segment, segment.me().ok()?, self.owner, self.record.as_ref()))
    }
}

/// The end of a process of the family.
struct EndOfProcess {
    segment: &'static Segment,
    process: Tag,
    pid: u32,
    name: String,
}

impl graph::Resource for EndOfProcess {
    fn kind(&self) -> &'static str {
        "process"
    }

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn hold_elsewhere(&self) -> Option<HoldElsewhere> {
        hold_elsewhere(self.segment, Hold { process: self.process, name: MAIN, certain: true })
    }

    fn number(&self) -> Option<u64> {
        Some(self.pid.into())
    }
}

/// A thread that has joined a process for long. It waits elsewhere; this shows its wait and looks for deadlocks.
pub struct Join {
    // Goes before what it points to.
    patient: Patient,
    end: Box<EndOfProcess>,
}

impl Join {
    /// The wait of the calling thread for the end of a process, which is called `name`; None if that is not of its family.
    pub fn new(
        pid: u32,
        name: String,
        account: impl FnOnce(&dyn graph::Resource) -> wait::Account,
    ) -> Option<Self> {
        let segment = family::known_home()?;
        let me = segment.me().ok()?;
        let process = segment.members().find(|tag| *tag != me && segment.pid(*tag) == pid)?;
        let end = Box::new(EndOfProcess { segment, process, pid, name });
        let account = account(&*end);
        let thread = owner::current();
        let flags = flags_of_thread(thread) | if account.may_end { flag::MAY_END } else { 0 };
        let patient = Patient::new(segment, &end.awaited(thread), thread, flags, &account.text);
        Some(Self { patient, end })
    }

    /// Shows the wait, until this is dropped.
    pub fn show(&mut self) {
        let awaited = self.end.awaited(self.patient.owner);
        // SAFETY: what is waited for stays in its box, which goes after what is shown.
        unsafe { self.patient.show(&awaited) };
    }

    /// Whether the wait, which is shown, can never end, or looks so. Who goes on waiting then shows it again.
    pub fn examine(&self) -> Option<Deadlock> {
        self.patient.examine(self.end.segment)
    }
}

impl EndOfProcess {
    fn awaited(&self, thread: Owner) -> Awaited<'_> {
        let reference = Reference(PROCESS | u64::from(self.process.0));
        Awaited { resource: self, reference, caller: thread.to_bits() }
    }
}

/// A participant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Party {
    Here(Owner),
    There(Tag, u32),
}

/// For the graph of this process: the way from somebody who waits for something of this process alone leads to others.
fn beyond(owner: Owner, hold: HoldElsewhere) -> Option<Deadlock> {
    let segment = family::of(hold.family)?;
    examine(segment, segment.me().ok()?, owner, None)
}

/// Looks for a cycle through `owner`, whose wait is shown: to other processes, too, if there is a `record`. A certain one
/// condemns it: until it hides its wait or is pardoned, nobody else finds the same cycle.
fn examine(segment: &'static Segment, me: Tag, owner: Owner, record: Option<&Record>) -> Option<Deadlock> {
    if !owner.is_somebody() {
        return None;
    }
    owner::confirm_after_fork();
    let first = walk(segment, me, owner)?;
    let found = {
        let _inside = segment.header().verdict.enter(segment, me);
        step::at(step::Step::VerdictEntered);
        let found = walk(segment, me, owner).filter(|second| *second == first)?;
        if found.0.certainty == Certainty::Certain {
            graph::condemn_oneself(owner);
            record.into_iter().for_each(Record::hide);
        }
        step::at(step::Step::VerdictReached);
        found
    };
    step::at(step::Step::VerdictLeft);
    let (deadlock, processes) = found;
    let mut dead = processes.into_iter().filter(|process| segment.is_dead(*process)).peekable();
    if dead.peek().is_none() {
        return Some(deadlock);
    }
    dead.for_each(|process| segment.bury(process));
    graph::pardon(owner);
    None
}

/// Walks from `start`; the participants of a cycle through it, and the processes that they are of.
fn walk(segment: &'static Segment, me: Tag, start: Owner) -> Option<(Deadlock, Vec<Tag>)> {
    let mut found = Deadlock { steps: Vec::new(), certainty: Certainty::Certain, holder_ended: false };
    let (mut passed, mut processes) = (Vec::new(), Vec::new());
    let mut party = Party::Here(start);
    loop {
        let step = match party {
            Party::Here(owner) => obstacle_of(owner)?,
            Party::There(process, name) => {
                processes.push(process);
                account_of(segment, me, process, name)?
            }
        };
        if step.flags & flag::TIMED != 0 {
            return None;
        }
        let (next, certain) = match step.edge {
            Edge::HeldBy { holder, certain } => (Party::Here(holder), certain),
            Edge::RunsOn(thread) => (Party::Here(thread), true),
            Edge::HeldElsewhere(hold) if hold.family == segment.family() => {
                (Party::There(Tag(hold.process), hold.name), hold.certain)
            }
            Edge::HeldElsewhere(_) | Edge::AnyOf | Edge::Unheld => return None,
        };
        if !certain || step.flags & (flag::AWAITS | flag::MAY_END) != 0 {
            found.certainty = Certainty::Suspected;
        }
        found.steps.push(step);
        passed.push(party);
        if next == Party::Here(start) {
            // A cycle within this process is the business of its own graph.
            return (!processes.is_empty()).then_some((found, processes));
        }
        let ended = matches!(next, Party::Here(owner) if registry().standing(owner) != Standing::Alive);
        if ended || passed.contains(&next) {
            return None;
        }
        party = next;
    }
}

/// What somebody in another process waits for.
fn account_of(segment: &'static Segment, me: Tag, process: Tag, name: u32) -> Option<Step> {
    let is_it = |shown: &Shown| {
        if name == MAIN {
            return shown.wait.flags & flag::MAIN_THREAD != 0;
        }
        [shown.wait.waiter, shown.wait.caller].iter().any(|bits| Owner::from_bits(*bits).short() == name)
    };
    let shown = waits::of(segment, process).find(is_it).filter(|_| name != 0)?;
    let (hold, kind) = hold_of(segment, shown.wait.resource)?;
    let edge = if hold.process == me {
        hold_here(segment, hold).map(|hold| Edge::HeldBy { holder: hold.owner, certain: hold.certain })
    } else {
        hold_elsewhere(segment, hold).map(Edge::HeldElsewhere)
    };
    Some(Step {
        owner: Owner::NOBODY,
        sequence: shown.sequence,
        flags: shown.wait.flags,
        since: shown.wait.since,
        resource: shown.wait.resource.offset() + HEADER,
        kind,
        name: None,
        edge: edge?,
        account: Some(Account { pid: segment.pid(process), text: shown.text()? }),
    })
}
