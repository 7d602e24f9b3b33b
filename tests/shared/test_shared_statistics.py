"""Who waits for a shared object: threads of every process, and coroutines; nobody who has gone on, or was killed."""

import asyncio
import contextlib
import os
import signal
from threading import BrokenBarrierError

import children
import pytest
from test_shared_travel import PATIENCE, started

from conftest import start_thread, wait_until
from oneloom.shared import Barrier, Condition, Event, Lock, RLock, Semaphore

# How to make one that is waited for, how to wait, in a thread and in a coroutine, and what lets everybody go on.
CASES = {
    "Lock": (Lock, "acquire", lambda lock: lock.release()),
    "RLock": (RLock, "acquire", lambda lock: lock.release()),
    "Semaphore": (lambda: Semaphore(0), "acquire", lambda semaphore: semaphore.release(3)),
    "Event": (Event, "wait", lambda event: event.set()),
    "Barrier": (lambda: Barrier(9), "wait", lambda barrier: barrier.abort()),
}


async def call_in_a_coroutine(subject, method):
    with contextlib.suppress(BrokenBarrierError):
        await getattr(subject, f"{method}_async")()
        if "Lock" in repr(subject):
            subject.release()


@pytest.mark.parametrize("kind", CASES)
def test_who_waits_is_counted(kind):
    make, method, let_go = CASES[kind]
    subject = make()
    if "Lock" in kind:
        subject.acquire()

    def waiting(count):
        wait_until(lambda: subject.statistics().waiting == count, PATIENCE)

    assert repr(subject.statistics()) == "Statistics(waiting=0)"
    child = started("fork", children.call, subject, method)
    waiting(1)
    start_thread(children.call, subject, method)
    waiting(2)
    start_thread(lambda: asyncio.run(call_in_a_coroutine(subject, method)))
    waiting(3)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    let_go(subject)
    waiting(0)


def test_who_waits_at_a_condition_is_counted():
    condition = Condition()
    child = started("fork", children.call_inside, condition, "wait")
    wait_until(lambda: condition.statistics().waiting == 1, PATIENCE)
    start_thread(children.call_inside, condition, "wait")
    wait_until(lambda: condition.statistics().waiting == 2, PATIENCE)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    wait_until(lambda: condition.statistics().waiting == 1, PATIENCE)
    with condition:
        condition.notify()
    wait_until(lambda: condition.statistics().waiting == 0, PATIENCE)
