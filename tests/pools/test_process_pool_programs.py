"""Programs with process pools: how they end, by themselves, by Ctrl-C or killed, and what their workers write."""

import os
import re
import signal

import pytest
from process_tasks import METHODS

from conftest import finish, has_ended, run_script, script, wait_until


ENDLESS = """
import os, sys, time
import oneloom

def endless():
    time.sleep(1000)

if __name__ == "__main__":
    pool = oneloom.ProcessPool(2, start_method=sys.argv[1])
    futures = [pool.submit(endless) for _ in range(4)]
    while sum(future.running() for future in futures) < 2:
        time.sleep(0.001)
    print(*(pid for _, pid in pool._workers()), flush=True)
    if sys.argv[2] == "with":
        with pool:
            futures[0].result()
    elif sys.argv[2] == "result":
        futures[0].result()
"""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("where", ["with", "result", "exit"])
def test_ctrl_c_ends_the_program_and_its_workers_promptly(tmp_path, method, where):
    with script(tmp_path, ENDLESS, method, where) as child:
        pids = [int(pid) for pid in child.stdout.readline().split()]
        assert len(pids) == 2
        # As the terminal does it: to all processes of the group.
        os.killpg(child.pid, signal.SIGINT)
        ran = finish(child, 10)
    assert not ran.timed_out, ran
    # Those of the workers would come on top.
    assert ran.err.count("KeyboardInterrupt") <= 1, ran.err
    wait_until(lambda: all(map(has_ended, pids)))


@pytest.mark.parametrize("method", METHODS)
def test_ctrl_c_that_the_program_sees_to_leaves_tasks_alone(tmp_path, method):
    code = """
    import os, signal, sys, time
    import oneloom

    def work(path):
        print("begun", flush=True)
        while not os.path.exists(path):
            time.sleep(0.001)
        return "done"

    if __name__ == "__main__":
        with oneloom.ProcessPool(1, start_method=sys.argv[1]) as pool:
            future = pool.submit(work, sys.argv[2])
            signal.signal(signal.SIGINT, lambda *_: print("heard", flush=True))
            print(future.result())
    """
    with script(tmp_path, code, method, tmp_path / "now") as child:
        assert child.stdout.readline() == "begun\n"
        os.killpg(child.pid, signal.SIGINT)
        assert child.stdout.readline() == "heard\n"
        (tmp_path / "now").touch()
        ran = finish(child).check()
    assert (ran.out, ran.err) == ("done\n", "")


@pytest.mark.parametrize("kind", ["ThreadPool", "ProcessPool"])
def test_ctrl_c_in_a_map_frees_the_workers_of_a_pool_that_lives_on(tmp_path, kind):
    code = """
    import os, signal, sys, threading, time
    import oneloom

    def until_cancelled(_):
        while not oneloom.cancelled():
            time.sleep(0.001)

    if __name__ == "__main__":
        with getattr(oneloom, sys.argv[1])(2) as pool:
            results = pool.map(until_cancelled, range(100))
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                next(results)
            except KeyboardInterrupt:
                print("interrupted", list(results), pool.submit(abs, -1).result())
    """
    ran = run_script(tmp_path, code, kind).check()
    assert ran.out == "interrupted [] 1\n"


def test_ctrl_c_that_threading_ignores_ends_the_program_all_the_same(tmp_path):
    code = """
    import os, signal, sys, threading, time
    import oneloom

    def interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1000)

    if __name__ == "__main__":
        pool = oneloom.ProcessPool(1, start_method="fork")
        future = pool.submit(time.sleep, 1000)
        while not future.running():
            time.sleep(0.001)
        # Called before the pools' own: the interpreter says that it ignores the exception, and goes on.
        threading._register_atexit(interrupt)
    """
    ran = run_script(tmp_path, code, timeout=20)
    assert not ran.timed_out, ran
    assert "Exception ignored" in ran.err


def test_pool_of_a_child_of_multiprocessing_finishes_its_tasks(tmp_path):
    code = """
    import multiprocessing
    import oneloom

    def child():
        pool = oneloom.ProcessPool(1)
        pool.submit(print, "from the pool's worker")

    if __name__ == "__main__":
        for method in "fork", "spawn":
            process = multiprocessing.get_context(method).Process(target=child)
            process.start()
            process.join()
            print(process.exitcode)
    """
    ran = run_script(tmp_path, code).check()
    assert ran.out.splitlines() == ["from the pool's worker", "0"] * 2


