"""The interpreter's exit: daemon threads that wait in any method neither hold it up nor crash it, and foreground threads are waited for."""

import textwrap

import pytest

from conftest import STRESS, run_program
from test_methods import COMMON, METHODS, SHARED_METHODS

# Far above what an exit takes, far below the 60 s that a helper thread of these programs sleeps.
PROMPT = 10.0


def indent(text, depth=1):
    return textwrap.indent(text, "    " * depth)


def waiting_function(method):
    """`wait()` blocks in the method, and `help()` ends that from another thread."""
    if not method.is_async:
        return f"{method.setup}\ndef wait():\n{indent(method.call_with())}\ndef help():\n{indent(method.help)}\n"
    if not method.in_loop:
        return (
            f"{method.setup}\nasync def waiting():\n{indent(method.call_with())}\n"
            f"def wait(): asyncio.run(waiting())\ndef help():\n{indent(method.help)}\n"
        )
    return f"""
async def waiting():
    global subject, ready, loop
    loop = asyncio.get_running_loop()
{indent(method.setup)}
{indent(method.call_with())}
def wait(): asyncio.run(waiting())
def in_loop():
{indent(method.help)}
def help(): loop.call_soon_threadsafe(in_loop)
"""


@pytest.mark.parametrize("method", [pytest.param(method, id=method.id) for method in [*METHODS, *SHARED_METHODS]])
def test_a_daemon_thread_in_the_method_does_not_hold_up_the_exit(method):
    code = f"""{COMMON}
{waiting_function(method)}
thread = daemon(wait)
until(lambda: thread.native_id)
until_asleep(thread.native_id)
print("leaving")
"""
    result = run_program(code, timeout=PROMPT).check()
    assert (result.out, result.err) == ("leaving\n", "")


@pytest.mark.parametrize("method", [pytest.param(method, id=method.id) for method in [*METHODS, *SHARED_METHODS]])
def test_a_foreground_thread_in_the_method_is_waited_for(method):
    code = f"""{COMMON}
{waiting_function(method)}
main_id = threading.get_native_id()
def work():
    wait()
    print("ended")
thread = oneloom.Thread(target=work)
thread.start()
until_asleep(thread.native_id)
def late():
    # The main thread sleeps only once it waits at exit for the others.
    until_asleep(main_id)
    print("helping")
    help()
daemon(late)
sys.exit(3)
"""
    result = run_program(code, timeout=PROMPT + 10).check(3)
    assert (result.out, result.err) == ("helping\nended\n", "")


@pytest.mark.stress
def test_daemon_threads_in_full_swing_do_not_crash_the_exit():
    code = """
queue, small, lock, semaphore = oneloom.Queue(), oneloom.Queue(1), oneloom.Lock(), oneloom.Semaphore(1)
event, condition = oneloom.Event(), oneloom.Condition()
running = set()
def swing(number):
    while True:
        with lock: pass
        queue.put(number); queue.get()
        small.put(object()); small.get()
        with semaphore: pass
        event.set(); event.wait(); event.clear(); event.wait(timeout=0.0001)
        with condition: condition.notify(); condition.wait(timeout=0.0001)
        running.add(number)
async def swing_async(number):
    while True:
        async with lock: pass
        await queue.put_async(number); await queue.get_async()
        await event.wait_async(timeout=0.0001)
        running.add(number)
for number in range(4): daemon(lambda number=number: swing(number))
for number in (4, 5): daemon(lambda number=number: asyncio.run(swing_async(number)))
until(lambda: len(running) == 6)
"""
    for _ in range(int(15 * STRESS)):
        result = run_program(COMMON + code, timeout=PROMPT + 10).check()
        assert (result.out, result.err) == ("", ""), result


@pytest.mark.stress
def test_exit_while_a_thread_is_just_being_woken():
    code = """
queue = oneloom.Queue()
for _ in range(20): daemon(lambda: [queue.get() for _ in range(1000)])
until(lambda: queue.statistics().waiting_getters == 20)
for number in range(200): queue.put(number)
"""
    for _ in range(int(15 * STRESS)):
        result = run_program(COMMON + code, timeout=PROMPT).check()
        assert (result.out, result.err) == ("", ""), result


def test_objects_still_work_in_functions_that_run_at_exit():
    code = """
import atexit, weakref
lock, queue, event = oneloom.Lock(), oneloom.Queue(), oneloom.Event()
waiter = daemon(queue.get)
until(lambda: queue.statistics().waiting_getters == 1)
@atexit.register
def at_exit():
    with lock: queue.put(1)
    waiter.join(10)
    event.set()
    print(waiter.is_alive(), event.wait(timeout=10), queue.qsize())
class Last:
    # Runs while the interpreter is being taken apart.
    def __del__(self, lock=lock, queue=queue):
        with lock:
            queue.put(2)
            queue.get()
sys.last_of_all = Last()
"""
    result = run_program(COMMON + code, timeout=PROMPT).check()
    assert (result.out, result.err) == ("False True 0\n", "")


@pytest.mark.parametrize(
    "ending, status, err_ends",
    [
        pytest.param("sys.exit(4)", 4, "", id="sys.exit"),
        pytest.param("raise ValueError('so')", 1, "ValueError: so\n", id="exception"),
        pytest.param("os._exit(6)", 6, "", id="os._exit"),
        pytest.param("os.kill(os.getpid(), signal.SIGTERM)", -15, "", id="SIGTERM"),
    ],
)
def test_waiting_daemon_threads_leave_the_exit_status_alone(ending, status, err_ends):
    code = f"""
queue, event = oneloom.Queue(), oneloom.Event()
for _ in range(3): daemon(queue.get); daemon(event.wait)
until(lambda: queue.statistics().waiting_getters == 3 and event.statistics().waiting == 3)
{ending}
"""
    result = run_program(COMMON + code, timeout=PROMPT).check(status)
    assert result.err.endswith(err_ends) and bool(result.err) == bool(err_ends), result


def test_a_loop_that_is_closed_while_a_task_waits_is_not_touched_again():
    code = """
queue = oneloom.Queue()
async def main():
    task = asyncio.ensure_future(queue.get_async())
    await asyncio.sleep(0.01)
    return task
loop = asyncio.new_event_loop()
task = loop.run_until_complete(main())
loop.close()
queue.put("for nobody there")
print(queue.qsize())
task._log_destroy_pending = False
"""
    result = run_program(COMMON + code, timeout=PROMPT).check()
    assert (result.out, result.err) == ("1\n", "")
