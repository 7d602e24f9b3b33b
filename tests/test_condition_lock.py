"""However a condition's wait ends, its lock is held again, and in the same way: over a Lock as over an RLock."""

import asyncio
import threading

import pytest

import oneloom
import oneloom.shared
import oneloom.threading
from conftest import run_program, start_thread, wait_until
from test_methods import COMMON

LOCKS = [oneloom.Lock, oneloom.RLock, oneloom.threading.Lock, oneloom.threading.RLock]
IDS = ["Lock", "RLock", "drop-in Lock", "drop-in RLock"]
# A condition goes with its lock: both of one process, or both shared.
HOMES = pytest.mark.parametrize("home", [oneloom, oneloom.shared], ids=["unified", "shared"])
CONDITIONS = [*((lock, oneloom.Condition) for lock in LOCKS)]
CONDITIONS += [(lock, oneloom.shared.Condition) for lock in (oneloom.shared.Lock, oneloom.shared.RLock)]
CONDITION_IDS = [*IDS, "shared Lock", "shared RLock"]
UNIFIED_AND_SHARED = pytest.mark.parametrize(
    "lock, condition_class", [CONDITIONS[0], CONDITIONS[1], *CONDITIONS[-2:]], ids=["Lock", "RLock", "shared Lock", "shared RLock"]
)


def released_elsewhere(lock):
    """Whether another thread may release the lock; it has done so then."""
    errors = []

    def release():
        try:
            lock.release()
        except RuntimeError as error:
            errors.append(error)

    start_thread(release).join()
    return not errors


@HOMES
def test_a_hold_by_with_is_one_again_after_a_wait(home):
    lock = home.Lock()
    condition = home.Condition(lock)
    with condition:
        assert not condition.wait(timeout=0.001)
        assert not released_elsewhere(lock)
        condition.notify()
    with lock:
        assert not condition.wait(timeout=0.001)
        assert not released_elsewhere(lock)


@HOMES
def test_a_bare_hold_is_one_again_after_a_wait(home):
    lock = home.Lock()
    condition = home.Condition(lock)
    condition.acquire()
    assert not condition.wait(timeout=0.001)
    assert released_elsewhere(lock)


@HOMES
def test_a_hold_by_async_with_is_one_again_after_a_wait(home):
    async def main():
        lock = home.Lock()
        condition = home.Condition(lock)
        async with condition:
            assert not await condition.wait_async(timeout=0.001)
            assert not released_elsewhere(lock)
        await condition.acquire_async()
        assert not await condition.wait_async(timeout=0.001)
        assert released_elsewhere(lock)

    oneloom.run(main())


@HOMES
def test_only_its_holder_may_notify_or_wait_where_with_has_taken_the_lock(home):
    lock = home.Lock()
    condition = home.Condition(lock)
    errors = []

    def meddle():
        for call in (condition.notify, condition.wait):
            try:
                call()
            except RuntimeError as error:
                errors.append(str(error))

    with lock:
        start_thread(meddle).join()
    assert errors == ["cannot notify on un-acquired lock", "cannot wait on un-acquired lock"]


@pytest.mark.parametrize("lock, condition_class", CONDITIONS, ids=CONDITION_IDS)
def test_a_wait_whose_time_is_over_takes_its_lock_however_long_that_lasts(lock, condition_class):
    condition = condition_class(lock())
    held, notified = [], True

    def hold():
        with condition:
            held.append(True)
            wait_until(lambda: condition._lock.statistics().waiting)

    with condition:
        start_thread(hold)
        while not held:
            notified = condition.wait(timeout=0.001)
        assert not notified and condition._is_owned()


@pytest.mark.parametrize("module", ["oneloom", "oneloom.threading", "oneloom.shared"])
@pytest.mark.parametrize("lock", ["Lock", "RLock"])
def test_ctrl_c_while_the_lock_is_taken_again_comes_when_it_is_held(module, lock):
    code = f"""
condition = {module}.Condition({module}.{lock}())
main_id = threading.get_native_id()
def hold():
    with condition:
        condition.notify()
        until(lambda: condition._lock.statistics().waiting)
        os.kill(os.getpid(), signal.SIGINT)
        until_asleep(main_id)
        print("still held")
with condition:
    daemon(hold)
    try:
        condition.wait()
        for _ in range(10): pass
    except KeyboardInterrupt:
        print("interrupted", condition._is_owned())
with condition:
    print("free again")
"""
    result = run_program(COMMON + code).check()
    assert (result.out, result.err) == ("still held\ninterrupted True\nfree again\n", ""), result


