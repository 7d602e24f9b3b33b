"""`oneloom.Process` among processes: shared objects, forks, what stays behind, main guards, its place in multiprocessing."""

import asyncio
import gc
import multiprocessing
import multiprocessing.connection
import os
import pickle
import subprocess

import process_targets as targets
import pytest
from process_targets import METHODS, PATIENCE, awaited, started

import oneloom
import oneloom.shared
from conftest import has_ended, in_fork, run_program, run_script, wait_until


@pytest.mark.parametrize("method", METHODS)
def test_shared_objects_reach_it(method):
    numbers, answers, lock = oneloom.shared.Queue(), oneloom.shared.Queue(), oneloom.shared.Lock()
    process = started(targets.take_and_give, numbers, answers, lock, method=method)
    for number in (1, 2, 3):
        numbers.put(number)
    numbers.shutdown()
    assert process.result(PATIENCE) == process.pid
    assert [answers.get(timeout=PATIENCE) for _ in range(3)] == [2, 4, 6]


@pytest.mark.parametrize("method", METHODS)
def test_a_child_starts_children_of_its_own(method):
    process = started(targets.start_another, method, method=method)
    assert process.result(PATIENCE) == (9, process.pid)


@pytest.mark.parametrize("method", METHODS)
def test_a_fork_is_a_stranger_to_its_parents_children(method, gate):
    process, ended = started(targets.wait_for, gate, method=method), started(pow, 2, 3, method=method)
    wait_until(lambda: multiprocessing.connection.wait([ended.sentinel], 0))

    def check():
        for wait in (process.join, process.result, ended.result, process.is_alive, lambda: asyncio.run(awaited(process))):
            with pytest.raises(AssertionError):
                wait()
        assert process.exitcode is None and ended.exitcode is None

    assert in_fork(check) == 0
    gate.set()
    assert (process.result(PATIENCE), ended.result(PATIENCE)) == (True, 8)


def test_a_target_that_forks_gives_one_result_and_is_not_kept_by_its_grandchild(gate):
    process = started(targets.fork_and_return, gate)
    grandchild = process.result(PATIENCE)
    assert not has_ended(grandchild) and not process.is_alive()
    gate.set()
    wait_until(lambda: has_ended(grandchild))
    assert process.result() == grandchild


def test_what_a_grandchild_returns_is_not_the_result():
    process = started(targets.fork_and_leave)
    with pytest.raises(oneloom.WorkerDied, match="status 3"):
        process.result(PATIENCE)


def test_two_hundred_leave_nothing_behind():
    code = """
        import gc, multiprocessing, os, subprocess, oneloom
        if __name__ == "__main__":
            def started(method, number):
                process = oneloom.Process(target=pow, args=(2, number), start_method=method)
                process.start()
                return process
            started("spawn", 1).join()  # What multiprocessing itself opens once.
            gc.collect()
            descriptors = len(os.listdir("/proc/self/fd"))
            processes = [started("fork", number) for number in range(200)]
            assert [process.result(60) for process in processes] == [2**number for number in range(200)]
            del processes
            gc.collect()
            assert not multiprocessing.active_children()
            assert len(os.listdir("/proc/self/fd")) <= descriptors
            children = subprocess.run(["ps", "-o", "stat=", "--ppid", str(os.getpid())], capture_output=True, text=True)
            print("zombies:", children.stdout.count("Z"))
    """
    assert run_program(code, timeout=60).check().out == "zombies: 0\n"


def test_a_start_that_fails_leaves_a_process_that_can_be_started():
    descriptors = len(os.listdir("/proc/self/fd"))
    process = oneloom.Process(target=lambda: 5, start_method="spawn")
    for _ in range(3):
        with pytest.raises((pickle.PicklingError, AttributeError)):
            process.start()
    assert process.exitcode is None and not process.is_alive()
    process._start_method = "fork"
    process.start()
    assert process.result() == 5
    del process
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 1


# Its place in multiprocessing.


def test_it_is_a_multiprocessing_process(gate):
    process = started(targets.wait_for, gate, name="named", daemon=True)
    assert isinstance(process, multiprocessing.Process) and process.daemon and process.name == "named"
    assert process in multiprocessing.active_children()
    assert repr(process) == f"<Process name='named' pid={process.pid} parent={os.getpid()} started daemon>"
    assert process.ident == process.pid and process.authkey == multiprocessing.current_process().authkey
    with pytest.raises(ValueError, match="still running"):
        process.close()
    gate.set()
    wait_until(lambda: process not in multiprocessing.active_children())


def test_start_method_is_checked():
    with pytest.raises(ValueError, match="'thread'"):
        oneloom.Process(start_method="thread")
    assert oneloom.Process[int] and oneloom.Process(None, None, "named").name == "named"


def test_default_start_method_is_the_running_pythons():
    code = """
        import multiprocessing, os, oneloom
        if __name__ == "__main__":
            multiprocessing.set_start_method("spawn")
            process = oneloom.Process(target=multiprocessing.get_start_method)
            process.start()
            print(process.result(), type(process._popen).method)
    """
    assert run_program(code).check().out == "spawn spawn\n"


def test_the_end_of_a_program_waits_for_children_but_ends_daemons():
    code = """
        import signal, time, oneloom
        def late():
            time.sleep(0.3)
            print("late", flush=True)
        oneloom.Process(target=signal.pause, daemon=True).start()
        oneloom.Process(target=late).start()
        print("end", flush=True)
    """
    assert run_program(code).check().out == "end\nlate\n"


GUARDED = """\
import oneloom

def square(number):
    return number ** 2

if __name__ == "__main__":
    for method in ["fork", "spawn", "forkserver"]:
        process = oneloom.Process(target=square, args=(7,), start_method=method)
        process.start()
        print(method, process.result())
"""


@pytest.mark.parametrize("runner", [(), ("-m", "oneloom")], ids=["python", "python -m oneloom"])
def test_a_program_with_a_main_guard_runs_under_every_start_method(runner, tmp_path):
    done = run_script(tmp_path, GUARDED, options=runner).check()
    assert (done.out, done.err) == ("fork 49\nspawn 49\nforkserver 49\n", "")


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_missing_main_guard_names_the_cure_on_either_side(method, tmp_path):
    code = f"""
        import oneloom
        process = oneloom.Process(target=print, name="one", start_method={method!r})
        process.start()
        try:
            process.result()
        except oneloom.WorkerDied as error:
            print(error)
    """
    done = run_script(tmp_path, code).check()
    cure = 'under `if __name__ == "__main__":`'
    assert "exited with status 1 before it reached its target" in done.out and cure in done.out
    assert "RuntimeError: process 'one' can't be started while a child imports the main module" in done.err
    assert cure in done.err


def test_a_fork_server_that_ends_at_its_start_names_the_cure(tmp_path):
    (tmp_path / "broken_preload.py").write_text("raise SystemExit(3)")
    code = """
        import multiprocessing, oneloom
        multiprocessing.set_forkserver_preload(["broken_preload"])
        try:
            oneloom.Process(target=print, start_method="forkserver").start()
        except RuntimeError as error:
            print(error)
    """
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = run_program(code, env={"PYTHONPATH": path}).check()
    assert "the fork server ended before it started process 'Process-1'" in done.out and "__main__" in done.out


def test_threads_and_processes_stay_unimported_until_asked_for():
    code = """
        import sys, oneloom
        assert "multiprocessing" not in sys.modules
        oneloom.Process
        print("multiprocessing" in sys.modules, oneloom.Process is oneloom.Process, hasattr(oneloom, "Processes"))
    """
    assert run_program(code).check().out == "True True False\n"
