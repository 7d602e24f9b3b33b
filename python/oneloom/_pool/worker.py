"""The worker's side of a process pool: what it sets up before its first task, and what it tells its owner beside results."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from functools import partial
from importlib.util import find_spec
from multiprocessing import set_start_method
from multiprocessing.process import BaseProcess

from oneloom import _native_pool, _remote
from oneloom._memory import Memory
from oneloom._pool import pickling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from logging import LogRecord
    from types import FrameType, ModuleType
    from typing import Any

# So much a worker needs beside what it has, or it can't even say what went wrong.
_LEAST_ROOM = 8 << 20
_MOST_OF_CRASH = 8 << 10


class Crash(Memory):
    """Where a worker's faulthandler writes."""

    def enable(self) -> None:
        """In the worker."""
        import faulthandler

        faulthandler.enable(self._descriptor)

    def read(self) -> str:
        """In the owner, when the worker is gone."""
        return os.pread(self._descriptor, _MOST_OF_CRASH, 0).decode(errors="replace").rstrip()


class Orders:
    """What a worker is told at its start."""

    def __init__(self, **orders: Any) -> None:
        self.__dict__.update(orders)

    seat: bytes
    crash: Crash
    initializer: Callable[[], None] | None
    memory_limit: int | None
    logged: dict[str, int] | None
    start_method: str | None


class InChild(BaseProcess):
    """A worker's process as it sees itself, where it was started anew: what `launch.Worker` is pickled as."""

    _start_method = None
    _orders: Orders

    def __init__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def run(self) -> None:
        work(self._orders)


def work(orders: Orders) -> None:
    """Do a pool's tasks until it ends."""
    # By fork it is a copy of the thread that started it.
    threading.current_thread().name = "MainThread"
    # The program's choice, if it has made one: until now it is what multiprocessing does by default.
    set_start_method(orders.start_method, force=True)
    signal.signal(signal.SIGINT, _leave_to_owner)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
    worker = _native_pool.PoolWorker(orders.seat)
    orders.crash.enable()
    _write_by_line()
    if orders.logged is not None:
        _when_logging_is_there(partial(_send_records, worker, orders.logged))
    try:
        if orders.memory_limit is not None:
            _limit_memory(orders.memory_limit)
        if orders.initializer is not None:
            orders.initializer()
    except BaseException as error:
        worker.refuse(pickle.dumps(_remote.failed_with(error, "the initializer", pickling.dumps)))
        return
    worker.run()


def failed(error: BaseException, doing: str) -> bytes:
    """What a task has raised, for its owner."""
    return pickle.dumps(_remote.failed_with(error, doing, pickling.dumps), pickle.HIGHEST_PROTOCOL)


def unreadable(error: Exception, _name: str) -> bytes:
    """What a task's call that can't be unpickled here comes to, for its owner."""
    told = pickle.UnpicklingError(f"a call can't be unpickled in a worker: {str(error) or type(error).__name__}{_cure(error)}")
    told.__cause__ = error
    return failed(told, "a worker")


def _cure(error: Exception) -> str:
    if not isinstance(error, AttributeError) or "__main__" not in str(error).replace("__mp_", "__"):
        return ""
    if getattr(sys.modules["__main__"], "__file__", None) is None:
        return pickling.or_by_value(". Likely fix: define it in a module, because no worker can import a session")
    return pickling.or_by_value(
        ". Likely fix: define it at the top level of the main module, before the pool is made and outside "
        '`if __name__ == "__main__":`, because a worker imports that module under another name'
    )


def _leave_to_owner(number: int, frame: FrameType | None) -> None:
    """Ctrl-C reaches every process of the terminal; what becomes of the tasks is for the owner to say.

    Not ignored as such, because the children of tasks would inherit that.
    """


def _write_by_line() -> None:
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # Unbuffered streams (python -u) write a line in pieces, between which another worker's may come.
            reconfigure(line_buffering=True, write_through=False)


def _limit_memory(limit: int) -> None:
    """A limit to this process's own memory: what it shares does not count."""
    import resource

    with open("/proc/self/status") as status:
        used = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmData:"))
    if limit < used + _LEAST_ROOM:
        raise ValueError(
            f"memory_limit={limit} leaves no room for tasks: a worker has {used} bytes before its first; take at least "
            f"{used + _LEAST_ROOM}"
        )
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _when_logging_is_there(then: Callable[[], None]) -> None:
    """Call this at once, or right after something has imported logging: that would make each start longer by a tenth."""
    if "logging" in sys.modules:
        then()
    else:
        sys.meta_path.insert(0, _Logging(then))


class _Logging:
    """Finds nothing but logging, once. It stays among the finders: other threads may go through them just then."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then: Callable[[], None] | None = then

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "logging" or self._then is None:
            return None
        then, self._then = self._then, None
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_go_on(module: ModuleType) -> None:
                execute(module)
                then()

            spec.loader.exec_module = execute_and_go_on  # type: ignore[method-assign]
        return spec


def _send_records(worker: Any, levels: dict[str, int]) -> None:
    """Let the owner's loggers handle what is logged here, at the levels that they have."""
    import logging

    class _Sender(logging.Handler):
        pid = os.getpid()

        def emit(self, record: LogRecord) -> None:
            if os.getpid() == self.pid:  # The children of a task have no way there.
                try:
                    worker.tell(_record_as_bytes(record))
                except Exception:
                    self.handleError(record)

    sender = _Sender()
    for name, level in levels.items():
        logging.getLogger(name or None).setLevel(level)
    # What the main module or a fork has set up here would handle everything a second time.
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger) and (logger.handlers or not logger.propagate):
            logger.handlers = [] if logger.propagate else [sender]
    logging.root.handlers = [sender]


def _record_as_bytes(record: LogRecord) -> bytes:
    import logging

    told = dict(record.__dict__, msg=record.getMessage(), args=None)
    if record.exc_info:
        told["exc_text"] = record.exc_text or logging.Formatter().formatException(record.exc_info)
        told["exc_info"] = None
    try:
        return pickling.dumps(told)
    except Exception:
        plain = (str, int, float, type(None))
        return pickle.dumps({k: v if isinstance(v, plain) else repr(v) for k, v in told.items()})


def handle_record(told: bytes) -> None:
    """In the owner: as if it had been logged here."""
    import logging

    record = logging.makeLogRecord(pickle.loads(told))
    logging.getLogger(record.name).handle(record)
