"""Drop-in for `concurrent.futures.thread`: tasks are run by the engine of `oneloom.ThreadPool`.

What a program can see of the standard library's executor is there: its threads, its attributes, its way of ending. An
executor whose `_work_queue` or `_idle_semaphore` is looked at or replaced, whose `_max_workers` is changed, or whose
`_adjust_thread_count` or `prepare_context` (CPython 3.14) is overridden follows the standard library's algorithm from then
on: as fast as there, no faster.

What the standard library keeps for all executors (which threads are joined at exit, and that it is time to exit) is kept
there alone.
"""

from __future__ import annotations

import os
import sys
import weakref
from concurrent.futures.thread import BrokenThreadPool

from oneloom._compat.mirror import mirror as _mirror
from oneloom._compat.mirror import original
from oneloom._future import Future
from oneloom._native import Lock
from oneloom._native_pool import ThreadPool
from oneloom._thread import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures.thread import ThreadPoolExecutor as _StandardExecutor
    from typing import Any

    from oneloom._native_pool import ThreadWorker
    from oneloom._pool.base import _P, _T

_original = original("concurrent.futures.thread")
if not TYPE_CHECKING:
    _StandardExecutor = _original.ThreadPoolExecutor


class _Crew:
    """An executor's threads, and how they begin and end. Does not keep the executor, so that it can be dropped."""

    def __init__(
        self, executor: Any, pool: ThreadPool, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]
    ) -> None:
        self._prefix = executor._thread_name_prefix
        self._initializer = initializer
        self._initargs = initargs
        self._threads = executor._threads
        self._executor = weakref.ref(executor)
        self._pool = weakref.ref(pool)
        self._queue: Any = None
        self.lock = Lock()

    def hire(self, worker: ThreadWorker) -> None:
        """Start a thread for a worker. RuntimeError once the interpreter is about to end."""
        with _original._global_shutdown_lock:
            if _original._shutdown:
                raise RuntimeError("cannot schedule new futures after interpreter shutdown")
            thread = Thread(target=self._work, args=(worker,), name=f"{self._prefix}_{len(self._threads)}")
            thread.start()
            self._threads.add(thread)
            _original._threads_queues[thread] = self

    def _work(self, worker: ThreadWorker) -> None:
        if self._initializer is not None:
            try:
                self._initializer(*self._initargs)
            except BaseException:
                _original._base.LOGGER.critical("Exception in initializer:", exc_info=True)
                executor = self._executor()
                if executor is not None:
                    executor._initializer_failed()
                return
        try:
            worker.run()
        except BaseException:
            _original._base.LOGGER.critical("Exception in worker", exc_info=True)
        if self._queue is not None:
            del worker
            if sys.version_info >= (3, 14):
                _original._worker(self._executor, _original.WorkerContext(None, ()), self._queue)
            else:
                _original._worker(self._executor, self._queue, None, ())

    def hand_over(self, queue: Any) -> None:
        """From now on the threads take what is in `queue`, as the standard library's do."""
        self._executor = weakref.ref(self._executor(), lambda _: queue.put(None))
        self._queue = queue

    def put(self, nothing: None) -> None:
        """What the standard library calls at exit, to have a thread look whether it is to end."""
        if self._queue is not None:
            self._queue.put(nothing)
        elif (pool := self._pool()) is not None:
            executor = self._executor()
            if executor is None or executor._shutdown or _original._shutdown:
                pool._close(False)


class _Inside:
    """An attribute that the standard library's algorithm works with: who touches it wants that algorithm."""

    def __init__(self, *, may_be_read: bool = False) -> None:
        self._may_be_read = may_be_read

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, executor: Any, owner: type) -> Any:
        if executor is None:
            return self
        if not self._may_be_read:
            executor._hand_over()
        try:
            return vars(executor)[self._name]
        except KeyError:
            raise AttributeError(f"{owner.__name__!r} object has no attribute {self._name!r}") from None

    def __set__(self, executor: Any, value: Any) -> None:
        if executor._crew is not None:
            executor._hand_over()
        vars(executor)[self._name] = value


