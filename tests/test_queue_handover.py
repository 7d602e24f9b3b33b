"""A queue whose mutex, list or conditions are used follows the standard library's algorithm from then on.

Whoever waits inside goes on waiting, nothing is lost or doubled, and what the unified API promises holds as before.
"""

import asyncio
import collections
import gc
import heapq
import queue
import random
import sys
import threading
import time

import pytest

import oneloom
import oneloom.queue
from conftest import STRESS, start_thread, wait_until

KINDS = ["Queue", "LifoQueue", "PriorityQueue"]
PARTS = ["mutex", "queue", "not_empty", "not_full", "all_tasks_done"]


def make(kind, *items, maxsize=0):
    made = getattr(oneloom.queue, kind)(maxsize)
    for item in items:
        made.put(item)
    return made


def drained(items):
    got = []
    while not items.empty():
        got.append(items.get_nowait())
    return got


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", KINDS)
def test_everything_moves_over_in_order(kind, part):
    plain, items = make(kind, 3, 1, 2, 5, 4, maxsize=5), make(kind, 3, 1, 2, 5, 4, maxsize=5)
    for each in (plain, items):
        each.put(each.get())
        each.task_done()
    getattr(items, part)
    assert type(items.queue) is (collections.deque if kind == "Queue" else list)
    assert (items.maxsize, items.unfinished_tasks, items.full(), items.is_shutdown) == (5, 5, True, False)
    with pytest.raises(queue.Full):
        items.put_nowait(0)
    assert drained(items) == drained(plain)


@pytest.mark.parametrize("kind", KINDS)
def test_the_list_is_as_the_standard_library_has_it(kind):
    standard, ours = getattr(queue, kind)(), getattr(oneloom.queue, kind)()
    for each in (standard, ours):
        for number in (5, 2, 8, 1, 9, 3):
            each.put(number)
        each.get()
    assert ours.queue == standard.queue
    if kind == "PriorityQueue":
        heapq.heappush(ours.queue, 0)
        assert ours.get() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_shut_down_queue_stays_shut_down(kind):
    items = make(kind, 1, 2)
    items.shutdown()
    assert items.queue and items.is_shutdown
    with pytest.raises(oneloom.queue.ShutDown):
        items.put(3)
    assert sorted(items) == [1, 2]


def test_the_idioms_of_the_standard_library():
    items = make("Queue", 1, 2, 3, maxsize=3)
    with items.mutex:
        items.queue.clear()
        items.unfinished_tasks = 0
        items.all_tasks_done.notify_all()
        items.not_full.notify_all()
    items.join()
    items.maxsize = 1
    items.put(1)
    assert items.full() and items.maxsize == 1
    items.queue = collections.deque([7, 8])
    assert drained(items) == [7, 8]
    with items.not_empty:
        items.queue.append(9)
        items.not_empty.notify()
    assert items.get() == 9


def test_only_the_queue_that_was_touched_is_handed_over():
    touched, other = make("Queue"), make("Queue")
    with touched.mutex:
        other.put(1)
        thread = start_thread(touched.put, 2)
        # Waiting for the mutex, which nobody can see who has not got it.
        wait_until(lambda: touched.mutex.statistics().waiting == 1)
        assert (len(touched.queue), other.get()) == (0, 1)
    thread.join(20)
    assert touched.get() == 2


def test_what_only_looks_like_touching_hands_nothing_over():
    items = make("Queue", 1)
    assert callable(items._put) and not hasattr(oneloom.SimpleQueue(), "mutex")
    assert [items.maxsize, items.unfinished_tasks, items.is_shutdown, items.name] == [0, 1, False, None]
    repr(items), items.statistics(), items.qsize(), items.full()
    assert "StandardQueue" not in [type(each).__name__ for each in gc.get_referents(items)]
    assert items.mutex
    assert "StandardQueue" in [type(each).__name__ for each in gc.get_referents(items)]


@pytest.mark.parametrize("kind", KINDS)
def test_racing_threads_find_one_mutex_and_every_item(kind):
    for _ in range(30):
        items = make(kind, *range(20))
        barrier = threading.Barrier(6)
        mutexes = []

        def touch(part):
            barrier.wait(20)
            getattr(items, part)
            mutexes.append(items.mutex)
            items.put(100)

        threads = [start_thread(touch, part) for part in [*PARTS, "mutex"]]
        for thread in threads:
            thread.join(20)
        assert len(set(map(id, mutexes))) == 1 and len(mutexes) == 6
        assert sorted(drained(items)) == [*range(20), *[100] * 6]


