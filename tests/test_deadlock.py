"""Deadlocks that are certain are answered at once, by an error for one participant that names all of them.

What an error leaves behind is in `test_deadlock_victims.py`; what is only suspected, or needs quiet, in
`test_deadlock_suspected.py`; the policy and the dump in `test_deadlock_policy.py`. The programs run as children with a
deadline, since what is tested here is that they end.
"""

import re

import pytest

import oneloom
from conftest import run_program

PREAMBLE = '''
import asyncio, os, signal, sys, threading, time
import oneloom

started = time.monotonic()
errors = []

def until(condition, deadline=20):
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("waited too long")
        time.sleep(0.001)

def catch(function, *arguments):
    """Run it, and keep its DeadlockError."""
    try:
        return function(*arguments)
    except oneloom.DeadlockError as error:
        errors.append((threading.current_thread().name, str(error)))

def threads(*functions, names=()):
    """One thread for each function, all begun."""
    names = names or [f"worker-{number}" for number in range(len(functions))]
    made = [oneloom.Thread(target=catch, args=(function,), name=name) for function, name in zip(functions, names)]
    for thread in made: thread.start()
    return made

def finish(made):
    for thread in made: thread.join()
    took = time.monotonic() - started
    print(len(errors), "at once" if took < 0.9 else f"after {took:.2f} s")
    for name, error in errors: print(name, error)
'''


def answered(code, errors=1):
    """Run a program whose deadlock is certain, check that it was answered at once, and return the errors' text."""
    result = run_program(PREAMBLE + code, timeout=15).check()
    first, _, rest = result.out.partition("\n")
    assert first == f"{errors} at once", result
    return rest


# --- the cases --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Condition"])
def test_two_locks_in_opposite_order(kind):
    text = answered(
        f"""
one, two = oneloom.{kind}(name="one"), oneloom.{kind}(name="two")
meet = threading.Barrier(2)
def forwards():
    with one:
        meet.wait()
        with two: pass
def backwards():
    with two:
        meet.wait()
        with one: pass
finish(threads(forwards, backwards, names=("forwards", "backwards")))
for lock in (one, two):
    assert not lock.locked() if hasattr(lock, "locked") else True
    with lock: pass
"""
    )
    for word in ("forwards", "backwards", "one", "two"):
        assert word in text


def test_a_lock_taken_twice():
    text = answered(
        """
lock = oneloom.Lock(name="jobs")
def twice():
    with lock:
        with lock: pass
finish(threads(twice, names=("alone",)))
with lock: pass
"""
    )
    assert "jobs" in text and "alone" in text


def test_a_lock_taken_twice_on_the_main_thread():
    text = answered(
        """
lock = oneloom.Lock(name="jobs")
def twice():
    with lock:
        with lock: pass
catch(twice)
finish([])
"""
    )
    assert "jobs" in text and "MainThread" in text


def test_a_lock_held_by_with_and_taken_again_by_acquire():
    answered(
        """
lock = oneloom.Lock()
def twice():
    with lock:
        lock.acquire()
finish(threads(twice))
with lock: pass
"""
    )


def test_a_ring_of_five():
    text = answered(
        """
locks = [oneloom.Lock(name=f"fork-{number}") for number in range(5)]
meet = threading.Barrier(5)
def philosopher(seat):
    with locks[seat]:
        meet.wait()
        with locks[(seat + 1) % 5]: pass
made = threads(*[lambda seat=seat: philosopher(seat) for seat in range(5)], names=[f"philosopher-{seat}" for seat in range(5)])
finish(made)
for lock in locks:
    with lock: pass
"""
    )
    for seat in range(5):
        assert f"fork-{seat}" in text and f"philosopher-{seat}" in text


@pytest.mark.parametrize("how", ["join", "result"])
def test_threads_that_join_each_other(how):
    text = answered(
        f"""
made = {{}}
go = threading.Event()
def wait_for(name):
    go.wait()
    made[name].{how}()
made["left"], made["right"] = threads(lambda: wait_for("right"), lambda: wait_for("left"), names=("left", "right"))
go.set()
finish(made.values())
"""
    )
    assert "left" in text and "right" in text


def test_a_join_and_a_lock():
    answered(
        """
lock = oneloom.Lock()
held = threading.Event()
def holds():
    with lock:
        held.set()
        late.join()
def wants():
    held.wait()
    with lock: pass
late = oneloom.Thread(target=catch, args=(wants,))
late.start()
finish(threads(holds) + [late])
"""
    )


def test_the_main_thread_joins_a_thread_that_wants_its_lock():
    answered(
        """
lock = oneloom.Lock(name="main's")
def holds():
    with lock:
        thread = threads(lambda: lock.__enter__(), names=("wants",))[0]
        thread.join()
catch(holds)
finish([])
"""
    )


