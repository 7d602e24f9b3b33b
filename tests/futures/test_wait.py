"""`wait`, `wait_async`, `as_completed` and `gather`: futures, threads, processes, tasks and coroutines in one go."""

import asyncio
import concurrent.futures
import contextlib
import gc
import os
import random
import signal
import threading
import time
import weakref

import pytest

import oneloom
from conftest import run_program, start_thread, wait_until

EVERY = ["FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED"]


def thread(target, *args):
    made = oneloom.Thread(target=target, args=args, daemon=True)
    made.start()
    return made


def process(target, *args):
    made = oneloom.Process(target=target, args=args, start_method="fork", daemon=True)
    made.start()
    return made


def bells_and_ends():
    """The descriptors that tell a thread to stop, or that a process has ended."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return sorted(link for link in found if "eventfd" in link or "pidfd" in link)


def of_every_kind(value):
    """One of each kind that a thread waits for, and what ends them all."""
    own, standard, event = oneloom.Future(), concurrent.futures.Future(), threading.Event()
    reader, writer = os.pipe()

    def end():
        own.set_result(value)
        standard.set_result(value)
        event.set()
        os.close(writer)

    def in_child():
        os.close(writer)
        os.read(reader, 1)
        return value

    return [own, standard, thread(lambda: (event.wait(), value)[1]), process(in_child)], end


def fail(*_):
    raise KeyError("x")


def test_nothing_to_wait_for_is_nothing():
    assert oneloom.wait([]) == oneloom.wait([], return_when="FIRST_COMPLETED") == (set(), set())
    assert list(oneloom.as_completed([])) == oneloom.gather().result() == []


def test_the_result_is_the_standard_librarys():
    future = oneloom.Future()
    found = oneloom.wait([future], 0)
    assert type(found) is concurrent.futures.wait([future], 0).__class__
    assert repr(found) == f"DoneAndNotDoneFutures(done=set(), not_done={{{future!r}}})"


@pytest.mark.parametrize("when", EVERY)
def test_wait_takes_all_kinds_at_once(when):
    things, end = of_every_kind(7)
    threading.Timer(0.01, end).start()
    done, not_done = oneloom.wait(things, return_when=when)
    assert done | not_done == set(things) and done
    if when != "FIRST_COMPLETED":
        assert not not_done
    assert oneloom.wait([*things, *things]) == (set(things), set())
    assert [thing.result() for thing in things] == [7] * 4


@pytest.mark.parametrize("when", EVERY)
def test_wait_gives_up_when_the_time_is_over(when):
    things, end = of_every_kind(7)
    for timeout in (0.01, 0, -1):
        assert oneloom.wait(things, timeout, when) == (set(), set(things))
    end()
    oneloom.wait(things)


@pytest.mark.parametrize("make", [lambda: oneloom.Future(), lambda: concurrent.futures.Future()])
def test_the_first_exception_ends_a_wait_for_it_and_a_cancellation_does_not(make):
    cancelled, failing, pending = make(), make(), make()
    cancelled.cancel()
    cancelled.set_running_or_notify_cancel()
    assert oneloom.wait([cancelled, failing, pending], 0.01, "FIRST_EXCEPTION") == ({cancelled}, {failing, pending})
    threading.Timer(0.01, failing.set_exception, (KeyError(),)).start()
    assert oneloom.wait([cancelled, failing, pending], None, "FIRST_EXCEPTION") == ({cancelled, failing}, {pending})


@pytest.mark.parametrize("start", [thread, process])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_raises_in_a_thread_or_process_is_an_exception_too(start, capfd):
    failing, pending = start(fail), oneloom.Future()
    assert oneloom.wait([failing, pending], return_when="FIRST_EXCEPTION") == ({failing}, {pending})
    with pytest.raises(KeyError):
        oneloom.gather(pending, failing).result()


class Lingering(oneloom.Thread):
    """Whoever waits for it is told of its end a moment before the interpreter has done with it."""

    def _bootstrap(self):
        super()._bootstrap()
        time.sleep(0.05)


@pytest.mark.parametrize("when", EVERY)
def test_a_thread_that_is_about_to_be_gone_has_ended(when):
    async def in_a_coroutine():
        ending = Lingering(target=pow, args=(2, 10))
        ending.start()
        return (await oneloom.wait_async([ending], return_when=when)).done == {ending}

    ending = Lingering(target=pow, args=(2, 10))
    ending.start()
    assert oneloom.wait([ending], return_when=when).done == {ending}
    assert oneloom.run(in_a_coroutine())


def test_what_a_thread_that_is_about_to_be_gone_gave_is_gathered():
    ending = Lingering(target=pow, args=(2, 10))
    ending.start()
    assert oneloom.gather(ending).result() == [1024]


def test_what_has_no_end_is_refused():
    for call in (oneloom.wait, oneloom.as_completed, lambda things: oneloom.gather(*things)):
        with pytest.raises(TypeError, match="can't be waited for: neither a future"):
            call([oneloom.Future(), object()])
    with pytest.raises(ValueError, match="Invalid return condition: 'x'"):
        oneloom.wait([oneloom.Future()], return_when="x")
    with pytest.raises(RuntimeError, match="cannot join thread before it is started"):
        oneloom.wait([oneloom.Thread()])


def test_a_thread_does_not_wait_for_what_only_a_coroutine_waits_for():
    async def nothing():
        pass

    for call in (oneloom.wait, oneloom.as_completed, lambda things: oneloom.gather(*things)):
        with pytest.raises(TypeError, match="no asyncio event loop runs on this thread"):
            call([nothing()])

    async def main():
        task = asyncio.ensure_future(nothing())
        for call in (
            oneloom.wait,
            lambda things: oneloom.wait(things, return_when="FIRST_COMPLETED"),
            lambda things: list(oneloom.as_completed(things)),
            lambda things: oneloom.gather(*things).result(),
        ):
            with pytest.raises(TypeError, match="only in a coroutine of its loop"):
                call([task])
        await task

    asyncio.run(main())


def test_a_future_of_another_loop_is_refused():
    other = asyncio.new_event_loop()
    future = other.create_future()
    other.close()
    with pytest.raises(ValueError, match="belongs to another event loop"):
        asyncio.run(oneloom.wait_async([future]))


@pytest.mark.parametrize("when", EVERY)
def test_a_coroutine_waits_for_tasks_and_coroutines_as_well(when):
    async def main():
        things, end = of_every_kind(7)
        ready = asyncio.Event()

        async def last():
            await ready.wait()
            return 7

        things += [asyncio.ensure_future(last()), future := asyncio.get_running_loop().create_future()]

        def end_all():
            end()
            ready.set()
            future.set_result(7)

        assert await oneloom.wait_async(things, 0.001, when) == (set(), set(things))
        asyncio.get_running_loop().call_later(0.01, end_all)
        done, not_done = await oneloom.wait_async([*things, last()], return_when=when)
        assert len(done) + len(not_done) == 7 and done
        if when != "FIRST_COMPLETED":
            assert not not_done
        return await oneloom.gather(*things, last())

    assert asyncio.run(main()) == [7] * 7


@pytest.mark.parametrize("is_async", [False, True])
def test_as_completed_gives_each_as_it_ends(seed, is_async):
    futures = [random.Random(seed).choice([oneloom.Future, concurrent.futures.Future])() for _ in range(50)]
    order = random.Random(seed).sample(range(50), 50)
    given = []

    def next_one():
        if order:
            number = order.pop()
            given.append(futures[number])
            futures[number].set_result(number)

    async def collect():
        found = []
        async for future in oneloom.as_completed(futures + futures):
            found.append(future)
            next_one()
        return found

    next_one()
    if is_async:
        found = asyncio.run(collect())
    else:
        found = []
        for future in oneloom.as_completed(futures + futures):
            found.append(future)
            next_one()
    assert found == given and len(found) == 50


def test_as_completed_takes_all_kinds_at_once():
    things, end = of_every_kind(7)
    threading.Timer(0.01, end).start()
    assert set(oneloom.as_completed(things)) == set(things)

    async def main():
        things, end = of_every_kind(7)
        asyncio.get_running_loop().call_later(0.01, end)
        return [await asyncio.wrap_future(thing) if type(thing) is concurrent.futures.Future else await thing async for thing in oneloom.as_completed([*things, asyncio.sleep(0, 7)])]

    assert asyncio.run(main()) == [7] * 5


def test_as_completed_says_how_many_are_left_when_the_time_is_over():
    ended, pending = oneloom.Future(), oneloom.Future()
    ended.set_result(1)
    ends = oneloom.as_completed([pending, ended], 0.01)
    assert next(ends) is ended
    with pytest.raises(TimeoutError, match=r"^1 \(of 2\) futures unfinished$"):
        next(ends)

    async def main():
        ends = oneloom.as_completed([pending, ended], 0.01)
        assert await anext(ends) is ended
        with pytest.raises(TimeoutError, match=r"^1 \(of 2\) futures unfinished$"):
            await anext(ends)

    asyncio.run(main())


def test_as_completed_keeps_nothing_that_it_has_given():
    futures = [oneloom.Future() for _ in range(3)]
    gone = [weakref.ref(future) for future in futures]
    for future in futures:
        future.set_result(1)
    ends = oneloom.as_completed(futures)
    del futures, future
    gc.disable()
    try:
        for number in range(3):
            next(ends)
            assert gone[number]() is None
    finally:
        gc.enable()


def test_gather_gives_results_in_order():
    things, end = of_every_kind(7)
    other = oneloom.Future()
    other.set_result(8)
    threading.Timer(0.01, end).start()
    assert oneloom.gather(other, *things, other).result(60) == [8, 7, 7, 7, 7, 8]


@pytest.mark.parametrize("kind", [oneloom.Future, concurrent.futures.Future])
def test_gather_raises_the_first_exception_at_once(kind):
    pending, failing = kind(), kind()
    threading.Timer(0.01, failing.set_exception, (KeyError("x"),)).start()
    with pytest.raises(KeyError):
        oneloom.gather(pending, failing).result()

    async def main():
        with pytest.raises(KeyError):
            await oneloom.gather(pending, failing)

    asyncio.run(main())


@pytest.mark.parametrize("kind", [oneloom.Future, concurrent.futures.Future])
def test_gather_raises_for_what_was_cancelled(kind):
    pending, cancelled = kind(), kind()
    cancelled.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        oneloom.gather(pending, cancelled).result()

    async def main():
        with pytest.raises(asyncio.CancelledError):
            await oneloom.gather(pending, cancelled)

    asyncio.run(main())


def test_gather_can_give_exceptions_among_the_results():
    failing, cancelled, ended = oneloom.Future(), oneloom.Future(), oneloom.Future()
    failing.set_exception(error := KeyError("x"))
    cancelled.cancel()
    ended.set_result(1)
    first, second, third = oneloom.gather(failing, cancelled, ended, return_exceptions=True).result()
    assert first is error and type(second) is concurrent.futures.CancelledError and third == 1

    async def main():
        return await oneloom.gather(failing, asyncio.sleep(0, 2), return_exceptions=True)

    assert asyncio.run(main()) == [error, 2]


def test_gather_gives_up_when_the_time_is_over():
    ended = oneloom.Future()
    ended.set_result(1)
    with pytest.raises(TimeoutError, match="2 of 3 have not ended within 0.01 s"):
        oneloom.gather(oneloom.Future(), ended, concurrent.futures.Future()).result(0.01)


def test_cancelling_who_gathers_cancels_what_was_begun_there_and_nothing_else():
    async def main():
        future, task = oneloom.Future(), asyncio.ensure_future(asyncio.sleep(60))
        begun = []

        async def child():
            begun.append(asyncio.current_task())
            await asyncio.sleep(60)

        gathering = asyncio.ensure_future(_await(oneloom.gather(future, task, child())))
        while not begun:
            await asyncio.sleep(0)
        gathering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathering
        await asyncio.wait(begun)
        assert begun[0].cancelled() and not future.cancelled() and not task.done()
        task.cancel()

    asyncio.run(main())


async def _await(awaitable):
    return await awaitable


def test_giving_up_leaves_nothing_behind():
    standard, own = concurrent.futures.Future(), oneloom.Future()
    child = process(signal.pause)
    gc.collect()
    descriptors = bells_and_ends()
    threads = threading.active_count()
    for _ in range(3):
        oneloom.wait([standard, own, child], 0.001, "FIRST_COMPLETED")
        with pytest.raises(TimeoutError):
            next(oneloom.as_completed([standard, own, child], 0))
        abandoned = oneloom.as_completed([standard, own, child, thread(int)])
        next(abandoned)
        del abandoned
        with pytest.raises(TimeoutError):
            oneloom.gather(standard, own, child).result(0)

    async def main():
        await oneloom.wait_async([standard, own, child], 0.001)

    asyncio.run(main())
    assert standard._waiters == []
    wait_until(lambda: threading.active_count() == threads)
    wait_until(lambda: bells_and_ends() == descriptors)
    child.kill()
    assert oneloom.wait([child]).done == {child}
    gone = weakref.ref(own)
    del own
    assert gone() is None


@pytest.mark.parametrize("call", ["oneloom.wait(futures)", "oneloom.wait(futures, None, 'FIRST_COMPLETED')", "list(oneloom.as_completed(futures))", "oneloom.gather(*futures).result()"])
def test_ctrl_c_ends_it(call):
    run = run_program(
        f"""
        import os, signal, threading
        import oneloom

        futures = [oneloom.Future() for _ in range(3)]
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            {call}
        except KeyboardInterrupt:
            print("interrupted")
        """
    ).check()
    assert run.out == "interrupted\n"


def test_ten_thousand_futures_are_cheap():
    """A bound that is far from tight; a quadratic algorithm would take minutes."""
    begun = time.process_time()
    for call in (oneloom.wait, lambda futures: list(oneloom.as_completed(futures)), lambda futures: oneloom.gather(*futures).result()):
        futures = [oneloom.Future() for _ in range(10_000)]

        def end(futures=futures):
            for future in futures:
                future.set_result(None)

        start_thread(end)
        call(futures)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("is_async", [False, True])
def test_a_wait_for_what_ends_at_that_moment_always_ends(seed, is_async):
    chance = random.Random(seed)
    for _ in range(200):
        futures = [oneloom.Future() for _ in range(chance.randrange(1, 6))]
        shuffled = chance.sample(futures, len(futures))

        def end(shuffled=shuffled):
            for future in shuffled:
                future.set_result(None)

        ender = start_thread(end)
        when = chance.choice(EVERY)
        if is_async:
            done = asyncio.run(oneloom.wait_async(futures, return_when=when)).done
        else:
            done = oneloom.wait(futures, return_when=when).done
        assert done and (when == "FIRST_COMPLETED" or len(done) == len(futures))
        ender.join()


@pytest.mark.parametrize("wrong", [{"timeout": "1"}, {"return_when": "SOON"}, {"fs": 5}])
def test_what_is_refused_has_begun_nothing(wrong):
    async def main():
        begun = []

        async def begin():
            begun.append(True)

        coroutine = begin()
        fs = [coroutine, *([wrong["fs"]] if "fs" in wrong else [])]
        with pytest.raises((TypeError, ValueError), match="timeout|SOON|5 can't be waited for"):
            await oneloom.wait_async(fs, **{name: value for name, value in wrong.items() if name != "fs"})
        await asyncio.sleep(0)
        coroutine.close()
        return begun

    assert oneloom.run(main()) == []
