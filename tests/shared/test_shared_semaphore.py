"""Shared semaphores: permits between processes, whose they are, and what becomes of those of a process that died."""

import asyncio
import os
import pickle
import signal
import warnings

import children
import pytest
from test_shared_travel import METHODS, PATIENCE, ended, started

from oneloom.shared import BoundedSemaphore, OwnerDiedWarning, Queue, Semaphore


@pytest.mark.parametrize("method", METHODS)
def test_permits_are_limited_and_those_of_a_dead_scope_come_back(method):
    semaphore, ready = BoundedSemaphore(2, name="connections"), Queue()
    child = started(method, children.hold, semaphore, ready, True)
    pid = ready.get(timeout=PATIENCE)
    assert semaphore.acquire(blocking=False) and not semaphore.acquire(timeout=0.05)
    assert repr(semaphore).endswith("value=0/2>")
    os.kill(pid, signal.SIGKILL)
    with pytest.warns(OwnerDiedWarning, match="'connections'"):
        assert semaphore.acquire(timeout=PATIENCE)
    semaphore.release(2)
    with pytest.raises(ValueError, match="too many times"):
        semaphore.release()
    child.join()


def test_a_coroutine_learns_of_a_dead_scope():
    semaphore, ready = Semaphore(1), Queue()
    child = started("fork", children.hold, semaphore, ready, True)
    pid = ready.get(timeout=PATIENCE)

    async def main():
        waiting = asyncio.create_task(semaphore.acquire_async())
        await asyncio.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        with pytest.warns(OwnerDiedWarning):
            assert await asyncio.wait_for(waiting, PATIENCE)

    asyncio.run(main())
    child.join()


def test_a_plain_permit_outlives_its_process_and_is_anybody_s():
    semaphore, ready = Semaphore(1), Queue()
    child = started("fork", children.hold, semaphore, ready)
    os.kill(ready.get(timeout=PATIENCE), signal.SIGKILL)
    child.join()
    assert not semaphore.acquire(timeout=0.05)
    semaphore.release()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert semaphore.acquire(timeout=PATIENCE)


def test_where_warnings_are_errors_the_permit_is_free_again():
    semaphore, ready = BoundedSemaphore(1), Queue()
    for taking in (semaphore.acquire, semaphore.__enter__):
        child = started("fork", children.hold, semaphore, ready, True)
        os.kill(ready.get(timeout=PATIENCE), signal.SIGKILL)
        child.join()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(OwnerDiedWarning):
                taking()
        assert semaphore._value == 1


def test_the_child_of_a_fork_has_no_scope_of_its_parent_s_to_end():
    semaphore, answer = Semaphore(1), Queue()
    with semaphore:
        ended(started("fork", children.leave, semaphore, answer))
        assert "does not hold what its parent does" in answer.get(timeout=PATIENCE)
        assert semaphore._value == 0
    assert semaphore._value == 1


class Pool(Semaphore):
    """A subclass, of which a handle knows nothing."""


def test_a_subclass_does_not_arrive_as_what_it_is_not():
    with pytest.raises(TypeError, match="a Pool can't be sent to another process: it would arrive as a Semaphore"):
        pickle.dumps(Pool(2))
    for kind in (Semaphore, BoundedSemaphore):
        assert type(pickle.loads(pickle.dumps(kind(2)))) is kind
