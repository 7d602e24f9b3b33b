"""`oneloom.Future` by itself: its states, what it gives and raises, its callbacks, awaiting it, and its life."""

import asyncio
import concurrent.futures
import gc
import logging
import re
import sys
import threading
import traceback
import weakref
from concurrent.futures import CancelledError, InvalidStateError

import pytest
import uvloop

import oneloom
from conftest import start_thread, wait_until


def finished(value=None, error=None):
    future = oneloom.Future()
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
    return future


def cancelled():
    future = oneloom.Future()
    future.cancel()
    return future


def running():
    future = oneloom.Future()
    assert future.set_running_or_notify_cancel()
    return future


def states(future):
    return future.running(), future.cancelled(), future.done()


def test_it_is_a_future_of_the_standard_library():
    assert isinstance(oneloom.Future(), concurrent.futures.Future)
    assert oneloom.Future.__module__ == "oneloom"
    with pytest.raises(TypeError):
        oneloom.Future(1)


def test_its_states_are_those_of_the_standard_library():
    assert states(oneloom.Future()) == (False, False, False)
    assert states(running()) == (True, False, False)
    assert states(finished(1)) == states(finished(error=KeyError())) == (False, False, True)
    assert states(cancelled()) == (False, True, True)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (oneloom.Future, "pending"),
        (running, "running"),
        (cancelled, "cancelled"),
        (lambda: finished(1), "finished returned int"),
        (lambda: finished(error=KeyError()), "finished raised KeyError"),
    ],
)
def test_its_text_is_that_of_the_standard_library(make, text):
    assert re.fullmatch(f"<Future at 0x[0-9a-f]+ state={text}>", repr(make()))


def test_a_subclass_has_its_own_name_arguments_and_attributes():
    class Mine(oneloom.Future[int]):
        def __init__(self, label):
            self.label = label

    mine = Mine("a")
    mine.set_result(1)
    assert mine.label == "a" and mine.result() == 1 and repr(mine).startswith("<Mine at 0x")


def test_its_value_is_given_to_all_who_ask():
    future = finished(value := object())
    assert future.result() is future.result(0) is value
    assert future.exception() is None


@pytest.mark.parametrize("ask", ["result", "exception"])
def test_a_thread_waits_for_the_end(ask):
    future, told = oneloom.Future(), []
    thread = threading.Thread(target=lambda: told.append(getattr(future, ask)()))
    thread.start()
    future.set_result(7)
    thread.join()
    assert told == [7 if ask == "result" else None]


@pytest.mark.parametrize("ask", ["result", "exception"])
def test_a_time_out_says_what_has_not_ended(ask):
    future = oneloom.Future()
    for timeout in (0.01, 0, -1):
        with pytest.raises(TimeoutError, match=rf"<Future at .* state=pending> has not ended within {timeout}.* s"):
            getattr(future, ask)(timeout)


@pytest.mark.parametrize("ask", ["result", "exception"])
def test_what_was_cancelled_raises_so_also_for_those_who_wait(ask):
    future, told = oneloom.Future(), []

    def look():
        try:
            getattr(future, ask)()
        except CancelledError as error:
            told.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    assert future.cancel()
    thread.join()
    look()
    assert [type(error) for error in told] == [CancelledError] * 2


def test_the_same_exception_is_raised_each_time_and_its_traceback_does_not_grow():
    def fail():
        raise KeyError("x")

    future = oneloom.Future()
    try:
        fail()
    except KeyError as caught:
        error = caught
    future.set_exception(error)
    assert future.exception() is error
    lengths = set()
    for _ in range(5):
        with pytest.raises(KeyError) as raised:
            future.result()
        assert raised.value is error
        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert names[-1] == "fail"
        lengths.add(len(names))
    assert len(lengths) == 1


def test_an_exception_has_what_is_being_handled_as_its_context():
    future = finished(error=KeyError())
    with pytest.raises(KeyError) as raised:
        try:
            raise ValueError
        except ValueError:
            future.result()
    assert isinstance(raised.value.__context__, ValueError)


def test_an_exception_class_is_raised_as_the_standard_library_raises_it():
    with pytest.raises(KeyError):
        finished(error=KeyError).result()
    with pytest.raises(TypeError, match="exceptions must derive from BaseException"):
        finished(error=1).result()


@pytest.mark.parametrize("make", [cancelled, lambda: finished(1), lambda: finished(error=KeyError())])
def test_an_end_is_brought_once(make):
    future = make()
    for bring in (lambda: future.set_result(2), lambda: future.set_exception(OSError())):
        with pytest.raises(InvalidStateError, match=rf"^{future._state}: <Future at 0x[0-9a-f]+ state="):
            bring()
    assert future.cancel() == future.cancelled()


def test_what_runs_is_not_cancelled():
    future = running()
    assert not future.cancel() and not future.cancel(running=True)
    assert future.running()


def test_who_is_about_to_run_it_learns_that_it_was_cancelled(caplog):
    future = cancelled()
    assert future._state == "CANCELLED"
    assert not future.set_running_or_notify_cancel()
    assert future._state == "CANCELLED_AND_NOTIFIED"
    for wrong in (future, running(), finished(1)):
        with pytest.raises(RuntimeError, match="^Future in unexpected state$"):
            wrong.set_running_or_notify_cancel()
        assert caplog.messages.pop() == f"Future {id(wrong)} in unexpected state: {wrong._state}"


