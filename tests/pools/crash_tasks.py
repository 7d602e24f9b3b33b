"""What the workers of the crash tests run: harmless tasks, and every way in which a process may die over one.

A module of its own that imports little: workers that are spawned import it.
"""

import os
import signal
import threading
import time
from pathlib import Path

# Longer than any test waits: who does this is killed, or fails its test.
FOR_EVER = 600
# What a worker of the matrix may take, in bytes.
MEMORY_LIMIT = 2**30
# What one may take that joins a group of processes with a limit: in bytes.
GROUP_MEMORY = 2**26


def die(how):
    """Ends this process, or runs out of memory: a signal's name, "exit" or "memory"."""
    if how == "memory":
        return bytearray(MEMORY_LIMIT)
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), getattr(signal, how))
    time.sleep(FOR_EVER)


class DiesWhenRead:
    """Whoever unpickles it dies."""

    def __init__(self, how):
        self.how = how

    def __reduce__(self):
        return die, (self.how,)


class DiesWhenWritten:
    """Whoever pickles it dies."""

    def __init__(self, how):
        self.how = how

    def __reduce__(self):
        die(self.how)


def neighbour(number, seconds=0):
    """A task that harms nobody, and who ran it."""
    if seconds:
        time.sleep(seconds)
    return number, os.getpid()


def echo(number, load, seconds):
    """Takes its time and gives back what it got, and who ran it."""
    time.sleep(seconds)
    return number, load, os.getpid()


def with_argument(argument):
    return argument


def with_result(how):
    return DiesWhenWritten(how)


def count_and(counter, end):
    """Leaves a byte in a file for each time that it was begun, and ends well, by an error, never, or by a death."""
    with open(counter, "ab") as file:
        file.write(b"x")
    if end == "well":
        return counter
    if end == "error":
        raise LookupError(counter)
    if end == "never":
        time.sleep(FOR_EVER)
    die(end)


def die_at_first(marker, how):
    """Dies in the first process that comes here alone."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    die(how)


def tell(path):
    """Writes down who runs this, for those who look before it has ended."""
    unfinished = Path(f"{path}.unfinished")
    unfinished.write_text(f"{os.getpid()} {time.monotonic()}")
    unfinished.rename(path)


def tell_and_stay(path):
    tell(path)
    time.sleep(FOR_EVER)


def tell_and_wait(path, for_what):
    tell(path)
    wait_for(for_what)


def tell_and_pause(path, seconds):
    tell(path)
    time.sleep(seconds)


def wait_and_die(path, told, how):
    """Says that it has begun, and dies as soon as there is a file."""
    tell(told)
    wait_for(path)
    die(how)


def die_later(path, how):
    """Ends well, and its process dies as soon as there is a file: by then it is idle."""
    threading.Thread(target=lambda: wait_for(path) or die(how), daemon=True).start()
    return os.getpid()


def exhaust(group):
    """Takes more memory than a group of processes may have that this one joins: the kernel kills it."""
    Path(group, "cgroup.procs").write_text(str(os.getpid()))
    return len(b"x" * GROUP_MEMORY * 2)


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.001)


def pause(seconds):
    time.sleep(seconds)
    return seconds


def nothing(*_arguments):
    pass
