"""What a DeadlockError leaves behind: locks that are right, chained exceptions, the others that go on; and never a timed wait."""

import asyncio
import threading

import pytest

import oneloom
from conftest import start_thread, wait_until


# --- the error inside with, finally and __exit__ -----------------------------------------------------------------------


def raises_when_taken_again(lock):
    with pytest.raises(oneloom.DeadlockError) as caught:
        with lock:
            lock.acquire()
    return caught.value


@pytest.mark.parametrize("kind", [oneloom.Lock])
def test_the_lock_is_right_after_an_error_inside_with(kind):
    lock = kind()
    for _ in range(50):
        raises_when_taken_again(lock)
        assert not lock.locked() and lock.statistics().waiting == 0
    taken = []
    start_thread(lambda: taken.append(lock.acquire(timeout=20))).join(20)
    assert taken == [True]


def test_an_error_in_finally_chains_to_what_was_under_way():
    lock = oneloom.Lock()
    with pytest.raises(oneloom.DeadlockError) as caught:
        with lock:
            try:
                raise ValueError("first")
            finally:
                with lock:
                    pass
    assert isinstance(caught.value.__context__, ValueError)
    assert not lock.locked()


def test_an_error_in_exit_chains_to_what_was_under_way():
    lock = oneloom.Lock()

    class Cleaner:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            with lock:
                pass

    with pytest.raises(oneloom.DeadlockError) as caught:
        with lock, Cleaner():
            raise ValueError("first")
    assert isinstance(caught.value.__context__, ValueError)
    assert not lock.locked()


def test_the_victim_lets_the_others_go_on():
    one, two = oneloom.Lock(name="one"), oneloom.Lock(name="two")
    meet, ends = threading.Barrier(2), []

    def take(first, second):
        try:
            with first:
                meet.wait(20)
                with second:
                    ends.append("got both")
        except oneloom.DeadlockError as error:
            ends.append(error)

    pair = [start_thread(take, one, two), start_thread(take, two, one)]
    for thread in pair:
        thread.join(20)
        assert not thread.is_alive()
    assert sorted(type(end).__name__ for end in ends) == ["DeadlockError", "str"]
    assert not one.locked() and not two.locked()


def test_the_victim_may_try_again_in_the_right_order():
    one, two = oneloom.Lock(), oneloom.Lock()
    meet, through, done = threading.Barrier(2), threading.Event(), []

    def take(first, second):
        try:
            with first:
                meet.wait(20)
                with second:
                    done.append("at first")
            through.set()
        except oneloom.DeadlockError:
            # After the other one: whoever runs takes a free lock first, and the two would only meet again.
            through.wait(20)
            with one, two:
                done.append("again")

    pair = [start_thread(take, one, two), start_thread(take, two, one)]
    for thread in pair:
        thread.join(20)
    assert sorted(done) == ["again", "at first"]


def test_an_error_in_a_condition_wait_leaves_the_lock_right():
    """A thread that wakes from `wait()` takes its lock back, and nothing may be left of a failed attempt before it."""
    condition, other = oneloom.Condition(), oneloom.Lock()
    with condition:
        with other:
            with pytest.raises(oneloom.DeadlockError):
                other.acquire()
        assert condition.wait(timeout=0.001) is False
        condition.notify_all()
    assert not other.locked() and condition.statistics().waiting == 0


def test_an_error_inside_a_task_ends_that_task_only():
    async def main():
        lock = oneloom.Lock()

        async def twice():
            async with lock:
                lock.acquire()

        ended = await asyncio.gather(twice(), asyncio.sleep(0, "fine"), return_exceptions=True)
        assert isinstance(ended[0], oneloom.DeadlockError) and ended[1] == "fine"
        assert not lock.locked()
        async with lock:
            pass

    oneloom.run(main())


def test_an_error_in_one_thread_is_its_result():
    lock = oneloom.Lock()

    def twice():
        with lock:
            lock.acquire()

    seen = []
    old, threading.excepthook = threading.excepthook, lambda info: seen.append(info.exc_type)
    try:
        thread = oneloom.Thread(target=twice)
        thread.start()
        with pytest.raises(oneloom.DeadlockError):
            thread.result(timeout=20)
    finally:
        threading.excepthook = old
    assert seen == [oneloom.DeadlockError]


# --- never for a timed wait -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [oneloom.Lock, oneloom.RLock])
def test_a_timed_wait_in_a_cycle_times_out(kind):
    one, two = kind(), kind()
    meet, ends = threading.Barrier(2), []

    def take(first, second, timeout):
        with first:
            meet.wait(20)
            got = second.acquire(timeout=timeout)
            ends.append(got)
            if got:
                second.release()

    pair = [start_thread(take, one, two, 0.05), start_thread(take, two, one, 20)]
    for thread in pair:
        thread.join(30)
        assert not thread.is_alive()
    assert sorted(ends) == [False, True]


def test_a_timed_wait_beside_an_untimed_one_is_no_deadlock():
    """The untimed wait ends when the timed one gives up: no error for either."""
    one, two = oneloom.Lock(), oneloom.Lock()
    meet, ends = threading.Barrier(2), []

    def timed():
        with one:
            meet.wait(20)
            wait_until(lambda: one.statistics().waiting == 1)
            ends.append(two.acquire(timeout=0.02))

    def untimed():
        with two:
            meet.wait(20)
            with one:
                ends.append("got it")

    pair = [start_thread(timed), start_thread(untimed)]
    for thread in pair:
        thread.join(20)
        assert not thread.is_alive()
    assert ends == [False, "got it"]


def test_a_lock_taken_twice_with_a_timeout_times_out():
    lock = oneloom.Lock()
    with lock:
        assert lock.acquire(timeout=0.01) is False
        assert lock.acquire(blocking=False) is False
        assert lock.acquire(timeout=0) is False


def test_a_join_with_a_timeout_in_a_cycle_returns():
    threads = {}
    go, ends = threading.Event(), []

    def wait_for(name, timeout):
        go.wait(20)
        threads[name].join(timeout)
        ends.append(name)

    threads["a"] = oneloom.Thread(target=wait_for, args=("b", 0.02), daemon=True)
    threads["b"] = oneloom.Thread(target=wait_for, args=("a", None), daemon=True)
    for thread in threads.values():
        thread.start()
    go.set()
    for thread in threads.values():
        thread.join(20)
        assert not thread.is_alive()
    assert ends == ["b", "a"]
