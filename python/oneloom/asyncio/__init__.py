"""Drop-in for `asyncio`: its locks and queues are oneloom's own, strictly first come, first served.

Everything else is asyncio's: `asyncio.run`, tasks, streams, and the submodules, whose names work below this one too.
"""

from __future__ import annotations

import asyncio as _original
import sys
from asyncio import *

from oneloom._compat.mirror import mirror as _mirror
from oneloom.asyncio.locks import (  # type: ignore[assignment]
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    Lock,
    Semaphore,
)
from oneloom.asyncio.queues import LifoQueue, PriorityQueue, Queue  # type: ignore[assignment]
from oneloom.asyncio.queues import QueueShutDown as QueueShutDown

TYPE_CHECKING = False

if TYPE_CHECKING:  # Checkers read lists of names only; stubtest compares them with what runs.
    __all__ = [
        "ALL_COMPLETED", "AbstractChildWatcher", "AbstractEventLoop", "AbstractEventLoopPolicy", "AbstractServer",
        "Barrier", "BaseEventLoop", "BaseProtocol", "BaseTransport", "BoundedSemaphore", "BrokenBarrierError",
        "BufferedProtocol", "CancelledError", "Condition", "DatagramProtocol", "DatagramTransport",
        "DefaultEventLoopPolicy", "Event", "FIRST_COMPLETED", "FIRST_EXCEPTION", "FastChildWatcher", "Future",
        "Handle", "IncompleteReadError", "InvalidStateError", "LifoQueue", "LimitOverrunError", "Lock",
        "MultiLoopChildWatcher", "PidfdChildWatcher", "PriorityQueue", "Protocol", "Queue", "QueueEmpty", "QueueFull",
        "QueueShutDown", "ReadTransport", "Runner", "SafeChildWatcher", "SelectorEventLoop", "Semaphore",
        "SendfileNotAvailableError", "Server", "StreamReader", "StreamReaderProtocol", "StreamWriter",
        "SubprocessProtocol", "SubprocessTransport", "Task", "ThreadedChildWatcher", "Timeout", "TimeoutError",
        "TimerHandle", "Transport", "WriteTransport", "_enter_task", "_get_running_loop", "_leave_task",
        "_register_task", "_set_running_loop", "_unregister_task", "all_tasks", "as_completed",
        "create_subprocess_exec", "create_subprocess_shell", "create_task", "current_task", "ensure_future", "gather",
        "get_child_watcher", "get_event_loop", "get_event_loop_policy", "get_running_loop", "iscoroutine",
        "iscoroutinefunction", "isfuture", "new_event_loop", "open_connection", "open_unix_connection", "run",
        "run_coroutine_threadsafe", "set_child_watcher", "set_event_loop", "set_event_loop_policy", "shield", "sleep",
        "start_server", "start_unix_server", "timeout", "timeout_at", "to_thread", "wait", "wait_for", "wrap_future",
    ]
    if sys.version_info >= (3, 12):
        __all__ += ["TaskGroup", "create_eager_task_factory", "eager_task_factory"]
    if sys.version_info >= (3, 13):
        __all__ += ["EventLoop"]
else:
    __all__ = sorted({*_original.__all__, "QueueShutDown"})

for _class in (Barrier, BoundedSemaphore, Condition, Event, Lock, Semaphore, LifoQueue, PriorityQueue, Queue):
    _class.__module__ = __name__

for _name, _module in list(sys.modules.items()):
    if _name.startswith("asyncio."):
        # `import oneloom.asyncio.subprocess` is the standard library's module, not a second copy of it.
        sys.modules.setdefault(f"oneloom.{_name}", _module)

for _name in ("locks", "queues"):
    _mirror(f"{__name__}.{_name}", getattr(_original, _name))
_mirror(__name__, _original)
