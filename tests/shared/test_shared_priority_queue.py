"""A shared priority queue: its order, bounds, ends, coroutines and threads, between processes, and when one is killed."""

import asyncio
import decimal
import multiprocessing
import pickle
import queue as standard
import random
import signal

import children
import numpy as np
import pytest
from shared_memory import is_shared
from test_shared_queue import ITEMS
from test_shared_travel import METHODS, PATIENCE, ended, started

import oneloom.queue
from conftest import start_thread
from oneloom.shared import PriorityQueue, Queue


def test_random_programs_give_what_the_standard_library_s_gives(seed):
    source = random.Random(seed)
    priorities = [*range(-3, 4), -0.5, 2.0, 1e300, float("inf"), float("-inf"), 2**53, 2**53 + 1, 2.0**53, 2**63 - 1, -(2**63)]
    for _ in range(20):
        ours, model = PriorityQueue(), standard.PriorityQueue()
        for number in range(source.randrange(400)):
            if source.random() < source.choice((0.3, 0.7)) and not model.empty():
                assert ours.get(timeout=PATIENCE) == model.get()
            else:
                item = (source.choice(priorities), number)
                ours.put(item, item[0])
                model.put(item)
            assert ours.qsize() == model.qsize()
        assert [ours.get_nowait() for _ in range(ours.qsize())] == [model.get_nowait() for _ in range(model.qsize())]


class Indexed:
    def __index__(self):
        return -3


def test_priorities_are_integers_and_floats():
    queue = PriorityQueue()
    for item, priority in ("none", 0), ("true", True), ("half", decimal.Decimal("0.5")), ("index", Indexed()), ("minus", -0.0):
        queue.put(item, priority=priority)
    queue.put("usual")
    assert [queue.get() for _ in range(6)] == ["index", "none", "minus", "usual", "half", "true"]
    with pytest.raises(ValueError, match="NaN"):
        queue.put("nothing", float("nan"))
    for priority in 2**63, -(2**63) - 1, 10**400:
        with pytest.raises(OverflowError, match="beyond 64 bits"):
            queue.put("nothing", priority)
    for priority in "1", None, 1j:
        with pytest.raises(TypeError):
            queue.put("nothing", priority)
    assert queue.empty()


@pytest.mark.parametrize("method", METHODS)
def test_it_travels_and_any_item_comes_back_as_it_was(method):
    requests, answers = PriorityQueue(name="requests"), PriorityQueue()
    child = started(method, children.echo_by_number, requests, answers)
    for number, item in enumerate(ITEMS):
        requests.put((-number, item), number)
    requests.shutdown()
    ended(child)
    assert [answers.get(timeout=PATIENCE) for _ in ITEMS] == ITEMS[::-1]
    mailbox = Queue()
    mailbox.put(requests)
    assert mailbox.get().name == "requests"


@pytest.mark.parametrize("copy", [False, True])
def test_an_array_arrives_without_a_copy_unless_one_is_asked_for(copy):
    queue, array = PriorityQueue(copy=copy), np.arange(100_000)
    queue.put(("second", array), 2)
    queue.put(("first", array + 1), 1)
    for name, expected in ("first", array + 1), ("second", array):
        got, arrived = queue.get()
        assert got == name and np.array_equal(arrived, expected)
        assert is_shared(arrived) is not copy and arrived.flags.writeable is copy


def test_its_handle_is_no_other_queue_s():
    _, (_, handle, *_) = PriorityQueue().__reduce__()
    with pytest.raises(ValueError, match="another kind"):
        Queue._open(handle, None)
    queue = PriorityQueue(name="one")
    again = pickle.loads(pickle.dumps(queue))
    again.put(1)
    assert queue.get() == 1 and repr(again) == repr(queue) and "PriorityQueue 'one'" in repr(queue)


def test_everything_may_be_put_before_anybody_reads():
    queue, total = PriorityQueue(), Queue()
    for number in range(20_000):
        queue.put((number, b"x" * 100), -number)
    assert queue.qsize() == 20_000 and not queue.full()
    assert [queue.get()[0] for _ in range(100)] == list(range(19_999, 19_899, -1))
    child = started("fork", children.take_all, queue, total)
    queue.shutdown()
    assert total.get(timeout=PATIENCE) == 19_900
    ended(child)


def test_ends_are_the_standard_ones():
    queue = PriorityQueue(1, name="jobs")
    assert queue.empty() and queue.maxsize == 1 and queue.name == "jobs"
    with pytest.raises(standard.Empty):
        queue.get_nowait()
    with pytest.raises(standard.Empty):
        queue.get(timeout=0.01)
    queue.put(1)
    assert queue.full() and "items=1/1" in repr(queue)
    for put in (queue.put_nowait, lambda item: queue.put(item, timeout=0.01), lambda item: queue.put(item, -5, False)):
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
        queue.put(3, 1)
    assert list(queue) == [2]
    with pytest.raises(oneloom.queue.ShutDown):
        queue.get()


def test_join_waits_for_the_work_of_other_processes():
    queue = PriorityQueue()
    queue.put(1, 1)
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
    queue.put(b"x" * 10_000)
    queue.shutdown(immediate=True)
    assert queue.unfinished_tasks == 0


def test_coroutines_of_two_processes_talk():
    requests, answers = PriorityQueue(2), PriorityQueue(2)
    child = started("fork", children.echo_in_a_coroutine, requests, answers)

    async def main():
        async def ask():
            for number in range(300):
                await requests.put_async(number, priority=number)
            requests.shutdown()

        asking = asyncio.create_task(ask())
        assert sorted([await answers.get_async(timeout=PATIENCE) for _ in range(300)]) == list(range(300))
        await asking
        assert await answers.join_async(timeout=0.01) is False
        with pytest.raises(standard.Empty):
            await answers.get_async(timeout=0.01)
        await answers.put_async("second", 2)
        await answers.put_async("first", 1, timeout=1)
        with pytest.raises(standard.Full):
            await answers.put_async("third", 0, 0.01)
        answers.shutdown()
        assert [item async for item in answers] == ["first", "second"]

    asyncio.run(main())
    ended(child)


@pytest.mark.stress
def test_one_killed_over_it_leaves_the_others_their_items_in_order():
    """After every step: what was put is there once, in order, but for one item that the dead one had just taken."""
    for step in ["OrderEntered", "ItemLabelled", "ItemPut", "ItemIndexed", "ItemCounted", "ItemTaken", "ItemRemoved", "OrderLeft"]:
        for passes in (0, 5, 30):
            queue, taken = PriorityQueue(), Queue()
            child = multiprocessing.get_context("fork").Process(target=children.work_by_priority, args=(queue, taken, step, passes))
            child.start()
            child.join(PATIENCE)
            assert child.exitcode == -signal.SIGKILL, (step, passes)
            queue.put("the last", float("inf"))
            left = list(iter(lambda queue=queue: queue.get(timeout=PATIENCE), "the last"))
            got = [taken.get() for _ in range(taken.qsize())]
            assert left == sorted(left), (step, passes)
            numbers = sorted(number for _, number in left + got)
            assert len(set(numbers)) == len(numbers), (step, passes)
            # One of those below is missing at most: the one that was taken and not told of.
            assert len(numbers) in (max(numbers, default=0), max(numbers, default=0) + 1), (step, passes, numbers)
            assert queue.empty()
