"""Buffers go through a shared queue without a copy: what arrives, that its memory stays, and that none is lost."""

import asyncio
import os
import pickle
from dataclasses import dataclass
from queue import Full

import children
import numpy as np
import pytest
from shared_memory import is_shared, segment_size
from test_shared_travel import METHODS, PATIENCE, ended, started

from conftest import STRESS
from oneloom.shared import PriorityQueue, Queue

LARGE = 300_000


def sent(item, copy=False):
    queue = Queue(copy=copy)
    queue.put(item)
    return queue.get()


@pytest.mark.parametrize("method", METHODS)
def test_an_array_arrives_in_another_process_without_a_copy(method):
    requests, answers = Queue(), Queue()
    child = started(method, children.echo, requests, answers)
    array = np.arange(LARGE, dtype=float)
    for number in range(20):
        requests.put((number, array + number))
        got, view = answers.get(timeout=PATIENCE)
        assert got == number and np.array_equal(view, array + number)
        assert is_shared(view) and not view.flags.writeable and view.flags.aligned
    requests.shutdown()
    ended(child)


STRUCTURED = np.dtype([("a", "i4"), ("b", "f8", (2,))])
ARRAYS = {
    "plain": np.arange(LARGE),
    "Fortran order": np.asfortranarray(np.arange(LARGE).reshape(3, -1)),
    "three dimensions": np.arange(LARGE).reshape(10, 30, -1),
    "structured": np.ones(LARGE // 20, STRUCTURED),
    "other byte order": np.arange(LARGE).astype(">i8"),
    "read-only": np.frombuffer(bytes(LARGE), np.uint8),
    "times": np.arange(LARGE).astype("M8[s]"),
    "small": np.arange(5),
    "no dimension": np.array(3.5),
    "empty": np.zeros((0, 3)),
    "not contiguous": np.arange(LARGE)[::3],
    "reversed": np.arange(LARGE)[::-1],
    "broadcast": np.broadcast_to(np.arange(3), (LARGE, 3)),
    "objects": np.array([1, "two", None] * 1000, dtype=object),
}
# NumPy pickles these as a whole, with what is in them.
COPIED = {"times", "not contiguous", "reversed", "broadcast", "objects"}


@pytest.mark.parametrize("copy", [False, True])
@pytest.mark.parametrize("name", ARRAYS)
def test_any_array_comes_back_as_it_was(name, copy):
    array = ARRAYS[name]
    got = sent(array, copy)
    assert type(got) is np.ndarray and got.dtype == array.dtype and got.shape == array.shape
    assert np.array_equal(got, array)
    if name not in COPIED:
        assert got.flags.f_contiguous == array.flags.f_contiguous
        # Whether it is large must not decide whether it can be written to.
        assert got.flags.writeable == (copy and array.flags.writeable)
    assert is_shared(got) == (name not in COPIED and not copy and array.nbytes > 50_000)


def test_a_copy_is_private_and_writable():
    array = np.arange(LARGE)
    queue = Queue(copy=True)
    queue.put(array)
    queue.put(array)
    one, other = queue.get(), pickle.loads(pickle.dumps(queue)).get()
    one[:] = 7
    assert np.array_equal(other, array) and other.flags.writeable


@dataclass
class Measurement:
    name: str
    values: np.ndarray


def test_buffers_are_found_at_any_depth():
    item = {"one": [Measurement("x", np.arange(LARGE))], ("two",): (np.arange(LARGE) * 2, np.arange(4))}
    got = sent(item)
    measurement, (twice, small) = got["one"][0], got["two",]
    assert measurement.name == "x" and is_shared(measurement.values) and is_shared(twice)
    assert np.array_equal(measurement.values * 2, twice) and small.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("length", [10, 5000, 70_000, 3_000_000])
@pytest.mark.parametrize("copy", [False, True])
def test_bytes_and_bytearrays_stay_what_they_are(length, copy):
    item = (os.urandom(length), bytearray(os.urandom(length)), [b"x" * length])
    got = sent(item, copy)
    assert got == item and [type(part) for part in got] == [bytes, bytearray, list]
    assert type(sent(b"y" * length, copy)) is bytes
    assert sent(bytearray(b"y" * length), copy) == bytearray(b"y" * length)


def test_views_of_memory_can_be_sent():
    numbers = np.arange(LARGE, dtype="i4")
    for view in (
        memoryview(b"z" * LARGE),
        memoryview(bytearray(LARGE)),
        memoryview(numbers),
        memoryview(numbers.reshape(4, -1)),
        memoryview(np.asfortranarray(numbers.reshape(4, -1))),
        memoryview(numbers)[::2],
        memoryview(np.array(2.5)),
        memoryview(b"few"),
    ):
        got = sent(view)
        assert type(got) is memoryview and got.readonly
        assert (got.format, got.shape) == (view.format, view.shape) and got.tobytes() == view.tobytes()
    got = sent(memoryview(bytearray(LARGE)), copy=True)
    got[0] = 1
    assert not sent(memoryview(b"z" * LARGE)[:0]).nbytes
    with pytest.raises(pickle.PicklingError, match="of format"):
        sent(memoryview(np.ones(3, STRUCTURED)))


@pytest.mark.parametrize("length", [10, LARGE])
def test_a_buffer_pickled_by_hand_arrives_as_a_view(length):
    for source in (bytes(length), bytearray(length)):
        got = sent(pickle.PickleBuffer(source))
        assert type(got) is memoryview and got.readonly and got.tobytes() == source
    with pytest.raises(pickle.PicklingError):
        sent(pickle.PickleBuffer(memoryview(bytes(length))[::2]))


def test_what_was_received_can_be_put_again():
    first, second = Queue(), Queue()
    array = np.arange(LARGE)
    first.put(array)
    for _ in range(10):
        second.put(first.get())
        first.put(second.get())
    assert np.array_equal(first.get(), array)


def test_many_at_once_and_by_priority():
    queue, urgent = Queue(), PriorityQueue()
    arrays = [np.full(length, length) for length in (3, LARGE, 700, 2 * LARGE)]
    queue.put_many(arrays)
    many = queue.get_many()
    for array in many:
        urgent.put(array, -len(array))
    got = [urgent.get() for _ in arrays]
    assert all(np.array_equal(*pair) for pair in zip(many, arrays, strict=True))
    assert [len(array) for array in got] == sorted(map(len, arrays), reverse=True)
    assert all(is_shared(array) == (len(array) >= LARGE) and not array.flags.writeable for array in got + many)


def test_coroutines_pass_arrays_on():
    async def main():
        requests, answers = Queue(2), Queue(2)
        child = started("fork", children.echo_in_a_coroutine, requests, answers)

        async def ask():
            for number in range(20):
                await requests.put_async(np.full(LARGE, number))
            requests.shutdown()

        asking = asyncio.create_task(ask())
        for number in range(20):
            array = await answers.get_async(timeout=PATIENCE)
            assert is_shared(array) and (array == number).all()
        await asking
        ended(child)

    asyncio.run(main())


def test_a_put_that_gives_up_leaves_no_memory_behind():
    queue = Queue(1)
    array = np.arange(LARGE)
    queue.put(array)

    def once():
        with pytest.raises(Full):
            queue.put(array, timeout=0.001)
        with pytest.raises(Full):
            asyncio.run(queue.put_async(array, timeout=0.001))
        with pytest.raises(Full):
            queue.put_many([array], timeout=0.001)

    once()
    size = segment_size()
    for _ in range(20):
        once()
    assert segment_size() == size and np.array_equal(queue.get(), array)


def test_a_part_keeps_its_item_alive():
    queue = Queue()
    queue.put([np.full(LARGE, number) for number in range(3)])
    part = queue.get()[1][100:200]
    for _ in range(5):
        queue.put([np.zeros(LARGE) for _ in range(3)])
        queue.get()
    assert (part == 1).all()


class Raises:
    """Its pickling, or what comes after it, fails when a buffer has gone before."""

    def __init__(self, late):
        self.late = late

    def __reduce__(self):
        if self.late:
            return fail, ()
        raise ValueError("on purpose")


def fail():
    raise ValueError("on purpose")


@pytest.mark.parametrize("late", [False, True])
def test_an_item_that_fails_half_way_leaves_no_memory_behind(late):
    queue = Queue()
    array = np.arange(LARGE)

    def once():
        with pytest.raises(ValueError, match="on purpose"):
            queue.put([array, Raises(late)])
            queue.get()

    once()
    size = segment_size()
    for _ in range(20):
        once()
    assert segment_size() == size and queue.empty()


@pytest.mark.stress
@pytest.mark.deadline(1200)
def test_gigabytes_go_through_with_flat_memory():
    """500 MB, or as many times more as the stress tests run longer."""
    requests, answers = Queue(4), Queue()
    child = started("fork", children.sum_arrays, requests, answers)
    array, count = np.arange(1_000_000), int(62 * STRESS)
    sizes = []
    for number in range(count):
        array[0] = number
        requests.put(array)
        sizes.append(segment_size())
    requests.shutdown()
    expected = [int(array.sum()) - int(array[0]) + number for number in range(count)]
    assert answers.get(timeout=PATIENCE) == expected
    ended(child)
    # Four wait, one is being put, one was taken while the one before is still held; and what memory grows by in advance.
    assert sizes[-1] - sizes[0] < 10 * array.nbytes, sizes
