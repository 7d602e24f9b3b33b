"""`oneloom.Future`: what a call will come to, for threads and coroutines, and for the standard library's own functions."""

from __future__ import annotations

import concurrent.futures
from concurrent.futures import _base

from oneloom import _native_future

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oneloom._outcome import _T


class Future(_native_future.Future["_T"], concurrent.futures.Future["_T"]):
    """What a call will come to: a value or an exception, which threads and coroutines wait for.

    It is a `concurrent.futures.Future`: the standard `wait`, `as_completed` and `asyncio.wrap_future` take it. `result()`
    waits in a thread, `await` in a coroutine of any asyncio loop; cancelling one that awaits leaves the future as it is.
    Pools make futures; one that a program makes itself is ended by `set_result` or `set_exception`. Making, ending and
    reading one costs a tenth of what a standard one costs, until somebody looks at its `_condition`, `_waiters` or `_state`.

    >>> import oneloom
    >>> future = oneloom.Future()
    >>> future.set_result(42)
    >>> future.result()
    42
    """


Future.__module__ = "oneloom"  # Where it is public.


def log_failed_callback(future: Future[object], error: Exception) -> None:
    """Note that a callback has failed, as the standard library does."""
    _base.LOGGER.error("exception calling callback for %r", future, exc_info=error)
