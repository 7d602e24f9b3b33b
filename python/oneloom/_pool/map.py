"""What `map` and its kin give: an iterator that feeds a pool as far ahead as keeps it busy.

Items travel in chunks, each of them one task. How large a chunk is follows from how long the last ones took, and from
how many bytes were sent for them: long enough that sending it costs little beside, short enough that workers end
together, and never many megabytes. The window bounds what is ahead, chunks that run or lie there and results
that nobody has taken yet: a few for each worker, or as many as are taken in a moment, where that is more.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from importlib import import_module
from itertools import islice, starmap

from oneloom._native import Lock
from oneloom._native_future import Ends
from oneloom._native_pool import Batches, Raised
from oneloom._outcome import Generic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Self

    from oneloom._future import Future
    from oneloom._outcome import _T
    from oneloom._pool.base import Pool, Settings

    _UnderWay = tuple[Future[Any], list[Any]]
    """A chunk's future, and its items."""

    _Chunk = tuple[float, list[Any]]
    """How many seconds it took, and each item's value, or a `Raised`."""

# How long a chunk should take, in seconds, how many bytes it and its results should be to send at most, and how many
# items it has at most.
_LONG_ENOUGH = 0.002
_HEAVIEST = 2**20
_LARGEST = 2048
# That moment, in seconds, and how many chunks are ahead at most.
_MOMENT = 0.01
_FARTHEST = 512


def run_chunk(function: Callable[..., Any], star: bool, items: list[Any]) -> _Chunk:
    """Run a chunk: what a worker does."""
    began = time.perf_counter()
    values: list[Any] = []
    calls = (starmap if star else map)(function, items)
    while len(values) < len(items):
        try:
            values.extend(calls)
        except BaseException as error:
            # The frame of this function tells nothing.
            trace = error.__traceback__
            values.append(Raised(error.with_traceback(trace and trace.tb_next)))
        else:
            if len(values) < len(items):
                values.append(_raised(function, StopIteration()))
    return time.perf_counter() - began, values


def _raised(function: Callable[..., Any], error: BaseException) -> Raised:
    if isinstance(error, StopIteration):
        error = RuntimeError(f"{function!r} raised StopIteration, which would end a loop silently")
    return Raised(error)


def raised_elsewhere(error: BaseException) -> tuple[Callable[..., Raised], tuple[Any, ...]]:
    """How a `Raised` is pickled."""
    from oneloom import _remote
    from oneloom._pool import pickling

    return _raised_there, (_remote.failed_with(error, "a task of a map", pickling.dumps),)


def _raised_there(failure: Any) -> Raised:
    from oneloom import _remote

    return Raised(_remote.error_of(failure))


class _InOrder:
    """Chunks under way, whose results come in the chunks' order."""

    def __init__(self) -> None:
        self._chunks: deque[_UnderWay] = deque()

    def __len__(self) -> int:
        return len(self._chunks)

    def add(self, future: Future[Any], items: list[Any], first: bool) -> None:
        """Add one at the end, or as the first."""
        (self._chunks.appendleft if first else self._chunks.append)((future, items))

    def next(self) -> Future[Any] | None:
        """What to wait for."""
        return self._chunks[0][0] if self._chunks else None

    def wait(self, future: Future[Any]) -> None:
        """Wait until there may be something to take."""
        try:
            future.exception()
        except BaseException:
            if not future.cancelled():
                raise

    async def wait_async(self, future: Future[Any]) -> None:
        """The same in a coroutine."""
        try:
            await future
        except BaseException as error:
            if not future.done() or (not future.cancelled() and error is not future.exception()):
                raise

    def take(self) -> Iterator[_UnderWay]:
        """Those that are done, as far as it is their turn."""
        while self._chunks and self._chunks[0][0].done():
            yield self._chunks.popleft()

    def clear(self) -> list[Future[Any]]:
        """Forget them all; their futures."""
        futures = [future for future, _ in self._chunks]
        self._chunks.clear()
        return futures

    def end(self) -> None:
        """Nothing comes any more."""


