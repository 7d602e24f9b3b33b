//! Who waits for what, for other processes to read: a record for each thread and task that waits for long.
//!
//! A process's records hang in a list below its own record, and only it writes there. One that is not used is kept for
//! the next who waits; all are given back by the sweep when the process has ended. A wait is shown by its number, which
//! the process never gives to another: whoever reads the number, then the rest, then the same number again, has read
//! what belongs together.
//!
//! | it died after | it left | repair |
//! |---|---|---|
//! | making the record | a block that nobody knows | the sweep |
//! | linking, writing or showing it | a record of a dead process | none: whoever reads asks whether it lives; the sweep |

use std::cell::Cell;

use oneloom_wait::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use oneloom_wait::fork;
use oneloom_wait::gate::AfterFork;

use crate::arena::{Block, Kind, Reference, allocate};
use crate::error::Error;
use crate::member::Tag;
use crate::segment::{Plain, Segment};
use crate::step::{self, Step};

/// How many bytes of text there can be.
pub const TEXT: usize = 384;

/// What stands in the segment. All but `sequence` and `next` is written while `sequence` is 0.
#[repr(C, align(64))]
pub struct Content {
    /// The wait's number in its process, 0 while there is none.
    sequence: AtomicU64,
    /// The next record of the same process, by [`Reference`]. Written before this one is in the list.
    next: AtomicU64,
    /// Who waits, by its name in the process.
    waiter: AtomicU64,
    /// For whom, if that is another: the task whose code has blocked the thread.
    caller: AtomicU64,
    /// The object that is waited for, by [`Reference`].
    resource: AtomicU64,
    since: AtomicU64,
    flags: AtomicU32,
    /// How many bytes of `text` there are.
    length: AtomicU32,
    text: [AtomicU64; TEXT / 8],
}

// SAFETY: integers that are atomic, in a fixed layout.
unsafe impl Plain for Content {}

/// What a wait tells, but for its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Who waits.
    pub waiter: u64,
    /// For whom.
    pub caller: u64,
    /// For which object.
    pub resource: Reference,
    /// Since when, on the monotonic clock, which is the same for all processes.
    pub since: u64,
    /// The bits of [`oneloom_wait::owner::flag`].
    pub flags: u32,
}

/// This process's records that nobody uses now.
pub(crate) struct Idle(Vec<&'static Content>);

impl Idle {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }
}

impl AfterFork for Idle {
    fn after_fork(&mut self, _torn: bool) {
        // They are the parent's.
        std::mem::forget(std::mem::take(&mut self.0));
    }
}

/// The number of the last wait that was shown here.
static LAST: AtomicU64 = AtomicU64::new(0);

/// A record in use; dropping it keeps it for the next.
pub struct Record {
    segment: &'static Segment,
    content: &'static Content,
    shown: Cell<u64>,
    generation: u32,
}

impl Record {
    /// A record for a wait, not shown yet.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn new(segment: &'static Segment, me: Tag, wait: &Wait, text: &str) -> Result<Self, Error> {
        let idle = segment.waits.enter().0.pop();
        let content = match idle {
            Some(content) => content,
            None => make(segment, me)?,
        };
        // Whoever still reads the last wait sees that it is over before anything else changes.
        fence(Ordering::SeqCst);
        content.waiter.store(wait.waiter, Ordering::Relaxed);
        content.caller.store(wait.caller, Ordering::Relaxed);
        content.resource.store(wait.resource.0, Ordering::Relaxed);
        content.since.store(wait.since, Ordering::Relaxed);
        content.flags.store(wait.flags, Ordering::Relaxed);
        let end = (0..=text.len().min(TEXT)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        content.length.store(end as u32, Ordering::Relaxed);
        for (word, bytes) in content.text.iter().zip(text.as_bytes()[..end].chunks(8)) {
            let mut eight = [0; 8];
            eight[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(eight), Ordering::Relaxed);
        }
        step::at(Step::WaitWritten);
        Ok(Self { segment, content, shown: Cell::new(0), generation: fork::generation() })
    }

    /// Shows the wait, as a new one. What has changed for whoever looks is to be looked at afterwards.
    pub fn show(&self) {
        if self.is_of_this_process() {
            let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
            self.content.sequence.store(number, Ordering::Release);
            self.shown.set(number);
            step::at(Step::WaitShown);
        }
        fence(Ordering::SeqCst);
    }

