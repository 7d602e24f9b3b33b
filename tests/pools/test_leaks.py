"""What pools leave behind, and what a million of their tasks take up: threads, processes, descriptors and bytes are counted."""

import gc
import os
import queue
import sys
import threading
from collections import Counter
from contextlib import contextmanager, suppress

import crash_tasks as tasks
import pytest

import oneloom
import oneloom.shared
from conftest import STRESS, wait_until

PATIENCE = 60
WHOLE = STRESS > 1
# Workers that are forked inherit the test's whole memory at once, and start fastest.
POOLS = [
    pytest.param(lambda **options: oneloom.ThreadPool(2, **options), id="threads"),
    pytest.param(lambda **options: oneloom.ProcessPool(2, start_method="fork", **options), id="processes"),
]


def resident():
    """Bytes of memory that are really there."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def shared():
    """How many bytes the family's objects take up: what is free there, the next one gets."""
    return sum(os.stat(f"/proc/self/fd/{name}").st_blocks * 512 for name, place in descriptors() if place.startswith("/memfd:"))


def descriptors():
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # The one that lists them.
            found.append((name, os.readlink(f"/proc/self/fd/{name}")))
    return found


def threads():
    """The names of this process's threads, those that know no Python included."""
    names = Counter()
    for task in os.listdir("/proc/self/task"):
        with suppress(FileNotFoundError):
            with open(f"/proc/self/task/{task}/comm") as file:
                names[file.read().strip()] += 1
    return names


def children():
    """This process's children, those that have ended and were not waited for included."""
    found = set()
    for task in os.listdir("/proc/self/task"):
        with suppress(FileNotFoundError):
            with open(f"/proc/self/task/{task}/children") as file:
                found.update(file.read().split())
    return found


class Left:
    """What there is now; later, what there is more than that."""

    def __init__(self):
        # What a thread without the interpreter has dropped goes with the next call of a native method.
        oneloom.Event()
        gc.collect()
        self.children, self.threads = children(), threads()
        self.descriptors = Counter(place for _, place in descriptors())

    def since(self, earlier):
        more = (self.threads - earlier.threads, self.descriptors - earlier.descriptors, self.children - earlier.children)
        return {"threads": more[0], "descriptors": more[1], "children": more[2]}


def check_nothing_left(earlier):
    """Nothing more than before; what ends in its own time is given some."""
    found = {}

    def nothing_more():
        found.update(Left().since(earlier))
        return not any(found.values())

    try:
        wait_until(nothing_more)
    except AssertionError:
        raise AssertionError(f"left behind: {found}") from None


