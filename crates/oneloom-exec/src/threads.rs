//! The jobs of a thread pool: what waits to be done, who waits for something to do, and whether more hands are wanted.
//!
//! Who starts threads, and what a job is, is the embedding's affair: a worker asks [`Jobs::take`], and where there is
//! nothing it sleeps in a [`WaitCall`]. A *hungry* worker has no job: it is being started, looks, or sleeps.
//!
//! - A job wants another worker when there are more jobs than hungry workers, and room for one.
//! - Nobody is woken while another hungry worker is awake: that one takes the job, and wakes the next if there is
//!   more to do. So a burst of tiny jobs wakes one worker, and long ones wake as many as there are.
//!
//! So while there are jobs, some hungry worker is awake, or all that are hungry were told to look.
//!
//! Who waits for a job that nobody has begun waits for the [`Jobs::crew`]: in vain when each worker there may be is stuck.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;

use oneloom_sync::raw::line::Line;
use oneloom_wait::atomic::{AtomicUsize, Ordering};
use oneloom_wait::fork;
use oneloom_wait::gate::{AfterFork, Gate, Inside};
use oneloom_wait::graph::{Crew, Resource};
use oneloom_wait::owner::Owner;
use oneloom_wait::wait::{Call, Primitive};
use oneloom_wait::waiter::{Notice, WaiterList, Wakes};

/// The jobs of one pool.
pub struct Jobs<J> {
    state: Gate<State<J>>,
    /// How many jobs there are, with [`CLOSED`]; written inside the gate, read as a hint.
    hint: AtomicUsize,
    /// Who works here, by seat. As many as there may be.
    crew: Arc<Crew>,
}

/// In the hint: there will be no more.
const CLOSED: usize = 1 << (usize::BITS - 1);
/// Room for more jobs than this is given back when the last one was taken: a million have left it that nobody may need again.
const ROOMY: usize = 4096;

/// What stands behind the gate.
pub struct State<J> {
    jobs: VecDeque<J>,
    sleepers: Line,
    /// How many workers sleep and were not told to look: who joins the line counts itself, who wakes one uncounts it.
    asleep: usize,
    /// How many workers have no job, asleep or awake.
    hungry: usize,
    /// Which seats are taken.
    seats: Vec<bool>,
    workers: usize,
    closed: bool,
}

impl<J> AfterFork for State<J> {
    fn after_fork(&mut self, torn: bool) {
        // The parent's workers do the parent's jobs. Those that stand here are not dropped, which would run foreign code.
        self.sleepers.waiters.forget();
        std::mem::forget(std::mem::take(&mut self.jobs));
        (self.asleep, self.hungry, self.workers) = (0, 0, 0);
        if torn {
            std::mem::forget(std::mem::take(&mut self.seats));
        }
        self.seats.clear();
    }
}

impl<J> State<J> {
    /// Wakes a sleeper, if there is work for it that nobody awake is about to take.
    fn rouse(&mut self, wakes: &mut Wakes) {
        if !self.jobs.is_empty() && self.hungry == self.asleep && self.sleepers.waiters.wake_first(wakes) {
            self.asleep -= 1;
        }
    }
}

/// A worker's place in a pool. Given back by [`Jobs::leave`], or by [`Jobs::give_back`].
#[derive(Debug)]
pub struct Seat {
    index: usize,
    hungry: bool,
    /// The fork generation that it belongs to: in a child the parent's workers are none.
    born: u32,
}

impl Seat {
    /// Its number: below [`Jobs::most_workers`], and no other worker's at the same time.
    pub fn index(&self) -> usize {
        self.index
    }
}

/// What a worker gets.
#[derive(Debug)]
pub enum Taken<J> {
    /// Something to do.
    Job(J),
    /// Nothing now: to wait for something with [`WaitCall`].
    Nothing,
    /// Nothing any more: the worker is to leave.
    End,
}

