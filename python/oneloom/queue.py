"""Drop-in for `queue`: the queues are oneloom's, the exceptions the standard library's.

`Queue.shutdown` and `ShutDown` are here on every Python, as CPython 3.13 defined them. A queue whose `mutex`, `queue` or
conditions are used, or whose hooks (`_init`, `_put`, `_get`, `_qsize`) are overridden, follows the standard library's
algorithm from then on: as fast as there, no faster, and everything that oneloom adds still works.
"""

from __future__ import annotations

import queue as _original
from queue import Empty, Full

from oneloom._compat.mirror import mirror as _mirror
from oneloom._native import LifoQueue, PriorityQueue, Queue, ShutDown, SimpleQueue

__all__ = ["Empty", "Full", "ShutDown", "Queue", "PriorityQueue", "LifoQueue", "SimpleQueue"]

_mirror(__name__, _original)
