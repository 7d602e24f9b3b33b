"""Objects that processes share: as `oneloom`'s own, and a killed process takes nothing with it.

Every object serves threads, coroutines and the processes of one *family*: the process that made the first object and all
that multiprocessing starts below it, by fork, spawn or forkserver. Pass one as an argument when a process is started, or
put it into a queue that both sides have; it stays the same object.

A process may be killed at any instant (`kill -9`, out of memory). Then nobody else waits for ever: a lock whose owner died
goes to the next waiter, who is told by an `OwnerDiedWarning` and `lock.recovered`; a queue repairs itself, and no item is
lost but the one that the dead process had just received.

>>> import multiprocessing
>>> import oneloom.shared
>>> def double(numbers, doubled):
...     for number in numbers:
...         doubled.put(2 * number)
>>> numbers, doubled = oneloom.shared.Queue(), oneloom.shared.Queue()
>>> child = multiprocessing.get_context("fork").Process(target=double, args=(numbers, doubled))
>>> child.start()
>>> numbers.put(21)
>>> doubled.get()
42
>>> numbers.shutdown()
>>> child.join()
"""

from __future__ import annotations

import sys as _sys

from oneloom import _native
from oneloom._native import (
    OwnerDiedWarning,
    SharedBarrier as Barrier,
    SharedBoundedSemaphore as BoundedSemaphore,
    SharedCondition as Condition,
    SharedEvent as Event,
    SharedLock as Lock,
    SharedPriorityQueue as PriorityQueue,
    SharedQueue as Queue,
    SharedQueueStatistics as QueueStatistics,
    SharedRLock as RLock,
    SharedSemaphore as Semaphore,
    SharedStatistics as Statistics,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = [
    "Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "OwnerDiedWarning", "PriorityQueue", "Queue",
    "QueueStatistics", "RLock", "Semaphore", "Statistics",
]  # fmt: skip


def _reduce(
    kind: Any, handle: bytes, name: str | None, family: int, descriptor: int | None, more: list[Any]
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """How a shared object pickles: as its handle, with what brings a child that is being started into the family."""
    if "_open" not in vars(kind):
        base = kind.__base__.__qualname__
        raise TypeError(f"a {kind.__qualname__} can't be sent to another process: it would arrive as a {base}")
    return _rebuild, (kind, handle, name, _passport(family, descriptor), *more)


def _rebuild(kind: Any, handle: bytes, name: str | None, passport: object, *more: Any) -> Any:
    # The passport has done its work by being unpickled first.
    return kind._open(handle, name, *more)


def _passport(family: int, descriptor: int | None) -> _Passport | None:
    """One for each family and start: a descriptor can be given to a child only once."""
    context = _sys.modules.get("multiprocessing.context")
    start: Any = context.get_spawning_popen() if context else None
    if start is None or descriptor is None:
        return None
    passports: dict[int, _Passport] = start.__dict__.setdefault("_oneloom_passports", {})
    return passports.setdefault(family, _Passport(descriptor))


class _Passport:
    """Pickled for a child that is being started, it brings the descriptor of the family's memory along."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        from multiprocessing.reduction import DupFd

        return _enter, (DupFd(self._descriptor),)


def _enter(descriptor: Any) -> None:
    _native._join_family(descriptor.detach())
