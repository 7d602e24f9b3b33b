"""`oneloom.Thread`: results, awaiting, joining, contexts, exit and fork, and what stays as `threading.Thread` has it."""

import asyncio
import contextvars
import gc
import os
import sys
import threading
import traceback
import weakref

import pytest
from conftest import in_fork, run_program, wait_until

import oneloom
import oneloom.threading


@pytest.fixture
def quiet(monkeypatch):
    """The calls of `threading.excepthook`, which prints nothing meanwhile."""
    calls = []
    monkeypatch.setattr(threading, "excepthook", lambda args: calls.append((args.exc_type, args.exc_value, args.thread)))
    return calls


def started(*args, **kwargs):
    thread = oneloom.Thread(*args, **kwargs)
    thread.start()
    return thread


def fail(error):
    raise error


# What comes out of it.


def test_result_is_what_the_target_returns():
    assert started(target=divmod, args=(7, 2)).result() == (3, 1)
    assert started(target=int, args=("11",), kwargs={"base": 2}).result(10) == 3
    assert started().result() is None


def test_result_is_what_an_overridden_run_returns():
    class Worker(oneloom.Thread):
        def run(self):
            return self.name

    worker = Worker(name="worker")
    worker.start()
    assert worker.result() == "worker"


def test_result_of_a_run_that_calls_the_target_is_the_targets():
    class Worker(oneloom.Thread):
        def run(self):
            self.before = True
            super().run()

    worker = Worker(target=pow, args=(2, 3))
    worker.start()
    assert (worker.result(), worker.before) == (8, True)


def test_exception_goes_to_the_hook_and_is_raised_by_result(quiet):
    error = ValueError("no")
    thread = started(target=fail, args=(error,))
    for _ in range(2):
        with pytest.raises(ValueError) as raised:
            thread.result()
        assert raised.value is error
    assert quiet == [(ValueError, error, thread)]
    thread.join()


def test_hook_set_on_either_module_is_called(monkeypatch):
    before = threading.excepthook
    for module in (threading, oneloom.threading):
        calls = []
        with monkeypatch.context() as patch:
            patch.setattr(module, "excepthook", calls.append)
            assert threading.excepthook == oneloom.threading.excepthook == calls.append
            started(target=fail, args=(KeyError(),)).join()
        assert [args.exc_type for args in calls] == [KeyError]
    assert threading.excepthook is oneloom.threading.excepthook is before


