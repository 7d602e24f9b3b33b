"""Many at once: ten thousand coroutines and a hundred threads on one queue, several loops, and long chains of waiters."""

import asyncio
import threading
from collections import Counter

import pytest
import uvloop

import oneloom
from conftest import run_program, start_thread, wait_until

LOOPS = [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")]
COROUTINES, THREADS = 10_000, 100


def start(threads):
    for thread in threads:
        thread.start()
    return threads


def join(threads):
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize("loop_factory", LOOPS)
@pytest.mark.parametrize("maxsize", [0, 7])
def test_a_hundred_threads_feed_ten_thousand_coroutines(loop_factory, maxsize):
    items = oneloom.Queue(maxsize)
    got = Counter()

    async def get():
        got[await items.get_async()] += 1

    async def main():
        tasks = [asyncio.create_task(get()) for _ in range(COROUTINES)]
        await asyncio.sleep(0)
        assert items.statistics().waiting_getters == COROUTINES
        threads = start([oneloom.Thread(target=put, args=(number,), daemon=True) for number in range(THREADS)])
        await asyncio.gather(*tasks)
        for thread in threads:
            await thread

    def put(number):
        for serial in range(COROUTINES // THREADS):
            items.put((number, serial))

    oneloom.run(main(), loop_factory=loop_factory)
    assert len(got) == COROUTINES and set(got.values()) == {1}
    assert items.statistics().waiting == 0


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_ten_thousand_coroutines_feed_a_hundred_threads(loop_factory):
    items = oneloom.Queue(50)
    lists = [[] for _ in range(THREADS)]
    threads = start([threading.Thread(target=lambda own=own: own.extend(items), daemon=True) for own in lists])
    wait_until(lambda: items.statistics().waiting_getters == THREADS)

    async def main():
        await asyncio.gather(*(items.put_async(number) for number in range(COROUTINES)))

    oneloom.run(main(), loop_factory=loop_factory)
    items.shutdown()
    join(threads)
    assert sorted(item for own in lists for item in own) == list(range(COROUTINES))
    assert items.statistics().waiting == 0


def test_one_queue_serves_many_loops_at_once():
    items, results = oneloom.Queue(3), oneloom.SimpleQueue()
    loops, each = 6, 500

    async def relay():
        async for item in items:
            results.put(item)

    async def main(factory):
        await asyncio.gather(*(relay() for _ in range(5)))

    def serve(factory):
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main(factory))

    factories = [uvloop.new_event_loop if number % 2 else asyncio.new_event_loop for number in range(loops)]
    threads = start([threading.Thread(target=serve, args=(factory,), daemon=True) for factory in factories])
    for number in range(loops * each):
        items.put(number)
    items.shutdown()
    join(threads)
    assert sorted(results.get() for _ in range(loops * each)) == list(range(loops * each))


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore"])
def test_a_thousand_coroutines_and_fifty_threads_take_turns(kind):
    lock, counter = getattr(oneloom, kind)(), 0

    def add():
        nonlocal counter
        for _ in range(40):
            with lock:
                before = counter
                counter = before + 1

    async def add_async():
        nonlocal counter
        for _ in range(2):
            async with lock:
                before = counter
                await asyncio.sleep(0)
                counter = before + 1

    async def main():
        threads = start([oneloom.Thread(target=add, daemon=True) for _ in range(50)])
        await asyncio.gather(*(add_async() for _ in range(1000)))
        for thread in threads:
            await thread

    oneloom.run(main())
    assert counter == 50 * 40 + 1000 * 2
    assert lock.statistics().waiting == 0


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_one_event_wakes_ten_thousand_coroutines_and_a_hundred_threads(loop_factory):
    event = oneloom.Event()
    threads = start([threading.Thread(target=event.wait, daemon=True) for _ in range(THREADS)])

    async def main():
        tasks = [asyncio.create_task(event.wait_async()) for _ in range(COROUTINES)]
        await asyncio.sleep(0)
        wait_until(lambda: event.statistics().waiting == COROUTINES + THREADS)
        start_thread(event.set)
        assert all(await asyncio.gather(*tasks))

    oneloom.run(main(), loop_factory=loop_factory)
    join(threads)
    assert event.statistics().waiting == 0


def test_one_condition_and_one_barrier_hold_threads_and_coroutines_together():
    condition, barrier = oneloom.Condition(), oneloom.Barrier(60)
    turn, passed = 0, []

    def step(number):
        nonlocal turn
        with condition:
            condition.wait_for(lambda: turn == number)
            turn += 1
            condition.notify_all()
        passed.append(barrier.wait())

    async def step_async(number):
        nonlocal turn
        async with condition:
            await condition.wait_for_async(lambda: turn == number)
            turn += 1
            condition.notify_all()
        passed.append(await barrier.wait_async())

    async def main():
        threads = start([oneloom.Thread(target=step, args=(number,), daemon=True) for number in range(0, 60, 2)])
        await asyncio.gather(*(step_async(number) for number in range(59, 0, -2)))
        for thread in threads:
            await thread

    oneloom.run(main())
    assert turn == 60 and sorted(passed) == list(range(60))


def test_memory_does_not_grow_with_waits_that_ended():
    import tracemalloc

    items = oneloom.Queue()

    async def main(rounds):
        for _ in range(rounds):
            tasks = [asyncio.create_task(items.get_async()) for _ in range(50)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def resident():
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * 4096

    oneloom.run(main(200))
    before = resident()
    oneloom.run(main(1000))
    # 50,000 waits: a leak of one small object each would show as megabytes.
    assert resident() - before < 4 * 2**20
    assert not tracemalloc.is_tracing()


def test_the_first_threads_of_a_process_to_ask_whether_a_loop_runs_get_the_right_answer_at_once():
    # What is asked for the first time, once in each child, is asked by two threads that want the interpreter all the time.
    code = """
    import asyncio, os, sys, threading
    import oneloom
    def child():
        sys.setswitchinterval(1e-6)
        started = []
        def ask():
            acquire = oneloom.Lock().acquire
            started.append(True)
            acquire()
        async def main():
            acquire = oneloom.Lock().acquire_async
            threading.Thread(target=ask).start()
            while not started: pass
            await acquire()
        asyncio.run(main())
    for _ in range(100):
        if (pid := os.fork()) == 0:
            status = 1
            try:
                child()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
    """
    run_program(code).check()
