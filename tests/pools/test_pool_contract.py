"""What every kind of pool promises, run on each of them."""

import asyncio
import concurrent.futures
import itertools
import pickle
import time

import pytest

import oneloom
from conftest import wait_until
from pool_kinds import make_pool  # noqa: F401 (a fixture)
from pool_tasks import add, fail, fail_at, fail_until, nap, raise_stop, refuse_to_start, square, until_cancelled


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


def test_shutdown_cancels_what_has_not_begun(make_pool):
    pool = make_pool(1)
    first = pool.submit(nap, 0.2, "slept")
    wait_until(first.running)
    futures = [pool.submit(square, number) for number in range(20)]
    pool.shutdown(cancel_futures=True)
    assert first.result() == "slept"
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


def test_an_item_of_a_map_is_tried_again(make_pool, tmp_path):
    with make_pool(2, retries=2) as pool:
        paths = [str(tmp_path / name) for name in "abc"]
        assert list(pool.map(fail_until, paths, [0, 1, 2])) == [1, 2, 3]


def test_what_can_not_be_sent_any_more_is_told_after_what_was_sent(make_pool):
    with make_pool(1) as pool:
        results = pool.map(square, (number for number in itertools.count()), chunksize=1)
        assert next(results) == 0
    seen = 1
    with pytest.raises(RuntimeError, match="after shutdown"):
        for number, result in enumerate(results, 1):
            assert result == number * number
            seen += 1
    assert seen > 1
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.map(square, [1])


def test_a_task_that_takes_too_long_fails_in_time_and_its_neighbours_do_not(make_pool):
    with make_pool(2) as pool:
        pool.submit(square, 1).result(timeout=30)
        neighbour = pool.submit(nap, 0.8, "unharmed")
        wait_until(neighbour.running)
        began = time.monotonic()
        late = pool.options(timeout=0.3).submit(nap, 2)
        with pytest.raises(TimeoutError):
            late.result(timeout=30)
        assert time.monotonic() - began < 1.5
        assert neighbour.result(timeout=30) == "unharmed"


def test_cancelling_takes_out_a_task_that_has_not_begun(make_pool):
    with make_pool(1) as pool:
        running = pool.submit(nap, 0.3)
        wait_until(running.running)
        waiting = [pool.submit(square, number) for number in range(5)]
        assert waiting[-1].cancel() and waiting[-1].cancelled()
        assert not running.cancel()
        assert [future.result(timeout=30) for future in waiting[:-1]] == [0, 1, 4, 9]


def test_cancelling_a_running_task_ends_it_for_those_who_wait(make_pool):
    with make_pool(1) as pool:
        future = pool.submit(nap, 0.5)
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
    running = pool.submit(nap, 0.5)
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
            running = pool.submit(nap, 0.3)
            wait_until(running.running)
            waiting = [pool.submit(nap, 10) for _ in range(5)]
            raise KeyboardInterrupt
    wait_until(lambda: all(future.done() for future in [running, *waiting]))


@pytest.mark.parametrize("chunksize", [None, 1, 7])
def test_map_keeps_the_order(make_pool, chunksize):
    with make_pool(2) as pool:
        assert list(pool.map(square, range(100), chunksize=chunksize)) == [number * number for number in range(100)]
        assert list(pool.map(add, range(50), range(50, 100), chunksize=chunksize)) == [n + n + 50 for n in range(50)]
        assert list(pool.starmap(add, [(1, 2), (3,)], chunksize=chunksize)) == [3, 3]
        assert list(pool.map(square, [])) == []


@pytest.mark.parametrize("chunksize", [None, 1, 7])
def test_without_order_every_result_comes_once(make_pool, chunksize):
    with make_pool(2) as pool:
        assert sorted(pool.imap_unordered(square, range(100), chunksize=chunksize)) == [n * n for n in range(100)]
        assert sorted(pool.map(square, range(100), chunksize=chunksize, ordered=False)) == [n * n for n in range(100)]


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("chunksize", [None, 1, 4])
def test_one_item_that_fails_is_one_error_and_the_others_come(make_pool, chunksize, ordered):
    with make_pool(2) as pool:
        results = pool.map(fail_at, itertools.repeat(13), range(30), chunksize=chunksize, ordered=ordered)
        values, errors = [], []
        while True:
            try:
                values.append(next(results))
            except StopIteration:
                break
            except ValueError as error:
                errors.append(error.args)
        assert sorted(values) == [number for number in range(30) if number != 13]
        assert errors == [(13,)]


