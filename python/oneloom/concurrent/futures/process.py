"""Drop-in for `concurrent.futures.process`: tasks are run by the engine of `oneloom.ProcessPool`.

The behaviour is the standard library's: a worker that dies breaks the pool and fails all that was submitted; workers are
processes of `mp_context`, started when they are needed, or all at the first `submit` where they are forked; calls and
results are pickled, and exceptions come with the worker's traceback. An executor whose class overrides how processes are
started runs on the standard library's own algorithm.
"""

from __future__ import annotations

import itertools
import pickle
import threading
import time
import weakref
from concurrent.futures.process import EXTRA_QUEUED_CALLS, BrokenProcessPool
from multiprocessing import spawn
from multiprocessing.reduction import ForkingPickler
from traceback import format_exception

from oneloom import shared
from oneloom._compat.mirror import mirror as _mirror
from oneloom._compat.mirror import original
from oneloom._future import Future
from oneloom._native_pool import PoolSeat, ProcessPool
from oneloom._pool.launch import Main, Passport
from oneloom._thread import Thread
from oneloom.concurrent.futures import _process_worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures.process import ProcessPoolExecutor as _StandardExecutor
    from typing import Any

    from oneloom._native_pool import PoolKeeper
    from oneloom._pool.base import _P, _T

_original = original("concurrent.futures.process")
if not TYPE_CHECKING:
    _StandardExecutor = _original.ProcessPoolExecutor

_STARTING = ("_spawn_process", "_launch_processes", "_adjust_process_count", "_start_executor_manager_thread")


_numbers = itertools.count(1)
_lives: weakref.WeakValueDictionary[int, _Life] = weakref.WeakValueDictionary()


def _read(number: int, answer: bytes | None) -> tuple[bool, Any]:
    """What a worker of that pool has answered, None if it is gone: whether it is a value, and what it is."""
    cause = None
    if answer is not None:
        try:
            with memoryview(answer) as view:
                return view[:1] == _process_worker.VALUE, pickle.loads(view[1:])
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            cause = format_exception(error)
    life = _lives.get(number)
    if life is not None:
        life.break_pool(cause)
        cause = life.cause
    broken = BrokenProcessPool(
        "A process in the process pool was terminated abruptly while the future was running or pending."
    )
    if cause is not None:
        broken.__cause__ = _remote_traceback("'''", cause)
    return False, broken


def _remote_traceback(quotes: str, lines: list[str]) -> BaseException:
    told: BaseException = _original._RemoteTraceback(f"\n{quotes}\n{''.join(lines)}{quotes}")
    return told


