//! The memory itself: a memfd, mapped once into a large reservation, which the file grows into.
//!
//! What one process adds, the others see without mapping anything again. Nothing is ever unmapped: references into a
//! segment are good as long as the process.

use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};

use oneloom_wait::atomic::{AtomicU32, AtomicU64, Ordering};
use oneloom_wait::gate::Gate;
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

use crate::error::Error;
use crate::layout::{BLOCKS_AT, Header, MAGIC, PROCESSES, RECORDS_AT, Record, VERSION};
use crate::process;
use crate::step::{self, Step};
use crate::waits::Idle;

/// How much address space to reserve: as much as there is to be had.
const RESERVATIONS: [u64; 4] = [1 << 40, 1 << 36, 1 << 32, 1 << 28];
/// The file grows by an eighth of its size, but by no less and no more than this.
const GROWTH: std::ops::RangeInclusive<u64> = 1 << 20..=16 << 20;
const PAGE: u64 = 4096;

/// Types that may stand in a segment.
///
/// # Safety
/// The layout is fixed (`repr(C)`), every bit pattern is valid, and all that is reached through a shared reference is
/// atomic.
pub unsafe trait Plain {}

// SAFETY: integers that are atomic, in a fixed layout.
unsafe impl Plain for Header {}
// SAFETY: as for Header.
unsafe impl Plain for Record {}

/// One segment as this process sees it.
pub struct Segment {
    base: NonNull<u8>,
    reserved: u64,
    /// How many bytes were there when this process last asked the system: what the header says is not believed.
    there: AtomicU64,
    /// None for a segment on the heap, which only this process has.
    descriptor: Option<OwnedFd>,
    /// This process's tag in the lower half; the upper says in which fork generation it was taken.
    pub(crate) me: AtomicU64,
    /// The fork generation in which a monitor was started.
    pub(crate) monitored: AtomicU32,
    /// This process's wait records that nobody uses now.
    pub(crate) waits: Gate<Idle>,
}

// SAFETY: the memory behind `base` is never unmapped and holds atomics only.
unsafe impl Send for Segment {}
// SAFETY: as for Send.
unsafe impl Sync for Segment {}