def test_an_item_that_raises_stop_iteration_does_not_end_the_loop_silently(make_pool):
    with make_pool(1) as pool:
        with pytest.raises(RuntimeError, match="StopIteration"):
            list(pool.map(raise_stop, range(3), chunksize=3))


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize(("pause", "most"), [(0.0, 5000), (0.01, 40)])
def test_map_takes_from_an_endless_iterable_only_what_keeps_the_workers_busy(make_pool, ordered, pause, most):
    taken = itertools.count()
    items = (next(taken) for _ in itertools.repeat(None))
    with make_pool(2) as pool:
        results = pool.map(nap, itertools.repeat(pause), items, ordered=ordered, chunksize=1)
        first = [next(results) for _ in range(10)]
        if ordered:
            assert first == list(range(10))
        assert next(taken) < most
        results.close()
        assert list(results) == []


@pytest.mark.parametrize("chunksize", [None, 1, 3, 10])
def test_the_exception_of_the_iterable_comes_after_its_items(make_pool, chunksize):
    def items():
        yield from range(5)
        raise LookupError("no more")

    with make_pool(2) as pool:
        results = pool.map(square, items(), chunksize=chunksize)
        assert list(itertools.islice(results, 5)) == [0, 1, 4, 9, 16]
        with pytest.raises(LookupError, match="no more"):
            next(results)
        assert list(results) == []


def test_a_coroutine_iterates_over_a_map(make_pool):
    async def main():
        async with make_pool(2) as pool:
            ordered = [result async for result in pool.map(square, range(100))]
            unordered = [result async for result in pool.imap_unordered(square, range(100))]
        return ordered, sorted(unordered)

    squares = [number * number for number in range(100)]
    assert oneloom.run(main()) == (squares, squares)


def test_a_cancelled_wait_for_a_result_loses_none(make_pool):
    async def main():
        async with make_pool(1) as pool:
            results = pool.map(nap, [0.2, 0.0], ["first", "second"], chunksize=1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await anext(results)
            return [result async for result in results]

    assert oneloom.run(main()) == ["first", "second"]


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


def test_what_has_a_length_is_sent_whole_before_a_pool_ends(make_pool):
    with make_pool(2) as pool:
        results = pool.map(square, range(200), chunksize=1)
    assert list(results) == [number * number for number in range(200)]


def test_a_time_limit_of_a_map_is_each_items_own(make_pool):
    with make_pool(2) as pool:
        results = pool.map(nap, [0.0, 2.0, 0.0], ["a", "b", "c"], timeout=0.3)
        assert next(results) == "a"
        with pytest.raises(TimeoutError):
            next(results)
        assert next(results) == "c"


@pytest.mark.parametrize(
    "arguments",
    [
        {"workers": 0},
        {"workers": -1},
        {"timeout": 0},
        {"timeout": -1},
        {"retries": -1},
        {"max_tasks_per_worker": 0},
    ],
)
def test_what_makes_no_sense_is_refused(make_pool, arguments):
    with pytest.raises(ValueError):
        make_pool(**{"workers": 1, **arguments})


def test_a_pool_stays_in_its_process_and_says_so(make_pool):
    with make_pool(1) as pool:
        for each in pool, pool.options(retries=1):
            with pytest.raises(TypeError, match="can't go to another process"):
                pickle.dumps(each)


@pytest.mark.parametrize("name", ["workers", "max_tasks_per_worker"])
def test_what_is_no_count_is_refused_by_name(make_pool, name):
    for value, error in ("x", TypeError), (1.5, TypeError), (0, ValueError):
        with pytest.raises(error, match=name):
            make_pool(**({"workers": 1} | {name: value}))


def test_a_pool_tells_of_itself(make_pool):
    with make_pool(2, name="squares") as pool:
        assert pool.name == "squares" and pool.workers == 2
        assert "'squares'" in repr(pool)
        assert "'squares'" in repr(pool.options(retries=1))
        with pytest.raises(ValueError, match="chunksize"):
            pool.map(square, [1], chunksize=0)
        with pytest.raises(TypeError, match="chunksize"):
            pool.map(square, [1], chunksize="a")
        with pytest.raises(TypeError):
            pool.options(nonsense=1)
    assert "shut down" in repr(pool)
