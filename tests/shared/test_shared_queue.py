"""A shared queue: order, bounds, sizes, ends, coroutines and threads, in this process and between processes."""

import asyncio
import queue as standard
import signal
import sys
import threading
import time

import children
import pytest
from test_shared_travel import METHODS, PATIENCE, ended, started

import oneloom.queue
from conftest import start_thread
from oneloom.shared import PriorityQueue, Queue

ITEMS = [b"", b"x" * 100, b"y" * 5000, b"z" * 3_000_000, "text", None, (1, "two", 3.0), {"a": [1, {2: b"3"}]}, {4, 5}, 1 << 99]


@pytest.mark.parametrize("method", METHODS)
def test_any_item_comes_back_as_it_was(method):
    requests, answers = Queue(), Queue()
    child = started(method, children.echo, requests, answers)
    for item in ITEMS:
        requests.put(item)
    assert [answers.get(timeout=PATIENCE) for _ in ITEMS] == ITEMS
    requests.shutdown()
    ended(child)


def test_values_come_back_exactly():
    queue = Queue()
    values = (True, 1, 1.0, -0.0, -(1 << 70), "", "\N{SNOWMAN}\ud800", b"\0", None, ((),), float("inf"))
    for item in (*values, values, "long " * 100_000, 1 << 300_000):
        queue.put(item)
        got = queue.get()
        assert (got, type(got)) == (item, type(item)) and (type(item) in (str, int) or repr(got) == repr(item))


def test_one_object_in_two_places_stays_one():
    queue, shared = Queue(), [1]
    queue.put((shared, (shared, 2)))
    first, (second, _) = queue.get()
    assert first is second and first == [1]


def test_subclasses_of_values_stay_what_they_are():
    queue = Queue()
    queue.put((signal.SIGINT, 1))
    assert type(queue.get()[0]) is signal.Signals


def test_string_that_is_interned_here_is_none_that_lives_for_ever_there():
    queue, text = Queue(), sys.intern("".join(["only in ", "this item"]))
    queue.put((text, text))
    got, _ = queue.get()
    assert got == text and got is not text


def test_what_multiprocessing_can_send_goes_through():
    import multiprocessing

    queue = Queue()
    here, there = multiprocessing.Pipe()
    queue.put(there)
    queue.get().send("through a connection")
    assert here.recv() == "through a connection"


def test_everything_may_be_put_before_anybody_reads():
    queue = Queue()
    for number in range(50_000):
        queue.put((number, b"x" * 100))
    assert queue.qsize() == 50_000 and not queue.full()
    total = Queue()
    child = started("fork", children.take_all, queue, total)
    queue.shutdown()
    assert total.get(timeout=PATIENCE) == 50_000
    ended(child)


def test_a_bound_holds_between_processes():
    queue = Queue(3)
    child = started("fork", children.put_all, queue, range(500))
    for number in range(500):
        assert queue.qsize() <= 3
        assert queue.get(timeout=PATIENCE) == number
    ended(child)


def test_ends_are_the_standard_ones():
    queue = Queue(1, name="jobs")
    assert queue.empty() and queue.maxsize == 1 and queue.name == "jobs"
    with pytest.raises(standard.Empty):
        queue.get_nowait()
    with pytest.raises(standard.Empty):
        queue.get(timeout=0.01)
    queue.put(1)
    assert queue.full() and "items=1/1" in repr(queue)
    for put in (queue.put_nowait, lambda item: queue.put(item, timeout=0.01), lambda item: queue.put(item, False)):
        for item in (2, b"x" * 10_000):
            with pytest.raises(standard.Full):
                put(item)
    with pytest.raises(ValueError):
        queue.get(timeout=-1)
    assert queue.get() == 1
    queue.put(2)
    queue.shutdown()
    assert queue.is_shutdown
    with pytest.raises(oneloom.queue.ShutDown):
        queue.put(3)
    assert list(queue) == [2]
    with pytest.raises(oneloom.queue.ShutDown):
        queue.get()


