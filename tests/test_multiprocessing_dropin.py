"""The drop-in for `multiprocessing`: its names and signatures, what is oneloom's there, and what a killed process leaves.

That its locks and queues behave as the standard library's is shown by CPython's own tests (test_cpython.py).
"""

import concurrent.futures
import importlib
import inspect
import math
import multiprocessing as standard
import multiprocessing.dummy.connection
import os
import pickle
import signal
import threading
import time
from queue import Full

import pytest

import oneloom.multiprocessing
import oneloom.shared
from conftest import run_program, start_thread, wait_until
from oneloom import multiprocessing
from oneloom.concurrent import futures
from oneloom.multiprocessing import queues, synchronize

METHODS = ["fork", "spawn", "forkserver"]
PATIENCE = 30
OURS = {
    "synchronize": "Lock RLock Semaphore BoundedSemaphore Condition Event Barrier".split(),
    "queues": ["Queue", "JoinableQueue"],
    "context": "BaseContext ForkContext SpawnContext ForkServerContext DefaultContext".split(),
}
# What a context makes, with arguments that will do.
MAKERS = {
    "Lock": (), "RLock": (), "Semaphore": (2,), "BoundedSemaphore": (2,), "Condition": (), "Event": (), "Barrier": (2,),
    "Queue": (), "JoinableQueue": (), "SimpleQueue": (), "Value": ("i",), "Array": ("i", 2), "Pipe": (),
}  # fmt: skip
# What depends on a context; everything else is the very same.
OF_A_CONTEXT = {*MAKERS, "Manager", "Pool", "get_context"} - {"Pipe"}
SUBMODULES = (
    "connection dummy dummy.connection forkserver heap managers pool process reduction resource_sharer resource_tracker "
    "shared_memory sharedctypes spawn util"
).split()


def test_every_public_name_is_there_and_exported():
    assert sorted(multiprocessing.__all__) == sorted(standard.__all__)
    for name in standard.__all__:
        ours, theirs = getattr(multiprocessing, name), getattr(standard, name)
        assert (ours is theirs) == (name not in OF_A_CONTEXT), name
        if ours is not theirs:
            assert parameters(ours) == parameters(theirs), name
    namespace = {}
    exec("from oneloom.multiprocessing import *", namespace)
    assert namespace["Lock"] == multiprocessing.Lock


def parameters(function):
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("name", OURS)
def test_modules_of_our_own_have_every_name_and_signature(name):
    ours, theirs = (importlib.import_module(f"{package}.{name}") for package in ("oneloom.multiprocessing", "multiprocessing"))
    assert ours.__doc__ and set(ours.__all__) == set(theirs.__all__)
    for public, kind in vars(theirs).items():
        assert hasattr(ours, public)
        if public not in OURS[name]:
            assert public.startswith("_") or getattr(ours, public) is kind
            continue
        assert issubclass(getattr(ours, public), kind) and getattr(ours, public).__doc__
        for member in [member for member in vars(kind) if not member.startswith("_")] + ["__init__"]:
            if inspect.isfunction(getattr(kind, member)):
                assert parameters(getattr(getattr(ours, public), member)) == parameters(getattr(kind, member)), (public, member)


@pytest.mark.parametrize("name", SUBMODULES)
def test_other_modules_are_the_standard_librarys_and_no_copies(name):
    ours = importlib.import_module(f"oneloom.multiprocessing.{name}")
    assert ours is importlib.import_module(f"multiprocessing.{name}")
    assert ours.__spec__.name == f"multiprocessing.{name}"
    assert getattr(oneloom.multiprocessing, name.partition(".")[0]) is getattr(standard, name.partition(".")[0])


def test_what_is_no_module_of_either_is_missing_by_our_name():
    with pytest.raises(ModuleNotFoundError, match="oneloom.multiprocessing.nonsense"):
        importlib.import_module("oneloom.multiprocessing.nonsense")


