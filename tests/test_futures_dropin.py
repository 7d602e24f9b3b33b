"""What the executors of `oneloom.concurrent.futures` add to the standard library's, and what must hold beneath.

That they behave as those is shown by CPython's own tests (test_cpython.py), and by programs that run on both
(runner/executors.py, runner/thread_executors.py).
"""

import asyncio
import concurrent.futures as standard
import gc
import os
import random
import threading
import weakref

import pytest

import oneloom
from conftest import STRESS, run_program, wait_until
from oneloom.concurrent import futures


@pytest.fixture
def executor():
    with futures.ThreadPoolExecutor(2) as made:
        yield made


def test_executors_and_futures_are_the_standard_librarys_too(executor):
    assert isinstance(executor, standard.ThreadPoolExecutor)
    assert issubclass(futures.ProcessPoolExecutor, standard.ProcessPoolExecutor)
    future = executor.submit(int)
    assert isinstance(future, standard.Future) and isinstance(future, oneloom.Future) and type(future) is futures.Future
    assert standard.wait([future]).done == {future}
    assert list(standard.as_completed([future])) == [future]


def test_a_future_is_awaited_on_any_loop(executor):
    go_on = threading.Event()
    future = executor.submit(lambda: go_on.wait(10) and "done")

    async def wait_for_it():
        if not go_on.is_set():
            asyncio.get_running_loop().call_later(0, go_on.set)
        return await future

    assert [asyncio.run(wait_for_it()) for _ in range(2)] == ["done", "done"]


def test_loops_take_it_as_their_own_executor():
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(futures.ThreadPoolExecutor(1, "default"))
        named = await asyncio.to_thread(lambda: threading.current_thread().name)
        with futures.ThreadPoolExecutor(1, "own") as executor:
            return named, await loop.run_in_executor(executor, lambda: threading.current_thread().name)

    assert asyncio.run(main()) == ("default_0", "own_0")


def test_tasks_that_wait_for_tasks_behind_them_are_told_of_the_deadlock():
    with futures.ThreadPoolExecutor(1) as executor:
        with pytest.raises(oneloom.DeadlockError):
            executor.submit(lambda: executor.submit(int).result()).result()


def test_who_waits_for_a_future_gets_that_one_although_the_executor_was_handed_over():
    go_on = threading.Event()
    with futures.ThreadPoolExecutor(1) as executor:
        first = executor.submit(go_on.wait, 10)
        behind = [executor.submit(pow, 2, n) for n in range(4)]
        told = []
        behind[0].add_done_callback(told.append)
        waiting = threading.Thread(target=lambda: told.append(standard.wait(behind)))
        waiting.start()
        wait_until(lambda: all(future._waiters for future in behind))
        assert executor._work_queue.qsize() == 4 - (not first.running())
        go_on.set()
        waiting.join()
    assert told[0] is behind[0]
    assert told[1].done == {*behind} and not told[1].not_done
    assert [future.result() for future in behind] == [1, 2, 4, 8]


def test_tasks_that_were_handed_over_can_be_cancelled_and_are_asked_for_once():
    go_on, ran = threading.Event(), []
    with futures.ThreadPoolExecutor(1) as executor:
        first = executor.submit(go_on.wait, 10)
        wait_until(first.running)
        behind = [executor.submit(ran.append, n) for n in range(3)]
        item = executor._work_queue.get_nowait()
        assert (item.args, item.kwargs) == ((0,), {}) and item.fn == ran.append
        item.run()
        item.run()
        assert ran == [0] and behind[0].done()
        assert behind[1].cancel()
        go_on.set()
    assert ran == [0, 2] and behind[1].cancelled()


