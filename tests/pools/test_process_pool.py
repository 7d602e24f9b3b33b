"""`oneloom.ProcessPool`: what goes in and comes out, deaths, limits, and what its workers are."""

import ctypes
import gc
import logging
import multiprocessing
import os
import pickle
import re
import select
import signal
import struct
import sys
import threading
import time
import types
import weakref

import process_tasks as tasks
import pytest
from process_tasks import METHODS, PATIENCE

import oneloom
import oneloom.shared
from conftest import run_program, run_script, wait_until


@pytest.fixture
def pool():
    with oneloom.ProcessPool(2, start_method="fork") as pool:
        yield pool


# What comes out of it.


@pytest.mark.parametrize("method", METHODS)
def test_tasks_give_results_by_every_start_method(method):
    with oneloom.ProcessPool(2, start_method=method) as pool:
        futures = [pool.submit(pow, 2, n) for n in range(20)]
        assert [future.result(PATIENCE) for future in futures] == [2**n for n in range(20)]
        assert pool.submit(int, "11", base=2).result() == 3
        assert pool.submit(tasks.nothing).result() is None


def test_results_of_every_kind_and_size_come_back(pool):
    values = (None, 7, (1, "two", (3.0,)), b"", b"x" * 10, b"x" * 5000, b"x" * 200_000, "s" * 70_000, [1, {2: (3.0, True)}], {4, 5})
    for value in values:
        assert pool.submit(tasks.identity, value).result() == value
    one, other = pool.submit(tasks.identity, (values[-2],) * 2).result()
    assert one is other


def test_exception_comes_with_its_traceback_there(pool):
    with pytest.raises(ValueError, match="^no$") as raised:
        pool.submit(tasks.fail, "no").result()
    assert "in fail" in str(raised.value.__cause__)
    with pytest.raises(SystemExit) as left:
        pool.submit(tasks.leave_with, 3).result()
    assert left.value.code == 3


def test_exception_that_does_not_travel_is_told_in_words(pool):
    with pytest.raises(pickle.PicklingError, match="raise_odd raised process_tasks.OddError: 1\nIt can't be unpickled"):
        pool.submit(tasks.raise_odd).result()


def test_exceptions_in_a_map_come_as_those_of_single_tasks(pool):
    results = pool.map(tasks.fail, ["no", "never"], chunksize=2)
    for text in ("no", "never"):
        with pytest.raises(ValueError, match=f"^{text}$") as raised:
            next(results)
        assert "in fail" in str(raised.value.__cause__) and "run_chunk" not in str(raised.value.__cause__)
    with pytest.raises(pickle.PicklingError, match="raised process_tasks.OddError: 1\nIt can't be unpickled"):
        next(pool.starmap(tasks.raise_odd, [(), ()], chunksize=2))


def test_what_can_not_be_pickled_fails_its_task_at_once_and_names_the_culprit(pool):
    retrying = pool.options(retries=3)
    with pytest.raises(pickle.PicklingError, match=r"a call of identity can't be pickled: args\[0\]\['a'\]\[1\] is a _thread.lock"):
        retrying.submit(tasks.identity, {"a": [0, threading.Lock()]}).result()
    with pytest.raises(pickle.PicklingError, match=r"the result of unpicklable can't be pickled: result\['lock'\]\[1\] is a"):
        retrying.submit(tasks.unpicklable).result()
    with pytest.raises(pickle.UnpicklingError, match="can't be unpickled in a worker: not here"):
        retrying.submit(tasks.identity, tasks.BadArgument()).result()
    assert pool.submit(pow, 2, 3).result() == 8


def test_a_worker_is_given_tasks_while_their_owner_holds_the_interpreter():
    done, tell = os.pipe()
    with oneloom.ProcessPool(1, start_method="fork") as pool:
        pool.submit(tasks.nothing).result(PATIENCE)
        for _ in range(20):
            # Too long for the next one to lie there already.
            pool.submit(tasks.sleep, 0.003)
        pool.submit(os.write, tell, b"x")
        events = ctypes.create_string_buffer(struct.pack("=ihh", done, select.POLLIN, 0))
        # Called so, it keeps the interpreter while it waits.
        assert ctypes.PyDLL(None).poll(events, 1, PATIENCE * 1000) == 1
    os.close(done)
    os.close(tell)


