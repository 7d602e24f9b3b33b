//! Who waits for whom, and when a cycle of waits can never end.
//!
//! Whoever is about to wait publishes what for, fences, looks once more whether it must wait, and then walks:
//! what I wait for → who holds it → what that one waits for → … The last edge of a cycle is always somebody's
//! joining a line, and whoever walks last sees all the others: no cycle is missed, and nobody polls. The
//! uncontended path publishes nothing.
//!
//! A cycle is believed when a second walk finds the same owners, the same holds and the same wait
//! sequences. An owner whose sequence did not change waited through both walks, so it released nothing in
//! between; where only the owner can release and no wait has a deadline, that makes the cycle permanent.
//! (Acquisition counters in the lock words are not needed for this argument.)
//!
//! Under the verdict gate the walker then condemns itself, so that of several who see the same cycle
//! exactly one becomes the victim.

mod crew;

use std::ops::ControlFlow;
use std::ptr::NonNull;

use crate::atomic::{Ordering, fence};
use crate::clock;
use crate::gate::{AfterFork, Gate};
use crate::made::Made;
use crate::owner::{self, Kind, Owner, Registry, Standing, flag, registry};
use crate::quiescence;
use crate::waiter::{Notice, Waiter};

pub use self::crew::Crew;

/// What can be waited for, as the graph sees it. Called inside a gate: it may only read atomics, and what stands behind a
/// gate of which PROTOCOL.md says so.
pub trait Resource: Sync {
    /// What it is, in the words of whoever made it: `"Lock"`.
    fn kind(&self) -> &'static str;
    /// The name it was given.
    fn name(&self) -> Option<&str> {
        None
    }
    /// Who holds it now, if that can be said and is of this process.
    fn hold(&self) -> Option<Hold> {
        None
    }
    /// Who holds it now, if that is of another process.
    fn hold_elsewhere(&self) -> Option<HoldElsewhere> {
        None
    }
    /// Where any of several can bring it about, and nobody else: shows each of them, nobody in the place of one who can't
    /// be named, until `show` has seen enough. False if it is not so.
    fn helpers(&self, _show: &mut dyn FnMut(Owner) -> ControlFlow<()>) -> bool {
        false
    }
    /// What every process knows it by, where it stands in memory that they share.
    fn number(&self) -> Option<u64> {
        None
    }
    /// Makes those who wait for it look around, where they sleep elsewhere than on their waiters.
    fn disturb(&self) {}
}

/// That somebody holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Who.
    pub owner: Owner,
    /// Whether nobody else can end the hold.
    pub certain: bool,
}

/// That somebody in another process holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldElsewhere {
    /// The family of processes in which the tag means something.
    pub family: u64,
    /// The process's tag there.
    pub process: u32,
    /// The process's id.
    pub pid: u32,
    /// Who in that process, by [`Owner::short`].
    pub name: u32,
    /// Whether nobody else can end the hold.
    pub certain: bool,
}

/// What stands beside an owner's slot: its innermost wait.
pub(crate) struct WaitFrame {
    waiting: Option<Frame>,
    /// A quiescent process chose this waiter to be the one that gives up.
    condemned: bool,
}

#[derive(Clone, Copy)]
struct Frame {
    resource: NonNull<dyn Resource>,
    waiter: NonNull<Waiter>,
}

// SAFETY: both pointers are only followed inside the owner's gate while the frame is there, and the waiting
// call takes the frame away, inside that gate, before either ends.
unsafe impl Send for WaitFrame {}

impl WaitFrame {
    pub(crate) const fn new() -> Self {
        Self { waiting: None, condemned: false }
    }
}

impl AfterFork for WaitFrame {
    fn after_fork(&mut self, torn: bool) {
        // A frame that is whole belongs to the surviving thread, or to a slot that nobody asks any more.
        if torn {
            *self = Self::new();
        }
    }
}

/// A published wait; dropping it takes it back. A thread's outer wait shows again then, if there was one (a
/// signal handler that waits inside an interrupted wait).
pub struct Published {
    owner: Owner,
    waiter: NonNull<Waiter>,
    outer: Option<Outer>,
}