def test_child_of_a_fork_leaves_its_parents_pool_alone(tmp_path):
    code = """
    import os, sys
    import oneloom

    if __name__ == "__main__":
        with oneloom.ProcessPool(1, start_method="spawn") as pool:
            print(pool.submit(pow, 2, 3).result(), flush=True)
            pid = os.fork()
            if pid == 0:
                try:
                    pool.submit(pow, 2, 4)
                except RuntimeError as error:
                    print(error, flush=True)
                pool.shutdown()
                os._exit(0)
            print(os.waitpid(pid, 0)[1], pool.submit(pow, 2, 5).result())
    """
    ran = run_script(tmp_path, code).check()
    told = "this pool is the parent's: a process that was forked from it makes one of its own"
    assert ran.out.splitlines() == ["8", told, "0 32"]


@pytest.mark.parametrize("pause", [0, 0.05])
def test_child_of_a_fork_starts_workers_of_its_own(tmp_path, pause):
    """Also when its parent's fork server is only being started."""
    code = f"""
    import os, time
    import oneloom

    if __name__ == "__main__":
        with oneloom.ProcessPool(1, start_method="forkserver") as pool:
            future = pool.submit(pow, 2, 3)
            time.sleep({pause})
            pid = os.fork()
            if pid == 0:
                with oneloom.ProcessPool(1, start_method="forkserver") as own:
                    print(own.submit(pow, 2, 4).result(), flush=True)
                os._exit(0)
            print(os.waitpid(pid, 0)[1], future.result())
    """
    assert run_script(tmp_path, code).check().out.splitlines() == ["16", "0 8"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_imports_nothing_once_it_has_threads(tmp_path, method):
    """Whoever is forked while another thread imports finds the lock of that import taken for ever."""
    code = f"""
    import os, signal, sys
    import oneloom

    if __name__ == "__main__":
        with oneloom.ProcessPool(1, start_method={method!r}) as pool:
            before = set(sys.modules)
            worker = pool.submit(os.getpid).result()
            pool.submit(os.kill, worker, signal.SIGKILL).exception()
            print(set(sys.modules) - before)
    """
    assert run_script(tmp_path, code).check().out.splitlines() == ["set()"]


def test_what_workers_write_comes_line_by_line(tmp_path):
    code = """
    import sys
    import oneloom

    def say(number):
        for _ in range(500):
            print("out", number, "x" * 50)
        print("no end of line", number, file=sys.stderr, end=";")

    if __name__ == "__main__":
        with oneloom.ProcessPool(2, start_method="spawn") as pool:
            list(pool.map(say, range(10), chunksize=1))
    """
    ran = run_script(tmp_path, code).check()
    assert all(re.fullmatch(r"out \d x{50}", line) for line in ran.out.splitlines())
    assert len(ran.out.splitlines()) == 5000
    assert ran.err.count("no end of line") == 10


def test_a_line_comes_while_its_task_goes_on(tmp_path):
    code = """
    import os, sys, time
    import oneloom

    def say(path):
        print("a line")
        while not os.path.exists(path):
            time.sleep(0.001)

    if __name__ == "__main__":
        with oneloom.ProcessPool(1) as pool:
            pool.submit(say, sys.argv[1]).result()
    """
    with script(tmp_path, code, tmp_path / "now", env={"PYTHONUNBUFFERED": ""}) as child:
        assert child.stdout.readline() == "a line\n"
        (tmp_path / "now").touch()
        finish(child).check()


def test_waiting_for_a_task_that_lasts_is_no_deadlock(tmp_path):
    code = """
    import time
    import oneloom

    if __name__ == "__main__":
        with oneloom.ProcessPool(1, start_method="fork") as pool:
            pool.submit(time.sleep, 1.6).result()
            pool.submit(time.sleep, 1.6)
    """
    ran = run_script(tmp_path, code).check()
    assert (ran.out, ran.err) == ("", "")
