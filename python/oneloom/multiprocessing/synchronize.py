"""Drop-in for `multiprocessing.synchronize`: locks, semaphores, events, conditions and barriers of `oneloom.shared`.

They have the methods, errors and rules of their namesakes: they are pickled only for a process that is being started, and
whoever likes may release a `Lock`. What is more: a process that is killed takes nothing with it. A lock that it held goes to
the next, who gets an `OwnerDiedWarning` and finds `lock.recovered` to be true; a permit that it took by `with` comes back.
"""

from __future__ import annotations

import multiprocessing.synchronize as _original
from multiprocessing.context import assert_spawning as _assert_spawning
from threading import TIMEOUT_MAX

from oneloom import shared
from oneloom._compat.mirror import mirror as _mirror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event"]


class _OnShared:
    """What all of them are: an object of `oneloom.shared` with the rules of a class of the standard library's."""

    _shared: Any

    def __init__(self, shared: Any) -> None:
        self._shared = shared

    def __getstate__(self) -> Any:
        _assert_spawning(self)
        return self._shared

    def __setstate__(self, state: Any) -> None:
        self._shared = state

    def __repr__(self) -> str:
        _, _, state = repr(self._shared).partition(": ")
        return f"<{type(self).__name__} at {id(self):#x}: {state}"


class _Acquired(_OnShared):
    _shared: shared.Lock | shared.RLock | shared.Semaphore

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take it; whether it was taken. Waits if `block`, for at most `timeout` seconds (None: no limit; below zero: 0)."""
        if not block:
            return self._shared.acquire(False)
        if timeout is None:
            return self._shared.acquire()
        # A free lock is taken with any limit, infinity too.
        return self._shared.acquire(True, min(max(timeout, 0.0), TIMEOUT_MAX))

    def __enter__(self) -> bool:
        return self._shared.__enter__()

    def __exit__(self, *exception: Any) -> None:
        self._shared.__exit__(*exception)


class _Owned(_Acquired):
    _shared: shared.Lock | shared.RLock

    def locked(self) -> bool:
        """Whether anybody holds it."""
        return self._shared.locked()

    @property
    def recovered(self) -> bool:
        """Whether whoever holds it took it over from a process that died: what it protects may be half-changed."""
        return self._shared.recovered


class Lock(_Owned, _original.Lock):
    """A lock that one thread of one process holds, and anybody may release."""

    _shared: shared.Lock

    def __init__(self, *, ctx: Any) -> None:
        super().__init__(shared.Lock())

    def release(self) -> None:
        """Give it back. ValueError if nobody holds it."""
        try:
            self._shared.release()
        except RuntimeError:
            raise ValueError("semaphore or lock released too many times") from None

    # What the shared lock's own `with` took, nobody else might release.
    def __enter__(self) -> bool:
        return self._shared.acquire()

    def __exit__(self, *exception: Any) -> None:
        self.release()


class RLock(_Owned, _original.RLock):
    """A lock that its holder may take again, and has to release as often."""

    _shared: shared.RLock

    def __init__(self, *, ctx: Any) -> None:
        super().__init__(shared.RLock())

    def release(self) -> None:
        """Give it back once. AssertionError if the caller does not hold it."""
        try:
            self._shared.release()
        except RuntimeError:
            raise AssertionError("attempt to release recursive lock not owned by thread") from None


class Semaphore(_Acquired, _original.Semaphore):
    """A number of permits, `value` at first, that anybody may take and give."""

    _shared: shared.Semaphore

    def __init__(self, value: int = 1, *, ctx: Any) -> None:
        super().__init__(shared.Semaphore(value))

    def release(self) -> None:
        """Give a permit back, or one more."""
        self._shared.release()

    def get_value(self) -> int:
        """How many permits there are now."""
        return self._shared._value

    # The standard library's queues ask their semaphores by these names.
    @property
    def _semlock(self) -> Semaphore:
        return self

    _get_value = get_value

    def _is_zero(self) -> bool:
        return self.get_value() == 0


class BoundedSemaphore(Semaphore, _original.BoundedSemaphore):
    """A semaphore that never has more permits than at first: `release` is a ValueError then."""

    def __init__(self, value: int = 1, *, ctx: Any) -> None:
        _OnShared.__init__(self, shared.BoundedSemaphore(value))


class Condition(_OnShared, _original.Condition):
    """Where processes wait to be notified by whoever holds the lock: an `RLock`, unless another one is given."""

    _shared: shared.Condition

    def __init__(self, lock: Lock | RLock | None = None, *, ctx: Any) -> None:
        self._lock = lock or ctx.RLock()
        super().__init__(shared.Condition(self._lock._shared))

    def __getstate__(self) -> Any:
        return super().__getstate__(), self._lock

    def __setstate__(self, state: Any) -> None:
        self._shared, self._lock = state

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take the lock, as its own `acquire` does."""
        return self._lock.acquire(block, timeout)

    def release(self) -> None:
        """Give the lock back, as its own `release` does."""
        self._lock.release()

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(self, *exception: Any) -> None:
        self._lock.__exit__(*exception)

    def wait(self, timeout: float | None = None) -> bool:
        """Let go of the lock, wait to be notified, for at most `timeout` seconds, and take it again; whether it was notified.

        AssertionError if the lock is not held.
        """
        assert self._shared._is_owned(), "must acquire() condition before using wait()"
        return self._shared.wait(timeout)

    def notify(self, n: int = 1) -> None:
        """Let `n` go on who wait. AssertionError if the lock is not held."""
        assert self._shared._is_owned(), "lock is not owned"
        self._shared.notify(n)

    # By these semaphores of the standard library's one can see who waits.
    @property
    def _sleeping_count(self) -> _Count:
        return _Count(self._shared.statistics().waiting)

    @property
    def _woken_count(self) -> _Count:
        return _Count(0)

    _wait_semaphore = _woken_count


