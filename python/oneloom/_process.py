"""`oneloom.Process`: a `multiprocessing.Process` that gives back its target's value and can be awaited.

The process is started by the standard library's own means. What oneloom adds: the two calls of `_outcome` around what
runs in it; memory in which the child leaves the outcome, and which waits for nobody: a child never blocks on its result,
however large; and an end that is seen exactly, by any number of threads and coroutines (`_KnownEnd`).
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import select
import signal
import struct
import threading
import weakref
from multiprocessing import popen_fork, popen_forkserver, popen_spawn_posix, process

from oneloom import _remote
from oneloom._outcome import Generic, Outcome, keeping_outcome, keeping_value, leave_traceback, out_of_traceback
from oneloom._worker_died import WorkerDied, in_words, out_of_memory_kills

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable, Generator, Iterable, Mapping
    from typing import Any, Literal

    from oneloom._outcome import _T

_CURE = (
    'Likely fix: put what starts processes in the main module under `if __name__ == "__main__":`, because a child that is '
    "started by spawn or forkserver imports that module anew."
)
_SAID_WHY = "what it wrote to standard error says why."


class _Memory:
    """Where a child leaves its outcome: memory without a name, read when the child is gone.

    A header comes first: whether the child has reached its target, and how many bytes of outcome are complete. It is
    written after them, so a child that is killed at any instant has left all of its outcome, or none.
    """

    _HEADER = struct.Struct("<QQ")

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = os.memfd_create("oneloom.Process") if descriptor is None else descriptor
        if descriptor is None:
            weakref.finalize(self, _discard_memory, self._descriptor, os.getpid()).atexit = False

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        from multiprocessing.reduction import DupFd

        return _memory_in_child, (DupFd(self._descriptor),)

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


def _discard_memory(descriptor: int, parent: int) -> None:
    """Give the memory back, also where other children have inherited it."""
    if os.getpid() == parent:
        os.ftruncate(descriptor, 0)
        os.close(descriptor)


def _memory_in_child(descriptor: Any) -> _Memory:
    number = descriptor.detach()
    os.set_inheritable(number, False)
    return _Memory(number)


class _KnownEnd(popen_fork.Popen):
    """A started process whose end any number of threads and coroutines may wait for.

    The standard library's waits for the end of a pipe, which a grandchild may keep open, and two threads that wait at
    once take the exit status from each other. Here everybody waits on the process itself, and one notes the status.
    """

    #: Whether somebody else has waited for the child, or SIGCHLD is ignored: then nobody knows how it ended.
    status_is_lost = False
    #: Whether the kernel has killed a process for lack of memory while this one ran.
    out_of_memory = False

    def __init__(self, process_obj: Any) -> None:
        self._parent = os.getpid()
        self._noting = threading.RLock()  # A signal handler may come while its thread holds it.
        self._is_noting = False
        self._out_of_memory_kills = out_of_memory_kills()
        super().__init__(process_obj)

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """The exit code if the process has ended."""
        return self.wait(0 if flag == os.WNOHANG else None)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end in a thread, for at most `timeout` seconds; the exit code, None if it has not ended."""
        # In a child of this process it is a stranger.
        if self.returncode is None and os.getpid() == self._parent and self._is_over(timeout):
            self._note_end()
        return self.returncode

    async def wait_async(self, timeout: float | None = None) -> int | None:
        """Wait for the end in a coroutine, for at most `timeout` seconds; the exit code, None if it has not ended."""
        if self.poll() is None:
            try:
                end = self._open_end()
            except ProcessLookupError:
                self._note_end()
            else:
                if await _readable(end, timeout):
                    self._note_end()
        return self.returncode

    def _is_over(self, timeout: float | None) -> bool:
        end = None
        if self.method != "forkserver":
            try:
                end = self._open_end()
            except ProcessLookupError:
                return True
            except OSError:
                pass  # No descriptor is left: the sentinel is as good, unless a grandchild keeps it open.
        try:
            look = select.poll()
            look.register(self.sentinel if end is None else end, select.POLLIN)
            return bool(look.poll(None if timeout is None else max(timeout, 0) * 1000))
        finally:
            if end is not None:
                os.close(end)

    def _open_end(self) -> int:
        """A descriptor of the caller's own that is readable once the process has ended. ProcessLookupError if it is gone."""
        if self.method == "forkserver":
            return os.dup(self.sentinel)  # The server tells the status there.
        return os.pidfd_open(self.pid)

    def _note_end(self) -> None:
        with self._noting:
            if self.returncode is not None or self._is_noting:
                return
            self._is_noting = True
            try:
                status = super().poll(0)
                if status is None:
                    self.returncode, self.status_is_lost = 255, True  # As the standard library has it for forkserver.
                elif status == -signal.SIGKILL:
                    self.out_of_memory = out_of_memory_kills() != self._out_of_memory_kills
            finally:
                self._is_noting = False


