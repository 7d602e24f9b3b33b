"""asyncio's locks as oneloom keeps them for drop-in use: one event loop each, woken strictly in the order of arrival.

They take no notice of threads. Whoever needs one object for threads and coroutines takes `oneloom.Lock` and its kin.
"""

from __future__ import annotations

import enum
import sys
from asyncio import BrokenBarrierError, CancelledError, Future
from asyncio.mixins import _LoopBoundMixin
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier"]

_T = TypeVar("_T")


class OfOneLoop(_LoopBoundMixin):
    """What belongs to the event loop that it is first waited for on, and refuses any other."""

    if TYPE_CHECKING:

        def _get_loop(self) -> AbstractEventLoop: ...


class _Line(OfOneLoop):
    """Coroutines of one event loop that stand in line, first come, first served.

    A coroutine leaves the line only when it runs again, so a place whose future is done but still in `_waiters`
    belongs to somebody who has been called and has not answered yet.
    """

    _waiters: deque[Future[bool]]

    def __init__(self) -> None:
        self._waiters = deque()

    def _state(self) -> str:
        raise NotImplementedError

    def __repr__(self) -> str:
        waiters = f", waiters:{len(self._waiters)}" if self._waiters else ""
        return f"{super().__repr__()[:-1]} [{self._state()}{waiters}]>"

    async def _stand_in_line(self) -> bool:
        """Wait until called. Always True."""
        place: Future[bool] = self._get_loop().create_future()
        self._waiters.append(place)
        try:
            return await place
        except CancelledError:
            if place.done() and not place.cancelled():
                self._missed_call()
            raise
        finally:
            self._waiters.remove(place)

    def _missed_call(self) -> None:
        """A coroutine was called and cancelled at the same time: its turn goes to somebody else."""
        raise NotImplementedError

    def _call(self, n: int = 1) -> int:
        """Call the first `n` who have not been called yet; how many were there."""
        called = 0
        for place in self._waiters:
            if called == n:
                break
            if not place.done():
                place.set_result(True)
                called += 1
        return called

    def _somebody_waits(self) -> bool:
        return any(not place.cancelled() for place in self._waiters)


class _Entered:
    """`async with` for what has `acquire` and `release`."""

    async def acquire(self) -> bool:
        raise NotImplementedError

    def release(self) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.release()


class Lock(_Entered, _Line):
    """Mutual exclusion among the tasks of one event loop: `asyncio.Lock`.

    >>> import oneloom.asyncio as asyncio
    >>> async def main():
    ...     lock = asyncio.Lock()
    ...     async with lock:
    ...         return lock.locked()
    >>> asyncio.run(main())
    True
    """

    def __init__(self) -> None:
        super().__init__()
        self._locked = False

    def _state(self) -> str:
        return "locked" if self._locked else "unlocked"

    def locked(self) -> bool:
        """Whether somebody holds the lock."""
        return self._locked

    async def acquire(self) -> bool:
        """Wait for the lock and take it. Always True."""
        if self._locked or self._somebody_waits():
            try:
                await self._stand_in_line()
            except CancelledError:
                # The release may have found only us, cancelled but still in line.
                if not self._locked:
                    self._wake_up_first()
                raise
        self._locked = True
        return True

    def release(self) -> None:
        """Give the lock back; whoever waits longest is next. RuntimeError if nobody holds it."""
        if not self._locked:
            raise RuntimeError("Lock is not acquired.")
        self._locked = False
        self._wake_up_first()

    def _wake_up_first(self) -> None:
        # Only the first counts: while it is on its way, calling a second one would give the lock away twice. If it was
        # cancelled, it calls the next one when it leaves the line.
        if self._waiters and not self._waiters[0].done():
            self._waiters[0].set_result(True)

    def _missed_call(self) -> None:
        pass  # `acquire` sees to it once our place has left the line.


class Event(_Line):
    """A flag that any number of tasks can await: `asyncio.Event`."""

    def __init__(self) -> None:
        super().__init__()
        self._value = False

    def _state(self) -> str:
        return "set" if self._value else "unset"

    def is_set(self) -> bool:
        """Whether the flag is up."""
        return self._value

    def set(self) -> None:
        """Raise the flag and wake everybody who waits."""
        if not self._value:
            self._value = True
            self._call(len(self._waiters))

    def clear(self) -> None:
        """Lower the flag. Whoever was woken before goes on all the same."""
        self._value = False

    async def wait(self) -> bool:
        """Wait until the flag is up. Always True."""
        return self._value or await self._stand_in_line()

    def _missed_call(self) -> None:
        pass  # A flag is there for everybody: nobody else lost anything.


