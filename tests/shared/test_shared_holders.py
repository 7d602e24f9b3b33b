"""What was received without a copy stays for whoever holds it, children of forks included, and goes with the last."""

import multiprocessing
import os
import random
import resource
import signal
import threading
import time

import numpy as np
import pytest
from shared_memory import is_shared, segment_size
from test_shared_travel import PATIENCE

from conftest import STRESS, has_ended, start_thread, wait_until
from oneloom.shared import Event, Queue

LENGTH = 100_000
FORK = multiprocessing.get_context("fork")


def numbered(number):
    return np.full(LENGTH, number)


def whole(array, number):
    return bool((array == number).all())


def churn(queue, rounds=3):
    """Writes over whatever memory of that size is free."""
    for _ in range(rounds):
        for _ in range(4):
            queue.put(numbered(-1))
        for _ in range(4):
            queue.get()


def forked(work):
    """The pid of a child that runs `work` and ends with 0 if that is true."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os._exit(0 if work() else 1)
    finally:
        os._exit(2)


def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def held(queue, number=7):
    queue.put([numbered(number), numbered(number + 1)])
    arrays = queue.get()
    assert is_shared(arrays[0])
    return arrays


@pytest.mark.parametrize("who", ["both at once", "the parent first", "the child first", "the child is killed"])
def test_parent_and_child_keep_what_was_held_at_a_fork(who):
    queue, let_go, go_on = Queue(), Event(), Event()
    arrays = held(queue)

    def child():
        nonlocal arrays
        if who == "the child first":
            arrays = None
            let_go.set()
            return go_on.wait(timeout=PATIENCE)
        let_go.set()
        while not go_on.is_set():
            if not (whole(arrays[0], 7) and whole(arrays[1], 8)):
                return False
        return True

    pid = forked(child)
    assert let_go.wait(timeout=PATIENCE)
    if who == "the parent first":
        arrays = None
    if who == "the child is killed":
        os.kill(pid, signal.SIGKILL)
        assert ended(pid) == -signal.SIGKILL
    churn(queue)
    assert arrays is None or (whole(arrays[0], 7) and whole(arrays[1], 8))
    go_on.set()
    assert who == "the child is killed" or ended(pid) == 0
    churn(queue)
    assert arrays is None or whole(arrays[0], 7)


def read_and_fork(queue, told, look_now):
    arrays = held(queue)
    begins, ends = os.pipe()

    def child():
        told.put(os.getpid())
        os.close(ends)
        # Nothing is written: it ends when nobody is left who could, and so the parent is dead.
        os.read(begins, 1)
        told.put("the parent is dead")
        look_now.wait(timeout=PATIENCE)
        told.put(whole(arrays[0], 7) and whole(arrays[1], 8))
        return True

    forked(child)
    signal.pause()


def test_a_child_keeps_what_its_killed_parent_held():
    queue, told, look_now = Queue(), Queue(), Event()
    reader = FORK.Process(target=read_and_fork, args=(queue, told, look_now), daemon=True)
    reader.start()
    child = told.get(timeout=PATIENCE)
    os.kill(reader.pid, signal.SIGKILL)
    reader.join()
    assert told.get(timeout=PATIENCE) == "the parent is dead"
    churn(queue, rounds=20)
    look_now.set()
    assert told.get(timeout=PATIENCE) is True
    wait_until(lambda: has_ended(child))
    size = segment_size()
    churn(queue)
    assert segment_size() == size


def hold_without_a_record():
    queue, go_on = Queue(), Event()
    arrays = held(queue)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
    try:
        pid = forked(lambda: go_on.wait(timeout=PATIENCE) and whole(arrays[0], 7) and whole(arrays[1], 8))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    # The function that the child runs has them, too.
    arrays.clear()
    churn(queue, rounds=10)
    go_on.set()
    assert ended(pid) == 0


def test_what_no_record_can_be_made_for_stays_for_the_child_all_the_same():
    # Not in this process: where another test has used uvloop, libuv ends a child of a fork that gets no descriptors.
    process = multiprocessing.get_context("spawn").Process(target=hold_without_a_record, daemon=True)
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0


def test_a_pool_that_was_forked_meanwhile_uses_what_was_held():
    queue = Queue()
    global arrays
    arrays = held(queue)
    with FORK.Pool(4) as pool:
        arrays = None
        churn(queue)
        assert pool.map(look, range(20)) == [True] * 20
    size = segment_size()
    churn(queue, rounds=10)
    assert segment_size() == size


def look(_):
    return whole(arrays[0], 7) and whole(arrays[1], 8)


@pytest.mark.parametrize("fate", ["ends", "is killed", "forks and is killed"])
def test_a_fork_for_each_item_leaves_no_memory_behind(fate):
    queue = Queue()
    sizes = []
    for number in range(30):
        arrays = held(queue, number)

        def child():
            if not whole(arrays[0], number):  # noqa: B023
                return False
            if fate == "forks and is killed":
                forked(lambda: whole(arrays[1], number + 1))  # noqa: B023
            if fate != "ends":
                os.kill(os.getpid(), signal.SIGKILL)
            return True

        assert ended(forked(child)) in (0, -signal.SIGKILL)
        assert whole(arrays[0], number)
        del arrays, child
        sizes.append(segment_size())
    assert sizes[-1] == sizes[len(sizes) // 2], sizes


def test_many_are_held_and_let_go_of_in_any_order(seed):
    source = random.Random(seed)
    queue = Queue()
    for number in range(40):
        queue.put(numbered(number))
    arrays = dict(enumerate(queue.get_many()))

    def shuffled_end():
        keys = list(arrays)
        source.shuffle(keys)
        for key in keys:
            if not whole(arrays.pop(key), key):
                return False
        return True

    pids = [forked(shuffled_end) for _ in range(5)]
    source.seed(seed + 1)
    assert shuffled_end()
    churn(queue)
    assert [ended(pid) for pid in pids] == [0] * 5


@pytest.mark.stress
def test_threads_take_and_let_go_while_others_fork(seed):
    queue, stop, torn = Queue(8), threading.Event(), []

    def put():
        number = 0
        while not stop.is_set():
            number += 1
            queue.put(numbered(number))
        queue.shutdown()

    def take():
        kept = []
        for array in queue:
            kept.append((array, int(array[0])))
            if len(kept) > 4:
                array, number = kept.pop(0)
                if not whole(array, number):
                    torn.append(number)

    threads = [start_thread(put), *(start_thread(take) for _ in range(3))]
    mine = Queue()
    for number in range(int(30 * STRESS)):
        array = mine.put(numbered(number)) or mine.get()
        pids = [forked(lambda array=array, number=number: whole(array, number)) for _ in range(3)]
        del array
        assert [ended(pid) for pid in pids] == [0, 0, 0]
    stop.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert not torn and not any(thread.is_alive() for thread in threads)


@pytest.mark.stress
def test_holders_killed_at_any_instant_harm_nobody(seed):
    """Readers fork while they hold, and both are killed whenever: others go on, and all memory comes back."""
    source = random.Random(seed)
    queue, torn = Queue(), Queue()

    def hold_for_ever():
        while True:
            arrays = [queue.get(timeout=PATIENCE) for _ in range(2)]
            forked(lambda: keep(arrays))
            if not keep(arrays, rounds=2):
                return False

    def keep(arrays, rounds=5):
        for _ in range(rounds):
            for array in arrays:
                if not whole(array, array[0]):
                    torn.put("torn")
                    return False
        return True

    sizes = []
    for number in range(int(60 * STRESS)):
        os.setpgid(pid := forked(lambda: os.setpgid(0, 0) or hold_for_ever()), pid)
        end = time.monotonic() + source.random() * 0.03
        while time.monotonic() < end:
            if queue.qsize() < 4:
                queue.put(numbered(number))
        os.killpg(pid, signal.SIGKILL)
        ended(pid)
        sizes.append(segment_size())
    assert torn.empty()
    print(f"{len(sizes)} killed, sizes from {sizes[0]} to {sizes[-1]}")
    # A few at once, whose number is never more: not what sixty would have left behind.
    assert sizes[-1] - sizes[0] < 40 * 8 * LENGTH
