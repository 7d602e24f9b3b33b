"""The coroutine halves of the classes: real `async def` functions, attached to the native classes at import.

Each tries natively first and awaits only where it must wait. What a queue does not answer natively goes on where the
queue was handed over to. Written in Python because `create_task` takes nothing
less than a coroutine, and because a coroutine costs less than a native awaitable.
"""

from __future__ import annotations

from time import monotonic

from oneloom import _native
from oneloom._native import Waiting as _NOT_NOW  # Stands for "not at once" among items, being none itself.

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Any

    _Methods = dict[str, Callable[..., Any]]
    _Lockable = _native.Lock | _native.RLock | _native.Semaphore | _native.SharedLock | _native.SharedRLock | _native.SharedSemaphore


async def _acquire_async(self: _Lockable, timeout: float | None = None) -> bool:
    """Take it in a coroutine; False if `timeout` seconds pass first. RuntimeError where no asyncio loop runs."""
    return self._acquire_now(False) or await self._acquire_later(False, timeout)


async def _exit_async(
    self: _Lockable | _native.Condition | _native.SharedCondition,
    kind: type[BaseException] | None,
    value: BaseException | None,
    traceback: TracebackType | None,
) -> None:
    self.__exit__(kind, value, traceback)


async def _put_async(self: Any, item: Any, timeout: float | None = None) -> None:
    """Put an item in a coroutine. `queue.Full` after `timeout` seconds, `ShutDown` after the queue's shutdown.

    Cancelled or timed out, it has put nothing. RuntimeError where no asyncio loop runs.
    """
    if self._put_now(item):
        return
    begun = None if timeout is None else monotonic()
    if await self._put_later(item, timeout) is _NOT_NOW:
        await self._standard.put_async(self, item, _left(timeout, begun))


async def _put_prior_async(self: _native.SharedPriorityQueue[Any], item: Any, priority: float = 0, timeout: float | None = None) -> None:
    """Put an item with a priority in a coroutine. `queue.Full` after `timeout` seconds, `ShutDown` after the queue's shutdown.

    Cancelled or timed out, it has put nothing. RuntimeError where no asyncio loop runs.
    """
    if not self._put_now(item, priority):
        await self._put_later(item, priority, timeout)


async def _get_async(self: Any, timeout: float | None = None) -> Any:
    """Get an item in a coroutine. `queue.Empty` after `timeout` seconds, `ShutDown` once a shut-down queue is empty.

    Cancelled or timed out, it has taken nothing. RuntimeError where no asyncio loop runs.
    """
    item = self._get_now()
    if item is not _NOT_NOW:
        return item
    begun = None if timeout is None else monotonic()
    item = await self._get_later(timeout)
    if item is not _NOT_NOW:
        return item
    return await self._standard.get_async(self, _left(timeout, begun))


async def _put_many_async(self: _native.SharedQueue[Any], items: Iterable[Any], timeout: float | None = None) -> None:
    """Put all of these items in a coroutine, or none; as `put_async`, and ValueError for more than `maxsize`."""
    await self._put_many_later(items, timeout)


async def _get_many_async(self: _native.SharedQueue[Any], n: int | None = None, timeout: float | None = None) -> list[Any]:
    """Get up to `n` items in a coroutine, None for all there are, at least one; as `get_async`."""
    return await self._get_many_later(n, timeout)


async def _join_async(self: _native.Queue[Any], timeout: float | None = None) -> bool | None:
    """Wait in a coroutine until every item was reported done; with `timeout` seconds, whether it was."""
    begun = None if timeout is None else monotonic()
    done: Any = await self._join_later(timeout)
    if done is _NOT_NOW:
        done = await self._standard.join_async(_left(timeout, begun))
    return None if timeout is None else done


def _left(timeout: float | None, begun: float | None) -> float | None:
    """How much is left of a timeout that began then."""
    return None if timeout is None or begun is None else max(0.0, timeout - (monotonic() - begun))


def _aiter(self: Any) -> Any:
    return self


async def _anext(self: Any) -> Any:
    try:
        return await self.get_async()
    except _native.ShutDown:
        raise StopAsyncIteration from None


async def _event_wait_async(self: _native.Event | _native.SharedEvent | _native.Completion, timeout: float | None = None) -> bool:
    """Wait in a coroutine until it happens; False if `timeout` seconds pass first."""
    return self._wait_now() or await self._wait_later(timeout)


async def _barrier_wait_async(self: _native.Barrier | _native.SharedBarrier, timeout: float | None = None) -> int:
    """Wait in a coroutine for the other parties, as `wait` does in a thread."""
    return await self._wait_later(timeout)


