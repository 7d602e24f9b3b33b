"""The process pools of the crash matrix and of the tests of limits, and what holds in them whatever happens to a task."""

import os
import pickle
import signal

import crash_tasks as tasks
import pytest

import oneloom
from conftest import STRESS, wait_until

PATIENCE = 30
# All of it in `make stress`; otherwise every start method, every place, every way and a pool of each size at least once.
WHOLE = STRESS > 1
METHODS = ["fork", "spawn", "forkserver"]
SIZES = [1, 2, 8]
POOLS = [(method, size) for method in METHODS for size in SIZES if WHOLE or (method, size) in [("fork", 8), ("spawn", 1), ("forkserver", 2)]]
WAYS = ["SIGKILL", "SIGSEGV", "exit", "memory"]


@pytest.fixture(params=POOLS, ids=lambda pool: f"{pool[0]}-{pool[1]}")
def make(request):
    """Makes pools of one kind; `make.workers` many work in each. Whoever worked in one is gone when the test ends."""
    method, size = request.param
    pools, seen = [], set()

    def make(workers=size, **options):
        pools.append(oneloom.ProcessPool(workers, start_method=method, memory_limit=tasks.MEMORY_LIMIT, **options))
        return pools[-1]

    make.workers, make.seen = size, seen
    yield make
    for pool in pools:
        pool.shutdown(wait=True, cancel_futures=True)
    wait_until(lambda: not [pid for pid in seen if os.path.exists(f"/proc/{pid}")], message=f"some of {seen} are left")


class Neighbours:
    """Harmless tasks beside those that die: each gives its own result, whatever happens around it."""

    def __init__(self, make, pool):
        self.seen, self.pool, self.futures = make.seen, pool, []

    def submit(self, count, seconds=0):
        for _ in range(count):
            self.futures.append(self.pool.submit(tasks.neighbour, len(self.futures), seconds))

    def check(self):
        results = [future.result(PATIENCE) for future in self.futures]
        assert [number for number, _ in results] == list(range(len(results)))
        self.seen.update(pid for _, pid in results)


def out_of_memory(error):
    """Its own error, or named by that of pickling, which is what failed."""
    return isinstance(error, MemoryError) or (isinstance(error, pickle.PickleError) and "MemoryError" in str(error))


def check_death(future, how):
    """Its error is that of a task whose worker died that way, and says so."""
    error = future.exception(PATIENCE)
    if how == "memory":
        assert out_of_memory(error), repr(error)
        return
    status, words = (3, "status 3") if how == "exit" else (-getattr(signal, how), how)
    assert isinstance(error, oneloom.WorkerDied), repr(error)
    assert error.exitcode == status and words in str(error), error
