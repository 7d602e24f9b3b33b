"""`map` and its kin, on every kind of pool: order, chunks, errors, and how far ahead they take items."""

import asyncio
import itertools

import pytest

import oneloom
from pool_kinds import make_pool  # noqa: F401 (a fixture)
from pool_tasks import add, fail_at, fail_until, kill_at, leave, nap, raise_stop, square, who_works


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
@pytest.mark.parametrize(("pause", "chunksize", "most"), [(0.0, 1, 5000), (0.01, 1, 40), (0.0, None, 50_000), (0.01, None, 40)])
def test_map_takes_from_an_endless_iterable_only_what_keeps_the_workers_busy(make_pool, ordered, pause, chunksize, most):
    taken = itertools.count()
    items = (next(taken) for _ in itertools.repeat(None))
    with make_pool(2) as pool:
        results = pool.map(nap, itertools.repeat(pause), items, ordered=ordered, chunksize=chunksize)
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


def test_what_has_a_length_is_sent_whole_before_a_pool_ends(make_pool):
    with make_pool(2) as pool:
        results = pool.map(square, range(200), chunksize=1)
    assert list(results) == [number * number for number in range(200)]


def test_a_time_limit_of_a_map_is_each_items_own(make_pool):
    with make_pool(2) as pool:
        results = pool.map(nap, [0.0, 60.0, 0.0], ["a", "b", "c"], timeout=0.3)
        assert next(results) == "a"
        with pytest.raises(TimeoutError):
            next(results)
        assert next(results) == "c"


def test_small_tasks_travel_together_and_long_ones_alone(make_pool):
    def tasks_for(count, seconds):
        # A worker is replaced after each task, so that there are as many workers as there were chunks.
        with make_pool(1, max_tasks_per_worker=1) as pool:
            return len(set(pool.map(who_works, itertools.repeat(seconds, count))))

    assert tasks_for(1000, 0) < 200
    assert tasks_for(8, 0.003) == 8


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("chunksize", [None, 1, 4])
def test_a_worker_that_dies_costs_one_item(chunksize, ordered):
    with oneloom.ProcessPool(2, start_method="fork") as pool:
        results = pool.map(kill_at, itertools.repeat(13), range(40), chunksize=chunksize, ordered=ordered)
        values, died = [], 0
        while len(values) + died < 40:
            try:
                values.append(next(results))
            except oneloom.WorkerDied:
                died += 1
        assert (sorted(values), died) == ([number for number in range(40) if number != 13], 1)
        assert not ordered or values == sorted(values)


def test_a_map_that_nobody_asks_is_done_for_its_effects(make_pool, tmp_path):
    with make_pool(1) as pool:
        pool.map(leave, [tmp_path / str(number) for number in range(50)])
    assert len(list(tmp_path.iterdir())) == 50


@pytest.mark.parametrize("give_up", [lambda results: results.close(), lambda results: None], ids=["closed", "dropped"])
def test_a_map_that_is_given_up_does_no_more(make_pool, tmp_path, give_up):
    with make_pool(1) as pool:
        results = pool.map(leave, [tmp_path / str(number) for number in range(5000)], chunksize=1)
        next(results)
        give_up(results)
        del results
    assert len(list(tmp_path.iterdir())) < 1000
