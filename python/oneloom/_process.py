"""`oneloom.Process`: a `multiprocessing.Process` that gives back its target's value and can be awaited.

The process is started by the standard library's own means. What oneloom adds: the two calls of `_outcome` around what
runs in it; memory in which the child leaves the outcome, so that it never blocks on its result, however large; and an end
that any number of threads and coroutines wait for, in `_process_end`.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import struct
from multiprocessing import process

from oneloom import _remote
from oneloom._memory import Memory
from oneloom._outcome import Generic, Outcome, keeping_outcome, keeping_value, leave_traceback, out_of_traceback
from oneloom._process_end import STARTED_BY, KnownEnd
from oneloom._worker_died import WorkerDied, in_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from typing import Any, Literal

    from oneloom._outcome import _T

MAIN_GUARD = (
    'Likely fix: put what starts processes in the main module under `if __name__ == "__main__":`, because a child that is '
    "started by spawn or forkserver imports that module anew."
)
SAID_WHY = "what it wrote to standard error says why."


class _Memory(Memory):
    """Where a child leaves its outcome.

    A header comes first: whether the child has reached its target, and how many bytes of outcome are complete. It is
    written after them, so a child that is killed at any instant has left all of its outcome, or none.
    """

    _HEADER = struct.Struct("<QQ")

    def reach_target(self) -> None:
        """In the child: from now on, what goes wrong is the target's."""
        os.pwrite(self._descriptor, self._HEADER.pack(1, 0), 0)

    def write(self, outcome: Outcome, whose: str) -> None:
        """In the child: leave the outcome."""
        with open(self._descriptor, "r+b", closefd=False) as file:
            file.seek(self._HEADER.size)
            _remote.dump(outcome, file, whose)
            size = file.tell() - self._HEADER.size
        os.pwrite(self._descriptor, self._HEADER.pack(1, size), 0)

    def read(self, whose: str) -> Outcome | bool:
        """In the parent: the outcome; where there is none, whether the child has reached its target."""
        header = os.pread(self._descriptor, self._HEADER.size, 0)
        reached, size = self._HEADER.unpack(header) if header else (0, 0)
        if not size:
            return bool(reached)
        begin = self._HEADER.size
        with mmap.mmap(self._descriptor, begin + size, access=mmap.ACCESS_READ) as memory:
            with memoryview(memory) as whole, whole[begin:] as view:
                return _remote.load(view, whose)