def test_a_shutdown_at_once_drops_what_is_left():
    queue = Queue()
    for item in (1, b"x" * 10_000, 3):
        queue.put(item)
    queue.shutdown(immediate=True)
    with pytest.raises(oneloom.queue.ShutDown):
        queue.get()
    assert queue.unfinished_tasks == 0


def test_a_shutdown_is_told_to_whoever_sleeps():
    queue, total = Queue(), Queue()
    crowd = [started("fork", children.take_all, queue, total) for _ in range(3)]
    time.sleep(0.1)  # Into their long sleep, usually; right either way.
    queue.shutdown()
    assert [total.get(timeout=PATIENCE) for _ in crowd] == [0, 0, 0]
    for child in crowd:
        ended(child)


def test_join_waits_for_the_work_of_other_processes():
    queue = Queue()
    queue.put(1)
    assert queue.unfinished_tasks == 1
    assert queue.join(timeout=0.01) is False
    queue.get()
    thread = start_thread(queue.join)
    assert thread.is_alive()
    queue.task_done()
    thread.join(PATIENCE)
    assert not thread.is_alive() and queue.join() is None
    with pytest.raises(ValueError):
        queue.task_done()


def test_an_item_that_does_not_pickle_leaves_nothing():
    queue = Queue()
    with pytest.raises(Exception, match="pickle"):
        queue.put(lambda: 1)
    assert queue.empty()


class Comes:
    """Its coming out uses the queue again."""

    def __init__(self, queue):
        self.queue = queue

    def __reduce__(self):
        return get_from, (self.queue,)


def get_from(queue):
    return queue.get()


def test_unpickling_may_use_the_queue():
    queue = Queue()
    queue.put(Comes(queue))
    queue.put("inside")
    assert queue.get() == "inside"


@pytest.mark.parametrize("kind", [Queue, PriorityQueue])
def test_threads_share_it(kind):
    queue, got = kind(10), []
    senders = [threading.Thread(target=children.put_all, args=(queue, range(1000))) for _ in range(3)]
    receiver = start_thread(lambda: got.extend(queue))
    for thread in senders:
        thread.start()
    for thread in senders:
        thread.join()
    queue.shutdown()
    receiver.join(PATIENCE)
    assert sorted(got) == sorted(list(range(1000)) * 3)


def test_coroutines_of_two_processes_talk():
    requests, answers = Queue(2), Queue(2)
    child = started("fork", children.echo_in_a_coroutine, requests, answers)

    async def main():
        async def ask():
            for number in range(300):
                await requests.put_async(number)
            requests.shutdown()

        asking = asyncio.create_task(ask())
        assert [await answers.get_async(timeout=PATIENCE) for _ in range(300)] == list(range(300))
        await asking

    asyncio.run(main())
    ended(child)


def test_a_coroutine_that_gives_up_has_taken_nothing():
    async def main():
        queue = Queue(1)
        with pytest.raises(standard.Empty):
            await queue.get_async(timeout=0.01)
        for _ in range(50):
            waiting = [asyncio.create_task(queue.get_async()) for _ in range(3)]
            await asyncio.sleep(0)
            queue.put("item")
            waiting[0].cancel()
            done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)
            got = [task.result() for task in waiting if task.done() and not task.cancelled()]
            while not got:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)
                assert done, "the item is lost"
                got = [task.result() for task in done if not task.cancelled()]
            assert got == ["item"]
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
        queue.put(1)
        with pytest.raises(standard.Full):
            await queue.put_async(2, timeout=0.01)
        assert queue.get() == 1 and queue.empty()

    asyncio.run(main())


def test_many_coroutines_get_one_item_each():
    async def main():
        queue = Queue()
        waiting = [asyncio.create_task(queue.get_async(timeout=PATIENCE)) for _ in range(200)]
        await asyncio.sleep(0.01)
        child = started("fork", children.put_all, queue, range(200))
        assert sorted(await asyncio.gather(*waiting)) == list(range(200))
        ended(child)

    asyncio.run(main())
