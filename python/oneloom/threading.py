"""Drop-in for `threading`: locks, conditions and threads are oneloom's, everything else is the standard library's.

A lock here belongs to the thread that took it, never to a task, and anyone may release a `Lock`, as is usual there.
The module's state (who is alive, `excepthook`, what runs at exit) is kept in the standard module alone.
"""

from __future__ import annotations

import sys
import threading as _original
import warnings
from threading import (
    TIMEOUT_MAX,
    BrokenBarrierError,
    ExceptHookArgs,
    ThreadError,
    active_count,
    current_thread,
    enumerate,
    get_ident,
    get_native_id,
    getprofile,
    gettrace,
    local,
    main_thread,
    setprofile,
    settrace,
    stack_size,
)

from oneloom._compat.mirror import mirror as _mirror
from oneloom._native import Barrier, BoundedSemaphore, DropInCondition as Condition, DropInLock as Lock
from oneloom._native import DropInRLock as RLock, Event, Semaphore
from oneloom._thread import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from threading import excepthook as excepthook
    from typing import Any
elif sys.version_info < (3, 13):
    # A function then, to the standard library; to type checkers it was a class all along.
    from oneloom._native import _drop_in_lock as Lock

__all__ = [
    "get_ident", "active_count", "Condition", "current_thread", "enumerate", "main_thread", "TIMEOUT_MAX", "Event",
    "Lock", "RLock", "Semaphore", "BoundedSemaphore", "Thread", "Barrier", "BrokenBarrierError", "Timer",
    "ThreadError", "setprofile", "settrace", "local", "stack_size", "excepthook", "ExceptHookArgs", "gettrace",
    "getprofile", "get_native_id",
]

if sys.version_info >= (3, 12):
    from threading import setprofile_all_threads, settrace_all_threads

    __all__ += ["setprofile_all_threads", "settrace_all_threads"]


class _OldNames:
    """Methods that old programs still call; those of `Event` and `Condition` have been deprecated since Python 3.10."""

    def isSet(self: Any) -> bool:
        """Deprecated: `is_set`."""
        warnings.warn("isSet() is deprecated, use is_set() instead", DeprecationWarning, stacklevel=2)
        is_set: bool = self.is_set()
        return is_set

    def notifyAll(self: Any) -> None:
        """Deprecated: `notify_all`."""
        warnings.warn("notifyAll() is deprecated, use notify_all() instead", DeprecationWarning, stacklevel=2)
        self.notify_all()


if not TYPE_CHECKING:
    for _class, _name in ((Event, "isSet"), (Condition, "notifyAll")):
        _method = getattr(_OldNames, _name)
        _method.__qualname__ = f"{_class.__name__}.{_name}"
        setattr(_class, _name, _method)
    for _name in ("acquire", "release", "locked"):
        setattr(type(Lock()), f"{_name}_lock", getattr(type(Lock()), _name))
    del _class, _name, _method


class Timer(_original.Timer, Thread):
    """A thread that calls a function after a number of seconds, unless it is cancelled before.

    >>> rung = []
    >>> timer = Timer(0.001, rung.append, ["ding"])
    >>> timer.start()
    >>> timer.join()
    >>> rung
    ['ding']
    """


_mirror(__name__, _original)