impl<J: Send> Jobs<J> {
    /// No jobs yet, for at most `workers` workers.
    pub fn new(workers: usize) -> Self {
        let state = State {
            jobs: VecDeque::new(),
            sleepers: Line::new(),
            asleep: 0,
            hungry: 0,
            seats: Vec::new(),
            workers: 0,
            closed: false,
        };
        Self { state: Gate::new(state), hint: AtomicUsize::new(0), crew: Arc::new(Crew::new(workers.max(1))) }
    }

    fn enter(&self) -> Changing<'_, J> {
        Changing { state: self.state.enter(), hint: &self.hint }
    }

    /// Adds a job. With a seat the caller has to start a worker that takes it.
    ///
    /// # Errors
    /// The job, after [`Self::close`].
    #[inline]
    pub fn add(&self, job: J) -> Result<Option<Seat>, J> {
        // Before the gate, so that it fires when that is left.
        let mut wakes = Wakes::new();
        let mut state = self.enter();
        if state.closed {
            return Err(job);
        }
        state.jobs.push_back(job);
        state.rouse(&mut wakes);
        Ok(self.more_hands(&mut state))
    }

    /// A seat for one more worker, if there is more to do than hands for it.
    fn more_hands(&self, state: &mut State<J>) -> Option<Seat> {
        let wanted = state.jobs.len() > state.hungry && state.workers < self.crew.len();
        wanted.then(|| self.reserve(state))
    }

    fn reserve(&self, state: &mut State<J>) -> Seat {
        let free = state.seats.iter().position(|taken| !taken);
        let index = free.unwrap_or_else(|| {
            state.seats.push(false);
            state.seats.len() - 1
        });
        state.seats[index] = true;
        self.crew.seat(index, Owner::NOBODY);
        state.workers += 1;
        state.hungry += 1;
        Seat { index, hungry: true, born: fork::generation() }
    }

    /// Says who works in a seat.
    pub fn sit(&self, seat: &Seat, worker: Owner) {
        if seat.born == fork::generation() {
            self.crew.seat(seat.index, worker);
        }
    }

    /// Takes a job, without waiting.
    #[inline]
    pub fn take(&self, seat: &mut Seat) -> Taken<J> {
        // Both before the gate, so that it is left by then.
        let (mut wakes, mut _room) = (Wakes::new(), VecDeque::new());
        let mut state = self.enter();
        if seat.born != fork::generation() {
            return Taken::End;
        }
        match state.jobs.pop_front() {
            Some(job) => {
                if state.jobs.is_empty() && state.jobs.capacity() > ROOMY {
                    _room = std::mem::take(&mut state.jobs);
                }
                if std::mem::take(&mut seat.hungry) {
                    state.hungry -= 1;
                }
                state.rouse(&mut wakes);
                Taken::Job(job)
            }
            None if state.closed => Taken::End,
            None => {
                if !std::mem::replace(&mut seat.hungry, true) {
                    state.hungry += 1;
                }
                Taken::Nothing
            }
        }
    }

    /// A worker ends. With a seat the caller has to start another in its place.
    pub fn leave(&self, seat: Seat) -> Option<Seat> {
        let mut wakes = Wakes::new();
        let mut state = self.enter();
        self.stand_up(&mut state, seat, &mut wakes).then(|| self.more_hands(&mut state)).flatten()
    }

    /// No worker could be started for a seat. What waits is left to others, or to who comes with the next job.
    pub fn give_back(&self, seat: Seat) {
        let mut wakes = Wakes::new();
        self.stand_up(&mut self.enter(), seat, &mut wakes);
    }

    /// Frees a seat. False if it is the parent's.
    fn stand_up(&self, state: &mut State<J>, seat: Seat, wakes: &mut Wakes) -> bool {
        if seat.born != fork::generation() {
            return false;
        }
        self.crew.seat(seat.index, Owner::NOBODY);
        state.seats[seat.index] = false;
        state.workers -= 1;
        if seat.hungry {
            state.hungry -= 1;
        }
        // It may have been the one awake for whom others were let sleep.
        state.rouse(wakes);
        true
    }

    /// No job is added from now on; workers end once there is none left.
    pub fn close(&self) {
        let mut wakes = Wakes::new();
        let mut state = self.enter();
        state.closed = true;
        state.sleepers.waiters.wake_all(&mut wakes);
        state.asleep = 0;
    }

    /// Takes out all that nobody has begun.
    pub fn drain(&self) -> VecDeque<J> {
        std::mem::take(&mut self.enter().jobs)
    }

    /// Whether [`Self::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.hint.load(Ordering::Relaxed) & CLOSED != 0
    }

    /// How many jobs nobody has begun.
    pub fn len(&self) -> usize {
        self.hint.load(Ordering::Relaxed) & !CLOSED
    }

    /// Whether all jobs were begun.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many workers there may be.
    pub fn most_workers(&self) -> usize {
        self.crew.len()
    }

    /// How many workers there are, those that are being started included.
    pub fn workers(&self) -> usize {
        self.enter().workers
    }

    /// Who might begin a job that stands here.
    pub fn crew(&self) -> &Arc<Crew> {
        &self.crew
    }
}

