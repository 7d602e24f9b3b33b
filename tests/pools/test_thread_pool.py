"""What pools of threads promise beside the contract: their threads, forks, exits and signals."""

import contextvars
import gc
import os
import re
import signal
import sys
import threading
import time
import weakref

import pytest

import oneloom
from conftest import finish, program, run_program, wait_until
from pool_tasks import square


def worker_threads(name):
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


def test_threads_are_started_when_they_are_needed_and_end_with_the_pool():
    pool = oneloom.ThreadPool(4, name="lazy")
    assert worker_threads("lazy") == []
    for _ in range(20):
        pool.submit(square, 2).result()
        wait_until(lambda: "pending=0" in repr(pool))
    assert 1 <= len(worker_threads("lazy")) <= 4
    meet = oneloom.Barrier(4)
    assert sorted(future.result(timeout=30) for future in [pool.submit(meet.wait, 30) for _ in range(4)]) == [0, 1, 2, 3]
    assert sorted(thread.name for thread in worker_threads("lazy")) == [f"lazy_{number}" for number in range(4)]
    pool.shutdown()
    assert worker_threads("lazy") == []


def test_a_pool_that_is_dropped_finishes_its_tasks_and_leaves_no_thread():
    done = []
    pool = oneloom.ThreadPool(2, name="dropped")
    for number in range(10):
        pool.submit(done.append, number)
    gone = weakref.ref(pool)
    del pool
    gc.collect()
    assert gone() is None
    wait_until(lambda: not worker_threads("dropped"))
    assert sorted(done) == list(range(10))


class Owner:
    """Has a pool whose initializer is its own method, which may fail, and whose context knows it too."""

    def __init__(self, fails):
        self.fails = fails
        context = contextvars.copy_context()
        context.run(CURRENT.set, self)
        self.pool = oneloom.ThreadPool(1, initializer=self.begin, context=context)

    def begin(self):
        if self.fails:
            raise LookupError


CURRENT = contextvars.ContextVar("current")


@pytest.mark.parametrize("is_used", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_a_pool_that_is_part_of_a_cycle_is_collected(is_used, fails):
    owner = Owner(fails)
    if is_used:
        error = owner.pool.submit(square, 2).exception(timeout=30)
        assert isinstance(error, oneloom.InitializerError) == fails
        del error
        owner.pool.shutdown()
    gone = weakref.ref(owner), weakref.ref(owner.pool)
    del owner
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_a_worker_is_replaced_after_its_tasks():
    with oneloom.ThreadPool(1, max_tasks_per_worker=3) as pool:
        names = [pool.submit(lambda: threading.current_thread().name).result() for _ in range(9)]
    assert [names.count(name) for name in dict.fromkeys(names)] == [3, 3, 3]


def test_an_initializer_prepares_each_thread():
    local = threading.local()

    def prepare(value):
        local.value = value

    meet = oneloom.Barrier(3)

    def look():
        meet.wait(30)
        return local.value

    with oneloom.ThreadPool(3, initializer=prepare, initargs=("ready",)) as pool:
        assert [future.result(timeout=30) for future in [pool.submit(look) for _ in range(3)]] == ["ready"] * 3


def test_what_a_task_was_given_is_gone_when_its_result_is_there():
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    with oneloom.ThreadPool(1) as pool:
        future = pool.submit(id, thing)
        del thing
        future.result()
        assert gone() is None


def test_each_task_runs_in_a_copy_of_the_context():
    variable = contextvars.ContextVar("variable", default="none")
    context = contextvars.copy_context()
    context.run(variable.set, "given")

    def swap(value):
        before = variable.get()
        variable.set(value)
        return before

    with oneloom.ThreadPool(2, context=context) as pool:
        assert [pool.submit(swap, number).result() for number in range(4)] == ["given"] * 4
        other = contextvars.copy_context()
        other.run(variable.set, "other")
        assert pool.options(context=other).submit(variable.get).result() == "other"
        assert list(pool.map(swap, range(3), chunksize=1)) == ["given"] * 3
    assert context.run(variable.get) == "given"


def test_settrace_holds_in_workers():
    seen = set()

    def trace(frame, event, argument):
        seen.add(frame.f_code.co_name)

    def traced():
        return threading.current_thread().name

    threading.settrace(trace)
    try:
        with oneloom.ThreadPool(1) as pool:
            pool.submit(traced).result()
    finally:
        threading.settrace(None)
    assert "traced" in seen


def test_a_callback_that_exits_reaches_the_excepthook_and_the_pool_goes_on(monkeypatch):
    hooked = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: hooked.append(arguments.exc_type))

    class Enough(BaseException):
        pass

    def stop(future):
        raise Enough

    with oneloom.ThreadPool(1) as pool:
        gate = oneloom.Event()
        future = pool.submit(gate.wait, 30)
        future.add_done_callback(stop)
        more = [pool.submit(square, number) for number in range(3)]
        gate.set()
        assert [future.result(timeout=30) for future in more] == [0, 1, 4]
    assert hooked == [Enough]


