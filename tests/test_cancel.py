"""Cancelled and timed-out waits: exact to the item, and nothing of them is left behind."""

import asyncio
import queue as standard_queue
import random
import threading
import time
from collections import Counter

import pytest
import uvloop

import oneloom
import oneloom.shared
from conftest import STRESS, run_program, start_thread, wait_until
from test_methods import ASYNC_METHODS, COMMON, SHARED_METHODS, SYNC_METHODS

WAITS = int(100_000 * STRESS)
LOOPS = [pytest.param(None, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")]


def run(main, loop_factory=None):
    return oneloom.run(main, loop_factory=loop_factory)


def subject_of(method):
    """The subject of a row of the table, set up in this process, and the names of its setup."""
    names = {}
    exec(COMMON.replace("daemon(lambda: time.sleep(600))", ""), names)
    exec(method.setup, names)
    return names


def waiting(names):
    subject = names["subject"]
    return subject.statistics().waiting if hasattr(subject, "statistics") else 0


def coroutine_of(method, names, timeout=None):
    lines = "\n    ".join(method.call_with(timeout).splitlines())
    exec(f"async def call():\n    {lines}", names)
    return names["call"]


UNIFIED = [
    pytest.param(method, id=method.id) for method in [*ASYNC_METHODS, *SHARED_METHODS] if method.is_async and not method.in_loop
]


@pytest.mark.parametrize("loop_factory", LOOPS)
@pytest.mark.parametrize("method", UNIFIED)
def test_a_cancelled_wait_leaves_nothing_behind(method, loop_factory):
    names = subject_of(method)
    call = coroutine_of(method, names)
    # Several at a barrier would let each other pass.
    crowd = 1 if "Barrier" in method.owner else 10

    async def main():
        for round in range(30):
            tasks = [asyncio.create_task(call()) for _ in range(crowd)]
            await asyncio.sleep(0)
            # Some are cancelled as soon as they wait, some before that.
            for task in tasks[: crowd // 2 if round % 2 else crowd]:
                task.cancel()
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            assert all(isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True))
        assert waiting(names) == 0

    run(main(), loop_factory)
    if method.again:
        exec(method.again, names)

    # The very next one still gets what it waits for.
    async def once():
        task = asyncio.create_task(call())
        await asyncio.sleep(0.001)
        start_thread(lambda: exec(method.help, names))
        await asyncio.wait_for(task, 20)

    run(once(), loop_factory)
    wait_until(lambda: waiting(names) == 0)


@pytest.mark.parametrize("method", [p for p in UNIFIED if p.values[0].takes_timeout])
def test_a_timed_out_await_leaves_nothing_behind(method):
    names = subject_of(method)
    call = coroutine_of(method, names, 0.002)

    async def main():
        ends = await asyncio.gather(*(call() for _ in range(50)), return_exceptions=True)
        # Whatever the method's way of saying that time is up, it is nothing else.
        expected = (standard_queue.Empty, standard_queue.Full, TimeoutError, threading.BrokenBarrierError)
        assert all(not isinstance(end, BaseException) or isinstance(end, expected) for end in ends), ends
        assert waiting(names) == 0

    run(main())


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(m, id=m.id)
        for m in [*SYNC_METHODS, *SHARED_METHODS]
        if m.takes_timeout and not m.is_async and (m.owner.count(".") == 1 or m in SHARED_METHODS)
    ],
)
def test_a_timed_out_call_leaves_nothing_behind(method):
    names = subject_of(method)
    lines = "\n    ".join(method.call_with(0.002).splitlines())
    exec(f"def call():\n    {lines}", names)
    errors = []

    def body():
        try:
            names["call"]()
        except (standard_queue.Empty, standard_queue.Full, TimeoutError, threading.BrokenBarrierError):
            pass
        except BaseException as error:
            errors.append(error)

    threads = [start_thread(body) for _ in range(5)]
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert errors == [] and waiting(names) == 0


