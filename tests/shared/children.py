"""What children of the tests of shared objects do: importable, so that every start method finds it."""

import asyncio
import os
import signal
import threading
import time
from queue import Empty

from oneloom import DeadlockError, _native, deadlock
from oneloom.queue import ShutDown
from oneloom.shared import Lock, Queue


def echo(requests, answers):
    for item in requests:
        answers.put(item)


def echo_in_a_coroutine(requests, answers):
    async def main():
        async for item in requests:
            await answers.put_async(item)

    asyncio.run(main())


def put_all(queue, items):
    for item in items:
        queue.put(item)


def take_all(queue, total):
    count = 0
    for _ in queue:
        count += 1
    total.put(count)


def count_under(lock, counter, rounds):
    for _ in range(rounds):
        with lock:
            value = int.from_bytes(counter[:8], "little")
            counter[:8] = (value + 1).to_bytes(8, "little")


def hold(lock, ready, scoped=False):
    if scoped:
        lock.__enter__()
    else:
        lock.acquire()
    ready.put(os.getpid())
    time.sleep(60)


def hold_twice(lock, ready):
    with lock:
        hold(lock, ready, scoped=True)


def wait_for_news(condition, answers):
    with condition:
        answers.put(condition.wait())


def wait_for_news_in_a_coroutine(condition, answers):
    async def main():
        async with condition:
            answers.put(await condition.wait_async())

    asyncio.run(main())


def wait_and_hold_on(condition, ready):
    with condition:
        condition.wait()
        ready.put("notified")
        time.sleep(60)


def call(subject, method):
    try:
        getattr(subject, method)()
    except threading.BrokenBarrierError:
        return
    if hasattr(subject, "recovered"):
        subject.release()


def call_inside(condition, method):
    with condition:
        call(condition, method)


def nothing():
    pass


def meet(barrier, answers):
    for _ in range(3):
        answers.put(barrier.wait())


def meet_in_a_coroutine(barrier, answers):
    async def main():
        for _ in range(3):
            answers.put(await barrier.wait_async())

    asyncio.run(main())


def meet_and_tell(barrier, answers):
    try:
        answers.put(barrier.wait())
    except threading.BrokenBarrierError:
        answers.put("broken")


def leave(scope, answer):
    try:
        scope.__exit__(None, None, None)
        answer.put("left")
    except RuntimeError as error:
        answer.put(str(error))


def release(lock, answer):
    try:
        lock.release()
        answer.put("released")
    except RuntimeError as error:
        answer.put(str(error))


def answer_what_comes(mailbox):
    """Objects that are sent into a child that runs already."""
    queue, lock = mailbox.get()
    with lock:
        queue.put((os.getpid(), lock.name))


def make_and_send(mailbox):
    """An object that a child makes serves its parent as well."""
    queue, lock = Queue(name="of the child"), Lock()
    lock.acquire()
    mailbox.put((queue, lock))
    mailbox.put(queue.get() * 2)
    lock.release()


def use_inherited(queue, lock):
    with lock:
        queue.put("by fork")


def wait_for(event, answers):
    answers.put("waits")
    answers.put(event.wait())


def wait_for_in_a_coroutine(event, answers):
    async def main():
        answers.put("waits")
        answers.put(await event.wait_async())

    asyncio.run(main())


def raise_and_die(event, step):
    _native._kill_at(step, 0)
    event.set()


def busy(seed, step, passes, queue, back, lock, counter):
    """Works until it dies: after a step of a protocol, or by its parent's hand. `counter` tells what it has done."""
    _native._kill_at(step, passes)
    for number in range(1, 100_000):
        counter[0] = number
        queue.put((seed, number, b"x" * (number % 7 * 2000)))
        counter[1] = number
        counter[2] = back.get(timeout=20)[0]
        if lock.acquire(timeout=20):
            counter[3] = number
            lock.release()
    os.kill(os.getpid(), signal.SIGKILL)


def echo_many(requests, answers):
    try:
        while True:
            answers.put_many(requests.get_many())
    except ShutDown:
        pass


def echo_many_in_a_coroutine(requests, answers):
    async def main():
        try:
            while True:
                await answers.put_many_async(await requests.get_many_async())
        except ShutDown:
            pass

    asyncio.run(main())


def take_both(first, second, ready, go, answers, scoped=True, policy="raise"):
    """Holds `first`, says so, waits for its turn, and wants `second`."""
    deadlock.policy(cycles=policy)
    if scoped:
        first.__enter__()
    else:
        first.acquire()
    ready.put(os.getpid())
    go.wait()
    try:
        with second:
            answers.put((os.getpid(), ""))
    except DeadlockError as error:
        answers.put((os.getpid(), str(error)))
    finally:
        first.release()


def echo_by_number(requests, answers):
    """Each item comes with the number that is to be its priority."""
    for number, item in requests:
        answers.put(item, number)


def work_by_priority(queue, taken, step, passes):
    """Puts, and takes now and then, until it is killed after a step."""
    _native._kill_at(step, passes)
    for number in range(1000):
        queue.put((number * 7 % 10, number), number * 7 % 10)
        if number % 3 == 2:
            taken.put(queue.get(timeout=20))


def take_both_in_a_coroutine(first, second, ready, go, answers, tasks):
    async def main():
        async with first:
            ready.put(os.getpid())
            go.wait()
            try:
                async with second:
                    return ""
            except DeadlockError as error:
                return str(error)

    deadlock.policy(tasks=tasks)
    answers.put((os.getpid(), asyncio.run(main())))


def sum_arrays(arrays, answers):
    answers.put([int(array.sum()) for array in arrays])


def take_and_hold(queue, ready, count):
    items = queue.get_many(count)
    queue.task_done()
    ready.put(items)
    time.sleep(60)


def take_and_end(queue):
    queue.get()


def work_until_death(step, passes, queue, counter):
    """Takes some, then reports them as done, each told in `counter` before and after."""
    _native._kill_at(step, passes)
    while True:
        try:
            items = queue.get_many(5, block=False)
        except Empty:
            return
        for item in items:
            counter[2 * item[0]] = 1
            queue.task_done(item)
            counter[2 * item[0] + 1] = 1


def want(lock, answers):
    try:
        with lock:
            answers.put("")
    except DeadlockError as error:
        answers.put(str(error))
