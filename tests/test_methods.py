"""The table of every method that may block, and the test that none is missing from it.

The tests of Ctrl-C, fork, interpreter exit and cancellation run over this table. Each row is program text, because most of
those tests need a process of their own: `setup` makes a `subject` on which `call` blocks, and `help`, run by another thread,
ends the wait. `TIMEOUT` in a call stands where a timeout may be given.
"""

import inspect
import re
from dataclasses import dataclass

import oneloom
import oneloom.asyncio
import oneloom.queue
import oneloom.shared
import oneloom.threading

# What every program over the table begins with. `until_asleep` looks at the kernel's own record of a thread.
COMMON = '''
import asyncio, ctypes, os, signal, sys, threading, time
import oneloom, oneloom.asyncio, oneloom.queue, oneloom.shared, oneloom.threading

def until(condition, deadline=20):
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("waited too long for " + str(condition))
        time.sleep(0.001)

def switches(native_id):
    with open(f"/proc/self/task/{native_id}/status") as status:
        lines = status.read().splitlines()
    return [line for line in lines if line.startswith(("State", "voluntary", "nonvoluntary"))]

def until_asleep(native_id):
    """Until the thread has slept for 30 ms without being scheduled once."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        before = switches(native_id)
        time.sleep(0.03)
        if before == switches(native_id) and "S (sleeping)" in before[0]:
            return
    raise SystemExit(f"thread {native_id} never slept: {switches(native_id)}")

def daemon(target):
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread

class Holder:
    """A thread that holds a lock until it is told to let go."""
    def __init__(self, lock):
        self.held, self.free = threading.Event(), threading.Event()
        daemon(lambda: self.hold(lock))
        self.held.wait()
    def hold(self, lock):
        lock.acquire()
        self.held.set()
        self.free.wait()
        lock.release()

async def notify_all(condition):
    async with condition:
        condition.notify_all()

# Somebody outside who might help: so no process here ever counts as quiet.
daemon(lambda: time.sleep(600))
'''


@dataclass(frozen=True)
class Method:
    """One method that may block, on one class."""

    owner: str  # the class, as it is written: oneloom.Lock
    name: str
    setup: str
    call: str
    help: str
    is_async: bool = False
    again: str = ""  # what makes the subject usable again after an interrupted call
    # In a forked child the thread that held the lock, or that is joined, is gone.
    orphan_help: str | None = None
    may_answer: bool = False  # ... and so the call may raise DeadlockError there
    in_loop: bool = False  # the subject belongs to one loop, and `help` must run there
    in_parent: bool = False  # a forked child may not call it: tests/test_process_family.py has that
    variant: str = ""  # what tells it from another row for the same method

    @property
    def id(self):
        return f"{self.owner.removeprefix('oneloom.')}.{self.name}{self.variant and '-'}{self.variant}"

    def call_with(self, timeout=None):
        return self.call.replace("TIMEOUT", "" if timeout is None else f"timeout={timeout}")

    @property
    def takes_timeout(self):
        return "TIMEOUT" in self.call


def lock_rows(owner, is_async=True):
    reentrant = "RLock" in owner or "Condition" in owner
    common = {
        "setup": f"subject = {owner}(); holder = Holder(subject)",
        "help": "holder.free.set()",
        "orphan_help": None if reentrant else "subject.release()",
        "may_answer": reentrant,
    }
    yield Method(owner, "acquire", call="subject.acquire(TIMEOUT)", **common)
    yield Method(owner, "__enter__", call="with subject: pass", **common)
    if is_async:
        yield Method(owner, "acquire_async", call="await subject.acquire_async(TIMEOUT)", is_async=True, **common)
        yield Method(owner, "__aenter__", call="async with subject: pass", is_async=True, **common)


def semaphore_rows(owner):
    common = {"setup": f"subject = {owner}(1); subject.acquire()", "help": "subject.release()"}
    yield Method(owner, "acquire", call="subject.acquire(TIMEOUT)", **common)
    yield Method(owner, "__enter__", call="with subject: pass", **common)
    yield Method(owner, "acquire_async", call="await subject.acquire_async(TIMEOUT)", is_async=True, **common)
    yield Method(owner, "__aenter__", call="async with subject: pass", is_async=True, **common)


