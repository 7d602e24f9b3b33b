"""What the standard library's futures are made of, looked at and assigned from outside: `_condition`, `_waiters`, `_state`,
`_result`, `_exception`.
"""

import concurrent.futures
import threading
import time
from concurrent.futures import CancelledError, InvalidStateError

import pytest

import oneloom
from conftest import start_thread, wait_until


class Waiter:
    """Notes what it is told."""

    def __init__(self):
        self.told = []

    def add_result(self, future):
        self.told.append(("result", future, future._state))

    def add_exception(self, future):
        self.told.append(("exception", future, future._state))

    def add_cancelled(self, future):
        self.told.append(("cancelled", future, future._state))


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (lambda future: future.set_result(1), [("result", "FINISHED")]),
        (lambda future: future.set_exception(KeyError()), [("exception", "FINISHED")]),
        (lambda future: future.cancel(), []),
        (lambda future: future.cancel() and future.set_running_or_notify_cancel(), [("cancelled", "CANCELLED_AND_NOTIFIED")]),
    ],
)
@pytest.mark.parametrize("kind", [oneloom.Future, concurrent.futures.Future])
def test_waiters_are_told_once_and_under_the_condition(kind, end, told):
    future, waiter = kind(), Waiter()
    with future._condition:
        future._waiters.append(waiter)
    end(future)
    assert [(what, state) for what, _, state in waiter.told] == told
    assert all(which is future for _, which, _ in waiter.told)


def test_who_waits_on_the_condition_is_woken():
    future, woken = oneloom.Future(), []
    condition = future._condition
    assert future._condition is condition and isinstance(condition, type(threading.Condition()))

    def wait():
        with condition:
            woken.append(condition.wait_for(future.done, 20))

    threads = [start_thread(wait) for _ in range(2)]
    future.set_result(1)
    for thread in threads:
        thread.join(20)
    assert woken == [True, True]


def test_an_end_waits_until_the_condition_is_free():
    future = oneloom.Future()
    with future._condition:
        ender = start_thread(future.set_result, 1)
        with pytest.raises(TimeoutError):
            future.result(0.05)
        assert not future.done()
    assert future.result(20) == 1
    ender.join(20)


def test_states_and_outcomes_can_be_assigned():
    for state, described in [
        ("PENDING", "pending"),
        ("RUNNING", "running"),
        ("CANCELLED", "cancelled"),
        ("CANCELLED_AND_NOTIFIED", "cancelled"),
        ("FINISHED", "finished returned NoneType"),
    ]:
        future = oneloom.Future()
        future._state = state
        assert future._state == state and f"state={described}>" in repr(future)
        assert future.done() == (described.split()[0] in ("cancelled", "finished"))
    with pytest.raises(ValueError, match="no such state: x"):
        future._state = "x"
    future._exception, future._result = None, 42
    assert future.result() == 42 == future._result and future._exception is None
    future._exception, future._result = (error := OSError()), None
    assert future.exception() is error is future._exception and future._result is None
    future = oneloom.Future()
    future._state = "CANCELLED"
    with pytest.raises(CancelledError):
        future.result()


def test_what_is_assigned_step_by_step_under_the_condition_is_seen_whole():
    future, told = oneloom.Future(), []
    condition = future._condition
    threads = [start_thread(lambda: told.append(future.exception(20))) for _ in range(3)]
    with condition:
        future._state = "FINISHED"
        time.sleep(0.05)  # Time enough for them to see a state without an outcome, if they could.
        future._exception = error = KeyError()
        condition.notify_all()
    for thread in threads:
        thread.join(20)
    assert told == [error] * 3


def test_what_was_assigned_may_look_at_the_future_when_it_goes():
    future, seen = oneloom.Future(), []

    class Looking:
        def __del__(self):
            seen.append(future.done())

    future._result = Looking()
    future.set_result(1)
    assert future.result() == 1 and seen == [True]


def test_condition_and_waiters_can_be_replaced():
    future, waiter, condition = oneloom.Future(), Waiter(), threading.Condition()
    future._condition = condition
    future._waiters = [waiter]
    assert future._condition is condition and future._waiters == [waiter]
    future.set_result(1)
    assert [what for what, *_ in waiter.told] == ["result"]


def test_a_waiter_that_raises_hinders_nobody_who_waits():
    class Failing(Waiter):
        def add_result(self, future):
            raise LookupError

    future, called = oneloom.Future(), []
    future._waiters.append(Failing())
    future.add_done_callback(called.append)
    thread = start_thread(future.result)
    with pytest.raises(LookupError):
        future.set_result(1)
    thread.join(20)
    assert future.result() == 1 and called == [future]
    with pytest.raises(InvalidStateError):
        future.set_result(2)


@pytest.mark.parametrize("is_late", [False, True])
def test_one_that_a_pool_cancels_tells_its_waiters(is_late):
    release = threading.Event()
    with oneloom.ThreadPool(1) as pool:
        pool.submit(release.wait)
        future, waiter = pool.submit(int), Waiter()
        if not is_late:
            future._waiters.append(waiter)
        is_cancelled = future.cancel()
        if is_late:  # The worker has not asked for it yet.
            future._waiters.append(waiter)
        release.set()
        assert is_cancelled
        wait_until(lambda: waiter.told)
    assert waiter.told == [("cancelled", future, "CANCELLED_AND_NOTIFIED")]