async def _condition_acquire_async(self: _native.Condition | _native.SharedCondition, timeout: float | None = None) -> bool:
    """Take the condition's lock in a coroutine; False if `timeout` seconds pass first."""
    taken: bool = await self._lock.acquire_async(timeout)
    return taken


async def _condition_enter_async(self: _native.Condition | _native.SharedCondition) -> None:
    await self._lock.__aenter__()


async def _condition_wait_async(self: _native.Condition | _native.SharedCondition, timeout: float | None = None) -> bool:
    """Let go of the lock, wait in a coroutine to be notified, and take the lock again.

    False if `timeout` seconds pass first. The lock is held again at the end even if the task was cancelled.
    """
    waiting, saved = self._wait_later(timeout)
    try:
        return await waiting
    finally:
        await _take_again(saved)


async def _take_again(saved: Any) -> None:
    """Take the lock again whatever happens; a cancellation or Ctrl-C that comes meanwhile is raised afterwards."""
    interrupted = None
    while True:
        awaitable = saved.restore()
        if awaitable is None:
            break
        try:
            await awaitable
            break
        except BaseException as error:
            # An `Exception` says that the lock can't be had; a coroutine that is closed may not await any more.
            if isinstance(error, (Exception, GeneratorExit)):
                raise
            interrupted = error
    if interrupted is not None:
        try:
            raise interrupted
        finally:
            del interrupted


def _wait_for(self: _native.Condition | _native.SharedCondition, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
    """Wait until `predicate()` is true, for at most `timeout` seconds; return its last value."""
    end = None if timeout is None else monotonic() + timeout
    value = predicate()
    while not value:
        left = None if end is None else end - monotonic()
        if left is not None and left <= 0:
            break
        self.wait(left)
        value = predicate()
    return value


async def _wait_for_async(self: _native.Condition | _native.SharedCondition, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
    """Wait in a coroutine until `predicate()` is true, for at most `timeout` seconds; return its last value."""
    end = None if timeout is None else monotonic() + timeout
    value = predicate()
    while not value:
        left = None if end is None else end - monotonic()
        if left is not None and left <= 0:
            break
        await self.wait_async(left)
        value = predicate()
    return value


_LOCK: _Methods = {"acquire_async": _acquire_async}
_QUEUE: _Methods = {"put_async": _put_async, "get_async": _get_async, "__aiter__": _aiter, "__anext__": _anext}
_MANY: _Methods = {"put_many_async": _put_many_async, "get_many_async": _get_many_async}
_CONDITION: _Methods = {
    "acquire_async": _condition_acquire_async,
    "__aenter__": _condition_enter_async,
    "__aexit__": _exit_async,
    "wait_async": _condition_wait_async,
    "wait_for": _wait_for,
    "wait_for_async": _wait_for_async,
}
_METHODS: dict[Any, _Methods] = {
    _native.Lock: _LOCK,
    _native.RLock: _LOCK,
    _native.Semaphore: _LOCK,
    _native.Condition: _CONDITION,
    _native.Event: {"wait_async": _event_wait_async},
    _native.Completion: {"wait_async": _event_wait_async},
    _native.Barrier: {"wait_async": _barrier_wait_async},
    _native.Queue: _QUEUE | {"join_async": _join_async},
    _native.SimpleQueue: _QUEUE,
    _native.SharedLock: _LOCK,
    _native.SharedRLock: _LOCK,
    _native.SharedSemaphore: _LOCK,
    _native.SharedCondition: _CONDITION,
    _native.SharedBarrier: {"wait_async": _barrier_wait_async},
    _native.SharedEvent: {"wait_async": _event_wait_async},
    _native.SharedQueue: _QUEUE | _MANY | {"join_async": _join_async},
    _native.SharedPriorityQueue: _QUEUE | {"put_async": _put_prior_async, "join_async": _join_async},
}


def attach() -> None:
    """Give the native classes their coroutine methods, each under its public name."""
    for owner, methods in _METHODS.items():
        for name, function in methods.items():
            setattr(owner, name, function)
    for function in {function for methods in _METHODS.values() for function in methods.values()}:
        places = [(owner, name) for owner, methods in _METHODS.items() for name, each in methods.items() if each is function]
        function.__name__ = name = places[0][1]
        # The condition of one process and that of several share a name, and so this one.
        classes = {owner.__name__ for owner, _ in places}
        function.__qualname__ = f"{classes.pop()}.{name}" if len(classes) == 1 else name