/// The inside of the gate; leaving writes the hint.
struct Changing<'a, J> {
    state: Inside<'a, State<J>>,
    hint: &'a AtomicUsize,
}

impl<J> std::ops::Deref for Changing<'_, J> {
    type Target = State<J>;

    fn deref(&self) -> &State<J> {
        &self.state
    }
}

impl<J> std::ops::DerefMut for Changing<'_, J> {
    fn deref_mut(&mut self) -> &mut State<J> {
        &mut self.state
    }
}

impl<J> Drop for Changing<'_, J> {
    fn drop(&mut self) {
        let closed = if self.state.closed { CLOSED } else { 0 };
        self.hint.store(self.state.jobs.len() | closed, Ordering::Release);
    }
}

impl<J: Send> Resource for Jobs<J> {
    fn kind(&self) -> &'static str {
        "work of a thread pool"
    }
}

impl<J: Send> Primitive for Jobs<J> {
    type State = State<J>;

    fn gate(&self) -> &Gate<State<J>> {
        &self.state
    }
}

/// Waiting until it is worth to [`Jobs::take`] again; for a worker that has found nothing.
pub struct WaitCall<J>(PhantomData<fn(J)>);

impl<J> Default for WaitCall<J> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<J: Send> Call for WaitCall<J> {
    type Primitive = Jobs<J>;
    type Output = ();
    // Its caches are warm, and it may still be spinning when the next job comes.
    const NEWEST_FIRST: bool = true;

    fn line<'s>(&self, state: &'s mut State<J>) -> &'s mut WaiterList {
        &mut state.sleepers.waiters
    }

    fn looks_ready(&self, jobs: &Jobs<J>) -> bool {
        jobs.hint.load(Ordering::Acquire) != 0
    }

    fn attempt(&mut self, jobs: &Jobs<J>) -> Option<()> {
        self.looks_ready(jobs).then_some(())
    }

    fn attempt_or_enlist(&mut self, _jobs: &Jobs<J>, state: &mut State<J>, _wakes: &mut Wakes) -> Option<()> {
        if !state.jobs.is_empty() || state.closed {
            return Some(());
        }
        state.asleep += 1;
        state.sleepers.count_wait();
        None
    }

    fn granted(&mut self, _jobs: &Jobs<J>, _token: u32) -> Option<()> {
        Some(())
    }

    /// Awake it is still hungry: it is to take, or to leave.
    fn withdraw(&mut self, _jobs: &Jobs<J>, state: &mut State<J>, notice: Notice, _wakes: &mut Wakes) {
        if notice == Notice::Waiting {
            state.asleep -= 1;
        }
        state.sleepers.count_withdrawal();
    }
}

