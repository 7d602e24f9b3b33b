"""The rows of the bench: every operation that has a goal, with oneloom's way and each peer's best way of doing it.

Peers are at their best setting: bound methods are looked up once, queues are unbounded where that is faster, and culsans
is called without its proxies.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from time import perf_counter

import pool_rows
import shared_rows
from harness import Bound, Row, Run, awaited, in_threads, on_a_loop, rivals, same

import oneloom
import oneloom.threading


def moved(pairs: int, make: Callable[[], object]) -> Run:
    """Items through a queue from so many producer threads to as many consumer threads."""

    def prepare(count: int) -> list[Callable[[], object]]:
        channel = make()
        share = range(count // pairs)

        def produce(put: Callable[[int], object] = channel.put) -> None:  # type: ignore[attr-defined]
            for item in share:
                put(item)

        def consume(get: Callable[[], int] = channel.get) -> None:  # type: ignore[attr-defined]
            for _ in share:
                get()

        return [produce] * pairs + [consume] * pairs

    return in_threads(prepare)


def contended(make: Callable[[], object]) -> Run:
    """Two threads that want one lock all the time."""

    def prepare(count: int) -> list[Callable[[], object]]:
        lock = make()
        share = range(count // 2)

        def work() -> None:
            for _ in share:
                with lock:  # type: ignore[attr-defined]
                    pass

        return [work, work]

    return in_threads(prepare)


Ends = tuple[Callable[[int], object], Callable[[], Awaitable[int]]]


def to_coroutine(open_queue: Callable[[], tuple[Ends, Callable[[], Awaitable[object]] | None]]) -> Run:
    """A thread puts, a coroutine gets. The queue is made, and closed, by the coroutine's side; untimed."""

    async def work(count: int) -> float:
        (put, get), close = open_queue()
        go = threading.Event()

        def produce() -> None:
            go.wait()
            for item in range(count):
                put(item)

        producer = threading.Thread(target=produce, daemon=True)
        producer.start()
        start = perf_counter()
        go.set()
        for _ in range(count):
            await get()
        seconds = perf_counter() - start
        producer.join()
        if close is not None:
            await close()
        return seconds

    return lambda count: on_a_loop(work(count))


def between_tasks(open_queue: Callable[[], tuple[Callable[[int], Awaitable[None]], Callable[[], Awaitable[int]]]]) -> Run:
    """One task puts, another gets."""

    async def work(count: int) -> float:
        import asyncio

        put, get = open_queue()

        async def produce() -> None:
            for item in range(count):
                await put(item)

        producer = asyncio.create_task(produce())
        start = perf_counter()
        for _ in range(count):
            await get()
        seconds = perf_counter() - start
        await producer
        return seconds

    return lambda count: on_a_loop(work(count))


def janus_ends() -> tuple[Ends, Callable[[], Awaitable[object]]]:
    import janus

    channel: janus.Queue[int] = janus.Queue()
    return (channel.sync_q.put, channel.async_q.get), channel.aclose


def culsans_ends() -> tuple[Ends, None]:
    import culsans

    channel: culsans.Queue[int] = culsans.Queue()
    return (channel.sync_put, channel.async_get), None


def our_ends() -> tuple[Ends, None]:
    channel: oneloom.Queue[int] = oneloom.Queue()
    return (channel.put, channel.get_async), None


def our_tasks(maxsize: int) -> Run:
    def open_queue() -> tuple[Callable[[int], Awaitable[None]], Callable[[], Awaitable[int]]]:
        channel: oneloom.Queue[int] = oneloom.Queue(maxsize)
        return channel.put_async, channel.get_async

    return between_tasks(open_queue)


def asyncio_tasks(maxsize: int) -> Run:
    def open_queue() -> tuple[Callable[[int], Awaitable[None]], Callable[[], Awaitable[int]]]:
        import asyncio

        channel: asyncio.Queue[int] = asyncio.Queue(maxsize)
        return channel.put, channel.get

    return between_tasks(open_queue)