def test_a_task_that_took_too_long_is_told_and_its_callback_called():
    ended, told = oneloom.Event(), []

    def work():
        wait_until(oneloom.cancelled)
        ended.set()
        return "too late"

    with oneloom.ThreadPool(1) as pool:
        future = pool.options(timeout=0.05).submit(work)
        future.add_done_callback(lambda future: told.append(future.exception()))
        with pytest.raises(TimeoutError, match="0.05 s"):
            future.result(timeout=30)
        assert ended.wait(30)
        wait_until(lambda: told)
        assert pool.submit(oneloom.cancelled).result() is False
    assert isinstance(told[0], TimeoutError)
    assert oneloom.cancelled() is False


def test_a_task_that_took_too_long_is_not_tried_again():
    begun = []

    def work():
        begun.append(1)
        wait_until(oneloom.cancelled)

    with oneloom.ThreadPool(1) as pool:
        with pytest.raises(TimeoutError):
            pool.options(timeout=0.05, retries=3).submit(work).result(timeout=30)
    assert begun == [1]


@pytest.mark.parametrize("end", ["cancel", "terminate"])
def test_a_running_task_is_told_that_it_was_cancelled(end):
    ended = oneloom.Event()

    def work():
        wait_until(oneloom.cancelled)
        ended.set()

    with oneloom.ThreadPool(1) as pool:
        future = pool.submit(work)
        wait_until(future.running)
        if end == "cancel":
            assert future.cancel(running=True)
        else:
            pool.terminate()
        assert future.cancelled()
        assert ended.wait(30)


def test_time_limits_are_met_while_python_code_runs():
    def spin():
        while not oneloom.cancelled():
            pass

    with oneloom.ThreadPool(4, timeout=0.1) as pool:
        began = time.monotonic()
        futures = [pool.submit(spin) for _ in range(3)]
        for future in futures:
            with pytest.raises(TimeoutError):
                future.result()
        assert time.monotonic() - began < 1


def test_idle_workers_are_no_victims_of_a_process_that_stands_still():
    run = run_program(
        """
        import threading, oneloom

        pool = oneloom.ThreadPool(3)
        meet = oneloom.Barrier(3)
        [future.result() for future in [pool.submit(meet.wait) for _ in range(3)]]
        permits = oneloom.Semaphore(0)
        def wait():
            try:
                permits.acquire()
            except oneloom.DeadlockError:
                print("told", flush=True)
        thread = oneloom.Thread(target=wait)
        thread.start()
        thread.join()
        print(pool.submit(pow, 2, 3).result(), pool)
        """
    ).check()
    assert run.out.startswith("told\n8 ") and "workers=3/3" in run.out, run


def test_ctrl_c_ends_a_wait_for_a_task():
    code = """
    import oneloom, time
    def work():
        while not oneloom.cancelled():
            time.sleep(0.01)
    with oneloom.ThreadPool(1) as pool:
        future = pool.submit(work)
        try:
            print("ready", flush=True)
            future.result()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            future.cancel(running=True)
            raise
    """
    with program(code) as child:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert child.stdout.readline() == "interrupted\n"
        assert time.monotonic() - began < 2
        run = finish(child)
    assert "KeyboardInterrupt" in run.err


def test_a_program_that_ends_finishes_what_was_submitted():
    run = run_program(
        """
        import oneloom, time
        pool = oneloom.ThreadPool(1)
        for number in range(3):
            pool.submit(lambda number=number: (time.sleep(0.05), print(number, flush=True)))
        """
    ).check()
    assert run.out == "0\n1\n2\n"