class _AsTheyCome:
    """Chunks under way, whose results come as they get done. By a number each, which others take when it is done."""

    def __init__(self) -> None:
        self._ends = Ends()
        self._chunks: dict[int, _UnderWay] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._chunks)

    def add(self, future: Future[Any], items: list[Any], first: bool) -> None:
        number = self._free.pop() if self._free else len(self._chunks)
        self._chunks[number] = future, items
        self._ends.watch(number, future)

    def next(self) -> Future[Any] | None:
        return next(iter(self._chunks.values()))[0] if self._chunks else None

    def wait(self, future: Future[Any]) -> None:
        self._ends.wait(1)

    async def wait_async(self, future: Future[Any]) -> None:
        while not self._ends._wait_now(1):
            await self._ends._wait_later(None)

    def take(self) -> Iterator[_UnderWay]:
        for number in self._ends.take():
            chunk = self._chunks.pop(number, None)
            if chunk is not None:
                self._free.append(number)
                yield chunk

    def clear(self) -> list[Future[Any]]:
        futures = [future for future, _ in self._chunks.values()]
        self._chunks.clear()
        self._ends.close()
        self.end()
        return futures

    def end(self) -> None:
        # Another thread may wait there, too: it finds nothing, and says so to the next.
        self._ends.arrive(0)