def event_rows(owner):
    common = {"setup": f"subject = {owner}()", "help": "subject.set()"}
    yield Method(owner, "wait", call="subject.wait(TIMEOUT)", **common)
    yield Method(owner, "wait_async", call="await subject.wait_async(TIMEOUT)", is_async=True, **common)


def condition_rows(owner):
    yield from lock_rows(owner)
    common = {"setup": f"subject = {owner}(); ready = []", "help": "ready.append(1)\nwith subject: subject.notify_all()"}
    yield Method(owner, "wait", call="with subject: subject.wait(TIMEOUT)", **common)
    yield Method(owner, "wait_for", call="with subject: subject.wait_for(lambda: ready, TIMEOUT)", **common)
    call = "async with subject: await subject.wait_async(TIMEOUT)"
    yield Method(owner, "wait_async", call=call, is_async=True, **common)
    call = "async with subject: await subject.wait_for_async(lambda: ready, TIMEOUT)"
    yield Method(owner, "wait_for_async", call=call, is_async=True, **common)


def barrier_rows(owner):
    common = {"setup": f"subject = {owner}(2)", "help": "subject.wait()", "again": "subject.reset()"}
    yield Method(owner, "wait", call="subject.wait(TIMEOUT)", **common)
    yield Method(owner, "wait_async", call="await subject.wait_async(TIMEOUT)", is_async=True, **common)


def queue_rows(owner, bounded=True, handed_over=False):
    # Using the mutex makes a queue follow the standard library's algorithm.
    make, variant = (f"subject = {owner}(1); subject.mutex", "handed over") if handed_over else (f"subject = {owner}(1)", "")
    make = make if bounded else f"subject = {owner}()"
    empty = {"setup": make, "help": "subject.put(1)", "variant": variant}
    yield Method(owner, "get", call="subject.get(TIMEOUT)", **empty)
    yield Method(owner, "__next__", call="next(iter(subject))", **empty)
    yield Method(owner, "get_async", call="await subject.get_async(TIMEOUT)", is_async=True, **empty)
    yield Method(owner, "__anext__", call="await anext(aiter(subject))", is_async=True, **empty)
    if bounded:
        full = {"setup": f"{make}; subject.put(0)", "help": "subject.get()", "variant": variant}
        yield Method(owner, "put", call="subject.put(1, TIMEOUT)", **full)
        yield Method(owner, "put_async", call="await subject.put_async(1, TIMEOUT)", is_async=True, **full)
        undone = {"setup": f"{make}; subject.put(0)", "help": "subject.task_done()", "variant": variant}
        yield Method(owner, "join", call="subject.join()", **undone)
        yield Method(owner, "join_async", call="await subject.join_async(TIMEOUT)", is_async=True, **undone)


def thread_rows(owner):
    common = {
        "setup": f"gate = threading.Event(); subject = {owner}(target=gate.wait, daemon=True); subject.start()",
        "help": "gate.set()",
        "orphan_help": "pass",
        "may_answer": True,
    }
    yield Method(owner, "join", call="subject.join(TIMEOUT)", **common)
    yield Method(owner, "result", call="subject.result(TIMEOUT)", **common)
    yield Method(owner, "join_async", call="await subject.join_async(TIMEOUT)", is_async=True, **common)
    yield Method(owner, "__await__", call="await subject", is_async=True, **common)


def process_rows(owner):
    make = f"gate = oneloom.shared.Event(); subject = {owner}(target=gate.wait, daemon=True)"
    make = f"import contextlib, oneloom.shared; {make}"
    # At a program's exit, multiprocessing ends its daemons, and a thread that waits for one's result is told.
    unless_ended = "with contextlib.suppress(oneloom.WorkerDied): "
    common = {"setup": f"{make}; subject.start()", "help": "gate.set()", "in_parent": True}
    yield Method(owner, "join", call="subject.join(TIMEOUT)", **common)
    yield Method(owner, "result", call=f"{unless_ended}subject.result(TIMEOUT)", **common)
    yield Method(owner, "join_async", call="await subject.join_async(TIMEOUT)", is_async=True, **common)
    yield Method(owner, "__await__", call=f"{unless_ended}await subject", is_async=True, **common)


