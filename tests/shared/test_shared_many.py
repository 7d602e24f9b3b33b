"""Many items at once through a shared queue: all of them or none, sizes, bounds, ends, coroutines, processes."""

import asyncio
import pickle
import queue as standard
import time

import children
import pytest
from test_shared_queue import ITEMS
from test_shared_travel import METHODS, PATIENCE, ended, started

import oneloom.queue
from conftest import start_thread
from oneloom.shared import Queue


@pytest.mark.parametrize("method", METHODS)
def test_any_items_come_back_as_they_were(method):
    requests, answers = Queue(), Queue()
    child = started(method, children.echo_many, requests, answers)
    requests.put_many(ITEMS * 3)
    requests.put_many(ITEMS)
    requests.shutdown()
    got = []
    while len(got) < 4 * len(ITEMS):
        got += answers.get_many(timeout=PATIENCE)
    assert got == ITEMS * 4
    ended(child)


def test_as_many_come_as_were_asked_for_and_are_there():
    queue = Queue()
    queue.put_many(iter(range(2000)))
    assert queue.get_many(3) == [0, 1, 2]
    assert queue.get_many(n=1) == [3]
    assert queue.get() == 4
    assert queue.get_many() == list(range(5, 2000))
    with pytest.raises(standard.Empty):
        queue.get_many(block=False)
    with pytest.raises(standard.Empty):
        queue.get_many(5, timeout=0.01)
    assert queue.unfinished_tasks == 2000
    for n in (0, -1):
        with pytest.raises(ValueError, match="positive"):
            queue.get_many(n)
    for call in (queue.get_many, queue.put_many):
        with pytest.raises(ValueError):
            call([] if call == queue.put_many else 1, timeout=-1)


def test_all_are_put_or_none():
    queue = Queue(4)
    queue.put_many([1, 2])
    for ways in ({"block": False}, {"timeout": 0.01}):
        with pytest.raises(standard.Full):
            queue.put_many([3, b"x" * 10_000, 5], **ways)
    assert queue.qsize() == 2
    with pytest.raises(ValueError, match="5 items at once.*maxsize=4"):
        queue.put_many(range(5))
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        queue.put_many([1, lambda: 1])
    queue.put_many([])
    thread = start_thread(lambda: queue.put_many([3, b"x" * 10_000, 5]))
    queue.get()
    thread.join(PATIENCE)
    assert queue.get_many() == [2, 3, b"x" * 10_000, 5]


def test_after_a_shutdown_comes_what_is_left():
    queue = Queue()
    queue.put_many([1, 2, 3])
    queue.shutdown()
    for items in ([4], []):
        with pytest.raises(oneloom.queue.ShutDown):
            queue.put_many(items)
    assert queue.get_many(2) == [1, 2]
    assert queue.get_many() == [3]
    with pytest.raises(oneloom.queue.ShutDown):
        queue.get_many()


class Refuses:
    def __reduce__(self):
        return int, ("not a number",)


def test_what_does_not_unpickle_takes_nothing_else_with_it():
    queue = Queue()
    queue.put_many([1, Refuses(), b"x" * 10_000, Refuses(), 5])
    with pytest.raises(ValueError, match="not a number") as raised:
        queue.get_many()
    assert raised.value.items == [1, b"x" * 10_000, 5]
    assert queue.empty()


def test_coroutines_of_two_processes_talk_in_batches():
    requests, answers = Queue(20), Queue(20)
    child = started("fork", children.echo_many_in_a_coroutine, requests, answers)

    async def main():
        async def ask():
            for start in range(0, 300, 15):
                await requests.put_many_async(range(start, start + 15))
            requests.shutdown()

        asking = asyncio.create_task(ask())
        got = []
        while len(got) < 300:
            got += await answers.get_many_async(7, timeout=PATIENCE)
        assert got == list(range(300))
        await asking

    asyncio.run(main())
    ended(child)


def test_a_coroutine_that_gives_up_has_put_and_taken_nothing():
    async def main():
        queue = Queue(2)
        with pytest.raises(standard.Empty):
            await queue.get_many_async(timeout=0.01)
        await queue.put_async(1)
        with pytest.raises(standard.Full):
            await queue.put_many_async([2, 3], timeout=0.01)
        putting = asyncio.create_task(queue.put_many_async([2, b"x" * 10_000]))
        await asyncio.sleep(0.01)
        putting.cancel()
        assert await queue.get_many_async() == [1]
        with pytest.raises(asyncio.CancelledError):
            await putting
        assert queue.empty()
        queue.put(4)
        assert await queue.get_many_async(5) == [4]

    asyncio.run(main())


def test_many_coroutines_and_one_batch():
    async def main():
        queue = Queue()
        waiting = [asyncio.create_task(queue.get_async(timeout=PATIENCE)) for _ in range(200)]
        await asyncio.sleep(0.01)
        queue.put_many(range(200))
        assert sorted(await asyncio.gather(*waiting)) == list(range(200))

    asyncio.run(main())


def test_statistics_say_who_waits_in_all_processes():
    queue = Queue(2)

    def until(**expected):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            told = queue.statistics()
            if all(getattr(told, name) == count for name, count in expected.items()):
                return
            time.sleep(0.001)
        raise AssertionError(f"{told} instead of {expected}")

    until(waiting=0)
    getters = [started("fork", children.take_and_end, queue) for _ in range(2)]
    until(waiting=2, waiting_getters=2)
    getters[0].kill()
    until(waiting=1, waiting_getters=1)
    queue.put(1)
    ended(getters[1])
    queue.put_many([2, 3])
    threads = [start_thread(lambda: queue.put(4)), start_thread(lambda: queue.put_many([5, 6])), start_thread(queue.join)]
    until(waiting=3, waiting_putters=2, waiting_joiners=1)
    assert sorted(queue.get(timeout=PATIENCE) for _ in range(5)) == [2, 3, 4, 5, 6]
    for _ in range(6):
        queue.task_done()
    for thread in threads:
        thread.join(PATIENCE)
    until(waiting=0)

    async def main():
        waiting = [asyncio.create_task(queue.get_async()) for _ in range(3)]
        await asyncio.sleep(0)
        until(waiting_getters=3)
        for task in waiting:
            task.cancel()

    asyncio.run(main())
    assert queue.statistics() == queue.statistics()