def test_connection_travels_as_itself(pool):
    here, there = multiprocessing.Pipe()
    pool.submit(tasks.send_over, there, "hello").result()
    assert here.poll(PATIENCE)
    assert here.recv() == "hello"


def test_arrays_go_and_come_without_a_copy(pool):
    numpy = pytest.importorskip("numpy")
    assert pool.submit(tasks.total, numpy.ones(100_000)).result() == (100_000.0, False)
    result = pool.submit(tasks.array_of, 1_000_000).result()
    assert result[-1] == 999_999
    assert not result.flags.writeable


def test_shared_objects_are_arguments(pool):
    queue = oneloom.shared.Queue()
    pool.submit(queue.put, 3).result()
    assert queue.get(timeout=PATIENCE) == 3


# Deaths.


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ((tasks.leave, 3), r"exited with status 3 while it ran leave"),
        ((tasks.kill, signal.SIGKILL), r"was killed by SIGKILL.* while it ran kill"),
        ((tasks.crash,), r"(?s)was killed by SIGSEGV while it ran crash.*Segmentation fault.*in crash"),
        ((tasks.identity, tasks.BadArgument(4)), r"exited with status 4 while it ran identity"),
        ((tasks.BadResult, 5), r"exited with status 5 while it ran BadResult"),
    ],
    ids=["exit", "kill", "crash", "argument", "result"],
)
def test_a_death_fails_its_own_task_alone(task, said):
    with oneloom.ProcessPool(1, start_method="fork") as pool:
        before = [pool.submit(pow, 2, n) for n in range(3)]
        dying = pool.submit(*task)
        after = [pool.submit(pow, 3, n) for n in range(3)]
        with pytest.raises(oneloom.WorkerDied, match=said):
            dying.result(PATIENCE)
        assert [future.result(PATIENCE) for future in before + after] == [1, 2, 4, 1, 3, 9]


def test_death_tells_the_exit_code(pool):
    with pytest.raises(oneloom.WorkerDied) as died:
        pool.submit(tasks.leave, 7).result()
    assert died.value.exitcode == 7
    with pytest.raises(oneloom.WorkerDied) as died:
        pool.submit(tasks.kill, signal.SIGTERM).result()
    assert died.value.exitcode == -signal.SIGTERM


def test_exit_code_is_known_of_a_child_of_the_fork_server():
    with oneloom.ProcessPool(1, start_method="forkserver") as pool:
        with pytest.raises(oneloom.WorkerDied, match="exited with status 3 while it ran leave"):
            pool.submit(tasks.leave, 3).result()
        assert pool.submit(pow, 2, 3).result() == 8


def test_retries_end_with_the_first_success(pool):
    tries = oneloom.shared.Queue()
    assert pool.options(retries=5).submit(tasks.fail_first, tries, 2).result(PATIENCE) == 3


def test_a_task_that_is_tried_again_has_its_large_arguments_still(pool):
    tries, load = oneloom.shared.Queue(), os.urandom(1_000_000)
    assert pool.options(retries=2).submit(tasks.kill_first, tries, 2, load).result(PATIENCE) == load


def test_workers_that_die_in_the_initializer_again_and_again_are_given_up():
    with oneloom.ProcessPool(2, start_method="fork", initializer=tasks.leave, initargs=(9,)) as pool:
        with pytest.raises(oneloom.WorkerDied, match="exited with status 9 before it was ready, as those before it did"):
            pool.submit(pow, 2, 3).result(PATIENCE)


# Limits.


def test_timeout_ends_the_task_and_no_neighbour(pool):
    slow = pool.options(timeout=0.2).submit(tasks.sleep, 60)
    neighbours = [pool.submit(tasks.sleep, 0.01) for _ in range(20)]
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match="sleep took longer than its timeout"):
        slow.result(PATIENCE)
    assert time.monotonic() - begun < PATIENCE / 2
    assert [future.result(PATIENCE) for future in neighbours] == [0.01] * 20


def test_running_task_is_cancelled(pool, gate):
    notes = oneloom.shared.Queue()
    future = pool.submit(tasks.note_and_wait, notes, gate)
    pid = notes.get(timeout=PATIENCE)
    assert not future.cancel()
    assert future.cancel(running=True)
    assert future.cancelled()
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"))
    assert pool.submit(pow, 2, 3).result(PATIENCE) == 8