def future_rows(owner):
    common = {"setup": f"subject = {owner}()", "help": "subject.set_result(1)"}
    yield Method(owner, "result", call="subject.result(TIMEOUT)", **common)
    yield Method(owner, "exception", call="subject.exception(TIMEOUT)", **common)
    yield Method(owner, "__await__", call="await subject", is_async=True, **common)


def asyncio_rows():
    """The drop-ins for asyncio: coroutine methods under the standard names, for one loop only."""

    def row(kind, name, setup, call, help):
        return Method(f"oneloom.asyncio.{kind}", name, setup, call, help, is_async=True, in_loop=True)

    for kind in ("Lock", "Semaphore", "BoundedSemaphore", "Condition"):
        setup = f"subject = oneloom.asyncio.{kind}(); await subject.acquire()"
        yield row(kind, "acquire", setup, "await subject.acquire()", "subject.release()")
        yield row(kind, "__aenter__", setup, "async with subject: pass", "subject.release()")
    # Notifying needs the lock, which the waiter has given up, and nobody else wants.
    setup = "subject = oneloom.asyncio.Condition(); ready = []"
    notify = "ready.append(1)\nasyncio.ensure_future(notify_all(subject))"
    yield row("Condition", "wait", setup, "async with subject: await subject.wait()", notify)
    yield row("Condition", "wait_for", setup, "async with subject: await subject.wait_for(lambda: ready)", notify)
    yield row("Event", "wait", "subject = oneloom.asyncio.Event()", "await subject.wait()", "subject.set()")
    setup, help = "subject = oneloom.asyncio.Barrier(2)", "asyncio.ensure_future(subject.wait())"
    yield row("Barrier", "wait", setup, "await subject.wait()", help)
    yield row("Barrier", "__aenter__", setup, "async with subject: pass", help)
    for kind in ("Queue", "LifoQueue", "PriorityQueue"):
        setup = f"subject = oneloom.asyncio.{kind}(1)"
        yield row(kind, "get", setup, "await subject.get()", "subject.put_nowait(1)")
        yield row(kind, "put", setup + "; subject.put_nowait(0)", "await subject.put(1)", "subject.get_nowait()")
        yield row(kind, "join", setup + "; subject.put_nowait(0)", "await subject.join()", "subject.task_done()")


def unified_rows():
    yield from lock_rows("oneloom.Lock")
    yield from lock_rows("oneloom.RLock")
    for kind in ("Semaphore", "BoundedSemaphore"):
        yield from semaphore_rows(f"oneloom.{kind}")
    yield from event_rows("oneloom.Event")
    yield from condition_rows("oneloom.Condition")
    yield from barrier_rows("oneloom.Barrier")
    for kind in ("Queue", "LifoQueue", "PriorityQueue"):
        yield from queue_rows(f"oneloom.{kind}")
    yield from queue_rows("oneloom.Queue", handed_over=True)
    yield from queue_rows("oneloom.SimpleQueue", bounded=False)
    yield from thread_rows("oneloom.Thread")
    yield from process_rows("oneloom.Process")
    yield from future_rows("oneloom.Future")


ROWS_OF = {
    "Lock": lock_rows,
    "RLock": lock_rows,
    "Semaphore": semaphore_rows,
    "BoundedSemaphore": semaphore_rows,
    "Event": event_rows,
    "Condition": condition_rows,
    "Barrier": barrier_rows,
    "Thread": thread_rows,
    "Queue": queue_rows,
    "LifoQueue": queue_rows,
    "PriorityQueue": queue_rows,
    "SimpleQueue": lambda owner: queue_rows(owner, bounded=False),
}


def class_at(path):
    """The class that a dotted path such as `oneloom.threading.Lock` names; in the drop-in module it may be a function."""
    module, _, name = path.rpartition(".")
    found = getattr({"oneloom": oneloom, "oneloom.shared": oneloom.shared, "oneloom.threading": oneloom.threading, "oneloom.queue": oneloom.queue,
                     "oneloom.asyncio": oneloom.asyncio}[module], name)  # fmt: skip
    return found if inspect.isclass(found) else type(found())


def drop_in_rows():
    """Rows for the classes of the drop-in modules that are not simply the top-level ones, as far as they have the method."""
    for module in ("threading", "queue"):
        for kind, rows in ROWS_OF.items():
            owner = f"oneloom.{module}.{kind}"
            if hasattr(getattr(oneloom, module), kind) and class_at(owner) is not getattr(oneloom, kind):
                yield from (row for row in rows(owner) if hasattr(class_at(owner), row.name))