def test_a_maxsize_that_comes_while_the_queue_is_handed_over_counts():
    items = oneloom.Queue(1)

    def meanwhile(frame, event, argument):
        # Where another thread may run.
        if frame.f_code.co_name == "_prepare" and event == "return":
            items.maxsize = 2

    sys.setprofile(meanwhile)
    try:
        assert items.mutex
    finally:
        sys.setprofile(None)
    items.put(1)
    items.put(2, timeout=0)
    assert (items.maxsize, items.full()) == (2, True)


@pytest.mark.parametrize("kind", KINDS)
def test_threads_and_tasks_that_wait_inside_go_on_waiting(kind):
    """Getters, putters and joiners of both worlds wait natively, are handed over, and are then served exactly."""
    getting, putting = make(kind), make(kind, 0, maxsize=1)
    got, put, joined = [], [], []

    async def in_loop():
        async def get_one(timeout):
            got.append(await getting.get_async(timeout))

        async def put_one(item):
            await putting.put_async(item, 60)
            put.append(item)

        async def join():
            joined.append(await putting.join_async())

        await asyncio.gather(get_one(None), get_one(60), put_one(3), put_one(4), join())

    threads = [start_thread(lambda: got.append(getting.get(timeout=60))), start_thread(lambda: got.append(getting.get()))]
    threads += [start_thread(lambda item=item: (putting.put(item), put.append(item))) for item in (1, 2)]
    threads += [start_thread(lambda: joined.append(putting.join())), start_thread(lambda: oneloom.run(in_loop()))]

    def everybody_waits():
        getters, putters = getting.statistics(), putting.statistics()
        return (getters.waiting_getters, putters.waiting_putters, putters.waiting_joiners) == (4, 4, 2)

    wait_until(everybody_waits)
    assert getting.mutex is getting.mutex and putting.not_full
    wait_until(everybody_waits)
    assert (got, put, joined) == ([], [], [])
    with pytest.raises(queue.Empty):
        getting.get_nowait()
    with pytest.raises(queue.Full):
        putting.put_nowait(9)
    for number in range(4):
        getting.put(number)
    taken = [putting.get(timeout=20) for _ in range(5)]
    wait_until(lambda: len(put) == 4)
    assert joined == []
    for _ in range(5):
        putting.task_done()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert (sorted(got), sorted(put), sorted(taken), joined) == ([0, 1, 2, 3], [1, 2, 3, 4], [0, 1, 2, 3, 4], [None, None])


@pytest.mark.parametrize("kind", KINDS)
def test_a_wait_that_is_handed_over_still_ends_in_time(kind):
    items = make(kind)
    ended = []

    def get():
        begun = time.monotonic()
        with pytest.raises(queue.Empty):
            items.get(timeout=0.2)
        ended.append(time.monotonic() - begun)

    async def get_async():
        begun = time.monotonic()
        with pytest.raises(queue.Empty):
            await items.get_async(timeout=0.2)
        ended.append(time.monotonic() - begun)

    items.put(0)
    items.get()
    threads = [start_thread(get), start_thread(lambda: oneloom.run(get_async()))]
    threads.append(start_thread(lambda: ended.append(0.2 if items.join(0.2) is False else None)))
    wait_until(lambda: items.statistics().waiting or len(ended) == 3)
    assert items.mutex
    for thread in threads:
        thread.join(20)
    assert len(ended) == 3 and min(ended) >= 0.2


@pytest.mark.stress
@pytest.mark.parametrize("kind", KINDS)
def test_handing_over_under_load_loses_and_doubles_nothing(kind, seed):
    """Threads and tasks put and get all the time; in the middle several threads use the mutex at once."""
    for _ in range(int(5 * STRESS)):
        hand_over_under_load(kind, random.Random(seed))


