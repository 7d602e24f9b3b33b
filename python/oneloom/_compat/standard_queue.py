"""The standard library's queue algorithm: one mutex, three conditions, and four hooks that keep the items.

A native queue goes over to it as soon as somebody uses what only this algorithm has: `mutex`, `queue`, a condition, or
a hook that is overridden. It then calls the hooks on the queue itself, with the mutex held. The lock and the conditions
are oneloom's, so coroutines wait here as threads do, and deadlock reports see both.
"""

from __future__ import annotations

import sys
from collections import deque
from heapq import heappop, heappush
from operator import attrgetter
from queue import Empty, Full
from time import monotonic

from oneloom._native import DropInCondition as Condition, Hook, LifoQueue, PriorityQueue, Queue, ShutDown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

if sys.version_info >= (3, 13):
    from oneloom._native import DropInLock as Lock
else:
    from oneloom._native import _drop_in_lock as Lock

_PARTS = ("mutex", "queue", "not_empty", "not_full", "all_tasks_done")


class StandardQueue:
    """What goes on in a queue's place: its items and all that belongs to them, shown as attributes of the queue.

    Does not know the queue, which is passed in, so that dropping the queue drops this without a garbage collection.
    """

    __slots__ = (*_PARTS, "is_shutdown", "maxsize", "unfinished_tasks")

    def __init__(self, queue: Queue[Any]) -> None:
        self._prepare(queue, 0)  # The rest comes with what the queue leaves.
        self.queue: Any = [] if isinstance(queue, (LifoQueue, PriorityQueue)) else deque()

    def _prepare(self, queue: Queue[Any], maxsize: Any) -> None:
        # Not `queue.name`: that may be a subclass's own, which is not ready yet.
        name = vars(Queue)["name"].__get__(queue)
        name = name if isinstance(name, str) else None
        self.maxsize = maxsize
        self.mutex: Any = Lock(name=_part_name(name, "mutex"))
        self.not_empty: Any = Condition(self.mutex, name=_part_name(name, "not_empty"))
        self.not_full: Any = Condition(self.mutex, name=_part_name(name, "not_full"))
        self.all_tasks_done: Any = Condition(self.mutex, name=_part_name(name, "all_tasks_done"))
        self.unfinished_tasks = 0
        self.is_shutdown = False

    def begin(self, queue: Any, maxsize: int) -> None:
        """Initialize the queue: what it held is gone."""
        self._prepare(queue, maxsize)
        queue._init(maxsize)

    def put(self, queue: Any, item: Any, block: bool, timeout: float | None) -> None:
        with self.not_full:
            if self.is_shutdown or 0 < self.maxsize <= queue._qsize():
                end = _end(timeout)
                while self._must_wait_to_put(queue):
                    _wait(self.not_full, block, end, Full)
            self._insert(queue, item)

    async def put_async(self, queue: Any, item: Any, timeout: float | None) -> None:
        with self.not_full:
            end = _end(timeout)
            while self._must_wait_to_put(queue):
                await _wait_async(self.not_full, end, Full)
            self._insert(queue, item)

    def get(self, queue: Any, block: bool, timeout: float | None) -> Any:
        with self.not_empty:
            if not queue._qsize():
                end = _end(timeout)
                while self._must_wait_to_get(queue):
                    _wait(self.not_empty, block, end, Empty)
            return self._take(queue)

    async def get_async(self, queue: Any, timeout: float | None) -> Any:
        with self.not_empty:
            end = _end(timeout)
            while self._must_wait_to_get(queue):
                await _wait_async(self.not_empty, end, Empty)
            return self._take(queue)

    def _must_wait_to_put(self, queue: Any) -> bool:
        if self.is_shutdown:
            raise ShutDown
        is_full: bool = 0 < self.maxsize <= queue._qsize()
        return is_full

    def _must_wait_to_get(self, queue: Any) -> bool:
        if queue._qsize():
            return False
        if self.is_shutdown:
            raise ShutDown
        return True

    def _insert(self, queue: Any, item: Any) -> None:
        queue._put(item)
        self.unfinished_tasks += 1
        self.not_empty.notify()

    def _take(self, queue: Any) -> Any:
        item = queue._get()
        self.not_full.notify()
        return item

    def task_done(self) -> None:
        with self.all_tasks_done:
            left = self.unfinished_tasks - 1
            if left < 0:
                raise ValueError("task_done() called too many times")
            if left == 0:
                self.all_tasks_done.notify_all()
            self.unfinished_tasks = left

    def join(self, timeout: float | None) -> bool:
        with self.all_tasks_done:
            done: bool = self.all_tasks_done.wait_for(lambda: not self.unfinished_tasks, timeout)
            return done

    async def join_async(self, timeout: float | None) -> bool:
        with self.all_tasks_done:
            end = _end(timeout)
            while self.unfinished_tasks:
                try:
                    await _wait_async(self.all_tasks_done, end, TimeoutError)
                except TimeoutError:
                    return False
            return True

    def shutdown(self, queue: Any, immediate: bool) -> None:
        left = []
        with self.mutex:
            self.is_shutdown = True
            if immediate:
                while queue._qsize():
                    # Dropped once the mutex is free: a destructor may call the queue.
                    left.append(queue._get())
                    if self.unfinished_tasks > 0:
                        self.unfinished_tasks -= 1
                self.all_tasks_done.notify_all()
            self.not_empty.notify_all()
            self.not_full.notify_all()

    def qsize(self, queue: Any) -> Any:
        with self.mutex:
            return queue._qsize()

    def empty(self, queue: Any) -> bool:
        with self.mutex:
            return not queue._qsize()

    def full(self, queue: Any) -> bool:
        with self.mutex:
            is_full: bool = 0 < self.maxsize <= queue._qsize()
            return is_full


