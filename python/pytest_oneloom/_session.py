"""What the pytest plugin does beside the tests: each one's time-out, its deadlock policy, and notes in its report."""

from __future__ import annotations

import os
import sys
import threading
from weakref import WeakKeyDictionary

import pytest

from oneloom import DeadlockError, _report, deadlock
from pytest_oneloom import seconds_of
from pytest_oneloom._watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    _Wrapper = Generator[None, Any, Any]

# Whose frames stand below every test and say nothing about it.
_RUNNERS = (__package__, "pytest", "_pytest", "pluggy", "xdist", "execnet")
# As a wrapper, the innermost: what it wraps is the test's own code and its fixtures', not that of other plugins.
_around = pytest.hookimpl(wrapper=True, trylast=True)


class Session:
    """The hooks of one test run.

    They wrap a test's phases, not its whole protocol: a plugin that repeats tests repeats their phases.
    """

    def __init__(self, config: pytest.Config, seconds: float) -> None:
        self._seconds = seconds
        self._watch = Watch(config, self._older_threads)
        self._policy: deadlock.policy | None = None
        self._notes: list[str] = []
        # Who has outlived which test; "" for what was there before any.
        self._outlived: WeakKeyDictionary[threading.Thread, str] = WeakKeyDictionary()
        self._see_who_outlives("")
        self._excepthook = threading.excepthook
        threading.excepthook = self._note_thread
        self._outer_listener = _report.listener  # A test of a plugin may run pytest in its own process.
        _report.listener = self._notes.append
        runners = [sys.modules[name].__file__ or "" for name in _RUNNERS if name in sys.modules]
        _report.uninteresting += tuple(os.path.dirname(file) + os.sep for file in runners)

    def pytest_unconfigure(self) -> None:
        _report.listener = self._outer_listener
        if threading.excepthook == self._note_thread:
            threading.excepthook = self._excepthook
        self._watch.close()

    @_around
    def pytest_runtest_setup(self, item: pytest.Item) -> _Wrapper:
        with self._watch:
            self._begin(item)
            return (yield)

    @_around
    def pytest_runtest_call(self) -> _Wrapper:
        with self._watch:
            return (yield)

    @_around
    def pytest_runtest_teardown(self, item: pytest.Item) -> _Wrapper:
        try:
            with self._watch:
                return (yield)
        finally:
            self._watch.lift("oneloom")
            if self._policy is not None:
                self._policy.__exit__()
                self._policy = None
            self._see_who_outlives(item.nodeid)

    def _begin(self, item: pytest.Item) -> None:
        """Do what the test's markers ask for. Several may apply to one: for each setting, the closest that has it."""
        wanted: dict[str, Any] = {"timeout": self._seconds}
        for marker in reversed(list(item.iter_markers("oneloom"))):
            if marker.args or not marker.kwargs.keys() <= {"timeout", "cycles", "tasks"}:
                pytest.fail(f"the marker oneloom takes timeout=, cycles= and tasks=: {marker}", pytrace=False)
            wanted.update(marker.kwargs)
        try:
            seconds = seconds_of(wanted.pop("timeout"), "timeout")
            if wanted:
                self._policy = deadlock.policy(**wanted)
        except (pytest.UsageError, TypeError, ValueError) as error:
            raise pytest.fail.Exception(f"the marker oneloom: {error}", pytrace=False) from None
        if seconds:
            self._watch.limit("oneloom", f"took longer than {seconds:g} s: {item.nodeid}", seconds)

    # --- notes in the report ---

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        if self._notes:
            item.add_report_section(call.when, "oneloom", "\n".join(self._notes))
            self._notes.clear()

    def _note_thread(self, args: threading.ExceptHookArgs) -> None:
        if issubclass(args.exc_type, DeadlockError):
            name = f"thread {args.thread.name!r}" if args.thread is not None else "a thread"
            self._notes.append(f"DeadlockError in {name}: {args.exc_value}")
        self._excepthook(args)

    def _see_who_outlives(self, test: str) -> None:
        for thread in threading.enumerate():
            if thread is not threading.current_thread():
                self._outlived.setdefault(thread, test)

    def _older_threads(self) -> str:
        """Who is there since earlier tests: what it holds and waits for need not be this test's doing."""
        threads = [(thread, test) for thread, test in self._outlived.items() if test and thread.is_alive()]
        return "\n".join(f"thread {thread.name!r} is there since {test}" for thread, test in threads)

    # --- others who have a say in when a test is late ---

    def pytest_leave_pdb(self) -> None:
        self._watch.restart()

    @pytest.hookimpl(optionalhook=True)
    def pytest_timeout_set_timer(self, item: pytest.Item, settings: Any) -> bool | None:
        # In the place of pytest-timeout's own timer, as it offers: its limits, kept here with all that is told here.
        if settings.disable_debugger_detection:
            return None
        title = f"Timeout (>{settings.timeout}s) from pytest-timeout: {item.nodeid}"
        spared = "pytest-timeout is not to interrupt it." if settings.method == "thread" else ""
        self._watch.limit("pytest-timeout", title, settings.timeout, spared)
        return True

    @pytest.hookimpl(optionalhook=True)
    def pytest_timeout_cancel_timer(self) -> bool | None:
        return self._watch.lift("pytest-timeout") or None
