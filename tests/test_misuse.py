"""Misuse gets the standard error: the type that the standard library raises, with words that say what was wrong."""

import asyncio
import queue as standard_queue
import threading

import pytest

import oneloom
import oneloom.asyncio
import oneloom.queue
import oneloom.shared
import oneloom.threading
from conftest import run_program, start_thread, wait_until
from test_methods import ASYNC_METHODS, SHARED_METHODS

SHARED_LOCKS = [oneloom.shared.Lock, oneloom.shared.RLock]
LOCKS = [oneloom.Lock, oneloom.RLock, oneloom.threading.Lock, oneloom.threading.RLock, *SHARED_LOCKS]
BOTH = pytest.mark.parametrize("home", [oneloom, oneloom.shared], ids=["unified", "shared"])


def in_thread(call):
    """Run `call` in a thread of its own; its value, or its exception raised here."""
    box = []

    def body():
        try:
            box.append((call(), None))
        except BaseException as error:
            box.append((None, error))

    start_thread(body).join(20)
    value, error = box[0]
    if error:
        raise error
    return value


@pytest.mark.parametrize("kind", [*LOCKS, oneloom.Condition, oneloom.threading.Condition, oneloom.shared.Condition], ids=repr)
def test_releasing_what_is_not_held_is_a_runtime_error(kind):
    lock = kind()
    with pytest.raises(RuntimeError):
        lock.release()
    with lock:
        pass
    with pytest.raises(RuntimeError):
        lock.release()
    # Nothing was broken by it.
    assert lock.acquire()
    lock.release()


@BOTH
def test_a_hold_taken_by_with_belongs_to_the_thread_that_took_it(home):
    lock = home.Lock(name="jobs")
    with lock:
        with pytest.raises(RuntimeError, match="jobs"):
            in_thread(lock.release)
        assert lock.locked()
    assert not lock.locked()


@BOTH
def test_a_hold_taken_by_async_with_belongs_to_the_task_that_took_it(home):
    async def main():
        lock = home.Lock()

        async def release():
            with pytest.raises(RuntimeError):
                lock.release()

        async with lock:
            await asyncio.create_task(release())
            with pytest.raises(RuntimeError):
                await asyncio.to_thread(lock.release)
            assert lock.locked()
        assert not lock.locked()

    oneloom.run(main())


@BOTH
def test_a_bare_hold_may_be_released_by_anyone(home):
    lock = home.Lock()
    lock.acquire()
    in_thread(lock.release)
    assert not lock.locked()

    async def main():
        assert await lock.acquire_async()

    oneloom.run(main())
    lock.release()
    assert not lock.locked()


@pytest.mark.parametrize("kind", [oneloom.RLock, oneloom.threading.RLock, oneloom.shared.RLock])
def test_an_rlock_is_released_by_its_owner_only(kind):
    lock = kind()
    lock.acquire()
    with pytest.raises(RuntimeError):
        in_thread(lock.release)
    lock.release()
    assert in_thread(lambda: lock.acquire(blocking=False) and not lock.release())


@BOTH
def test_an_rlock_tells_tasks_of_one_thread_apart(home):
    async def main():
        lock = home.RLock()

        async def other():
            assert lock.acquire(blocking=False) is False
            with pytest.raises(RuntimeError):
                lock.release()

        async with lock:
            async with lock:
                await asyncio.create_task(other())
        assert lock.acquire(blocking=False)
        lock.release()

    oneloom.run(main())


def test_a_drop_in_lock_may_be_released_by_anyone_however_it_was_taken():
    lock = oneloom.threading.Lock()
    lock.__enter__()
    in_thread(lock.release)
    assert not lock.locked()


@BOTH
def test_releasing_a_bounded_semaphore_too_often_is_a_value_error(home):
    semaphore = home.BoundedSemaphore(2)
    with pytest.raises(ValueError):
        semaphore.release()
    semaphore.acquire()
    with pytest.raises(ValueError):
        semaphore.release(2)
    # All or nothing: the permit is still out.
    semaphore.release()
    with pytest.raises(ValueError):
        semaphore.release()


