//! Threads of oneloom's own: they block every signal, so that handlers run on the program's threads.

use std::io;

/// Runs `work` on a new thread of that name, with every signal blocked.
///
/// # Errors
/// When the system has no thread left.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    if cfg!(miri) {
        // It knows no masks of signals; whoever asks must do without, as where the system has no thread left.
        return Err(io::ErrorKind::Unsupported.into());
    }
    // A thread inherits what is blocked where it is started: so there is no instant in which it could be interrupted.
    let before = block_signals();
    let started = std::thread::Builder::new().name(name.into()).spawn(work);
    restore_signals(&before);
    started.map(drop)
}

fn block_signals() -> libc::sigset_t {
    // SAFETY: both sets are plain data that the calls fill in.
    unsafe {
        let mut everything: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut everything);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const everything, &raw mut before);
        before
    }
}

fn restore_signals(before: &libc::sigset_t) {
    // SAFETY: the set is what the same call gave.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut()) };
}
