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

__all__ = [
    "get_ident", "active_count", "Condition", "current_thread", "enumerate", "main_thread", "TIMEOUT_MAX", "Event",
    "Lock", "RLock", "Semaphore", "BoundedSemaphore", "Thread", "Barrier", "BrokenBarrierError", "Timer",
    "ThreadError", "setprofile", "settrace", "local", "stack_size", "excepthook", "ExceptHookArgs", "gettrace",
    "getprofile", "get_native_id",
]

if sys.version_info >= (3, 12):
    from threading import setprofile_all_threads, settrace_all_threads

    __all__ += ["setprofile_all_threads", "settrace_all_threads"]


def _is_set(self: Event) -> bool:
    """Deprecated in Python 3.10; old programs still call it."""
    warnings.warn("isSet() is deprecated, use is_set() instead", DeprecationWarning, stacklevel=2)
    return self.is_set()


def _notify_all(self: Condition) -> None:
    """Deprecated in Python 3.10; old programs still call it."""
    warnings.warn("notifyAll() is deprecated, use notify_all() instead", DeprecationWarning, stacklevel=2)
    self.notify_all()


for _class in (Condition, Lock, RLock):
    # The top level has others under these names, and pickle looks classes up by name.
    _class.__module__ = __name__

if not TYPE_CHECKING:
    Event.isSet = _is_set
    Condition.notifyAll = _notify_all


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