class Process(multiprocessing.Process, Generic["_T"]):
    """A process whose result can be had, by `result()` from a thread or by `await` from a coroutine.

    Takes what `multiprocessing.Process` takes, and `start_method=`, one of "fork", "spawn" and "forkserver": the running
    Python's default unless given. What the target (or an overridden `run`) returns is the result; an exception is raised by
    `result()` and `await`, with its traceback in the child as its cause, after it was printed there as ever.

    >>> process = Process(target=pow, args=(2, 10))
    >>> process.start()
    >>> process.result()
    1024
    """

    # Class attributes, because a subclass may go past this `__init__`.
    __memory: _Memory | None = None
    __outcome: Outcome | None = None

    def __init__(
        self,
        group: None = None,
        target: Callable[..., _T] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
        start_method: Literal["fork", "spawn", "forkserver"] | None = None,
    ) -> None:
        if start_method is not None and start_method not in STARTED_BY:
            raise ValueError(f"start_method is 'fork', 'spawn' or 'forkserver', not {start_method!r}")
        super().__init__(group, target, name, args, {} if kwargs is None else kwargs, daemon=daemon)
        self._start_method = start_method

    def start(self) -> None:
        """Start the process. AssertionError if it was started before; RuntimeError without a main guard."""
        with out_of_traceback:
            super().start()

    def _Popen(self, process_obj: Process[_T]) -> KnownEnd:  # type: ignore[override]
        chosen = self._start_method or multiprocessing.get_start_method(allow_none=True)
        method = chosen or multiprocessing.get_all_start_methods()[0]
        if method != "fork" and getattr(process.current_process(), "_inheriting", False):
            raise RuntimeError(f"{self.__described()} can't be started while a child imports the main module. {MAIN_GUARD}")
        self.__memory = _Memory()
        try:
            return STARTED_BY[method](process_obj)
        except (EOFError, ConnectionError) as error:
            told = f"the fork server ended before it started {self.__described()}"
            raise RuntimeError(f"{told}; {SAID_WHY} {MAIN_GUARD}") from error

    def _bootstrap(self, parent_sentinel: int | None = None) -> int:
        memory = self.__memory
        if memory is not None:
            memory.reach_target()
            outcome = Outcome()
            target = getattr(self, "_target", None)
            if target is not None:
                self._target = keeping_value(target, outcome)
            run = keeping_outcome(self.run, outcome)
            self.run = _leaving_outcome(run, outcome, memory, self.__described())  # type: ignore[method-assign]
        code: int = super()._bootstrap(parent_sentinel)  # type: ignore[misc]
        return code

    def join(self, timeout: float | None = None) -> None:
        """Wait until the process has ended, for at most `timeout` seconds; `is_alive()` tells which.

        AssertionError if it was not started, or is not a child of this process; ValueError if it is closed.
        """
        with out_of_traceback:
            super().join(timeout)

    async def join_async(self, timeout: float | None = None) -> None:
        """Wait in a coroutine until the process has ended, for at most `timeout` seconds; `is_alive()` tells which.

        AssertionError and ValueError as for `join`; RuntimeError where no asyncio loop runs. A wait that is given up
        leaves the process running.
        """
        self.join(0)
        await self.__started().wait_async(timeout)
        self.join(0)

    def close(self) -> None:
        """Give back all that it holds, its result as well. ValueError while it runs."""
        with out_of_traceback:
            super().close()
        self.__memory = None

    def result(self, timeout: float | None = None) -> _T:
        """Wait until the process has ended, and return its result or raise its exception.

        TimeoutError after `timeout` seconds. WorkerDied if it ended without a result: it was killed, or left by
        `os._exit`. PicklingError for a result or an exception that can't be pickled. The rest as for `join`.
        """
        self.join(timeout)
        if self.__started().returncode is None:
            raise TimeoutError(f"{self.__described()} has not ended within {timeout} s")
        return self.__ended_with()

    def _open_end(self) -> int:
        """A descriptor of the caller's own that is readable once it has ended. ProcessLookupError if it is gone."""
        return self.__started()._open_end()

    def __await__(self) -> Generator[Any, Any, _T]:
        return self.__await_result().__await__()

    async def __await_result(self) -> _T:
        await self.join_async()
        return self.__ended_with()

    def __ended_with(self) -> _T:
        memory = self.__memory  # Looked at first, because it goes last; nor does it go while another thread reads.
        outcome = self.__outcome
        if outcome is None:
            assert memory is not None
            found = memory.read(self.__described())
            if not isinstance(found, Outcome):
                raise self.__died(found)
            # Another thread may have been faster: everybody gets the same object.
            outcome = vars(self).setdefault("_Process__outcome", found)
        self.__memory = memory = None
        if outcome.error is None:
            value: _T = outcome.value
            return value
        try:
            raise outcome.error
        finally:
            del self, outcome  # The traceback just raised keeps this frame, and must not keep the process with it.

    def __died(self, reached_target: bool) -> WorkerDied:
        started = self.__started()
        exitcode = started.returncode
        assert exitcode is not None
        if started.status_is_lost:
            return WorkerDied(
                f"{self.__described()} ended without a result. How is not known: SIGCHLD is ignored, or somebody else has "
                "waited for it"
            )
        how = f"{self.__described()} {in_words(exitcode, started.out_of_memory)}"
        if reached_target or exitcode < 0:
            return WorkerDied(f"{how} without giving a result", exitcode)
        cure = "" if started.method == "fork" else f" {MAIN_GUARD}"
        return WorkerDied(f"{how} before it reached its target; {SAID_WHY}{cure}", exitcode)

    def __started(self) -> KnownEnd:
        started: KnownEnd | None = self._popen  # type: ignore[attr-defined]
        assert started is not None, "the process was not started"
        return started

    def __described(self) -> str:
        pid = f" (pid {self.__started().pid})" if getattr(self, "_popen", None) is not None else ""
        return f"process {self.name!r}{pid}"


def _leaving_outcome(run: Callable[[], None], outcome: Outcome, memory: _Memory, whose: str) -> Callable[[], None]:
    """What runs in the child; its outcome is left in the memory, unless it comes back in a fork of the child."""

    def call_run() -> None:
        child = os.getpid()
        try:
            run()
        except BaseException as error:
            leave_traceback(error)
            if os.getpid() == child:
                memory.write(outcome, whose)
            raise
        if os.getpid() == child:
            memory.write(outcome, whose)

    return call_run


Process.__module__ = "oneloom"  # Where it is public, and where pickle finds it.