SEMAPHORES = [home_semaphore for home in (oneloom, oneloom.shared) for home_semaphore in (home.Semaphore, home.BoundedSemaphore)]


@pytest.mark.parametrize("kind", SEMAPHORES)
def test_semaphore_values(kind):
    with pytest.raises(ValueError):
        kind(-1)
    semaphore = kind(1)
    for wrong in (0, -1):
        with pytest.raises(ValueError):
            semaphore.release(wrong)
    assert kind(0).acquire(blocking=False) is False


@pytest.mark.parametrize("kind", [*LOCKS, *SEMAPHORES], ids=repr)
def test_a_timeout_makes_no_sense_for_a_call_that_does_not_block(kind):
    with pytest.raises(ValueError):
        kind().acquire(False, 1)
    with pytest.raises(ValueError):
        kind().acquire(blocking=False, timeout=1)


@pytest.mark.parametrize("kind", LOCKS, ids=repr)
def test_lock_timeouts(kind):
    lock = kind()
    assert lock.acquire(timeout=-1)
    lock.release()
    with pytest.raises(ValueError):
        lock.acquire(timeout=-2)
    with pytest.raises(OverflowError):
        lock.acquire(timeout=1e100)
    with pytest.raises((TypeError, ValueError)):
        lock.acquire(timeout="soon")
    assert not in_thread(lambda: lock.locked() if hasattr(lock, "locked") else False)


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"])
def test_queue_timeouts(kind):
    queue = getattr(oneloom, kind)()
    with pytest.raises(ValueError):
        queue.get(timeout=-1)
    with pytest.raises(TypeError):
        queue.get(timeout="soon")
    with pytest.raises(standard_queue.Empty):
        queue.get(timeout=0)
    with pytest.raises(standard_queue.Empty):
        queue.get_nowait()


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
def test_bounded_queues(kind):
    queue = getattr(oneloom, kind)(1)
    queue.put(1)
    for call in (lambda: queue.put_nowait(2), lambda: queue.put(2, block=False), lambda: queue.put(2, timeout=0.001)):
        with pytest.raises(standard_queue.Full):
            call()
    with pytest.raises(ValueError):
        queue.put(2, timeout=-1)
    assert queue.get() == 1
    queue.task_done()
    with pytest.raises(ValueError):
        queue.task_done()
    with pytest.raises(TypeError):
        getattr(oneloom, kind)("many")


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
def test_a_queue_that_was_shut_down_raises_one_class_everywhere(kind):
    queue = getattr(oneloom, kind)()
    queue.put(1)
    queue.shutdown()
    with pytest.raises(oneloom.queue.ShutDown):
        queue.put(2)
    assert queue.get() == 1
    with pytest.raises(oneloom.queue.ShutDown):
        queue.get()
    assert list(queue) == []
    if hasattr(standard_queue, "ShutDown"):
        assert oneloom.queue.ShutDown is standard_queue.ShutDown


@BOTH
def test_conditions_need_their_lock(home):
    condition = home.Condition()
    for call in (condition.wait, condition.notify, condition.notify_all, lambda: condition.wait_for(lambda: False)):
        with pytest.raises(RuntimeError):
            call()

    async def main():
        with pytest.raises(RuntimeError):
            await condition.wait_async()

    oneloom.run(main())
    with pytest.raises((TypeError, AttributeError)):
        home.Condition("no lock")


@BOTH
def test_barriers(home):
    with pytest.raises(ValueError):
        home.Barrier(0)
    with pytest.raises(TypeError):
        home.Barrier()
    barrier = home.Barrier(2)
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(timeout=0.001)
    assert barrier.broken
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait()
    barrier.reset()
    assert not barrier.broken


@pytest.mark.parametrize(
    "kind, arguments",
    [
        ("Lock", (1,)),
        ("Lock", ("a name is a keyword",)),
        ("RLock", (1,)),
        ("Event", (1,)),
        ("Semaphore", ("many",)),
        ("Semaphore", (1.5,)),
        ("Barrier", ("many",)),
        ("SimpleQueue", (1,)),
    ],
)
def test_wrong_arguments_are_type_errors(kind, arguments):
    for home in (oneloom, oneloom.shared):
        if hasattr(home, kind):
            with pytest.raises(TypeError):
                getattr(home, kind)(*arguments)


