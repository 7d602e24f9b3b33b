"""Drop-in for `concurrent.futures._base`: the future and the functions that wait for futures are oneloom's.

A future that was cancelled, but whose executor has not noticed, has not ended for the standard library's `wait`. Where
there is one, it is the standard library's that waits.
"""

from __future__ import annotations

from concurrent.futures import _base as _original
from concurrent.futures._base import (
    ALL_COMPLETED,
    CANCELLED,
    CANCELLED_AND_NOTIFIED,
    FINISHED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    PENDING,
    RUNNING,
)

from oneloom._compat.mirror import mirror as _mirror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures._base import DoneAndNotDoneFutures
    from typing import Any

    from oneloom._future import Future as Future
    from oneloom._wait import as_completed as as_completed


def wait(fs: Iterable[Any], timeout: float | None = None, return_when: Any = ALL_COMPLETED) -> DoneAndNotDoneFutures[Any]:
    """Wait until all of `fs` have ended, or as `return_when` says; which have by then, and which have not.

    After `timeout` seconds (None: no limit) it returns as well. `oneloom.wait` says more of it.
    """
    from oneloom._wait import wait

    futures = set(fs)
    waits = _original.wait if any(getattr(future, "_state", None) == CANCELLED for future in futures) else wait
    return waits(futures, timeout, return_when)


def __getattr__(name: str) -> Any:
    if name not in ("Future", "as_completed"):
        raise AttributeError(name)
    from oneloom.concurrent import futures

    return globals().setdefault(name, getattr(futures, name))


_mirror(__name__, _original)
