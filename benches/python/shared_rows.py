"""The rows of objects that processes share: between forked processes, beside multiprocessing's and faster-fifo's.

Peers are at their best setting: multiprocessing's queues have no limit, faster-fifo's are as large as makes them fast, and
whoever can put or take many items at once does so where that is what is measured.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

from harness import LONGEST, Rival, Row, Run, on_a_loop, rivals, same

import oneloom.shared

FORK = multiprocessing.get_context("fork")
BATCH = 100  # How many items are put at once.
PIPE = 16 << 20  # Bytes that a queue of faster-fifo may hold.
ARRAY = 8 << 20  # Bytes.
ITEMS = {
    "bytes": ("100 `bytes`", b"x" * 100),
    "tuple": ("a small tuple", (7, "spam", 2.5)),
    "dict": ("a small dict", {"id": 7, "name": "spam", "price": 2.5}),
}

Work = Callable[[], object]


def run_child(work: Work, core: int | None, go: Any, times: Connection) -> None:
    """What a forked process does."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    go.wait()
    start = perf_counter()
    work()
    times.send((start, perf_counter()))


def in_processes(prepare: Callable[[int], Sequence[Work]], cores: Sequence[int | None] = ()) -> Run:
    """Times forked processes from the moment when the first of them goes on after all were ready until the last one is done.

    With `cores`, each process is pinned to its own. All processes of a machine read the same clock.
    """

    def run(count: int) -> float:
        works = prepare(count)
        go = FORK.Barrier(len(works))
        starts, ends = [], []
        with ExitStack() as cleanup:
            readers = []
            for work, core in zip(works, cores or [None] * len(works), strict=True):
                reader, writer = FORK.Pipe(duplex=False)
                process = FORK.Process(target=run_child, args=(work, core, go, writer), daemon=True)
                process.start()
                writer.close()
                readers.append(cleanup.enter_context(reader))
                # In this order: asked to end, if it still runs because another has failed, and waited for.
                cleanup.callback(process.join)
                cleanup.callback(process.terminate)
            for reader in readers:
                if not reader.poll(LONGEST):
                    raise TimeoutError(f"{count} operations took longer than {LONGEST:.0f} s")
                start, end = reader.recv()
                starts.append(start)
                ends.append(end)
        return max(ends) - min(starts)

    return run


