"""Futures under many hands at once: ends that race, callbacks that are added meanwhile, forks, and pools that end them
without the interpreter.
"""

import asyncio
import concurrent.futures
import contextlib
import random
import threading
import time
from concurrent.futures import CancelledError, InvalidStateError

import pytest

import oneloom
from conftest import STRESS, run_program, start_thread, wait_until


def end_in_some_way(future, chance, number):
    """Bring an end in some way; what the future has come to if it was this one's."""
    way = chance.randrange(4)
    try:
        if way == 0:
            future.set_result(number)
            return number
        if way == 1:
            future.set_exception(KeyError(number))
            return f"error {number}"
        if way == 2:
            return "cancelled" if future.set_running_or_notify_cancel() and future.cancel() else None
        return "cancelled" if future.cancel() else None
    except (InvalidStateError, RuntimeError):
        return None


@contextlib.contextmanager
def released():
    """An event that is set in the end, so that a failing test leaves no pool that waits for its tasks."""
    event = threading.Event()
    try:
        yield event
    finally:
        event.set()


def what_it_came_to(future):
    try:
        error = future.exception(10)
    except CancelledError:
        return "cancelled"
    return future.result() if error is None else f"error {error.args[0]}"


@pytest.mark.stress
@pytest.mark.filterwarnings("ignore")
def test_whoever_is_first_brings_the_end_and_everybody_learns_of_it_once(seed):
    for round_ in range(int(150 * STRESS)):
        chance = random.Random(seed + round_)
        future, told, ends = oneloom.Future(), [], []
        called = []
        gate = threading.Barrier(6)
        seeds = [chance.random() for _ in range(6)]

        def end(which, future=future, ends=ends, gate=gate, seeds=seeds):
            own = random.Random(seeds[which])
            gate.wait()
            if (came := end_in_some_way(future, own, which)) is not None:
                ends.append(came)

        def add(which, future=future, gate=gate, seeds=seeds, called=called):
            own = random.Random(seeds[which])
            gate.wait()
            for number in range(5):
                if own.random() < 0.1:
                    future._waiters  # Observed from here on.
                future.add_done_callback(lambda done, number=number: called.append((which, number, done.done())))

        def read(future=future, gate=gate, told=told):
            gate.wait()
            told.append(what_it_came_to(future))

        threads = [start_thread(end, which) for which in range(3)] + [start_thread(add, which) for which in (3, 4)]
        threads.append(start_thread(read))
        for thread in threads[:3] + threads[3:5]:
            thread.join(20)
        if not future.done():  # All three have only tried to cancel what was running.
            future.set_result("last")
            ends.append("last")
        threads[5].join(20)
        assert not any(thread.is_alive() for thread in threads)
        assert told == [what_it_came_to(future)] and told[0] in ends
        # Several may have been told that they cancelled it; only one has brought a value or an exception.
        assert len([came for came in ends if came != "cancelled"]) <= 1 and len(set(ends)) == 1
        assert sorted(called) == [(which, number, True) for which in (3, 4) for number in range(5)]


@pytest.mark.stress
@pytest.mark.parametrize("observed", [False, True])
def test_standard_and_own_waiters_see_an_end_that_comes_meanwhile(seed, observed):
    for round_ in range(int(100 * STRESS)):
        chance = random.Random(seed + round_)
        futures = [oneloom.Future() for _ in range(4)]
        if observed:
            for future in futures:
                future._condition
        found = []
        calls = [
            lambda: concurrent.futures.wait(futures).done,
            lambda: set(concurrent.futures.as_completed(futures)),
            lambda: oneloom.wait(futures).done,
            lambda: set(oneloom.as_completed(futures)),
        ]
        threads = [start_thread(lambda call=call: found.append(call())) for call in chance.sample(calls, 3)]
        for future in chance.sample(futures, 4):
            end_in_some_way(future, chance, 1)
            if future._state == "CANCELLED":
                future.set_running_or_notify_cancel()
            elif future.running():
                future.set_result(1)
        for thread in threads:
            thread.join(20)
        assert found == [set(futures)] * 3


@pytest.mark.parametrize("observed", [False, True])
def test_a_pool_ends_a_future_without_the_interpreter(observed):
    """What a time limit ends is ended by a thread that has no Python; its callbacks are called on one that has."""
    with oneloom.ThreadPool(1) as pool, released() as release, released() as begin:
        pool.submit(begin.wait)
        future = pool.options(timeout=0.02).submit(release.wait)
        called = []
        future.add_done_callback(lambda done: called.append((done, threading.get_ident())))
        # Its time runs from now on.
        begin.set()
        if observed:
            assert concurrent.futures.wait([future]).done == {future}
            assert list(concurrent.futures.as_completed([future])) == [future]
        with pytest.raises(TimeoutError):
            future.result()
        wait_until(lambda: called)
        assert called[0][0] is future and called[0][1] != threading.get_ident()


