"""asyncio's queues as oneloom keeps them for drop-in use: one event loop each, waiters served in order of arrival.

`shutdown` and `QueueShutDown` are here on every Python, as CPython 3.13 defined them. Whoever needs one queue for
threads and coroutines takes `oneloom.Queue` and its kin.
"""

from __future__ import annotations

import heapq
import sys
from asyncio import Future, QueueEmpty, QueueFull
from collections import deque
from collections.abc import Callable
from types import GenericAlias
from typing import Any, Generic, TypeVar

from oneloom.asyncio.locks import Event, OfOneLoop

__all__ = ["Queue", "LifoQueue", "PriorityQueue", "QueueFull", "QueueEmpty", "QueueShutDown"]

_T = TypeVar("_T")

if sys.version_info >= (3, 13):
    from asyncio import QueueShutDown
else:

    class QueueShutDown(Exception):
        """Raised by `put` on a queue that was shut down, and by `get` once it is empty as well."""


class Queue(OfOneLoop, Generic[_T]):
    """First in, first out, for the tasks of one event loop: `asyncio.Queue`.

    With `maxsize` above zero `put` waits while that many items are inside. A subclass may keep the items
    elsewhere by overriding `_init`, `_get` and `_put`.

    >>> import oneloom.asyncio as asyncio
    >>> async def main():
    ...     queue = asyncio.Queue()
    ...     await queue.put("item")
    ...     return await queue.get()
    >>> asyncio.run(main())
    'item'
    """

    _queue: Any

    def __init__(self, maxsize: int = 0) -> None:
        self._maxsize = maxsize
        self._getters: deque[Future[None]] = deque()
        self._putters: deque[Future[None]] = deque()
        self._unfinished_tasks = 0
        self._finished = Event()
        self._finished.set()
        self._is_shutdown = False
        self._init(maxsize)

    # What subclasses may override.

    def _init(self, maxsize: int) -> None:
        self._queue = deque()

    def _get(self) -> _T:
        item: _T = self._queue.popleft()
        return item

    def _put(self, item: _T) -> None:
        self._queue.append(item)

    # Looking at it.

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} {self._format()}>"

    def __str__(self) -> str:
        return f"<{type(self).__name__} {self._format()}>"

    def __class_getitem__(cls, item: Any, /) -> GenericAlias:
        return GenericAlias(cls, item)

    def _format(self) -> str:
        parts = [f"maxsize={self._maxsize!r}"]
        if getattr(self, "_queue", None):
            parts.append(f"_queue={list(self._queue)!r}")
        if self._getters:
            parts.append(f"_getters[{len(self._getters)}]")
        if self._putters:
            parts.append(f"_putters[{len(self._putters)}]")
        if self._unfinished_tasks:
            parts.append(f"tasks={self._unfinished_tasks}")
        if self._is_shutdown:
            parts.append("shutdown")
        return " ".join(parts)

    @property
    def maxsize(self) -> int:
        """How many items may be inside; zero or less: any number."""
        return self._maxsize

    def qsize(self) -> int:
        """How many items are inside."""
        return len(self._queue)

    def empty(self) -> bool:
        """Whether nothing is inside."""
        return not self._queue

    def full(self) -> bool:
        """Whether `maxsize` items are inside."""
        return 0 < self._maxsize <= self.qsize()

    # Putting and getting.

    async def put(self, item: _T) -> None:
        """Wait for room and put the item. QueueShutDown once the queue is shut down."""
        await self._wait_while(self.full, self._putters)
        self.put_nowait(item)

    def put_nowait(self, item: _T) -> None:
        """Put the item at once. QueueFull if there is no room, QueueShutDown once the queue is shut down."""
        if self._is_shutdown:
            raise QueueShutDown
        if self.full():
            raise QueueFull
        self._put(item)
        self._unfinished_tasks += 1
        self._finished.clear()
        self._wakeup_next(self._getters)

    async def get(self) -> _T:
        """Wait for an item and take it. QueueShutDown once the queue is shut down and empty."""
        await self._wait_while(self.empty, self._getters)
        return self.get_nowait()

    def get_nowait(self) -> _T:
        """Take an item at once. QueueEmpty if there is none, QueueShutDown once the queue is also shut down."""
        if self.empty():
            raise QueueShutDown if self._is_shutdown else QueueEmpty
        item = self._get()
        self._wakeup_next(self._putters)
        return item

    async def _wait_while(self, unready: Callable[[], bool], line: deque[Future[None]]) -> None:
        """Stand in line for as long as the queue is `unready`; a shutdown ends that for everybody.

        Somebody who did not wait may be quicker than one who was called, and then it is to the end of the line again:
        so does asyncio, and the order in which a program's tasks run is part of what it prints.
        """
        while unready() and not self._is_shutdown:
            place: Future[None] = self._get_loop().create_future()
            line.append(place)
            try:
                await place
            except BaseException:  # Cancelled, or closed by whoever drives the coroutine.
                if place in line:
                    line.remove(place)
                elif not place.cancelled() and not unready():
                    self._wakeup_next(line)  # We were called as well as cancelled: the next one goes instead.
                raise

    @staticmethod
    def _wakeup_next(line: deque[Future[None]]) -> None:
        while line:
            place = line.popleft()
            if not place.done():
                place.set_result(None)
                break

    # Knowing when the work is done.

    def task_done(self) -> None:
        """Say that an item that was taken has been dealt with. ValueError if said too often."""
        if self._unfinished_tasks <= 0:
            raise ValueError("task_done() called too many times")
        self._unfinished_tasks -= 1
        if not self._unfinished_tasks:
            self._finished.set()

    async def join(self) -> None:
        """Wait until every item that was put has been dealt with."""
        if self._unfinished_tasks:
            await self._finished.wait()

    def shutdown(self, immediate: bool = False) -> None:
        """Let nothing more in; what is inside can still be taken, unless `immediate`, which drops it."""
        self._is_shutdown = True
        if immediate:
            while not self.empty():
                self._get()
                if self._unfinished_tasks:
                    self._unfinished_tasks -= 1
            if not self._unfinished_tasks:
                self._finished.set()
        for line in (self._getters, self._putters):
            while line:
                self._wakeup_next(line)


class PriorityQueue(Queue[_T]):
    """The smallest item first: `asyncio.PriorityQueue`."""

    def _init(self, maxsize: int) -> None:
        self._queue = []

    def _get(self) -> _T:
        item: _T = heapq.heappop(self._queue)
        return item

    def _put(self, item: _T) -> None:
        heapq.heappush(self._queue, item)


class LifoQueue(Queue[_T]):
    """The newest item first: `asyncio.LifoQueue`."""

    def _init(self, maxsize: int) -> None:
        self._queue = []

    def _get(self) -> _T:
        item: _T = self._queue.pop()
        return item

    def _put(self, item: _T) -> None:
        self._queue.append(item)
