"""The priority queue and comparisons that misbehave: one that raises, one that re-enters, one that blocks; nothing is lost."""

import asyncio
import queue as standard_queue
import random
import threading

import pytest

import oneloom
import oneloom.queue
from conftest import STRESS, start_thread, wait_until


class Item:
    """An item whose comparison can be told to misbehave."""

    def __init__(self, value, on_compare=None):
        self.value, self.on_compare = value, on_compare

    def __lt__(self, other):
        for item in (self, other):
            if item.on_compare:
                item.on_compare()
        return self.value < other.value

    def __repr__(self):
        return f"Item({self.value})"


class Unruly(Exception):
    """What an unruly comparison raises."""


def raise_unruly():
    raise Unruly


def drain(items):
    values = []
    while not items.empty():
        values.append(items.get_nowait().value)
    return values


@pytest.fixture(params=[oneloom.PriorityQueue, oneloom.queue.PriorityQueue], ids=["unified", "drop-in"])
def items(request):
    return request.param()


def test_items_come_out_in_order_and_equal_ones_are_all_kept(items, seed):
    rng = random.Random(seed)
    values = [rng.randrange(100) for _ in range(2000)]
    for value in values:
        items.put(value)
    assert [items.get() for _ in values] == sorted(values)


def test_equal_items_come_out_in_the_order_of_the_standard_library(items, seed):
    rng = random.Random(seed)
    standard = standard_queue.PriorityQueue()
    compared = {items: [], standard: []}

    class Ranked:
        """One of many with the same rank; tells with whom it is compared."""

        def __init__(self, told, rank, number):
            self.told, self.rank, self.number = told, rank, number

        def __lt__(self, other):
            self.told.append((self.number, other.number))
            return self.rank < other.rank

    for number in range(2000):
        rank, puts = rng.randrange(4), standard.empty() or rng.random() < 0.6
        for each, told in compared.items():
            if puts:
                each.put(Ranked(told, rank, number))
            else:
                told.append(each.get().number)
    assert compared[items] == compared[standard]


def test_a_put_whose_comparison_raises_puts_nothing(items):
    for value in (5, 1, 3):
        items.put(Item(value))
    with pytest.raises(Unruly):
        items.put(Item(0, raise_unruly))
    assert items.qsize() == 3 and items.unfinished_tasks == 3
    assert drain(items) == [1, 3, 5]


def test_incomparable_items_are_a_type_error_and_nothing_is_lost(items):
    items.put(1)
    with pytest.raises(TypeError):
        items.put("one")
    assert items.qsize() == 1 and items.get() == 1


def test_a_get_whose_comparison_raises_takes_nothing(items):
    unruly = Item(3)
    for item in (Item(1), Item(2), unruly, Item(4), Item(5)):
        items.put(item)
    unruly.on_compare = raise_unruly
    # Its turn to be compared comes sooner or later; until then items come out as ever.
    out, failures = [], 0
    while items.qsize() and failures < 5:
        before = items.qsize()
        try:
            out.append(items.get_nowait().value)
        except Unruly:
            failures += 1
            assert items.qsize() == before
    assert failures
    unruly.on_compare = None
    assert sorted(out + drain(items)) == [1, 2, 3, 4, 5]


def test_a_failed_get_leaves_the_item_for_the_next_waiter(items):
    unruly = Item(2)
    for item in (Item(1), unruly, Item(3)):
        items.put(item)
    unruly.on_compare = raise_unruly
    with pytest.raises(Unruly):
        items.get()
    unruly.on_compare = None
    assert drain(items) == [1, 2, 3]
    assert items.statistics().waiting == 0


@pytest.mark.parametrize(
    "reenter",
    [
        pytest.param(lambda items: items.get_nowait(), id="get_nowait"),
        pytest.param(lambda items: items.put(Item(9)), id="put"),
        pytest.param(lambda items: items.get(timeout=1), id="get"),
        pytest.param(lambda items: items.put_nowait(Item(9)), id="put_nowait"),
    ],
)
def test_a_comparison_that_reenters_its_queue_is_a_runtime_error(items, reenter):
    items.put(Item(2))
    items.put(Item(3))
    with pytest.raises(RuntimeError):
        items.put(Item(1, lambda: reenter(items)))
    assert items.qsize() == 2
    assert drain(items) == [2, 3]


