"""What a type checker sees: mypy reads each of these lines as a user's program, and must agree or object."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

HEAD = """\
import asyncio
import concurrent.futures
import multiprocessing
from typing import Literal, assert_type

import oneloom
import oneloom.queue
import oneloom.shared
import oneloom.threading


def double(number: int) -> int:
    return 2 * number


async def text() -> str:
    return "text"


"""

RIGHT = {
    "a queue gives what it holds": "assert_type(oneloom.Queue[int](5, name='jobs').get(), int)",
    "so does a lifo queue": "assert_type(oneloom.LifoQueue[str]().get_nowait(), str)",
    "and a priority queue": "assert_type(oneloom.PriorityQueue[tuple[int, str]](0).get(timeout=1), tuple[int, str])",
    "and a simple queue": "assert_type(oneloom.SimpleQueue[bytes]().get(False), bytes)",
    "a coroutine gets the same": "assert_type(await oneloom.Queue[int]().get_async(timeout=0.5), int)",
    "also from a simple queue": "assert_type(await oneloom.SimpleQueue[int]().get_async(), int)",
    "a shared queue gives what it holds": "assert_type(oneloom.shared.Queue[int](5, name='jobs').get(timeout=1), int)",
    "also in a coroutine of another process": "assert_type(await oneloom.shared.Queue[str]().get_async(), str)",
    "a shared priority queue takes a priority": "assert_type(oneloom.shared.PriorityQueue[int]().put(1, 2.5, timeout=1), None)",
    "and a coroutine gives one, too": "assert_type(await oneloom.shared.PriorityQueue[str]().put_async('a', priority=-1), None)",
    "a shared event is waited for": "assert_type(await oneloom.shared.Event(name='up').wait_async(timeout=1), bool)",
    "a shared lock tells of a death": "assert_type(oneloom.shared.Lock().recovered, bool)",
    "get_async is a coroutine function": "asyncio.create_task(oneloom.Queue[int]().get_async())",
    "for gives items": "for item in oneloom.Queue[int](): assert_type(item, int)",
    "async for gives items": "async for item in oneloom.LifoQueue[int](): assert_type(item, int)",
    "a subclass's queue is a queue": "queue: oneloom.Queue[int] = oneloom.PriorityQueue()",
    "the drop-in queue is the same": "assert_type(oneloom.queue.Queue[int]().get(), int)",
    "maxsize can be set": "oneloom.Queue[int]().maxsize = 7",
    "a thread has its target's result": "assert_type(oneloom.Thread(target=double, args=(2,)).result(), int)",
    "awaiting it gives the same": "assert_type(await oneloom.Thread(target=double, args=(2,)), int)",
    "a process has its target's result": "assert_type(oneloom.Process(target=double, args=(2,)).result(timeout=1), int)",
    "also when it is awaited": "assert_type(await oneloom.Process(target=double, args=(2,), start_method='spawn'), int)",
    "a future gives what it was promised": "assert_type(oneloom.Future[int]().result(timeout=1), int)",
    "also when it is awaited ": "assert_type(await oneloom.Future[str](), str)",
    "a pool's task gives its function's value": "assert_type(oneloom.ThreadPool(2).submit(double, 2).result(), int)",
    "also awaited": "assert_type(await oneloom.ThreadPool(2).submit(double, number=2), int)",
    "and with settings of its own": "assert_type(oneloom.ThreadPool(2).options(timeout=1).submit(double, 2).result(), int)",
    "a process's as well": "assert_type(oneloom.ProcessPool(2).options(retries=1, timeout=None).submit(double, 2).result(), int)",
    "a pool of any kind has the same": "pool: oneloom.Pool = oneloom.ProcessPool(); assert_type(pool.submit(double, 2).result(), int)",
    "calls with many arguments": "for power in oneloom.ThreadPool(2).starmap(double, [(1,), (2,)], progress=True): assert_type(power, int)",
    "a coroutine enters a pool": "async with oneloom.ProcessPool() as inside: assert_type(inside, oneloom.ProcessPool)",
    "a map gives them all": "for item in oneloom.ThreadPool(2).map(double, range(3)): assert_type(item, int)",
    "in a coroutine, too": "async for item in oneloom.ThreadPool(2).imap_unordered(double, [1]): assert_type(item, int)",
    "a pool is an executor": "executor: concurrent.futures.Executor = oneloom.ThreadPool()",
    "a pool is left with what it was entered": "with oneloom.ThreadPool() as entered: assert_type(entered, oneloom.ThreadPool)",
    "a future is the standard library's": "future: concurrent.futures.Future[int] = oneloom.Future[int]()",
    "its callback is given it": "oneloom.Future[int]().add_done_callback(lambda done: assert_type(done.result(), int))",
    "a thread waits for many": "done, pending = oneloom.wait([oneloom.Future[int](), oneloom.Thread()], 1.5, 'FIRST_COMPLETED')",
    "a coroutine as well": "done, pending = await oneloom.wait_async([oneloom.Future[int](), asyncio.sleep(1)])",
    "what has ended comes to for": "for ended in oneloom.as_completed([oneloom.Future[int]()]): assert_type(ended.result(), int)",
    "and to async for": "async for ended in oneloom.as_completed([oneloom.Future[int]()]): assert_type(await ended, int)",
    "results are gathered": "assert_type(oneloom.gather(oneloom.Future[int](), oneloom.Thread(target=double, args=(2,))).result(), list[int])",
    "and awaited together": "assert_type(await oneloom.gather(oneloom.Future[int](), concurrent.futures.Future[int]()), list[int])",
    "a process is multiprocessing's": "process: multiprocessing.Process = oneloom.Process()",
    "a death has a status": "assert_type(oneloom.WorkerDied('text', -9).exitcode, int | None)",
    "run gives the coroutine's result": "assert_type(oneloom.run(text()), str)",
    "acquire says whether": "assert_type(oneloom.Lock(name='lock').acquire(timeout=-1), bool)",
    "acquire_async says whether": "assert_type(await oneloom.RLock().acquire_async(1), bool)",
    "with a lock": "with oneloom.Lock() as taken: assert_type(taken, Literal[True])",
    "async with a lock": "async with oneloom.Lock() as nothing: assert_type(nothing, None)",
    "with and async with others": (
        "with oneloom.RLock(), oneloom.Semaphore(2), oneloom.BoundedSemaphore(), oneloom.Condition(oneloom.Lock()): pass"
    ),
    "a predicate's value comes back": "assert_type(oneloom.Condition().wait_for(lambda: 'news'), str)",
    "also in a coroutine": "assert_type(await oneloom.Condition().wait_for_async(lambda: 3, timeout=1), int)",
    "a barrier gives an index": "assert_type(await oneloom.Barrier(2, print, 1.5).wait_async(), int)",
    "statistics have numbers": "assert_type(oneloom.Queue[int]().statistics().waiting_getters, int)",
    "a name may be missing": "assert_type(oneloom.Event().name, str | None)",
    "a drop-in lock is a lock": "lock: oneloom.Lock = oneloom.threading.Lock()",
    "a policy is a context manager": "with oneloom.deadlock.policy(cycles='warn', tasks='raise'): pass",
    "a deadlock is a RuntimeError": "error: RuntimeError = oneloom.DeadlockError('text')",
    "shutdown's error exists on every version": "error: type[Exception] = oneloom.queue.ShutDown",
}

WRONG = {
    "a wrong item": "oneloom.Queue[int]().put('one')",
    "a wrong item in a coroutine": "await oneloom.Queue[int]().put_async('one')",
    "a coroutine that is not awaited": "number: int = oneloom.Queue[int]().get_async()",
    "a positional name": "oneloom.Lock('lock')",
    "a timeout in words": "oneloom.Lock().acquire(timeout='long')",
    "a policy that does not exist": "oneloom.deadlock.policy(cycles='ignore')",
    "a lock that is none": "oneloom.Condition(3)",
    "setting a name": "oneloom.Lock().name = 'lock'",
    "a wrong result": "value: str = oneloom.Thread(target=double, args=(2,)).result()",
    "a wrong result of a process": "value: str = oneloom.Process(target=double, args=(2,)).result()",
    "a wrong argument of a pool's task": "oneloom.ThreadPool().submit(double, 'two')",
    "a missing argument of a pool's task": "oneloom.ProcessPool().submit(double)",
    "a time limit in words": "oneloom.ThreadPool().options(timeout='long')",
    "a setting that does not exist": "oneloom.ThreadPool().options(limit=1)",
    "a pool's start method that does not exist": "oneloom.ProcessPool(start_method='thread')",
    "a result of the wrong type": "number: str = next(oneloom.ThreadPool().map(double, [1]))",
    "a start method that does not exist": "oneloom.Process(start_method='thread')",
}


@pytest.fixture(scope="module")
def complaints(tmp_path_factory):
    """mypy's complaints about each line, by its text; mypy is run once, over one program of all lines."""
    statements = [*RIGHT.values(), *WRONG.values()]
    program = HEAD
    line_of = {}
    for number, statement in enumerate(statements):
        line_of[program.count("\n") + 2] = statement
        program += f"async def check_{number}() -> None:\n    {statement}\n"
    folder = tmp_path_factory.mktemp("types")
    (folder / "program.py").write_text(program)
    options = ["--strict", "--config-file", "pyproject.toml", "--cache-dir", folder / "cache", "--no-error-summary"]
    command = [sys.executable, "-m", "mypy", *options, folder / "program.py"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = {statement: [] for statement in statements}
    for line in run.stdout.splitlines():
        if ": note: " in line:
            continue
        place = re.search(r"program\.py:(\d+): error: (.*)", line)
        assert place, f"a complaint about something else: {run.stdout}{run.stderr}"
        found[line_of[int(place[1])]].append(place[2])
    assert run.returncode == 1, f"mypy found nothing in the wrong lines: {run.stderr}"
    return found


@pytest.mark.parametrize("what", RIGHT)
def test_a_right_line_is_accepted(complaints, what):
    assert complaints[RIGHT[what]] == []


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_line_is_refused(complaints, what):
    assert complaints[WRONG[what]]


def test_the_package_passes_the_strict_check():
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "python/oneloom"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.stdout, run.returncode) == ("", 0)
