"""Drop-in for `multiprocessing`: its locks, semaphores, events, conditions, barriers and queues are oneloom's.

A process that is killed takes none of them with it: see `synchronize` and `queues`. Processes, the start methods, connections
and managers are the standard library's; for now `SimpleQueue`, `Pool`, `Value` and `Array` are as well, and use those locks.

>>> from oneloom import multiprocessing
>>> def deposit(lock, account):
...     with lock:
...         account.value += 1
>>> context = multiprocessing.get_context("fork")
>>> lock, account = context.Lock(), context.RawValue("i")
>>> children = [context.Process(target=deposit, args=(lock, account)) for _ in range(3)]
>>> for child in children:
...     child.start()
>>> for child in children:
...     child.join()
>>> account.value
3
"""

from __future__ import annotations

import importlib
import multiprocessing as _original
from multiprocessing import (
    AuthenticationError,
    BufferTooShort,
    Pipe,
    Process,
    ProcessError,
    RawArray,
    RawValue,
    TimeoutError,
    active_children,
    allow_connection_pickling,
    cpu_count,
    current_process,
    freeze_support,
    get_all_start_methods,
    get_logger,
    get_start_method,
    log_to_stderr,
    parent_process,
    reducer,
    set_executable,
    set_forkserver_preload,
    set_start_method,
)

from oneloom._compat.mirror import mirror as _mirror
from oneloom.multiprocessing import context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

__all__ = [
    "Array", "AuthenticationError", "Barrier", "BoundedSemaphore", "BufferTooShort", "Condition", "Event",
    "JoinableQueue", "Lock", "Manager", "Pipe", "Pool", "Process", "ProcessError", "Queue", "RLock", "RawArray",
    "RawValue", "Semaphore", "SimpleQueue", "TimeoutError", "Value", "active_children", "allow_connection_pickling",
    "cpu_count", "current_process", "freeze_support", "get_all_start_methods", "get_context", "get_logger",
    "get_start_method", "log_to_stderr", "parent_process", "reducer", "set_executable", "set_forkserver_preload",
    "set_start_method",
]  # fmt: skip

_context = context._default_context

Array = _context.Array
Barrier = _context.Barrier
BoundedSemaphore = _context.BoundedSemaphore
Condition = _context.Condition
Event = _context.Event
JoinableQueue = _context.JoinableQueue
Lock = _context.Lock
Manager = _context.Manager
Pool = _context.Pool
Queue = _context.Queue
RLock = _context.RLock
Semaphore = _context.Semaphore
SimpleQueue = _context.SimpleQueue
Value = _context.Value
get_context = _context.get_context


def __getattr__(name: str) -> ModuleType:
    # Otherwise it would be the namesake's, once somebody has imported that.
    if name not in ("queues", "synchronize"):
        raise AttributeError(name)
    return importlib.import_module(f"{__name__}.{name}")


_mirror(__name__, _original)
