"""`WorkerDied`, and a process's end in words: by which signal or exit status, and whether memory ran out meanwhile."""

from __future__ import annotations

_HINTS = {
    "SIGSEGV": "a crash in native code: python -X faulthandler shows where",
    "SIGBUS": "a crash in native code: python -X faulthandler shows where",
    "SIGABRT": "native code gave up: python -X faulthandler shows where",
}


class WorkerDied(RuntimeError):
    """A process ended without giving the result that it owed; the message names the signal or the exit status.

    `exitcode` has it as a number, as `Process.exitcode` has: the status, or minus the signal.

    >>> import oneloom, os
    >>> with oneloom.ProcessPool(1) as pool:
    ...     print(pool.submit(os._exit, 3).exception())
    the worker ProcessPool-... (pid ...) exited with status 3 while it ran _exit
    """

    def __init__(self, message: str, exitcode: int | None = None) -> None:
        super().__init__(message)
        self.exitcode = exitcode


WorkerDied.__module__ = "oneloom"  # Where it is public, and where pickle finds it.


def in_words(exitcode: int, out_of_memory: bool = False, *, stack_is_known: bool = False) -> str:
    """How a process ended. `out_of_memory`: the kernel has meanwhile killed a process for lack of memory."""
    if exitcode >= 0:
        return f"exited with status {exitcode}"
    from signal import Signals  # Not for those who import oneloom and see nobody die.

    try:
        name = Signals(-exitcode).name
    except ValueError:
        return f"was killed by signal {-exitcode}"
    if name == "SIGKILL" and out_of_memory:
        hint = "perhaps out of memory: the kernel killed a process for that meanwhile"
    else:
        hint = "" if stack_is_known else _HINTS.get(name, "")
    return f"was killed by {name}" + (f" ({hint})" if hint else "")


def out_of_memory_kills() -> int | None:
    """How many processes this machine's kernel has killed for lack of memory; None if it hides it."""
    try:
        with open("/proc/vmstat", "rb") as counters:
            _, found, rest = counters.read().partition(b"\noom_kill ")
    except OSError:
        return None
    return int(rest.split(None, 1)[0]) if found else None
