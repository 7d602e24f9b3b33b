"""Results that arrive as bytes: whoever reads first makes objects of them, once, and what goes wrong there is told."""

import concurrent.futures
import gc
import os
import threading
import time
import weakref
from typing import ClassVar

import pytest

import oneloom
from conftest import start_thread, wait_until
from oneloom._pool.launch import Worker


class Opening:
    """Calls `when_opened` when it is unpickled, which a test replaces."""

    def __getstate__(self):
        return {"some": "state"}

    def __setstate__(self, state):
        when_opened(self)


def nothing(_opened):
    pass


def die():
    os._exit(3)


when_opened = nothing


class Node:
    """Something that weak references see."""


@pytest.fixture(scope="module")
def pool():
    with oneloom.ProcessPool(1, start_method="fork") as pool:
        yield pool


@pytest.fixture
def opening(monkeypatch):
    """Says what is to happen when a result is unpickled."""
    return lambda act: monkeypatch.setitem(globals(), "when_opened", act)


def packed(pool):
    """A future whose result has arrived and was not unpacked."""
    future = pool.submit(Opening)
    wait_until(future.done)
    return future


def test_a_result_is_unpacked_once_and_by_whoever_reads_it(pool, opening):
    opened = []
    opening(lambda thing: opened.append(threading.get_ident()))
    future = packed(pool)
    assert oneloom.wait([future], return_when="FIRST_EXCEPTION").done == {future}
    assert opened == []
    assert future.result() is future.result() and future.exception() is None
    assert opened == [threading.get_ident()]


def test_others_wait_while_somebody_unpacks(pool, opening):
    begun, go_on, opened, got = threading.Event(), threading.Event(), [], []

    def open_slowly(thing):
        opened.append(thing)
        begun.set()
        go_on.wait(20)

    opening(open_slowly)
    future = packed(pool)
    threads = [start_thread(lambda: got.append(future.result()))]
    assert begun.wait(20)
    threads += [start_thread(lambda: got.append(future.result())), start_thread(lambda: got.append(future.exception()))]
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert len(opened) == 1 and sorted(map(str, got)) == sorted(map(str, [*opened, *opened, None]))


def test_what_unpacking_raises_is_the_futures_exception(pool, opening):
    def fail(thing):
        raise LookupError("not here")

    opening(fail)
    future = packed(pool)
    error = future.exception()
    assert "not here" in str(error) and future.exception() is error
    with pytest.raises(type(error)):
        future.result()


def test_a_signal_that_comes_meanwhile_is_the_readers_and_the_next_one_tries_again(pool, opening):
    tries = []

    def interrupt_once(thing):
        tries.append(thing)
        if len(tries) == 1:
            raise KeyboardInterrupt

    opening(interrupt_once)
    future = packed(pool)
    with pytest.raises(KeyboardInterrupt):
        future.result()
    assert future.done() and isinstance(future.result(), Opening) and len(tries) == 2


@pytest.mark.parametrize("how", ["died", "never_ready"])
def test_a_signal_that_comes_while_it_is_told_how_a_worker_died_hides_nothing(monkeypatch, how):
    tell, tries = getattr(Worker, how), []

    def interrupt_once(*arguments):
        tries.append(arguments)
        if len(tries) == 1:
            raise KeyboardInterrupt
        return tell(*arguments)

    monkeypatch.setattr(Worker, how, interrupt_once)
    initializer = None if how == "died" else die
    with oneloom.ProcessPool(1, start_method="fork", initializer=initializer) as pool:
        future = pool.submit(die)
        with pytest.raises(KeyboardInterrupt):
            future.result(timeout=30)
        for _ in range(2):
            with pytest.raises(oneloom.WorkerDied):
                future.result(timeout=30)


def test_unpacking_that_needs_its_own_result_is_a_deadlock_and_said_to_be(pool, opening):
    opening(lambda thing: future.result())
    future = packed(pool)
    with pytest.raises(BaseException) as raised:
        future.result()
    errors = [raised.value]
    while errors[-1].__context__ is not None or errors[-1].__cause__ is not None:
        errors.append(errors[-1].__cause__ or errors[-1].__context__)
    assert any(isinstance(error, oneloom.DeadlockError) for error in errors)


def test_the_standard_functions_and_callbacks_see_what_arrived(pool):
    called = []
    futures = [pool.submit(pow, 2, number) for number in range(5)]
    for future in futures:
        future.add_done_callback(lambda done: called.append((done.result(), threading.current_thread())))
    assert concurrent.futures.wait(futures).done == set(futures)
    assert sorted(future.result() for future in concurrent.futures.as_completed(futures)) == [1, 2, 4, 8, 16]
    wait_until(lambda: len(called) == 5)
    assert sorted(result for result, _ in called) == [1, 2, 4, 8, 16]


class Mortal:
    """Notes in which thread each of them falls away."""

    ends: ClassVar = []

    def __del__(self):
        self.ends.append(threading.current_thread())


def test_a_result_that_nobody_keeps_falls_away_in_the_thread_that_has_read_it(pool):
    readers = []

    def read(done):
        assert isinstance(done.result(), Mortal)
        readers.append(threading.current_thread())

    del Mortal.ends[:]
    for number in range(1, 2001):
        pool.submit(Mortal).add_done_callback(read)
        wait_until(lambda: len(Mortal.ends) == number)  # noqa: B023 (called at once)
    assert Mortal.ends == readers


def test_a_text_shows_what_it_is(pool):
    future = pool.submit(pow, 2, 3)
    future.result()
    assert repr(future).endswith(" state=finished returned int>")
    future = pool.submit(pow, "a", 3)
    future.exception()
    assert repr(future).endswith(" state=finished raised TypeError>")


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_a_pools_future_in_a_cycle_is_collected(pool, kind):
    used = oneloom.ThreadPool(1) if kind == "threads" else pool
    future, node = used.submit(int), Node()
    node.future = future
    future.add_done_callback(lambda done, node=node: None)
    future.result()
    future.node = node
    gone = weakref.ref(node), weakref.ref(future)
    del future, node

    def is_collected():
        gc.collect()
        return [reference() for reference in gone] == [None, None]

    wait_until(is_collected)


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_a_callback_is_called_although_nobody_keeps_the_future(pool, kind):
    used = oneloom.ThreadPool(1) if kind == "threads" else pool
    called = []
    used.submit(time.sleep, 0.05)  # So that it has not ended by the time it has a callback.
    used.submit(pow, 2, 3).add_done_callback(lambda done: called.append(done.result()))
    gc.collect()
    wait_until(lambda: called == [8])
