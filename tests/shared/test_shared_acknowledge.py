"""Items that are pending until they are reported as done: whose they are, and who gets those of the dead."""

import asyncio
import mmap
import os
import queue as standard
import signal

import children
import pytest
from test_shared_travel import METHODS, PATIENCE, ended, started

import oneloom.queue
from conftest import STRESS, start_thread
from oneloom.shared import Queue


def test_an_item_is_unfinished_until_it_is_done():
    queue = Queue(acknowledge=True)
    assert queue.acknowledge and not Queue().acknowledge
    queue.put_many(["first", b"x" * 10_000, "third"])
    assert queue.get() == "first"
    assert queue.get_many() == [b"x" * 10_000, "third"]
    assert queue.empty() and queue.unfinished_tasks == 3 and "items=0, pending=3" in repr(queue)
    assert queue.join(timeout=0.01) is False
    for left in (2, 1, 0):
        queue.task_done()
        assert queue.unfinished_tasks == left
    queue.join()
    with pytest.raises(ValueError, match="no item"):
        queue.task_done()


def test_named_items_are_done_in_any_order_and_by_anybody():
    queue = Queue(acknowledge=True)
    queue.put_many([[1], [2], None, [4]])
    first, second, third, fourth = queue.get_many()
    failed = []

    def others():
        try:
            queue.task_done()
        except ValueError as error:
            failed.append(error)
        queue.task_done(third)
        queue.task_done(item=first)

    start_thread(others).join(PATIENCE)
    assert "task_done(item)" in str(failed[0]) and queue.unfinished_tasks == 2
    with pytest.raises(ValueError, match="very object"):
        queue.task_done([2])
    queue.task_done(fourth)
    queue.task_done()
    assert queue.unfinished_tasks == 0
    with pytest.raises(ValueError):
        queue.task_done(second)
    plain = Queue()
    plain.put_many([1, 2, 3])
    for item in plain.get_many(2):
        plain.task_done(item)
    assert plain.unfinished_tasks == 1


def test_another_handle_of_the_same_queue_will_do():
    mailbox, queue = Queue(), Queue(acknowledge=True)
    mailbox.put(queue)
    again = mailbox.get()
    again.put(1)
    again.get()
    queue.task_done()
    assert again.unfinished_tasks == 0


@pytest.mark.parametrize("method", METHODS)
def test_what_a_dead_process_had_taken_comes_again_and_first(method):
    queue, ready = Queue(acknowledge=True), Queue()
    queue.put_many(range(10))
    child = started(method, children.take_and_hold, queue, ready, 4)
    assert ready.get(timeout=PATIENCE) == [0, 1, 2, 3]
    assert queue.qsize() == 6 and queue.unfinished_tasks == 9
    got = [queue.get(), queue.get()]
    waiter = start_thread(lambda: got.extend(queue.get(timeout=PATIENCE) for _ in range(7)))
    os.kill(child.pid, signal.SIGKILL)
    waiter.join(PATIENCE)
    # The child had done its first; those of the others come as soon as its death is known.
    assert sorted(got) == list(range(1, 10)) and got[:2] == [4, 5]
    again = [item for item in got if item < 4]
    assert again == [1, 2, 3]
    with pytest.raises(standard.Empty):
        queue.get_nowait()
    child.join()


def test_one_that_ended_without_being_done_comes_again():
    queue, ready = Queue(acknowledge=True), Queue()
    queue.put("once more")
    ended(started("fork", children.take_and_end, queue))
    assert queue.get_nowait() == "once more"
    queue.task_done()
    queue.shutdown()
    with pytest.raises(oneloom.queue.ShutDown):
        queue.get()


def test_coroutines_have_their_own():
    async def main():
        queue = Queue(acknowledge=True)
        first_done = asyncio.Event()

        async def work(name):
            item = await queue.get_async(timeout=PATIENCE)
            if name == "first":
                queue.task_done()
                first_done.set()
            else:
                await first_done.wait()
            return item

        tasks = [asyncio.create_task(work(name)) for name in ("first", "second")]
        await asyncio.sleep(0.01)
        await queue.put_many_async(["a", "b"])
        a, b = await asyncio.gather(*tasks)
        assert {a, b} == {"a", "b"}
        with pytest.raises(ValueError):
            queue.task_done()
        queue.task_done(b)
        assert await queue.join_async(timeout=PATIENCE)
        queue.put_many(range(3))
        queue.shutdown()
        assert [item async for item in queue] == [0, 1, 2]
        for item in range(3):
            queue.task_done(item)

    asyncio.run(main())


class Breaks:
    def __reduce__(self):
        return int, ("not a number",)


def test_what_does_not_unpickle_is_done():
    queue = Queue(acknowledge=True)
    queue.put_many([Breaks(), 1, Breaks()])
    with pytest.raises(ValueError, match="not a number"):
        queue.get()
    with pytest.raises(ValueError, match="not a number") as raised:
        queue.get_many()
    assert raised.value.items == [1] and queue.unfinished_tasks == 1
    queue.task_done()
    assert queue.unfinished_tasks == 0


def test_a_shutdown_at_once_drops_what_nobody_has():
    queue = Queue(acknowledge=True)
    queue.put_many(range(5))
    queue.get()
    queue.shutdown(immediate=True)
    assert queue.unfinished_tasks == 1
    queue.task_done()
    queue.join()


STEPS = ["HeadEntered", "PageLinked", "SlotFilled", "SlotsCounted", "Taken", "HeadLeft", "GetTold", "ItemClaimed", "ItemAcknowledged",
         "BlockFreed", "DoneTold", "SlotOrphaned", "SlotTakenOver"]  # fmt: skip


@pytest.mark.stress
def test_nothing_is_lost_over_any_step():
    again = 0
    for round in range(int(STRESS)):
        for step in STEPS:
            queue, counter = Queue(acknowledge=True), memoryview(mmap.mmap(-1, 4096)).cast("q")
            queue.put_many([(number, b"x" * (number % 7 * 2000)) for number in range(40)])
            # Two die, the second over what the first has left, too.
            for passes in (round, 7 + round):
                child = started("fork", children.work_until_death, step, passes, queue, counter)
                child.join(PATIENCE)
                assert child.exitcode in (-signal.SIGKILL, 0), (step, child.exitcode)
            left = {}
            while True:
                try:
                    item = queue.get_nowait()
                except standard.Empty:
                    break
                assert item[0] not in left and item[1] == b"x" * (item[0] % 7 * 2000)
                left[item[0]] = item
            assert queue.unfinished_tasks == len(left)
            for number in range(40):
                begun, done = counter[2 * number], counter[2 * number + 1]
                assert number in left or begun, (step, number, "is lost")
                assert not (number in left and done), (step, number, "came again although it was done")
                again += number in left and begun
            for item in left.values():
                queue.task_done(item)
            queue.join()
    print(f"{again} items came again")