/// A wait that is hidden by a later one of the same thread.
struct Outer {
    frame: Frame,
    flags: u32,
    since: u64,
}

/// Shows that `owner` waits for `resource`.
///
/// # Safety
/// As for [`publish_since`].
pub(crate) unsafe fn publish(
    owner: Owner,
    resource: &dyn Resource,
    waiter: &Waiter,
    flags: u32,
) -> Published {
    // SAFETY: by this function's own contract.
    unsafe { publish_since(owner, resource, waiter, flags, clock::now()) }
}

/// Shows that `owner` has waited for `resource` since `since`, on the monotonic clock.
///
/// # Safety
/// `resource` and `waiter` outlive what this returns, which is dropped and not leaked. Without
/// [`flag::AWAITS`], an owner's publications are dropped in the opposite order of their making.
pub unsafe fn publish_since(
    owner: Owner,
    resource: &dyn Resource,
    waiter: &Waiter,
    flags: u32,
    since: u64,
) -> Published {
    // SAFETY: only the lifetime is erased, and the caller promises it.
    let resource: NonNull<dyn Resource> = unsafe { std::mem::transmute(NonNull::from(resource)) };
    let frame = Frame { resource, waiter: NonNull::from(waiter) };
    let mut published = Published { owner, waiter: frame.waiter, outer: None };
    if let Some(place) = published.place() {
        let registry = registry();
        registry.published.fetch_add(1, Ordering::Relaxed);
        let mut place = place.enter();
        let fields = registry.read_wait(owner);
        let outer = place.waiting.replace(frame);
        // A task's futures may end in any order, so a hidden one is not to be come back to.
        if flags & flag::AWAITS == 0 {
            let hidden = outer.zip(fields);
            published.outer =
                hidden.map(|(frame, fields)| Outer { frame, flags: fields.flags, since: fields.since });
        }
        registry.write_wait(owner, frame.id(), flags, since);
    }
    fence(Ordering::SeqCst);
    published
}

impl Frame {
    fn id(&self) -> u64 {
        self.resource.as_ptr().cast::<()>() as u64
    }
}

impl Published {
    /// Whether this waiter was chosen to give up; asking again says no.
    pub(crate) fn take_condemned(&self) -> bool {
        let Some(place) = self.place() else { return false };
        std::mem::take(&mut place.enter().condemned)
    }

    fn place(&self) -> Option<&'static Gate<WaitFrame>> {
        self.owner.is_somebody().then(|| registry().frame(self.owner)).flatten()
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        let Some(place) = self.place() else { return };
        let registry = registry();
        registry.published.fetch_sub(1, Ordering::Relaxed);
        let mut place = place.enter();
        if place.waiting.is_none_or(|shown| shown.waiter != self.waiter) {
            return;
        }
        let outer = self.outer.take();
        let (id, flags, since) =
            outer.as_ref().map_or((0, 0, 0), |outer| (outer.frame.id(), outer.flags, outer.since));
        place.waiting = outer.map(|outer| outer.frame);
        place.condemned = false;
        registry.write_wait(self.owner, id, flags, since);
    }
}

/// Why somebody in a cycle can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// It waits for what `holder` holds.
    HeldBy {
        /// Who holds it.
        holder: Owner,
        /// Whether only the holder can end the hold.
        certain: bool,
    },
    /// It waits for what somebody in another process holds.
    HeldElsewhere(HoldElsewhere),
    /// It is a task whose event loop's thread is blocked.
    RunsOn(Owner),
    /// It waits for what any of several could bring about.
    AnyOf,
    /// It waits for something that has no holder (seen in dumps, never in a cycle).
    Unheld,
}

/// One participant: who, waiting for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Who waits.
    pub owner: Owner,
    /// Its wait's sequence number: unchanged means the same wait.
    pub sequence: u64,
    /// The bits of [`flag`].
    pub flags: u32,
    /// Since when, on the monotonic clock.
    pub since: u64,
    /// Where the thing that is waited for stands in memory, or its number where processes share it.
    pub resource: u64,
    /// What kind of thing that is.
    pub kind: &'static str,
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// What keeps the wait from ending.
    pub edge: Edge,
    /// What a participant of another process has left to be read, who is nobody here.
    pub account: Option<Account>,
}

