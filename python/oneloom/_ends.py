"""What has an end, and how to learn of it: futures of any make, threads, processes, and on a loop what asyncio has.

Each kind answers the same five questions. A `Watch` puts them together: the ends of many things arrive in one place, by
index, for one thread or coroutine that waits there.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import select
import sys
import threading
import time
from concurrent.futures import _base

from oneloom._native_future import Ends, Future
from oneloom._thread import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from oneloom._process import Process

    _Undo = Callable[[], object]


class OwnFutures:
    """oneloom's."""

    @staticmethod
    def has_ended(future: Future[Any]) -> bool:
        return future.done()

    @staticmethod
    def has_failed(future: Future[Any]) -> bool:
        """Whether it has ended with an exception."""
        return future._failed()

    @staticmethod
    def join(future: Future[Any], timeout: float | None) -> bool:
        """Wait in a thread; whether it has ended."""
        return future._wait(timeout)

    @staticmethod
    def result(future: Future[Any]) -> Any:
        """What it ended with, given or raised."""
        return future.result(0)

    @staticmethod
    def watch(watch: Watch, index: int, future: Future[Any]) -> None:
        """Have its end arrive."""
        watch.ends.watch(index, future)


class StandardFutures:
    """Those of `concurrent.futures`."""

    @staticmethod
    def has_ended(future: concurrent.futures.Future[Any]) -> bool:
        return future.done()

    @staticmethod
    def has_failed(future: concurrent.futures.Future[Any]) -> bool:
        return not future.cancelled() and future.exception(0) is not None

    @staticmethod
    def join(future: concurrent.futures.Future[Any], timeout: float | None) -> bool:
        with contextlib.suppress(TimeoutError, concurrent.futures.CancelledError):
            future.exception(timeout)
        return future.done()

    @staticmethod
    def result(future: concurrent.futures.Future[Any]) -> Any:
        return future.result(0)

    @staticmethod
    def watch(watch: Watch, index: int, future: concurrent.futures.Future[Any]) -> None:
        waiter = _Waiter(watch.ends, index)
        watch.ends.expect(index)
        with future._condition:
            if future.done():
                watch.ends.arrive(index)
                return
            future._waiters.append(waiter)
        watch.undo.append(lambda: _forget(future, waiter))


class _Waiter(_base._Waiter):
    """What the standard library tells of a future's end."""

    def __init__(self, ends: Ends, index: int) -> None:
        self._ends = ends
        self._index = index

    def _arrive(self, future: object) -> None:
        self._ends.arrive(self._index)

    add_result = add_exception = add_cancelled = _arrive


def _forget(future: concurrent.futures.Future[Any], waiter: _Waiter) -> None:
    with future._condition, contextlib.suppress(ValueError):
        future._waiters.remove(waiter)


class Threads:
    """`oneloom.Thread`."""

    @staticmethod
    def has_ended(thread: Thread[Any]) -> bool:
        end = thread._end()
        if end is not None and end.done():
            thread.join()  # Who waited was told already; what is left of the thread takes microseconds.
            return True
        return end is None

    @staticmethod
    def has_failed(thread: Thread[Any]) -> bool:
        return _raises(thread)

    @staticmethod
    def join(thread: Thread[Any], timeout: float | None) -> bool:
        thread.join(timeout)
        return not thread.is_alive()

    @staticmethod
    def result(thread: Thread[Any]) -> Any:
        return thread.result()

    @staticmethod
    def watch(watch: Watch, index: int, thread: Thread[Any]) -> None:
        end = thread._end()
        if end is None:
            watch.ends.arrive(index)
        else:
            watch.ends.watch(index, end)


class Processes:
    """`oneloom.Process`."""

    @staticmethod
    def has_ended(process: Process[Any]) -> bool:
        return process.exitcode is not None

    @staticmethod
    def has_failed(process: Process[Any]) -> bool:
        return _raises(process)

    @staticmethod
    def join(process: Process[Any], timeout: float | None) -> bool:
        process.join(timeout)
        return process.exitcode is not None

    @staticmethod
    def result(process: Process[Any]) -> Any:
        return process.result()

    @staticmethod
    def watch(watch: Watch, index: int, process: Process[Any]) -> None:
        process.join(0)  # Raises what is to be raised for a process that can't be joined.
        if watch.loop is not None:
            Tasks.watch(watch, index, task := watch.loop.create_task(process.join_async()))
            watch.undo.append(task.cancel)
        elif process.exitcode is not None:
            watch.ends.arrive(index)
        else:
            watch.look(index, process)


class Tasks:
    """Tasks and futures of asyncio, which only a coroutine of their own loop waits for."""

    @staticmethod
    def has_ended(task: asyncio.Future[Any]) -> bool:
        return task.done()

    @staticmethod
    def has_failed(task: asyncio.Future[Any]) -> bool:
        return not task.cancelled() and task.exception() is not None

    @staticmethod
    def result(task: asyncio.Future[Any]) -> Any:
        return task.result()

    @staticmethod
    def watch(watch: Watch, index: int, task: asyncio.Future[Any]) -> None:
        if task.get_loop() is not watch.loop:
            raise ValueError(f"{task!r} belongs to another event loop")

        def arrive(_task: object) -> None:
            watch_ends.arrive(index)

        watch_ends = watch.ends  # The watch itself is to end when nobody waits any more.
        watch_ends.expect(index)
        task.add_done_callback(arrive)
        watch.undo.append(lambda: task.remove_done_callback(arrive))


