"""What the executors of `oneloom.concurrent.futures` add to the standard library's, and what must hold beneath.

That they behave as those is shown by CPython's own tests (test_cpython.py), and by programs that run on both
(runner/executors.py, runner/thread_executors.py).
"""

import asyncio
import concurrent.futures as standard
import concurrent.futures.process
import gc
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
import weakref

import pytest

import oneloom
from conftest import STRESS, has_ended, run_program, wait_until
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


# What follows is about executors of processes.


def processes(method="forkserver", **settings):
    return futures.ProcessPoolExecutor(2, multiprocessing.get_context(method), **settings)


def fail(what):
    raise ValueError(what)


def test_a_processes_future_is_awaited_and_may_be_waited_for_unread():
    with processes() as executor:

        async def main():
            assert await executor.submit(pow, 2, 10) == 1024
            with pytest.raises(ValueError, match="awaited"):
                await executor.submit(fail, "awaited")

        asyncio.run(main())
        failing, sleeping = executor.submit(fail, "unread"), executor.submit(time.sleep, 20)
        assert 1 <= len(executor._pending_work_items) <= 2
        for wait in (futures.wait, standard.wait):
            assert wait([failing, sleeping], return_when=futures.FIRST_EXCEPTION).done == {failing}
        next(iter(executor._processes.values())).kill()


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_an_idle_worker_that_dies_breaks_the_executor(method):
    with processes(method) as executor:
        executor.submit(int).result()
        os.kill(next(iter(executor._processes)), signal.SIGKILL)
        wait_until(lambda: executor._broken)
        with pytest.raises(standard.process.BrokenProcessPool):
            executor.submit(int)


def test_an_executor_may_be_shut_down_in_a_callback_and_by_nobody():
    ended = threading.Event()
    executor = processes()
    future = executor.submit(pow, 2, 10)
    future.add_done_callback(lambda _: executor.shutdown() or ended.set())
    assert ended.wait(20)
    executor = processes()
    future = executor.submit(pow, 2, 10)
    workers, thread = executor._processes, executor._executor_manager_thread
    del executor
    assert future.result() == 1024
    thread.join()
    assert [worker.exitcode for worker in workers.values()] == [0] * len(workers)


def test_one_that_starts_its_workers_itself_runs_on_the_standard_algorithm():
    class Counting(futures.ProcessPoolExecutor):
        started = 0

        def _spawn_process(self):
            self.started += 1
            super()._spawn_process()

    with Counting(1, multiprocessing.get_context("spawn")) as executor:
        future = executor.submit(pow, 2, 10)
        assert type(future) is oneloom.Future and future.result() == 1024
    assert executor.started == 1


def test_executors_of_processes_leave_nothing_behind():
    def left():
        gc.collect()
        return threading.active_count(), len(os.listdir("/proc/self/fd")), len(multiprocessing.active_children())

    def use_and_drop(how):
        executor = processes("fork")
        executor.submit(int).result()
        if how == "shut down":
            executor.shutdown()
        elif how == "broken":
            os.kill(next(iter(executor._processes)), signal.SIGKILL)
            wait_until(lambda: executor._broken)

    for how in ("shut down", "dropped", "broken"):
        use_and_drop(how)
        before = left()
        for _ in range(10):
            use_and_drop(how)
        wait_until(lambda: all(now <= then for now, then in zip(left(), before)), message=f"{how}: {before}, {left()}")


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_end_with_an_owner_that_is_killed(method):
    code = f"""
        import multiprocessing, os, signal, time
        from oneloom.concurrent.futures import ProcessPoolExecutor

        if __name__ == "__main__":
            executor = ProcessPoolExecutor(2, multiprocessing.get_context({method!r}))
            running = [executor.submit(time.sleep, 60) for _ in range(2)]
            while not all(future.running() for future in running):
                time.sleep(0.001)
            print(*executor._processes, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    ended = run_program(code)
    assert ended.status == -signal.SIGKILL
    pids = [int(pid) for pid in ended.out.split()]
    assert len(pids) == 2
    wait_until(lambda: all(has_ended(pid) for pid in pids))


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


if sys.version_info >= (3, 14):

    def test_map_takes_no_more_ahead_than_its_buffer_holds(executor):
        taken = iter(range(100))
        results = executor.map(abs, taken, buffersize=3)
        assert next(results) == 0 and next(taken) <= 4

    @pytest.mark.parametrize("how", ["terminate_workers", "kill_workers"])
    def test_workers_can_be_ended_at_once(how):
        executor = futures.ProcessPoolExecutor(1)
        running, behind = (executor.submit(time.sleep, 1000) for _ in range(2))
        wait_until(running.running)
        getattr(executor, how)()
        with pytest.raises(futures.BrokenExecutor):
            running.result(10)
        with pytest.raises((futures.BrokenExecutor, futures.CancelledError)):
            behind.result(10)
        with pytest.raises(RuntimeError):
            executor.submit(abs, 1)

    def test_who_prepares_contexts_of_its_own_runs_tasks_there():
        from oneloom.concurrent.futures.thread import WorkerContext

        class Context(WorkerContext):
            def run(self, task):
                return "here", super().run(task)

        class Executor(futures.ThreadPoolExecutor):
            @classmethod
            def prepare_context(cls, initializer, initargs, *, more):
                assert more == 5
                return Context.prepare(initializer, initargs)

        with Executor(1, more=5) as executor:
            future = executor.submit(abs, -1)
            assert future.result() == ("here", 1) and type(future) is futures.Future

    def test_interpreters_are_the_namesakes():
        with futures.InterpreterPoolExecutor(1) as executor:
            assert oneloom.gather(executor.submit(abs, -1)).result() == [1]
        assert futures.InterpreterPoolExecutor is standard.InterpreterPoolExecutor
