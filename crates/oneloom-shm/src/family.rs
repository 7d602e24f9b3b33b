//! Which segments this process knows, and which of them is home.
//!
//! A process makes its own family at its first shared object, unless it was given one before. What a process is given at
//! its start becomes home, so that what it makes from then on can travel to whoever started it; a family that it made
//! itself earlier (for a module-level object, say) stays known beside it.

use std::os::fd::OwnedFd;

use oneloom_wait::atomic::{AtomicUsize, Ordering};
use oneloom_wait::made::Made;

use crate::error::Error;
use crate::layout::Header;
use crate::segment::Segment;

/// More than this, nobody is given: each comes with a start.
const MOST: usize = 16;
static KNOWN: [Made<&'static Segment>; MOST] = [const { Made::nothing() }; MOST];
/// The place of the home in `KNOWN`, counted from 1; 0 while there is none.
static HOME: AtomicUsize = AtomicUsize::new(0);

fn known() -> impl Iterator<Item = (usize, &'static Segment)> {
    KNOWN.iter().map_while(|place| place.get().copied()).enumerate()
}

/// The segment of a family.
pub fn of(family: u64) -> Option<&'static Segment> {
    known().map(|(_, segment)| segment).find(|segment| segment.family() == family)
}

/// The segment for new objects, made if there is none.
///
/// # Errors
/// When the system has no memory or no descriptor left.
pub fn home() -> Result<&'static Segment, Error> {
    if let Some(segment) = known_home() {
        return Ok(segment);
    }
    let place = know(Segment::create(limit()?)?)?;
    // Two threads may make one each: the first becomes home, the other is never used and costs a descriptor.
    let _ = HOME.compare_exchange(0, place + 1, Ordering::AcqRel, Ordering::Acquire);
    known_home().ok_or(Error::Foreign)
}

/// The segment for new objects, if there is one.
pub fn known_home() -> Option<&'static Segment> {
    HOME.load(Ordering::Acquire).checked_sub(1).and_then(|place| KNOWN.get(place)?.get().copied())
}

/// Up to how many bytes the memory of a family may grow that begins in this process: 0 for as far as there is memory.
const LIMIT: &str = "ONELOOM_SHARED_MAX_BYTES";

fn limit() -> Result<u64, Error> {
    let Some(text) = std::env::var_os(LIMIT).filter(|text| !text.is_empty()) else { return Ok(0) };
    let bytes = text.to_str().and_then(|text| text.parse().ok());
    bytes.ok_or_else(|| Error::Setting(format!("{LIMIT} is {text:?}, and not a whole number of bytes")))
}

/// Joins the family behind a descriptor; it becomes home. One that is known already is not mapped again.
///
/// # Errors
/// If it is no segment, or one of another version or PID namespace.
pub fn join(descriptor: OwnedFd) -> Result<(), Error> {
    let mut number = [0; 8];
    let read = rustix::io::pread(&descriptor, &mut number, std::mem::offset_of!(Header, family) as u64);
    let number = u64::from_ne_bytes(number);
    let seen = known().find(|(_, segment)| matches!(read, Ok(8)) && segment.family() == number);
    let place = match seen {
        Some((place, _)) => place,
        None => know(Segment::attach(descriptor)?)?,
    };
    HOME.store(place + 1, Ordering::Release);
    Ok(())
}

fn know(segment: &'static Segment) -> Result<usize, Error> {
    KNOWN
        .iter()
        .position(|place| place.put(Box::new(segment)))
        .ok_or_else(|| Error::System("this process was given too many families of shared objects".into()))
}
