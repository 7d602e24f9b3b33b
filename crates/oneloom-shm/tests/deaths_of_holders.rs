//! Processes that die by SIGKILL while they hold what they have taken, share it with a child by a fork, or let go of it:
//! whoever lives keeps what it holds, and when nobody does the memory is given back.

// ThreadSanitizer does not survive a fork.
#![cfg(not(any(loom, shuttle, oneloom_tsan)))]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use oneloom_shm::arena::{self, Kind};
use oneloom_shm::flow::GetCall;
use oneloom_shm::held::Held;
use oneloom_shm::payload::Item;
use oneloom_shm::queue::Queue;
use oneloom_shm::segment::Segment;
use oneloom_shm::step::{Step, kill_at};
use oneloom_shm::wait::block;
use support::matrix::{killed, kills, note};
use support::*;

/// Of these lengths items are large, and in two sizes of blocks.
const ITEMS: [u64; 3] = [5, 10, 15];

/// What parent, child and grandchild tell each other.
struct Board(&'static [AtomicU64]);

const READER_HOLDS: usize = 0;
const CHILD_HOLDS: usize = 1;
const READER_MAY_LEAVE: usize = 2;
const READER_LEFT: usize = 3;
const CHILD_MAY_LEAVE: usize = 4;
/// How the child ended, as its parent saw it, plus `ENDED`.
const CHILD_ENDED: usize = 5;
const ENDED: i32 = 1000;
const CHILD_PID: usize = 6;

impl Board {
    fn tell(&self, what: usize) {
        self.0[what].store(1, Ordering::SeqCst);
    }

    fn wait_for(&self, what: usize, mut meanwhile: impl FnMut()) {
        let started = Instant::now();
        while self.0[what].load(Ordering::SeqCst) == 0 {
            assert!(started.elapsed() < PATIENCE, "nobody says {what}");
            meanwhile();
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

fn take(queue: &Queue) -> Held {
    let mut call = GetCall { queue, buffer: Vec::new() };
    match block(&mut call, soon(), &mut Plainly).expect("in time").expect("not shut down") {
        Item::Large(payload) => Held::new(payload),
        Item::Small { .. } => panic!("a small item"),
    }
}

fn check(held: &[Held]) {
    for (held, number) in held.iter().zip(ITEMS) {
        assert_eq!(number_of(held.bytes().expect("a sound segment")), number);
    }
}

/// Who is killed, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The reader, before it has forked.
    Forking(Step),
    /// The child, before its fork returns.
    Born(Step),
    /// The reader, when its fork has returned, and the child at any instant then.
    Forked,
    /// The reader, while it lets go and the child does not.
    ReaderLeaves(Step),
    /// The child, while it lets go and the reader does not.
    ChildLeaves(Step),
    /// The child, while it lets go as the last.
    LastLeaves(Step),
}

/// The reader: takes the items, forks, and lets go.
fn read(queue: &Queue, board: &Board, fate: Fate, passes: u32) -> i32 {
    let mut held: Vec<_> = ITEMS.map(|_| take(queue)).into();
    if let Fate::Forking(step) | Fate::Born(step) = fate {
        kill_at(step, passes);
    }
    let child = Child::start(|| {
        board.0[CHILD_PID].store(u64::from(std::process::id()), Ordering::SeqCst);
        check(&held);
        board.tell(CHILD_HOLDS);
        board.wait_for(CHILD_MAY_LEAVE, || check(&held));
        if let Fate::ChildLeaves(step) | Fate::LastLeaves(step) = fate {
            kill_at(step, passes);
        }
        held.clear();
        0
    });
    if fate == Fate::Forked {
        // SAFETY: a signal to oneself.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
    kill_at(Step::None, 0);
    let mut ended = None;
    let mut look = || {
        if ended.is_none() {
            ended = child.ended();
            board.0[CHILD_ENDED].store(ended.map_or(0, |status| (status + ENDED) as u64), Ordering::SeqCst);
        }
    };
    board.tell(READER_HOLDS);
    board.wait_for(READER_MAY_LEAVE, || {
        check(&held);
        look();
    });
    if let Fate::ReaderLeaves(step) = fate {
        kill_at(step, passes);
    }
    check(&held);
    held.clear();
    board.tell(READER_LEFT);
    board.wait_for(CHILD_ENDED, look);
    0
}

struct Scene {
    queue: Queue,
    segment: &'static Segment,
}

impl Scene {
    fn new() -> Self {
        // The children of those who die become children of this process.
        // SAFETY: no pointers.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) }, 0);
        let segment = Segment::create(0).expect("a segment");
        Self { queue: Queue::new(segment, 0).expect("a queue"), segment }
    }

    /// Gives back what the dead had, and uses memory of the sizes that are held: whatever is free is written over.
    fn churn(&self) {
        let me = self.segment.me().expect("a place");
        arena::sweep(self.segment, me).expect("a sound segment");
        let others = ITEMS.map(|number| number + 70);
        others.iter().for_each(|number| put(&self.queue, &item(*number)));
        others.iter().for_each(|number| assert_eq!(number_of(&get(&self.queue)), *number));
    }

    fn round(&self, fate: Fate, passes: u32) {
        let board = Board(shared_numbers(8));
        ITEMS.iter().for_each(|number| put(&self.queue, &item(*number)));
        let reader = Child::start(|| read(&self.queue, &board, fate, passes));
        if matches!(fate, Fate::ReaderLeaves(_) | Fate::ChildLeaves(_) | Fate::LastLeaves(_)) {
            board.wait_for(READER_HOLDS, || {});
            board.wait_for(CHILD_HOLDS, || {});
        }
        match fate {
            Fate::Forking(_) => {
                assert_eq!(reader.join(), -libc::SIGKILL);
            }
            Fate::Forked | Fate::ReaderLeaves(_) => {
                board.tell(READER_MAY_LEAVE);
                assert_eq!(reader.join(), -libc::SIGKILL);
                board.wait_for(CHILD_HOLDS, || self.churn());
                self.churn();
                board.tell(CHILD_MAY_LEAVE);
                let child = Child::adopted(board.0[CHILD_PID].load(Ordering::SeqCst) as i32);
                assert_eq!(child.join(), 0, "the child of the dead");
            }
            Fate::Born(_) | Fate::ChildLeaves(_) | Fate::LastLeaves(_) => {
                if let Fate::LastLeaves(_) = fate {
                    board.tell(READER_MAY_LEAVE);
                    board.wait_for(READER_LEFT, || {});
                    self.churn();
                }
                board.tell(CHILD_MAY_LEAVE);
                board.wait_for(CHILD_ENDED, || {});
                self.churn();
                board.tell(READER_MAY_LEAVE);
                assert_eq!(reader.join(), 0, "the parent of the dead");
                assert_eq!(board.0[CHILD_ENDED].load(Ordering::SeqCst) as i32 - ENDED, -libc::SIGKILL);
            }
        }
        self.churn();
        for kind in [Kind::Payload, Kind::Holding] {
            assert_eq!(arena::in_use(self.segment, kind).count(), 0, "{kind:?} is left behind");
        }
    }
}

#[test]
fn what_is_held_stays_for_those_who_live_and_goes_with_the_last() {
    let leaving = [Step::HoldStruck, Step::HoldingUnlinked];
    let mut fates: Vec<_> =
        [Step::ChildExpected, Step::HoldingsMade, Step::HoldingGiven, Step::HoldingLinked, Step::ItemShared]
            .map(Fate::Forking)
            .into();
    fates.push(Fate::Born(Step::ChildBorn));
    fates.push(Fate::Forked);
    fates.extend(leaving.map(Fate::ReaderLeaves));
    fates.extend(leaving.map(Fate::ChildLeaves));
    fates.extend([Step::HoldStruck, Step::HoldingUnlinked, Step::ItemReclaimed].map(Fate::LastLeaves));
    for fate in fates {
        let scene = Scene::new();
        for round in 0..kills(3) {
            // A step that is passed once for each item is died over at each of them.
            let each = [Step::ItemShared, Step::HoldStruck, Step::ItemReclaimed];
            let (step, saw) = match fate {
                Fate::Forking(step) => (Some(step), "what it held was given back"),
                Fate::Born(step) => (Some(step), "its parent kept what it held"),
                Fate::Forked => (None, "its child kept what it held"),
                Fate::ReaderLeaves(step) => (Some(step), "its child kept what it held"),
                Fate::ChildLeaves(step) => (Some(step), "its parent kept what it held"),
                Fate::LastLeaves(step) => (Some(step), "what it held was given back"),
            };
            let passes = if step.is_some_and(|step| each.contains(&step)) { round as u32 % 3 } else { 0 };
            println!("{fate:?} after {passes} passes");
            scene.round(fate, passes);
            match step {
                Some(step) => killed(step, saw),
                None => note("a fork", saw),
            }
        }
    }
}