/// What somebody in another process tells of its wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The process's id.
    pub pid: u32,
    /// Who waits, for what, and where it stands: a line each.
    pub text: String,
}

/// How sure it is that the waits can't end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// Nothing outside can end any of them.
    Certain,
    /// Somebody outside may: release a lock that anyone may release, cancel a task.
    Suspected,
    /// Nothing in the process can move any more.
    Quiescent,
}

/// A finding: these wait for each other, or the last of them for one who has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlock {
    /// Who takes part. The first is the one who found it.
    pub steps: Vec<Step>,
    /// How sure it is.
    pub certainty: Certainty,
    /// The holder that the first waits for has ended while holding.
    pub holder_ended: bool,
}

/// What `owner` waits for now; `None` if it does not wait, or was already told that it need not.
pub fn wait_of(owner: Owner) -> Option<Step> {
    wait_in(registry(), owner)
}

fn wait_in(registry: &Registry, owner: Owner) -> Option<Step> {
    wait_with(registry, owner, |resource| resource.name().map(str::to_owned))
}

/// A name stands in memory of its own, so not everybody asks for it.
fn wait_with(
    registry: &Registry,
    owner: Owner,
    name: impl FnOnce(&dyn Resource) -> Option<String>,
) -> Option<Step> {
    let place = registry.frame(owner)?.enter();
    let frame = place.waiting?;
    let fields = registry.read_wait(owner)?;
    // SAFETY: inside the gate, what the frame points to is alive.
    let (resource, waiter) = unsafe { (frame.resource.as_ref(), frame.waiter.as_ref()) };
    if place.condemned || waiter.notice() != Notice::Waiting {
        return None;
    }
    let edge = match resource.hold() {
        Some(Hold { owner: holder, certain }) => Edge::HeldBy { holder, certain },
        None => match resource.hold_elsewhere() {
            Some(hold) => Edge::HeldElsewhere(hold),
            None if resource.helpers(&mut |_| ControlFlow::Break(())) => Edge::AnyOf,
            None => Edge::Unheld,
        },
    };
    Some(Step {
        owner,
        sequence: fields.sequence,
        flags: fields.flags,
        since: fields.since,
        resource: resource.number().unwrap_or_else(|| frame.id()),
        kind: resource.kind(),
        name: name(resource),
        edge,
        account: None,
    })
}

/// Whether the thread `owner` is blocked without a deadline.
fn blocked_for_good(registry: &Registry, owner: Owner) -> Option<Step> {
    wait_with(registry, owner, |_| None).filter(|step| step.flags & (flag::TIMED | flag::AWAITS) == 0)
}

/// Where the way from somebody comes to an end.
enum End {
    /// Where [`walk`] would return something.
    Back,
    /// With somebody in another process.
    Elsewhere(HoldElsewhere),
    /// With what any of several could bring about, all of whom wait.
    AnyOf,
    Open,
}

/// Every wait without a deadline asks, and nearly always the answer is `Open`: this allocates nothing.
fn end_of_way(registry: &Registry, start: Owner) -> End {
    // A cycle further on is noticed when the way comes by the mark again, which moves ever more rarely.
    let (mut owner, mut mark) = (start, start);
    let (mut passed, mut patience) = (0_u32, 1);
    loop {
        let Some(step) = step_with(registry, owner, |_| None) else { return End::Open };
        if step.flags & flag::TIMED != 0 {
            return End::Open;
        }
        let next = match step.edge {
            Edge::HeldBy { holder, .. } => holder,
            Edge::RunsOn(thread) => thread,
            Edge::HeldElsewhere(hold) => return End::Elsewhere(hold),
            Edge::AnyOf => {
                let all_wait = crew::helpers_of(registry, owner, step.sequence).is_some();
                return if all_wait { End::AnyOf } else { End::Open };
            }
            Edge::Unheld => return End::Open,
        };
        if next == start || registry.standing(next) == Standing::Ended {
            return if next == start || owner == start { End::Back } else { End::Open };
        }
        if next == mark {
            return End::Open;
        }
        passed += 1;
        if passed == patience {
            (mark, passed, patience) = (next, 0, patience.saturating_mul(2));
        }
        owner = next;
    }
}

