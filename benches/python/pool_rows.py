"""The rows of pools: of processes and of threads, beside the standard library's, loky, pebble, mpire and joblib.

Every pool has two workers. It is opened once in a process that measures and used before the clock runs, so that only the row
of the start says what starting costs; its rivals' pools stay open beside it, idle. Peers are at their best setting: workers
come from a fork server where one can choose, mpire's stay alive from one call to the next, and joblib has its own backend.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from harness import Rival, Row, Run
from pool_tasks import ARRAY, large, meet, same

import oneloom

WORKERS = 2
FORK_SERVER = multiprocessing.get_context("forkserver")
SPAWN = multiprocessing.get_context("spawn")

WARM = 0.3  # Seconds of work in which all workers come to run tasks, and joblib learns how large its batches should be.

OPEN = ExitStack()
atexit.register(OPEN.close)

Open = Callable[[], Any]
Call = Callable[..., Any]
Work = Callable[[Any, int], float]


def on_a_warm_pool(open_pool: Open, work: Work) -> Run:
    """Times work on a pool that is opened and warmed at first use, outside the time, and kept until the process ends."""
    kept: list[Any] = []

    def run(count: int) -> float:
        if not kept:
            kept.append(OPEN.enter_context(open_pool()))
            warm_until = perf_counter() + WARM
            while perf_counter() < warm_until:
                work(kept[0], count)
        return work(kept[0], count)

    return run


def check(results: Any, count: int) -> None:
    if list(results) != list(range(count)):
        raise ValueError(f"{count} tasks gave wrong results")


def all_submitted(pool: Any, count: int, submit: Call | None = None) -> float:
    """Submits all tasks, then asks for every result."""
    submit = submit or pool.submit
    start = perf_counter()
    pending = [submit(same, number) for number in range(count)]
    results = [future.result() for future in pending]
    seconds = perf_counter() - start
    check(results, count)
    return seconds


def scheduled(pool: Any, count: int) -> float:
    """The same, in pebble's words."""
    schedule = pool.schedule
    return all_submitted(pool, count, lambda function, number: schedule(function, args=(number,)))


def one_by_one(pool: Any, count: int) -> float:
    """Submits a task when the one before has its result."""
    submit = pool.submit
    start = perf_counter()
    results = [submit(same, number).result() for number in range(count)]
    seconds = perf_counter() - start
    check(results, count)
    return seconds


def applied(pool: Any, count: int) -> float:
    """The same, in multiprocessing's words."""
    apply = pool.apply
    start = perf_counter()
    results = [apply(same, (number,)) for number in range(count)]
    seconds = perf_counter() - start
    check(results, count)
    return seconds


def unordered(pool: Any, count: int) -> float:
    """Every task goes to a worker by itself, and its result comes as soon as there is one."""
    start = perf_counter()
    results = list(pool.imap_unordered(same, range(count)))
    seconds = perf_counter() - start
    check(sorted(results), count)
    return seconds


def mapped(items: int, pool: Any, count: int, call: Call | None = None) -> float:
    """Calls of `map` with so many tasks each, of which the pool makes chunks as it sees fit."""
    call = call or pool.map
    seconds = 0.0
    for _ in range(count // items):
        start = perf_counter()
        results = list(call(same, range(items)))
        seconds += perf_counter() - start
        check(results, items)
    return seconds


def delayed(items: int, pool: Any, count: int) -> float:
    """The same, in joblib's words."""
    from joblib import delayed

    task = delayed(same)
    return mapped(items, pool, count, lambda _, numbers: pool(task(number) for number in numbers))


def arrays(pool: Any, count: int) -> float:
    """An array as result, one at a time."""
    submit = pool.submit
    start = perf_counter()
    for _ in range(count):
        array = submit(large).result()
        if array.nbytes != ARRAY or array[-1] != 1:
            raise ValueError("a result is not the worker's array")
        del array
    return perf_counter() - start


def started(open_pool: Open, begin: Callable[[Any, str, int], Call]) -> Run:
    """Times a pool from nothing until both workers have run a task; that it ends is not timed."""

    def run(count: int) -> float:
        seconds = 0.0
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "meeting")
            os.mkfifo(path)
            for _ in range(count):
                start = perf_counter()
                with open_pool() as pool:
                    tasks = [begin(pool, path, way) for way in (os.O_RDONLY, os.O_WRONLY)]
                    workers = {result() for result in tasks}
                    seconds += perf_counter() - start
                    if len(workers) != WORKERS:
                        raise ValueError(f"{len(workers)} processes took part")
        return seconds

    return run


