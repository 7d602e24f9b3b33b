"""The crash matrix of process pools: wherever a worker dies and however, exactly the task that it ran fails, and nothing hangs."""

import contextlib
import os
import random
import signal
import threading
import time
from concurrent.futures import CancelledError

import crash_tasks as tasks
import pytest
from crash_pools import METHODS, PATIENCE, WAYS, WHOLE, Neighbours, check_death, make  # noqa: F401 (a fixture)

import oneloom
from conftest import STRESS, has_ended, program, wait_until

PLACES = {
    "unpickling the arguments": lambda how: (tasks.with_argument, tasks.DiesWhenRead(how)),
    "running": lambda how: (tasks.die, how),
    "pickling the result": lambda how: (tasks.with_result, how),
}


@pytest.mark.stress
def test_a_death_costs_the_one_task_that_was_run(make):
    pool = make()
    for place, task in PLACES.items():
        for how in WAYS:
            neighbours = Neighbours(make, pool)
            neighbours.submit(2 * make.workers)
            doomed = [pool.submit(*task(how)) for _ in range(2 if WHOLE else 1)]
            neighbours.submit(2 * make.workers)
            for future in doomed:
                check_death(future, how)
            neighbours.check()
            print("died over", place, how)


@pytest.mark.stress
def test_all_workers_may_die_at_once(make):
    pool = make()
    neighbours = Neighbours(make, pool)
    doomed = []
    for number in range(3 * make.workers):
        doomed.append((pool.submit(tasks.die, WAYS[number % 3]), WAYS[number % 3]))
        neighbours.submit(1)
    for future, how in doomed:
        check_death(future, how)
    neighbours.check()


@pytest.mark.stress
def test_a_task_that_kills_every_worker_it_gets_is_given_up_after_its_retries(make, tmp_path):
    pool = make()
    neighbours = Neighbours(make, pool)
    neighbours.submit(5)
    doomed = pool.options(retries=2).submit(tasks.count_and, tmp_path / "begun", "SIGKILL")
    neighbours.submit(5)
    check_death(doomed, "SIGKILL")
    assert (tmp_path / "begun").read_bytes() == b"xxx"
    neighbours.check()


@pytest.mark.stress
@pytest.mark.parametrize("how", WAYS[:3])
def test_a_first_worker_that_dies_over_its_initializer_costs_no_task(make, tmp_path, how):
    pool = make(initializer=tasks.die_at_first, initargs=(tmp_path / "died", how))
    neighbours = Neighbours(make, pool)
    neighbours.submit(5)
    neighbours.check()
    assert (tmp_path / "died").exists()


@pytest.mark.stress
@pytest.mark.parametrize("how", WAYS)
def test_workers_that_all_die_over_their_initializer_fail_every_task(make, how):
    pool = make(initializer=tasks.die, initargs=(how,))
    doomed = [pool.submit(tasks.neighbour, number) for number in range(5)]
    for future in doomed:
        error = future.exception(PATIENCE)
        if how == "memory":
            assert isinstance(error, oneloom.InitializerError) and isinstance(error.__cause__, MemoryError), repr(error)
        else:
            assert "before it was ready" in str(error), error
            check_death(future, how)


@pytest.mark.stress
@pytest.mark.parametrize("how", WAYS)
def test_a_death_that_a_callback_brings_about_and_waits_for_costs_its_task_alone(make, tmp_path, how):
    pool = make()
    called = threading.Event()

    def let_die(_future):
        # Where there is but one worker, the other task begins only now: a callback keeps no task waiting.
        wait_until((tmp_path / "told").exists, PATIENCE)
        (tmp_path / "now").touch()
        wait_until(second.done, PATIENCE)
        called.set()
        raise RuntimeError("a callback that fails")

    neighbours = Neighbours(make, pool)
    first = pool.submit(tasks.wait_for, tmp_path / "begin")
    first.add_done_callback(let_die)
    second = pool.submit(tasks.wait_and_die, tmp_path / "now", tmp_path / "told", how)
    neighbours.submit(10)
    (tmp_path / "begin").touch()
    assert first.result(PATIENCE) is None
    check_death(second, how)
    assert called.wait(PATIENCE)
    neighbours.check()


@pytest.mark.stress
def test_a_callback_may_terminate_the_pool(make):
    pool = make()
    ended = threading.Event()

    def end(_future):
        pool.terminate()
        ended.set()

    first = pool.submit(tasks.die, "SIGKILL")
    first.add_done_callback(end)
    rest = [pool.submit(tasks.pause, 0.001) for _ in range(50)]
    check_death(first, "SIGKILL")
    assert ended.wait(PATIENCE)
    for future in rest:
        with contextlib.suppress(CancelledError):
            assert future.result(PATIENCE) == 0.001


