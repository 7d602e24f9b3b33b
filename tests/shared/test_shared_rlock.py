"""A shared RLock: its owner's alone, as often as it was taken, and what becomes of one whose owner died."""

import mmap
import os
import signal

import children
import pytest
from test_shared_travel import METHODS, PATIENCE, ended, started

from oneloom.shared import OwnerDiedWarning, Queue, RLock


def test_it_excludes_processes():
    lock, counter = RLock(), mmap.mmap(-1, 8)
    crowd = [started("fork", children.count_under, lock, counter, 1000) for _ in range(4)]
    for child in crowd:
        ended(child)
    assert int.from_bytes(counter[:8], "little") == 4000


def test_it_is_its_owner_s_alone():
    lock, answer = RLock(name="ledger"), Queue()
    with lock, lock:
        assert lock._recursion_count() == 2 and repr(lock).endswith(f"held by process {os.getpid()}, 2 times>")
        ended(started("fork", children.release, lock, answer))
        assert answer.get(timeout=PATIENCE) == f"cannot release un-acquired lock: process {os.getpid()} holds it"
    assert not lock.locked()


@pytest.mark.parametrize("method", METHODS)
def test_a_dead_owner_is_told_however_often_it_held_it(method):
    lock, ready = RLock(name="ledger"), Queue()
    child = started(method, children.hold_twice, lock, ready)
    pid = ready.get(timeout=PATIENCE)
    assert not lock.acquire(timeout=0.05)
    os.kill(pid, signal.SIGKILL)
    with pytest.warns(OwnerDiedWarning, match="'ledger'"):
        assert lock.acquire(timeout=PATIENCE)
    assert lock.recovered and lock._recursion_count() == 1
    lock.release()
    assert not lock.locked()
    child.join()