def _part_name(queue: str | None, part: str) -> str | None:
    return None if queue is None else f"{queue}.{part}"


def _end(timeout: float | None) -> float | None:
    return None if timeout is None else monotonic() + timeout


def _wait(condition: Any, block: bool, end: float | None, too_late: type[Exception]) -> None:
    left = None if end is None else end - monotonic()
    if not block or left is not None and left <= 0:
        raise too_late
    condition.wait(left)


async def _wait_async(condition: Any, end: float | None, too_late: type[Exception]) -> None:
    left = None if end is None else end - monotonic()
    if left is not None and left <= 0:
        raise too_late
    waiting, mutex = condition._wait_later(left)
    try:
        await waiting
    finally:
        # An awaited mutex would be this task's before the task runs: whoever else on the loop wants it meanwhile would
        # block the loop, and so this task, for ever. A mutex is held for a moment only.
        mutex.restore_blocking()


def _begin_fifo(self: Any, maxsize: int) -> None:
    self.queue = deque()


def _begin_list(self: Any, maxsize: int) -> None:
    self.queue = []


def _size(self: Any) -> int:
    return len(self.queue)


def _append(self: Any, item: Any) -> None:
    self.queue.append(item)


def _pop_first(self: Any) -> Any:
    return self.queue.popleft()


def _pop_last(self: Any) -> Any:
    return self.queue.pop()


def _push_heap(self: Any, item: Any) -> None:
    heappush(self.queue, item)


def _pop_heap(self: Any) -> Any:
    return heappop(self.queue)


_HOOKS: dict[Any, dict[str, Callable[..., Any]]] = {
    Queue: {"_init": _begin_fifo, "_qsize": _size, "_put": _append, "_get": _pop_first},
    LifoQueue: {"_init": _begin_list, "_qsize": _size, "_put": _append, "_get": _pop_last},
    PriorityQueue: {"_init": _begin_list, "_qsize": _size, "_put": _push_heap, "_get": _pop_heap},
}


def _part(name: str) -> property:
    """An attribute that only the standard algorithm has; using it hands the queue over."""

    def assign(queue: Any, value: Any) -> None:
        setattr(queue._standard, name, value)

    return property(attrgetter(f"_standard.{name}"), assign)


def _init_subclass(cls: Any, /, **kwargs: Any) -> None:
    super(Queue, cls).__init_subclass__(**kwargs)
    # The standard `put_nowait` calls `put`, whoever overrides that; the native one does not.
    if cls.put is not Queue.put and cls.put_nowait is Queue.put_nowait:
        cls.put_nowait = _put_nowait
    if cls.get is not Queue.get and cls.get_nowait is Queue.get_nowait:
        cls.get_nowait = _get_nowait


def _put_nowait(self: Any, item: Any) -> Any:
    """Put an item without waiting, as `put(item, block=False)` does."""
    return self.put(item, block=False)


def _get_nowait(self: Any) -> Any:
    """Take an item without waiting, as `get(block=False)` does."""
    return self.get(block=False)


def attach() -> None:
    """Give the native queues what only the standard algorithm has, under the names that it has there."""
    for owner, hooks in _HOOKS.items():
        for name, function in hooks.items():
            setattr(owner, name, Hook(name, function))
    for name in _PARTS:
        setattr(Queue, name, _part(name))
    Queue.__init_subclass__ = classmethod(_init_subclass)  # type: ignore