def test_a_comparison_may_look_at_its_queue(items):
    items.put(Item(2))
    seen = []
    items.put(Item(1, lambda: seen.append((items.qsize(), items.empty(), repr(items)))))
    assert seen
    assert len(drain(items)) == 2


def test_a_comparison_may_use_another_queue(items):
    other = oneloom.PriorityQueue()
    items.put(Item(2))
    items.put(Item(1, lambda: other.put(Item(len(drain(other))))))
    assert other.qsize() == 1
    other.get()
    assert items.qsize() == 2


def test_a_slow_comparison_lets_others_wait_and_go_on(items):
    """While one thread compares, another's put waits its turn, and looks are not blocked."""
    entered, leave = threading.Event(), threading.Event()

    def slow():
        entered.set()
        assert leave.wait(20)

    items.put(Item(5))
    first = start_thread(lambda: items.put(Item(1, slow)))
    assert entered.wait(20)
    second = start_thread(lambda: items.put(Item(3)))
    # Cheap looks are answered meanwhile, and the interpreter is free.
    assert items.qsize() in (1, 2, 3)
    leave.set()
    for thread in (first, second):
        thread.join(20)
        assert not thread.is_alive()
    assert sorted(drain(items)) == [1, 3, 5]


@pytest.mark.stress
def test_a_comparison_that_runs_while_a_task_and_threads_want_the_queue_loses_nothing(seed):
    items, rng = oneloom.PriorityQueue(), random.Random(seed)
    each = int(2000 * STRESS)
    put, got = [], []

    def unruly_now_and_then():
        if rng.random() < 0.02:
            raise Unruly

    def produce(base):
        for number in range(each):
            item = Item(base + number, unruly_now_and_then)
            try:
                items.put(item)
            except Unruly:
                continue
            put.append(item.value)

    def consume():
        while True:
            try:
                item = items.get()
            except Unruly:
                continue
            except oneloom.queue.ShutDown:
                return
            got.append(item.value)

    async def consume_async():
        while True:
            try:
                item = await items.get_async()
            except Unruly:
                continue
            except oneloom.queue.ShutDown:
                return
            got.append(item.value)

    consumers = [start_thread(consume) for _ in range(2)]
    consumers.append(start_thread(lambda: asyncio.run(consume_async())))
    producers = [start_thread(produce, base * each) for base in range(2)]
    for thread in producers:
        thread.join(60)
    wait_until(items.empty, 60)
    items.shutdown()
    for thread in consumers:
        thread.join(60)
        assert not thread.is_alive()
    assert sorted(got) == sorted(put)


def test_an_async_put_and_get_whose_comparison_raises_lose_nothing():
    async def main():
        items = oneloom.PriorityQueue()
        unruly = Item(2)
        for item in (Item(1), unruly, Item(3)):
            await items.put_async(item)
        unruly.on_compare = raise_unruly
        with pytest.raises(Unruly):
            await items.get_async()
        with pytest.raises(Unruly):
            await items.put_async(Item(0, raise_unruly))
        unruly.on_compare = None
        assert [(await items.get_async()).value for _ in range(3)] == [1, 2, 3]
        with pytest.raises(standard_queue.Empty):
            await items.get_async(timeout=0.001)

    oneloom.run(main())


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "SimpleQueue", "PriorityQueue"])
def test_an_item_whose_end_uses_the_queue_may_be_dropped(kind):
    """Dropping an item runs its `__del__`, which may use the very queue that drops it."""
    items = getattr(oneloom, kind)()
    seen = []

    class Last:
        def __lt__(self, other):
            return id(self) < id(other)

        def __del__(self):
            seen.append(items.qsize())
            items.empty()

    for _ in range(3):
        items.put(Last())
    for _ in range(2):
        items.get()
    items.shutdown(immediate=True)
    assert len(seen) == 3