@pytest.mark.parametrize("home", ["oneloom", "oneloom.shared"])
@pytest.mark.parametrize("lock", ["Lock", "RLock"])
def test_what_ended_a_wait_passes_a_with_whose_lock_is_lost_to_a_deadlock(lock, home):
    code = f"""
lock, second, crossed = {home}.{lock}(), {home}.Lock(), []
condition = {home}.Condition(lock)
def cross():
    with condition, second: crossed.append(True)
def interrupt():
    until(lambda: second.statistics().waiting)
    os.kill(os.getpid(), signal.SIGINT)
try:
    with second, condition:
        crossing = daemon(cross)
        daemon(interrupt)
        condition.wait()
except KeyboardInterrupt as error:
    print("interrupted", repr(error.__context__)[:13])
crossing.join()
print(crossed)
"""
    result = run_program(COMMON + code).check()
    assert (result.out, result.err) == ("interrupted DeadlockError\n[True]\n", ""), result


@pytest.mark.parametrize("lock", [*LOCKS, oneloom.shared.Lock, oneloom.shared.RLock], ids=CONDITION_IDS)
def test_a_with_gives_back_nothing_that_a_deadlock_has_cost_it(lock):
    # As after a wait on a condition that could not take its lock again; meanwhile another one holds it.
    lock, error = lock(), KeyboardInterrupt()
    error.__context__ = oneloom.DeadlockError()
    start_thread(lock.acquire).join()
    lock.__exit__(type(error), error, None)
    assert lock.locked()


@pytest.mark.parametrize("lock", [*LOCKS, oneloom.shared.Lock, oneloom.shared.RLock], ids=CONDITION_IDS)
def test_a_with_that_holds_its_lock_gives_it_back_after_a_deadlock(lock):
    lock = lock()
    with pytest.raises(oneloom.DeadlockError), lock:
        raise oneloom.DeadlockError
    assert not lock.locked()


@UNIFIED_AND_SHARED
def test_a_cancelled_wait_takes_its_lock_before_it_ends(lock, condition_class):
    async def main():
        condition = condition_class(lock())
        ended = []

        async def wait():
            async with condition:
                try:
                    await condition.wait_async()
                except asyncio.CancelledError:
                    ended.append(condition._is_owned())
                    raise

        task = asyncio.create_task(wait())
        while not condition.statistics().waiting:
            await asyncio.sleep(0)
        async with condition:
            for _ in range(3):
                task.cancel()
                for _ in range(5):
                    await asyncio.sleep(0)
            assert not task.done()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [True] and not condition.locked()

    oneloom.run(main())


@UNIFIED_AND_SHARED
def test_ctrl_c_in_a_coroutine_that_takes_its_lock_again_comes_when_it_is_held(lock, condition_class):
    async def main():
        condition = condition_class(lock())
        held, free = asyncio.Event(), asyncio.Event()

        async def hold():
            async with condition:
                held.set()
                await free.wait()

        async with condition:
            waiting = condition.wait_async()
            waiting.send(None)
            holder = asyncio.create_task(hold())
            await held.wait()
            # As if the signal had come while oneloom's own code ran: first in the wait, then while it takes the lock.
            waiting.throw(KeyboardInterrupt())
            future = waiting.throw(KeyboardInterrupt())
            future._asyncio_future_blocking = False
            free.set()
            await future
            with pytest.raises(KeyboardInterrupt):
                waiting.send(None)
            assert condition._is_owned()
        await holder

    oneloom.run(main())


class Plain:
    """A lock that has nothing but what every Condition asks for, and may refuse to be released."""

    def __init__(self):
        self.lock, self.refuses = oneloom.Lock(), False

    def acquire(self, *arguments):
        return self.lock.acquire(*arguments)

    async def acquire_async(self, *arguments):
        return await self.lock.acquire_async(*arguments)

    def release(self):
        if self.refuses:
            raise OSError("not now")
        self.lock.release()

    def locked(self):
        return self.lock.locked()


@pytest.mark.parametrize("module", [threading, oneloom.threading], ids=["standard", "oneloom"])
def test_a_condition_over_a_plain_lock_can_be_the_lock_of_another(module):
    lock = Plain()
    condition = module.Condition(module.Condition(lock))
    condition.acquire()
    assert not condition.wait(0.001)
    assert lock.lock.locked()
    condition.release()
    assert not lock.lock.locked()


def test_a_lock_that_cannot_be_let_go_of_ends_the_wait_of_a_coroutine():
    async def main():
        lock = Plain()
        condition = oneloom.Condition(lock)
        await condition.acquire_async()
        lock.refuses = True
        with pytest.raises(OSError, match="not now"):
            async with asyncio.timeout(10) as limit:
                await condition.wait_async()
        assert not limit.expired()
        assert (condition.statistics().waiting, lock.lock.locked()) == (0, True)

    asyncio.run(main())


def test_a_condition_does_with_its_lock_what_a_subclass_says():
    calls = []

    class Told(oneloom.RLock):
        def _release_save(self):
            calls.append("release")
            return super()._release_save()

        def _acquire_restore(self, state):
            calls.append("restore")
            super()._acquire_restore(state)

    condition = oneloom.Condition(Told())
    with condition, condition:
        condition.wait(timeout=0.001)
        assert calls == ["release", "restore"] and condition._lock._recursion_count() == 2

    async def main():
        async with condition, condition:
            await condition.wait_async(timeout=0.001)
            assert condition._lock._recursion_count() == 2

    oneloom.run(main())
