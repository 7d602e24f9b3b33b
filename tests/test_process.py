"""`oneloom.Process`: results and exceptions, deaths in words, and waiting for it in threads and coroutines."""

import asyncio
import io
import multiprocessing
import multiprocessing.connection
import os
import pickle
import random
import re
import signal
import threading
import time

import process_targets as targets
import pytest
import uvloop
from process_targets import METHODS, PATIENCE, awaited, started

import oneloom
import oneloom._process_end
import oneloom.shared
from conftest import finish, program, run_program, wait_until
from oneloom._outcome import Outcome


# What comes out of it.


@pytest.mark.parametrize("method", METHODS)
def test_result_is_what_the_target_returns(method):
    process = started(divmod, 7, 2, method=method)
    assert process.result(PATIENCE) == (3, 1)
    assert process.result() is process.result()
    assert (process.exitcode, process.is_alive()) == (0, False)


def test_result_of_nothing_is_none():
    assert started().result() is None
    assert started(int, "11", kwargs={"base": 2}).result() == 3


def test_result_of_an_overridden_run():
    counting = targets.Counting(3)
    counting.start()
    around = targets.Around(target=pow, args=(2, 3))
    around.start()
    assert (counting.result(), around.result()) == ([0, 1, 2], 8)


@pytest.mark.parametrize("method", METHODS)
def test_exception_comes_with_its_notes_and_its_traceback_there(method):
    process = started(targets.fail, "no", 3, method=method)
    for _ in range(2):
        with pytest.raises(ValueError) as raised:
            process.result()
        assert raised.value.args == ("no", 3) and raised.value.__notes__ == ["a note"]
        text = str(raised.value.__cause__)
        assert "process_targets.py" in text and "in fail" in text and "ValueError: ('no', 3)" in text
        assert "oneloom" not in text.replace(os.path.dirname(targets.__file__), "")
    assert process.exitcode == 1


def test_what_a_failing_child_prints_is_what_plain_multiprocessing_prints():
    code = """
        import multiprocessing, sys, oneloom

        def fail(): raise OSError("no")

        kind = {"multiprocessing": multiprocessing, "oneloom": oneloom}[sys.argv[1]].Process
        process = kind(target=fail, name="one")
        process.start()
        process.join()
        print(process.exitcode)
    """
    plain, ours = (run_program(code, name).check() for name in ("multiprocessing", "oneloom"))
    assert (ours.out, ours.err) == (plain.out, plain.err) and "OSError: no" in plain.err


def test_an_unpicklable_result_names_the_part_to_blame():
    process = started(targets.give_unpicklable)
    told = r"the result of process '.*' can't be pickled: result\['found'\]\[1\]\[1\].lock is a _thread.lock: "
    with pytest.raises(pickle.PicklingError, match=told):
        process.result()
    assert process.exitcode == 0
    with pytest.raises(pickle.PicklingError, match=r": result\[2\] is a _thread.lock"):
        started(targets.give_cyclic).result()
    with pytest.raises(pickle.PicklingError, match=r": result is the function give_function.<locals>.<lambda>: "):
        started(targets.give_function).result()


def test_an_exception_that_cannot_travel_names_the_part_to_blame():
    with pytest.raises(pickle.PicklingError, match=r"raised KeyError(?s:.*)args\[1\] is a _thread.lock") as raised:
        started(targets.raise_unpicklable).result()
    assert "in raise_unpicklable" in str(raised.value.__cause__)
    with pytest.raises(pickle.PicklingError, match=r"raised process_targets.Secretive: 1(?s:.*)argument: 'two'.*__reduce__") as raised:
        started(targets.raise_secretive).result()
    assert "in raise_secretive" in str(raised.value.__cause__)
    with pytest.raises(pickle.PicklingError, match="raised process_targets.Disguised(?s:.*)comes back as 'no error'") as raised:
        started(targets.raise_disguised).result()
    assert "in raise_disguised" in str(raised.value.__cause__)


def test_a_result_that_cannot_be_unpickled_here_is_an_error_that_can_be_tried_again(monkeypatch):
    process = started(oneloom.WorkerDied, "text", 3)
    process.join()
    with monkeypatch.context() as patch:
        patch.delattr(oneloom, "WorkerDied")
        with pytest.raises(pickle.UnpicklingError, match="can't be unpickled here.*WorkerDied"):
            process.result()
    assert process.result().exitcode == 3