/// Follows the ways that lead out of this process.
pub type Beyond = fn(Owner, HoldElsewhere) -> Option<Deadlock>;
static BEYOND: Made<Beyond> = Made::nothing();

/// From now on, waits of this process have `beyond` look where a way leads to another process. The first one stays.
pub fn look_beyond(beyond: Beyond) {
    BEYOND.get_or_make(|| Box::new(beyond));
}

/// What keeps `owner` of this process from going on, as [`wait_of`] or because its event loop's thread is blocked.
pub fn obstacle_of(owner: Owner) -> Option<Step> {
    step_of(registry(), owner)
}

/// Walks from `start`; returns the participants of a cycle through it.
fn walk(registry: &Registry, start: Owner) -> Option<Deadlock> {
    let mut found = Deadlock { steps: Vec::new(), certainty: Certainty::Certain, holder_ended: false };
    let mut owner = start;
    loop {
        let step = step_of(registry, owner)?;
        let (next, certain) = match step.edge {
            Edge::HeldBy { holder, certain } => (holder, certain && step.flags & flag::AWAITS == 0),
            Edge::RunsOn(thread) => (thread, true),
            Edge::HeldElsewhere(_) | Edge::AnyOf | Edge::Unheld => return None,
        };
        if step.flags & flag::TIMED != 0 {
            return None;
        }
        if !certain {
            found.certainty = Certainty::Suspected;
        }
        found.steps.push(step);
        if next == start {
            return Some(found);
        }
        if registry.standing(next) == Standing::Ended {
            // Its direct waiter will be told; those behind that one wait for somebody who can still act.
            found.holder_ended = true;
            return (owner == start).then_some(found);
        }
        // A cycle further on that start is not part of, which its own members have found.
        if found.steps.iter().any(|step| step.owner == next) {
            return None;
        }
        owner = next;
    }
}

/// What keeps `owner` from going on. A task can't while its loop's thread is blocked, whatever it awaits.
fn step_of(registry: &Registry, owner: Owner) -> Option<Step> {
    step_with(registry, owner, |resource| resource.name().map(str::to_owned))
}

fn step_with(
    registry: &Registry,
    owner: Owner,
    name: impl FnOnce(&dyn Resource) -> Option<String>,
) -> Option<Step> {
    if registry.kind(owner) == Kind::Task {
        let home = registry.home(owner);
        if let Some(blocked) = blocked_for_good(registry, home) {
            let edge = Edge::RunsOn(home);
            return Some(Step { owner, edge, kind: "event loop", name: None, ..blocked });
        }
    }
    wait_with(registry, owner, name)
}

/// Nothing: its gate alone matters.
pub(crate) struct Verdict;

impl AfterFork for Verdict {
    fn after_fork(&mut self, _torn: bool) {}
}

/// Looks for a cycle through `owner`, which has published its wait, here and [beyond](look_beyond). A certain one
/// condemns `owner`: until it withdraws or [`pardon`]s itself, nobody else finds the same cycle.
pub(crate) fn examine(owner: Owner) -> Option<Deadlock> {
    examine_ways(owner, |hold| BEYOND.get().and_then(|beyond| beyond(owner, hold)))
}

/// The same for cycles within this process alone.
pub fn examine_here(owner: Owner) -> Option<Deadlock> {
    examine_ways(owner, |_| None)
}

