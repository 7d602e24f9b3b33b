"""`oneloom.Pool`: what every pool can do, whatever its workers are.

A kind of pool brings `_submit` (one task, with its settings), `_shutdown`, `_ended` and `terminate`, and where it knows a
better way, `submit` and `_submit_chunk`. Everything else stands here, and in `map`.
"""

from __future__ import annotations

import concurrent.futures
import os
import sys
import weakref
from contextvars import Context
from operator import index

from oneloom._pool.map import Results, run_chunk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Any, Never, ParamSpec, Self, TypeVar

    from oneloom._future import Future
    from oneloom._pool.map import _Chunk

    _P = ParamSpec("_P")
    _T = TypeVar("_T")

_MOST_RETRIES = 2**32 - 1
# The default of what stays as the pool has it.
_AS_IT_IS: Any = ...


class InitializerError(RuntimeError):
    """A pool's initializer has raised, so that no worker can run a task: its exception is this one's `__cause__`.

    >>> import oneloom
    >>> def connect():
    ...     raise OSError("no network")
    >>> with oneloom.ThreadPool(1, initializer=connect) as pool:
    ...     error = pool.submit(pow, 2, 10).exception()
    >>> print(error)
    no worker could be made ready: the pool's initializer raised OSError
    >>> error.__cause__
    OSError('no network')
    """


InitializerError.__module__ = "oneloom"


class Settings:
    """What holds for a task: how long it may run, in seconds, how often it is tried again, in which context it runs."""

    __slots__ = ("context", "retries", "timeout")

    def __init__(self, timeout: float | None = None, retries: int = 0, context: Context | None = None) -> None:
        try:
            is_limit = timeout is None or timeout > 0
        except TypeError:
            raise TypeError(f"timeout must be a number of seconds or None, not {type(timeout).__name__}") from None
        if not is_limit:
            raise ValueError(f"timeout must be a number of seconds above zero, or None for no limit; not {timeout!r}")
        if context is not None and not isinstance(context, Context):
            raise TypeError(f"context must be a contextvars.Context or None, not {type(context).__name__}")
        self.timeout = timeout
        self.retries = require_count("retries", retries, 0, _MOST_RETRIES)
        self.context = context

    def but(self, timeout: float | None, retries: int = _AS_IT_IS, context: Context | None = _AS_IT_IS) -> Settings:
        """These settings, but for what is given."""
        return Settings(
            self.timeout if timeout is _AS_IT_IS else timeout,
            self.retries if retries is _AS_IT_IS else retries,
            self.context if context is _AS_IT_IS else context,
        )


def require_count(name: str, value: int, least: int = 1, most: int = sys.maxsize) -> int:
    """A number of things as an int. TypeError or ValueError for what is none."""
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, not {type(value).__name__}") from None
    if not least <= number <= most:
        raise ValueError(f"{name} must be {f'{least} or more' if number < least else f'at most {most}'}, not {number}")
    return number