def test_system_exit_is_raised_and_sets_the_exit_status(capfd):
    process = started(targets.exit_with, 3)
    with pytest.raises(SystemExit) as raised:
        process.result()
    assert raised.value.code == process.exitcode == 3
    process = started(targets.exit_with, "a reason")
    with pytest.raises(SystemExit, match="a reason"):
        process.result()
    assert process.exitcode == 1
    assert capfd.readouterr().err == "a reason\n"


@pytest.mark.parametrize("method", METHODS)
def test_a_large_result_waits_for_nobody(method):
    process = started(targets.give_bytes, 30_000_000, method=method)
    assert multiprocessing.connection.wait([process.sentinel], PATIENCE)
    assert process.result() == b"x" * 30_000_000


def test_memory_of_a_large_result_goes_back_though_a_sibling_inherited_it(gate):
    process = started(targets.give_bytes, 5_000_000)
    sibling = started(targets.wait_for, gate)
    inherited = [f"/proc/{sibling.pid}/fd/{name}" for name in os.listdir(f"/proc/{sibling.pid}/fd")]
    memory = [path for path in inherited if os.path.exists(path) and "oneloom.Process" in os.readlink(path)]
    process.join()
    assert max(os.stat(path).st_size for path in memory) > 5_000_000
    process.result()
    assert max(os.stat(path).st_size for path in memory) < 100


def test_a_result_is_there_even_if_the_end_goes_wrong(gate):
    process = started(targets.end_late, gate)
    wait_until(lambda: isinstance(process._Process__memory.read("it"), Outcome))
    with pytest.raises(TimeoutError):
        process.result(0)
    process.kill()
    assert process.result() == "early" and process.exitcode == -signal.SIGKILL


# How it died.


@pytest.mark.parametrize("method", METHODS)
def test_a_death_is_told_in_words(method):
    process = started(targets.die, signal.SIGKILL, method=method, name="victim")
    words = rf"process 'victim' \(pid {process.pid}\) was killed by SIGKILL without"
    with pytest.raises(oneloom.WorkerDied, match=words) as raised:
        process.result()
    assert raised.value.exitcode == -9
    process = started(targets.leave, 3, method=method)
    with pytest.raises(oneloom.WorkerDied, match="exited with status 3 without giving a result") as raised:
        process.result()
    assert raised.value.exitcode == 3


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGSEGV, r"by SIGSEGV \(a crash in native code: python -X faulthandler shows where\)"),
        (signal.SIGTERM, "by SIGTERM without"),
        (signal.SIGRTMIN + 3, rf"by signal {signal.SIGRTMIN + 3} without"),
    ],
)
def test_signals_have_names(number, words):
    with pytest.raises(oneloom.WorkerDied, match=words):
        started(targets.die, number).result()


def test_a_kill_while_memory_ran_out_says_so(monkeypatch):
    counts = iter([4, 5, 5, 5])
    monkeypatch.setattr(oneloom._process_end, "out_of_memory_kills", lambda: next(counts))
    with pytest.raises(oneloom.WorkerDied, match=r"by SIGKILL \(perhaps out of memory: "):
        started(targets.die, signal.SIGKILL).result()
    with pytest.raises(oneloom.WorkerDied, match="by SIGKILL without"):
        started(targets.die, signal.SIGKILL).result()


def test_whether_memory_ran_out_is_known_when_the_exit_status_is(monkeypatch):
    seen = []
    process = started(os.getpid)
    monkeypatch.setattr(oneloom._process_end, "out_of_memory_kills", lambda: seen.append(process._popen.returncode))
    process.join(PATIENCE)
    assert (seen, process.exitcode) == ([None], 0)


def test_terminate_and_kill_end_it(gate):
    for end, status in ("terminate", -15), ("kill", -9):
        process = started(targets.wait_for, gate)
        getattr(process, end)()
        process.join(PATIENCE)
        assert process.exitcode == status


def test_worker_died_travels():
    with pytest.raises(oneloom.WorkerDied, match="a worker of mine") as raised:
        started(targets.raise_worker_died).result()
    assert raised.value.exitcode == 7 and isinstance(raised.value, RuntimeError)