def test_system_exit_ends_the_thread_quietly(capsys, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    thread = started(target=sys.exit, args=("reason",))
    with pytest.raises(SystemExit, match="reason"):
        thread.result()
    assert capsys.readouterr() == ("", "")


def test_traceback_is_the_one_of_plain_threading(monkeypatch):
    def functions(thread_class, **kwargs):
        calls = []
        with monkeypatch.context() as patch:
            patch.setattr(threading, "excepthook", lambda args: calls.append(traceback.extract_tb(args.exc_traceback)))
            thread = thread_class(**kwargs)
            thread.start()
            thread.join()
        return [(frame.filename, frame.lineno, frame.name) for frame in calls[0]]

    for context in ({}, {"context": contextvars.copy_context()}):
        plain = functions(threading.Thread, target=fail, args=(OSError(),))
        assert functions(oneloom.Thread, target=fail, args=(OSError(),), **context) == plain


def test_errors_of_start_and_join_show_no_frame_of_oneloom():
    thread = started(target=int)
    thread.join()
    for call in (thread.start, oneloom.Thread().join):
        with pytest.raises(RuntimeError) as raised:
            call()
        files = [os.path.basename(frame.filename) for frame in traceback.extract_tb(raised.value.__traceback__)]
        assert files == ["test_thread.py", "threading.py"]


# Waiting for it.


def test_result_raises_timeout_error_while_the_thread_runs(gate):
    thread = started(target=gate.wait, name="slow")
    for timeout in (0, 0.01, -1):
        with pytest.raises(TimeoutError, match="slow"):
            thread.result(timeout)
    gate.set()
    assert thread.result() is True


def test_join_takes_any_timeout(gate):
    thread = started(target=gate.wait)
    for timeout in (0, 0.01, -1, 1e-9):
        assert thread.join(timeout) is None
        assert thread.is_alive()
    gate.set()
    thread.join(60)
    assert not thread.is_alive()


def test_many_threads_join_one(gate):
    thread = started(target=gate.wait)
    joiners = [started(target=thread.join) for _ in range(20)]
    gate.set()
    for joiner in joiners:
        joiner.result(30)
    assert not thread.is_alive()


def test_thread_that_was_not_started_cannot_be_waited_for():
    thread = oneloom.Thread(target=int)
    for wait in (thread.join, thread.result, lambda: asyncio.run(thread.join_async()), lambda: asyncio.run(wait_for(thread))):
        with pytest.raises(RuntimeError, match="before it is started"):
            wait()


def test_thread_cannot_wait_for_itself():
    def wait():
        for call in (thread.join, thread.result, lambda: asyncio.run(thread.join_async())):
            with pytest.raises(RuntimeError, match="cannot join current thread"):
                call()

    thread = oneloom.Thread(target=wait)
    thread.start()
    thread.result()


async def wait_for(thread):
    return await thread


def test_awaiting_gives_the_result(quiet):
    assert asyncio.run(wait_for(started(target=divmod, args=(7, 2)))) == (3, 1)
    with pytest.raises(KeyError):
        asyncio.run(wait_for(started(target=fail, args=(KeyError("k"),))))


def test_awaited_thread_has_ended(gate):
    async def main():
        thread = started(target=gate.wait)
        asyncio.get_running_loop().call_soon(gate.set)
        assert await thread is True
        assert not thread.is_alive()
        assert await thread is True

    asyncio.run(main())


def test_join_async_takes_a_timeout(gate):
    async def main():
        thread = started(target=gate.wait)
        for timeout in (0, 0.01):
            assert await thread.join_async(timeout) is None
            assert thread.is_alive()
        waiting = asyncio.create_task(thread.join_async())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.set()
        await asyncio.gather(*(thread.join_async(30) for _ in range(10)))
        assert not thread.is_alive()

    asyncio.run(main())


def test_coroutines_of_several_loops_await_one_thread(gate):
    thread = started(target=gate.wait)
    loops = [started(target=lambda: asyncio.run(wait_for(thread))) for _ in range(5)]
    gate.set()
    assert [loop.result(30) for loop in loops] == [True] * 5


def test_await_without_a_loop_says_so(gate):
    coroutine = started(target=gate.wait).join_async()
    with pytest.raises(RuntimeError, match="(?i)loop"):
        coroutine.send(None)


# Its place among threads.


def test_it_is_a_threading_thread():
    thread = oneloom.Thread(target=len, daemon=True)
    assert isinstance(thread, threading.Thread) and thread.daemon
    assert oneloom.threading.Thread is oneloom.Thread
    assert thread.name.startswith("Thread-") and thread.name.endswith(" (len)")
    assert repr(thread) == f"<Thread({thread.name}, initial daemon)>"
    assert oneloom.Thread(None, None, "named").name == "named"


def test_running_thread_is_listed(gate):
    thread = started(target=lambda: (threading.current_thread(), gate.wait()))
    assert thread in threading.enumerate() and thread in oneloom.threading.enumerate()
    gate.set()
    assert thread.result()[0] is thread
    assert thread not in threading.enumerate()


def test_context_is_run_in():
    variable = contextvars.ContextVar("variable", default="unset")
    context = contextvars.copy_context()
    context.run(variable.set, "set")
    variable.set("here")

    def read():
        before = variable.get()
        variable.set("by the thread")
        return before

    assert started(target=read, context=context).result() == "set"
    assert context[variable] == "by the thread" and variable.get() == "here"
    if sys.version_info < (3, 14):
        assert started(target=read).result() == "unset"


def test_trace_and_profile_functions_reach_the_thread():
    seen = []
    previous = threading.getprofile()
    threading.setprofile(lambda frame, event, argument: seen.append(frame.f_code.co_name))
    try:
        started(target=fail.__class__.__call__, args=(lambda: None,)).join()
    finally:
        threading.setprofile(previous)
    assert "run" in seen


def test_run_may_be_set_on_the_instance():
    thread = oneloom.Thread()
    thread.run = run = lambda: "replaced"
    thread.start()
    assert thread.result() == "replaced"
    assert thread.run is run


def test_failed_start_leaves_a_thread_that_can_be_started(monkeypatch):
    name = "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"
    thread = oneloom.Thread(target=len, args=("abc",))
    with monkeypatch.context() as patch:
        patch.setattr(threading, name, lambda *args, **kwargs: fail(RuntimeError("can't start new thread")))
        with pytest.raises(RuntimeError, match="can't start"):
            thread.start()
    with pytest.raises(RuntimeError, match="before it is started"):
        thread.join()
    thread.start()
    assert thread.result() == 3


@pytest.mark.parametrize("ending", [lambda: None, sys.exit], ids=["return", "exit"])
def test_thread_and_what_it_held_are_freed_without_the_collector(ending, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)

    class Holder:
        def __init__(self):
            self.thread = oneloom.Thread(target=self.run, args=(self,))
            self.thread.start()

        def run(self, other):
            ending()

    gc.disable()
    try:
        holder = Holder()
        holder.thread.join()
        reference = weakref.ref(holder)
        del holder
        wait_until(lambda: reference() is None)
    finally:
        gc.enable()


# The end of the program, and forks.


def test_program_waits_for_foreground_threads_and_those_they_start():
    code = """
        import threading, oneloom

        def first(gate):
            gate.wait()
            threading.main_thread().join()
            print("first", flush=True)

        gate = threading.Event()
        oneloom.Thread(target=first, args=(gate,)).start()
        print("main", flush=True)
        gate.set()
    """
    assert run_program(code).check().out == "main\nfirst\n"


def test_threads_started_while_the_program_waits_are_waited_for():
    code = """
        import sys, threading, oneloom

        def chain(number):
            print(number, flush=True)
            if number:
                try:
                    oneloom.Thread(target=chain, args=(number - 1,)).start()
                except RuntimeError:
                    # CPython 3.12 and later let nobody start a thread any more.
                    assert sys.version_info >= (3, 12)
                    print(*range(number - 1, -1, -1), sep="\\n")

        def begin():
            leave.wait()
            chain(3)

        leave = threading.Event()
        oneloom.Thread(target=begin).start()
        threading._register_atexit(leave.set)
    """
    assert run_program(code).check().out == "3\n2\n1\n0\n"


def test_executor_that_nobody_shut_down_does_not_keep_the_program():
    code = """
        import oneloom.threading, sys
        sys.modules["threading"] = oneloom.threading
        from concurrent.futures import ThreadPoolExecutor

        executor = ThreadPoolExecutor(2)
        executor.submit(print, "worked", flush=True).result()
        oneloom.Thread(target=print, args=("thread",)).start()
    """
    assert run_program(code).check().out == "worked\nthread\n"


def test_daemon_thread_does_not_keep_the_program():
    code = """
        import oneloom
        oneloom.Thread(target=oneloom.Event().wait, daemon=True).start()
        print("end")
    """
    assert run_program(code).check().out == "end\n"


def test_thread_started_at_exit_runs():
    code = """
        import atexit, sys, oneloom

        def late():
            try:
                thread = oneloom.Thread(target=print, args=("late",))
                thread.start()
                thread.join()
            except RuntimeError:
                assert sys.version_info >= (3, 12)
                print("late")

        atexit.register(late)
    """
    assert run_program(code).check().out == "late\n"


def test_thread_that_a_fork_left_behind_has_ended_without_a_result(gate):
    thread = started(target=gate.wait)

    def check():
        assert not thread.is_alive()
        thread.join()
        asyncio.run(thread.join_async())
        with pytest.raises(RuntimeError, match="fork"):
            thread.result()
        assert started(target=len, args=("ab",)).result() == 2

    assert in_fork(check) == 0
    gate.set()
    assert thread.result() is True


def test_ended_thread_keeps_its_result_across_a_fork():
    thread = started(target=len, args=("abc",))
    thread.join()

    def check():
        assert thread.result() == 3
        assert asyncio.run(wait_for(thread)) == 3

    assert in_fork(check) == 0


def test_fork_inside_a_thread_goes_on_in_the_child():
    def fork():
        return in_fork(lambda: started(target=len, args=("ab",)).result())

    assert started(target=fork).result() == 0
