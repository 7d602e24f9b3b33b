"""What every kind of pool promises, run on each of them."""

import asyncio
import concurrent.futures
import pickle
import time

import pytest

import oneloom
from conftest import wait_until
from pool_kinds import make_pool  # noqa: F401 (a fixture)
from pool_tasks import add, fail, fail_until, nap, refuse_to_start, square, until_cancelled


def test_a_task_gives_its_value_or_raises_its_exception(make_pool):
    with make_pool(2) as pool:
        assert isinstance(pool, concurrent.futures.Executor) and isinstance(pool, oneloom.Pool)
        future = pool.submit(add, 2, right=3)
        assert isinstance(future, oneloom.Future)
        assert future.result(timeout=30) == 5
        failed = pool.submit(fail, "so it is")
        with pytest.raises(ValueError, match="so it is"):
            failed.result(timeout=30)
        assert isinstance(failed.exception(), ValueError)


def test_leaving_a_pool_waits_for_what_was_submitted(make_pool):
    with make_pool(2) as pool:
        futures = [pool.submit(square, number) for number in range(50)]
    assert all(future.done() for future in futures)
    assert [future.result() for future in futures] == [number * number for number in range(50)]


def test_a_pool_that_was_shut_down_takes_nothing(make_pool):
    pool = make_pool(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.submit(square, 1)
    pool.shutdown()


def test_shutdown_cancels_what_has_not_begun(make_pool, gate):
    pool = make_pool(1)
    first = pool.submit(gate.wait)
    wait_until(first.running)
    futures = [pool.submit(square, number) for number in range(20)]
    pool.shutdown(wait=False, cancel_futures=True)
    gate.set()
    pool.shutdown()
    assert first.result() is True
    # A worker may have one at hand already.
    assert all(future.cancelled() for future in futures[2:])


def test_the_standard_functions_take_the_futures(make_pool):
    with make_pool(2) as pool:
        futures = [pool.submit(square, number) for number in range(10)]
        done, left = concurrent.futures.wait(futures, timeout=30)
        assert (done, left) == (set(futures), set())
        more = [pool.submit(square, number) for number in range(10)]
        results = sorted(future.result() for future in concurrent.futures.as_completed(more, timeout=30))
        assert results == [number * number for number in range(10)]


def test_callbacks_are_called_with_the_future(make_pool):
    seen = []
    with make_pool(2) as pool:
        for number in range(10):
            pool.submit(square, number).add_done_callback(lambda future: seen.append(future.result()))
    wait_until(lambda: len(seen) == 10)
    assert sorted(seen) == [number * number for number in range(10)]


def test_a_coroutine_awaits_tasks(make_pool):
    async def main():
        async with make_pool(2) as pool:
            results = await asyncio.gather(*(pool.submit(square, number) for number in range(20)))
            in_executor = await asyncio.get_running_loop().run_in_executor(pool, add, 1, 2)
            with pytest.raises(ValueError, match="bad"):
                await pool.submit(fail, "bad")
        return results, in_executor

    assert oneloom.run(main()) == ([number * number for number in range(20)], 3)


def test_a_task_that_fails_is_tried_again(make_pool, tmp_path):
    with make_pool(2, retries=2) as pool:
        assert pool.submit(fail_until, str(tmp_path / "pool"), 2).result(timeout=30) == 3
        with pytest.raises(ValueError, match="try 3"):
            pool.submit(fail_until, str(tmp_path / "often"), 5).result(timeout=30)
        once = pool.options(retries=0)
        with pytest.raises(ValueError, match="try 1"):
            once.submit(fail_until, str(tmp_path / "once"), 1).result(timeout=30)


def test_a_task_that_takes_too_long_fails_in_time_and_its_neighbours_do_not(make_pool):
    with make_pool(2) as pool:
        pool.submit(square, 1).result(timeout=30)
        neighbour = pool.submit(nap, 0.8, "unharmed")
        wait_until(neighbour.running)
        began = time.monotonic()
        late = pool.options(timeout=0.3).submit(nap, 60)
        with pytest.raises(TimeoutError):
            late.result(timeout=30)
        assert time.monotonic() - began < 1.5
        assert neighbour.result(timeout=30) == "unharmed"


def test_the_time_in_which_a_task_waits_for_its_turn_does_not_count(make_pool):
    with make_pool(1) as pool:
        before = pool.submit(nap, 0.6)
        assert pool.options(timeout=0.4).submit(square, 3).result(timeout=30) == 9
        assert before.done()


def test_cancelling_takes_out_a_task_that_has_not_begun(make_pool, gate):
    with make_pool(1) as pool:
        running = pool.submit(gate.wait)
        wait_until(running.running)
        waiting = [pool.submit(square, number) for number in range(5)]
        assert waiting[-1].cancel() and waiting[-1].cancelled()
        assert not running.cancel()
        gate.set()
        assert [future.result(timeout=30) for future in waiting[:-1]] == [0, 1, 4, 9]


def test_cancelling_a_running_task_ends_it_for_those_who_wait(make_pool):
    with make_pool(1) as pool:
        future = pool.submit(nap, 60)
        wait_until(future.running)
        assert future.cancel(running=True)
        with pytest.raises(concurrent.futures.CancelledError):
            future.result(timeout=30)
        assert pool.submit(square, 3).result(timeout=30) == 9


def test_an_initializer_that_fails_fails_all_tasks_with_its_exception_as_the_cause(make_pool):
    pool = make_pool(2, initializer=refuse_to_start, initargs=("no key",))
    futures = [pool.submit(square, number) for number in range(5)]
    for future in futures:
        with pytest.raises(oneloom.InitializerError) as caught:
            future.result(timeout=30)
        assert isinstance(caught.value.__cause__, LookupError)
    with pytest.raises(oneloom.InitializerError):
        pool.submit(square, 1).result(timeout=30)


def test_workers_are_replaced_after_their_tasks(make_pool):
    with make_pool(2, max_tasks_per_worker=3) as pool:
        assert [future.result(timeout=30) for future in [pool.submit(square, n) for n in range(30)]] == [n * n for n in range(30)]


def test_terminating_ends_what_runs_for_those_who_wait(make_pool):
    pool = make_pool(1)
    running = pool.submit(nap, 60)
    wait_until(running.running)
    waiting = pool.submit(square, 1)
    pool.terminate()
    for future in (running, waiting):
        with pytest.raises(BaseException):
            future.result(timeout=30)
    with pytest.raises(RuntimeError):
        pool.submit(square, 1)


def test_leaving_by_ctrl_c_terminates(make_pool):
    with pytest.raises(KeyboardInterrupt):
        with make_pool(1) as pool:
            running = pool.submit(nap, 60)
            wait_until(running.running)
            waiting = [pool.submit(nap, 60) for _ in range(5)]
            raise KeyboardInterrupt
    wait_until(lambda: all(future.done() for future in [running, *waiting]))


def test_a_coroutine_that_is_cancelled_ends_its_pool(make_pool):
    async def main():
        async with make_pool(1) as pool:
            futures.extend(pool.submit(until_cancelled) for _ in range(2))
            asyncio.current_task().cancel()
            await asyncio.sleep(600)

    futures = []
    with pytest.raises(asyncio.CancelledError):
        oneloom.run(main())
    assert all(future.cancelled() for future in futures)


@pytest.mark.parametrize(
    "arguments",
    [
        {"workers": 0},
        {"workers": -1},
        {"workers": 2**64},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"retries": -1},
        {"retries": 2**32},
        {"max_tasks_per_worker": 0},
        {"max_tasks_per_worker": 2**64},
    ],
)
def test_what_makes_no_sense_is_refused_by_name(make_pool, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        make_pool(**{"workers": 1, **arguments})
    if not {"timeout", "retries"}.isdisjoint(arguments):
        with make_pool(1) as pool, pytest.raises(ValueError, match=next(iter(arguments))):
            pool.options(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": 5},
        {"workers": "x"},
        {"workers": 1.5},
        {"timeout": "1"},
        {"retries": None},
        {"retries": 1.0},
        {"max_tasks_per_worker": "x"},
        {"max_tasks_per_worker": 1.5},
        {"initializer": "print"},
        {"initializer": print, "initargs": 5},
    ],
)
def test_what_is_of_the_wrong_kind_is_refused_by_name(make_pool, arguments):
    with pytest.raises(TypeError, match=list(arguments)[-1]):
        make_pool(**{"workers": 1, **arguments})


