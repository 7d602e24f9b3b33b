"""Drop-in for `concurrent.futures`: executors whose futures threads wait for and coroutines await.

Everything is as the standard library has it, its exceptions, its constants and the behaviour of its executors included:
a worker process that dies breaks its pool. (`oneloom.ProcessPool` is where one crash costs one task.)

>>> from oneloom.concurrent.futures import ThreadPoolExecutor
>>> with ThreadPoolExecutor(max_workers=2) as executor:
...     list(executor.map(pow, [2, 3], [10, 2]))
[1024, 9]
"""

from __future__ import annotations

import concurrent.futures as _original
import importlib
import sys
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    BrokenExecutor,
    CancelledError,
    Executor,
    InvalidStateError,
    TimeoutError,
)

from oneloom._compat.mirror import mirror as _mirror

TYPE_CHECKING = False
if TYPE_CHECKING:
    if sys.version_info >= (3, 14):
        from concurrent.futures import InterpreterPoolExecutor as InterpreterPoolExecutor
    from typing import Any

    from oneloom._future import Future as Future
    from oneloom._wait import as_completed as as_completed
    from oneloom.concurrent.futures._base import wait as wait
    from oneloom.concurrent.futures.process import ProcessPoolExecutor as ProcessPoolExecutor
    from oneloom.concurrent.futures.thread import ThreadPoolExecutor as ThreadPoolExecutor

__all__ = [
    "FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED", "CancelledError", "TimeoutError", "InvalidStateError",
    "BrokenExecutor", "Future", "Executor", "wait", "as_completed", "ProcessPoolExecutor", "ThreadPoolExecutor",
]
if sys.version_info >= (3, 14):
    __all__ += ["InterpreterPoolExecutor"]  # The namesake's.

# Imported when asked for: nobody pays for what is not used, and what these are made from asks for this module itself.
_OURS = {
    "Future": "oneloom._future",
    "wait": "oneloom.concurrent.futures._base",
    "as_completed": "oneloom._wait",
    "ThreadPoolExecutor": "oneloom.concurrent.futures.thread",
    "ProcessPoolExecutor": "oneloom.concurrent.futures.process",
}


def __getattr__(name: str) -> Any:
    if name not in _OURS:
        raise AttributeError(name)
    # In the middle of its own import a module has no such class yet: then it gets the standard one, to derive from.
    return globals().setdefault(name, getattr(importlib.import_module(_OURS[name]), name))


_mirror(__name__, _original)