class _Life:
    """An executor's processes and the thread that starts and reaps them. Does not keep the executor."""

    def __init__(self, executor: Any) -> None:
        self._executor = weakref.ref(executor)
        self._context = executor._mp_context
        self._most: int = executor._max_workers
        self._may_replace = executor._max_tasks_per_child is not None
        self._leftovers = executor._shutdown_lock, executor._call_queue, executor._executor_manager_thread_wakeup
        self._changed = threading.Condition()
        self._forked: list[Any] = []
        self._is_forking = self._context.get_start_method(allow_none=False) == "fork"
        self._orders = None if self._is_forking else Main(), executor._initializer, executor._initargs
        self._is_broken = False
        self.cause: list[str] | None = None
        self.caller: Thread[None] | None = None
        self.processes: dict[int, Any] = vars(executor)["_processes"]
        if self._is_forking:
            # Before there is any other thread, ours included; and in the family that what it is told belongs to.
            shared.Lock()
            self._forked = [self._fork() for _ in range(self._most)]
        else:
            spawn._check_not_importing_main()  # type: ignore[attr-defined]
        number = next(_numbers)
        _lives[number] = self
        self.engine = weakref.ref(engine := ProcessPool())
        self._keeper: PoolKeeper = engine._begin(self._most, executor._max_tasks_per_child, None, 0, number)
        self._passport = Passport(*engine._family())
        executor._engine = engine
        self.thread = self.begin(self._keep)
        if self._is_forking:
            engine._launch(self._most)

    def begin(self, target: Callable[[], None]) -> Thread[None]:
        """Start a thread that is told of the exit, and waited for then, as long as it runs."""

        def run() -> None:
            try:
                target()
            finally:
                del _original._threads_wakeups[threading.current_thread()]

        thread = Thread(target=run)
        _original._threads_wakeups[thread] = self
        thread.start()
        return thread

    def wakeup(self) -> None:
        """What the standard library calls at exit: the pool is to finish, and to end."""
        self._keeper.shut_down()

    def _process(self, seat: Any, passport: object) -> Any:
        process = self._context.Process(target=_process_worker.work, args=(seat, passport, *self._orders))
        process.start()
        return process

    def _fork(self) -> tuple[Any, Any]:
        seat, to_tell = self._context.Pipe(duplex=False)
        with seat:
            return self._process(seat, None), to_tell

    def _keep(self) -> None:
        """Start workers, reap them, and start who calls what futures have to call."""
        while (chore := self._keeper.next()) is not None:
            if isinstance(chore, PoolSeat):
                self._start(chore)
            elif chore is True:
                self.caller = self.begin(lambda: self._keeper.call(id))
            else:
                self._ended(chore)
            del chore
        lock, call_queue, wakeup = self._leftovers
        call_queue.close()
        call_queue.join_thread()
        with lock:
            wakeup.close()

    def _start(self, seat: PoolSeat) -> None:
        try:
            if not self._is_forking:
                process = self._process(seat.to_bytes(), self._passport)
            elif self._forked:
                process, to_tell = self._forked.pop(0)
                with to_tell:
                    to_tell.send_bytes(seat.to_bytes())
            else:
                raise RuntimeError("a worker that was forked is not replaced")
        except BaseException as error:
            self.break_pool(format_exception(error))
            seat.failed(str(error))
            return
        with self._changed:
            self.processes[process.pid] = process
            self._changed.notify_all()
        seat.launched(process.pid, process)

    def _ended(self, process: Any) -> None:
        process.join()
        executor = self._executor()
        is_over = executor is None or executor._shutdown_thread or _original._global_shutdown
        if process.exitcode == 0 and (self._may_replace or is_over):
            if self._may_replace:
                with self._changed:
                    del self.processes[process.pid]
        else:
            self.break_pool(None)

    def break_pool(self, cause: list[str] | None) -> None:
        """A process has ended that was not to: so does all the rest."""
        executor = self._executor()
        if executor is not None:
            executor._broken = "A child process terminated abruptly, the process pool is not usable anymore"
            executor._shutdown_thread = True
        if not self._is_broken:
            self._is_broken, self.cause = True, cause
            self._keeper.terminate()

    def is_busy(self) -> bool:
        """Whether as many tasks as there may be workers have begun, or all."""
        engine = self.engine()
        pending, running, _ = (0, 0, 0) if engine is None else engine._counts()
        return not pending or running >= self._most or self._is_broken

    def cancel_when_busy(self) -> None:
        """Have the pool end, without the tasks that wait for a worker; the first that were submitted are to be done.

        The standard library has given those to workers that are only being started.
        """
        engine = self.engine()
        while not self.is_busy():
            time.sleep(0.001)
        if engine is not None:
            engine._shut_down(True)

    def started(self) -> dict[int, Any]:
        """The processes, with all that were asked for by now."""
        with self._changed:
            while self.thread.is_alive():
                engine = self.engine()
                if engine is None or self._is_broken or len(self.processes) >= engine._counts()[2]:
                    break
                self._changed.wait(0.05)
        return self.processes


class _Processes:
    """`executor._processes`: workers are started a moment after the task that asked for them."""

    def __get__(self, executor: Any, owner: type) -> Any:
        if executor is None:
            return self
        processes = vars(executor).get("_processes")
        return processes if processes is None or executor._life is None else executor._life.started()

    def __set__(self, executor: Any, value: Any) -> None:
        vars(executor)["_processes"] = value