def test_workers_that_there_may_be_cost_nothing(make_pool):
    with make_pool(10**9) as pool:
        assert pool.submit(square, 3).result(30) == 9


def test_counts_may_be_integers_of_any_make(make_pool):
    class Two:
        def __index__(self):
            return 2

    with make_pool(Two(), retries=Two(), max_tasks_per_worker=Two()) as pool:
        assert list(pool.map(square, range(5), chunksize=Two())) == [0, 1, 4, 9, 16]


def test_who_can_not_be_readied_is_told_of_alike(make_pool):
    with make_pool(1, initializer=divmod, initargs=(1, 0)) as pool:
        error = pool.submit(square, 1).exception()
    assert isinstance(error, oneloom.InitializerError) and isinstance(error.__cause__, ZeroDivisionError)
    assert str(error) == "no worker could be made ready: the pool's initializer raised ZeroDivisionError"


def test_a_pool_stays_in_its_process_and_says_so(make_pool):
    with make_pool(1) as pool:
        for each in pool, pool.options(retries=1):
            with pytest.raises(TypeError, match="can't go to another process"):
                pickle.dumps(each)


def test_a_pool_tells_of_itself(make_pool):
    with make_pool(2, name="squares") as pool:
        assert pool.name == "squares" and pool.workers == 2
        assert "'squares'" in repr(pool)
        assert "'squares'" in repr(pool.options(retries=1))
        with pytest.raises(ValueError, match="chunksize"):
            pool.map(square, [1], chunksize=0)
        with pytest.raises(ValueError, match="chunksize"):
            pool.map(square, [1], chunksize=2**64)
        with pytest.raises(TypeError, match="chunksize"):
            pool.map(square, [1], chunksize="a")
        with pytest.raises(TypeError, match="nonsense"):
            pool.options(nonsense=1)
    assert "shut down" in repr(pool)