def test_a_program_that_ends_by_ctrl_c_begins_nothing_more():
    run = run_program(
        """
        import oneloom, time
        pool = oneloom.ThreadPool(1)
        first = pool.submit(time.sleep, 0.3)
        for number in range(3):
            pool.submit(print, number, flush=True)
        while not first.running():
            pass
        raise KeyboardInterrupt
        """
    )
    assert run.out == "" and "KeyboardInterrupt" in run.err and not run.timed_out


def test_ctrl_c_while_a_program_ends_tells_its_tasks():
    run = run_program(
        """
        import oneloom, time
        class Interrupted(oneloom.ThreadPool):
            times = 0
            def _shutdown(self, wait, cancel_futures):
                if wait:
                    self.times += 1
                    if self.times == 1:
                        raise KeyboardInterrupt
                super()._shutdown(wait, cancel_futures)
        def search():
            begun.set()
            while not oneloom.cancelled():
                time.sleep(0.001)
            print("told", flush=True)
        begun = oneloom.Event()
        pool = Interrupted(1)
        pool.submit(search)
        begun.wait()
        """
    ).check()
    assert run.out == "told\n"


ENDLESS = """
import contextvars, sys, threading, time
import oneloom
from oneloom.concurrent.futures import ThreadPoolExecutor

def work(*_):
    print("ready", flush=True)
    while True:
        time.sleep(0.001)

class Last:
    # Lets the others go on when the interpreter does not wait for them any more.
    def __del__(self, sleep=time.sleep):
        sleep(0.2)

sys.last_of_all = Last()
if __name__ == "__main__":
    oneloom.ThreadPool, oneloom.ProcessPool
    # Comes before what they have called at exit themselves.
    threading._register_atexit(print, "leaving", flush=True)
    {begin}
    time.sleep(60)
"""


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param("pool = oneloom.ThreadPool(1); pool.submit(work)", id="task"),
        pytest.param("oneloom.ThreadPool(1).submit(work)", id="task of a pool that nobody has"),
        pytest.param("pool = oneloom.ThreadPool(1, context=contextvars.Context()); pool.submit(work)", id="task in a context"),
        pytest.param("pool = oneloom.ThreadPool(1, initializer=work); pool.submit(abs, 1)", id="initializer"),
        pytest.param("pool = oneloom.ThreadPool(1); pool.submit(time.sleep, 0.1).add_done_callback(work)", id="callback"),
        pytest.param("pool = oneloom.ProcessPool(1); pool.submit(abs, 1).add_done_callback(work)", id="callback of a process pool"),
        pytest.param("pool = ThreadPoolExecutor(1); pool.submit(work)", id="executor"),
    ],
)
def test_a_second_ctrl_c_leaves_behind_what_does_not_listen(begin):
    with program(ENDLESS.format(begin=begin)) as child:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        # Only then has the first been told of, and what runs is waited for.
        assert child.stdout.readline() == "leaving\n"
        child.send_signal(signal.SIGINT)
        run = finish(child)
    assert run.status == -signal.SIGINT and "KeyboardInterrupt" in run.err and "FATAL" not in run.err, run


def refuse(_thread):
    raise RuntimeError("can't start new thread")


def test_who_submits_learns_that_no_thread_can_be_started_and_the_next_task_wants_one(monkeypatch):
    pool = oneloom.ThreadPool(2)
    with monkeypatch.context() as patch:
        patch.setattr(oneloom.Thread, "start", refuse)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="can't start new thread"):
                pool.submit(square, 2)
        assert "workers=0/2" in repr(pool)
    assert pool.submit(square, 3).result(timeout=30) == 9
    pool.shutdown()


def test_a_worker_goes_on_where_none_can_be_started_in_its_place(monkeypatch):
    with oneloom.ThreadPool(1, max_tasks_per_worker=1) as pool:
        gate = oneloom.Event()
        first = pool.submit(gate.wait)
        rest = [pool.submit(threading.current_thread) for _ in range(3)]
        wait_until(first.running)
        monkeypatch.setattr(oneloom.Thread, "start", refuse)
        gate.set()
        assert len({future.result(timeout=30) for future in rest}) == 1


