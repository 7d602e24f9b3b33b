"""Shared conditions: notifications between processes, and what becomes of those of a process that died."""

import asyncio
import os
import signal

import children
import pytest
from test_shared_travel import METHODS, PATIENCE, ended, started

from conftest import start_thread, wait_until
from oneloom.shared import Condition, Lock, OwnerDiedWarning, Queue, RLock


def waiting(condition):
    return int(repr(condition).split("waiting=")[1].split(",")[0])


@pytest.mark.parametrize("method", METHODS)
def test_as_many_processes_are_notified_as_was_said(method):
    condition, answers = Condition(name="news"), Queue()
    crowd = [started(method, wait, condition, answers) for wait in (children.wait_for_news, children.wait_for_news_in_a_coroutine)]
    wait_until(lambda: waiting(condition) == 2, PATIENCE)
    assert "'news'" in repr(condition)
    with condition:
        condition.notify()
    assert answers.get(timeout=PATIENCE) is True
    with condition:
        assert not condition.wait(timeout=0.01)
        condition.notify_all()
    assert answers.get(timeout=PATIENCE) is True
    for child in crowd:
        ended(child)
    assert waiting(condition) == 0


def test_it_goes_around_a_lock_that_processes_share():
    lock = Lock()
    one, other = Condition(lock), Condition(lock)
    with one:
        assert lock.locked() and other._is_owned() and not one.acquire(blocking=False)
        other.notify()
    for wrong in (object(), asyncio.Lock(), "no lock"):
        with pytest.raises(TypeError, match="that processes share"):
            Condition(wrong)


@pytest.mark.parametrize("kind", [Lock, RLock])
def test_a_notification_of_a_dead_process_goes_to_the_next(kind):
    condition, ready, woken = Condition(kind()), Queue(), []
    child = started("fork", children.wait_and_hold_on, condition, ready)
    wait_until(lambda: waiting(condition) == 1, PATIENCE)

    def wait():
        with condition:
            woken.append(condition.wait(PATIENCE))

    thread = start_thread(wait)
    wait_until(lambda: waiting(condition) == 2)
    with condition:
        condition.notify()
        # The child was notified first, and can't take the lock.
        os.kill(child.pid, signal.SIGKILL)
        child.join()
    thread.join(PATIENCE)
    assert woken == [True]


@pytest.mark.parametrize("sleep", ["thread", "coroutine"])
def test_whoever_waits_takes_over_the_lock_of_a_dead_process(sleep):
    condition, ready, woken = Condition(), Queue(), []

    def wait():
        with condition:
            woken.append(condition.wait())
            woken.append(condition._lock.recovered)

    async def wait_in_a_coroutine():
        async with condition:
            woken.append(await condition.wait_async())
            woken.append(condition._lock.recovered)

    with pytest.warns(OwnerDiedWarning):
        thread = start_thread(wait if sleep == "thread" else lambda: asyncio.run(wait_in_a_coroutine()))
        wait_until(lambda: waiting(condition) == 1)
        child = started("fork", children.hold, condition, ready)
        os.kill(ready.get(timeout=PATIENCE), signal.SIGKILL)
        thread.join(PATIENCE)
        child.join()
    assert woken == [True, True] and not condition.locked()