def submitted_meeting(pool: Any, path: str, way: int) -> Call:
    return pool.submit(meet, path, way).result


def applied_meeting(pool: Any, path: str, way: int) -> Call:
    return pool.apply_async(meet, (path, way)).get


def our_pool() -> Any:
    return oneloom.ProcessPool(WORKERS)


def our_spawned_pool() -> Any:
    return oneloom.ProcessPool(WORKERS, start_method="spawn")


def executor(context: Any = FORK_SERVER) -> Any:
    return futures.ProcessPoolExecutor(WORKERS, mp_context=context)


def pool(context: Any = FORK_SERVER) -> Any:
    return context.Pool(WORKERS)


def loky_executor() -> Any:
    from loky import ProcessPoolExecutor

    return ProcessPoolExecutor(WORKERS)


def pebble_pool() -> Any:
    from pebble import ProcessPool

    return ProcessPool(WORKERS, context=FORK_SERVER)


def mpire_pool() -> Any:
    from mpire import WorkerPool

    return WorkerPool(WORKERS, start_method="forkserver", keep_alive=True)


def joblib_pool() -> Any:
    from joblib import Parallel

    return Parallel(n_jobs=WORKERS)


def warm(rivals: dict[str, tuple[Open, Work]]) -> Callable[[], list[Rival]]:
    return lambda: [Rival(name, on_a_warm_pool(*rival)) for name, rival in rivals.items()]


def rows() -> Iterator[Row]:
    """Every row is measured in a process of its own, whose pools are no other row's."""
    yield Row(
        "pool-submit",
        "submit, then all results",
        {"ProcessPoolExecutor": 15, "loky": 25, "pebble": 15},
        warm(
            {
                "oneloom": (our_pool, all_submitted),
                "ProcessPoolExecutor": (executor, all_submitted),
                "loky": (loky_executor, all_submitted),
                "pebble": (pebble_pool, scheduled),
            }
        ),
    )
    yield Row(
        "pool-round-trip",
        "one task to a worker, its result back",
        {"ProcessPoolExecutor": 7, "multiprocessing.Pool": 5},
        warm(
            {
                "oneloom": (our_pool, one_by_one),
                "ProcessPoolExecutor": (executor, one_by_one),
                "multiprocessing.Pool": (pool, applied),
            }
        ),
    )
    yield Row(
        "pool-imap-unordered",
        "`imap_unordered`, one task at a time",
        {"multiprocessing.Pool": 5},
        warm({"oneloom": (our_pool, unordered), "multiprocessing.Pool": (pool, unordered)}),
    )
    # How long a call is decides what chunks are chosen, and how much of it goes by until the workers are at work.
    for key, items in (("pool-map", 1000), ("pool-map-long", 20_000)):
        yield Row(
            key,
            f"`map` of {items:,} small tasks",
            {"multiprocessing.Pool": 1, "mpire": 25, "joblib": 20},
            warm(
                {
                    "oneloom": (our_pool, partial(mapped, items)),
                    "multiprocessing.Pool": (pool, partial(mapped, items)),
                    "mpire": (mpire_pool, partial(mapped, items)),
                    "joblib": (joblib_pool, partial(delayed, items)),
                }
            ),
            step=items,
        )
    yield Row(
        "pool-array",
        "an array of 8 MB as result",
        {"ProcessPoolExecutor": 12},
        warm({"oneloom": (our_pool, arrays), "ProcessPoolExecutor": (executor, arrays)}),
        step=1,
    )
    yield Row(
        "pool-start",
        "a pool of two by spawn, until both have run a task",
        {"ProcessPoolExecutor": 1, "multiprocessing.Pool": 1},
        lambda: [
            Rival("oneloom", started(our_spawned_pool, submitted_meeting)),
            Rival("ProcessPoolExecutor", started(partial(executor, SPAWN), submitted_meeting)),
            Rival("multiprocessing.Pool", started(partial(pool, SPAWN), applied_meeting)),
        ],
        step=1,
    )
    yield Row(
        "thread-pool-submit",
        "threads: submit, then all results",
        {"ThreadPoolExecutor": 8},
        warm(
            {
                "oneloom": (lambda: oneloom.ThreadPool(WORKERS), all_submitted),
                "ThreadPoolExecutor": (lambda: futures.ThreadPoolExecutor(WORKERS), all_submitted),
            }
        ),
    )
