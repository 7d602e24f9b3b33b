"""Starting a pool's workers, by the standard library's means, and telling how they ended."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import threading
from multiprocessing import forkserver, process, resource_tracker, spawn
from signal import SIG_BLOCK, SIG_SETMASK, SIGINT, pthread_sigmask

from oneloom import shared
from oneloom._pool import pickling, worker
from oneloom._process import MAIN_GUARD, SAID_WHY
from oneloom._process_end import STARTED_BY, KnownEnd, preparing_child
from oneloom._worker_died import WorkerDied, in_words

# What the first task and the first death import, and multiprocessing for the first child, is imported before the pool has
# threads: who is forked while one of them imports finds the lock of that import taken for ever.
import ast  # noqa: E402, F401
import subprocess  # noqa: E402, F401
import tokenize  # noqa: E402, F401

from oneloom import _future  # noqa: E402, F401
from oneloom._pool import results  # noqa: E402, F401

if sys.version_info >= (3, 14):
    import hmac  # noqa: F401
    import tempfile  # noqa: F401

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def default_start_method() -> str:
    """The program's own choice, else the fork server, which starts fast and copies no threads' locks."""
    chosen = multiprocessing.get_start_method(allow_none=True)
    if chosen is not None:
        return chosen
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def _imports_main() -> bool:
    """Whether this is a child that imports the main module."""
    return bool(getattr(process.current_process(), "_inheriting", False))


def _leave_the_parents_fork_server() -> None:
    """In the child of a fork: the fork server is none of its children, and locks may be held by who is not here."""
    server: Any = forkserver._forkserver
    preloaded = server._preload_modules
    server.__init__()
    server._preload_modules = preloaded
    tracker: Any = resource_tracker._resource_tracker
    tracker._lock._at_fork_reinit()


os.register_at_fork(after_in_child=_leave_the_parents_fork_server)


class Plan:
    """All that workers of a pool are told at their start, however often they are replaced."""

    def __init__(
        self,
        name: str,
        start_method: str | None,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        memory_limit: int | None,
    ) -> None:
        self.name = name
        self._start_method = start_method
        # Where it is not known yet: a child that imports the main module is told of multiprocessing's default as if that
        # were the program's choice.
        self._method = start_method or (None if _imports_main() else default_start_method())
        self.initializer = None if initializer is None else pickling.Call(initializer, initargs)
        self.memory_limit = memory_limit
        self.main = None if _imports_main() else Main()

    def start(self, seat: bytes, family: tuple[int, int | None], number: int) -> Worker:
        """Start a worker for a seat of the pool."""
        if self._start_method != "fork" and _imports_main():
            raise RuntimeError(f"no workers can be started while a child imports the main module. {MAIN_GUARD}")
        method = self._method or default_start_method()
        try:
            return self._start(method, seat, family, number)
        except RuntimeError:
            if method != "fork" or not threading._SHUTTING_DOWN:  # type: ignore[attr-defined]
                raise
        # CPython 3.12 does not fork any more when the program has come to its end.
        return self._start("spawn", seat, family, number)

    def _start(self, method: str, seat: bytes, family: tuple[int, int | None], number: int) -> Worker:
        started = Worker(self, method, seat, family, f"{self.name}-{number}")
        try:
            if method != "fork":
                # They last, and would pass on to others' processes what is blocked here.
                with preparing_child():
                    (forkserver if method == "forkserver" else resource_tracker).ensure_running()
            # A Ctrl-C before the worker is ready for it would end it.
            before = pthread_sigmask(SIG_BLOCK, (SIGINT,))
            try:
                started.start()
            finally:
                pthread_sigmask(SIG_SETMASK, before)
        except (EOFError, ConnectionError) as error:
            told = f"the fork server ended before it started {started.name}"
            raise RuntimeError(f"{told}; {SAID_WHY} {MAIN_GUARD}") from error
        started.forget_start()
        return started


class Worker(multiprocessing.Process):
    """One worker's process, as its owner sees it."""

    def __init__(self, plan: Plan, method: str, seat: bytes, family: tuple[int, int | None], name: str) -> None:
        super().__init__(name=name, daemon=False)
        self._method = method
        self._crash = worker.Crash()
        self._orders = worker.Orders(
            main=plan.main,
            seat=seat,
            passport=Passport(*family),
            crash=self._crash,
            initializer=plan.initializer,
            memory_limit=plan.memory_limit,
            logged=_levels(),
            start_method=multiprocessing.get_start_method(allow_none=True),
        )

    def _Popen(self, process_obj: Worker) -> KnownEnd:  # type: ignore[override]
        return STARTED_BY[self._method](process_obj)

    def run(self) -> None:
        """In a child by fork."""
        worker.work(self._orders)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        # Nothing that only its owner needs is imported in a child that is started anew.
        return worker.InChild, (vars(self),)

    def forget_start(self) -> None:
        """Drop what only the child needs."""
        del self._orders

    def ended(self) -> KnownEnd:
        """Note how it ended; it has."""
        self.join()
        started: KnownEnd = self._popen  # type: ignore[attr-defined]
        return started

    def died(self, doing: str) -> WorkerDied:
        """The error of the task that it ran."""
        return self._end(f"while it ran {doing}")

    def never_ready(self) -> WorkerDied:
        """The error of tasks for which there is no worker, because several in a row ended as this one did."""
        cure = "" if self._method == "fork" else f" {MAIN_GUARD}"
        return self._end("before it was ready, as those before it did", f"; {SAID_WHY}{cure}")

    def _end(self, when: str, hint: str = "") -> WorkerDied:
        started = self.ended()
        who = f"the worker {self.name} (pid {self.pid})"
        exitcode = started.returncode
        assert exitcode is not None
        if started.status_is_lost:
            return WorkerDied(
                f"{who} ended {when}. How is not known: SIGCHLD is ignored, or somebody else has waited for it{hint}"
            )
        crash = self._crash.read()
        how = in_words(exitcode, started.out_of_memory, stack_is_known=bool(crash))
        return WorkerDied(f"{who} {how} {when}{hint}" + (f"\n\n{crash}" if crash else ""), exitcode)


class Main:
    """Has a child import the program's main module, if it has not done so.

    It learns of that module in a way of its own, but no more when the module has come to its end: then the interpreter takes
    the file's name away from it. A pool that was not shut down may start workers still.
    """

    def __init__(self) -> None:
        with preparing_child():
            self._path = spawn.get_preparation_data("").get("init_main_from_path")

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (tuple, ()) if self._path is None else (spawn._fixup_main_from_path, (self._path,))  # type: ignore[attr-defined]


class Passport:
    """Brings a child that is being started into the family of shared objects; one that is forked is in it."""

    def __init__(self, family: int, descriptor: int | None) -> None:
        self._family = family, descriptor

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return tuple, ((shared._passport(*self._family),),)


def _levels() -> dict[str, int] | None:
    """The levels of this process's loggers, where it has any; the root's name is empty."""
    manager = logging.root.manager
    levels = {
        name: logger.level
        for name, logger in manager.loggerDict.items()
        if isinstance(logger, logging.Logger) and logger.level != logging.NOTSET
    }
    levels[""] = logging.root.level
    return levels
