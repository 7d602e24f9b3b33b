"""Ctrl-C, or what a signal handler raises, while oneloom itself runs Python code on the main thread, reaches the program.

Reports of deadlocks are made in Python, and wakes on a loop's own thread go through the loop's code: a signal that comes
there must end the call that was made, and leave nothing of its wait behind.
"""

import pytest

from conftest import run_program
from deadlock_programs import PREAMBLE
from test_methods import COMMON

# A program raises the signal where it is to arrive: its handler runs before the next line.
INTERRUPT = """
import warnings
def interrupt(*_, **__):
    signal.raise_signal(signal.SIGINT)
    return "not interrupted"
class Loud(str):
    __repr__ = interrupt
"""
TWICE = """
lock = oneloom.Lock()
with lock:
    try:
        lock.acquire()
    except KeyboardInterrupt as error:
        print("interrupted", type(error.__context__).__name__, lock.statistics().waiting)
print(lock.locked())
"""
IN_REPORTS = {
    "while a cycle is reported": (
        f"oneloom.deadlock.policy(cycles='warn'); warnings.showwarning = interrupt\n{TWICE}",
        "interrupted NoneType 0\nFalse\n",
    ),
    "while handlers are looked up": (
        f"""
class Handler:
    func = property(interrupt)
    def __call__(self, *_): pass
signal.signal(signal.SIGUSR1, Handler())
{TWICE}""",
        "interrupted NoneType 0\nFalse\n",
    ),
    "while the victim's error is made": (
        f"threading.main_thread()._name = Loud('main'){TWICE}",
        "interrupted DeadlockError 0\nFalse\n",
    ),
    "while a quiet process is reported": (
        """
warnings.showwarning = interrupt
event = oneloom.Event()
try:
    event.wait()
except KeyboardInterrupt:
    print("interrupted", event.statistics().waiting)
event.set()
print(event.wait())
""",
        "interrupted 0\nTrue\n",
    ),
    "while a task is reported": (
        """
warnings.showwarning = interrupt
lock = oneloom.Lock()
async def main():
    async with lock:
        await lock.acquire_async()
loop = asyncio.new_event_loop()
try:
    loop.run_until_complete(main())
except KeyboardInterrupt:
    print("interrupted")
""",
        "interrupted\n",
    ),
    "while an owner is named": (
        """
threading.main_thread()._name = Loud('main')
lock = oneloom.Lock()
with lock:
    try:
        repr(lock)
    except KeyboardInterrupt:
        print("interrupted")
""",
        "interrupted\n",
    ),
}


@pytest.mark.parametrize("code, out", IN_REPORTS.values(), ids=IN_REPORTS)
def test_ctrl_c_reaches_the_caller(code, out):
    result = run_program(PREAMBLE + INTERRUPT + code).check()
    assert (result.out, result.err) == (out, ""), result


def test_what_a_handler_raises_while_a_cycle_is_reported_reaches_the_caller():
    code = """
import warnings
class Stop(Exception): pass
def handler(*_): raise Stop
signal.signal(signal.SIGUSR1, handler)
warnings.showwarning = lambda *_, **__: signal.raise_signal(signal.SIGUSR1)
first, second = oneloom.RLock(), oneloom.RLock()
def cross():
    with second, first: pass
with first:
    other = thread(cross)
    until(lambda: first.statistics().waiting)
    try:
        second.acquire()
    except Stop:
        print("stopped", second.statistics().waiting)
other.join()
"""
    result = run_program(PREAMBLE + code).check()
    assert result.out == "stopped 0\nThread-1 (catch) went on\n" and result.err == "", result


def test_ctrl_c_while_a_condition_takes_its_lock_again_is_raised_with_the_lock_held():
    # The other thread holds the condition's lock, and waits for one that this thread holds: a suspicion, since a third
    # may release that, and does so after Ctrl-C. Where the other is the first to tell of it, it leaves that to this one.
    code = """
import warnings
first, condition = oneloom.Lock(), oneloom.Condition()
main_id, told = threading.get_native_id(), []
class NotMine(Exception): pass
def showwarning(*_, **__):
    if threading.current_thread() is not threading.main_thread():
        raise NotMine
    told.append(1)
    signal.raise_signal(signal.SIGINT)
warnings.showwarning = showwarning
def cross():
    with condition:
        condition.notify()
        until_asleep(main_id)
        while True:
            try:
                first.acquire()
                break
            except NotMine: pass
def release():
    until(lambda: told)
    until_asleep(main_id)
    first.release()
first.acquire()
with condition:
    daemon(cross), daemon(release)
    try:
        condition.wait()
    except KeyboardInterrupt:
        print("interrupted", condition._is_owned())
"""
    result = run_program(COMMON + code).check()
    assert (result.out, result.err) == ("interrupted True\n", ""), result


LOOP = (
    COMMON
    + """
class Loop(asyncio.SelectorEventLoop):
    armed = None
    def interrupt(self, where):
        if Loop.armed == where:
            Loop.armed = None
            signal.raise_signal(signal.SIGINT)
    def call_soon(self, *args, **kwargs):
        handle = super().call_soon(*args, **kwargs)
        self.interrupt("call_soon")
        return handle
    def call_later(self, *args, **kwargs):
        handle = super().call_later(*args, **kwargs)
        self.interrupt("call_later")
        return handle
"""
)


def test_ctrl_c_while_a_task_of_the_same_loop_is_woken_reaches_the_caller():
    code = """
async def main():
    queue = oneloom.Queue()
    getter = asyncio.create_task(queue.get_async())
    while not queue.statistics().waiting:
        await asyncio.sleep(0)
    Loop.armed = "call_soon"
    try:
        queue.put("item")
        for _ in range(10): pass
    except KeyboardInterrupt:
        print("interrupted")
    print(await getter)
Loop().run_until_complete(main())
"""
    result = run_program(LOOP + code).check()
    assert (result.out, result.err) == ("interrupted\nitem\n", ""), result


def test_ctrl_c_while_an_awaitable_ends_reaches_the_coroutine():
    code = """
cancel = asyncio.TimerHandle.cancel
def interrupted_cancel(self):
    cancel(self)
    self._loop.interrupt("cancel")
asyncio.TimerHandle.cancel = interrupted_cancel
async def main():
    event = oneloom.Event()
    Loop.armed = "cancel"
    asyncio.get_running_loop().call_soon(event.set)
    try:
        await event.wait_async(timeout=600)
        for _ in range(10): pass
    except KeyboardInterrupt:
        print("interrupted")
Loop().run_until_complete(main())
"""
    result = run_program(LOOP + code).check()
    assert (result.out, result.err) == ("interrupted\n", ""), result


def test_ctrl_c_while_an_awaitable_begins_leaves_no_waiter_behind():
    code = """
async def main():
    queue = oneloom.Queue()
    Loop.armed = "call_later"
    try:
        await queue.get_async(timeout=600)
    except KeyboardInterrupt:
        print("interrupted", queue.statistics().waiting)
Loop().run_until_complete(main())
"""
    result = run_program(LOOP + code).check()
    assert (result.out, result.err) == ("interrupted 0\n", ""), result