def threads() -> Iterator[Row]:
    """Operations that need not wait, and threads that meet. Nobody has imported asyncio unless the row says so."""
    for name, kind, title, least in (
        ("lock", "Lock", "`with lock`", 1.35),
        ("rlock", "RLock", "`with rlock`", 1.35),
    ):
        peer = f"threading.{kind}"
        yield Row(name, title, {peer: least}, same("with subject: pass", f"oneloom.{kind}", peer))
        beside = same("with subject: pass", f"oneloom.{kind}", peer, setup="import asyncio")
        # Whether a task runs must then be asked, twice; no goal says how much that may cost.
        yield Row(f"{name}-beside-asyncio", f"{title}, asyncio imported", {peer: None}, beside)
        drop_in = same("with subject: pass", f"oneloom.threading.{kind}", peer)
        yield Row(f"{name}-drop-in", f"{title}, drop-in", {peer: 1.4}, drop_in)
    for name, title, body, kind, goal in (
        ("semaphore", "`with semaphore`", "with subject: pass", "Semaphore", 7),
        ("event", "`event.set(); event.is_set(); event.clear()`", "subject.set(); subject.is_set(); subject.clear()", "Event", 8),
        ("condition", "`with condition: condition.notify_all()`", "with subject: subject.notify_all()", "Condition", 2.4),
    ):
        peer = f"threading.{kind}"
        yield Row(name, title, {peer: goal}, same(body, f"oneloom.{kind}", peer))
    yield Row(
        "queue",
        "`queue.put(item); queue.get()` in one thread",
        {"queue.Queue": 15},
        same("subject.put(1); subject.get()", "oneloom.Queue", "queue.Queue"),
    )
    for pairs, title, goal in ((1, "one producer, one consumer thread", 30), (4, "four of each", 10)):
        yield Row(
            f"queue-{pairs}-{pairs}",
            f"a queue: {title}",
            {"queue.Queue": goal, "queue.SimpleQueue": 0.8},
            rivals(
                oneloom=moved(pairs, oneloom.Queue),
                queue__Queue=moved(pairs, queue.Queue),
                queue__SimpleQueue=moved(pairs, queue.SimpleQueue),
            ),
        )
    yield Row(
        "lock-contended",
        "two threads want one lock",
        {"threading.Lock": 1},
        rivals(oneloom=contended(oneloom.Lock), threading__Lock=contended(threading.Lock)),
    )


def coroutines() -> Iterator[Row]:
    """Coroutines on asyncio's own loop."""
    for name, kind in (("lock", "Lock"), ("semaphore", "Semaphore")):
        peer = f"asyncio.{kind}"
        run = same("async with subject: pass", f"oneloom.{kind}", peer, timed=awaited)
        yield Row(f"async-{name}", f"`async with {name}`", {peer: 1.5}, run)
    yield Row(
        "async-queue",
        "put and get in one coroutine",
        {"asyncio.Queue": 2.4},
        same(
            "await subject.put_async(1); await subject.get_async()",
            "oneloom.Queue",
            "asyncio.Queue",
            peers_body="await subject.put(1); await subject.get()",
            timed=awaited,
        ),
    )
    yield Row(
        "async-queue-tasks",
        "a queue between two tasks",
        {"asyncio.Queue": 2.4},
        rivals(oneloom=our_tasks(0), asyncio__Queue=asyncio_tasks(0)),
    )
    yield Row(
        "async-queue-tasks-1",
        "a queue for one item between two tasks",
        {"asyncio.Queue": 2.4},
        rivals(oneloom=our_tasks(1), asyncio__Queue=asyncio_tasks(1)),
    )
    yield Row(
        "thread-to-coroutine",
        "a thread puts, a coroutine gets",
        {"janus.Queue": 8, "culsans.Queue": 8},
        rivals(
            oneloom=to_coroutine(our_ends),
            janus__Queue=to_coroutine(janus_ends),
            culsans__Queue=to_coroutine(culsans_ends),
        ),
    )


RUST = (
    Row("rust-mutex", "lock and unlock a mutex", {"parking_lot": 0.8}),
    Row("rust-queue-1-1", "a queue, 1 : 1 threads", {"crossbeam-channel": 0.8, "flume": 0.8}),
    Row("rust-queue-1-1-bounded", "a bounded queue, 1 : 1 threads", {"crossbeam-channel": 0.8, "flume": 0.8}),
    Row("rust-queue-4-4", "a queue, 4 : 4 threads", {"crossbeam-channel": 0.8, "flume": 0.8}),
    Row("rust-queue-4-4-bounded", "a bounded queue, 4 : 4 threads", {"crossbeam-channel": 0.8, "flume": 0.8}),
    Row("rust-shared-bytes", "100 bytes from one process to another", {"ipc-channel": None}),
    Row("rust-shared-tuple", "a small tuple from one process to another", {"ipc-channel": None}),
    Row("rust-shared-round-trip", "100 bytes to another process and back", {"ipc-channel": None}),
    Row("rust-pool-submit", "threads: submit, then all results", {"rayon": None, "crossbeam-channel": None}),
    Row("rust-process-pool-submit", "processes: submit, then all results", {"ipc-channel": None}),
    Row("rust-process-pool-round-trip", "processes: one task's round trip", {"ipc-channel": None}),
)

GROUPS = {
    "Threads": threads(),
    "Coroutines": coroutines(),
    "Processes": shared_rows.rows(),
    "Pools": pool_rows.rows(),
    "Rust": RUST,
}
ROWS = tuple(replace(row, group=group) for group, rows in GROUPS.items() for row in rows)

BOUNDS = (
    Bound("rust-lock-size", "Rust: an unused `Mutex<()>`", 64),
    Bound("rust-parked-mutex", "Rust: what a thread allocates while it waits for a `Mutex`", 0),
    Bound("rust-parked-queue", "Rust: what a thread allocates while it waits at a `Queue`", 0),
    Bound("lock-size", "Python: an unused `Lock`, with all that the interpreter keeps beside it", None),
    Bound("threading-lock-size", "Python: a `threading.Lock`, likewise", None),
)
