"""Drop-in for `concurrent.futures._base`: the future is oneloom's."""

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
    from typing import Any

    from oneloom._future import Future as Future


def __getattr__(name: str) -> Any:
    if name != "Future":
        raise AttributeError(name)
    from oneloom.concurrent import futures

    return globals().setdefault(name, getattr(futures, name))


_mirror(__name__, _original)