class _Pending:
    """`executor._pending_work_items`: of the engine's tasks only how many have not ended."""

    def __get__(self, executor: Any, owner: type) -> Any:
        if executor is None:
            return self
        engine = executor._engine
        return vars(executor)["_pending_work_items"] if engine is None else range(sum(engine._counts()[:2]))

    def __set__(self, executor: Any, value: Any) -> None:
        vars(executor)["_pending_work_items"] = value


class ProcessPoolExecutor(_StandardExecutor):
    """Calls functions in processes of its own, at most `max_workers` of them: as many as there are processors, unless given.

    `mp_context` says how they are started; each calls `initializer(*initargs)` first, and is replaced after
    `max_tasks_per_child` tasks. A process that dies breaks the executor, as in the standard library: `oneloom.ProcessPool`
    is where that costs one task.

    >>> with ProcessPoolExecutor(max_workers=1) as executor:
    ...     executor.submit(pow, 2, 10).result()
    1024
    """

    _processes = _Processes()
    _pending_work_items = _Pending()

    # Made by the first task.
    _engine: ProcessPool | None = None
    _life: _Life | None = None

    if TYPE_CHECKING:
        _broken: bool
        _executor_manager_thread: Any
        _max_workers: int
        _shutdown_thread: bool
        _shutdown_lock: Any

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Have `fn(*args, **kwargs)` called in a process; the future holds what comes of it.

        What can't be pickled is the future's error. RuntimeError after `shutdown`, BrokenProcessPool once a process has died.
        """
        with self._shutdown_lock:
            self._refuse_if_over()
            if self._life is None:
                if any(getattr(type(self), name) is not getattr(ProcessPoolExecutor, name) for name in _STARTING):
                    return self._submit_as_standard(fn, args, kwargs)
                self._life = _Life(self)
                self._executor_manager_thread = self._life.thread
            engine = self._engine
        assert engine is not None
        try:
            call = bytes(ForkingPickler.dumps((fn, args, kwargs)))
        except Exception as error:
            # The standard library starts a worker before it looks at the task.
            engine._launch(min(self._max_workers, engine._counts()[2] + 1))
            error.__cause__ = _remote_traceback('"""', format_exception(error))
            future: Future[_T] = Future()
            future.set_exception(error)
            return future
        try:
            made: Future[Any] = engine.submit(_process_worker.call, call)
            return made
        except RuntimeError:
            self._refuse_if_over()  # It has been shut down or broken at this very moment.
            raise

    def _refuse_if_over(self) -> None:
        if self._broken:
            raise BrokenProcessPool(self._broken)
        if self._shutdown_thread or _original._global_shutdown:
            what = "" if self._shutdown_thread else "interpreter "
            raise RuntimeError(f"cannot schedule new futures after {what}shutdown")

    def _submit_as_standard(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Future[Any]:
        """What the standard library does, under its lock."""
        state: Any = self
        future: Future[Any] = Future()
        number = state._queue_count
        state._pending_work_items[number] = _original._WorkItem(future, fn, args, kwargs)
        state._queue_count += 1
        state._work_ids.put(number)
        state._executor_manager_thread_wakeup.wakeup()
        if state._safe_to_dynamically_spawn_children:
            state._adjust_process_count()
        state._start_executor_manager_thread()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; with `wait`, return when all are done. With `cancel_futures`, those that wait are cancelled."""
        with self._shutdown_lock:
            self._shutdown_thread = True
            life, engine = self._life, self._engine
        if life is not None and engine is not None:
            if not cancel_futures or life.is_busy():
                engine._shut_down(bool(cancel_futures))
            elif wait:
                life.cancel_when_busy()
            else:
                life.begin(life.cancel_when_busy)
        super().shutdown(wait, cancel_futures=cancel_futures)
        caller = life.caller if wait and life is not None else None
        if caller is not None and caller is not threading.current_thread():
            caller.join()


_mirror(__name__, _original)
