"""Ctrl-C and other signals end or interrupt every blocking method on the main thread, and leave the object usable."""

import signal
import textwrap

import pytest

from conftest import finish, program, run_program
from test_methods import COMMON, METHODS, SHARED_METHODS


def indent(text, depth=1):
    return textwrap.indent(text, "    " * depth)


# A signal whose handler returns first: the wait goes on. Then Ctrl-C: it ends. Then the same wait ends by help.
POKE = """
main_id = threading.get_native_id()
handled = []
signal.signal(signal.SIGUSR1, lambda *_: handled.append(threading.get_native_id()))
def poke():
    until_asleep(main_id)
    os.kill(os.getpid(), signal.SIGUSR1)
    until(lambda: handled)
    until_asleep(main_id)
    os.kill(os.getpid(), signal.SIGINT)
"""


def sync_program(method, timeout):
    return f"""{COMMON}{POKE}
{method.setup}
def aid():
    until_asleep(main_id)
{indent(method.help)}
daemon(poke)
try:
{indent(method.call_with(timeout))}
except KeyboardInterrupt:
    print("interrupted", handled == [main_id])
{method.again}
daemon(aid)
{method.call_with(timeout)}
print("went on")
"""


def async_program(method, timeout):
    aid = "loop.call_soon_threadsafe(in_loop, loop)" if method.in_loop else "in_loop(loop)"
    return f"""{COMMON}{POKE}
async def main(interrupted):
    loop = asyncio.get_running_loop()
    global subject, ready, holder, gate
{indent(method.setup)}
    def in_loop(loop):
{indent(method.help, 2)}
    def aid():
        until_asleep(main_id)
        {aid}
    daemon(poke if interrupted else aid)
{indent(method.call_with(timeout))}
subject = None
try:
    oneloom.run(main(True))
except KeyboardInterrupt:
    print("interrupted", handled == [main_id])
if hasattr(subject, "statistics"):
    assert subject.statistics().waiting == 0, subject.statistics()
oneloom.run(main(False))
print("went on")
"""


ROWS = [*METHODS, *SHARED_METHODS]
CASES = [pytest.param(method, None, id=method.id) for method in ROWS]
CASES += [pytest.param(method, 600, id=f"{method.id}-timed") for method in ROWS if method.takes_timeout]


@pytest.mark.parametrize("method, timeout", CASES)
def test_ctrl_c_ends_the_wait_and_another_signal_does_not(method, timeout):
    code = (async_program if method.is_async else sync_program)(method, timeout)
    result = run_program(code).check()
    assert result.out == "interrupted True\nwent on\n", result
    assert result.err == "", result


def test_ctrl_c_ends_a_program_as_it_ends_a_plain_one():
    code = COMMON + "print('ready'); oneloom.Event().wait()"
    with program(code) as child:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        result = finish(child)
    assert result.err.endswith("KeyboardInterrupt\n") and not result.timed_out, result
    # Dead by the signal, so that a shell's loop stops too.
    assert result.status == -signal.SIGINT, result


def test_a_signal_handler_may_use_the_lock_that_it_interrupts():
    code = (
        COMMON
        + """
lock, result = oneloom.RLock(), []
def handler(*_):
    with lock:
        result.append("in")
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
queue = oneloom.Queue(1)
for number in range(20000):
    with lock:
        pass
    queue.put(number)
    assert queue.get() == number
until(lambda: len(result) > 10)
signal.setitimer(signal.ITIMER_REAL, 0)
print(lock.locked(), queue.qsize())
"""
    )
    result = run_program(code).check()
    assert (result.out, result.err) == ("False 0\n", "")


def test_a_signal_handler_may_use_the_queue_that_it_interrupts():
    code = (
        COMMON
        + """
queue, sent = oneloom.Queue(), 0
def handler(*_):
    global sent
    queue.put("from the handler")
    sent += 1
signal.signal(signal.SIGUSR1, handler)
main_id = threading.get_native_id()
def send():
    for _ in range(50):
        until_asleep(main_id) if sent < 3 else None
        before = sent
        os.kill(os.getpid(), signal.SIGUSR1)
        until(lambda: sent > before)
daemon(send)
for _ in range(50):
    assert queue.get() == "from the handler"
print("all", queue.qsize())
"""
    )
    result = run_program(code).check()
    assert (result.out, result.err) == ("all 0\n", "")


def test_a_handler_that_raises_leaves_no_waiter_behind():
    code = (
        COMMON
        + """
class Stop(Exception): pass
def handler(*_): raise Stop
signal.signal(signal.SIGUSR1, handler)
main_id = threading.get_native_id()
queue, lock = oneloom.Queue(), oneloom.Lock()
holder = Holder(lock)
stops = 0
def send():
    for number in range(1, 41):
        until_asleep(main_id) if number < 5 else until(lambda: queue.statistics().waiting + lock.statistics().waiting)
        os.kill(os.getpid(), signal.SIGUSR1)
        until(lambda: stops == number)
daemon(send)
for number in range(40):
    try:
        queue.get() if number % 2 else lock.acquire()
    except Stop:
        assert queue.statistics().waiting_getters == lock.statistics().waiting == 0
        stops += 1
# A waiter that was left behind would swallow the item, or the lock.
queue.put("item")
holder.free.set()
print(queue.get(), lock.acquire(timeout=20))
"""
    )
    result = run_program(code).check()
    assert (result.out, result.err) == ("item True\n", "")


def test_ctrl_c_in_a_thread_pool_of_waiters_reaches_the_main_thread_only():
    code = (
        COMMON
        + """
queue = oneloom.Queue()
ends = []
def consume():
    try:
        for item in queue: pass
        ends.append("shut down")
    except BaseException as error:
        ends.append(repr(error))
threads = [oneloom.Thread(target=consume) for _ in range(5)]
for thread in threads: thread.start()
until(lambda: queue.statistics().waiting_getters == 5)
main_id = threading.get_native_id()
daemon(lambda: (until_asleep(main_id), os.kill(os.getpid(), signal.SIGINT)))
try:
    threads[0].join()
except KeyboardInterrupt:
    print("interrupted", queue.statistics().waiting_getters)
queue.shutdown()
for thread in threads: thread.join()
print(ends == ["shut down"] * 5)
"""
    )
    result = run_program(code).check()
    assert (result.out, result.err) == ("interrupted 5\nTrue\n", "")
