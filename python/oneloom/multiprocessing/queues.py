"""Drop-in for `multiprocessing.queues`: `Queue` and `JoinableQueue` stand in memory that the processes share.

No pipe, no thread that feeds it: what was put is there at once, and stays there when its sender is killed. A receiver that is
killed takes nothing with it but the item that it had just taken. `SimpleQueue` is the standard library's, because it is a pipe:
programs use its ends.
"""

from __future__ import annotations

import errno
import multiprocessing.queues as _original
from multiprocessing.queues import SimpleQueue
from multiprocessing.util import register_after_fork
from queue import Full

from oneloom import shared
from oneloom._compat.mirror import mirror as _mirror
from oneloom._native import DeadlockError
from oneloom._outcome import Generic
from oneloom.multiprocessing.synchronize import _OnShared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    _T = TypeVar("_T")

__all__ = ["Queue", "SimpleQueue", "JoinableQueue"]


class Queue(_OnShared, _original.Queue, Generic["_T"]):  # type: ignore[type-arg]
    """A queue for processes, of at most `maxsize` items (0 or less: any number)."""

    _shared: shared.Queue[_T]
    # By this process.
    _closed = False
    _was_used = False

    def __init__(self, maxsize: int = 0, *, ctx: Any) -> None:
        super().__init__(shared.Queue(max(maxsize, 0), copy=True))

    def put(self, obj: _T, block: bool = True, timeout: float | None = None) -> None:
        """Put an item, pickled at once. Where there is no place, wait if `block`, for at most `timeout` seconds; then Full.

        ValueError once the queue is closed here. An item that can't be pickled is dropped, and its traceback printed, as the
        standard library does it in a thread of its own.
        """
        self._require_open()
        self._was_used = True
        limit = _limit(block, timeout)
        try:
            self._shared.put(obj, block, limit)
        except (Full, DeadlockError):
            raise
        except Exception as error:
            # What a signal handler raises comes out here as well, and is not about the item.
            if (isinstance(error, OSError) and error.errno == errno.ENOSPC) or _can_be_pickled(obj):
                raise
            self._on_queue_feeder_error(error, obj)  # type: ignore[attr-defined]

    def get(self, block: bool = True, timeout: float | None = None) -> _T:
        """Take an item. Where there is none, wait if `block`, for at most `timeout` seconds; then Empty.

        ValueError once the queue is closed here.
        """
        self._require_open()
        return self._shared.get(block, _limit(block, timeout))

    def qsize(self) -> int:
        """How many items there are."""
        return self._shared.qsize()

    def empty(self) -> bool:
        """Whether there is no item. OSError once the queue was used and closed here."""
        if self._closed and self._was_used:
            raise OSError("handle is closed")
        return self.qsize() == 0

    def full(self) -> bool:
        """Whether there is no place."""
        return self._shared.full()

    def close(self) -> None:
        """Say that this process puts and gets no more. Its forks may."""
        self._closed = True
        register_after_fork(self, _open_again)

    def join_thread(self) -> None:
        """Return at once: what was put is there. AssertionError unless the queue is closed here."""
        assert self._closed, f"Queue {self!r} not closed"

    def cancel_join_thread(self) -> None:
        """Do nothing: there is no thread to wait for."""

    def _require_open(self) -> None:
        if self._closed:
            raise ValueError(f"Queue {self!r} is closed")


class JoinableQueue(Queue["_T"], _original.JoinableQueue):  # type: ignore[type-arg]
    """A queue whose `join` waits until `task_done` was called for each item."""

    def task_done(self) -> None:
        """Say that an item that was taken is done. ValueError if none is left to be."""
        self._shared.task_done()

    def join(self) -> None:
        """Wait until all items are done."""
        self._shared.join()


def _open_again(queue: Queue[Any]) -> None:
    queue._closed = queue._was_used = False


def _can_be_pickled(item: object) -> bool:
    another: shared.Queue[object] = shared.Queue(copy=True)
    try:
        another.put(item)  # Which pickles as the queue itself does: memoryviews too, for example.
    except Exception:
        return False
    return True


def _limit(block: bool, timeout: float | None) -> float | None:
    """The time limit in seconds: one below zero is none at all, and without waiting there is none to be had."""
    return max(timeout, 0.0) if block and timeout is not None else None


_mirror(__name__, _original)
