"""What the contract's tests have pools do: functions that every kind of worker can import."""

import os
import signal
import threading
import time
from pathlib import Path

import oneloom


def square(number):
    return number * number


def add(left, right=0):
    return left + right


def fail(what):
    raise ValueError(what)


def fail_at(bad, number):
    if number == bad:
        raise ValueError(number)
    return number


def kill_at(bad, number):
    if number == bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def nap(seconds, value=None):
    """Sleeps for so long, or until it is cancelled."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not oneloom.cancelled():
        time.sleep(min(left, 0.01))
    return value


def raise_stop(_number):
    raise StopIteration


def refuse_to_start(why):
    raise LookupError(why)


def fail_until(path, times):
    """Fail the first `times` times; which time it is stands in a file, because each may be in another process."""
    with open(path, "a+") as file:
        file.write("x")
        file.flush()
        file.seek(0)
        tries = len(file.read())
    if tries <= times:
        raise ValueError(f"try {tries}")
    return tries


def until_cancelled():
    while not oneloom.cancelled():
        time.sleep(0.001)


def who_works(seconds):
    """Which worker it is, after a while."""
    if seconds:
        time.sleep(seconds)
    return os.getpid(), threading.current_thread().name


def leave(path):
    """A file as a trace."""
    Path(path).touch()
