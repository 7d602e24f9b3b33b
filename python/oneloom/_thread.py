"""`oneloom.Thread`: a `threading.Thread` that gives back its target's value, can be awaited, and is joined knowingly.

The thread runs through the standard library's own start, bootstrap and excepthook. What oneloom adds are the two calls
of `_outcome` around what the thread runs, and a `Completion`: the native one-shot object that joiners wait on, so that a
cycle of joins is found rather than slept through.
"""

from __future__ import annotations

import sys
import threading
import time

from oneloom._compat.exit import call_before_last_joins, main_thread_counts_as_ended
from oneloom._native import Completion, _at_exit
from oneloom._outcome import Generic, Outcome, keeping_outcome, keeping_value, out_of_traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable, Generator, Iterable, Mapping
    from typing import Any

    from oneloom._outcome import _T

_CONTEXT_IS_STANDARD = sys.version_info >= (3, 14)


class _Outcome(Outcome):
    """A thread's outcome, with what its joiners wait on."""

    __slots__ = ("completion",)

    def __init__(self) -> None:
        super().__init__()
        self.completion = Completion()


class Thread(threading.Thread, Generic["_T"]):
    """A thread whose result can be had, by `result()` from a thread or by `await` from a coroutine.

    Takes what `threading.Thread` takes, and `context=`, a `contextvars.Context` to run in. What the target (or an
    overridden `run`) returns is the result; an exception is raised by `result()` and `await`, after
    `threading.excepthook` has been called as ever.

    >>> thread = Thread(target=pow, args=(2, 10))
    >>> thread.start()
    >>> thread.result()
    1024
    """

    # Class attributes, because a subclass may go past this `__init__` to the standard one, as `threading.Timer` does.
    __context: contextvars.Context | None = None
    __outcome: _Outcome | None = None

    def __init__(
        self,
        group: None = None,
        target: Callable[..., _T] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
        context: contextvars.Context | None = None,
    ) -> None:
        if _CONTEXT_IS_STANDARD:
            super().__init__(group, target, name, args, kwargs, daemon=daemon, context=context)  # type: ignore
            context = None
        else:
            super().__init__(group, target, name, args, kwargs, daemon=daemon)
        self.__context = context

    def start(self) -> None:
        """Start the thread. RuntimeError if it was started before."""
        if self.__outcome is None:
            self.__outcome = _Outcome()
        call_before_last_joins(_join_foreground_threads)
        with out_of_traceback:
            super().start()

    def _bootstrap(self) -> None:
        outcome = self.__started()
        outcome.completion.claim()
        own_run = vars(self).get("run")
        target = getattr(self, "_target", None)
        if target is not None:
            self._target = keeping_value(target, outcome)
        self.run = keeping_outcome(self.run, outcome, self.__context)  # type: ignore[method-assign]
        try:
            super()._bootstrap()  # type: ignore[misc]
        finally:
            if own_run is None:
                del self.run
            else:
                self.run = own_run  # type: ignore[method-assign]
            if isinstance(outcome.error, SystemExit):
                # The quiet way to end a thread: nobody reads its traceback, whose frames would keep the thread alive.
                outcome.error.__traceback__ = None
            outcome.completion.finish()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended, for at most `timeout` seconds; `is_alive()` tells which.

        RuntimeError if it was not started, or is the current thread; DeadlockError if it waits for this thread.
        """
        with out_of_traceback:
            if self.__may_have_to_wait():
                if timeout is None:
                    self.__started().completion.wait()
                else:
                    begun = time.monotonic()
                    self.__started().completion.wait(max(timeout, 0))
                    timeout -= time.monotonic() - begun
            super().join(timeout)

    async def join_async(self, timeout: float | None = None) -> None:
        """Wait in a coroutine until the thread has ended, for at most `timeout` seconds; `is_alive()` tells which.

        RuntimeError if it was not started, is the current thread, or no asyncio loop runs.
        """
        if self.__may_have_to_wait() and await self.__started().completion.wait_async(timeout):
            super().join()  # What is left of the thread takes microseconds.

    def result(self, timeout: float | None = None) -> _T:
        """Wait until the thread has ended, and return its result or raise its exception.

        TimeoutError after `timeout` seconds; RuntimeError and DeadlockError as for `join`.
        """
        self.join(timeout)
        if self.is_alive():
            raise TimeoutError(f"thread {self.name!r} has not ended within {timeout} s")
        return self.__ended_with()

    def _end(self) -> Completion | None:
        """What to wait on for its end; None if it has ended. RuntimeError as for `join`."""
        return self.__started().completion if self.__may_have_to_wait() else None

    def __await__(self) -> Generator[Any, Any, _T]:
        return self.__await_result().__await__()

    async def __await_result(self) -> _T:
        await self.join_async()
        return self.__ended_with()

    def __may_have_to_wait(self) -> bool:
        super().join(0)  # Raises what is to be raised for a thread that can't be joined.
        # The main thread, under the runner, was never started: it is waited for as ever.
        return self.__outcome is not None and self.is_alive()

    def __ended_with(self) -> _T:
        outcome = self.__started()
        if not outcome.known:
            raise RuntimeError(f"thread {self.name!r} has no result: it did not come along when this process forked")
        if outcome.error is None:
            value: _T = outcome.value
            return value
        try:
            raise outcome.error
        finally:
            del self, outcome  # The traceback just raised keeps this frame, and must not keep the thread with it.

    def __started(self) -> _Outcome:
        assert self.__outcome is not None, "the thread was not started"
        return self.__outcome


Thread.__module__ = "oneloom"  # Where it is public, and where pickle finds it.


def _join_foreground_threads() -> None:
    """At exit: wait for the threads that keep the program alive, and for those that they start meanwhile."""
    _at_exit()
    with main_thread_counts_as_ended():
        while threads := [thread for thread in threading.enumerate() if _keeps_program_alive(thread)]:
            for thread in threads:
                thread.join()


def _keeps_program_alive(thread: threading.Thread) -> bool:
    # One that is only about to start is not alive yet, and left to threading itself: its start may still fail.
    is_other = thread is not threading.current_thread()
    return isinstance(thread, Thread) and is_other and thread.is_alive() and not thread.daemon
