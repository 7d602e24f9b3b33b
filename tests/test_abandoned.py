"""A loop that is closed while tasks still wait in it is garbage like any other, with its tasks and all that they hold."""

import asyncio
import gc
import weakref

import pytest

import oneloom
from conftest import start_thread
from oneloom import _native


def held(lock):
    start_thread(lock.acquire).join()
    return lock


def full(queue):
    queue.put("item")
    return queue


async def wait_in(condition, timeout):
    async with condition:
        await condition.wait_async(timeout)


class Linked(oneloom.RLock):
    """A lock that leads to whatever its user has put there."""


# What is waited for, and how.
WAITS = {
    "Lock": (lambda: held(oneloom.Lock()), lambda lock, timeout: lock.acquire_async(timeout)),
    "RLock": (lambda: held(oneloom.RLock()), lambda lock, timeout: lock.acquire_async(timeout)),
    "async with": (lambda: held(oneloom.Lock()), lambda lock, _: lock.__aenter__()),
    "Semaphore": (lambda: oneloom.Semaphore(0), lambda semaphore, timeout: semaphore.acquire_async(timeout)),
    "Event": (oneloom.Event, lambda event, timeout: event.wait_async(timeout)),
    "Condition": (oneloom.Condition, wait_in),
    "Condition over a Lock": (lambda: oneloom.Condition(oneloom.Lock()), wait_in),
    "Condition over a lock of one's own": (lambda: oneloom.Condition(Linked()), wait_in),
    "Barrier": (lambda: oneloom.Barrier(2), lambda barrier, timeout: barrier.wait_async(timeout)),
    "get": (oneloom.Queue, lambda queue, timeout: queue.get_async(timeout)),
    "put": (lambda: full(oneloom.Queue(1)), lambda queue, timeout: queue.put_async("more", timeout)),
    "join": (lambda: full(oneloom.Queue()), lambda queue, timeout: queue.join_async(timeout)),
    "the end of a thread": (_native.Completion, lambda end, timeout: end.wait_async(timeout)),
}


class Payload:
    """What stands for everything else that a task may hold."""


# A coroutine that is closed outside its loop can't wait for its condition's lock, and says that it was ignored.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("timeout", [None, 600], ids=["untimed", "timed"])
@pytest.mark.parametrize("make, wait", WAITS.values(), ids=WAITS)
def test_a_closed_loop_is_collected_with_the_tasks_that_waited(make, wait, timeout, caplog):
    async def hold(subject, payload):
        await wait(subject, timeout)

    subject, payload = make(), Payload()
    for each in (subject, getattr(subject, "_lock", None)):
        if hasattr(each, "__dict__"):
            each.payload = payload
    loop = asyncio.new_event_loop()
    task = loop.create_task(hold(subject, payload))
    payload.task = task
    for _ in range(10):
        loop.run_until_complete(asyncio.sleep(0))
    assert not task.done() and getattr(loop, "_oneloom_port", None)
    loop.close()
    references = [weakref.ref(each) for each in (loop, task, payload)]
    del loop, task, payload, subject, each
    gc.collect()
    assert [reference() for reference in references] == [None] * 3
    assert "Task was destroyed but it is pending" in caplog.text


def test_what_an_abandoned_task_waited_for_goes_to_the_next(caplog):
    lock = oneloom.Lock()

    def abandon():
        loop = asyncio.new_event_loop()
        loop.create_task(lock.acquire_async())
        loop.run_until_complete(asyncio.sleep(0))
        assert lock.statistics().waiting == 1
        loop.close()

    with lock:
        abandon()
        gc.collect()
        assert lock.statistics().waiting == 0
    assert lock.acquire(timeout=20)