def test_contexts_are_ours_and_the_start_method_is_the_standard_librarys():
    code = """
        import multiprocessing as standard
        from oneloom import multiprocessing

        assert multiprocessing.get_start_method(allow_none=True) is None
        standard.set_start_method("spawn")
        assert multiprocessing.get_start_method() == multiprocessing.get_context().get_start_method() == "spawn"
        assert multiprocessing.get_all_start_methods() == standard.get_all_start_methods()
        try:
            multiprocessing.set_start_method("fork")
        except RuntimeError as error:
            print(error)
        multiprocessing.set_start_method("fork", force=True)
        assert standard.get_start_method() == "fork"
        multiprocessing.set_start_method(None, force=True)
        assert standard.get_start_method(allow_none=True) is None
    """
    assert run_program(code).check().out == "context has already been set\n"
    for method in METHODS:
        context = multiprocessing.get_context(method)
        assert isinstance(context, type(standard.get_context(method))) and context.get_context() is context
        assert context.get_context("spawn") is multiprocessing.get_context("spawn")
        assert type(context.Process()) is type(standard.get_context(method).Process())
    with pytest.raises(ValueError, match="cannot find context for 'nonsense'"):
        multiprocessing.get_context("nonsense")


def use(method, made, mailbox):
    """What a child does with one of each; it makes some itself as well, which are of the same family."""
    with made["Lock"], made["RLock"], made["RLock"], made["Semaphore"], made["BoundedSemaphore"]:
        made["Value"].value += 1
        made["Array"][1] = 7
    made["Event"].set()
    with made["Condition"]:
        made["Condition"].notify()
    assert made["Barrier"].wait(PATIENCE) in (0, 1)
    made["SimpleQueue"].put(made["Queue"].get(timeout=PATIENCE))
    assert made["JoinableQueue"].get(timeout=PATIENCE) == "joined"
    made["JoinableQueue"].task_done()
    context = multiprocessing.get_context(method)
    answer = context.SimpleQueue()
    grandchild = context.Process(target=tell, args=(answer, made["Lock"]))
    grandchild.start()
    mailbox.send(answer.get())
    grandchild.join()


def tell(answer, lock):
    answer.put(not lock.acquire(False))


@pytest.mark.parametrize("method", METHODS)
def test_children_and_theirs_use_what_they_are_given(method):
    context = multiprocessing.get_context(method)
    made = {name: getattr(context, name)(*arguments) for name, arguments in MAKERS.items() if name != "Pipe"}
    for module in (synchronize, queues):
        for name in OURS[module.__name__.rpartition(".")[2]]:
            assert type(made[name]) is getattr(module, name)
    receiver, mailbox = context.Pipe(duplex=False)
    child = context.Process(target=use, args=(method, made, mailbox), daemon=False)
    with made["Condition"]:
        child.start()
        assert made["Condition"].wait(PATIENCE)
    assert made["Event"].is_set()
    made["Barrier"].wait(PATIENCE)
    made["Queue"].put("through")
    assert made["SimpleQueue"].get() == "through"
    with made["Lock"]:
        made["JoinableQueue"].put("joined")
        made["JoinableQueue"].join()
        assert receiver.poll(PATIENCE) and receiver.recv() is True
    child.join(PATIENCE)
    assert child.exitcode == 0
    assert made["Value"].value == 1 and made["Array"][:] == [0, 7]


def hold(lock, mailbox):
    lock.acquire()
    mailbox.send("held")
    time.sleep(2 * PATIENCE)


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
@pytest.mark.parametrize("method", METHODS)
def test_a_lock_whose_holder_is_killed_goes_on(method, kind):
    context = multiprocessing.get_context(method)
    lock = getattr(context, kind)()
    receiver, mailbox = context.Pipe(duplex=False)
    child = context.Process(target=hold, args=(lock, mailbox))
    child.start()
    assert receiver.recv() == "held" and not lock.acquire(False)
    child.kill()
    with pytest.warns(oneloom.shared.OwnerDiedWarning):
        assert lock.acquire(timeout=PATIENCE)
    assert lock.recovered
    lock.release()
    with lock:
        assert not lock.recovered
    child.join()


