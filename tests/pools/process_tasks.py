"""What workers do in the tests of process pools: importable, so that every start method finds it."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time

from oneloom.shared import Event, Queue

METHODS = ("fork", "spawn", "forkserver")
PATIENCE = 30

state = {}


def remember(**what):
    state.update(what)


def recall(name):
    return state[name]


def nothing():
    pass


def identity(x):
    return x


def pid_of(_=None):
    return os.getpid()


def fail(text):
    raise ValueError(text)


def fail_first(tries, count):
    """Fails as often as `count` says; `tries` is a shared queue that counts."""
    tries.put(os.getpid())
    if tries.qsize() <= count:
        raise OSError(f"try {tries.qsize()}")
    return tries.qsize()


def kill_first(tries, count, load):
    """The same with deaths; gives its load."""
    tries.put(os.getpid())
    if tries.qsize() <= count:
        os.kill(os.getpid(), signal.SIGKILL)
    return load


def leave(status):
    os._exit(status)


def kill(number):
    os.kill(os.getpid(), number)


def crash():
    ctypes.string_at(0)


def wait_for(gate: Event, then=None):
    gate.wait()
    return then


def note_and_wait(notes: Queue, gate: Event):
    notes.put(os.getpid())
    gate.wait()


def sleep(seconds):
    time.sleep(seconds)
    return seconds


def log(name, level, text):
    logging.getLogger(name).log(level, text)


def log_failure(name):
    try:
        raise KeyError("lost")
    except KeyError:
        logging.getLogger(name).exception("it failed")


def say(text):
    print(text)
    print(text, file=sys.stderr)


def array_of(count):
    import numpy

    return numpy.arange(count, dtype="f8")


def total(array):
    return float(array.sum()), bool(array.flags.writeable)


def unpicklable():
    return {"lock": [1, threading.Lock()]}


def send_over(connection, what):
    connection.send(what)


class BadArgument:
    """Pickles, and kills whoever unpickles it, or raises there."""

    def __init__(self, status=None):
        self.status = status

    def __reduce__(self):
        return _unpickle_badly, (self.status,)


def _unpickle_badly(status):
    if status is not None:
        os._exit(status)
    raise RuntimeError("not here")


class BadResult:
    """Dies, or raises, when it is pickled."""

    def __init__(self, status=None):
        self.status = status

    def __getstate__(self):
        if self.status is not None:
            os._exit(self.status)
        raise RuntimeError("not in this state")


class OddError(Exception):
    """Can't be unpickled, because its `__init__` wants more than is pickled."""

    def __init__(self, one, two):
        super().__init__(one)


def raise_odd():
    raise OddError(1, 2)


def leave_with(status):
    sys.exit(status)


def fork_and_return():
    """The child of the task comes back where the worker goes on."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return os.getpid()


def have_child():
    import multiprocessing

    child = multiprocessing.get_context("fork").Process(target=nothing)
    child.start()
    child.join()
    return child.exitcode


def handler_of_ctrl_c_in_a_program():
    code = "import signal; print(getattr(signal.getsignal(signal.SIGINT), '__name__', 'none'))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def remember_pair(name, lock):
    with lock:
        state["first"] = name


def recall_first():
    return state["first"]


def describe_thread():
    thread = threading.current_thread()
    blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    return thread is threading.main_thread(), thread.name, thread.daemon, blocked


def sum_in_a_pool(numbers):
    import oneloom

    with oneloom.ProcessPool(1, start_method="fork") as pool:
        return pool.submit(sum, numbers).result()


def send_mask(connection):
    connection.send(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
