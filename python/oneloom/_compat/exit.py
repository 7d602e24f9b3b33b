"""Being called at exit while the interpreter waits for the threads that still run.

Plain threading waits for them in C, or on bare locks, where nobody can see that the main thread does nothing else
any more. What is registered here runs just before that.
"""

from __future__ import annotations

import _thread
import contextlib
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


def call_before_last_joins(function: Callable[[], None]) -> None:
    """From now on `threading` calls `function` at exit, after all that others have registered with it."""
    calls: list[Any] = threading._threading_atexits  # type: ignore[attr-defined]
    if function not in calls and not threading._SHUTTING_DOWN:  # type: ignore[attr-defined]
        # They run in reverse, and executors tell their threads to end in one of them: this one has to be the last.
        calls.insert(0, function)


@contextlib.contextmanager
def main_thread_counts_as_ended() -> Iterator[None]:
    """Let threads join the main thread, which at exit has nothing left to do but to wait for them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    main: Any = threading.main_thread()
    if sys.version_info >= (3, 13):
        handle = main._os_thread_handle if sys.version_info >= (3, 14) else main._handle
        handle._set_done()  # `threading._shutdown` does it once more, without harm.
        yield
    else:
        main._tstate_lock.release()
        try:
            yield
        finally:
            # `threading._shutdown` insists on doing this itself.
            main._is_stopped = False
            main._tstate_lock = _thread.allocate_lock()
            main._tstate_lock.acquire()