def hand_over_under_load(kind, random):
    producers, count = 3, 200
    middle = random.randrange(count)
    items = make(kind, maxsize=5)
    got, halfway = [], threading.Event()

    def produce(base):
        for number in range(base, base + count):
            items.put(number, timeout=60)
            if number == base + middle:
                halfway.set()

    async def produce_async(base):
        for number in range(base, base + count):
            await items.put_async(number)

    def consume():
        for number in items:
            got.append(number)
            items.task_done()

    async def consume_async():
        async for number in items:
            got.append(number)
            items.task_done()

    async def tasks():
        consumers = [asyncio.create_task(consume_async()) for _ in range(2)]
        await asyncio.gather(produce_async(10**6), produce_async(2 * 10**6))
        await asyncio.gather(*consumers)

    def touch(part):
        halfway.wait(60)
        getattr(items, part)

    working = [start_thread(produce, 1000 * number) for number in range(producers)]
    threads = [start_thread(consume) for _ in range(2)] + [start_thread(lambda: oneloom.run(tasks()))]
    touching = [start_thread(touch, part) for part in PARTS]
    for thread in working + touching:
        thread.join(60)
        assert not thread.is_alive()
    wait_until(lambda: len(got) == (producers + 2) * count, 60)
    items.join()
    items.shutdown()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    bases = [1000 * number for number in range(producers)] + [10**6, 2 * 10**6]
    assert sorted(got) == [number for base in bases for number in range(base, base + count)]
    assert (items.qsize(), items.unfinished_tasks) == (0, 0)


@pytest.mark.stress
def test_coroutines_threads_and_plain_calls_on_a_loop_share_a_queue_that_was_handed_over():
    """A task that is given the mutex must not have it before it runs: plain calls on its loop want it meanwhile."""
    count = int(300 * STRESS)
    items, got, holding = make("Queue", maxsize=8), [], [True]

    def produce(base):
        for number in range(base, base + count):
            items.put(number)

    def hold():
        while holding:
            with items.mutex:
                # Long enough for who waits to be starving, and so to be handed the mutex.
                time.sleep(0.0015)
            time.sleep(0)

    async def produce_async(base):
        for number in range(base, base + count):
            await items.put_async(number)

    async def consume_async():
        for _ in range(count):
            got.append(await items.get_async())

    async def look():
        while holding:
            items.qsize(), items.full()
            await asyncio.sleep(0)

    async def main():
        looking = asyncio.create_task(look())
        await asyncio.gather(produce_async(count), produce_async(2 * count), consume_async(), consume_async(), consume_async())
        holding.clear()
        await looking

    assert items.mutex
    threads = [start_thread(hold), start_thread(produce, 0), start_thread(lambda: oneloom.run(main()))]
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert sorted(got) == list(range(3 * count))


def test_a_comparison_that_touches_its_own_queue_is_refused():
    items = make("PriorityQueue")

    class Nosy:
        def __lt__(self, other):
            return items.mutex and id(self) < id(other)

    items.put(Nosy())
    with pytest.raises(RuntimeError, match="compares its items"):
        items.put(Nosy())
    assert items.qsize() == 1 and len(items.queue) == 1


# What the unified API promises holds for such a queue as well.


def handed_over(kind="Queue", *items, maxsize=0):
    made = make(kind, *items, maxsize=maxsize)
    assert made.mutex
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_for_and_async_for_end_with_shutdown(kind):
    items = handed_over(kind, 2, 1)

    async def consume():
        return [item async for item in items]

    items.shutdown()
    assert len(oneloom.run(consume())) == 2 and list(items) == []


@pytest.mark.parametrize("kind", KINDS)
def test_shutdown_wakes_everybody_and_immediately_drops_what_is_left(kind):
    empty, full, undone = handed_over(kind), handed_over(kind, 0, maxsize=1), handed_over(kind, 1, 2)
    ended = []

    def note(call, *args):
        try:
            ended.append(call(*args))
        except oneloom.queue.ShutDown as error:
            ended.append(type(error))

    async def in_loop():
        waits = [empty.get_async(), full.put_async(1), undone.join_async()]
        ended.extend(type(end) if isinstance(end, Exception) else end for end in await asyncio.gather(*waits, return_exceptions=True))

    threads = [start_thread(note, *each) for each in ((empty.get,), (full.put, 1), (undone.join,))]
    threads.append(start_thread(lambda: oneloom.run(in_loop())))
    wait_until(lambda: [each.statistics().waiting for each in (empty, full, undone)] == [2, 2, 2])
    for each in (empty, full, undone):
        each.shutdown(immediate=True)
    for thread in threads:
        thread.join(20)
    assert sorted(ended, key=str) == [*[oneloom.queue.ShutDown] * 4, None, None]
    assert undone.unfinished_tasks == 0 and undone.empty()


