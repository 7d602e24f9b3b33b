"""Drop-in for `concurrent.futures.thread`: the executor's futures and threads are oneloom's.

What the standard library keeps for all executors (which threads are joined at exit, and that it is time to exit) is kept
there alone, so that both kinds of executor end in one order.
"""

from __future__ import annotations

import importlib
from concurrent.futures.thread import BrokenThreadPool

from oneloom._compat.mirror import mirror as _mirror
from oneloom._future import Future

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import thread as _original
    from typing import Any, ParamSpec, TypeVar

    _P = ParamSpec("_P")
    _T = TypeVar("_T")
else:
    # Its parent may be the drop-in already, which knows by that name this very module.
    _original = importlib.import_module("concurrent.futures.thread")


class ThreadPoolExecutor(_original.ThreadPoolExecutor):
    """Calls functions in threads of its own, at most `max_workers` of them, started when there is something to do.

    >>> with ThreadPoolExecutor(max_workers=2) as executor:
    ...     executor.submit(pow, 2, 10).result()
    1024
    """

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Have `fn(*args, **kwargs)` called in a thread; the future holds what comes of it.

        RuntimeError after `shutdown`, BrokenThreadPool once an initializer has failed.
        """
        with self._shutdown_lock, _original._global_shutdown_lock:
            if self._broken:
                raise BrokenThreadPool(self._broken)
            if self._shutdown or _original._shutdown:
                what = "" if self._shutdown else "interpreter "
                raise RuntimeError(f"cannot schedule new futures after {what}shutdown")
            future: Future[_T] = Future()
            self._work_queue.put(_original._WorkItem(future, fn, args, kwargs))
            self._adjust_thread_count()
            return future


_mirror(__name__, _original)