def require_workers(
    name: str | None,
    workers: int | None,
    initializer: Callable[..., object] | None,
    initargs: Iterable[Any],
    max_tasks_per_worker: int | None,
) -> None:
    """TypeError or ValueError for what no pool can have."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a str or None, not {type(name).__name__}")
    if workers is not None:
        require_count("workers", workers)
    if max_tasks_per_worker is not None:
        require_count("max_tasks_per_worker", max_tasks_per_worker)
    if initializer is not None and not callable(initializer):
        raise TypeError(f"initializer must be a callable or None, not {type(initializer).__name__}")
    if not hasattr(initargs, "__iter__"):
        raise TypeError(f"initargs must be a tuple, not {type(initargs).__name__}")


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


class Pool(concurrent.futures.Executor):
    """What every pool can do: a `ThreadPool`, a `ProcessPool`, or either with other settings by `options`.

    A pool is a `concurrent.futures.Executor`, and its futures are of the class `oneloom.Future`: threads wait for them,
    coroutines await them. Any thread or coroutine may use it. `with` and `async with` finish at their end what was
    submitted; a block that Ctrl-C ends, or that is cancelled with its task, ends in `terminate()`.

    >>> import oneloom
    >>> def total(pool: oneloom.Pool, numbers):
    ...     return sum(pool.map(abs, numbers))
    >>> with oneloom.ThreadPool(2) as pool:
    ...     total(pool, [-1, 2, -3])
    6
    """

    name: str
    """What messages call it."""
    workers: int
    """How many workers there are at most."""
    _settings: Settings
    # For a subclass that forgot to call `__init__`: its pool says so, and not that this is missing.
    _maps: weakref.WeakSet[Results[Any]] = weakref.WeakSet()

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._maps = weakref.WeakSet()

    def submit(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Have a worker call `function(*args, **kwargs)`; its future has what comes of it.

        RuntimeError once the pool is shut down.
        """
        raise NotImplementedError

    def _submit(self, settings: Settings, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        """Have one task run with these settings."""
        raise NotImplementedError

    def _submit_chunk(self, settings: Settings, function: Callable[..., Any], star: bool, items: list[Any]) -> Future[_Chunk]:
        """Have several run as one: `run_chunk` says how. Where its future fails, each is tried again by itself."""
        return self._submit(settings, run_chunk, (function, star, items), {})

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks; with `wait`, return when all are done and the workers have ended.

        With `cancel_futures`, tasks that have not begun are cancelled; without, a `map` over something that has a length
        is sent whole. May be called again, also to wait after all.
        """
        if not cancel_futures:
            for results in list(self._maps):
                results.send_rest()
        self._shutdown(wait, cancel_futures)

    def _shutdown(self, wait: bool, cancel_futures: bool) -> None:
        raise NotImplementedError

    async def shutdown_async(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Do in a coroutine what `shutdown` does."""
        self.shutdown(wait=False, cancel_futures=cancel_futures)
        if wait:
            await self._ended()

    async def _ended(self) -> None:
        """Wait until the workers of a pool that was shut down have ended."""
        raise NotImplementedError

    def terminate(self) -> None:
        """End it now: cancel what has not begun and what runs, and wait for nothing. May be called by a task."""
        raise NotImplementedError

    def options(
        self, *, timeout: float | None = _AS_IT_IS, retries: int = _AS_IT_IS, context: Context | None = _AS_IT_IS
    ) -> Pool:
        """The same pool, for tasks with settings of their own; what is not given stays as the pool has it.

        `timeout=None` lifts the pool's limit. TypeError or ValueError for a setting that makes no sense.

        >>> import oneloom
        >>> with oneloom.ThreadPool(2) as pool:
        ...     pool.options(retries=2).submit(pow, 2, 10).result()
        1024
        """
        return _View(self, self._settings.but(timeout, retries, context))

    def map(
        self,
        function: Callable[..., _T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        ordered: bool = True,
        progress: bool = False,
    ) -> Results[_T]:
        """`function` of every item, as a lazy iterator for `for` and `async for`.

        Results come in the items' order, or with `ordered=False` as they get done. An item's exception is raised in its
        place, and the next one can be had after it. Several iterables give an argument each; the shortest ends it.
        Items are taken only as far ahead as keeps the workers busy, so there may be no end to them. `close()` gives up
        what is left.

        `timeout` limits how long each item may take, in seconds; None: as long as the pool's tasks. `chunksize` items make
        one task; None measures how many pay. `progress` shows a bar on standard error, where that is a terminal or a
        notebook's (ImportError without the extra `oneloom[progress]`).

        >>> import oneloom
        >>> with oneloom.ThreadPool(2) as pool:
        ...     list(pool.map(pow, [2, 3], [10, 2]))
        [1024, 9]
        """
        if not iterables:
            raise TypeError("map() needs something to map over, beside the function")
        star = len(iterables) > 1
        items = zip(*iterables) if star else iter(iterables[0])
        total = _length(iterables)
        return self._results(function, star, items, total, timeout, chunksize, ordered, progress)

    def starmap(
        self,
        function: Callable[..., _T],
        iterable: Iterable[Iterable[Any]],
        *,
        timeout: float | None = None,
        chunksize: int | None = None,
        ordered: bool = True,
        progress: bool = False,
    ) -> Results[_T]:
        """As `map` with one iterable, whose items are the arguments of a call.

        >>> import oneloom
        >>> with oneloom.ThreadPool(2) as pool:
        ...     list(pool.starmap(pow, [(2, 10), (3, 2)]))
        [1024, 9]
        """
        return self._results(function, True, iter(iterable), _length((iterable,)), timeout, chunksize, ordered, progress)

    def imap(
        self,
        function: Callable[..., _T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = 1,
        progress: bool = False,
    ) -> Results[_T]:
        """`map` with each item a task of its own, unless `chunksize` says otherwise."""
        return self.map(function, *iterables, timeout=timeout, chunksize=chunksize, progress=progress)

    def imap_unordered(
        self,
        function: Callable[..., _T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = 1,
        progress: bool = False,
    ) -> Results[_T]:
        """`imap`, with results as they get done.

        >>> import oneloom
        >>> with oneloom.ThreadPool(2) as pool:
        ...     sorted(pool.imap_unordered(abs, [-3, 2, -1]))
        [1, 2, 3]
        """
        return self.map(function, *iterables, timeout=timeout, chunksize=chunksize, ordered=False, progress=progress)

    def _results(
        self,
        function: Callable[..., Any],
        star: bool,
        items: Any,
        total: int | None,
        timeout: float | None,
        chunksize: int | None,
        ordered: bool,
        progress: bool,
    ) -> Results[Any]:
        if chunksize is not None:
            chunksize = require_count("chunksize", chunksize)
        settings = self._settings if timeout is None else self._settings.but(timeout)
        results: Results[Any] = Results(self, settings, function, star, items, total, chunksize, ordered, progress)
        self._maps.add(results)
        return results

    def __reduce__(self) -> Never:
        raise TypeError(
            f"{self.name!r} can't go to another process: its workers belong to this one. Likely fix: submit from here, or make "
            "a pool there"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self.terminate()
        else:
            self.shutdown()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None and (issubclass(kind, KeyboardInterrupt) or _is_given_up(kind)):
            self.terminate()
        else:
            await self.shutdown_async()


Pool.__module__ = "oneloom"


class _View(Pool):
    """A pool, for tasks with settings of their own."""

    def __init__(self, pool: Pool, settings: Settings) -> None:
        super().__init__(settings)
        self._pool = pool
        self._maps = pool._maps

    @property
    def name(self) -> str:  # type: ignore[override]
        return self._pool.name

    @property
    def workers(self) -> int:  # type: ignore[override]
        return self._pool.workers

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self._pool._submit(self._settings, function, args, kwargs)

    def _submit(self, settings: Settings, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Future[Any]:
        return self._pool._submit(settings, function, args, kwargs)

    def _submit_chunk(self, settings: Settings, function: Callable[..., Any], star: bool, items: list[Any]) -> Future[_Chunk]:
        return self._pool._submit_chunk(settings, function, star, items)

    def _shutdown(self, wait: bool, cancel_futures: bool) -> None:
        self._pool._shutdown(wait, cancel_futures)

    async def _ended(self) -> None:
        await self._pool._ended()

    def terminate(self) -> None:
        self._pool.terminate()

    def __repr__(self) -> str:
        return f"{self._pool!r}.options(timeout={self._settings.timeout!r}, retries={self._settings.retries!r})"


def _is_given_up(kind: type[BaseException]) -> bool:
    """Whether an `async with` is left because the coroutine's task is cancelled: that is how asyncio tells of Ctrl-C."""
    import asyncio

    task = asyncio.current_task()
    return issubclass(kind, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _length(iterables: tuple[Any, ...]) -> int | None:
    """How many items there will be, if that is known."""
    try:
        return min(len(iterable) for iterable in iterables)
    except TypeError:
        return None