impl Segment {
    /// A new segment that may grow to `limit` bytes (0: as far as there is memory).
    ///
    /// # Errors
    /// When the system has no memory or no descriptor left.
    pub fn create(limit: u64) -> Result<&'static Self, Error> {
        let descriptor = memfd_create("oneloom", MemfdFlags::CLOEXEC)
            .map_err(|error| Error::system("no shared memory could be made", error))?;
        reserve(&descriptor, 0, BLOCKS_AT)?;
        let (base, reserved) = map(&descriptor)?;
        let segment = Self::over(base, reserved, Some(descriptor));
        segment.format(limit)?;
        Ok(segment)
    }

    /// A segment on the heap, for this process only: for tools that don't know shared memory.
    ///
    /// # Errors
    /// As for [`Segment::create`].
    pub fn on_heap(bytes: u64) -> Result<&'static Self, Error> {
        let size = bytes.max(BLOCKS_AT).next_multiple_of(PAGE);
        let layout = std::alloc::Layout::from_size_align(size as usize, PAGE as usize)
            .map_err(|error| Error::Memory(error.to_string()))?;
        // SAFETY: the layout's size is not zero.
        let base = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) });
        let base = base.ok_or_else(|| Error::Memory("the heap is full".into()))?;
        let segment = Self::over(base, size, None);
        segment.format(0)?;
        Ok(segment)
    }

    /// The segment behind a descriptor that another process of the family has given.
    ///
    /// # Errors
    /// If it is no segment, or one of another version or PID namespace.
    pub fn attach(descriptor: OwnedFd) -> Result<&'static Self, Error> {
        let size = file_size(&descriptor)?;
        if size < BLOCKS_AT {
            return Err(Error::Segment(format!("it is truncated to {size} bytes")));
        }
        fcntl_setfd(&descriptor, FdFlags::CLOEXEC)
            .map_err(|error| Error::system("the segment's descriptor is not usable", error))?;
        let (base, reserved) = map(&descriptor)?;
        // Read before anything else is believed; on refusal the memory is given back.
        // SAFETY: mapped, aligned to a page, and the file is long enough.
        let refused = refusal(unsafe { base.cast::<Header>().as_ref() }, size);
        if let Some(error) = refused {
            // SAFETY: nobody has a reference into it.
            let _ = unsafe { munmap(base.as_ptr().cast(), reserved as usize) };
            return Err(error);
        }
        Ok(Self::over(base, reserved, Some(descriptor)))
    }

    /// The same memory as another process of a model sees it.
    #[cfg(shuttle)]
    pub(crate) fn seen_by_another(&self) -> &'static Self {
        Self::over(self.base, self.reserved, None)
    }

    /// Makes a segment on the heap a new one, for the next run of a model. Nobody uses it any more.
    #[cfg(shuttle)]
    pub(crate) fn renew(&self) -> Result<(), Error> {
        // SAFETY: the whole of the memory, which `on_heap` has allocated; zeros are a valid value of everything there.
        unsafe { self.base.write_bytes(0, self.reserved as usize) };
        self.format(0)
    }

    fn over(base: NonNull<u8>, reserved: u64, descriptor: Option<OwnedFd>) -> &'static Self {
        let (me, monitored) = (AtomicU64::new(0), AtomicU32::new(0));
        let waits = Gate::new(Idle::new());
        let there = AtomicU64::new(if descriptor.is_some() { BLOCKS_AT } else { reserved });
        Box::leak(Box::new(Self { base, reserved, there, descriptor, me, monitored, waits }))
    }

    fn format(&self, limit: u64) -> Result<(), Error> {
        let mut family = [0; 8];
        rustix::rand::getrandom(&mut family, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| Error::system("no random number", error))?;
        let header = self.header();
        header.version.store(VERSION, Ordering::Relaxed);
        header.blocks.store(BLOCKS_AT as u32, Ordering::Relaxed);
        header.family.store(u64::from_ne_bytes(family).max(1), Ordering::Relaxed);
        header.namespace.store(process::namespace(), Ordering::Relaxed);
        header.limit.store(limit, Ordering::Relaxed);
        let all = if self.descriptor.is_some() { BLOCKS_AT } else { self.reserved };
        header.size.store(all, Ordering::Relaxed);
        header.top.store(BLOCKS_AT, Ordering::Relaxed);
        header.magic.store(MAGIC, Ordering::Release);
        Ok(())
    }

    /// The header.
    #[inline]
    pub fn header(&self) -> &Header {
        // SAFETY: it stands at the start, which is mapped as long as the process lives.
        unsafe { self.base.cast::<Header>().as_ref() }
    }

    /// The family's number.
    pub fn family(&self) -> u64 {
        self.header().family.load(Ordering::Relaxed)
    }

    /// The record in `slot`.
    pub fn record(&self, slot: usize) -> Option<&Record> {
        let offset = || RECORDS_AT + (slot * size_of::<Record>()) as u64;
        (slot < PROCESSES).then(|| self.at(offset()).ok()).flatten()
    }

    /// What stands at an offset.
    ///
    /// # Errors
    /// If that is not inside the segment, or not where such a thing can stand.
    #[inline]
    pub fn at<T: Plain>(&self, offset: u64) -> Result<&T, Error> {
        if offset % align_of::<T>() as u64 != 0 {
            return Err(Error::Corrupt("an offset that is not aligned"));
        }
        let place = self.bytes(offset, size_of::<T>() as u64)?;
        // SAFETY: inside the segment and aligned; `Plain` says that any bytes will do.
        Ok(unsafe { place.cast::<T>().as_ref() })
    }

    /// Where `length` bytes from an offset on stand.
    ///
    /// # Errors
    /// If they are not inside the segment.
    #[inline]
    pub fn bytes(&self, offset: u64, length: u64) -> Result<NonNull<u8>, Error> {
        let end = offset.checked_add(length).ok_or(Error::Corrupt("an offset beyond all memory"))?;
        if end > self.there.load(Ordering::Relaxed) {
            self.look_for(end)?;
        }
        // SAFETY: within the reservation, and within the file, which never becomes shorter.
        Ok(unsafe { self.base.add(offset as usize) })
    }

    /// Asks the system whether there are so many bytes by now.
    #[cold]
    fn look_for(&self, end: u64) -> Result<(), Error> {
        if end > self.reserved {
            return Err(Error::Memory(format!("this process could reserve only {} bytes", self.reserved)));
        }
        if end > self.length()? {
            return Err(Error::Corrupt("an offset behind the segment's end"));
        }
        Ok(())
    }

    /// How many bytes there are.
    fn length(&self) -> Result<u64, Error> {
        let Some(descriptor) = &self.descriptor else { return Ok(self.reserved) };
        let length = file_size(descriptor)?;
        self.there.store(length.min(self.reserved), Ordering::Relaxed);
        Ok(length)
    }

    /// Makes the segment at least `wanted` bytes long. Only inside the arena's latch.
    pub(crate) fn grow(&self, wanted: u64) -> Result<(), Error> {
        let header = self.header();
        // With what somebody has added who died before it was told.
        let size = self.length()?;
        let limit = header.limit.load(Ordering::Relaxed);
        let limit = if limit == 0 { u64::MAX } else { limit };
        if wanted > limit {
            return Err(Error::Limit { wanted, limit });
        }
        let mut new = size;
        if wanted > size {
            let Some(descriptor) = self.descriptor.as_ref().filter(|_| wanted <= self.reserved) else {
                let reserved = self.reserved;
                return Err(Error::Memory(format!("only {reserved} bytes of address space are reserved")));
            };
            let generous = (size / 8).clamp(*GROWTH.start(), *GROWTH.end()) + size;
            new = wanted.max(generous).min(limit.max(wanted)).min(self.reserved).next_multiple_of(PAGE);
            reserve(descriptor, size, new - size)?;
            step::at(Step::FileGrown);
        }
        header.size.store(new, Ordering::Release);
        step::at(Step::SizeWritten);
        Ok(())
    }

    /// The descriptor to give to a process that is being started.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.descriptor.as_ref().map(AsFd::as_fd)
    }
}

