"""A started process's end: the one place where threads and coroutines wait for it, and where its exit status is noted.

Everybody waits on the process itself, through a descriptor of the waiter's own: a pidfd; for a child of the fork server, a
copy of the pipe through which the server tells its status. Whoever sees the end first notes the status.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import sys
import threading
import time
from multiprocessing import popen_fork, popen_forkserver, popen_spawn_posix

from oneloom import _native, _report
from oneloom._worker_died import out_of_memory_kills

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Callable, Iterator
    from typing import Any

    from oneloom._report import _Party

# In milliseconds: after how long a wait is shown to other processes, and how often it looks for a deadlock then.
_NAP, _FIRST_LOOK, _RAREST_LOOK = 20, 1000, 60_000


@contextlib.contextmanager
def preparing_child() -> Iterator[None]:
    """While multiprocessing collects what a child is told.

    Its default does not pass for the program's choice of a start method afterwards. A main module that came by standard
    input has a file only by name: without that, no child tries to import it.
    """
    chosen = multiprocessing.get_start_method(allow_none=True)
    main = vars(sys.modules["__main__"])
    came_by_input = main.get("__file__") == "<stdin>"
    if came_by_input:
        del main["__file__"]
    try:
        yield
    finally:
        if came_by_input:
            main["__file__"] = "<stdin>"
        if chosen is None:
            multiprocessing.set_start_method(None, force=True)


class KnownEnd(popen_fork.Popen):
    """A started process whose end any number of threads and coroutines may wait for.

    The standard library's waits for the end of a pipe, which a grandchild may keep open, and two threads that wait at
    once take the exit status from each other.
    """

    #: Whether somebody else has waited for the child, or SIGCHLD is ignored: then nobody knows how it ended.
    status_is_lost = False
    #: Whether the kernel has killed a process for lack of memory while this one ran.
    out_of_memory = False

    def __init__(self, process_obj: Any) -> None:
        self.name = process_obj.name
        self._parent = os.getpid()
        self._noting = threading.RLock()  # A signal handler may come while its thread holds it.
        self._is_noting = False
        self._out_of_memory_kills = out_of_memory_kills()
        with preparing_child():
            super().__init__(process_obj)

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """The exit code if the process has ended."""
        return self.wait(0 if flag == os.WNOHANG else None)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end in a thread, for at most `timeout` seconds; the exit code, None if it has not ended."""
        # In a child of this process it is a stranger.
        if self.returncode is None and os.getpid() == self._parent:
            who = "thread", threading.get_ident(), threading.get_native_id(), None
            with self._shown_to_wait(who, timeout):
                is_over = self._is_over(timeout)
            if is_over:
                self._note_end()
        return self.returncode

    async def wait_async(self, timeout: float | None = None) -> int | None:
        """Wait for the end in a coroutine, for at most `timeout` seconds; the exit code, None if it has not ended."""
        if self.poll() is None:
            import asyncio

            loop = asyncio._get_running_loop()
            if loop is None:
                raise RuntimeError(
                    "no running asyncio event loop: await this from a coroutine that asyncio runs (oneloom.run(main()), "
                    "asyncio.run), or use join() or result()"
                )
            with self._shown_to_wait(("task", asyncio.current_task(loop), 0, None), timeout):
                is_over = await self._is_over_async(loop, timeout)
            if is_over:
                self._note_end()
        return self.returncode

    @contextlib.contextmanager
    def _shown_to_wait(self, who: _Party, timeout: float | None) -> Iterator[None]:
        """`oneloom.dump()` shows the wait meanwhile."""
        wait = object()
        if timeout is None or timeout > 0:
            _waits[wait] = who, self, time.clock_gettime_ns(time.CLOCK_MONOTONIC), timeout is not None
        try:
            yield
        finally:
            _waits.pop(wait, None)

    def _is_over(self, timeout: float | None) -> bool:
        end = None
        if self.method != "forkserver":
            try:
                end = self._open_end()
            except ProcessLookupError:
                return True
            except OSError:
                pass  # No descriptor is left: the sentinel is as good, unless a grandchild keeps it open.
        try:
            look = select.poll()
            look.register(self.sentinel if end is None else end, select.POLLIN)
            return self._is_over_at_last(look) if timeout is None else bool(look.poll(max(timeout, 0) * 1000))
        finally:
            if end is not None:
                os.close(end)

    def _is_over_at_last(self, look: select.poll) -> bool:
        """Wait without a limit, as one who may be part of a deadlock. A short wait pays nothing for that."""
        if look.poll(_NAP):
            return True
        join = _native.LongJoin(self.pid, self.name)
        try:
            pause = _FIRST_LOOK
            join.look(False)
            while not look.poll(pause):
                pause = min(2 * pause, _RAREST_LOOK)
                join.look(True)
        finally:
            join.leave()
            del join  # It belongs to this thread, and whoever reports on others may keep this frame for longer.
        return True

    async def _is_over_async(self, loop: AbstractEventLoop, timeout: float | None) -> bool:
        try:
            end = self._open_end()
        except ProcessLookupError:
            return True
        try:
            future: Future[bool] = loop.create_future()
            loop.add_reader(end, _settle, future, True)
            timer = None if timeout is None else loop.call_later(max(timeout, 0), _settle, future, False)
            try:
                return await future
            finally:
                if timer is not None:
                    timer.cancel()
                loop.remove_reader(end)
        finally:
            os.close(end)

    def _open_end(self) -> int:
        """A descriptor of the caller's own that is readable once the process has ended. ProcessLookupError if it is gone."""
        if self.method == "forkserver":
            return os.dup(self.sentinel)  # The server tells the status there.
        return os.pidfd_open(self.pid)

    def _note_end(self) -> None:
        with self._noting:
            if self.returncode is not None or self._is_noting:
                return
            self._is_noting = True
            try:
                # First, because others read it as soon as they see the exit status.
                self.out_of_memory = out_of_memory_kills() != self._out_of_memory_kills
                if super().poll(0) is None:
                    self.status_is_lost = True
                    self.returncode = 255  # As the standard library has it for forkserver.
            finally:
                self._is_noting = False


class _Spawned(KnownEnd, popen_spawn_posix.Popen):
    pass


class _ForkServed(KnownEnd, popen_forkserver.Popen):
    pass


STARTED_BY: dict[str, Callable[[Any], KnownEnd]] = {"fork": KnownEnd, "spawn": _Spawned, "forkserver": _ForkServed}


# Who waits, for what, since when, and whether with a timeout.
_waits: dict[object, tuple[_Party, KnownEnd, int, bool]] = {}


def _waits_now() -> list[tuple[_Party, str, int, bool]]:
    """For `oneloom.dump()`. A child's list began with those of its parent's threads, which are not there."""
    return [
        (who, f"process {started.name!r} (pid {started.pid})", since, is_timed)
        for who, started, since, is_timed in list(_waits.values())
        if started._parent == os.getpid()
    ]


_report.process_waits = _waits_now


def _settle(future: Future[bool], value: bool) -> None:
    if not future.done():
        future.set_result(value)