def test_killed_at_any_instant_it_gave_all_of_its_result_or_none(seed):
    chance = random.Random(seed)
    seen = set()
    for round in range(60):
        method = "spawn" if round % 10 == 0 else "fork"
        process = started(targets.give_bytes, 300_000, method=method)
        time.sleep(chance.uniform(0, 0.15 if method == "spawn" else 0.012))
        process.kill()
        try:
            assert process.result(PATIENCE) == b"x" * 300_000
            seen.add("result")
        except oneloom.WorkerDied as error:
            assert "SIGKILL" in str(error)
            seen.add("death")
    assert "death" in seen


def test_a_child_that_somebody_else_waited_for_has_ended_all_the_same():
    process = started(targets.leave, 3)
    os.waitpid(process.pid, 0)
    with pytest.raises(oneloom.WorkerDied, match="How is not known"):
        process.result()
    assert not process.is_alive() and process not in multiprocessing.active_children()
    process = started(int, 5)
    os.waitpid(process.pid, 0)
    assert process.result() == 0 or process.exitcode == 255


def test_children_end_where_sigchld_is_ignored():
    code = """
        import asyncio, signal, oneloom
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        async def main():
            processes = [oneloom.Process(target=pow, args=(2, number)) for number in range(5)]
            for process in processes: process.start()
            print([await process for process in processes[:3]], [process.result() for process in processes[3:]])
        asyncio.run(main())
    """
    assert run_program(code).check().out == "[1, 2, 4] [8, 16]\n"


# Waiting for it.


def test_timeouts(gate):
    process = started(targets.wait_for, gate, name="slow")
    for timeout in (0, 0.01, -1, 1e-9):
        with pytest.raises(TimeoutError, match="slow"):
            process.result(timeout)
        assert process.join(timeout) is None and process.is_alive()
    gate.set()
    assert process.result(PATIENCE) is True


def test_many_threads_wait_for_one_and_get_the_same():
    for method in METHODS * 5:
        process = started(targets.give_bytes, 1_000_000, method=method)
        threads = [oneloom.Thread(target=process.result) for _ in range(10)]
        for thread in threads:
            thread.start()
        assert len({id(thread.result(PATIENCE)) for thread in threads}) == 1
        assert process.exitcode == 0


def test_what_cannot_be_waited_for_says_so():
    process = oneloom.Process(target=int)
    in_coroutines = [lambda: asyncio.run(process.join_async()), lambda: asyncio.run(awaited(process))]
    for wait in (process.join, process.result, *in_coroutines):
        with pytest.raises(AssertionError, match="started process"):
            wait()
    process.start()
    with pytest.raises(AssertionError, match="twice"):
        process.start()
    process.join()
    memory = vars(process)["_Process__memory"]._descriptor
    process.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(memory)
    for wait in (process.join, process.result, lambda: asyncio.run(awaited(process))):
        with pytest.raises(ValueError, match="closed"):
            wait()


def test_errors_of_start_and_join_show_no_frame_of_oneloom():
    process = started(int)
    process.join()
    for call in (process.start, oneloom.Process().join):
        with pytest.raises(AssertionError) as raised:
            call()
        assert [entry.path.name for entry in raised.traceback] == ["test_process.py", "process.py"]


@pytest.mark.parametrize("wait", ["process.join()", "process.result()", "process.join(60)"])
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_ctrl_c_ends_a_wait(wait, method):
    code = f"""
        import signal, sys, oneloom
        if __name__ == "__main__":
            process = oneloom.Process(target=signal.pause, start_method={method!r})
            process.start()
            try:
                print("waits", flush=True)
                {wait}
            except KeyboardInterrupt:
                process.kill()
                process.join()
                print("interrupted", process.exitcode)
    """
    with program(code) as child:
        assert child.stdout.readline() == "waits\n"
        child.send_signal(signal.SIGINT)
        assert finish(child).check().out == "interrupted -9\n"


