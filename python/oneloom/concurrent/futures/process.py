"""Drop-in for `concurrent.futures.process`: the executor's futures are oneloom's.

Its processes are the standard library's: one that dies breaks the pool, and fails all that was submitted.
"""

from __future__ import annotations

import importlib
from concurrent.futures.process import EXTRA_QUEUED_CALLS, BrokenProcessPool

from oneloom._compat.mirror import mirror as _mirror
from oneloom._future import Future

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import process as _original
    from typing import Any, ParamSpec, TypeVar

    _P = ParamSpec("_P")
    _T = TypeVar("_T")
else:
    # Its parent may be the drop-in already, which knows by that name this very module.
    _original = importlib.import_module("concurrent.futures.process")


class ProcessPoolExecutor(_original.ProcessPoolExecutor):
    """Calls functions in processes of its own, at most `max_workers` of them.

    >>> with ProcessPoolExecutor(max_workers=1) as executor:
    ...     executor.submit(pow, 2, 10).result()
    1024
    """

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Have `fn(*args, **kwargs)` called in a process; the future holds what comes of it.

        RuntimeError after `shutdown`, BrokenProcessPool once a process has died.
        """
        state: Any = self
        with state._shutdown_lock:
            if state._broken:
                raise BrokenProcessPool(state._broken)
            if state._shutdown_thread or _original._global_shutdown:
                what = "" if state._shutdown_thread else "interpreter "
                raise RuntimeError(f"cannot schedule new futures after {what}shutdown")
            future: Future[_T] = Future()
            number = state._queue_count
            state._pending_work_items[number] = _original._WorkItem(future, fn, args, kwargs)
            state._queue_count += 1
            state._work_ids.put(number)
            state._executor_manager_thread_wakeup.wakeup()
            if state._safe_to_dynamically_spawn_children:
                state._adjust_process_count()
            state._start_executor_manager_thread()
            return future


_mirror(__name__, _original)