def test_a_queue_goes_on_whose_receiver_is_killed_while_it_waits():
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=queue.get)
    child.start()
    wait_until(lambda: queue._shared.statistics().waiting_getters == 1)
    child.kill()
    child.join()
    queue.put("after")
    assert queue.get(timeout=PATIENCE) == "after"


def test_a_simple_queue_goes_on_whose_receiver_is_killed_while_it_waits():
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=queue.get)
    child.start()
    wait_until(lambda: "held by process" in repr(queue._rlock))
    child.kill()
    child.join()
    queue.put("after")
    with pytest.warns(oneloom.shared.OwnerDiedWarning):
        assert queue.get() == "after"


def put_and_be_killed(queue):
    queue.put("before")
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("method", METHODS)
def test_what_was_put_is_there_though_its_sender_was_killed_at_once(method):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=put_and_be_killed, args=(queue,))
    child.start()
    assert queue.get(timeout=PATIENCE) == "before"
    child.join()


def enter(semaphore, mailbox):
    with semaphore:
        hold(semaphore, mailbox)


def test_a_permit_that_with_took_comes_back_when_its_holder_is_killed():
    context = multiprocessing.get_context("fork")
    semaphore = context.Semaphore(2)
    receiver, mailbox = context.Pipe(duplex=False)
    child = context.Process(target=enter, args=(semaphore, mailbox))
    child.start()
    receiver.recv()
    assert semaphore.get_value() == 0
    child.kill()
    with pytest.warns(oneloom.shared.OwnerDiedWarning):
        assert semaphore.acquire(timeout=PATIENCE)
    assert not semaphore.acquire(timeout=0.01)  # A bare acquire has no owner, as in the standard library.
    child.join()


def test_notifying_goes_on_when_one_who_waits_is_killed():
    context = multiprocessing.get_context("fork")
    condition = context.Condition()

    def wait():
        with condition:
            condition.wait()

    child = context.Process(target=wait)
    child.start()
    wait_until(lambda: condition._sleeping_count.get_value() == 1)
    child.kill()
    child.join()
    with condition:
        condition.notify_all()
    other = start_thread(wait)
    wait_until(lambda: condition._sleeping_count.get_value() >= 1)

    def notified():
        with condition:
            condition.notify_all()
        return not other.is_alive()

    wait_until(notified)


@pytest.mark.parametrize("name", [*OURS["synchronize"], *OURS["queues"], "SimpleQueue"])
def test_they_are_pickled_only_for_a_process_that_is_being_started(name):
    made = getattr(multiprocessing, name)(*MAKERS[name])
    with pytest.raises(RuntimeError, match="objects should only be shared between processes through inheritance"):
        pickle.dumps(made)


def test_a_lock_says_whether_it_is_taken():
    for lock in (multiprocessing.Lock(), multiprocessing.RLock()):  # The standard library's say so since Python 3.14.
        assert lock.locked() is False
        with lock:
            assert lock.locked() is True


def test_anybody_may_release_a_lock():
    lock = multiprocessing.Lock()
    with lock:
        thread = threading.Thread(target=lock.release)
        thread.start()
        thread.join()
        assert lock.acquire(False)
    context = multiprocessing.get_context("fork")
    lock.acquire()
    child = context.Process(target=lock.release)
    child.start()
    child.join()
    assert child.exitcode == 0 and lock.acquire(False)


def test_errors_are_the_standard_ones():
    with pytest.raises(ValueError, match="released too many times"):
        multiprocessing.Lock().release()
    with pytest.raises(ValueError, match="released too many times"):
        multiprocessing.BoundedSemaphore(1).release()
    for release in (multiprocessing.RLock().release, multiprocessing.Condition().release):
        with pytest.raises(AssertionError, match="not owned by thread"):
            release()
    condition = multiprocessing.Condition()
    for call in (condition.wait, condition.notify, condition.notify_all):
        with pytest.raises(AssertionError):
            call()
    barrier = multiprocessing.Barrier(2)
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(0.01)
    assert barrier.broken and isinstance(barrier, threading.Barrier)


