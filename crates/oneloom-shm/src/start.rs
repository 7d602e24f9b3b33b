//! Starting this program once more, with descriptors of this process.
//!
//! The new process finds their numbers on its command line, behind a mark. Nothing else of this process is there: its
//! memory is new.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use oneloom_wait::atomic::{AtomicBool, Ordering};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::handle;

/// The first argument of a program that was started so; the descriptors' numbers follow.
const MARK: &str = "--oneloom-process";

/// Starts this program with these descriptors.
///
/// The same file is run even if another has its name by now. Standard streams, environment and working folder are
/// this process's.
///
/// # Errors
/// If the system has no process or no descriptor left.
pub fn again(descriptors: [BorrowedFd<'_>; 2]) -> io::Result<Child> {
    let numbers = descriptors.map(|descriptor| descriptor.as_raw_fd());
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    command.arg(MARK).args(numbers.map(|number| number.to_string()));
    // SAFETY: between fork and exec this makes one system call for each descriptor, and takes no memory. They are open:
    // this function borrows them.
    unsafe {
        command.pre_exec(move || {
            for number in numbers {
                fcntl_setfd(BorrowedFd::borrow_raw(number), FdFlags::empty())?;
            }
            Ok(())
        });
    }
    // A copy that only runs another program holds no object.
    handle::without_counting_forks(|| command.spawn())
}

/// What [`again`] has given to this process, once; `None` if something else has started it.
pub fn given() -> Option<[OwnedFd; 2]> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != MARK {
        return None;
    }
    let mut number = || arguments.next()?.to_str()?.parse::<RawFd>().ok().filter(|number| *number > 2);
    let numbers = [number()?, number()?];
    // What this process starts in turn is to get what it is given, no more.
    // SAFETY: they are borrowed for the call alone, which says so if they are not open.
    let keep = |number: &RawFd| unsafe { fcntl_setfd(BorrowedFd::borrow_raw(*number), FdFlags::CLOEXEC) };
    if numbers[0] == numbers[1] || !numbers.iter().all(|number| keep(number).is_ok()) {
        return None;
    }
    if TAKEN.swap(true, Ordering::SeqCst) {
        return None;
    }
    // SAFETY: they are open, and whoever started this process says that they are for this function, which takes them once.
    Some(numbers.map(|number| unsafe { OwnedFd::from_raw_fd(number) }))
}
