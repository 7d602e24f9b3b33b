"""One loom for threads, coroutines and processes: locks, queues, futures and pools that all of them share.

Every class here serves threads and the coroutines of any number of asyncio loops at once: `with` and `async with`,
`get` and `get_async`, `for` and `async for` work on the same object. `oneloom.shared` has the same locks and queues for
several processes; `ThreadPool` and `ProcessPool` run tasks. A deadlock that is certain raises `DeadlockError`, which names
who holds what and who waits where, instead of hanging.

>>> import oneloom
>>> jobs = oneloom.Queue(10)
>>> jobs.put("page 1")
>>> jobs.shutdown()
>>> for job in jobs:
...     print(job)
page 1

For pytest, which would rewrite the assertions of a package that brings a plugin: PYTEST_DONT_REWRITE
"""

import os as _os
import sys as _sys

if _sys.platform != "linux":
    raise ImportError(f"oneloom runs on Linux 5.10 or newer; this is {_sys.platform}")

from oneloom import _coroutines, _native as _native, deadlock
from oneloom._compat import standard_queue as _standard_queue
from oneloom._native import (
    Barrier,
    BoundedSemaphore,
    Condition,
    DeadlockError,
    DeadlockWarning,
    Event,
    LifoQueue,
    Lock,
    OwnerDiedWarning,
    PriorityQueue,
    Queue,
    RLock,
    Semaphore,
    SimpleQueue,
)
from oneloom._native_pool import cancelled
from oneloom._report import dump, dump_on_signal
from oneloom._run_main import run
from oneloom._thread import Thread
from oneloom._worker_died import WorkerDied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from oneloom._future import Future
    from oneloom._pool.base import InitializerError, Pool
    from oneloom._pool.processes import ProcessPool
    from oneloom._pool.threads import ThreadPool
    from oneloom._process import Process
    from oneloom._wait import as_completed, gather, wait, wait_async

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "DeadlockError",
    "DeadlockWarning",
    "Event",
    "Future",
    "InitializerError",
    "LifoQueue",
    "Lock",
    "OwnerDiedWarning",
    "Pool",
    "PriorityQueue",
    "Process",
    "ProcessPool",
    "Queue",
    "RLock",
    "Semaphore",
    "SimpleQueue",
    "Thread",
    "ThreadPool",
    "WorkerDied",
    "as_completed",
    "cancelled",
    "deadlock",
    "dump",
    "dump_on_signal",
    "gather",
    "run",
    "wait",
    "wait_async",
]


# What is imported when it is first asked for, because it imports what takes longer than all the rest of oneloom.
_LAZY = {
    "Future": "oneloom._future",
    "InitializerError": "oneloom._pool.base",
    "Pool": "oneloom._pool.base",
    "Process": "oneloom._process",
    "ProcessPool": "oneloom._pool.processes",
    "ThreadPool": "oneloom._pool.threads",
    "as_completed": "oneloom._wait",
    "gather": "oneloom._wait",
    "wait": "oneloom._wait",
    "wait_async": "oneloom._wait",
}


def __getattr__(name: str) -> "Any":
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return globals().setdefault(name, getattr(import_module(module), name))


_coroutines.attach()
_standard_queue.attach()
_os.register_at_fork(after_in_child=_native._after_fork)