@pytest.mark.stress
@pytest.mark.parametrize("how", WAYS[:3])
def test_who_dies_idle_takes_no_task_along(make, tmp_path, how):
    pool = make()
    neighbours = Neighbours(make, pool)
    neighbours.submit(20 * make.workers)
    dying = [pool.submit(tasks.die_later, tmp_path / "now", how) for _ in range(make.workers)]
    idle = {future.result(PATIENCE) for future in dying}
    neighbours.check()
    (tmp_path / "now").touch()
    wait_until(lambda: all(has_ended(pid) for pid in idle))
    neighbours.submit(20 * make.workers)
    neighbours.check()


@pytest.mark.stress
@pytest.mark.parametrize("how", WAYS)
def test_a_death_during_shutdown_costs_its_task_and_no_other(make, tmp_path, how):
    pool = make()
    neighbours = Neighbours(make, pool)
    doomed = pool.submit(tasks.wait_and_die, tmp_path / "now", tmp_path / "told", how)
    wait_until((tmp_path / "told").exists, PATIENCE)
    neighbours.submit(3 * make.workers)
    end = threading.Thread(target=pool.shutdown)
    end.start()
    with pytest.raises(RuntimeError):
        wait_until(lambda: pool.submit(tasks.nothing) and None, PATIENCE)
    (tmp_path / "now").touch()
    end.join(PATIENCE)
    assert not end.is_alive(), "the shutdown hangs"
    check_death(doomed, how)
    neighbours.check()


@pytest.mark.stress
def test_a_storm_of_kills_costs_only_what_was_run(make, seed):
    """Somebody kills workers at random instants: each task gives its result or dies, and no more die than were killed."""
    rng = random.Random(seed)
    pool = make()
    count = int((1000 if make.workers > 1 else 300) * min(STRESS, 20))
    loads = [bytes([number % 256]) * rng.choice([0, 100, 5000, 100_000]) for number in range(count)]
    futures = [pool.submit(tasks.echo, number, load, rng.uniform(0, 0.001)) for number, load in enumerate(loads)]
    killed = 0
    while not futures[-1].done():
        time.sleep(rng.uniform(0.001, 0.02))
        known = {future.result()[2] for future in rng.sample(futures, 20) if future.done() and not future.exception()}
        for pid in known:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
    died = 0
    for number, future in enumerate(futures):
        error = future.exception(PATIENCE)
        if error is None:
            assert future.result()[:2] == (number, loads[number])
            make.seen.add(future.result()[2])
        else:
            check_death(future, "SIGKILL")
            died += 1
    print(f"{killed} killed, {died} tasks died")
    assert died <= killed
    neighbours = Neighbours(make, pool)
    neighbours.submit(10)
    neighbours.check()


@pytest.mark.stress
def test_every_task_is_run_as_often_as_it_is_to_be_and_no_more(make, tmp_path, seed):
    """Tasks of every fate among each other, tried again or not; some are cancelled while they wait or run."""
    rng = random.Random(seed)
    pool = make(max_tasks_per_worker=rng.choice([None, 1, 7]))
    tried = []
    # One worker that is spawned anew for each death takes its time.
    for number in range(int((40 if make.workers > 1 else 12) * min(STRESS, 20))):
        end = rng.choice(["well"] * 6 + ["error", "error", "never", "SIGKILL", "exit"])
        retries, counter = rng.choice([0, 0, 1, 2]), tmp_path / str(number)
        counter.touch()
        options = pool.options(retries=retries, timeout=0.1 if end == "never" else None)
        tried.append((options.submit(tasks.count_and, counter, end), end, retries, counter))
    for future, *_ in rng.sample(tried, len(tried) // 8):
        time.sleep(rng.uniform(0, 0.01))
        future.cancel(running=rng.random() < 0.5)
    for future, end, retries, counter in tried:
        wanted = retries + 1
        fewest = wanted
        try:
            assert future.result(PATIENCE) == counter and end == "well"
            wanted = fewest = 1
        except LookupError:
            assert end == "error"
        except oneloom.WorkerDied:
            check_death(future, end)
        except TimeoutError:
            # A worker that was given it may have been too late to begin.
            assert end == "never"
            fewest = 0
        except CancelledError:
            fewest = 0
        assert fewest <= len(counter.read_bytes()) <= wanted, (end, retries)


@pytest.mark.stress
@pytest.mark.parametrize("method", METHODS)
def test_the_death_of_the_owner_ends_its_workers(method, tmp_path):
    code = """
    import sys, time
    sys.path.insert(0, sys.argv[3])
    import crash_tasks as tasks
    import oneloom
    if __name__ == "__main__":
        pool = oneloom.ProcessPool(2, start_method=sys.argv[1])
        stays = [pool.submit(tasks.tell_and_stay, f"{sys.argv[2]}/{number}") for number in range(2)]
        time.sleep(600)
    """
    with program(code, method, tmp_path, os.path.dirname(__file__)) as owner:
        told = [tmp_path / "0", tmp_path / "1"]
        wait_until(lambda: all(path.exists() for path in told) or owner.poll() is not None, PATIENCE)
        assert owner.poll() is None, owner.communicate()
        pids = [int(path.read_text().split()[0]) for path in told]
        owner.kill()
        wait_until(lambda: all(has_ended(pid) for pid in pids), message="workers outlive their owner")