def moved(make: Callable[[], Any], item: object, pairs: int = 1) -> Run:
    """Items through a queue from so many processes to as many others."""

    def prepare(count: int) -> list[Work]:
        channel = make()
        share = range(count // pairs)

        def produce() -> None:
            put = channel.put
            for _ in share:
                put(item)
            flush(channel)

        def consume() -> None:
            get = channel.get
            for _ in share:
                get()

        return [produce] * pairs + [consume] * pairs

    return in_processes(prepare)


def flush(channel: Any) -> None:
    """multiprocessing's queues send from a thread of their own, which must be done before its process may end."""
    if hasattr(channel, "join_thread"):
        channel.close()
        channel.join_thread()


def moved_in_batches(make: Callable[[], Any], item: object) -> Run:
    """Items put a hundred at a time, and taken as many at a time as there are."""

    def prepare(count: int) -> list[Work]:
        channel = make()

        def produce() -> None:
            items = [item] * BATCH
            for _ in range(count // BATCH):
                channel.put_many(items)
            if count % BATCH:
                channel.put_many(items[: count % BATCH])

        def consume() -> None:
            left = count
            while left:
                left -= len(channel.get_many())

        return [produce, consume]

    return in_processes(prepare)


def echo(there: Any, back: Any, count: int) -> None:
    """The other end of a round trip."""
    for _ in range(count):
        back.put(there.get())
    flush(back)


def round_trip(make: Callable[[], Any], cores: Sequence[int]) -> Run:
    """An item to another process and back."""

    def prepare(count: int) -> list[Work]:
        there, back = make(), make()

        def ask() -> None:
            for number in range(count):
                there.put(number)
                back.get()

        return [ask, partial(echo, there, back, count)]

    return in_processes(prepare, cores)


def arrays(make: Callable[[], Any]) -> Run:
    """A NumPy array to another process, which touches all of it, and a word back when it is done: one at a time."""

    def prepare(count: int) -> list[Work]:
        import numpy

        there, back = make(), make()
        array = numpy.ones(ARRAY // 8)

        def send() -> None:
            for _ in range(count):
                there.put(array)
                back.get()

        def receive() -> None:
            for _ in range(count):
                assert there.get()[-1] == 1
                back.put(None)
            flush(back)

        return [send, receive]

    return in_processes(prepare)


def contended(make: Callable[[], Any]) -> Run:
    """Two processes that want one lock all the time."""

    def prepare(count: int) -> list[Work]:
        lock = make()

        def work() -> None:
            for _ in range(count // 2):
                with lock:
                    pass

        return [work, work]

    return in_processes(prepare)


def answered(make: Callable[[], Any], in_thread: bool) -> Run:
    """A coroutine that sends an item to another process and awaits it back: itself, or through a thread."""

    async def work(count: int, there: Any, back: Any) -> float:
        import asyncio

        get = back.get
        start = perf_counter()
        for number in range(count):
            there.put(number)
            await (asyncio.get_running_loop().run_in_executor(None, get) if in_thread else back.get_async())
        return perf_counter() - start

    def run(count: int) -> float:
        there, back = make(), make()
        other = FORK.Process(target=echo, args=(there, back, count), daemon=True)
        other.start()
        try:
            return on_a_loop(work(count, there, back))
        finally:
            flush(there)
            other.join()

    return run


def faster_fifo() -> Any:
    from faster_fifo import Queue

    return Queue(max_size_bytes=PIPE)


def rows() -> Iterator[Row]:
    """Every one is measured in a process of its own, from which the others are forked."""
    ours, theirs = oneloom.shared.Queue, FORK.Queue
    for kind, standard, fast in (("bytes", 20, 20), ("tuple", 5, 6), ("dict", 3, 3)):
        text, item = ITEMS[kind]
        yield Row(
            f"shared-queue-{kind}",
            f"{text} through a queue",
            {"multiprocessing.Queue": standard, "faster-fifo": fast},
            partial(beside_all, item),
        )
    for kind, goal in (("bytes", 12), ("tuple", 5)):
        text, item = ITEMS[kind]
        yield Row(
            f"shared-queue-4-4-{kind}",
            f"{text}, four senders, four receivers",
            {"multiprocessing.Queue": goal},
            rivals(oneloom=moved(ours, item, 4), multiprocessing__Queue=moved(theirs, item, 4)),
        )
    item = ITEMS["bytes"][1]
    yield Row(
        "shared-queue-many",
        "100 `bytes`, `put_many` and `get_many`",
        {"faster-fifo": 8},
        lambda: [Rival("oneloom", moved_in_batches(ours, item)), Rival("faster-fifo", moved_in_batches(faster_fifo, item))],
    )
    cores = sorted(os.sched_getaffinity(0))
    one, two = (cores[0], cores[0]), (cores[0], cores[-1])
    for name, text, pinned, goal in (("one-core", "one core", one, 4), ("two-cores", "two cores", two, 15)):
        yield Row(
            f"shared-round-trip-{name}",
            f"a round trip, on {text}",
            {"multiprocessing.Queue": goal},
            rivals(oneloom=round_trip(ours, pinned), multiprocessing__Queue=round_trip(theirs, pinned)),
        )
    yield Row(
        "shared-array",
        "an array of 8 MB, put to usable",
        {"multiprocessing.Queue": 20},
        rivals(oneloom=arrays(ours), multiprocessing__Queue=arrays(theirs)),
        step=8,
    )
    peer = "multiprocessing.Lock"
    for name, text, body, least in (
        ("lock", "`with lock`", "with subject: pass", 1.9),
        ("lock-bare", "`lock.acquire(); lock.release()`", "subject.acquire(); subject.release()", 0.85),
    ):
        yield Row(f"shared-{name}", text, {peer: least}, same(body, "oneloom.shared.Lock", peer))
    yield Row(
        "shared-lock-contended",
        "two processes want one lock",
        {peer: 2},
        rivals(oneloom=contended(oneloom.shared.Lock), multiprocessing__Lock=contended(FORK.Lock)),
    )
    yield Row(
        "shared-coroutine",
        "a coroutine, and a process that answers",
        {"multiprocessing.Queue in a thread": 4, "the same queue in a thread": None},
        lambda: [
            Rival("oneloom", answered(ours, in_thread=False)),
            Rival("multiprocessing.Queue in a thread", answered(theirs, in_thread=True)),
            Rival("the same queue in a thread", answered(ours, in_thread=True)),
        ],
    )


def beside_all(item: object) -> list[Rival]:
    queues = {"oneloom": oneloom.shared.Queue, "multiprocessing.Queue": FORK.Queue, "faster-fifo": faster_fifo}
    return [Rival(name, moved(make, item)) for name, make in queues.items()]
