//! The faults that the models of recovery must notice: see `mutants/harness.rs` of `oneloom-sync`.

#![cfg(shuttle)]

#[path = "../../oneloom-sync/tests/mutants/harness.rs"]
mod harness;

use harness::{Mutant, with, without};

const LATCH: &str = "oneloom-shm/src/latch";
const ARENA: &str = "oneloom-shm/src/arena";
const SEMAPHORE: &str = "oneloom-shm/src/semaphore";
const MUTEX: &str = "oneloom-shm/src/mutex";
const APPEND: &str = "oneloom-shm/src/queue/append";
const TAKE: &str = "oneloom-shm/src/queue/take";
const REPAIR: &str = "oneloom-shm/src/queue/repair";

const QUEUE_MODEL: (&str, &str) = ("shuttle_recovery", "a_queue_loses_nothing_whoever_dies");
const BOUNDED_MODEL: (&str, &str) = ("shuttle_recovery", "a_bounded_queue_loses_nothing_whoever_dies");
const ORDER_MODEL: (&str, &str) =
    ("shuttle_recovery", "what_is_put_while_a_receiver_looks_is_not_passed_over");
const SWEPT_MODEL: (&str, &str) = ("shuttle_recovery", "what_a_dead_receiver_had_left_is_swept_and_no_more");
const SEMAPHORE_MODEL: (&str, &str) = ("shuttle_recovery", "a_semaphore_has_all_its_permits_whoever_dies");
const LOCK_MODEL: (&str, &str) = ("shuttle_recovery", "a_lock_goes_on_whoever_dies");

