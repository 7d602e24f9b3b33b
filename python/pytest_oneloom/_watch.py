"""Time-outs of tests: a thread that looks at the clock, and a signal by which it interrupts the main thread.

The thread only rings. Whether the test is late is decided by the signal's handler, on the main thread, so nobody is
struck for the test before; and it strikes only inside a phase, never in pytest's own code between two. What it raises
ends any wait that lets signal handlers run, oneloom's among them. Where that does not help, the process ends, as it
would have to be ended from outside otherwise.

It is one of oneloom's own threads, and the handler only ever ends a wait: both are no help that a deadlock could hope
for, and so a test that is timed is told of its deadlocks like any other.
"""

from __future__ import annotations

import _thread
import io
import os
import signal
import sys
import threading
import time
from typing import NamedTuple

import pytest

from oneloom import _native, _report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, NoReturn

    from _pytest.outcomes import Failed
else:
    Failed = pytest.fail.Exception

# Hardly any program uses one of these, while SIGALRM and its timer are what programs and other plugins use.
_SIGNAL = signal.SIGRTMAX - 1
# How often a late test is rung for, and how soon again where it is between two phases. In seconds.
_AGAIN = 0.1
# A test that is still in the same phase after so many strikes catches them.
_STRIKES = 3
_DEBUGGERS = ("bdb", "pdb", "pydevd", "_pydevd")


class Limit(NamedTuple):
    """Until when a test may run."""

    title: str  # What its failure says first.
    seconds: float
    end: float
    spared: str  # Why it can't be interrupted: then the process ends. Empty if it can.
    strikes: int = 0

    def grace(self) -> float:
        """How long a late test may take to be interrupted. In seconds."""
        return min(max(self.seconds, 1), 10)


def _now() -> float:
    # Tests like to replace the functions of `time` that tell it.
    return time.clock_gettime(time.CLOCK_MONOTONIC)


class _Interrupt(Failed, KeyboardInterrupt):
    """A failure that event loops let pass: what else their callbacks raise, they log, and go on."""