def test_ctrl_c_while_a_thread_is_started_is_not_lost(monkeypatch):
    class Interrupted(oneloom.Thread):
        def start(self):
            super().start()
            raise KeyboardInterrupt

    monkeypatch.setattr("oneloom._pool.threads.Thread", Interrupted)
    with oneloom.ThreadPool(1) as pool:
        with pytest.raises(KeyboardInterrupt):
            pool.submit(abs, -1)
        assert pool.submit(abs, -2).result(timeout=30) == 2


def test_a_pool_works_anew_in_the_child_of_a_fork():
    run = run_program(
        """
        import os, warnings, oneloom
        warnings.simplefilter("ignore", DeprecationWarning)
        pool = oneloom.ThreadPool(2)
        meet = oneloom.Barrier(2)
        [future.result() for future in [pool.submit(meet.wait) for _ in range(2)]]
        gate = oneloom.Event()
        running = [pool.submit(gate.wait) for _ in range(2)]
        waiting = pool.submit(print, "once", flush=True)
        child = os.fork()
        if child == 0:
            try:
                assert pool.submit(pow, 2, 5).result(timeout=10) == 32
                for future in [running[0], waiting]:
                    try:
                        future.result(timeout=10)
                    except RuntimeError as error:
                        assert "fork" in str(error), error
                    else:
                        raise AssertionError(future)
                pool.shutdown()
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        gate.set()
        pool.shutdown()
        assert waiting.done()
        """
    ).check()
    assert run.out == "once\n"


def test_a_task_may_fork():
    run = run_program(
        """
        import os, sys, warnings, oneloom
        warnings.simplefilter("ignore", DeprecationWarning)
        def fork():
            child = os.fork()
            if child == 0:
                return "child"
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with oneloom.ThreadPool(2) as pool:
            print(pool.submit(fork).result(), flush=True)
        """
    ).check()
    assert run.out == "0\n"


def test_no_more_than_the_tasks_at_hand_keep_others_from_python():
    """Functions written in C never let go of the interpreter by themselves."""
    with oneloom.ThreadPool(1) as pool:
        futures = [pool.submit(pow, 3, 2000) for _ in range(30_000)]
        began = time.monotonic()
        longest = 0.0
        while not futures[-1].done():
            before = time.monotonic()
            time.sleep(0)
            longest = max(longest, time.monotonic() - before)
        assert longest < max(0.1, (time.monotonic() - began) / 2)


def test_a_bar_shows_progress_on_a_terminal_and_in_a_notebook_only(monkeypatch):
    class Terminal:
        encoding = "utf-8"

        def __init__(self, is_terminal):
            self.is_terminal = is_terminal
            self.text = ""

        def write(self, text):
            self.text += text

        def flush(self):
            pass

        def isatty(self):
            return self.is_terminal

    with oneloom.ThreadPool(2) as pool:
        terminal, file = Terminal(True), Terminal(False)
        monkeypatch.setattr(sys, "stderr", terminal)
        assert list(pool.map(square, range(50), progress=True)) == [number * number for number in range(50)]
        assert re.search(r"100%.* 50/50 \[\d\d:\d\d<\d\d:\d\d, .*it/s\]", terminal.text)
        monkeypatch.setattr(sys, "stderr", file)
        assert list(pool.map(square, range(50), progress=True)) == [number * number for number in range(50)]
        assert file.text == ""
        notebook = type("OutStream", (Terminal,), {"__module__": "ipykernel.iostream"})(False)
        monkeypatch.setattr(sys, "stderr", notebook)
        assert list(pool.map(square, range(50), progress=True)) == [number * number for number in range(50)]
        assert "50/50" in notebook.text


def test_without_the_package_for_bars_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.std", None)
    with oneloom.ThreadPool(1) as pool:
        with pytest.raises(ImportError, match=r"oneloom\[progress\]"):
            pool.map(square, [1], progress=True)


def test_several_threads_share_one_map():
    with oneloom.ThreadPool(4) as pool:
        for ordered in (True, False):
            results = pool.map(square, range(2000), ordered=ordered)
            shares = [pool.submit(list, results) for _ in range(3)]
            assert sorted(sum((share.result(timeout=30) for share in shares), [])) == [n * n for n in range(2000)]