@pytest.mark.stress
@pytest.mark.parametrize("make", POOLS)
@pytest.mark.parametrize("end", ["left", "shut down", "terminated", "dropped"])
def test_pools_that_were_made_and_ended_leave_nothing(make, end):
    def once():
        pool = make()
        if end == "left":
            with pool:
                assert pool.submit(abs, -5).result(PATIENCE) == 5
            return
        assert pool.submit(abs, -5).result(PATIENCE) == 5
        if end == "shut down":
            pool.shutdown()
        elif end == "terminated":
            pool.terminate()

    def some(count):
        for _ in range(count):
            once()
        gc.collect()

    # The first ones make what the process then keeps, as the first long wait for something shared does.
    some(5)
    with pytest.raises(queue.Empty):
        oneloom.shared.Queue().get(timeout=0.1)
    wait_until(lambda: not [thread for thread in threading.enumerate() if "pool" in thread.name.lower()])
    before = Left()
    count = 1000 if WHOLE else 20
    some(count // 2)
    check_nothing_left(before)
    half, half_shared = resident(), shared()
    some(count // 2)
    check_nothing_left(before)
    assert shared() <= half_shared + 2**16
    # Of 1 KB a pool, 1,000 would show; the few of the short run show only a page or more each.
    assert resident() - half < 2**20


@pytest.mark.stress
@pytest.mark.parametrize("make", POOLS)
def test_tasks_that_wait_for_their_turn_take_less_than_a_kilobyte(make, tmp_path):
    count = 1_000_000 if WHOLE else 30_000
    with make() as pool:
        held = [pool.submit(tasks.wait_for, str(tmp_path / "now")) for _ in range(2)]
        first = [pool.submit(tasks.nothing, number) for number in range(1000)]
        before = resident()
        pending = [pool.submit(tasks.nothing, number) for number in range(count)]
        taken = (resident() - before) / count
        print(f"{taken:.0f} bytes for each pending task")
        (tmp_path / "now").touch()
        assert taken < 1000
        assert all(future.result(PATIENCE * max(1, STRESS)) is None for future in held + first + pending)
        assert (resident() - before) / count < 1000
        del first, pending
        gc.collect()


@pytest.mark.stress
def test_pending_tasks_of_processes_that_are_cancelled_are_given_back(tmp_path):
    pool = oneloom.ProcessPool(2)
    held = pool.submit(tasks.wait_for, str(tmp_path / "now"))
    also_held = pool.submit(tasks.wait_for, str(tmp_path / "now"))

    def some(count):
        for future in [pool.submit(tasks.nothing, bytes(1000)) for _ in range(count)]:
            assert future.cancel()

    some(1000)
    gc.collect()
    before = resident()
    for _ in range(int(5 * min(STRESS, 20))):
        some(1000)
    gc.collect()
    # Five thousand of a thousand bytes each would show.
    assert resident() - before < 2 * 2**20
    (tmp_path / "now").touch()
    assert (held.result(PATIENCE), also_held.result(PATIENCE)) == (None, None)
    pool.shutdown()


@pytest.mark.stress
@pytest.mark.deadline(600)
def test_a_pool_that_renews_its_workers_leaves_nothing_behind(tmp_path):
    # Of the few KB that a worker has in shared memory, more than a hundred would show.
    count, each = (100_000, 100) if WHOLE else (1500, 8)
    before = Left()
    seen = Counter()
    with oneloom.ProcessPool(2, start_method="fork", max_tasks_per_worker=each) as pool:

        def some(count):
            # In parts, so that what waits takes up the same memory each time, however slow the machine is.
            for begin in range(0, count, 500):
                futures = [pool.submit(tasks.neighbour, number) for number in range(begin, min(begin + 500, count))]
                for number, future in enumerate(futures, begin):
                    result, pid = future.result(PATIENCE)
                    assert result == number
                    seen[pid] += 1

        some(count // 3)
        with both_at_work(pool, tmp_path / "early"):
            meanwhile, half, half_shared = Left(), resident(), shared()
        some(count // 3)
        some(count // 3)
        with both_at_work(pool, tmp_path / "late"):
            check_at_most_as_many(meanwhile)
        assert shared() <= half_shared + 2**16
        assert resident() - half < 2**20
    assert max(seen.values()) <= each and len(seen) >= count // 3 * 3 // each
    del pool, some
    gc.collect()
    wait_until(lambda: not Left().since(before)["children"])


@contextmanager
def both_at_work(pool, folder):
    """Both workers are there: one that is to be renewed is gone until there is something to do."""
    folder.mkdir()
    told, go_on = [folder / "one", folder / "other"], folder / "go on"
    held = [pool.submit(tasks.tell_and_wait, path, go_on) for path in told]
    try:
        wait_until(lambda: all(path.exists() for path in told), PATIENCE)
        yield
    finally:
        go_on.touch()
    for future in held:
        future.result(PATIENCE)


def check_at_most_as_many(earlier):
    """As many children, threads and descriptors as before: others, perhaps."""
    counts = lambda now: (len(now.children), now.threads.total(), now.descriptors.total())
    wait_until(lambda: all(now <= then for now, then in zip(counts(Left()), counts(earlier), strict=True)))


@pytest.mark.stress
def test_an_error_that_is_kept_keeps_no_pool_alive():
    """A future's exception, its traceback included, holds nothing of the pool."""
    before = Left()
    pool = oneloom.ThreadPool(1)
    error = pool.submit(int, "x").exception(PATIENCE)
    assert isinstance(error, ValueError)
    pool.shutdown()
    del pool
    check_nothing_left(before)
    assert sys.getrefcount(error) < 10
