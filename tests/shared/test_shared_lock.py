"""A shared lock: exclusion between processes, whose it is, coroutines, and what becomes of one whose owner died."""

import asyncio
import mmap
import os
import pickle
import signal
import threading
import time
import warnings

import children
import pytest
from test_shared_travel import METHODS, PATIENCE, ended, started

import oneloom
from conftest import start_thread, wait_until
from oneloom.shared import Lock, OwnerDiedWarning, Queue


def test_it_excludes_processes():
    lock, counter = Lock(), mmap.mmap(-1, 8)
    crowd = [started("fork", children.count_under, lock, counter, 2000) for _ in range(4)]
    for child in crowd:
        ended(child)
    assert int.from_bytes(counter[:8], "little") == 8000


def test_it_excludes_threads():
    lock, counter = Lock(), bytearray(8)
    crowd = [threading.Thread(target=children.count_under, args=(lock, counter, 2000)) for _ in range(4)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert int.from_bytes(counter, "little") == 8000


def test_arguments_are_the_standard_ones():
    lock = Lock(name="door")
    assert lock.name == "door" and "'door'" in repr(lock)
    assert lock.acquire() and lock.locked() and not lock.recovered
    assert not lock.acquire(blocking=False)
    assert not lock.acquire(timeout=0.01)
    with pytest.raises(ValueError):
        lock.acquire(False, 1)
    with pytest.raises(ValueError):
        lock.acquire(timeout=-2)
    with pytest.raises(OverflowError):
        lock.acquire(timeout=1e20)
    assert f"held by process {os.getpid()}" in repr(lock)
    lock.release()
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        lock.release()


def test_what_with_took_only_its_owner_releases():
    lock, answer = Lock(), Queue()
    with lock:
        ended(started("fork", children.release, lock, answer))
        assert f"taken by `with` in process {os.getpid()}" in answer.get(timeout=PATIENCE)
        start_thread(children.release, lock, answer)
        assert "in another thread or task" in answer.get(timeout=PATIENCE)
    lock.acquire()
    ended(started("fork", children.release, lock, answer))
    assert answer.get(timeout=PATIENCE) == "released" and not lock.locked()


@pytest.mark.parametrize("method", METHODS)
def test_a_dead_owner_is_told(method):
    lock, ready = Lock(name="ledger"), Queue()
    child = started(method, children.hold, lock, ready, True)
    pid = ready.get(timeout=PATIENCE)
    assert not lock.acquire(timeout=0.05)
    os.kill(pid, signal.SIGKILL)
    with pytest.warns(OwnerDiedWarning, match="'ledger'"):
        assert lock.acquire(timeout=PATIENCE)
    assert lock.recovered
    lock.release()
    assert not lock.recovered
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with lock:
            assert not lock.recovered
    child.join()


def test_a_thread_and_a_coroutine_asleep_for_long_learn_of_a_death():
    for wait in (lambda lock: lock.acquire(), lambda lock: asyncio.run(lock.acquire_async())):
        lock, ready, taken = Lock(), Queue(), []
        child = started("fork", children.hold, lock, ready)
        pid = ready.get(timeout=PATIENCE)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            thread = start_thread(lambda: taken.append(wait(lock)))
            time.sleep(0.15)  # Into its long sleep, usually; right either way.
            assert not taken
            os.kill(pid, signal.SIGKILL)
            thread.join(PATIENCE)
        assert taken == [True] and lock.recovered
        assert [warning.category for warning in told] == [OwnerDiedWarning]
        child.join()


def test_a_dead_owner_is_noticed_without_waiting():
    lock, ready = Lock(), Queue()
    child = started("fork", children.hold, lock, ready)
    os.kill(ready.get(timeout=PATIENCE), signal.SIGKILL)
    child.join()
    with pytest.warns(OwnerDiedWarning):
        assert lock.acquire(blocking=False)


def test_where_warnings_are_errors_the_lock_is_free_again():
    lock, ready = Lock(), Queue()
    child = started("fork", children.hold, lock, ready)
    os.kill(ready.get(timeout=PATIENCE), signal.SIGKILL)
    child.join()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(OwnerDiedWarning):
            lock.acquire()
    assert not lock.locked()


def test_the_child_of_a_fork_does_not_own_what_its_parent_holds():
    lock, answer = Lock(), Queue()
    with lock:
        ended(started("fork", children.release, lock, answer))
        assert "only that may release" in answer.get()


def test_coroutines_take_it():
    async def main():
        lock = Lock()
        async with lock:
            assert lock.locked()
            assert not await lock.acquire_async(timeout=0.01)
            waiter = asyncio.create_task(lock.acquire_async())
            given_up = asyncio.create_task(lock.acquire_async())
            await asyncio.sleep(0.01)
            given_up.cancel()
        assert await waiter
        with pytest.raises(asyncio.CancelledError):
            await given_up
        lock.release()
        return lock

    lock = asyncio.run(main())
    assert not lock.locked()
    with pytest.raises(RuntimeError, match="no running asyncio event loop"):
        lock.acquire_async().send(None)


def test_a_handler_of_a_signal_runs_and_may_end_the_wait():
    lock = Lock()
    lock.acquire()

    def raise_it(signum, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, raise_it)
    try:
        for delay in (0.01, 0.2):
            signal.setitimer(signal.ITIMER_REAL, delay)
            with pytest.raises(KeyboardInterrupt):
                lock.acquire()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_an_idle_waiter_costs_no_time():
    lock = Lock()
    lock.acquire()
    thread = start_thread(lock.acquire)
    wait_until(lambda: {"oneloom-watch", "oneloom-bell"} <= names_of_threads())
    time.sleep(0.1)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.02
    lock.release()
    thread.join(PATIENCE)


def names_of_threads():
    found = set()
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/comm") as file:
                found.add(file.read().strip())
        except FileNotFoundError:
            pass
    return found


def test_the_warning_is_public():
    assert oneloom.OwnerDiedWarning is OwnerDiedWarning
    assert pickle.loads(pickle.dumps(OwnerDiedWarning)) is OwnerDiedWarning