def test_pending_task_is_cancelled(gate):
    with oneloom.ProcessPool(1, start_method="fork") as pool:
        running = pool.submit(tasks.wait_for, gate, 1)
        pending = [pool.submit(pow, 2, n) for n in range(50)]
        assert all(future.cancel() for future in pending[25:])
        gate.set()
        assert running.result(PATIENCE) == 1
        assert [future.result(PATIENCE) for future in pending[:25]] == [2**n for n in range(25)]


def test_workers_are_replaced_after_so_many_tasks():
    with oneloom.ProcessPool(1, start_method="fork", max_tasks_per_worker=3) as pool:
        pids = [future.result(PATIENCE) for future in [pool.submit(tasks.pid_of) for _ in range(9)]]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3]


def test_memory_limit_without_room_for_tasks_is_told():
    with oneloom.ProcessPool(1, start_method="fork", memory_limit=1) as pool:
        with pytest.raises(oneloom.InitializerError) as raised:
            pool.submit(pow, 2, 3).result(PATIENCE)
        assert "leaves no room for tasks" in str(raised.value.__cause__)


# Workers.


@pytest.mark.parametrize("method", METHODS)
def test_initializer_runs_first_in_each_worker(method):
    lock = multiprocessing.get_context(method).Lock()
    with oneloom.ProcessPool(1, start_method=method, initializer=tasks.remember_pair, initargs=("a", lock)) as pool:
        assert pool.submit(tasks.recall_first).result(PATIENCE) == "a"


def test_initializer_that_raises_fails_pending_and_later_tasks():
    with oneloom.ProcessPool(2, start_method="fork", initializer=tasks.fail, initargs=("at first",)) as pool:
        pending = [pool.submit(pow, 2, n) for n in range(3)]
        for future in pending:
            with pytest.raises(oneloom.InitializerError) as raised:
                future.result(PATIENCE)
            assert (type(raised.value.__cause__), str(raised.value.__cause__)) == (ValueError, "at first")
        with pytest.raises(oneloom.InitializerError):
            pool.submit(pow, 2, 3).result(PATIENCE)


@pytest.mark.parametrize("chosen", [None, "spawn"])
def test_workers_come_from_the_fork_server_unless_the_program_has_chosen_otherwise(chosen, tmp_path):
    code = """
        import multiprocessing.forkserver, os, sys
        import oneloom

        if __name__ == "__main__":
            if sys.argv[1] != "None":
                multiprocessing.set_start_method(sys.argv[1])
            with oneloom.ProcessPool(1) as pool:
                parent = pool.submit(os.getppid).result()
            print({os.getpid(): "spawn", multiprocessing.forkserver._forkserver._forkserver_pid: "None"}[parent])
    """
    assert run_script(tmp_path, code, chosen).check().out == f"{chosen}\n"


class Unreadable:
    def __reduce__(self):
        return int, ("no number",)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_what_an_initializer_gets_and_no_worker_can_read_is_the_initializers_error(method):
    with oneloom.ProcessPool(1, start_method=method, initializer=print, initargs=(Unreadable(),)) as pool:
        with pytest.raises(oneloom.InitializerError) as raised:
            pool.submit(pow, 2, 3).result(PATIENCE)
    assert isinstance(raised.value.__cause__, ValueError) and "no number" in str(raised.value.__cause__)


@pytest.mark.parametrize("settings", ["1", '1, start_method="spawn"'])
def test_main_module_without_its_guard_is_told(settings, tmp_path):
    code = f"""
        import oneloom

        pool = oneloom.ProcessPool({settings})
        try:
            pool.submit(pow, 2, 3).result(20)
        except oneloom.WorkerDied as error:
            print("told:", error)
            if __name__ != "__main__":
                raise
    """
    ran = run_script(tmp_path, code).check()
    cure = 'under `if __name__ == "__main__":`'
    *by_workers, by_program = [line for line in ran.out.splitlines() if line.startswith("told: ")]
    # Newer fork servers import the main module themselves.
    assert re.search("exited with status 1 before it was ready|the fork server ended before it started", by_program)
    assert cure in by_program
    assert by_workers
    for told in by_workers:
        assert "no workers can be started while a child imports the main module" in told and cure in told


