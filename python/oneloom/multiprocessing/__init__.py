"""Drop-in for `multiprocessing`: its locks, semaphores, events, conditions and barriers are oneloom's.

A process that is killed takes none of them with it: see `synchronize`. Everything else is the standard library's, for now:
`Process`, the start methods, connections, managers, and also `Pool`, `Value`, `Array` and the queues, which use those locks.

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

import multiprocessing as _original
from multiprocessing import *

from oneloom._compat.mirror import mirror as _mirror
from oneloom.multiprocessing import context

TYPE_CHECKING = False

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
Lock = _context.Lock
Manager = _context.Manager
Pool = _context.Pool
RLock = _context.RLock
Semaphore = _context.Semaphore
Value = _context.Value
get_context = _context.get_context

if not TYPE_CHECKING:  # To type checkers these are classes.
    JoinableQueue = _context.JoinableQueue
    Queue = _context.Queue
    SimpleQueue = _context.SimpleQueue

_mirror(__name__, _original)