@pytest.mark.stress
@pytest.mark.parametrize("loop_factory", LOOPS)
@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"])
def test_a_hundred_thousand_cancelled_and_timed_out_gets_lose_no_item(kind, loop_factory, seed):
    """Threads put while tasks get, and every second wait is cancelled or times out just as an item may arrive."""
    rng, items = random.Random(seed), getattr(oneloom, kind)()
    waits = WAITS // 8
    put, got, ended = Counter(), Counter(), 0
    stop = False

    def produce(number):
        serial = 0
        while not stop:
            if items.qsize() > 4:
                time.sleep(0.00005)
                continue
            items.put((number, serial))
            put[number, serial] += 1
            serial += 1

    async def consume(timeout):
        return await items.get_async(timeout)

    async def main():
        nonlocal ended
        while ended < waits:
            tasks = [asyncio.create_task(consume(rng.choice([None, None, 0.00001]))) for _ in range(16)]
            for _ in range(rng.randrange(3)):
                await asyncio.sleep(0)
            for task in rng.sample(tasks, 12):
                task.cancel()
            for end in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(end, tuple):
                    got[end] += 1
                else:
                    assert isinstance(end, (asyncio.CancelledError, standard_queue.Empty)), end
                ended += 1

    threads = [start_thread(produce, number) for number in range(2)]
    run(main(), loop_factory)
    stop = True
    for thread in threads:
        thread.join(20)
    while not items.empty():
        got[items.get_nowait()] += 1
    assert got == put
    assert items.statistics().waiting == 0
    assert len(got) > 100


@pytest.mark.stress
@pytest.mark.parametrize("loop_factory", LOOPS)
def test_a_cancelled_put_has_put_nothing(loop_factory, seed):
    rng, items = random.Random(seed), oneloom.Queue(2)
    sent, received = Counter(), Counter()
    stop = False

    def consume():
        while not (stop and items.empty()):
            try:
                received[items.get(timeout=0.001)] += 1
            except standard_queue.Empty:
                pass

    async def produce(number):
        await items.put_async(number, rng.choice([None, None, 0.00001]))
        sent[number] += 1

    async def main():
        for batch in range(WAITS // 100):
            tasks = [asyncio.create_task(produce((batch, number))) for number in range(16)]
            await asyncio.sleep(0)
            for task in rng.sample(tasks, 8):
                task.cancel()
            for end in await asyncio.gather(*tasks, return_exceptions=True):
                assert end is None or isinstance(end, (asyncio.CancelledError, standard_queue.Full)), end

    threads = [start_thread(consume) for _ in range(2)]
    run(main(), loop_factory)
    stop = True
    for thread in threads:
        thread.join(20)
    assert received == sent
    assert items.statistics().waiting == 0


@pytest.mark.stress
@pytest.mark.parametrize("loop_factory", LOOPS)
def test_wait_for_a_get_loses_no_item(loop_factory):
    """`asyncio.wait_for` of 3.11 could drop the value of a task that ended just as its time was up."""
    items = oneloom.Queue()
    total = int(3000 * STRESS)
    got = []

    def produce():
        for number in range(total):
            items.put(number)
            if number % 3 == 0:
                time.sleep(0.0002)

    async def main():
        producer = start_thread(produce)
        while len(got) < total:
            try:
                got.append(await asyncio.wait_for(items.get_async(), 0.0002))
            except TimeoutError:
                # A cancelled get has taken nothing: were an item lost, this would never end.
                if not producer.is_alive() and items.empty():
                    break

    run(main(), loop_factory)
    assert got == list(range(total))
    assert items.statistics().waiting == 0


@pytest.mark.stress
@pytest.mark.parametrize("home", [oneloom, oneloom.shared], ids=["unified", "shared"])
@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "BoundedSemaphore"])
def test_a_cancelled_or_timed_out_acquire_passes_the_permit_on(kind, home, seed):
    """Threads and tasks fight for one permit, most of them in vain; at the end it is there, once."""
    rng, lock = random.Random(seed), getattr(home, kind)()
    waits = WAITS // 8
    inside, most, ended = 0, 0, 0

    def enter():
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        inside -= 1

    async def hold(timeout):
        if await lock.acquire_async(timeout):
            try:
                enter()
                await asyncio.sleep(0)
            finally:
                lock.release()

    def fight(stop):
        while not stop.is_set():
            if lock.acquire(timeout=0.0001):
                enter()
                lock.release()
            # Or it would take the lock a thousand times alone, until the loop is given the interpreter.
            time.sleep(0)

    async def main():
        nonlocal ended
        while ended < waits:
            tasks = [asyncio.create_task(hold(rng.choice([None, None, 0.00001, 0.0005]))) for _ in range(16)]
            await asyncio.sleep(0)
            for task in rng.sample(tasks, 8):
                task.cancel()
            for end in await asyncio.gather(*tasks, return_exceptions=True):
                assert end is None or isinstance(end, asyncio.CancelledError), end
                ended += 1

    stop = threading.Event()
    threads = [start_thread(fight, stop) for _ in range(2)]
    run(main())
    stop.set()
    for thread in threads:
        thread.join(20)
    assert most == 1
    assert lock.statistics().waiting == 0
    # From another thread, since this one might own an RLock unawares.
    free = []
    start_thread(lambda: free.append(lock.acquire(blocking=False) and (kind == "RLock" or not lock.acquire(blocking=False)))).join(20)
    assert free == [True]


