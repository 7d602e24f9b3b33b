"""What the tests share: a deadline for every test, waiting for a condition, and programs run as children.

`from conftest import …` works in every test file, because pytest puts this folder on `sys.path`.
A test that hangs ends the whole run with the stacks of all threads: a hang is a failure, never a wait.
"""

import contextlib
import faulthandler
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from dataclasses import dataclass

import pytest

import oneloom.shared

TEST_DEADLINE = 120.0
PROGRAM_DEADLINE = 30.0

# Multiplies the number of rounds in the tests that try their luck against the scheduler.
STRESS = float(os.environ.get("ONELOOM_STRESS", "1"))

_terminal = None

# What tests have to say at the end of the run: figures that are no failure.
totals: list[str] = []


def pytest_configure(config):
    global _terminal
    # pytest redirects descriptor 2 while a test runs; the stacks of a hang must still reach the terminal.
    _terminal = os.fdopen(os.dup(2), "w")
    # A run in the background may have Ctrl-C ignored, and the programs that it starts would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "deadline(seconds): how long this test may take before the run is ended")


def pytest_terminal_summary(terminalreporter):
    for line in totals:
        terminalreporter.write_line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    marker = item.get_closest_marker("deadline")
    seconds = marker.args[0] if marker else TEST_DEADLINE
    if item.get_closest_marker("stress"):
        seconds *= max(1, STRESS)
    faulthandler.dump_traceback_later(seconds, exit=True, file=_terminal)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def seed():
    """A seed that pytest shows when the test fails; `ONELOOM_SEED` repeats a run."""
    value = int(os.environ.get("ONELOOM_SEED", random.SystemRandom().randrange(2**32)))
    print(f"ONELOOM_SEED={value}")
    return value


def wait_until(predicate, deadline=10.0, message=None):
    """Poll until `predicate()` is true and return its value; fail after `deadline` seconds."""
    end = time.monotonic() + deadline
    pause = 0.0002
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(message or f"still false after {deadline} s: {predicate}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


@pytest.fixture
def gate():
    """An event on which threads and processes of a test wait; set at the end in any case."""
    event = oneloom.shared.Event()
    yield event
    event.set()


def has_ended(pid):
    """Whether a process runs no more, although perhaps nobody has waited for it yet."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def in_fork(check):
    """Run `check` in a forked child; its status, 0 if it returned."""
    pid = os.fork()
    if not pid:
        try:
            check()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def start_thread(target, *args):
    """A standard daemon thread: a failing test must not keep the interpreter alive."""
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    return thread


@dataclass(frozen=True)
class Finished:
    """How a child program ended; `status` is negative for a death by signal, as in `subprocess`."""

    status: int
    out: str
    err: str
    seconds: float
    timed_out: bool

    def check(self, status=0):
        """Fail unless the program ended in time with this status; returns itself."""
        assert not self.timed_out, f"the program hung\n{self}"
        assert self.status == status, f"status {self.status}, expected {status}\n{self}"
        return self

    def __str__(self):
        return (
            f"status {self.status}, {self.seconds:.2f} s, timed_out={self.timed_out}\n"
            f"--- out ---\n{self.out}\n--- err ---\n{self.err}"
        )


def child_environment(env=None):
    """The environment of a child: ours, without what would change a test's meaning."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    # A handler for fatal signals might count as a signal handler of the program's own.
    environment.pop("PYTHONFAULTHANDLER", None)
    environment.pop("ONELOOM_DEADLOCK", None)
    # This folder, so that a child can use the table of methods and the oracle.
    here = os.path.dirname(os.path.abspath(__file__))
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    environment.update(env or {})
    return environment


@contextlib.contextmanager
def program(code, *arguments, options=(), env=None, command=None, stdin=subprocess.DEVNULL):
    """Start a child Python program, give its `Popen`, and leave nothing of it behind."""
    command = command or [sys.executable, *options, "-c", textwrap.dedent(code), *map(str, arguments)]
    child = subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(env),
        # Its own session: a signal that the terminal sends to us is not the one that a test sends to it.
        start_new_session=True,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        for stream in filter(None, (child.stdin, child.stdout, child.stderr)):
            stream.close()


def thread_states(pid):
    """One line for each thread of a process: its name, its state and where in the kernel it waits."""
    lines = []
    with contextlib.suppress(OSError):
        for thread in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/task/{thread}/stat") as stat, open(f"/proc/{pid}/task/{thread}/wchan") as wchan:
                    name, _, rest = stat.read().partition("(")[2].rpartition(")")
                    lines.append(f"{thread} {name} {rest.split()[0]} {wchan.read()}")
    return "\n".join(lines)


def finish(child, timeout=PROGRAM_DEADLINE):
    """Wait for a child's end and collect what it wrote; past the deadline, note what its threads do and kill it."""
    started = time.monotonic()
    timed_out = False
    try:
        out, err = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        timed_out = True
        threads = thread_states(child.pid)
        child.kill()
        out, err = child.communicate()
        err += f"\n--- threads when it was killed ---\n{threads}"
    return Finished(child.returncode, out, err, time.monotonic() - started, timed_out)


@contextlib.contextmanager
def script(folder, code, *arguments, options=(), env=None):
    """As `program`, from a file, so that children can import its main module."""
    path = folder / "script.py"
    path.write_text(textwrap.dedent(code))
    with program(None, command=[sys.executable, *options, str(path), *map(str, arguments)], env=env) as child:
        yield child


def run_script(folder, code, *arguments, timeout=PROGRAM_DEADLINE, options=()):
    """As `run_program`, from a file."""
    with script(folder, code, *arguments, options=options) as child:
        return finish(child, timeout)


def run_program(code, *arguments, timeout=PROGRAM_DEADLINE, options=(), env=None):
    """Run `code` as a program of its own until it ends, or until `timeout` kills it."""
    with program(code, *arguments, options=options, env=env) as child:
        return finish(child, timeout)
