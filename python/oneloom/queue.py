"""Drop-in for `queue`: the queues are oneloom's, the exceptions the standard library's.

`Queue.shutdown` and `ShutDown` are here on every Python, as CPython 3.13 defined them.
"""

from __future__ import annotations

import queue as _original
from queue import Empty, Full

from oneloom._compat.mirror import mirror as _mirror
from oneloom._native import LifoQueue, PriorityQueue, Queue, ShutDown, SimpleQueue

__all__ = ["Empty", "Full", "ShutDown", "Queue", "PriorityQueue", "LifoQueue", "SimpleQueue"]

_mirror(__name__, _original)