fn examine_ways(owner: Owner, beyond: impl FnOnce(HoldElsewhere) -> Option<Deadlock>) -> Option<Deadlock> {
    if !owner.is_somebody() {
        return None;
    }
    owner::confirm_after_fork();
    let registry = registry();
    let walk = match end_of_way(registry, owner) {
        End::Back => walk,
        End::AnyOf => crew::walk,
        End::Elsewhere(hold) => return beyond(hold),
        End::Open => return None,
    };
    let first = walk(registry, owner)?;
    let _verdict = registry.verdict.enter();
    let second = walk(registry, owner)?;
    if !same(&first, &second) {
        return None;
    }
    if second.certainty == Certainty::Certain {
        condemn_oneself(owner);
    }
    Some(second)
}

fn same(first: &Deadlock, second: &Deadlock) -> bool {
    first == second
}

/// Condemns `owner`, which takes part in a cycle that somebody else has found: until it withdraws or [`pardon`]s itself, it
/// is no part of any.
pub fn condemn_oneself(owner: Owner) {
    if let Some(place) = registry().frame(owner) {
        place.enter().condemned = true;
    }
}

/// Takes the condemnation of `owner` back: it goes on waiting.
pub fn pardon(owner: Owner) {
    if let Some(place) = registry().frame(owner) {
        place.enter().condemned = false;
    }
}

/// Makes the waiter of `step` the one that gives up, if it still waits as it did then.
pub(crate) fn condemn(step: &Step) -> bool {
    with_waiter(step, |place, waiter| {
        place.condemned = true;
        waiter.poke();
    })
}

fn with_waiter(step: &Step, act: impl FnOnce(&mut WaitFrame, &Waiter)) -> bool {
    let registry = registry();
    let Some(place) = registry.frame(step.owner) else { return false };
    let mut place = place.enter();
    let Some(frame) = place.waiting else { return false };
    if registry.read_wait(step.owner).map(|wait| wait.sequence) != Some(step.sequence) {
        return false;
    }
    // SAFETY: inside the gate, what the frame points to is alive.
    let waiter = unsafe { frame.waiter.as_ref() };
    let waits = waiter.notice() == Notice::Waiting;
    if waits {
        act(&mut place, waiter);
    }
    waits
}

/// Lets those who wait for something that `ended` holds look again: nobody else will tell them.
pub(crate) fn owner_ended(ended: Owner) {
    let registry = registry();
    // Its slot was given back before: whoever publishes too late to be seen here sees that.
    fence(Ordering::SeqCst);
    if registry.published.load(Ordering::Relaxed) == 0 {
        return;
    }
    for owner in registry.owners() {
        let Some(place) = registry.frame(owner) else { continue };
        let place = place.enter();
        let Some(frame) = place.waiting else { continue };
        // SAFETY: inside the gate, what the frame points to is alive.
        let (resource, waiter) = unsafe { (frame.resource.as_ref(), frame.waiter.as_ref()) };
        if resource.hold().is_some_and(|hold| hold.owner == ended) {
            waiter.poke();
            resource.disturb();
        }
    }
    if quiescence::has_chosen() {
        if let Some(longest) = quiescence::sleepers().first() {
            poke(longest);
        }
    }
}

/// Whether the thread `owner` is blocked here. Nobody is not.
pub(crate) fn is_blocked(owner: Owner) -> bool {
    owner.is_somebody() && registry().read_wait(owner).is_some_and(|wait| wait.flags & flag::AWAITS == 0)
}

/// Lets the thread `owner` look around if it is blocked here: something that it may wait for has changed hands.
pub(crate) fn poke_if_blocked(owner: Owner) {
    if is_blocked(owner) {
        if let Some(step) = wait_of(owner) {
            poke(&step);
        }
    }
}

/// Lets the waiter of `step` look around, if it still waits as it did then.
fn poke(step: &Step) {
    with_waiter(step, |place, waiter| {
        waiter.poke();
        // SAFETY: inside the gate, what the frame points to is alive.
        place.waiting.iter().for_each(|frame| unsafe { frame.resource.as_ref() }.disturb());
    });
}

/// Everybody in this process who waits in oneloom now, longest first.
pub fn waits() -> Vec<Step> {
    let registry = registry();
    let mut steps: Vec<_> =
        registry.owners().into_iter().filter_map(|owner| wait_in(registry, owner)).collect();
    steps.sort_by_key(|step| step.since);
    steps
}
