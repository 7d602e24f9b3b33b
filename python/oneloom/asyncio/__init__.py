"""Drop-in for `asyncio`: its locks and queues are oneloom's own, strictly first come, first served.

Everything else is asyncio's: `asyncio.run`, tasks, streams, and the submodules, whose names work below this one too.
"""

from __future__ import annotations

import asyncio as _original
import sys as _sys
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

__all__ = sorted({*_original.__all__, "QueueShutDown"})

for _class in (Barrier, BoundedSemaphore, Condition, Event, Lock, Semaphore, LifoQueue, PriorityQueue, Queue):
    _class.__module__ = __name__

for _name, _module in list(_sys.modules.items()):
    if _name.startswith("asyncio."):
        # `import oneloom.asyncio.subprocess` is the standard library's module, not a second copy of it.
        _sys.modules.setdefault(f"oneloom.{_name}", _module)

# What nobody has imported yet (`asyncio.__main__`) is found where it is.
__path__ = [*__path__, *_original.__path__]

_mirror(__name__, _original)