@pytest.mark.parametrize("name", ["Lock", "RLock", "Semaphore", "Event", "Condition", "Queue", "PriorityQueue", "SimpleQueue"])
def test_unknown_keywords_are_type_errors(name):
    for home in (oneloom, oneloom.shared):
        if hasattr(home, name):
            with pytest.raises(TypeError):
                getattr(home, name)(colour="red")


def test_names():
    assert oneloom.Lock(name="jobs").name == "jobs"
    assert "jobs" in repr(oneloom.Queue(name="jobs"))
    with pytest.raises(TypeError):
        oneloom.Lock(name=3)


@pytest.mark.parametrize("name", ["Lock", "Queue", "Event", "Semaphore"])
def test_locks_and_queues_cannot_be_pickled_or_copied(name):
    import copy
    import pickle

    with pytest.raises(TypeError):
        pickle.dumps(getattr(oneloom, name)())
    with pytest.raises(TypeError):
        copy.copy(getattr(oneloom, name)())


UNIFIED_ASYNC = [method for method in ASYNC_METHODS if method.name.endswith("_async") and method.owner.count(".") == 1]
UNIFIED_ASYNC += [method for method in SHARED_METHODS if method.name.endswith("_async")]


@pytest.mark.parametrize("method", [pytest.param(method, id=method.id) for method in UNIFIED_ASYNC])
def test_an_async_call_without_a_running_asyncio_loop_says_so(method):
    """The coroutine is driven by hand, as another library's loop would do it, and it has to wait."""
    code = f"""
import oneloom, threading
from test_methods import COMMON
exec(COMMON)
{method.setup}
async def main():
    {method.call_with()}
coroutine = main()
try:
    coroutine.send(None)
except RuntimeError as error:
    assert "asyncio" in str(error), error
    assert not isinstance(error, oneloom.DeadlockError), error
    print("told")
"""
    result = run_program(code).check()
    assert (result.out, result.err) == ("told\n", "")


def test_thread_misuse_is_that_of_the_standard_library():
    thread = oneloom.Thread(target=lambda: None)
    with pytest.raises(RuntimeError):
        thread.join()
    with pytest.raises(RuntimeError):
        thread.result()
    thread.start()
    with pytest.raises(RuntimeError):
        thread.start()
    thread.join()
    result = []

    def join_itself():
        try:
            threading.current_thread().join()
        except RuntimeError as error:
            result.append(error)

    thread = oneloom.Thread(target=join_itself)
    thread.start()
    thread.join()
    assert len(result) == 1


def test_a_thread_gives_its_exception_to_the_hook_and_to_whoever_asks():
    seen = []
    old, threading.excepthook = threading.excepthook, lambda info: seen.append(info.exc_value)
    try:
        thread = oneloom.Thread(target=lambda: 1 // 0)
        thread.start()
        with pytest.raises(ZeroDivisionError):
            thread.result(timeout=20)

        async def main():
            with pytest.raises(ZeroDivisionError):
                await thread

        oneloom.run(main())
    finally:
        threading.excepthook = old
    assert len(seen) == 1 and isinstance(seen[0], ZeroDivisionError)


def test_a_result_that_does_not_come_in_time_is_a_timeout_error():
    gate = threading.Event()
    thread = oneloom.Thread(target=gate.wait, daemon=True)
    thread.start()
    with pytest.raises(TimeoutError):
        thread.result(timeout=0.001)
    gate.set()
    assert thread.result(timeout=20) is True


def test_a_failed_call_leaves_no_waiter():
    queue = oneloom.Queue()
    for _ in range(100):
        with pytest.raises(standard_queue.Empty):
            queue.get(timeout=0.0001)
    assert queue.statistics().waiting_getters == 0
    thread = start_thread(queue.get)
    wait_until(lambda: queue.statistics().waiting_getters == 1)
    queue.put(1)
    thread.join(20)
    assert queue.statistics().waiting == 0
