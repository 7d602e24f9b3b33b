"""`oneloom.ProcessPool`: tasks in processes of their own, where one crash costs one task."""

from __future__ import annotations

import itertools
import os
import threading
from multiprocessing import process, util

from oneloom import _native_pool
from oneloom._pool.base import Pool, Settings, processors, require_count, require_workers
from oneloom._pool.exit import end_all, end_at_exit, living
from oneloom._pool.launch import Plan, Worker
from oneloom._pool.map import run_chunk
from oneloom._pool.worker import handle_record
from oneloom._process_end import STARTED_BY
from oneloom._thread import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    from oneloom._future import Future
    from oneloom._pool.map import _Chunk

_numbers = itertools.count(1)


class ProcessPool(_native_pool.ProcessPool, Pool):
    """A pool whose tasks run in processes: truly at once, and each apart from all others.

    A worker that dies (killed, crashed, out of memory) fails exactly the task that it ran, with `WorkerDied`; another takes
    its place. A task that takes longer than `timeout` seconds is ended with its worker, and fails with TimeoutError.
    A task that failed in any of these ways, or raised, is tried again up to `retries` times. Functions, arguments and
    results are pickled; large buffers (NumPy arrays, memoryviews) go without a copy and arrive read-only. Lambdas, closures
    and what a session defines need cloudpickle (the extra `oneloom[closures]`).

    `workers` is the number of processors unless given. They are started when tasks come, by `start_method`: "fork", "spawn"
    or "forkserver", which is the default unless the program has chosen another; all but the first import the main module
    anew, which needs its main guard. `name` is what messages and processes are called. Each worker calls
    `initializer(*initargs)` first; if that raises, tasks fail with `InitializerError`. After `max_tasks_per_worker` tasks a
    worker is replaced. `memory_limit` is how many bytes of its own a worker may have; beyond them a task gets MemoryError.

    A task that does nothing takes 2 µs among many, and 5 µs there and back.

    >>> import oneloom
    >>> with oneloom.ProcessPool(2) as pool:
    ...     pool.submit(pow, 2, 10).result()
    1024
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        name: str | None = None,
        start_method: Literal["fork", "spawn", "forkserver"] | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        max_tasks_per_worker: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
        memory_limit: int | None = None,
    ) -> None:
        settings = Settings(timeout, retries)
        Pool.__init__(self, settings)
        if start_method is not None and start_method not in STARTED_BY:
            raise ValueError(f"start_method is 'fork', 'spawn' or 'forkserver', not {start_method!r}")
        require_workers(name, workers, initializer, initargs, max_tasks_per_worker)
        if memory_limit is not None:
            require_count("memory_limit", memory_limit)
        self.workers = processors() if workers is None else int(workers)
        self.name = f"ProcessPool-{next(_numbers)}" if name is None else name
        plan = Plan(self.name, start_method, initializer, tuple(initargs), memory_limit)
        keeper = self._begin(self.workers, max_tasks_per_worker, timeout, retries)
        self._is_shut_down = False
        self._life = _Life(keeper, plan, self._family())

    def _submit(self, settings: Settings, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        if settings.context is not None:
            raise ValueError("context= is for thread pools: a worker process has contexts of its own")
        return self._submit_with(settings.timeout, settings.retries, function, args, kwargs)

    def _submit_chunk(self, settings: Settings, function: Callable[..., Any], star: bool, items: list[Any]) -> Future[_Chunk]:
        return self._submit_run_with(settings.timeout, settings.retries, run_chunk, function, star, items)

    def _shutdown(self, wait: bool, cancel_futures: bool) -> None:
        self._is_shut_down = True
        self._shut_down(bool(cancel_futures))
        if wait:
            self._wait_over(None)
            self._life.join()

    async def _ended(self) -> None:
        await self._over_later()
        await self._life.join_async()

    def terminate(self) -> None:
        """Kill the workers; whatever had not ended is cancelled. Waits for nothing; may be called from a callback."""
        self._is_shut_down = True
        self._terminate()

    def __repr__(self) -> str:
        pending, running, workers = self._counts()
        end = ", shut down" if self._is_shut_down else ""
        counts = f"workers={workers}/{self.workers}, running={running}, pending={pending}"
        return f"<oneloom.ProcessPool {self.name!r}: {counts}{end}>"


ProcessPool.__module__ = "oneloom"


class _Life:
    """The threads of a pool: they don't know the pool itself, so that it can go when nobody has it any more."""

    def __init__(self, keeper: _native_pool.PoolKeeper, plan: Plan, family: tuple[int, int | None]) -> None:
        self.keeper = keeper
        self._plan = plan
        self._family = family
        self._caller: Thread[None] | None = None
        end_at_exit(self)
        self._thread = Thread(target=self._keep, name=f"{plan.name} keeper", daemon=False)
        self._thread.start()

    def _keep(self) -> None:
        """Start workers, reap them, and start who calls what futures have to call."""
        try:
            while (chore := self.keeper.next()) is not None:
                if isinstance(chore, Worker):
                    chore.ended()
                elif chore is True:
                    self._start_caller()
                else:
                    self._start(chore)
                del chore
        finally:
            if self._caller is None:
                self._call()

    def _start_caller(self) -> None:
        caller = Thread(target=self._call, name=f"{self._plan.name} caller", daemon=False)
        try:
            caller.start()
        except RuntimeError:
            pass  # CPython 3.12 starts no threads at exit: the keeper calls what there is to call when all is over.
        else:
            self._caller = caller

    def _start(self, seat: _native_pool.PoolSeat) -> None:
        _end_before_children()
        try:
            worker = self._plan.start(seat.to_bytes(), self._family, seat.number())
        except BaseException as error:
            seat.failed(f"a worker of {self._plan.name!r} can't be started: {type(error).__name__}: {error}")
        else:
            assert worker.pid is not None
            seat.launched(worker.pid, worker)

    def _call(self) -> None:
        self.keeper.call(handle_record)

    def shutdown(self, wait: bool = True) -> None:
        """Let the pool finish what it was given."""
        self.keeper.shut_down()
        if wait:
            self.join()

    def terminate(self) -> None:
        """End the pool now."""
        self.keeper.terminate()

    def join(self) -> None:
        """Wait for the threads, unless this is one of them. The pool is over."""
        if not self._is_run_by(threading.current_thread()):
            self.join_keeper()
            # Only now is it known whether the keeper has started another.
            if self._caller is not None:
                self._caller.join()

    async def join_async(self) -> None:
        """The same in a coroutine."""
        if not self._is_run_by(threading.current_thread()):
            await self._thread.join_async()
            if self._caller is not None:
                await self._caller.join_async()

    def _is_run_by(self, thread: threading.Thread) -> bool:
        return thread in (self._thread, self._caller)

    def join_keeper(self) -> None:
        """Wait until all workers have ended. The pool is over."""
        self._thread.join()


def _end_what_is_left() -> None:
    """Before multiprocessing joins this process's children: its own children come here first, all others last.

    Those have no pools any more then, unless a Ctrl-C came while threading shut down, which ignores it and goes on. Whatever
    a callback still does is not waited for any more.
    """
    if process.parent_process() is not None:
        end_all()
        return
    lives = [life for life in living() if isinstance(life, _Life)]
    for life in lives:
        life.terminate()
    for life in lives:
        life.join_keeper()


# What has that called, and in which process.
_finalizer: list[tuple[int, util.Finalize]] = []


def _end_before_children() -> None:
    """Have what is left ended when this process ends, before anybody joins its children.

    A child of multiprocessing forgets what it was to do at its end when it has imported the main module.
    """
    if not any(pid == os.getpid() and finalizer.still_active() for pid, finalizer in _finalizer):
        _finalizer[:] = [(os.getpid(), util.Finalize(None, _end_what_is_left, exitpriority=100))]