@pytest.mark.parametrize("loop", ["asyncio.new_event_loop", "__import__('uvloop').new_event_loop"], ids=["asyncio", "uvloop"])
def test_a_coroutine_that_blocks_its_own_loop_on_a_lock_of_another_task(loop):
    text = answered(
        f"""
lock = oneloom.Lock(name="shared")
async def holds():
    async with lock:
        await asyncio.sleep(0.01)
async def blocks():
    await asyncio.sleep(0)
    with lock: pass
async def main():
    holder = asyncio.create_task(holds(), name="holder")
    blocker = asyncio.create_task(blocks(), name="blocker")
    done = await asyncio.gather(holder, blocker, return_exceptions=True)
    assert done[0] is None and isinstance(done[1], oneloom.DeadlockError), done
    raise done[1]
catch(lambda: oneloom.run(main(), loop_factory={loop}))
finish([])
"""
    )
    assert "shared" in text and "holder" in text and "blocker" in text


def test_a_task_that_blocks_on_its_own_lock():
    answered(
        """
lock = oneloom.Lock()
async def main():
    async with lock:
        lock.acquire()
catch(lambda: oneloom.run(main()))
finish([])
"""
    )


def test_threads_and_tasks_mixed():
    text = answered(
        """
threads_lock, tasks_lock = oneloom.Lock(name="threads'"), oneloom.Lock(name="tasks'")
meet = threading.Barrier(2)
def thread():
    with threads_lock:
        meet.wait()
        with tasks_lock: pass
async def task():
    async with tasks_lock:
        meet.wait()
        with threads_lock: pass
async def main():
    await asyncio.create_task(task(), name="the-task")
finish(threads(thread, lambda: oneloom.run(main()), names=("the-thread", "the-loop")))
for lock in (threads_lock, tasks_lock):
    with lock: pass
"""
    )
    for word in ("threads'", "tasks'", "the-thread", "the-task"):
        assert word in text


def test_a_task_that_cannot_run_because_another_blocks_its_loop():
    """The thread waits for a lock of a task that is merely asleep; but its loop waits for the thread."""
    answered(
        """
one, two = oneloom.Lock(name="one"), oneloom.Lock(name="two")
holds_one, holds_two = threading.Event(), threading.Event()
def thread():
    with one:
        holds_one.set()
        holds_two.wait()
        with two: pass
async def sleeps():
    async with two:
        holds_two.set()
        await asyncio.sleep(0.05)
async def blocks():
    await asyncio.sleep(0.001)
    with one: pass
async def main():
    holds_one.wait()
    sleeping = asyncio.create_task(sleeps())
    await asyncio.sleep(0)
    await asyncio.gather(sleeping, blocks())
finish(threads(thread, lambda: oneloom.run(main())))
"""
    )


@pytest.mark.parametrize("starved", [True, False], ids=["starved", "fresh"])
@pytest.mark.parametrize("how", ["async with lock: pass", "if await lock.acquire_async(): lock.release()"], ids=["with", "bare"])
def test_a_lock_that_falls_to_a_task_whose_loop_is_blocked(how, starved):
    """The task queues first, then its loop's thread; whether the lock is handed over or left free, the program must end."""
    code = f"""
lock = oneloom.Lock(name="inherited")
held = threading.Event()
def holder():
    with lock:
        held.set()
        until(lambda: lock.statistics().waiting == 2)
        if {starved}: time.sleep(0.05)
async def heir():
    {how}
async def main():
    while not held.is_set(): await asyncio.sleep(0.001)
    task = asyncio.create_task(heir())
    await asyncio.sleep(0)
    try:
        with lock: pass
    finally:
        await task
finish(threads(holder, lambda: oneloom.run(main())))
assert lock.statistics().waiting == 0 and not lock.locked()
"""
    result = run_program(PREAMBLE + code, timeout=10).check()
    assert result.out.startswith(("0 at once", "1 at once") if "async with" in how else ("0", "1")), result


@pytest.mark.parametrize("starved", [True, False], ids=["starved", "fresh"])
@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_lock_that_falls_to_a_task_whose_loop_waits_for_the_next_in_the_queue(kind, starved):
    """The lock falls to a task that cannot run: its loop's thread waits for another lock, which the second in the queue has."""
    code = f"""
lock, other = oneloom.{kind}(name="inherited"), oneloom.Lock(name="other")
held, other_held = threading.Event(), threading.Event()
def holder():
    with lock:
        held.set()
        until(lambda: lock.statistics().waiting == 2 and other.statistics().waiting == 1)
        if {starved}: time.sleep(0.05)
def second():
    with other:
        other_held.set()
        until(lambda: lock.statistics().waiting == 1)
        with lock: pass
async def heir():
    async with lock: pass
async def main():
    while not (held.is_set() and other_held.is_set()): await asyncio.sleep(0.001)
    task = asyncio.create_task(heir())
    await asyncio.sleep(0)
    try:
        with other: pass
    finally:
        await task
finish(threads(holder, second, lambda: oneloom.run(main())))
assert lock.statistics().waiting == 0 and not lock.locked()
"""
    result = run_program(PREAMBLE + code, timeout=10).check()
    assert result.out.startswith(("0 at once", "1 at once")), result