SHARED = ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Event", "Condition", "Barrier")


def shared_rows():
    """Rows for what processes share, with the same contracts; a fork is another matter there."""
    for kind in SHARED:
        yield from ROWS_OF[kind](f"oneloom.shared.{kind}")


METHODS = [*unified_rows(), *drop_in_rows(), *asyncio_rows()]
SYNC_METHODS = [method for method in METHODS if not method.is_async]
ASYNC_METHODS = [method for method in METHODS if method.is_async]
SHARED_METHODS = [*shared_rows()]


def method_id(method):
    return method.id


# Public names that never wait, so that a new method has to be put into one of the two lists.
NEVER_WAIT = {
    "release", "locked", "statistics", "name", "set", "clear", "is_set", "isSet", "notify", "notify_all", "notifyAll",
    "reset", "abort", "parties", "n_waiting", "broken", "put_nowait", "get_nowait", "task_done", "qsize", "empty", "full",
    "maxsize", "unfinished_tasks", "is_shutdown", "shutdown", "start", "run", "cancel", "is_alive", "daemon", "ident", "native_id",
    "getName", "setName", "isDaemon", "setDaemon", "terminate", "kill", "close", "pid", "exitcode", "sentinel", "authkey",
    "recovered", "mutex", "not_empty", "not_full", "all_tasks_done", "queue", "owner", "acquire_lock", "release_lock", "locked_lock",
    "done", "cancelled", "running", "add_done_callback", "set_result", "set_exception", "set_running_or_notify_cancel",
}  # fmt: skip
# Methods that wait elsewhere, but not here.
NEVER_WAIT_HERE = {
    ("SimpleQueue", "put"): "has no bound",
    ("SimpleQueue", "put_async"): "has no bound",
}
# Whose waits depend on workers, and are tried in tests/pools.
POOLS = {"Pool", "ThreadPool", "ProcessPool"}
WAITING_DUNDERS = {"__enter__", "__aenter__", "__next__", "__anext__", "__await__"}


def public_classes():
    """Every class of ours that the public modules offer, once each, by the path under which the table has it."""
    seen = {}
    for module in (oneloom, oneloom.threading, oneloom.queue, oneloom.asyncio):
        for name in module.__all__:
            found = getattr(module, name)
            if inspect.isclass(found) and found.__module__.startswith("oneloom") and not issubclass(found, BaseException):
                if name in POOLS:
                    continue
                seen.setdefault(found, f"{module.__name__}.{name}")
    return seen | {getattr(oneloom.shared, kind): f"oneloom.shared.{kind}" for kind in SHARED}


def test_the_table_has_every_class():
    kinds = set(ROWS_OF)
    assert kinds <= {path.removeprefix("oneloom.") for path in public_classes().values()}


def test_the_table_forgets_no_method():
    listed = {(class_at(method.owner), method.name) for method in [*METHODS, *SHARED_METHODS]}
    forgotten = []
    for kind, path in public_classes().items():
        for name in dir(kind):
            waits = name in WAITING_DUNDERS or not name.startswith("_")
            if not waits or name in NEVER_WAIT or (kind.__name__, name) in NEVER_WAIT_HERE:
                continue
            # What a subclass inherits as it is, such as Timer from Thread, is tested there.
            if not any((base, name) in listed and getattr(base, name) is getattr(kind, name) for base in kind.__mro__):
                forgotten.append(f"{path}.{name}")
    assert not forgotten


def test_the_table_invents_no_method():
    for method in [*METHODS, *SHARED_METHODS]:
        # A queue's iterator is an object of its own, or the queue itself.
        if method.name not in ("__next__", "__anext__"):
            assert hasattr(class_at(method.owner), method.name), method.id


def test_every_coroutine_method_is_a_coroutine_function():
    for method in [*ASYNC_METHODS, *(method for method in SHARED_METHODS if method.is_async)]:
        if re.search("_async$", method.name) or method.in_loop and not method.name.startswith("_"):
            assert inspect.iscoroutinefunction(getattr(class_at(method.owner), method.name)), method.id
