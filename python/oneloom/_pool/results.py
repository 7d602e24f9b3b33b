"""What became of tasks, as exceptions: the native module calls these when somebody reads a future."""

from __future__ import annotations

import pickle

from oneloom import _remote
from oneloom._pool.base import InitializerError
from oneloom._worker_died import WorkerDied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oneloom._pool.launch import Worker


def raised(told: bytes) -> BaseException:
    """What a worker has told by `worker.failed`."""
    return _remote.error_of(pickle.loads(told))


def unreadable(name: str, error: Exception) -> BaseException:
    """A result that can't be unpickled here."""
    told = _remote.not_unpickled(name, error)
    told.__cause__ = error
    return told


def died(worker: Worker | None, pid: int, name: str) -> WorkerDied:
    """The task's worker is dead."""
    if worker is None:
        return WorkerDied(f"the worker with pid {pid} died while it ran {name}")
    return worker.died(name)


def timed_out(pid: int, name: str) -> TimeoutError:
    """The task took too long."""
    return TimeoutError(f"{name} took longer than its timeout; its worker (pid {pid}) was killed")


def refused(words: str, by_launch: bool, last: Worker | None, told: bytes | None) -> Exception:
    """Why a pool takes no tasks, or has no worker: `told` by an initializer, or `by_launch`; the `last` one had begun."""
    if told is not None:
        cause = raised(told)
        error = InitializerError(f"no worker could be made ready: the pool's initializer raised {type(cause).__name__}")
        error.__cause__ = cause
        return error
    if last is not None:
        return last.never_ready()
    if by_launch:
        return WorkerDied(words)
    return RuntimeError(words)