class Watch:
    """The limits of the test that runs, and what happens at their end."""

    def __init__(self, config: pytest.Config, remarks: Callable[[], str]) -> None:
        self._config = config
        self._remarks = remarks
        # The terminal: while a test runs, pytest keeps what is written to descriptor 2.
        self._terminal = os.fdopen(os.dup(2), "w", errors="backslashreplace")
        # By who set them. Never changed, but replaced, because the thread and the handler may look at any time.
        self._limits: dict[str, Limit] = {}
        self._in_phase = False
        self._failure: Failed | None = None
        self._bell: _thread.LockType | None = None
        self._main = threading.get_ident()
        # The handler of a run of pytest in one of whose tests this one runs.
        self._outer: Callable[[int, FrameType | None], Any] | None = None

    def limit(self, source: str, title: str, seconds: float, spared: str = "") -> None:
        """From now on, the test may take so many seconds."""
        self._start()
        if threading.current_thread() is threading.main_thread():
            before = signal.signal(_SIGNAL, self._strike)
            if callable(before) and before != self._strike:
                self._outer = before
        else:
            spared = "It does not run on the main thread, and can't be interrupted."
        self._set(source, Limit(title, seconds, _now() + seconds, spared))

    def lift(self, source: str) -> bool:
        """Take a limit back. Whether there was one."""
        limits = dict(self._limits)
        limit = limits.pop(source, None)
        self._limits = limits
        return limit is not None

    def restart(self) -> None:
        """Every limit begins again: the time until now was a debugger's."""
        for source, limit in self._limits.items():
            self._set(source, limit._replace(end=_now() + limit.seconds))

    def close(self) -> None:
        """No more tests."""
        self._limits = {}
        if self._outer is not None:
            signal.signal(_SIGNAL, self._outer)
        self._terminal.close()

    # --- on the main thread ---

    def __enter__(self) -> None:
        """A phase of a test begins: it may be struck."""
        self._failure = None
        self._in_phase = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        self._in_phase = False
        failure, self._failure = self._failure, None
        self._limits = {source: limit._replace(strikes=0) for source, limit in self._limits.items()}
        if failure is None:
            return
        if error is None or isinstance(error, _Interrupt):
            # The test was late even if it has caught what told it; and pytest itself would be interrupted.
            raise Failed(failure.msg).with_traceback(failure.__traceback__) from None
        if error is not failure:
            error.add_note(str(failure))

    def _strike(self, number: int, frame: FrameType | None) -> None:
        __tracebackhide__ = True
        for source, limit in sorted(self._limits.items(), key=lambda item: item[1].end):
            if limit.spared or limit.end > _now():
                continue
            if _is_debugged():
                self._set(source, limit._replace(end=_now() + limit.seconds))
                continue
            if not self._in_phase or frame is None or frame.f_code is Watch.__exit__.__code__:
                self._set(source, limit._replace(end=_now() + _AGAIN))
                continue
            if limit.strikes + 1 == _STRIKES:
                self._end(limit, f"It was interrupted {limit.strikes} times, and went on.")
            # As long again for what is still to come: the rest of the test, and the fixtures' ends.
            self._set(source, limit._replace(end=_now() + limit.seconds, strikes=limit.strikes + 1))
            loop = _running_loop()
            swallowed = loop is not None and (limit.strikes > 0 or not loop.__module__.startswith("asyncio."))
            self._failure = (_Interrupt if swallowed else Failed)(self._text(limit))
            raise self._failure

    def _set(self, source: str, limit: Limit) -> None:
        self._limits = {**self._limits, source: limit}
        self._ring()

    def _start(self) -> None:
        if self._bell is None:
            self._bell = _thread.allocate_lock()
            self._bell.acquire()
            _thread.start_new_thread(self._look_at_clock, ())

    def _ring(self) -> None:
        assert self._bell is not None
        if self._bell.locked():
            self._bell.release()

    # --- on the thread ---

    def _look_at_clock(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        _native._own_thread()
        assert self._bell is not None
        while True:
            self._bell.acquire(timeout=self._look())

    def _look(self) -> float:
        """Ring for the limit that ends first if it is over. Seconds until the next look, -1 for never."""
        limits = self._limits
        if not limits:
            return -1
        limit = min(limits.values(), key=lambda limit: limit.end)
        late = _now() - limit.end
        if late < 0:
            return min(-late, threading.TIMEOUT_MAX)
        if limit.spared:
            self._end_unless_changed(limits, limit, limit.spared)
        elif late > limit.grace():
            self._end_unless_changed(limits, limit, "It can't be interrupted: where it is, signal handlers don't run.")
        else:
            signal.pthread_kill(self._main, _SIGNAL)
        return _AGAIN

    def _end_unless_changed(self, limits: dict[str, Limit], limit: Limit, why: str) -> None:
        if self._limits is limits:
            self._end(limit, why)

    def _end(self, limit: Limit, why: str) -> NoReturn:
        """End the process, having told all that is known."""
        try:
            print(f"\noneloom: {self._text(limit)}\n{why} So the whole process ends here.", file=self._terminal)
            for name, text in zip(("stdout", "stderr"), self._captured(), strict=True):
                if text:
                    print(f"--- captured {name} ---\n{text}", file=self._terminal)
        except Exception as error:
            print(f"oneloom: {error!r} while a time-out was told", file=self._terminal)
        finally:
            self._terminal.flush()
            os._exit(1)

    def _captured(self) -> tuple[str, str]:
        manager = self._config.pluginmanager.get_plugin("capturemanager")
        if manager is None:
            return "", ""
        manager.suspend_global_capture(in_=True)
        out, err = manager.read_global_capture()
        return out, err

    def _text(self, limit: Limit) -> str:
        waits = io.StringIO()
        _report.dump(file=waits)
        return "\n".join(filter(None, [limit.title, waits.getvalue().rstrip(), _report.elsewhere(), self._remarks()]))


def _running_loop() -> object:
    asyncio = sys.modules.get("asyncio")
    return asyncio._get_running_loop() if asyncio is not None else None


def _is_debugged() -> bool:
    """Whether a debugger follows the calling thread."""
    trace = sys.gettrace()
    module = getattr(trace, "__module__", None) or type(trace).__module__
    if module.startswith(_DEBUGGERS):
        return True
    if sys.version_info >= (3, 12):
        return sys.monitoring.get_tool(sys.monitoring.DEBUGGER_ID) is not None
    return False