@pytest.mark.stress
def test_nothing_is_lost_whenever_an_executor_is_handed_over(seed):
    chance = random.Random(seed)
    for _ in range(int(20 * STRESS)):
        executor = futures.ThreadPoolExecutor(chance.randrange(1, 4))
        results, begun = [], threading.Barrier(3)

        def submit():
            begun.wait()
            made = []
            for n in range(100):
                try:
                    made.append(executor.submit(abs, -n))
                except RuntimeError as error:
                    assert "shutdown" in str(error)
            results.extend(future.result() == n for n, future in enumerate(made))

        def disturb():
            begun.wait()
            for _ in range(chance.randrange(30)):
                executor.submit(int)
            executor._work_queue  # noqa: B018
            if chance.random() < 0.5:
                executor.shutdown(wait=chance.random() < 0.5)

        threads = [oneloom.Thread(target=target) for target in (submit, submit, disturb)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.result()
        executor.shutdown()
        assert all(results) and not any(thread.is_alive() for thread in executor._threads)


def test_a_shutdown_waits_for_a_thread_that_is_only_about_to_be_started():
    executor, ran = futures.ThreadPoolExecutor(1), []
    with futures.thread._global_shutdown_lock:
        submitting = oneloom.Thread(target=lambda: executor.submit(ran.append, "task"))
        submitting.start()
        wait_until(lambda: executor._engine._figures()[0])
        ending = oneloom.Thread(target=lambda: executor.shutdown() or [*ran])
        ending.start()
        wait_until(lambda: executor._shutdown)
    assert ending.result() == ["task"]
    submitting.result()


def test_executors_that_are_dropped_leave_no_thread():
    before = threading.active_count()
    for _ in range(100):
        executor = futures.ThreadPoolExecutor(2)
        executor.submit(int)
        reference = weakref.ref(executor)
        del executor
        assert reference() is None
    wait_until(lambda: threading.active_count() <= before)


def test_an_executor_in_a_circle_is_collected():
    executor = futures.ThreadPoolExecutor(1)
    executor.payload = executor
    executor.submit(int).result()
    reference = weakref.ref(executor)
    threads = executor._threads
    del executor
    gc.collect()
    assert reference() is None
    for thread in threads:
        thread.join()


def test_the_child_of_a_fork_has_an_executor_that_works(executor):
    executor.submit(int).result()
    pid = os.fork()
    if pid == 0:
        os._exit(executor.submit(int, 7).result(10))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_tasks_are_done_at_exit_and_those_of_a_daemon_thread_as_well():
    code = """
        import threading
        from oneloom.concurrent.futures import ThreadPoolExecutor

        executor = ThreadPoolExecutor(1)
        go_on = threading.Event()
        executor.submit(go_on.wait, 10)
        for n in range(3):
            executor.submit(print, n, flush=True)
        threading._register_atexit(go_on.set)
    """
    assert run_program(code).check().out == "0\n1\n2\n"


IMPORTS = [
    "concurrent.futures", "concurrent.futures.thread", "concurrent.futures.process", "concurrent.futures._base", "asyncio",
    "oneloom._future", "oneloom.concurrent.futures", "oneloom.concurrent.futures.thread", "oneloom.concurrent.futures.process",
    "oneloom.concurrent.futures._base", "oneloom._pool.threads",
]  # fmt: skip


@pytest.mark.parametrize("first", IMPORTS)
def test_the_runner_puts_it_in_place_whatever_is_imported_first(first):
    code = f"""
        import {first}
        import concurrent.futures, concurrent.futures.thread, concurrent.futures.process, concurrent.futures._base, sys
        from concurrent.futures import *

        assert concurrent.futures is sys.modules["oneloom.concurrent.futures"] is sys.modules["concurrent.futures"]
        for name in ("thread", "process", "_base"):
            module = getattr(concurrent.futures, name)
            assert module is sys.modules["concurrent.futures." + name] is sys.modules["oneloom.concurrent.futures." + name]
        assert Future.__module__ == "oneloom" and concurrent.futures._base.Future is Future
        for executor in (ThreadPoolExecutor, ProcessPoolExecutor):
            assert executor.__module__.startswith("oneloom.concurrent.futures.")
            assert any(base.__module__.startswith("concurrent.futures.") for base in executor.__mro__)
        print("well")
    """
    assert run_program(code, options=("-m", "oneloom")).check().out == "well\n"