def kind_of(thing: Any) -> Any:
    """Which kind it is. TypeError if it has no end that could be waited for."""
    if isinstance(thing, Future):
        return OwnFutures
    if isinstance(thing, concurrent.futures.Future):
        return StandardFutures
    if isinstance(thing, Thread):
        return Threads
    processes = sys.modules.get("oneloom._process")
    if processes is not None and isinstance(thing, processes.Process):
        return Processes
    if (aio := sys.modules.get("asyncio")) is not None and aio.isfuture(thing):
        return Tasks
    raise TypeError(
        f"{thing!r} can't be waited for: neither a future nor an oneloom.Thread or oneloom.Process, nor, in a coroutine, "
        "something to await"
    )


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The asyncio loop that runs on this thread."""
    aio = sys.modules.get("asyncio")
    return None if aio is None else aio._get_running_loop()


def things_of(given: Iterable[Any], own: list[asyncio.Future[Any]] | None = None) -> list[Any]:
    """What can be waited for of all that is given; on a loop, coroutines and the like as tasks, which `own` is told of."""
    given, things = list(given), []
    for thing in given:
        if not hasattr(thing, "__await__"):
            kind_of(thing)  # What can't be waited for is told before any coroutine begins to run.
    for thing in given:
        if hasattr(thing, "__await__") and not isinstance(thing, (Future, Thread)):
            try:
                kind_of(thing)
            except TypeError:
                thing = _task_of(thing)
                if own is not None:
                    own.append(thing)
        kind_of(thing)
        things.append(thing)
    return things


def _task_of(awaitable: Any) -> asyncio.Future[Any]:
    if running_loop() is None:
        if hasattr(awaitable, "close"):
            awaitable.close()  # Otherwise it would be said never to have been awaited, too.
        raise TypeError(f"{awaitable!r} can only be waited for in a coroutine: no asyncio event loop runs on this thread")
    import asyncio

    task: asyncio.Future[Any] = asyncio.ensure_future(awaitable)
    return task


def _raises(thing: Any) -> bool:
    try:
        thing.result()
    except BaseException:
        return True
    return False


class Deadline:
    """A point in time, from which on there is no time left; or none."""

    def __init__(self, timeout: float | None) -> None:
        try:
            self.end = None if timeout is None else time.monotonic() + timeout
        except TypeError:
            raise TypeError(f"timeout must be a number of seconds or None, not {type(timeout).__name__}") from None

    def left(self) -> float | None:
        """How many seconds are left, 0 if none are; None without a limit."""
        return None if self.end is None else max(0.0, self.end - time.monotonic())


class Watch:
    """The ends of many things, which arrive in `ends` until it is closed. With a loop it is for a coroutine on that."""

    def __init__(self, things: Sequence[Any], loop: asyncio.AbstractEventLoop | None) -> None:
        self.undo: list[_Undo] = []
        self.ends = Ends()
        self.loop = loop
        self._looked_at: dict[int, int] = {}
        try:
            for index, thing in enumerate(things):
                kind = kind_of(thing)
                if kind is Tasks and loop is None:
                    raise TypeError(f"{thing!r} can't be waited for by a thread, only in a coroutine of its loop")
                kind.watch(self, index, thing)
            if self._looked_at:
                self._start_looking()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Take back what was asked of the things."""
        self.ends.close()
        while self.undo:
            self.undo.pop()()

    async def wait_async(self, count: int, timeout: float | None) -> bool:
        """Wait in a coroutine until `count` ends have arrived that were not taken yet; False when the time was over first."""
        deadline = Deadline(timeout)
        while not self.ends._wait_now(count):
            if not await self.ends._wait_later(deadline.left()):
                return self.ends._wait_now(count)
        return True

    def look(self, index: int, process: Process[Any]) -> None:
        """Have a thread wait for the end of this process as well."""
        self.ends.expect(index)
        try:
            self._looked_at[process._open_end()] = index
        except ProcessLookupError:
            self.ends.arrive(index)

    def _start_looking(self) -> None:
        looked_at, self._looked_at = self._looked_at, {}
        stop = os.eventfd(0, os.EFD_CLOEXEC)
        # The thread closes what it reads, and a copy is what stops it: so that nobody writes to what is closed.
        bell = os.dup(stop)
        self.undo.append(lambda: os.close(bell))
        self.undo.append(lambda: os.eventfd_write(bell, 1))
        threading.Thread(target=_look, args=(self.ends, looked_at, stop), name="oneloom-wait", daemon=True).start()


def _look(ends: Ends, looked_at: dict[int, int], stop: int) -> None:
    """Wait for the ends of processes, by descriptor, until there are none left or nobody wants to know any more."""
    look = select.poll()
    try:
        for descriptor in (stop, *looked_at):
            look.register(descriptor, select.POLLIN)
        while looked_at:
            for descriptor, _ in look.poll():
                if descriptor == stop:
                    return
                look.unregister(descriptor)
                os.close(descriptor)
                ends.arrive(looked_at.pop(descriptor))
    finally:
        for descriptor in (stop, *looked_at):
            os.close(descriptor)
