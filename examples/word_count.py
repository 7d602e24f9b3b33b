"""Count the words of Python's own standard library in a pipeline of threads and coroutines.

One pipeline, written four times:

    feed (a coroutine)  --text-->  find words (threads)  --words-->  count (a coroutine)

* `plain_loop`: no queue and no thread, so only the work itself; its answer is the reference;
* `with_queues`: the standard library's queues, joined by what asyncio offers for that;
* `by_hand`: the standard library at its fastest, with a hand-over written for this one pipeline;
* `with_oneloom`: two `oneloom.Queue`s, each used by threads and coroutines at once.

At most `LIMIT` pieces are on their way at a time, so a slow stage holds up the one before it and no memory fills up.

    python examples/word_count.py [--files]
"""

import argparse
import asyncio
import queue
import re
import sysconfig
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path

import oneloom

THREADS = 2
LIMIT = 1000
TESTS_AND_PACKAGES = {"site-packages", "dist-packages", "test", "tests", "idle_test"}

find_words = re.compile(r"\w+").findall


class Corpus:
    """The standard library's source files, or the first `most` of them, handed out line by line or file by file."""

    def __init__(self, *, whole_files: bool, most: int | None = None) -> None:
        root = Path(sysconfig.get_paths()["stdlib"])
        # Some distributions leave the tests out: without them the corpus is much the same everywhere.
        self.paths = [
            path for path in sorted(root.rglob("*.py"))
            if not TESTS_AND_PACKAGES.intersection(path.relative_to(root).parts)
        ][:most]
        self.whole_files = whole_files

    def __iter__(self) -> Iterator[str]:
        for path in self.paths:
            text = path.read_text(encoding="utf-8", errors="replace")
            if self.whole_files:
                yield text
            else:
                yield from text.splitlines()


Advance = Callable[[], None]  # called for each piece that has been counted


async def plain_loop(corpus: Corpus, advance: Advance) -> Counter[str]:
    total: Counter[str] = Counter()
    for text in corpus:
        total.update(find_words(text))
        advance()
    return total


async def with_queues(corpus: Corpus, advance: Advance) -> Counter[str]:
    # SimpleQueue is the standard library's fastest way to a thread, but it has no limit and a
    # coroutine may not block on it: an asyncio.Semaphore keeps the limit.
    loop = asyncio.get_running_loop()
    texts: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    found: asyncio.Queue[list[str] | None] = asyncio.Queue()
    room = asyncio.Semaphore(LIMIT)
    total: Counter[str] = Counter()

    def find() -> None:
        while (text := texts.get()) is not None:
            loop.call_soon_threadsafe(found.put_nowait, find_words(text))
        loop.call_soon_threadsafe(found.put_nowait, None)

    async def feed() -> None:
        for text in corpus:
            await room.acquire()
            texts.put(text)
        for _ in threads:
            texts.put(None)

    async def count() -> None:
        running = len(threads)
        while running:
            words = await found.get()
            if words is None:
                running -= 1
            else:
                total.update(words)
                room.release()
                advance()

    threads = [threading.Thread(target=find) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    await asyncio.gather(feed(), count())
    for thread in threads:
        thread.join()
    return total


async def by_hand(corpus: Corpus, advance: Advance) -> Counter[str]:
    # Waking the loop is the dear part: the threads append to a deque, and only the first result
    # of a burst wakes the loop. The feeder is let on when half of what is on its way has arrived.
    loop = asyncio.get_running_loop()
    texts: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    found: deque[list[str]] = deque()
    woken = False
    arrived = asyncio.Event()
    room = asyncio.Event()
    on_the_way = 0
    fed = False
    total: Counter[str] = Counter()

    def find() -> None:
        nonlocal woken
        while (text := texts.get()) is not None:
            found.append(find_words(text))
            if not woken:
                woken = True
                loop.call_soon_threadsafe(arrived.set)

    async def feed() -> None:
        nonlocal on_the_way, fed
        for text in corpus:
            if on_the_way >= LIMIT:
                room.clear()
                await room.wait()
            on_the_way += 1
            texts.put(text)
        for _ in threads:
            texts.put(None)
        fed = True
        arrived.set()

    async def count() -> None:
        nonlocal woken, on_the_way
        while not (fed and on_the_way == 0):
            await arrived.wait()
            arrived.clear()
            # Before the first look: a result that comes after the last look wakes the loop again.
            woken = False
            while found:
                total.update(found.popleft())
                on_the_way -= 1
                advance()
            if on_the_way <= LIMIT // 2:
                room.set()

    threads = [threading.Thread(target=find) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    await asyncio.gather(feed(), count())
    for thread in threads:
        thread.join()
    return total


async def with_oneloom(corpus: Corpus, advance: Advance) -> Counter[str]:
    texts: oneloom.Queue[str] = oneloom.Queue(LIMIT)
    found: oneloom.Queue[list[str]] = oneloom.Queue(LIMIT)
    total: Counter[str] = Counter()

    def find() -> None:
        for text in texts:
            found.put(find_words(text))

    async def feed() -> None:
        for text in corpus:
            await texts.put_async(text)
        texts.shutdown()
        for thread in threads:
            await thread
        found.shutdown()

    async def count() -> None:
        async for words in found:
            total.update(words)
            advance()

    threads = [oneloom.Thread(target=find) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    await asyncio.gather(feed(), count())
    return total


PIPELINES = {
    "plain loop, no queue": plain_loop,
    "standard library's queues": with_queues,
    "standard library, by hand": by_hand,
    "oneloom": with_oneloom,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Count the words of Python's own standard library, four ways.")
    parser.add_argument("--files", action="store_true", help="hand on whole files instead of lines")
    corpus = Corpus(whole_files=parser.parse_args().files)
    answers = []
    for name, pipeline in PIPELINES.items():
        start = time.perf_counter()
        answers.append(asyncio.run(pipeline(corpus, lambda: None)))
        print(f"{name:26} {time.perf_counter() - start:6.2f} s")
    assert all(answer == answers[0] for answer in answers), "the pipelines disagree"
    common = ", ".join(f"{word} {number:,}" for word, number in answers[0].most_common(5))
    print(f"{answers[0].total():,} words, equal four times; the most common: {common}")


if __name__ == "__main__":
    main()
