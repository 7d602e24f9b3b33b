"""`oneloom.asyncio`: strictly first come, first served, exact about cancellation, and asyncio's in everything else."""

import asyncio as standard
import random
import re

import pytest

import oneloom.asyncio as asyncio


def run(function):
    """A test that is a coroutine, run on a loop of its own."""

    def test():
        asyncio.run(asyncio.wait_for(function(), 60))

    test.__name__ = function.__name__
    test.__doc__ = function.__doc__
    return test


async def settle(turns=20):
    for _ in range(turns):
        await asyncio.sleep(0)


@run
async def test_lock_goes_to_those_who_wait_in_their_order():
    lock, order = asyncio.Lock(), []

    async def worker(number):
        for round in range(3):
            async with lock:
                order.append((round, number))
                await asyncio.sleep(0)

    await asyncio.gather(*(worker(number) for number in range(5)))
    assert order == [(round, number) for round in range(3) for number in range(5)]


@run
async def test_newcomer_does_not_overtake_a_waiter_that_was_called():
    lock, order = asyncio.Lock(), []

    async def take(name):
        async with lock:
            order.append(name)

    await lock.acquire()
    waiting = asyncio.create_task(take("waiting"))
    await settle()
    lock.release()
    await asyncio.gather(take("newcomer"), waiting)
    assert order == ["waiting", "newcomer"]


@run
async def test_semaphore_hands_its_permits_over_in_order():
    semaphore, order = asyncio.Semaphore(2), []

    async def worker(number):
        async with semaphore:
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(worker(number) for number in range(9)))
    assert order == list(range(9))
    assert not semaphore.locked()


@pytest.mark.parametrize("kind", ["Lock", "Semaphore", "BoundedSemaphore", "Condition"])
def test_cancellations_at_every_moment_leave_nobody_stuck(kind, seed):
    generator = random.Random(seed)

    async def main():
        lock = getattr(asyncio, kind)()
        inside = 0

        async def worker():
            nonlocal inside
            async with lock:
                inside += 1
                assert inside == 1
                try:
                    await settle(generator.randrange(3))
                finally:
                    inside -= 1

        for _ in range(200):
            tasks = [asyncio.create_task(worker()) for _ in range(generator.randrange(1, 8))]
            for _ in range(generator.randrange(10)):
                generator.choice(tasks).cancel()
                await settle(generator.randrange(3))
            await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
            assert not lock.locked() and not lock._waiters

    asyncio.run(main())


@run
async def test_condition_passes_a_notification_on_that_a_cancelled_waiter_got():
    condition, woken = asyncio.Condition(), []

    async def wait(number):
        async with condition:
            await condition.wait()
            woken.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(3)]
    await settle()
    async with condition:
        condition.notify()
        tasks[0].cancel()
    await settle()
    assert woken == [1]
    async with condition:
        condition.notify_all()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert woken == [1, 2]


@run
async def test_condition_that_nobody_was_notified_on_wakes_nobody_when_a_waiter_is_cancelled():
    condition, woken = asyncio.Condition(), []

    async def wait(number):
        async with condition:
            await condition.wait()
            woken.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(2)]
    await settle()
    tasks[0].cancel()
    await settle()
    assert woken == [] and not tasks[1].done()
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@run
async def test_getter_that_was_overtaken_waits_anew_as_asyncio_has_it():
    queue, got = asyncio.Queue(), []

    async def get(name):
        got.append((name, await queue.get()))

    tasks = [asyncio.create_task(get(name)) for name in ("first", "second")]
    await settle()
    queue.put_nowait(1)
    assert queue.get_nowait() == 1  # Quicker than the one who was called.
    await settle()
    queue.put_nowait(2)
    queue.put_nowait(3)
    await asyncio.gather(*tasks)
    assert got == [("second", 2), ("first", 3)]


def test_queue_loses_nothing_to_cancelled_getters_and_putters(seed):
    generator = random.Random(seed)

    async def main():
        queue = asyncio.Queue(2)
        put, got = [], []

        async def getter():
            got.append(await queue.get())

        async def putter(number):
            await queue.put(number)
            put.append(number)

        for base in range(0, 2000, 10):
            tasks = [asyncio.create_task(putter(base + n)) for n in range(5)]
            tasks += [asyncio.create_task(getter()) for _ in range(5)]
            generator.shuffle(tasks)
            for _ in range(generator.randrange(6)):
                generator.choice(tasks).cancel()
                await settle(generator.randrange(3))
            await settle(generator.randrange(5))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        while not queue.empty():
            got.append(queue.get_nowait())
        assert sorted(got) == sorted(put)
        assert not queue._getters and not queue._putters

    asyncio.run(main())


@run
async def test_a_coroutine_that_was_closed_while_it_waited_is_called_no_more():
    async def next_of(wait, release):
        """What the second of two that wait gives, once the first was closed."""
        first = wait()
        first.send(None)
        second = asyncio.create_task(wait())
        await settle()
        first.close()
        release()
        return await asyncio.wait_for(second, 20)

    items = asyncio.Queue(1)
    assert await next_of(items.get, lambda: items.put_nowait("item")) == "item"
    items.put_nowait("first")
    assert await next_of(lambda: items.put("second"), items.get_nowait) is None
    assert items.get_nowait() == "second"