def test_timeouts_are_the_standard_ones():
    for taken in (multiprocessing.Lock(), multiprocessing.Semaphore(1)):
        assert taken.acquire(True, -1) is True
        assert taken.acquire(True, -1) is taken.acquire(False, 5) is taken.acquire(block=False) is False
        started = time.monotonic()
        assert taken.acquire(timeout=0.05) is False
        assert time.monotonic() - started >= 0.04
        taken.release()
        assert taken.acquire(timeout=math.inf) is True


def test_an_item_that_cannot_be_pickled_is_dropped_and_told_of(capfd):
    queue = multiprocessing.Queue(1)
    queue.put(threading.Lock())
    assert queue.empty() and "cannot pickle '_thread.lock' object" in capfd.readouterr().err
    queue.put(multiprocessing.Lock())
    assert queue.empty() and "through inheritance" in capfd.readouterr().err
    queue.put(bytearray(b"any"))
    with pytest.raises(Full):
        queue.put("too many", timeout=0.01)
    queue.get().append(1)


def test_an_error_of_put_that_is_not_about_the_item_is_raised():
    queue = multiprocessing.Queue(1)
    queue.put("full")
    with pytest.raises(TypeError):
        queue.put("late", timeout="soon")

    def give_up(*_):
        raise LookupError("given up")

    previous = signal.signal(signal.SIGALRM, give_up)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(LookupError, match="given up"):
            queue.put(memoryview(b"late"), timeout=PATIENCE)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert queue.get() == "full" and queue.empty()


def test_a_queue_that_is_closed_is_refused_here_and_goes_on_elsewhere():
    context = multiprocessing.get_context("fork")
    queue, answer = context.JoinableQueue(), context.SimpleQueue()
    child = context.Process(target=lambda: (answer.get(), queue.put("later")))
    child.start()
    other = context.Process(target=lambda: (answer.put(None), answer.put(queue.get())))
    other.start()
    with pytest.raises(AssertionError, match="not closed"):
        queue.join_thread()
    queue.close()
    queue.join_thread()
    for call in (queue.put, queue.get):
        with pytest.raises(ValueError, match="is closed"):
            call(1)
    child.join()
    assert answer.get() == "later"
    child = context.Process(target=lambda: answer.put((queue.put("of a fork"), queue.get())))
    child.start()
    assert answer.get() == (None, "of a fork")
    child.join()
    other.join()
    queue.task_done()
    queue.task_done()
    with pytest.raises(ValueError, match="too many times"):
        queue.task_done()
    queue.join()


def test_a_condition_takes_each_kind_of_lock():
    for lock in (multiprocessing.Lock(), multiprocessing.RLock(), standard.Lock(), standard.RLock()):
        condition = multiprocessing.Condition(lock)
        with condition:
            assert not lock.acquire(False) or lock.release() is None
            assert condition.wait(0.01) is False and condition.wait_for(lambda: True) is True
            condition.notify()


@pytest.mark.parametrize("executors", [futures, concurrent.futures], ids=["ours", "standard"])
@pytest.mark.parametrize("method", METHODS)
def test_an_executor_takes_our_contexts(method, executors):
    context = multiprocessing.get_context(method)
    lock = context.Lock()
    with executors.ProcessPoolExecutor(1, context, initializer=keep, initargs=(lock,)) as executor:
        with lock:
            assert executor.submit(try_kept).result(PATIENCE) is False
        assert executor.submit(try_kept).result(PATIENCE) is True
        os.kill(next(iter(executor._processes)), signal.SIGKILL)
    with pytest.warns(oneloom.shared.OwnerDiedWarning):
        assert lock.acquire(timeout=PATIENCE)


def keep(lock):
    global kept
    kept = lock


def try_kept():
    return kept.acquire(False)


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_and_a_manager_start_as_the_context_says(method):
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]
    with context.Manager() as manager:
        shared = manager.list([1])
        shared.append(2)
        assert shared[:] == [1, 2]