@pytest.mark.parametrize("end", [oneloom.Future.cancel, lambda future: future.set_result(1), lambda future: future.set_exception(KeyError())])
@pytest.mark.parametrize("observed", [False, True])
def test_callbacks_are_called_in_order_by_whoever_brings_the_end(end, observed):
    future, told = oneloom.Future(), []
    if observed:
        future._condition
    for number in range(3):
        future.add_done_callback(lambda done, number=number: told.append((number, done is future, threading.get_ident())))
    end(future)
    future.add_done_callback(lambda done: told.append((3, done is future, threading.get_ident())))
    assert told == [(number, True, threading.get_ident()) for number in range(4)]


@pytest.mark.parametrize("is_late", [False, True])
def test_a_callback_that_raises_is_logged_and_hinders_nobody(caplog, is_late):
    future, told = oneloom.Future(), []

    def fail(done):
        raise KeyError("x")

    if is_late:
        future.set_result(1)
    future.add_done_callback(fail)
    future.add_done_callback(told.append)
    if not is_late:
        future.set_result(1)
    assert told == [future]
    (record,) = caplog.records
    assert record.name == "concurrent.futures" and record.levelno == logging.ERROR
    assert record.getMessage() == f"exception calling callback for {future!r}"
    assert record.exc_info[0] is KeyError


def test_what_is_no_exception_comes_out_of_a_callback():
    future = oneloom.Future()
    future.add_done_callback(lambda done: sys.exit(3))
    with pytest.raises(SystemExit):
        future.set_result(1)
    assert future.result() == 1


def test_coroutines_of_several_loops_await_it():
    future, told = oneloom.Future(), []

    async def look():
        return await future

    async def main():
        told.extend(await asyncio.gather(look(), look()))

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    future.set_result(value := object())
    for thread in threads:
        thread.join()
    assert told == [value] * 6


@pytest.mark.parametrize("is_late", [False, True])
def test_awaiting_gives_the_value_or_raises(is_late):
    async def await_one(end):
        future = oneloom.Future()
        if is_late:
            end(future)
        else:
            asyncio.get_running_loop().call_soon(end, future)
        return await future

    assert asyncio.run(await_one(lambda future: future.set_result((1, 2)))) == (1, 2)
    with pytest.raises(KeyError):
        asyncio.run(await_one(lambda future: future.set_exception(KeyError())))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(await_one(oneloom.Future.cancel))
    # In a coroutine that would be a value.
    with pytest.raises(RuntimeError, match="StopIteration") as raised:
        asyncio.run(await_one(lambda future: future.set_exception(StopIteration(5))))
    assert isinstance(raised.value.__cause__, StopIteration)


def test_cancelling_who_awaits_leaves_the_future_as_it_is():
    async def main():
        future = oneloom.Future()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.001)
        assert states(future) == (False, False, False)
        future.set_result(1)
        return await future

    assert asyncio.run(main()) == 1


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_asyncios_own_functions_take_it(new_loop):
    async def main():
        loop = asyncio.get_running_loop()
        futures = [oneloom.Future() for _ in range(4)]
        for number, future in enumerate(futures):
            loop.call_later(0.001, future.set_result, number)
        found = [await asyncio.wrap_future(futures[0]), await asyncio.wait_for(futures[1], 20)]
        found += await asyncio.gather(*futures[2:])
        done, _ = await asyncio.wait([asyncio.ensure_future(futures[3])])
        found += [task.result() for task in done]
        with oneloom.ThreadPool(1) as pool:
            found.append(await loop.run_in_executor(pool, pow, 2, 3))
            assert not asyncio.isfuture(pool.submit(int))
        return found

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(main()) == [0, 1, 2, 3, 3, 8]


def test_cancelling_a_wrapper_of_asyncio_cancels_the_future_as_it_does_the_standard_ones():
    async def main():
        future = oneloom.Future()
        asyncio.wrap_future(future).cancel()
        await asyncio.sleep(0)
        return future.cancelled()

    assert asyncio.run(main())


def test_awaiting_needs_a_loop():
    for future in (oneloom.Future(), finished(1)):
        with pytest.raises(RuntimeError, match="no running asyncio event loop"):
            future.__await__()


class Node:
    """Something that weak references see."""


@pytest.mark.parametrize("keep", ["value", "exception", "callback", "condition", "attribute"])
def test_one_that_is_part_of_a_cycle_is_collected(keep):
    future, node = oneloom.Future(), Node()
    node.future = future
    if keep == "value":
        future.set_result(node)
    elif keep == "exception":
        error = KeyError(node)
        future.set_exception(error)
        del error
    elif keep == "callback":
        future.add_done_callback(lambda done, node=node: None)
    elif keep == "condition":
        future._waiters.append(node)
    else:
        future.node = node
    gone = weakref.ref(node), weakref.ref(future)
    del future, node
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_one_that_nobody_needs_is_gone_at_once():
    gc.disable()
    try:
        future = oneloom.Future()
        future.add_done_callback(print)
        gone = weakref.ref(future)
        del future
        assert gone() is None
        future = finished(error=KeyError())
        gone = weakref.ref(future)
        with pytest.raises(KeyError):
            future.result()
        del future
        assert gone() is None
    finally:
        gc.enable()


def test_it_can_not_be_pickled():
    import pickle

    with pytest.raises(TypeError, match="cannot pickle 'Future' object"):
        pickle.dumps(oneloom.Future())


def test_a_thread_that_waits_shows_in_a_dump(tmp_path):
    future = oneloom.Future()
    thread = start_thread(future.result)

    def dumped():
        with open(tmp_path / "dump", "w+") as file:
            oneloom.dump(file=file)
            file.seek(0)
            return "waits for future at 0x" in file.read()

    wait_until(dumped)
    future.set_result(None)
    thread.join()