def _is_overridden(kind: type, name: str) -> bool:
    ours, theirs = getattr(ThreadPoolExecutor, name, None), getattr(kind, name, None)
    return getattr(theirs, "__func__", theirs) is not getattr(ours, "__func__", ours)


class ThreadPoolExecutor(_StandardExecutor):
    """Calls functions in threads of its own, at most `max_workers` of them, started when there is something to do.

    The threads are called `thread_name_prefix`, a line and a number, and call `initializer(*initargs)` first; if that
    raises, the executor is broken. A task that waits for another of its own executor raises `DeadlockError` when no
    thread is left to run that.

    >>> with ThreadPoolExecutor(max_workers=2) as executor:
    ...     executor.submit(pow, 2, 10).result()
    1024
    """

    _work_queue = _Inside()
    _idle_semaphore = _Inside()
    _max_workers = _Inside(may_be_read=True)

    if TYPE_CHECKING:
        _shutdown: bool
        _broken: bool
        _shutdown_lock: Any
        _threads: set[Thread[None]]
        _resolve_work_item_task: Any

        def _adjust_thread_count(self) -> None: ...

    # The engine; the same while it is what takes tasks; and its threads.
    _engine: ThreadPool | None = None
    _pool: ThreadPool | None = None
    _crew: _Crew | None = None

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        **ctxkwargs: Any,
    ) -> None:
        super().__init__(max_workers, thread_name_prefix, initializer, initargs, **ctxkwargs)
        if any(_is_overridden(type(self), name) for name in ("_adjust_thread_count", "prepare_context")):
            return
        engine = ThreadPool()
        self._crew = _Crew(self, engine, initializer, initargs)
        engine._open(self._max_workers, self._crew.hire, None, (), None, None, 0, None)
        self._engine = self._pool = engine

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Have `fn(*args, **kwargs)` called in a thread; the future holds what comes of it.

        RuntimeError after `shutdown`, BrokenThreadPool once an initializer has failed.
        """
        pool = self._pool
        if pool is None or self._shutdown or _original._shutdown:
            return self._submit(fn, args, kwargs)
        try:
            return pool.submit(fn, *args, **kwargs)
        except RuntimeError:
            if self._pool is not pool or self._shutdown or _original._shutdown:
                return self._submit(fn, args, kwargs)
            raise

    def _submit(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Future[Any]:
        """What the standard library does; or the error that it raises."""
        with self._shutdown_lock, _original._global_shutdown_lock:
            if self._broken:
                raise getattr(self, "BROKEN", BrokenThreadPool)(self._broken)
            if self._shutdown or _original._shutdown:
                what = "" if self._shutdown else "interpreter "
                raise RuntimeError(f"cannot schedule new futures after {what}shutdown")
            future: Future[Any] = Future()
            if sys.version_info >= (3, 14):
                item = _original._WorkItem(future, self._resolve_work_item_task(fn, args, kwargs))
            else:
                item = _original._WorkItem(future, fn, args, kwargs)
            self._work_queue.put(item)
            self._adjust_thread_count()
            return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; with `wait`, return when all are done. With `cancel_futures`, those that wait are cancelled."""
        with self._shutdown_lock:
            self._shutdown = True
            pool = self._pool
        if pool is None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
        else:
            pool._close(bool(cancel_futures))
        while wait:
            for thread in list(self._threads):
                thread.join()
            # One may be about to be started, for a task that was submitted at this very moment.
            if self._engine is None or not self._engine._figures()[0]:
                return
            os.sched_yield()

    def _hand_over(self) -> None:
        """Go over to the standard library's algorithm, with all that is to be done."""
        crew = self._crew
        if crew is None or self._pool is None:
            return
        with crew.lock:
            pool, self._pool = self._pool, None
            if pool is None:
                return
            queue = vars(self)["_work_queue"]
            crew.hand_over(queue)
            for task in pool._hand_over():
                queue.put(task)
            if self._shutdown:
                queue.put(None)


_mirror(__name__, _original)