@pytest.mark.stress
@pytest.mark.parametrize("home", [oneloom, oneloom.shared], ids=["unified", "shared"])
def test_a_cancelled_condition_wait_has_its_lock_back_and_passes_the_notification_on(home, seed):
    rng, condition = random.Random(seed), home.Condition()
    tokens = taken = 0
    rounds = int(300 * STRESS)

    async def take():
        nonlocal tokens, taken
        async with condition:
            await condition.wait_for_async(lambda: tokens)
            tokens -= 1
            taken += 1

    def give():
        nonlocal tokens
        for _ in range(rounds):
            with condition:
                tokens += 1
                condition.notify()
            time.sleep(0)

    async def main():
        giver = start_thread(give)
        while taken < rounds:
            tasks = [asyncio.create_task(take()) for _ in range(4)]
            await asyncio.sleep(rng.choice([0, 0.0002]))
            for task in rng.sample(tasks, 2):
                task.cancel()
            done, pending = await asyncio.wait(tasks, timeout=0.01)
            for task in pending:
                task.cancel()
            for end in await asyncio.gather(*tasks, return_exceptions=True):
                assert end is None or isinstance(end, asyncio.CancelledError), end
            assert giver.is_alive() or tokens + taken == rounds

    run(asyncio.wait_for(main(), 60 * max(1, STRESS)))
    assert tokens == 0 and condition.statistics().waiting == 0


def test_asyncio_timeout_ends_a_wait_exactly():
    async def main():
        lock = oneloom.Lock()
        async with lock:
            for _ in range(100):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.0001):
                        async with oneloom.Semaphore(0):
                            pass
        event = oneloom.Event()
        async with asyncio.timeout(20):
            start_thread(event.set)
            assert await event.wait_async()
        assert event.statistics().waiting == 0

    run(main())


def test_a_loop_that_ends_with_waiting_tasks_leaves_no_waiter():
    items = oneloom.Queue()

    async def main():
        for _ in range(10):
            asyncio.ensure_future(items.get_async())
        await asyncio.sleep(0)
        assert items.statistics().waiting_getters == 10

    run(main())
    assert items.statistics().waiting_getters == 0
    items.put(1)
    assert items.get() == 1


def test_a_waiting_coroutine_that_is_thrown_away_leaves_no_waiter():
    code = """
import gc
items = oneloom.Queue()
loop = asyncio.new_event_loop()
async def main():
    coroutine = items.get_async()
    future = coroutine.send(None)
    assert items.statistics().waiting_getters == 1
    coroutine.close()
    assert items.statistics().waiting_getters == 0
    coroutine = items.get_async()
    coroutine.send(None)
    del coroutine
    gc.collect()
    assert items.statistics().waiting_getters == 0
    items.put("kept")
    print(await items.get_async())
asyncio.run(main())
"""
    result = run_program(COMMON + code).check()
    assert (result.out, result.err) == ("kept\n", "")