/// Takes over a descriptor that came with the start of this process.
///
/// # Safety
/// The descriptor is open, and nobody else will close it.
pub unsafe fn adopt(descriptor: RawFd) -> OwnedFd {
    // SAFETY: by this function's own contract.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

fn file_size(descriptor: &OwnedFd) -> Result<u64, Error> {
    let status = rustix::fs::fstat(descriptor);
    let status = status.map_err(|error| Error::system("the segment's descriptor is not usable", error))?;
    Ok(status.st_size as u64)
}

fn refusal(header: &Header, size: u64) -> Option<Error> {
    if header.magic.load(Ordering::Acquire) != MAGIC {
        return Some(Error::Segment("it does not begin as one".into()));
    }
    let version = header.version.load(Ordering::Relaxed);
    let blocks = u64::from(header.blocks.load(Ordering::Relaxed));
    if version != VERSION || blocks != BLOCKS_AT {
        return Some(Error::Segment(format!(
            "its layout has version {version}, this one reads {VERSION}: every process of a family needs the same \
             version of oneloom"
        )));
    }
    let (told, top) = (header.size.load(Ordering::Acquire), header.top.load(Ordering::Acquire));
    if told > size || !(BLOCKS_AT..=told).contains(&top) {
        return Some(Error::Segment(format!("it tells of {told} bytes and has {size}")));
    }
    (header.namespace.load(Ordering::Relaxed) != process::namespace()).then_some(Error::Namespace)
}

fn map(descriptor: &OwnedFd) -> Result<(NonNull<u8>, u64), Error> {
    let mut refused = Errno::NOMEM;
    for reserved in RESERVATIONS {
        // SAFETY: a new mapping at a place that the kernel chooses touches nobody's memory.
        let mapped = unsafe {
            mmap(
                ptr::null_mut(),
                reserved as usize,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::NORESERVE,
                descriptor,
                0,
            )
        };
        match mapped.map(|base| NonNull::new(base.cast::<u8>())) {
            Ok(Some(base)) => {
                // A core dump would go through the whole reservation, most of which is not there, for minutes.
                // SAFETY: how the new mapping is dumped has nothing to do with what is in it.
                let _ = unsafe { madvise(base.as_ptr().cast(), reserved as usize, Advice::LinuxDontDump) };
                return Ok((base, reserved));
            }
            Ok(None) => {}
            Err(error) => refused = error,
        }
    }
    Err(Error::Memory(format!("no address space for a segment: {refused}")))
}

/// Makes sure that the file has memory, so that a full machine is an error and not a SIGBUS.
fn reserve(descriptor: &OwnedFd, from: u64, bytes: u64) -> Result<(), Error> {
    loop {
        match fallocate(descriptor, FallocateFlags::empty(), from, bytes) {
            Err(Errno::INTR) => {}
            done => return done.map_err(|error| Error::Memory(error.to_string())),
        }
    }
}
