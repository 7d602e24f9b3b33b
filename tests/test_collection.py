"""The garbage collector sees what a queue holds until a thread really has it: a collection looks twice, and finalizes
what it saw the first time and misses the second.
"""

import gc
import sys
import threading
import time

import pytest

import oneloom
from conftest import run_program, start_thread, wait_until


class Item:
    """Something that the collector knows of."""


@pytest.fixture
def no_switch():
    """As during a collection, no other thread gets the interpreter."""
    interval = sys.getswitchinterval()
    yield lambda: sys.setswitchinterval(60)
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"])
def test_an_item_stays_in_sight_until_the_thread_that_is_to_have_it_runs(kind, no_switch):
    items, got = getattr(oneloom, kind)(), []
    done = threading.Event()

    def consume():
        got.append(items.get())
        done.set()

    start_thread(consume)
    wait_until(lambda: items.statistics().waiting_getters == 1)
    item = Item()
    no_switch()
    items.put(item)
    end = time.monotonic() + 0.05  # Enough for the thread to wake, and to take what it could take.
    seen = [items in gc.get_referrers(item)]
    while time.monotonic() < end:
        seen.append(items in gc.get_referrers(item))
    sys.setswitchinterval(0.001)
    assert all(seen)
    assert done.wait(20) and got == [item]


MADE = [
    *(f"oneloom.{name}" for name in ("Condition", "Event", "Semaphore", "BoundedSemaphore", "Queue", "LifoQueue")),
    *("oneloom.PriorityQueue", "oneloom.SimpleQueue", "oneloom.RLock", "oneloom.Future", "oneloom.queue.PriorityQueue"),
    *("oneloom.threading.Condition", "oneloom.threading.Event", "oneloom.Barrier", "oneloom.threading.Barrier"),
    *("oneloom.ThreadPool", "oneloom.ProcessPool"),
]


@pytest.mark.parametrize("made", MADE)
def test_a_collection_may_come_while_an_object_is_being_made(made):
    """As it does where the interpreter makes an object's dictionary before what the object is made of is written."""
    code = f"""
    import gc
    import oneloom, oneloom.queue, oneloom.threading

    class Heir({made}):
        pass

    arguments = [1] if "Barrier" in "{made}" else []
    gc.set_threshold(1, 1, 1)
    for _ in range(50):
        {made}(*arguments), Heir(*arguments)
    """
    run_program(code).check()
