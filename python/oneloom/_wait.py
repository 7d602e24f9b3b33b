"""`wait`, `as_completed` and `gather`: for many futures, threads and processes at once, by a thread or in a coroutine."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError
from concurrent.futures._base import DoneAndNotDoneFutures

from oneloom._ends import Deadline, Tasks, Watch, kind_of, running_loop, things_of
from oneloom._outcome import Generic

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future
    from typing import Any, Literal

    from oneloom._outcome import _T

    _When = Literal["FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED"]

_NO_LOOP = "no running asyncio event loop: await this in a coroutine that asyncio runs, or use the blocking call"


def wait(
    fs: Iterable[_T], timeout: float | None = None, return_when: _When = ALL_COMPLETED
) -> DoneAndNotDoneFutures[Any]:
    """Wait in a thread until all of `fs` have ended, or as `return_when` says; which have by then, and which have not.

    `fs` are futures of oneloom or of the standard library, an `oneloom.Thread`, an `oneloom.Process`, in any mixture. After
    `timeout` seconds (None: no limit) it returns as well. `return_when` is one of `concurrent.futures.FIRST_COMPLETED`,
    `FIRST_EXCEPTION` and `ALL_COMPLETED`. Nothing is cancelled, and no result is taken.

    TypeError for what has no end, and for what only a coroutine waits for: `wait_async` does. DeadlockError if it can never
    return: one of them can never end, or, where it returns at the first end or exception, none of them can.

    >>> import oneloom
    >>> future, thread = oneloom.Future(), oneloom.Thread(target=pow, args=(2, 10))
    >>> thread.start()
    >>> done, not_done = oneloom.wait([future, thread], return_when="FIRST_COMPLETED")
    >>> done == {thread}, not_done == {future}
    (True, True)
    """
    deadline, rounds = Deadline(timeout), _rounds(return_when)
    things = _distinct(things_of(fs))
    if return_when == ALL_COMPLETED:
        _join_all(things, deadline)
    else:
        with Watch(things, None) as watch:
            for count in rounds(watch, things):
                if not watch.ends.wait(count, deadline.left()):
                    break
    return _sorted_out(things)


async def wait_async(
    fs: Iterable[_T], timeout: float | None = None, return_when: _When = ALL_COMPLETED
) -> DoneAndNotDoneFutures[Any]:
    """Wait in a coroutine as `wait` does in a thread; also for tasks, futures of asyncio and coroutines, which become tasks.

    RuntimeError where no asyncio loop runs.

    >>> import asyncio, oneloom
    >>> async def main():
    ...     thread = oneloom.Thread(target=pow, args=(2, 10))
    ...     thread.start()
    ...     done, not_done = await oneloom.wait_async([thread, asyncio.sleep(0)])
    ...     return len(done), len(not_done)
    >>> oneloom.run(main())
    (2, 0)
    """
    loop = running_loop()
    if loop is None:
        raise RuntimeError(_NO_LOOP)
    deadline, rounds = Deadline(timeout), _rounds(return_when)
    things = _distinct(things_of(fs))
    with Watch(things, loop) as watch:
        for count in rounds(watch, things):
            if not await watch.wait_async(count, deadline.left()):
                break
    return _sorted_out(things)


def _distinct(things: list[Any]) -> list[Any]:
    return list(dict.fromkeys(things))


def _sorted_out(things: list[Any]) -> DoneAndNotDoneFutures[Any]:
    done = {thing for thing in things if kind_of(thing).has_ended(thing)}
    return DoneAndNotDoneFutures(done, set(things) - done)


def _join_all(things: list[Any], deadline: Deadline) -> None:
    for thing in things:
        if kind_of(thing) is Tasks:
            raise TypeError(f"{thing!r} can't be waited for by a thread, only in a coroutine of its loop")
    # One after the other, because so a deadlock is found; from the last, because by its end most have ended.
    for thing in reversed(things):
        if not kind_of(thing).join(thing, deadline.left()):
            return


def _rounds(return_when: str) -> Callable[[Watch, list[Any]], Iterator[int]]:
    """How many ends to wait for, again and again, until it is enough."""
    if return_when == ALL_COMPLETED:
        return lambda watch, things: iter([len(things)])
    if return_when == FIRST_COMPLETED:
        return lambda watch, things: iter([min(1, len(things))])
    if return_when == FIRST_EXCEPTION:
        return lambda watch, things: _until(watch, things, _has_failed)
    raise ValueError(f"Invalid return condition: {return_when!r}")


def _until(watch: Watch, things: list[Any], is_enough: Callable[[Any], bool]) -> Iterator[int]:
    left = len(things)
    while left:
        yield 1
        ended = watch.ends.take()
        if any(is_enough(things[index]) for index in ended):
            return
        left -= len(ended)


def _has_failed(thing: Any) -> bool:
    failed: bool = kind_of(thing).has_failed(thing)
    return failed


def as_completed(fs: Iterable[_T], timeout: float | None = None) -> Completed[_T]:
    """Give each of `fs` as it ends, to `for` in a thread or to `async for` in a coroutine.

    `fs` are what `wait` takes, in a coroutine also what `wait_async` takes: a coroutine is given as its task. Each is given
    once. TimeoutError if not all of them have ended within `timeout` seconds of this call (None: no limit).

    >>> import oneloom
    >>> threads = [oneloom.Thread(target=pow, args=(2, number)) for number in range(3)]
    >>> for thread in threads:
    ...     thread.start()
    >>> sorted(thread.result() for thread in oneloom.as_completed(threads))
    [1, 2, 4]
    """
    deadline = Deadline(timeout)
    return Completed(_distinct(things_of(fs)), deadline)


class Completed(Generic["_T"]):
    """What `as_completed` gives."""

    def __init__(self, things: list[_T], deadline: Deadline) -> None:
        self._total = len(things)
        self._left = dict(enumerate(things))
        self._deadline = deadline
        self._arrived: deque[int] = deque()
        self._watch: Watch | None = None

    def __iter__(self) -> Completed[_T]:
        return self

    def __aiter__(self) -> Completed[_T]:
        return self

    def __next__(self) -> _T:
        while self._left and not self._arrived:
            watch = self._watching(None)
            self._received(watch, watch.ends.wait(1, self._deadline.left()))
        return self._give(StopIteration)

    async def __anext__(self) -> _T:
        while self._left and not self._arrived:
            loop = running_loop()
            if loop is None:
                raise RuntimeError(_NO_LOOP)
            watch = self._watching(loop)
            self._received(watch, await watch.wait_async(1, self._deadline.left()))
        return self._give(StopAsyncIteration)

    def _watching(self, loop: asyncio.AbstractEventLoop | None) -> Watch:
        if self._watch is None:
            self._watch = Watch(list(self._left.values()), loop)
        elif self._watch.loop is not loop:
            raise RuntimeError("as_completed is used up where it was begun: by for in a thread, or by async for on one loop")
        return self._watch

    def _received(self, watch: Watch, in_time: bool) -> None:
        if not in_time:
            watch.close()
            raise TimeoutError(f"{len(self._left)} (of {self._total}) futures unfinished")
        self._arrived.extend(watch.ends.take())

    def _give(self, end: type[Exception]) -> _T:
        if not self._left:
            if self._watch is not None:
                self._watch.close()
            raise end
        return self._left.pop(self._arrived.popleft())  # No reference is kept to what was given.


def gather(*fs: Awaitable[_T] | Future[_T], return_exceptions: bool = False) -> Gathered[_T]:
    """The results of all of `fs` as one list, in their order: by `result()` in a thread, or by `await` in a coroutine.

    `fs` are what `wait` takes; on a loop also what `wait_async` takes, where a coroutine begins to run as a task. The first
    exception is raised as soon as it is known, and the others go on; with `return_exceptions` it stands among the results,
    as a CancelledError does. A coroutine that is cancelled while it awaits cancels the tasks that were begun here, and
    nothing else.

    >>> import oneloom
    >>> threads = [oneloom.Thread(target=pow, args=(2, number)) for number in range(3)]
    >>> for thread in threads:
    ...     thread.start()
    >>> oneloom.gather(*threads).result()
    [1, 2, 4]
    """
    return Gathered(fs, return_exceptions)


class Gathered(Generic["_T"]):
    """What `gather` gives."""

    def __init__(self, given: Iterable[Any], return_exceptions: bool) -> None:
        self._own: list[asyncio.Future[Any]] = []
        self._given = things_of(given, self._own)
        self._return_exceptions = return_exceptions

    def result(self, timeout: float | None = None) -> list[_T]:
        """Wait in a thread for all results, for at most `timeout` seconds (None: no limit).

        TimeoutError when the time is over, and what the first to fail has raised; TypeError as for `wait`.
        """
        things, deadline = _distinct(self._given), Deadline(timeout)
        if self._return_exceptions:
            _join_all(things, deadline)
        else:
            with Watch(things, None) as watch:
                for count in _until(watch, things, _has_no_value):
                    if not watch.ends.wait(count, deadline.left()):
                        break
        return self._results(timeout)

    def __await__(self) -> Generator[Any, Any, list[_T]]:
        return self._await().__await__()

    async def _await(self) -> list[_T]:
        loop = running_loop()
        if loop is None:
            raise RuntimeError(_NO_LOOP)
        things = _distinct(self._given)
        try:
            with Watch(things, loop) as watch:
                whole = iter([len(things)])
                for count in whole if self._return_exceptions else _until(watch, things, _has_no_value):
                    await watch.wait_async(count, None)
        except BaseException:
            for task in self._own:
                task.cancel()
            raise
        try:
            return self._results(None)
        except CancelledError:
            import asyncio

            raise asyncio.CancelledError from None

    def _results(self, timeout: float | None) -> list[_T]:
        ended = [kind_of(thing).has_ended(thing) for thing in self._given]
        if not self._return_exceptions:
            for thing, has_ended in zip(self._given, ended):
                if has_ended and _has_no_value(thing):
                    kind_of(thing).result(thing)
        if not all(ended):
            left = len(ended) - sum(ended)
            raise TimeoutError(f"{left} of {len(ended)} have not ended within {timeout} s")
        return [self._result(thing) for thing in self._given]

    def _result(self, thing: Any) -> Any:
        try:
            return kind_of(thing).result(thing)
        except BaseException as error:
            if self._return_exceptions:
                return error
            raise


def _has_no_value(thing: Any) -> bool:
    is_cancelled = getattr(thing, "cancelled", None)
    return (is_cancelled is not None and is_cancelled()) or _has_failed(thing)