    /// The waiter tries again, or has gone on.
    pub fn hide(&self) {
        if self.is_of_this_process() && self.shown.replace(0) != 0 {
            self.content.sequence.store(0, Ordering::SeqCst);
            step::at(Step::WaitHidden);
        }
    }

    /// False in the child of a fork that happened meanwhile.
    pub fn is_of_this_process(&self) -> bool {
        self.generation == fork::generation()
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.hide();
        if self.is_of_this_process() {
            self.segment.waits.enter().0.push(self.content);
        }
    }
}

fn make(segment: &'static Segment, me: Tag) -> Result<&'static Content, Error> {
    let block = allocate(segment, me, Kind::Wait, size_of::<Content>() as u64)?;
    let content: &Content = block.content()?;
    content.sequence.store(0, Ordering::SeqCst);
    let Some(record) = segment.record_of(me) else { return Err(Error::Gone) };
    // One thread of this process at a time; no other process writes here.
    let _gate = segment.waits.enter();
    content.next.store(record.waits.load(Ordering::Relaxed), Ordering::Relaxed);
    record.waits.store(block.reference.0, Ordering::Release);
    step::at(Step::WaitLinked);
    Ok(content)
}

/// A wait that is shown.
#[derive(Clone, Copy)]
pub struct Shown {
    content: &'static Content,
    /// Its number: never that of another wait of the same process.
    pub sequence: u64,
    /// What it tells.
    pub wait: Wait,
}

impl Shown {
    fn read(content: &'static Content) -> Option<Self> {
        let sequence = content.sequence.load(Ordering::Acquire);
        let wait = Wait {
            waiter: content.waiter.load(Ordering::Relaxed),
            caller: content.caller.load(Ordering::Relaxed),
            resource: Reference(content.resource.load(Ordering::Relaxed)),
            since: content.since.load(Ordering::Relaxed),
            flags: content.flags.load(Ordering::Relaxed),
        };
        let shown = Self { content, sequence, wait };
        shown.is_shown().then_some(shown)
    }

    fn is_shown(&self) -> bool {
        fence(Ordering::SeqCst);
        self.sequence != 0 && self.content.sequence.load(Ordering::SeqCst) == self.sequence
    }

    /// What the waiter says of itself.
    pub fn text(&self) -> Option<String> {
        let bytes: Vec<u8> =
            self.content.text.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        let length = self.content.length.load(Ordering::Relaxed) as usize;
        let text = String::from_utf8_lossy(&bytes[..length.min(TEXT)]).into_owned();
        self.is_shown().then_some(text)
    }
}

/// More records than any process has: a list that is longer leads nowhere.
const MOST: usize = 1 << 20;

/// The waits that a process shows now. They mean something only if it lives when all has been read.
pub fn of(segment: &'static Segment, process: Tag) -> impl Iterator<Item = Shown> {
    let mut next = segment.record_of(process).map_or(0, |record| record.waits.load(Ordering::Acquire));
    let records = std::iter::from_fn(move || {
        let block =
            Block::find(segment, Reference(next), Kind::Wait).ok().filter(|block| block.is_of(process))?;
        let content: &'static Content = block.content().ok()?;
        next = content.next.load(Ordering::Acquire);
        Some(content)
    });
    records.take(MOST).filter_map(Shown::read)
}

#[cfg(test)]
pub(crate) fn rows() -> (usize, Vec<String>) {
    crate::layout::rows!(Content { sequence, next, waiter, caller, resource, since, flags, length, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_until_it_is_hidden() {
        let segment = Segment::on_heap(1 << 20).expect("a segment");
        let me = segment.me().expect("a member");
        let wait = Wait { waiter: 7, caller: 8, resource: Reference(9), since: 10, flags: 11 };
        let long = "é".repeat(TEXT);
        let record = Record::new(segment, me, &wait, &long).expect("a record");
        assert_eq!(of(segment, me).count(), 0);
        record.show();
        let shown = of(segment, me).next().expect("it is shown");
        assert_eq!(shown.wait, wait);
        assert_eq!(shown.text().as_deref(), Some(&long[..TEXT]));
        record.hide();
        assert_eq!(shown.text(), None);
        record.show();
        assert_eq!(shown.text(), None, "the same record, another wait");
        drop(record);
        assert_eq!(of(segment, me).count(), 0);
        drop(Record::new(segment, me, &wait, "").expect("a record"));
        assert_eq!(segment.waits.enter().0.len(), 1, "it is used again");
    }
}