@run
async def test_wait_for_get_loses_no_item():
    queue, got = asyncio.Queue(), []

    async def feed():
        for number in range(300):
            await queue.put(number)
            await asyncio.sleep(0.0001)

    feeding = asyncio.create_task(feed())
    while len(got) + queue.qsize() < 300 or not feeding.done() or not queue.empty():
        try:
            got.append(await asyncio.wait_for(queue.get(), 0.0001))
        except TimeoutError:
            pass
    assert got == list(range(300))


@pytest.mark.parametrize("immediate", [False, True])
@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
def test_shutdown_is_there_on_every_version(kind, immediate):
    async def main():
        queue = getattr(asyncio, kind)(1)
        getters = [asyncio.create_task(queue.get()) for _ in range(2)]
        await settle()
        queue.put_nowait("item")
        await settle()
        assert getters[0].result() == "item"
        queue.put_nowait("left")
        await settle()
        assert getters[1].result() == "left"
        queue.put_nowait("last")
        putter = asyncio.create_task(queue.put("too late"))
        await settle()
        queue.shutdown(immediate)
        with pytest.raises(asyncio.QueueShutDown):
            await putter
        with pytest.raises(asyncio.QueueShutDown):
            queue.put_nowait("too late")
        if not immediate:
            assert await queue.get() == "last"
            queue.task_done()
        queue.task_done()
        queue.task_done()
        await queue.join()
        with pytest.raises(asyncio.QueueShutDown):
            await queue.get()
        with pytest.raises(asyncio.QueueShutDown):
            queue.get_nowait()

    asyncio.run(main())


@run
async def test_shutdown_ends_waiting_getters():
    queue = asyncio.Queue()
    getters = [asyncio.create_task(queue.get()) for _ in range(3)]
    await settle()
    queue.shutdown()
    assert [type(e) for e in await asyncio.gather(*getters, return_exceptions=True)] == [asyncio.QueueShutDown] * 3


@run
async def test_subclass_may_keep_the_items_elsewhere():
    class Unique(asyncio.Queue):
        def _init(self, maxsize):
            self._queue = {}

        def _put(self, item):
            self._queue[item] = True

        def _get(self):
            return self._queue.popitem()[0]

    queue = Unique(maxsize=2)
    for _ in range(3):
        await queue.put("same")
    assert queue.qsize() == 1 and await queue.get() == "same" and queue.empty()


@run
async def test_loop_of_another_is_refused():
    lock = asyncio.Lock()
    await lock.acquire()
    waiting = asyncio.create_task(lock.acquire())
    await settle()

    async def elsewhere():
        with pytest.raises(RuntimeError, match="is bound to a different event loop"):
            await lock.acquire()

    await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
    lock.release()
    await waiting


def without_address(text):
    return re.sub(r"0x[0-9a-f]+", "0x", text).replace("oneloom.asyncio.", "asyncio.locks.")


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a.Lock(),
        lambda a: a.Event(),
        lambda a: a.Condition(),
        lambda a: a.Semaphore(3),
        lambda a: a.Semaphore(0),
        lambda a: a.BoundedSemaphore(2),
        lambda a: a.Barrier(4),
        lambda a: a.Queue(),
        lambda a: a.LifoQueue(3),
        lambda a: filled(a.PriorityQueue(9)),
    ],
)
def test_repr_is_that_of_asyncio(make):
    ours, theirs = make(asyncio), make(standard)
    assert without_address(repr(ours)) == repr_without_address(theirs)
    assert without_address(str(ours)) == repr_without_address(theirs, str)


def repr_without_address(thing, function=repr):
    return re.sub(r"0x[0-9a-f]+", "0x", function(thing))


def filled(queue):
    for number in (3, 1, 2):
        queue.put_nowait(number)
    return queue


@pytest.mark.parametrize(
    "misuse",
    [
        lambda a: a.Lock().release(),
        lambda a: a.Semaphore(-1),
        lambda a: a.BoundedSemaphore(1).release(),
        lambda a: a.Barrier(0),
        lambda a: a.Condition().notify(),
        lambda a: a.Queue().get_nowait(),
        lambda a: filled(a.Queue(2)),
        lambda a: a.Queue().task_done(),
        lambda a: a.run(a.Condition().wait()),
        lambda a: a.Lock(loop=None),
    ],
)
def test_misuse_gets_asyncio_s_error(misuse):
    errors = []
    for module in (asyncio, standard):
        with pytest.raises(Exception) as raised:
            misuse(module)
        errors.append((raised.type, str(raised.value)))
    assert errors[0] == errors[1]


@run
async def test_barrier_serves_round_after_round():
    barrier, rounds = asyncio.Barrier(4), []

    async def worker():
        for _ in range(25):
            async with barrier as index:
                rounds.append(index)

    await asyncio.gather(*(worker() for _ in range(4)))
    assert sorted(rounds) == sorted(list(range(4)) * 25)
    assert barrier.n_waiting == 0
