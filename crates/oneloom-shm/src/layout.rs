//! The map of the segment's bytes. `LAYOUT.md` tells it to people, and a test holds the two together.
//!
//! Only plain integers stand in a segment, each of them an atomic; positions are offsets, counted in bytes from its
//! start. Zeros are a valid value of everything. A model has fewer processes and sizes: it walks them step by step.

use oneloom_wait::atomic::{AtomicU32, AtomicU64};
use oneloom_wait::word::Word;

use crate::latch::Latch;

/// What a segment begins with.
pub const MAGIC: u64 = u64::from_le_bytes(*b"oneloom\0");
/// The version of this map. One that differs is refused.
pub const VERSION: u32 = 1;
/// How many processes can be in a family at once.
pub const PROCESSES: usize = if cfg!(shuttle) { 5 } else { 1024 };
/// Blocks begin at multiples of this, and so do objects.
pub const ALIGNMENT: u64 = 64;
/// How many kinds of blocks there can be.
pub const KINDS: usize = 16;
/// How many sizes of blocks: four in each doubling, from 256 bytes on.
pub const CLASSES: usize = if cfg!(shuttle) { 36 } else { 132 };

/// What stands at offset 0.
#[repr(C, align(64))]
pub struct Header {
    /// [`MAGIC`]; written last, by whoever makes the segment.
    pub magic: AtomicU64,
    /// [`VERSION`].
    pub version: AtomicU32,
    /// Where blocks begin: the size of all that stands before.
    pub blocks: AtomicU32,
    /// The family's number, random and never 0.
    pub family: AtomicU64,
    /// In which PID namespace process ids are meant.
    pub namespace: AtomicU64,
    /// Up to how many bytes the segment may grow; 0 for any number.
    pub limit: AtomicU64,
    /// How many bytes there are. Written inside the arena's latch.
    pub size: AtomicU64,
    /// Where the last block ends. Written inside the arena's latch.
    pub top: AtomicU64,
    /// In front of everything about blocks but their owners.
    pub arena: Latch,
    /// How many processes have joined; rung to every monitor.
    pub joined: AtomicU32,
    /// How many processes were found dead.
    pub deaths: AtomicU32,
    /// The value of `deaths` up to which blocks of the dead were swept.
    pub swept: AtomicU32,
    /// In front of the decision who raises in a deadlock. Nothing of its own stands behind it.
    pub verdict: Latch,
    /// In front of everything about who holds what together with others.
    pub holders: Latch,
    /// The first free block of each kind and size, 0 for none. Inside the arena's latch.
    pub free: [[AtomicU64; CLASSES]; KINDS],
}

/// What stands for one process, behind the header.
#[repr(C, align(64))]
pub struct Record {
    /// The generation of the record in the upper half; the process id in the lower, 0 while the record is free. Taken
    /// by compare-and-swap, and given back so by whoever finds the process dead.
    pub identity: AtomicU64,
    /// When the process started, in the kernel's clock ticks since boot; 0 if not known. Written by the process.
    pub started: AtomicU64,
    /// Changes when the process's monitor is to look around. Anybody may ring.
    pub doorbell: Word,
    /// Whether a monitor listens. Written by the process.
    pub listening: AtomicU32,
    /// The first of the process's wait records, by [`crate::arena::Reference`]. Written by the process.
    pub waits: AtomicU64,
    /// The first [holding](crate::holding) of the process, by reference. Inside the latch `holders`.
    pub holdings: AtomicU64,
}

/// What stands in front of every block.
#[repr(C, align(64))]
pub struct BlockHeader {
    /// 0 while the block is free; else a [`crate::member::Tag`] with the top bit set, or the
    /// [`crate::arena::Reference`] of the object it belongs to.
    pub owner: AtomicU64,
    /// How many times the block was given out. Written inside the arena's latch.
    pub generation: AtomicU32,
    /// The kind in the upper half, the size's class in the lower; never changes.
    pub kind: AtomicU32,
    /// The block's size, this header included; never changes.
    pub size: AtomicU64,
    /// The next free block of its kind and size. Inside the arena's latch.
    pub next: AtomicU64,
}

/// Where process records begin.
pub const RECORDS_AT: u64 = size_of::<Header>().next_multiple_of(4096) as u64;
/// Where blocks begin.
pub const BLOCKS_AT: u64 = RECORDS_AT + (PROCESSES * size_of::<Record>()) as u64;

/// The rows of `LAYOUT.md` for a type: where each field stands and how long it is.
#[cfg(test)]
macro_rules! rows {
    ($type:ty { $($field:ident),* $(,)? }) => {{
        fn length<T, F>(_: impl Fn(&T) -> &F) -> usize {
            size_of::<F>()
        }
        let rows = vec![$(format!(
            "| {} | {} | `{}` |",
            std::mem::offset_of!($type, $field),
            length(|value: &$type| &value.$field),
            stringify!($field)
        )),*];
        (size_of::<$type>(), rows)
    }};
}
#[cfg(test)]
pub(crate) use rows;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        barrier, condition, event, event_count, flow, holding, mutex, priority, queue, reentrant, semaphore,
        waits,
    };

    /// Each table of `LAYOUT.md` is what the code has, whole and in order.
    #[test]
    fn layout_md_tells_what_the_code_has() {
        let page = include_str!("../LAYOUT.md");
        let of_records = rows!(Record { identity, started, doorbell, listening, waits, holdings });
        let of_blocks = rows!(BlockHeader { owner, generation, kind, size, next });
        let of_header = rows!(Header {
            magic,
            version,
            blocks,
            family,
            namespace,
            limit,
            size,
            top,
            arena,
            joined,
            deaths,
            swept,
            verdict,
            holders,
            free
        });
        let (start, tail, head, of_queue, [pending, page_of_slots, slot]) = queue::rows();
        let [of_condition, seat] = condition::rows();
        let (of_priority_queue, of_labels) = priority::rows();
        for (title, (size, rows)) in [
            ("Header", of_header),
            ("Record", of_records),
            ("Block", of_blocks),
            ("Event count", event_count::rows()),
            ("Mutex", mutex::rows()),
            ("Event", event::rows()),
            ("Reentrant mutex", reentrant::rows()),
            ("Semaphore", semaphore::rows()),
            ("Condition", of_condition),
            ("Seat", seat),
            ("Barrier", barrier::rows()),
            ("Flow", flow::rows()),
            ("Wait", waits::rows()),
            ("Queue", of_queue),
            ("Tail", tail),
            ("Head", head),
            ("Chunk", start),
            ("Pending", pending),
            ("Page", page_of_slots),
            ("Slot", slot),
            ("Priority queue", of_priority_queue),
            ("Label", of_labels),
            ("Holding", holding::rows()),
        ] {
            let section =
                page.split("\n## ").find(|section| section.starts_with(&format!("{title}, {size} bytes\n")));
            let section =
                section.unwrap_or_else(|| panic!("LAYOUT.md has no section \"{title}, {size} bytes\""));
            let told =
                section.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit());
            let told: Vec<_> =
                told.map(|line| line.splitn(5, '|').take(4).collect::<Vec<_>>().join("|") + "|").collect();
            assert_eq!(told, rows, "LAYOUT.md, {title}");
        }
        for fact in [
            format!("version {VERSION}"),
            format!("records begin at {RECORDS_AT}"),
            format!("blocks at {BLOCKS_AT}"),
            format!("{PROCESSES} records"),
        ] {
            assert!(page.contains(&fact), "LAYOUT.md does not say: {fact}");
        }
    }
}