@pytest.mark.parametrize("method", METHODS)
def test_pool_may_stand_at_the_top_level_of_a_module_that_workers_import(method, tmp_path):
    code = f"""
        import oneloom

        pool = oneloom.ProcessPool(1, start_method={method!r})

        def double(number):
            return 2 * number

        if __name__ == "__main__":
            print(pool.submit(double, 3).result())
    """
    ran = run_script(tmp_path, code).check()
    assert (ran.out, ran.err) == ("6\n", "")


def test_worker_that_imports_a_module_with_a_pool_may_use_its_own(tmp_path):
    code = """
        import oneloom

        pool = oneloom.ProcessPool(1, start_method="spawn")

        def double(number):
            return 2 * number

        def double_twice(number):
            return pool.submit(double, double(number)).result()

        if __name__ == "__main__":
            print(pool.submit(double_twice, 3).result())
    """
    ran = run_script(tmp_path, code).check()
    assert (ran.out, ran.err) == ("12\n", "")


@pytest.mark.parametrize("function, item", [(len, bytes(2**16)), (bytes, 2**16)], ids=["arguments", "results"])
def test_what_is_heavy_to_send_is_not_sent_far_ahead(function, item):
    taken = 0

    def items():
        nonlocal taken
        while True:
            taken += 1
            # Each its own: what is pickled twice goes once.
            yield bytes(memoryview(item)) if function is len else item

    with oneloom.ProcessPool(2, start_method="fork") as pool:
        results = pool.map(function, items())
        for number in range(20_000):
            next(results)
            assert taken - number < 4000, f"{taken - number} items of 64 KiB were ahead"
        results.close()


def test_what_the_program_has_chosen_stays_its_choice_for_later_pools_and_in_workers():
    code = """
        import multiprocessing
        import oneloom

        def tell(pool):
            there = pool.submit(eval, "__import__('multiprocessing').get_start_method(True)").result()
            print(pool._life._plan._method, there, multiprocessing.get_start_method(True))

        for chosen in None, "fork", "spawn":
            multiprocessing.set_start_method(chosen, force=True)
            for method in None, None, "fork", "spawn", "forkserver":
                with oneloom.ProcessPool(1, start_method=method) as pool:
                    tell(pool)
    """
    told = [line.split() for line in run_program(code).check().out.splitlines()]
    expected = []
    for chosen in None, "fork", "spawn":
        default = chosen or "forkserver"
        methods = default, default, "fork", "spawn", "forkserver"
        expected += [[method, str(chosen), str(chosen)] for method in methods]
    assert told == expected


class Refuses:
    def __init__(self):
        self.lock = threading.Lock()

    def __getstate__(self):
        raise ValueError("I stay here")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda pool: pool, r"args\[0\]\['a'\]\[0\] is a oneloom\.ProcessPool: '.*' can't go to another process"),
        (lambda pool: oneloom.Queue(), r"\[0\] is a oneloom\.Queue: "),
        (lambda pool: Refuses(), r"\[0\] is a .*\.Refuses: I stay here"),
        (lambda pool: (n for n in ()), r"\[0\] is a builtins\.generator: "),
        (lambda pool: LookupError(threading.Lock()), r"\[0\]\.args\[0\] is a _thread\.lock: "),
    ],
    ids=["pool", "queue", "refusing", "generator", "exception"],
)
def test_what_refuses_to_be_pickled_is_to_blame_and_not_its_parts(pool, make, told):
    with pytest.raises(pickle.PicklingError, match=told):
        pool.submit(len, {"a": [make(pool)]}).result(PATIENCE)


def test_workers_may_have_children(pool):
    assert pool.submit(tasks.have_child).result(PATIENCE) == 0


def test_programs_that_a_task_runs_hear_of_ctrl_c(pool):
    assert pool.submit(tasks.handler_of_ctrl_c_in_a_program).result(PATIENCE) == "default_int_handler"


def test_worker_may_have_a_pool_of_its_own(pool):
    assert pool.submit(tasks.sum_in_a_pool, [1, 2]).result(PATIENCE) == 3


@pytest.mark.parametrize("method", METHODS)
def test_tasks_run_in_the_main_thread_of_their_process(method):
    with oneloom.ProcessPool(1, start_method=method) as pool:
        assert pool.submit(tasks.describe_thread).result(PATIENCE) == (True, "MainThread", False, False)