class Results(Batches, Generic["_T"]):
    """The results of a `map`, one for each item; what an item raised is raised in its place, and the next follows.

    For `for` and `async for`, by any number of threads and tasks. `close()` gives up what is left.
    """

    # Whether nobody has asked for a result yet. False until there is all that `__del__` needs.
    _is_new = False
    _is_open = False

    if TYPE_CHECKING:

        def __next__(self) -> _T: ...

    def __init__(
        self,
        pool: Pool,
        settings: Settings,
        function: Callable[..., _T],
        star: bool,
        items: Iterator[Any],
        total: int | None,
        chunksize: int | None,
        ordered: bool,
        progress: bool,
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._function = function
        self._star = star
        self._items: Iterator[Any] | None = items
        # A limit is each item's own, and so is another try: then an item is a task as any other.
        self._alone = chunksize == 1 or settings.timeout is not None or settings.retries > 0
        self._measures = chunksize is None
        self._size = chunksize if chunksize is not None and not self._alone else 1
        self._total = total
        self._least_window = 2 * pool.workers + 2
        # What is measured first needs no more than one chunk for each worker.
        self._window = pool.workers if self._measures else self._least_window
        # How many chunks were taken since the moment began.
        self._taken, self._moment = 0, time.monotonic()
        self._ahead = _InOrder() if ordered else _AsTheyCome()
        # What the items themselves raised: comes after all of them.
        self._failure: BaseException | None = None
        self._lock = Lock(name="the items of a map")
        self._bar = _bar(total) if progress else None
        with self._lock:
            self._feed()
        if not self._ahead:
            self._raise_failure()
        self._is_new = self._is_open = True

    def _feed(self) -> None:
        """Send as many chunks as the window has room for. Under the lock."""
        while self._items is not None and len(self._ahead) < self._window:
            chunk: list[Any] = []
            try:
                try:
                    chunk += islice(self._items, self._size)
                finally:
                    # Also what came before the items' own exception.
                    if len(chunk) < self._size:
                        self._items = None
                    if chunk:
                        self._send(chunk)
            except BaseException as error:
                # What was sent before comes first.
                self._items, self._failure = None, error
                if not isinstance(error, Exception):
                    raise

    def _send(self, chunk: list[Any], first: bool = False) -> None:
        future: Future[Any]
        if self._alone:
            arguments = tuple(chunk[0]) if self._star else (chunk[0],)
            if self._settings is self._pool._settings:
                future = self._pool.submit(self._function, *arguments)
            else:
                future = self._pool._submit(self._settings, self._function, arguments, {})
        else:
            future = self._pool._submit_chunk(self._settings, self._function, self._star, chunk)
        self._ahead.add(future, chunk, first)

    def _next_batch(self) -> list[Any] | None:
        """Wait for the next results; None if there are none left. What `next` asks when it has no more."""
        try:
            while (future := self._next_future()) is not None:
                self._ahead.wait(future)
                if batch := self._take():
                    return batch
        except KeyboardInterrupt:
            # The pool may be there for long, in a session or a notebook: its workers are to be free again.
            self._give_up(running=True)
            raise
        self._end()
        return None

    async def _next_batch_async(self) -> list[Any] | None:
        while (future := self._next_future()) is not None:
            await self._ahead.wait_async(future)
            if batch := self._take():
                return batch
        self._end()
        return None

    def _next_future(self) -> Future[Any] | None:
        with self._lock:
            self._is_new = False
            self._feed()
            return self._ahead.next()

    def _take(self) -> list[Any]:
        """The results that are there; perhaps none, since another thread may have them."""
        batch: list[Any] = []
        with self._lock:
            for future, items in self._ahead.take():
                self._settle(future, items, batch)
                self._taken += 1
            passed = time.monotonic() - self._moment
            if passed >= _MOMENT:
                self._window = max(self._least_window, min(int(self._taken * _MOMENT / passed), _FARTHEST))
                self._taken, self._moment = 0, time.monotonic()
            self._feed()
            if self._bar is not None:
                self._bar.update(len(batch))
        return batch

    def _settle(self, future: Future[Any], items: list[Any], batch: list[Any]) -> None:
        """Add the results of a chunk that is done, or have its items tried one by one. Under the lock."""
        try:
            result = future.result()
        except BaseException as error:
            if not future.cancelled() and error is not future.exception():
                raise
            if len(items) == 1 or future.cancelled():
                batch += [_raised(self._function, error)] * len(items)
            else:
                # One of them has taken the others with it: each by itself, so that only that one fails.
                for item in reversed(items):
                    self._send([item], first=True)
            return
        if self._alone:
            batch.append(result)
            return
        seconds, values = result
        batch += values
        if self._measures:
            # In steps, because the first items may tell little of the others.
            fitting = int(len(items) * min(_LONG_ENOUGH / max(seconds, 1e-9), _HEAVIEST / max(future._weight, 1)))
            self._size = max(1, min(fitting, self._size * 16, _LARGEST))
            self._window = max(self._window, self._least_window)

    def _end(self) -> None:
        self._ahead.end()
        if self._bar is not None:
            self._bar.close()
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            try:
                raise failure
            finally:
                del failure, self

    def close(self) -> None:
        """Take no more items, and cancel what has not begun. There are no more results after it."""
        self._give_up(running=False)

    def _give_up(self, running: bool) -> None:
        with self._lock:
            self._is_new = self._is_open = False
            self._items = None
            futures = self._ahead.clear()
        self._drop()
        for future in futures:
            future.cancel(running)
        if self._bar is not None:
            self._bar.close()

    def send_rest(self) -> None:
        """Send all that is left, if it is known to come to an end: the pool takes no more soon."""
        if self._total is not None:
            with self._lock:
                self._least_window = self._window = sys.maxsize
                self._feed()

    def __del__(self) -> None:
        if self._is_new:
            # Nobody wants the results: a call for its effects alone.
            self.send_rest()
        elif self._is_open:
            self.close()

    def __iter__(self) -> Self:
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T:
        while not self._left():
            batch = await self._next_batch_async()
            if batch is None:
                raise StopAsyncIteration
            self._add(batch)
        return self.__next__()


def _bar(total: int | None) -> Any:
    stream = sys.stderr
    # A notebook's is no terminal, but it has a reader.
    is_notebook = type(stream).__module__ == "ipykernel.iostream"
    try:
        kind = import_module("tqdm.auto" if is_notebook else "tqdm.std").tqdm
    except ImportError:
        raise ImportError(
            "progress=True shows a bar by the package tqdm, which is not there. Likely fix: pip install 'oneloom[progress]'"
        ) from None

    # Without the thread that would only watch whether the bar moves.
    bar = type("Bar", (kind,), {"monitor_interval": 0})
    silent = not is_notebook and (stream is None or not stream.isatty())
    return bar(total=total, file=stream, disable=silent)