class _Count:
    """Stands for a semaphore of which nobody wants to know but the value."""

    def __init__(self, value: int) -> None:
        self._value = value

    def get_value(self) -> int:
        return self._value


class Event(_OnShared, _original.Event):
    """A flag that processes wait for."""

    _shared: shared.Event

    def __init__(self, *, ctx: Any) -> None:
        super().__init__(shared.Event())

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._shared.is_set()

    def set(self) -> None:
        """Set it: whoever waits goes on."""
        self._shared.set()

    def clear(self) -> None:
        """Take it back: from now on there is something to wait for."""
        self._shared.clear()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, for at most `timeout` seconds; whether it is."""
        return self._shared.wait(timeout)


class Barrier(_OnShared, _original.Barrier):
    """Where `parties` threads of any processes wait for each other; one of them calls `action` before they go on."""

    _shared: shared.Barrier

    def __init__(
        self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None, *, ctx: Any
    ) -> None:
        super().__init__(shared.Barrier(parties, action, timeout))

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the others; a different number below `parties` for each.

        BrokenBarrierError after `timeout` seconds, the barrier's own unless given, for all who wait; and if the barrier
        is broken, is reset, or one of them dies meanwhile.
        """
        return self._shared.wait(timeout)

    def reset(self) -> None:
        """Begin anew; who waits gets a BrokenBarrierError."""
        self._shared.reset()

    def abort(self) -> None:
        """Break it, until it is reset; who waits gets a BrokenBarrierError."""
        self._shared.abort()

    @property
    def parties(self) -> int:
        """How many have to come."""
        return self._shared.parties

    @property
    def n_waiting(self) -> int:
        """How many wait now."""
        return self._shared.n_waiting

    @property
    def broken(self) -> bool:
        """Whether it is broken."""
        return self._shared.broken


_mirror(__name__, _original)