class Condition(_Entered, _Line):
    """Waiting for a change of what a lock guards: `asyncio.Condition`. Makes its own `Lock` unless given one."""

    def __init__(self, lock: Lock | None = None) -> None:
        super().__init__()
        self._lock = Lock() if lock is None else lock

    def _state(self) -> str:
        return "locked" if self.locked() else "unlocked"

    def locked(self) -> bool:
        """Whether somebody holds the lock."""
        return self._lock.locked()

    async def acquire(self) -> bool:
        """Wait for the lock and take it. Always True."""
        return await self._lock.acquire()

    def release(self) -> None:
        """Give the lock back."""
        self._lock.release()

    async def wait(self) -> bool:
        """Let go of the lock, wait to be notified, and take the lock again. Always True.

        Whatever ends the wait, the lock is held again afterwards. RuntimeError if it was not held before.
        """
        if not self.locked():
            raise RuntimeError("cannot wait on un-acquired lock")
        self._get_loop()
        self.release()
        notified = False
        try:
            try:
                notified = await self._stand_in_line()
            finally:
                cancelled = await self._acquire_whatever_happens()
                if cancelled is not None:
                    try:
                        raise cancelled
                    finally:
                        del cancelled
        except BaseException:
            if notified:
                self._missed_call()
            raise
        return True

    async def _acquire_whatever_happens(self) -> CancelledError | None:
        """Take the lock; the last cancellation that came meanwhile is returned, to be raised afterwards."""
        last = None
        while True:
            try:
                await self.acquire()
                return last
            except CancelledError as cancelled:
                last = cancelled

    async def wait_for(self, predicate: Callable[[], _T]) -> _T:
        """Wait until `predicate()` is true, asked anew after each notification; its last value is returned."""
        while not (value := predicate()):
            await self.wait()
        return value

    def notify(self, n: int = 1) -> None:
        """Wake the `n` who have waited longest. RuntimeError if the lock is not held."""
        if not self.locked():
            raise RuntimeError("cannot notify on un-acquired lock")
        self._call(n)

    def notify_all(self) -> None:
        """Wake everybody who waits. RuntimeError if the lock is not held."""
        self.notify(len(self._waiters))

    def _missed_call(self) -> None:
        self._call()


class Semaphore(_Entered, _Line):
    """A number of permits, handed over in order of arrival: `asyncio.Semaphore`. ValueError below zero."""

    def __init__(self, value: int = 1) -> None:
        if value < 0:
            raise ValueError("Semaphore initial value must be >= 0")
        super().__init__()
        self._value = value

    def _state(self) -> str:
        return "locked" if self.locked() else f"unlocked, value:{self._value}"

    def locked(self) -> bool:
        """Whether `acquire` would have to wait now."""
        return not self._value or self._somebody_waits()

    async def acquire(self) -> bool:
        """Wait for a permit and take it. Always True."""
        if not self.locked():
            self._value -= 1
            return True
        try:
            await self._stand_in_line()
        finally:
            # Permits may have come back while those in front of them were on their way.
            while self._value and self._wake_up_next():
                pass
        return True

    def release(self) -> None:
        """Give a permit back; whoever waits longest gets it."""
        self._value += 1
        self._wake_up_next()

    def _wake_up_next(self) -> bool:
        """Give a permit to who waits longest; False if nobody does."""
        called = self._call()
        self._value -= called
        return called > 0

    def _missed_call(self) -> None:
        self._value += 1  # `acquire` hands it on.


class BoundedSemaphore(Semaphore):
    """A semaphore whose `release` refuses to go above the initial value: `asyncio.BoundedSemaphore`."""

    def __init__(self, value: int = 1) -> None:
        self._bound_value = value
        super().__init__(value)

    def release(self) -> None:
        """Give a permit back. ValueError if all are there already."""
        if self._value >= self._bound_value:
            raise ValueError("BoundedSemaphore released too many times")
        super().release()


class _Phase(enum.Enum):
    """What a barrier is doing."""

    FILLING = "filling"
    DRAINING = "draining"
    RESETTING = "resetting"
    BROKEN = "broken"


class Barrier(OfOneLoop):
    """A point that a fixed number of tasks reach together: `asyncio.Barrier`.

    `async with barrier as index` waits and gives this task's index. ValueError for fewer than one party.
    """

    def __init__(self, parties: int) -> None:
        if parties < 1:
            raise ValueError("parties must be >= 1" if sys.version_info >= (3, 14) else "parties must be > 0")
        self._cond = Condition()
        self._parties = parties
        self._phase = _Phase.FILLING
        self._count = 0  # tasks inside: those that wait, then those that have not left yet

    def __repr__(self) -> str:
        inside = "" if self.broken else f", waiters:{self.n_waiting}/{self.parties}"
        return f"{super().__repr__()[:-1]} [{self._phase.value}{inside}]>"

    async def __aenter__(self) -> int:
        return await self.wait()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        pass

    async def wait(self) -> int:
        """Wait until all parties are here; the index, 0 to parties - 1, differs for each.

        BrokenBarrierError if the barrier is broken, or is reset or aborted while waiting.
        """
        async with self._cond:
            # Those who come while the last round still leaves wait outside.
            await self._cond.wait_for(lambda: self._phase not in (_Phase.DRAINING, _Phase.RESETTING))
            self._refuse_if_broken("Barrier aborted")
            index = self._count
            self._count += 1
            try:
                if self._count == self._parties:
                    self._enter(_Phase.DRAINING)
                else:
                    await self._cond.wait_for(lambda: self._phase is not _Phase.FILLING)
                    if self._phase is not _Phase.DRAINING:
                        raise BrokenBarrierError("Abort or reset of barrier")
                return index
            finally:
                self._count -= 1
                if self._count == 0 and self._phase in (_Phase.DRAINING, _Phase.RESETTING):
                    self._enter(_Phase.FILLING)

    def _refuse_if_broken(self, message: str) -> None:
        if self.broken:
            raise BrokenBarrierError(message)

    def _enter(self, phase: _Phase) -> None:
        self._phase = phase
        self._cond.notify_all()

    async def reset(self) -> None:
        """Make the barrier empty and whole again; tasks that wait get BrokenBarrierError."""
        async with self._cond:
            self._enter(_Phase.RESETTING if self._count else _Phase.FILLING)

    async def abort(self) -> None:
        """Break the barrier: tasks that wait, and all that come later, get BrokenBarrierError."""
        async with self._cond:
            self._enter(_Phase.BROKEN)

    @property
    def parties(self) -> int:
        """How many tasks it takes."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many wait now."""
        return self._count if self._phase is _Phase.FILLING else 0

    @property
    def broken(self) -> bool:
        """Whether the barrier is broken."""
        return self._phase is _Phase.BROKEN