def test_who_asks_in_the_middle_of_noting_an_end_changes_nothing(monkeypatch):
    process = started(targets.leave, 3)
    asked = []
    waitpid = os.waitpid

    def asking(*arguments):
        before = process.exitcode
        found = waitpid(*arguments)
        asked.append((before, process.exitcode))
        return found

    monkeypatch.setattr(os, "waitpid", asking)
    process.join()
    assert (asked, process.exitcode) == ([(None, None)], 3)
    with pytest.raises(oneloom.WorkerDied, match="status 3"):
        process.result()


def test_a_signal_handler_may_ask_while_its_thread_notes_an_end():
    asked = []

    def handler(*_):
        asked.append([child.exitcode for child in multiprocessing.active_children()])

    previous = signal.signal(signal.SIGCHLD, handler)
    try:
        for method in ["fork"] * 30 + ["forkserver"] * 5:
            process = started(method=method)
            while process.is_alive():
                os.kill(os.getpid(), signal.SIGCHLD)
            assert process.exitcode == 0
    finally:
        signal.signal(signal.SIGCHLD, previous)
    assert asked


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_awaiting_gives_the_result_or_the_exception(run):
    async def main():
        for method in METHODS:
            assert await started(divmod, 7, 2, method=method) == (3, 1)
            with pytest.raises(ValueError):
                await started(targets.fail, method=method)
        with pytest.raises(oneloom.WorkerDied, match="SIGKILL"):
            await started(targets.die, signal.SIGKILL)

    run(main())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_giving_up_leaves_the_process_running(run, gate):
    async def main():
        process = started(targets.wait_for, gate)
        for timeout in (0, 0.01, -1):
            assert await process.join_async(timeout) is None
            assert process.is_alive()
        waiting = asyncio.create_task(awaited(process))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert process.is_alive()
        gate.set()
        assert await asyncio.gather(*(awaited(process) for _ in range(10))) == [True] * 10
        assert not process.is_alive()

    run(main())


def test_waiting_coroutines_need_no_thread_and_leave_no_descriptor(gate):
    processes = [started(targets.wait_for, gate) for _ in range(5)]

    async def main():
        descriptors, threads = os.listdir("/proc/self/fd"), os.listdir("/proc/self/task")
        waiting = [asyncio.create_task(awaited(process)) for process in processes * 4]
        await asyncio.sleep(0)
        assert os.listdir("/proc/self/task") == threads
        gate.set()
        assert await asyncio.gather(*waiting) == [True] * 20
        assert len(os.listdir("/proc/self/fd")) <= len(descriptors)

    asyncio.run(main())


def test_coroutines_of_several_loops_await_one_process(gate):
    process = started(targets.wait_for, gate)
    loops = [oneloom.Thread(target=lambda: asyncio.run(awaited(process))) for _ in range(5)]
    for loop in loops:
        loop.start()
    gate.set()
    assert [loop.result(PATIENCE) for loop in loops] == [True] * 5


def test_await_without_a_loop_says_so(gate):
    process = started(targets.wait_for, gate)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(RuntimeError, match="asyncio event loop"):
        process.join_async().send(None)
    assert len(os.listdir("/proc/self/fd")) == before


def test_waiting_threads_do_not_hold_the_interpreter(gate):
    process = started(targets.wait_for, gate)
    waiting = threading.Thread(target=process.join)
    waiting.start()
    gate.set()
    waiting.join(PATIENCE)
    assert not waiting.is_alive()


def test_the_dump_shows_who_waits_for_a_process(gate):
    process = started(targets.wait_for, gate, name="slow")
    waiting = oneloom.Thread(target=process.join, name="the thread")
    waiting.start()

    async def main():
        task = asyncio.create_task(process.join_async(60), name="the task")
        wait_until(lambda: "the thread" in dumped())
        await asyncio.sleep(0)
        text = dumped()
        gate.set()
        await task
        return text

    text = asyncio.run(main())
    end = rf"waits for the end of process 'slow' \(pid {process.pid}\) \(for \d+.\d s"
    assert re.search(rf"^  thread 'the thread' {end}\)$", text, re.MULTILINE)
    assert re.search(rf"^  task 'the task' {end}, with a timeout\)$", text, re.MULTILINE)
    waiting.join()
    assert "slow" not in dumped()


def dumped():
    out = io.StringIO()
    oneloom.dump(file=out)
    return out.getvalue()