#[cfg(test)]
mod tests {
    use oneloom_wait::clock::Deadline;
    use oneloom_wait::wait::block;

    use super::{Jobs, Seat, Taken, WaitCall};

    fn take(jobs: &Jobs<u32>, seat: &mut Seat) -> Option<u32> {
        match jobs.take(seat) {
            Taken::Job(job) => Some(job),
            Taken::Nothing | Taken::End => None,
        }
    }

    #[test]
    fn a_job_wants_a_worker_where_no_hungry_one_is_left_for_it() {
        let jobs = Jobs::new(2);
        let mut first = jobs.add(1).expect("open").expect("nobody is there yet");
        let second = jobs.add(2).expect("open").expect("the first is for the first job");
        assert!(jobs.add(3).expect("open").is_none(), "there may be two");
        assert_eq!(take(&jobs, &mut first), Some(1));
        assert_eq!(take(&jobs, &mut first), Some(2));
        assert_eq!(take(&jobs, &mut first), Some(3));
        assert_eq!(take(&jobs, &mut first), None);
        assert!(jobs.add(4).expect("open").is_none(), "two are hungry");
        assert!(jobs.leave(second).is_none(), "one is left for one job");
        assert_eq!(jobs.workers(), 1);
    }

    #[test]
    fn a_worker_that_leaves_with_jobs_behind_it_is_replaced() {
        let jobs = Jobs::new(1);
        let mut seat = jobs.add(1).expect("open").expect("nobody is there yet");
        assert!(jobs.add(2).expect("open").is_none());
        assert_eq!(take(&jobs, &mut seat), Some(1));
        let mut next = jobs.leave(seat).expect("a job is left");
        assert_eq!(take(&jobs, &mut next), Some(2));
        assert!(jobs.leave(next).is_none());
    }

    #[test]
    fn a_seat_for_which_no_worker_could_be_started_is_given_back() {
        let jobs = Jobs::new(2);
        let seat = jobs.add(1).expect("open").expect("nobody is there yet");
        jobs.give_back(seat);
        assert_eq!((jobs.workers(), jobs.len()), (0, 1));
        let mut seat = jobs.add(2).expect("open").expect("nobody is there yet");
        assert_eq!((take(&jobs, &mut seat), take(&jobs, &mut seat)), (Some(1), Some(2)));
    }

    #[test]
    fn room_for_many_jobs_is_given_back() {
        let jobs = Jobs::new(1);
        let mut seat = jobs.add(0).expect("open").expect("nobody is there yet");
        (1..10_000).for_each(|job| assert!(jobs.add(job).expect("open").is_none()));
        (0..10_000).for_each(|job| assert_eq!(take(&jobs, &mut seat), Some(job)));
        assert_eq!(jobs.enter().jobs.capacity(), 0);
    }

    #[test]
    fn who_sleeps_is_woken_by_a_job_and_by_the_end() {
        let jobs = Jobs::new(4);
        let done = Jobs::new(1);
        std::thread::scope(|scope| {
            let work = |mut seat: Seat| {
                loop {
                    match jobs.take(&mut seat) {
                        Taken::Job(job) => drop(done.add(job)),
                        Taken::Nothing => {
                            let mut call = WaitCall::default();
                            let _ = block(
                                &jobs,
                                &mut call,
                                Deadline::Never,
                                &mut oneloom_sync::environment::Patient,
                            );
                        }
                        Taken::End => break assert!(jobs.leave(seat).is_none()),
                    }
                }
            };
            for job in 0..10_000_u32 {
                if let Some(seat) = jobs.add(job).expect("open") {
                    scope.spawn(move || work(seat));
                }
            }
            jobs.close();
            assert!(jobs.add(0).is_err());
        });
        let mut all: Vec<u32> = done.drain().into();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..10_000));
        assert_eq!(jobs.workers(), 0);
    }
}