def test_others_processes_are_not_started_with_ctrl_c_blocked():
    with oneloom.ProcessPool(1, start_method="forkserver") as pool:
        pool.submit(pow, 2, 3).result(PATIENCE)
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("forkserver").Process(target=tasks.send_mask, args=(there,))
    process.start()
    assert signal.SIGINT not in here.recv()
    process.join()


def test_child_of_a_task_does_not_answer_for_it(pool):
    assert pool.submit(tasks.fork_and_return).result(PATIENCE) in [pid for _, pid in pool._workers()]
    assert pool.submit(pow, 2, 3).result(PATIENCE) == 8


def test_records_reach_the_owners_loggers(pool, caplog):
    with caplog.at_level(logging.INFO, "oneloom.test"):
        with oneloom.ProcessPool(1, start_method="spawn") as pool:
            pool.submit(tasks.log, "oneloom.test.a", logging.INFO, "hello %s").result(PATIENCE)
            pool.submit(tasks.log, "oneloom.test.a", logging.DEBUG, "too low").result(PATIENCE)
            pool.submit(tasks.log_failure, "oneloom.test.b").result(PATIENCE)
    told = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    assert told == [("oneloom.test.a", "INFO", "hello %s"), ("oneloom.test.b", "ERROR", "it failed")]
    assert "KeyError: 'lost'" in caplog.records[-1].exc_text
    assert caplog.records[0].process != os.getpid()


def test_records_of_a_task_that_first_imports_logging_reach_the_owners_loggers(tmp_path):
    code = """
        import sys
        import oneloom

        def task():
            was_there = "logging" in sys.modules
            import logging

            logging.getLogger("late").error("hello")
            return was_there

        if __name__ == "__main__":
            import logging

            logging.basicConfig(format="the owner: %(name)s: %(message)s")
            with oneloom.ProcessPool(1, start_method="spawn") as pool:
                print(pool.submit(task).result(60))
    """
    ended = run_script(tmp_path, code).check()
    assert (ended.out, ended.err) == ("False\n", "the owner: late: hello\n")


# Ends.


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("runner", [(), ("-m", "oneloom")], ids=["python", "python -m oneloom"])
def test_pool_that_is_never_shut_down_finishes_what_it_was_given(method, runner, tmp_path):
    # Its worker is replaced after each task, so that most of them are started when the main module has come to its end.
    code = f"""
        import oneloom

        def work(number):
            print(number, flush=True)

        if __name__ == "__main__":
            pool = oneloom.ProcessPool(1, start_method={method!r}, max_tasks_per_worker=1)
            for number in range(3):
                pool.submit(work, number)
    """
    done = run_script(tmp_path, code, options=runner).check()
    assert (done.out, done.err) == ("0\n1\n2\n", "")


def test_terminate_may_be_called_from_a_callback(gate):
    pool = oneloom.ProcessPool(1, start_method="fork")
    pool.submit(tasks.nothing).add_done_callback(lambda _: pool.terminate())
    rest = [pool.submit(tasks.wait_for, gate), pool.submit(pow, 2, 3)]
    pool.shutdown()
    assert all(future.cancelled() for future in rest)


def test_a_pool_in_a_cycle_is_collected_with_its_functions_while_a_task_still_runs(gate):
    module = types.ModuleType("brief")
    exec("def work(gate):\n    gate.wait()", vars(module))
    sys.modules["brief"] = module
    module.pool = oneloom.ProcessPool(1, start_method="fork")
    future = module.pool.submit(module.work, gate)
    wait_until(future.running)
    gone = weakref.ref(module.pool), weakref.ref(module.work)
    del sys.modules["brief"], module
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
    gate.set()
    assert future.result(PATIENCE) is None


def test_repr_tells_what_it_does(gate):
    with oneloom.ProcessPool(1, name="press", start_method="fork") as pool:
        notes = oneloom.shared.Queue()
        pool.submit(tasks.note_and_wait, notes, gate)
        notes.get(timeout=PATIENCE)
        pool.submit(pow, 2, 3)
        assert re.match(r"<oneloom.ProcessPool 'press': workers=1/1, running=1, pending=1>", repr(pool))
        gate.set()
