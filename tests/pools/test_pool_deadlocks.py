"""Tasks that wait for tasks of a full pool: who is told that none is left to run them, and who is not."""

import asyncio
import concurrent.futures
import contextlib
import io
import random
import time

import pytest

import oneloom
from conftest import STRESS, wait_until
from oneloom.concurrent import futures as futures_dropin
from pool_tasks import square

FIRST = concurrent.futures.FIRST_COMPLETED

# How a task can wait for two futures, or for what a pool makes of two numbers.
WAITS = {
    "result": lambda futures: [future.result() for future in futures],
    "exception": lambda futures: futures[0].exception(),
    "wait": oneloom.wait,
    "wait for the first": lambda futures: oneloom.wait(futures, return_when=FIRST),
    "wait for an exception": lambda futures: oneloom.wait(futures, return_when="FIRST_EXCEPTION"),
    "as_completed": lambda futures: list(oneloom.as_completed(futures)),
    "gather": lambda futures: oneloom.gather(*futures).result(),
    "gather exceptions": lambda futures: oneloom.gather(*futures, return_exceptions=True).result(),
}
MAPS = {
    "map": lambda pool: list(pool.map(square, [1, 2])),
    "map in chunks": lambda pool: list(pool.map(square, [1, 2], chunksize=2)),
    "map as they come": lambda pool: list(pool.map(square, [1, 2], ordered=False)),
    "starmap": lambda pool: list(pool.starmap(pow, [(1, 2), (2, 2)])),
    "imap": lambda pool: list(pool.imap(square, [1, 2])),
    "imap_unordered": lambda pool: list(pool.imap_unordered(square, [1, 2])),
    "executor": lambda pool: list(concurrent.futures.Executor.map(pool, square, [1, 2])),
}
NESTED = {name: lambda pool, wait=wait: wait([pool.submit(square, 1), pool.submit(square, 2)]) for name, wait in WAITS.items()} | MAPS


@pytest.fixture(params=NESTED.values(), ids=NESTED)
def nests(request):
    """Submit something to a pool and wait for it, in each way there is."""
    return request.param


@pytest.fixture(params=WAITS.values(), ids=WAITS)
def waits(request):
    """Wait for futures, in each way there is."""
    return request.param


def nested(pool, depth):
    return pool.submit(nested, pool, depth - 1).result() if depth else "bottom"


def test_waiting_for_a_task_behind_oneself_is_a_deadlock():
    with oneloom.ThreadPool(1, name="narrow") as pool:
        future = pool.submit(nested, pool, 1)
        with pytest.raises(oneloom.DeadlockError) as caught:
            future.result(timeout=30)
    text = str(caught.value)
    assert "thread 'narrow_0' waits for future" in text and "no worker of its pool is free" in text
    assert "in nested" in text and "another of its own pool" in text


def test_nested_waits_that_find_a_worker_are_none():
    with oneloom.ThreadPool(4) as pool:
        assert pool.submit(nested, pool, 3).result(timeout=30) == "bottom"


def test_of_a_full_pool_one_task_at_a_time_gives_way():
    with oneloom.ThreadPool(3) as pool:
        meet = oneloom.Barrier(3)

        def outer(number):
            meet.wait(30)
            return pool.submit(square, number).result()

        futures = [pool.submit(outer, number) for number in range(3)]
        errors = [future.exception(timeout=30) for future in futures]
    assert [type(error) for error in errors if error is not None] == [oneloom.DeadlockError]


@pytest.mark.stress
def test_tasks_that_wait_for_tasks_are_told_only_where_none_is_left_to_run_them(seed):
    chance = random.Random(seed)
    rounds = int(150 * STRESS)
    for _ in range(rounds):
        workers, outer = chance.randint(1, 4), chance.randint(1, 8)
        pauses = [chance.choice([0, 0, 0.0005]) for _ in range(outer)]

        def task(number, pool, pause):
            time.sleep(pause)
            return pool.submit(square, number).result()

        with oneloom.ThreadPool(workers) as pool:
            futures = [pool.submit(task, number, pool, pause) for number, pause in enumerate(pauses)]
            for number, future in enumerate(futures):
                try:
                    assert future.result(timeout=30) == number * number
                except oneloom.DeadlockError:
                    assert outer >= workers, "a worker was free all the time"


def test_a_lock_between_two_tasks_takes_part():
    lock = oneloom.Lock(name="ledger")
    with oneloom.ThreadPool(2) as pool:

        def holds():
            with lock:
                wait_until(lambda: lock.statistics().waiting)
                return pool.submit(square, 1).result()

        def wants():
            with lock:
                return "had it"

        first = pool.submit(holds)
        wait_until(lock.locked)
        second = pool.submit(wants)
        with pytest.raises(oneloom.DeadlockError, match="'ledger', held by thread"):
            first.result(timeout=30)
        assert second.result(timeout=30) == "had it"


def test_whoever_waits_from_outside_is_no_victim():
    with oneloom.ThreadPool(1) as pool:
        inner = []

        def outer():
            inner.append(pool.submit(square, 3))
            return inner[0].result()

        future = pool.submit(outer)
        wait_until(lambda: inner)
        assert inner[0].result() == 9
        assert isinstance(future.exception(), oneloom.DeadlockError)


def test_a_wait_with_a_time_limit_is_never_a_deadlock():
    with oneloom.ThreadPool(1) as pool:

        def outer():
            future = pool.submit(square, 3)
            try:
                return future.result(timeout=0.2)
            except TimeoutError:
                return future

        assert pool.submit(outer).result().result() == 9