def test_items_dropped_by_shutdown_may_use_the_queue():
    items = handed_over()
    sizes = []

    class Last:
        def __del__(self):
            sizes.append(items.qsize())

    items.put(Last())
    items.put(Last())
    items.shutdown(immediate=True)
    assert sizes == [0, 0]


def test_a_cancelled_get_has_taken_nothing_and_passes_its_notification_on():
    items = handed_over()

    async def main():
        got = []

        async def get():
            got.append(await items.get_async())

        for round in range(50):
            first, second = asyncio.create_task(get()), asyncio.create_task(get())
            while items.statistics().waiting_getters < 2:
                await asyncio.sleep(0)
            items.put(round)
            for _ in range(round % 4):
                await asyncio.sleep(0)
            first.cancel()
            await asyncio.wait([first])
            if first.cancelled():
                await asyncio.wait_for(second, 20)
            else:
                second.cancel()
                await asyncio.wait([second])
            assert got == list(range(round + 1))

    oneloom.run(main())


def test_a_cancelled_put_has_put_nothing_and_passes_its_notification_on():
    items = handed_over("Queue", "old", maxsize=1)

    async def main():
        for round in range(50):
            first, second = (asyncio.create_task(items.put_async((round, each))) for each in range(2))
            while items.statistics().waiting_putters < 2:
                await asyncio.sleep(0)
            items.get_nowait()
            for _ in range(round % 4):
                await asyncio.sleep(0)
            first.cancel()
            await asyncio.wait([first])
            if first.cancelled():
                await asyncio.wait_for(second, 20)
                assert list(items.queue) == [(round, 1)]
            else:
                second.cancel()
                await asyncio.wait([second])
                assert list(items.queue) == [(round, 0)]

    oneloom.run(main())


def test_timeouts_and_refusals():
    empty, full = handed_over(), handed_over("Queue", 0, maxsize=1)

    async def main():
        with pytest.raises(queue.Empty):
            await empty.get_async(timeout=0.01)
        with pytest.raises(queue.Full):
            await full.put_async(1, timeout=0.01)
        assert await full.join_async(timeout=0.01) is False
        assert await empty.join_async() is None

    oneloom.run(main())
    for call in (empty.get_nowait, lambda: empty.get(timeout=0.01), lambda: empty.get(False), lambda: empty.get(timeout=0)):
        pytest.raises(queue.Empty, call)
    for call in (lambda: full.put_nowait(1), lambda: full.put(1, timeout=0.01), lambda: full.put(1, False)):
        pytest.raises(queue.Full, call)
    for call in (lambda: empty.get(timeout=-1), lambda: full.put(1, timeout=-1)):
        pytest.raises(ValueError, call)
    assert full.join(0.01) is False and empty.join(0.01) is True and empty.join() is None


def test_it_shows_itself_even_to_who_holds_its_mutex():
    items = oneloom.Queue(3, name="jobs")
    items.put(1)
    with items.mutex:
        assert repr(items) == f"<oneloom.Queue 'jobs' at {id(items):#x}: items=1/3, unfinished=1>"
        assert items.statistics().waiting == 0
    assert items.name == "jobs"


def test_statistics_go_on_counting():
    items = make("Queue")
    with pytest.raises(queue.Empty):
        items.get(timeout=0.001)
    assert items.mutex
    with pytest.raises(queue.Empty):
        items.get(timeout=0.001)
    statistics = items.statistics()
    assert (statistics.get_waits, statistics.get_withdrawals, statistics.put_waits) == (2, 2, 0)
    items.not_empty = threading.Condition(items.mutex)
    items.put(1)
    assert items.get() == 1 and items.statistics().get_waits == 1


def test_a_dump_names_the_condition_that_is_waited_for(capsys):
    items = oneloom.Queue(name="jobs")
    assert items.mutex
    thread = start_thread(items.get)
    wait_until(lambda: items.statistics().waiting_getters)
    oneloom.dump(sys.stdout)
    items.put(1)
    thread.join(20)
    assert "waits for Condition 'jobs.not_empty'" in capsys.readouterr().out