def test_coroutines_and_threads_wait_for_what_ends_without_the_interpreter():
    async def main(future):
        with pytest.raises(TimeoutError):
            await future
        with pytest.raises(TimeoutError):
            await asyncio.wrap_future(future)
        return [await oneloom.wait_async([future]), await oneloom.gather(future, return_exceptions=True)]

    with oneloom.ThreadPool(1, timeout=0.02) as pool, released() as release:
        future = pool.submit(release.wait)
        done, (error,) = asyncio.run(main(future))
        assert done == ({future}, set()) and isinstance(error, TimeoutError)


def test_a_pending_future_of_a_pool_is_cancelled_and_its_task_does_not_run():
    ran = []
    with oneloom.ThreadPool(1) as pool, released() as release:
        busy = pool.submit(release.wait)
        futures = [pool.submit(ran.append, number) for number in range(3)]
        waited = start_thread(lambda: concurrent.futures.wait(futures))
        wait_until(lambda: len(futures[2]._waiters) == 1)
        called = []
        futures[0].add_done_callback(called.append)
        assert futures[0].cancel() and futures[1].cancel(running=True) and called == [futures[0]]
        assert not busy.cancel() and busy.running()
        release.set()
        waited.join(20)
    assert ran == [2] and not waited.is_alive()


def test_in_the_child_of_a_fork_a_pools_future_answers_and_others_work_on():
    run_program(
        """
        import os, threading, warnings
        import oneloom

        warnings.simplefilter("ignore")
        release = threading.Event()
        pool = oneloom.ThreadPool(1)
        pending = pool.submit(release.wait)
        own, ended = oneloom.Future(), pool.submit(int)
        told = []
        own.add_done_callback(told.append)
        waiting = threading.Thread(target=own.result, daemon=True)
        waiting.start()
        child = os.fork()
        if child == 0:
            try:
                pending.result()
            except RuntimeError as error:
                assert "did not come along when this process forked" in str(error), error
            assert not pending.done()
            own.set_result(1)
            assert own.result() == 1 and told == [own]
            os._exit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
        assert not own.done()
        own.set_result(2)
        waiting.join()
        release.set()
        assert pending.result() is True and ended.result() == 0
        """
    ).check()


def test_a_program_may_end_while_somebody_waits():
    run_program(
        """
        import threading
        import oneloom

        future = oneloom.Future()
        threading.Thread(target=future.result, daemon=True).start()
        threading.Thread(target=oneloom.wait, args=([future],), daemon=True).start()
        future.add_done_callback(print)
        """
    ).check()


def test_who_waits_for_itself_is_told():
    with oneloom.ThreadPool(1) as pool:
        known = oneloom.Queue()

        def wait_for_itself():
            return known.get().result()

        future = pool.submit(wait_for_itself)
        known.put(future)
        text = r"(?s)waits for future at 0x\w+, which thread .* works at.*a result that needs its own"
        with pytest.raises(oneloom.DeadlockError, match=text):
            future.result(20)


@pytest.mark.stress
@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_a_storm_of_cancellations_and_waits_on_a_pool_leaves_nobody_waiting(seed, kind):
    chance = random.Random(seed)
    make = {"threads": oneloom.ThreadPool, "processes": lambda workers: oneloom.ProcessPool(workers, start_method="fork")}
    waits = [
        lambda futures: concurrent.futures.wait(futures).done,
        lambda futures: set(concurrent.futures.as_completed(futures)),
        lambda futures: oneloom.wait(futures).done,
        lambda futures: set(oneloom.as_completed(futures)),
    ]
    with make[kind](2) as pool:
        for _ in range(int(20 * STRESS)):
            futures = [pool.submit(time.sleep, chance.choice([0, 0, 0.001])) for _ in range(40)]
            called, wrong, seen = [], [], []
            for future in chance.sample(futures, 20):
                future.add_done_callback(called.append)

            def cancel(some, running):
                for future in some:
                    if future.cancel(running=running) and not (future.cancelled() and future.done()):
                        wrong.append(future)

            threads = [start_thread(lambda wait=wait: seen.append(wait(futures))) for wait in chance.sample(waits, 2)]
            threads += [start_thread(cancel, chance.sample(futures, 15), False) for _ in range(2)]
            threads.append(start_thread(cancel, chance.sample(futures, 2), True))
            for thread in threads:
                thread.join(30)
            assert wrong == [] and seen == [set(futures)] * 2
            wait_until(lambda: len(called) == 20)
            assert len(set(called)) == 20