def test_two_loops_that_block_on_each_others_tasks():
    answered(
        """
locks = [oneloom.Lock(), oneloom.Lock()]
meet = threading.Barrier(2)
async def holds(lock):
    async with lock:
        meet.wait()
        await asyncio.sleep(0)
async def main(own, other):
    holder = asyncio.create_task(holds(own))
    await asyncio.sleep(0)
    with other: pass
    await holder
finish(threads(lambda: oneloom.run(main(*locks)), lambda: oneloom.run(main(*reversed(locks)))))
"""
    )


@pytest.mark.parametrize("reuse", [False, True], ids=["", "while new threads come"])
def test_an_rlock_whose_owner_thread_has_ended(reuse):
    text = answered(
        f"""
lock = oneloom.RLock(name="orphan")
owner = oneloom.Thread(target=lock.acquire, name="the-dead-one")
owner.start()
owner.join()
# A new thread may get the ident of the dead one, and is still not the owner.
if {reuse}:
    for _ in range(20): oneloom.Thread(target=lambda: lock.acquire(blocking=False)).start()
finish(threads(lock.acquire))
assert lock.acquire(timeout=0.01) is False
"""
    )
    assert "orphan" in text


def test_an_rlock_whose_owner_thread_ends_while_others_wait():
    answered(
        """
lock = oneloom.RLock(name="orphan")
held, leave = threading.Event(), threading.Event()
def owner():
    lock.acquire()
    held.set()
    leave.wait()
made = threads(owner)
held.wait()
made += threads(*[lambda: lock.acquire()] * 3)
until(lambda: lock.statistics().waiting == 3)
leave.set()
finish(made)
assert lock.statistics().waiting == 0
""",
        errors=3,
    )


def test_a_hundred_deadlocks_at_once_have_a_hundred_victims():
    answered(
        """
def pair():
    one, two, meet = oneloom.Lock(), oneloom.Lock(), threading.Barrier(2)
    def take(first, second):
        with first:
            meet.wait()
            with second: pass
    return [lambda: take(one, two), lambda: take(two, one)]
started = time.monotonic()
finish(threads(*[function for _ in range(100) for function in pair()]))
""",
        errors=100,
    )


def test_no_deadlock_is_seen_where_the_order_is_kept():
    answered(
        """
locks = [oneloom.Lock() for _ in range(4)]
def work():
    for _ in range(300):
        with locks[0], locks[1]:
            with locks[2], locks[3]: pass
finish(threads(*[work] * 6))
""",
        errors=0,
    )


# --- the message ------------------------------------------------------------------------------------------------------


def test_the_message_names_who_waits_for_what_and_where(tmp_path):
    path = tmp_path / "two_locks.py"
    path.write_text(
        PREAMBLE
        + """
one, two = oneloom.Lock(name="accounts"), oneloom.Lock(name="journal")
meet = threading.Barrier(2)
def book():
    with one:
        meet.wait()
        with two: pass  # here book waits
def audit():
    with two:
        meet.wait()
        with one: pass  # here audit waits
finish(threads(book, audit, names=("bookkeeper", "auditor")))
"""
    )
    result = run_program(f"import runpy; runpy.run_path({str(path)!r}, run_name='__main__')").check()
    text = result.out
    for word in ("bookkeeper", "auditor", "accounts", "journal"):
        assert word in text, result
    lines = path.read_text().splitlines()
    for marker in ("here book waits", "here audit waits"):
        number = next(index for index, line in enumerate(lines, 1) if marker in line)
        assert re.search(rf"two_locks\.py\D{{1,10}}{number}\b", text), (number, result)


def test_an_unnamed_lock_is_told_by_its_kind_and_address():
    lock = oneloom.Lock()
    with lock:
        with pytest.raises(oneloom.DeadlockError) as caught:
            lock.acquire()
    assert hex(id(lock)) in str(caught.value) or "Lock" in str(caught.value)


def test_the_error_is_a_runtime_error_and_pickles():
    import pickle

    assert issubclass(oneloom.DeadlockError, RuntimeError)
    error = pickle.loads(pickle.dumps(oneloom.DeadlockError("words")))
    assert str(error) == "words" and type(error) is oneloom.DeadlockError