def test_a_task_that_waits_for_its_own_full_pool_in_any_way_is_told(nests):
    with oneloom.ThreadPool(1, name="narrow") as pool:
        future = pool.submit(nests, pool)
        with pytest.raises(oneloom.DeadlockError) as caught:
            # With a time limit: so the process never stands still, and what is told is certain by itself.
            future.result(timeout=30)
        assert pool.submit(square, 3).result(timeout=30) == 9
    text = str(caught.value)
    assert "thread 'narrow_0' waits for " in text and "another of its own pool" in text


def test_of_a_pool_full_of_tasks_that_wait_in_any_way_one_gives_way_and_all_are_named(nests):
    with oneloom.ThreadPool(3, name="full") as pool:
        meet = oneloom.Barrier(3)

        def outer():
            meet.wait(30)
            return nests(pool)

        futures = [pool.submit(outer) for _ in range(3)]
        errors = [error for future in futures if (error := future.exception(timeout=30)) is not None]
    assert [type(error) for error in errors] == [oneloom.DeadlockError]
    for number in range(3):
        assert f"thread 'full_{number}' waits for " in str(errors[0])


def test_two_pools_that_wait_for_each_other_are_told(waits):
    with oneloom.ThreadPool(1, name="one") as one, oneloom.ThreadPool(1, name="other") as other:
        meet = oneloom.Barrier(2)

        def outer(theirs):
            meet.wait(30)
            return waits([theirs.submit(square, 1), theirs.submit(square, 2)])

        futures = [one.submit(outer, other), other.submit(outer, one)]
        errors = [error for future in futures if (error := future.exception(timeout=30)) is not None]
    assert [type(error) for error in errors] == [oneloom.DeadlockError]
    assert "thread 'one_0' waits" in str(errors[0]) and "thread 'other_0' waits" in str(errors[0])


def is_waiting(name):
    shown = io.StringIO()
    oneloom.dump(file=shown)
    return f"thread {name!r} waits for " in shown.getvalue()


def test_where_one_of_two_will_come_only_who_needs_both_is_told(waits):
    with oneloom.ThreadPool(1, name="own") as pool, oneloom.ThreadPool(1) as other:
        go = oneloom.Event()
        future = pool.submit(lambda: waits([other.submit(go.wait, 30), pool.submit(square, 2)]))
        wait_until(lambda: is_waiting("own_0") or future.done())
        go.set()
        error = future.exception(timeout=30)
    needs_one = waits in (WAITS["exception"], WAITS["wait for the first"])
    assert type(error) is (type(None) if needs_one else oneloom.DeadlockError), error


@pytest.mark.parametrize("kind", ["own future", "standard future", "task of another pool", "thread"])
def test_the_first_end_of_several_may_come_from_outside(kind):
    go = oneloom.Event()
    with oneloom.ThreadPool(1, name="own") as pool, oneloom.ThreadPool(1) as other:
        match kind:
            case "own future":
                comes = oneloom.Future()
            case "standard future":
                comes = concurrent.futures.Future()
            case "task of another pool":
                comes = other.submit(go.wait, 30)
            case "thread":
                comes = oneloom.Thread(target=go.wait, args=(30,))
                comes.start()
        future = pool.submit(lambda: oneloom.wait([comes, pool.submit(square, 2)], return_when=FIRST))
        wait_until(lambda: is_waiting("own_0"))
        go.set()
        if "future" in kind:
            comes.set_result(None)
        assert future.result(timeout=30).done == {comes}


def test_threads_that_wait_for_the_first_end_of_each_other_are_told():
    def work(number):
        meet.wait(30)
        try:
            oneloom.wait([threads[number - 1], threads[number - 2]], return_when=FIRST)
        except oneloom.DeadlockError:
            return "told"

    meet = oneloom.Barrier(3)
    threads = [oneloom.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    assert [told for thread in threads if (told := thread.result(timeout=30))] == ["told"]


def test_a_time_limit_anywhere_is_a_way_out(nests):
    with oneloom.ThreadPool(2) as pool:
        meet = oneloom.Barrier(2)

        def patient():
            meet.wait(30)
            future = pool.submit(square, 1)
            with contextlib.suppress(TimeoutError):
                return future.result(timeout=0.1)

        def outer():
            meet.wait(30)
            return nests(pool)

        futures = [pool.submit(patient), pool.submit(outer)]
        assert [future.exception(timeout=30) for future in futures] == [None, None]


def test_a_coroutine_that_awaits_tasks_of_the_pool_that_runs_its_loop_is_never_told():
    async def main(pool):
        futures = [pool.submit(square, number) for number in range(3)]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await oneloom.gather(*futures)
        with pytest.raises(TimeoutError):
            async for _ in oneloom.as_completed(futures, timeout=0.05):
                pass

    with oneloom.ThreadPool(1) as pool:
        assert pool.submit(asyncio.run, main(pool)).exception(timeout=30) is None


def test_a_task_that_is_handed_over_to_the_standard_algorithm_may_be_begun_by_a_new_thread(waits):
    with futures_dropin.ThreadPoolExecutor(1, thread_name_prefix="std") as executor:
        go = oneloom.Event()
        inner = []

        def outer():
            go.wait(30)
            return waits(inner)

        future = executor.submit(outer)
        inner += [executor.submit(square, 1), executor.submit(square, 2)]
        executor._max_workers = 2
        go.set()
        wait_until(lambda: is_waiting("std_0") or future.done())
        executor.submit(square, 3)
        assert future.exception(timeout=30) is None
