"""`oneloom.ThreadPool`: a pool whose workers are threads of this process.

Tasks go past this file: submitting one, and a worker's loop, are native. Here stands what happens once in a while.
"""

from __future__ import annotations

import itertools
import threading

from oneloom import _native_pool
from oneloom._native import Lock
from oneloom._pool.base import Pool, Settings, processors, require_workers
from oneloom._pool.exit import end_at_exit
from oneloom._thread import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable
    from typing import Any

    from oneloom._future import Future
    from oneloom._pool.base import _P, _T

_numbers = itertools.count(1)


class _Team:
    """A pool's threads, and how they are started. Knows nothing of the pool, so that it does not keep it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers = itertools.count()
        # Held while a thread is started: whoever waits for them all finds none that can't be joined yet.
        self._lock = Lock(name=f"the threads of {name}")
        self._threads: set[Thread] = set()

    def hire(self, worker: _native_pool.ThreadWorker) -> None:
        thread = Thread(target=worker.run, name=f"{self._name}_{next(self._numbers)}", daemon=False)
        with self._lock:
            # Those that have ended are not needed any more; there may have been many, where workers are replaced.
            self._threads = {other for other in self._threads if other.is_alive()} | {thread}
            # Known before: Ctrl-C may come when it runs already.
            thread.start()

    def others(self) -> list[Thread]:
        """Its threads that live, without the calling one."""
        with self._lock:
            return [thread for thread in self._threads if thread.is_alive() and thread is not threading.current_thread()]


class ThreadPool(_native_pool.ThreadPool, Pool):
    """A pool of at most `workers` threads, which are started when they are needed.

    For what waits, and for native code that lets go of the interpreter lock: Python code of threads runs in turns.

    `workers` is the number of processors and 4 more, at most 32, unless given. `name` is what messages and threads are
    called. `initializer(*initargs)` is called by each worker first; if it raises, tasks fail with `InitializerError`.
    A worker makes room for a new one after `max_tasks_per_worker` tasks.

    `timeout` limits how long a task may run, in seconds: its future fails with `TimeoutError` then; its thread goes on
    until the task returns, which `oneloom.cancelled()` tells to do so. A task that raises an `Exception` is tried again
    up to `retries` times. Each task runs in a copy of `context`, a `contextvars.Context`; in that of its worker by default.

    A task that waits for another of its own pool raises `DeadlockError` when no worker is left to run that.

    >>> import oneloom
    >>> with oneloom.ThreadPool(4) as pool:
    ...     future = pool.submit(pow, 2, 10)
    ...     list(pool.map(abs, [-1, 2, -3]))
    [1, 2, 3]
    >>> future.result()
    1024
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        name: str | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        max_tasks_per_worker: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
        context: contextvars.Context | None = None,
    ) -> None:
        Pool.__init__(self, Settings(timeout, retries, context))
        require_workers(name, workers, initializer, initargs, max_tasks_per_worker)
        self.name = f"ThreadPool-{next(_numbers)}" if name is None else name
        self.workers = min(32, processors() + 4) if workers is None else int(workers)
        self._team = _Team(self.name)
        self._open(
            self.workers, self._team.hire, initializer, tuple(initargs), max_tasks_per_worker, timeout, retries, context
        )
        end_at_exit(self)

    if TYPE_CHECKING:

        def submit(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]: ...

    def _submit(self, settings: Settings, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        return self._submit_with(settings.timeout, settings.retries, settings.context, function, args, kwargs or None)

    def _shutdown(self, wait: bool, cancel_futures: bool) -> None:
        self._close(bool(cancel_futures))
        # A worker may have had another started meanwhile.
        while wait and (threads := self._team.others()):
            for thread in threads:
                thread.join()

    async def _ended(self) -> None:
        while threads := self._team.others():
            for thread in threads:
                await thread.join_async()

    def terminate(self) -> None:
        """Cancel what has not begun and what runs, and wait for nothing. May be called by a task.

        A thread can't be killed: a task that runs goes on until it returns, which `oneloom.cancelled()` tells it to.
        """
        self._close(True)
        self._cancel_running()

    def __repr__(self) -> str:
        workers, pending, is_shut_down = self._figures()
        end = ", shut down" if is_shut_down else ""
        return f"<oneloom.{type(self).__name__} {self.name!r}: workers={workers}/{self.workers}, pending={pending}{end}>"


ThreadPool.__module__ = "oneloom"