const MUTANTS: &[Mutant] = &[
    with(
        "a latch that was tried in vain is left",
        LATCH,
        "entered.is_ok().then(|| Inside { latch: self, entry: Entry::Open })",
        "if PLANTED {
            return entered.is_ok().then_some(Inside { latch: self, entry: Entry::Open });
        }
        entered.is_ok().then(|| Inside { latch: self, entry: Entry::Open })",
        QUEUE_MODEL,
    ),
    with(
        "a latch is taken over from one who lives",
        LATCH,
        "segment.is_dead(Tag(seen))",
        "(PLANTED || segment.is_dead(Tag(seen)))",
        QUEUE_MODEL,
    ),
    with(
        "a latch is never taken over",
        LATCH,
        "segment.is_dead(Tag(seen))",
        "(!PLANTED && segment.is_dead(Tag(seen)))",
        QUEUE_MODEL,
    ),
    with(
        "whoever inherits a latch is not told",
        LATCH,
        "return Entry::Inherited;",
        "return if PLANTED { Entry::Open } else { Entry::Inherited };",
        QUEUE_MODEL,
    ),
    without(
        "the tail is not moved on by a repair",
        REPAIR,
        "content.tail.chunk.store(last.block.reference.0, Ordering::Release);",
        QUEUE_MODEL,
    ),
    without(
        "what a dead sender had linked is not made the queue's",
        REPAIR,
        "last.becomes_part_of(queue.reference)?;",
        QUEUE_MODEL,
    ),
    without(
        "what a dead sender had named and not put is not given back",
        REPAIR,
        "give_back(last.payloads(start, (writing >> 32) as u32)?, queue.reference, me)?;",
        QUEUE_MODEL,
    ),
    without(
        "what a dead receiver had taken is not given back",
        REPAIR,
        "give_back(first.payloads(taking, first.taken().offset.max(taking))?, queue.reference, me)?;",
        SWEPT_MODEL,
    ),
    without(
        "a chunk that a dead receiver was about to leave is not made the queue's again",
        REPAIR,
        "first.block.becomes_part_of(queue.reference)?;",
        SWEPT_MODEL,
    ),
    with(
        "items are committed before they are written",
        APPEND,
        "let (mut end, mut large) = (start, false);",
        "let (mut end, mut large) = (start, false);
        if PLANTED {
            let size: u64 = records.iter().map(|(body, _)| body.size()).sum();
            let mut early = start;
            early.items += records.len() as u32;
            early.offset += size as u32;
            last.commit(early);
        }",
        QUEUE_MODEL,
    ),
    with(
        "a large item is committed before it is the queue's",
        APPEND,
        "step::at(Step::PayloadWritten);",
        "step::at(Step::PayloadWritten);
        if PLANTED {
            last.commit(end);
        }",
        QUEUE_MODEL,
    ),
    without(
        "a sender does not say what it is putting",
        APPEND,
        "tail.writing.store(u64::from(end.offset) << 32 | u64::from(start.offset + 1), Ordering::Release);",
        QUEUE_MODEL,
    ),
    without(
        "a put is told to nobody",
        APPEND,
        "tell(segment, &content.flow.not_empty, records.len().try_into().unwrap_or(u32::MAX));",
        QUEUE_MODEL,
    ),
    with(
        "a receiver leaves a chunk behind which a sender is still about to move on",
        TAKE,
        "content.tail.chunk.load(Ordering::Acquire) != chunk.block.reference.0",
        "(PLANTED || content.tail.chunk.load(Ordering::Acquire) != chunk.block.reference.0)",
        QUEUE_MODEL,
    ),
    with(
        "a receiver looks first at the end of a chunk and then for the next",
        TAKE,
        "let next = chunk.next();
            let mut end = chunk.committed().offset;",
        "let before = chunk.committed().offset;
            let next = chunk.next();
            let mut end = if PLANTED { before } else { chunk.committed().offset };",
        ORDER_MODEL,
    ),
    without("a place is told to nobody", TAKE, "tell(segment, &flow.not_full, items);", BOUNDED_MODEL),
    with(
        "the memory of the dead is not swept",
        ARENA,
        "if abandoned && block.owner",
        "if abandoned && !PLANTED && block.owner",
        QUEUE_MODEL,
    ),
    with(
        "memory is swept before queues are repaired",
        ARENA,
        "if kind == Kind::Queue as usize => queue::repair(object, me)?,",
        "if kind == Kind::Queue as usize && !PLANTED => queue::repair(object, me)?,",
        QUEUE_MODEL,
    ),
    with(
        "the lists of free memory are not made anew",
        ARENA,
        "if inside.entry == Entry::Inherited {",
        "if inside.entry == Entry::Inherited && !PLANTED {",
        QUEUE_MODEL,
    ),
    with(
        "whoever takes a lock over is not told",
        MUTEX,
        "holder.state(me) | RECOVERED",
        "holder.state(me) | if PLANTED { 0 } else { RECOVERED }",
        LOCK_MODEL,
    ),
    with(
        "a lock is taken over from one who lives",
        MUTEX,
        "state == 0 || !self.segment.is_dead(Tag(state as u32))",
        "state == 0 || !PLANTED && !self.segment.is_dead(Tag(state as u32))",
        LOCK_MODEL,
    ),
    with(
        "a lock is never taken over",
        MUTEX,
        "(thorough && core.take_over(me, self.holder))",
        "(thorough && !PLANTED && core.take_over(me, self.holder))",
        LOCK_MODEL,
    ),
    without(
        "a lock's release is told to nobody",
        MUTEX,
        "content.event.notify(1, |mask| monitor::ring(segment, &content.event, mask));",
        LOCK_MODEL,
    ),
    without(
        "the permits of the dead do not come back",
        SEMAPHORE,
        "content.free.fetch_add(count, Ordering::SeqCst);",
        SEMAPHORE_MODEL,
    ),
    with(
        "permits are not counted anew after one who died inside",
        SEMAPHORE,
        "content.free.store(free, Ordering::SeqCst);
            content.recovered",
        "if !PLANTED {
                content.free.store(free, Ordering::SeqCst);
            }
            content.recovered",
        SEMAPHORE_MODEL,
    ),
    without(
        "a permit's return is told to nobody",
        SEMAPHORE,
        "self.tell(count.try_into().unwrap_or(u32::MAX));",
        SEMAPHORE_MODEL,
    ),
];

#[test]
fn every_planted_fault_is_noticed_by_its_model() {
    harness::check(MUTANTS, &["oneloom-wait", "oneloom-shm"]);
}