class _Spawned(_KnownEnd, popen_spawn_posix.Popen):
    pass


class _ForkServed(_KnownEnd, popen_forkserver.Popen):
    pass


_STARTED_BY: dict[str, Callable[[Any], _KnownEnd]] = {"fork": _KnownEnd, "spawn": _Spawned, "forkserver": _ForkServed}


async def _readable(descriptor: int, timeout: float | None) -> bool:
    """Wait on the running loop until a descriptor is readable, and close it; False after `timeout` seconds."""
    import asyncio

    try:
        loop = asyncio._get_running_loop()
        if loop is None:
            raise RuntimeError(
                "no running asyncio event loop: await this from a coroutine that asyncio runs (oneloom.run(main()), "
                "asyncio.run), or use join() or result()"
            )
        future: Future[bool] = loop.create_future()
        loop.add_reader(descriptor, _settle, future, True)
        timer = None if timeout is None else loop.call_later(max(timeout, 0), _settle, future, False)
        try:
            return await future
        finally:
            if timer is not None:
                timer.cancel()
            loop.remove_reader(descriptor)
    finally:
        os.close(descriptor)


def _settle(future: Future[bool], value: bool) -> None:
    if not future.done():
        future.set_result(value)


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
        if start_method is not None and start_method not in _STARTED_BY:
            raise ValueError(f"start_method is 'fork', 'spawn' or 'forkserver', not {start_method!r}")
        super().__init__(group, target, name, args, {} if kwargs is None else kwargs, daemon=daemon)
        self._start_method = start_method

    def start(self) -> None:
        """Start the process. AssertionError if it was started before; RuntimeError without a main guard."""
        with out_of_traceback:
            super().start()

    def _Popen(self, process_obj: Process[_T]) -> _KnownEnd:  # type: ignore[override]
        method = self._start_method or multiprocessing.get_start_method()
        if method != "fork" and getattr(process.current_process(), "_inheriting", False):
            raise RuntimeError(f"{self.__described()} can't be started while a child imports the main module. {_CURE}")
        self.__memory = _Memory()
        try:
            return _STARTED_BY[method](process_obj)
        except (EOFError, ConnectionError) as error:
            told = f"the fork server ended before it started {self.__described()}"
            raise RuntimeError(f"{told}; {_SAID_WHY} {_CURE}") from error

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

    def result(self, timeout: float | None = None) -> _T:
        """Wait until the process has ended, and return its result or raise its exception.

        TimeoutError after `timeout` seconds. WorkerDied if it ended without a result: it was killed, or left by
        `os._exit`. PicklingError for a result or an exception that can't be pickled. The rest as for `join`.
        """
        self.join(timeout)
        if self.__started().returncode is None:
            raise TimeoutError(f"{self.__described()} has not ended within {timeout} s")
        return self.__ended_with()

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
        cure = "" if started.method == "fork" else f" {_CURE}"
        return WorkerDied(f"{how} before it reached its target; {_SAID_WHY}{cure}", exitcode)

    def __started(self) -> _KnownEnd:
        started: _KnownEnd | None = self._popen  # type: ignore[attr-defined]
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
