"""Limits of time and memory under load: who is beyond them fails, in time, and nobody else does."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import crash_tasks as tasks
import pytest
from crash_pools import PATIENCE, Neighbours, make  # noqa: F401 (a fixture)

import oneloom
from conftest import STRESS, totals, wait_until
from pool_kinds import KINDS
from pool_tasks import until_cancelled


@pytest.fixture
def memory_group():
    """A folder of the kernel's for processes that may have little memory together; None where none can be made."""
    for root, limit in ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max"):
        group = Path(root, f"oneloom-{os.getpid()}")
        with contextlib.suppress(OSError):
            group.mkdir()
            try:
                (group / limit).write_text(str(tasks.GROUP_MEMORY))
            except OSError:
                group.rmdir()
                raise
            yield group
            wait_until(lambda: not (group / "cgroup.procs").read_text())  # noqa: B023
            group.rmdir()
            return
    yield None


def test_whom_the_kernel_kills_for_lack_of_memory_dies_alone_and_it_is_said(make, memory_group):
    if memory_group is None:
        totals.append("The kernel's kill for lack of memory was not provoked: no group of processes can be made here")
        return
    pool = make()
    neighbours = Neighbours(make, pool)
    neighbours.submit(5)
    doomed = pool.submit(tasks.exhaust, memory_group)
    neighbours.submit(5)
    with pytest.raises(oneloom.WorkerDied, match="SIGKILL .*out of memory") as died:
        doomed.result(PATIENCE)
    assert died.value.exitcode == -signal.SIGKILL
    neighbours.check()


@contextlib.contextmanager
def busy_machine():
    """Something else wants every core."""
    spin = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in spin:
            process.kill()
            process.wait()


def waited_for_a_core():
    """For how many seconds each thread of this process but the main one was ready to run without getting a core, by its number."""
    found = {}
    for thread in {*os.listdir("/proc/self/task")} - {str(os.getpid())}:
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/schedstat") as file:
            found[thread] = int(file.read().split()[1]) / 1e9
    return found


@pytest.mark.stress
@pytest.mark.parametrize("kind", KINDS)
def test_time_limits_are_met_under_load(kind):
    limit, late = 0.3, []
    with busy_machine(), KINDS[kind](2) as pool:
        for _ in range(int(5 * min(STRESS, 10))):
            # One of the workers is idle at least, and gets the next task at once.
            assert pool.submit(tasks.pause, 0).result(PATIENCE) == 0
            before = time.monotonic()
            future = pool.options(timeout=limit).submit(until_cancelled)
            given, ended = time.monotonic(), []
            future.add_done_callback(lambda _, ended=ended: ended.append((time.monotonic(), waited_for_a_core())))
            neighbours = [pool.submit(tasks.pause, 0.01) for _ in range(10)]
            time.sleep(max(0, given + limit - 0.03 - time.monotonic()))
            already = waited_for_a_core()
            with pytest.raises(TimeoutError):
                future.result(PATIENCE)
            assert [neighbour.result(PATIENCE) for neighbour in neighbours] == [0.01] * 10
            wait_until(lambda ended=ended: ended)
            end, waited = ended[0]
            assert end - before >= limit
            # That is the machine's: who is to bring the news was awake in time.
            waited = sum(seconds - already.get(thread, 0) for thread, seconds in waited.items())
            late.append((end - given - limit, waited))
    print("late by, of which somebody waited for a core:", late)
    assert max(seconds - waited for seconds, waited in late) < 0.1, late


@pytest.mark.stress
def test_a_time_limit_never_hits_a_neighbour(make, seed):
    """Tasks that take about as long as they may, among so short ones that workers have several of them at hand."""
    rng = random.Random(seed)
    pool = make()
    limited = pool.options(timeout=0.01)
    neighbours, about_to_end = Neighbours(make, pool), [limited.submit(tasks.pause, 60)]
    for _ in range(int(20 * min(STRESS, 20))):
        about_to_end.append(limited.submit(tasks.pause, rng.uniform(0.009, 0.0105)))
        neighbours.submit(1, 0.01)
        neighbours.submit(50)
    neighbours.check()
    errors = [future.exception(PATIENCE) for future in about_to_end]
    ends = sum(isinstance(error, TimeoutError) for error in errors)
    print(f"{ends} of {len(errors)} were ended")
    assert 1 <= ends == len(errors) - errors.count(None), errors


@pytest.mark.stress
def test_cancelling_what_runs_never_hits_a_neighbour(make, tmp_path, seed):
    rng = random.Random(seed)
    pool = make()
    for number in range(int(10 * min(STRESS, 20))):
        told = tmp_path / str(number)
        neighbours = [pool.submit(tasks.neighbour, place) for place in range(20)]
        future = pool.submit(tasks.tell_and_pause, told, 0.005)
        neighbours += [pool.submit(tasks.neighbour, place) for place in range(20, 40)]
        wait_until(told.exists, PATIENCE)
        time.sleep(rng.uniform(0, 0.006))
        if future.cancel(running=True):
            assert future.cancelled()
        else:
            assert future.result(PATIENCE) is None
        assert [neighbour.result(PATIENCE)[0] for neighbour in neighbours] == list(range(40))
