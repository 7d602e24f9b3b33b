//! Processes as the kernel tells of them: a pidfd says whether one is alive, and a zombie is dead.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::Life;

/// The calling process.
pub fn id() -> u32 {
    std::process::id()
}

/// Looks at the process `pid` that started at `start` (0: not known).
pub fn examine(pid: u32, start: u64) -> Life {
    let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Life::Dead };
    match pidfd_open(id, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => Life::Dead,
        Err(_) => match rustix::process::test_kill_process(id) {
            Err(rustix::io::Errno::SRCH) => Life::Dead,
            _ => Life::Alive,
        },
        Ok(descriptor) => {
            let now = Timespec::try_from(Duration::ZERO).ok();
            let ended = poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], now.as_ref());
            // Read after the descriptor was opened: then it is about the same process.
            let other = start != 0 && started(pid).is_some_and(|actual| actual != start);
            if matches!(ended, Ok(1..)) || other { Life::Dead } else { Life::Watched(descriptor) }
        }
    }
}

/// When a process started, in clock ticks since boot.
pub fn started(pid: u32) -> Option<u64> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, in brackets, may hold anything; the 22nd is looked for.
    line.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// The number of the PID namespace.
pub fn namespace() -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |data| data.ino())
}
