"""Executors that programs have changed from within: other threads, other queues, more workers; and what drops or drains them."""
import asyncio
import concurrent.futures
import gc
import logging
import queue
import sys
import threading
import time
import weakref
from concurrent.futures import thread as of_threads



class Short(logging.Formatter):
    def format(self, record):
        error = record.exc_info and record.exc_info[1]
        return f"{record.levelname} {record.name} {record.getMessage()} {error!r}"


handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(Short())
logging.getLogger().addHandler(handler)


def until(condition):
    while not condition():
        time.sleep(0.001)


def step(function):
    print(f"-- {function.__name__.replace('_', ' ')}")
    function()


@step
def names_and_numbers():
    with concurrent.futures.ThreadPoolExecutor(2, "named") as executor:
        barrier = threading.Barrier(3)
        futures = [executor.submit(barrier.wait, 10) for _ in range(2)]
        until(lambda: all(future.running() for future in futures))
        print(sorted(t.name for t in executor._threads), executor._max_workers, executor._work_queue.qsize())
        barrier.wait()
        print(sorted(future.result() for future in futures) != [], executor._broken, executor._shutdown)
    print(executor._shutdown, [t.is_alive() for t in executor._threads], executor._thread_name_prefix)
    print(type(executor).__name__, isinstance(executor, concurrent.futures.Executor))


@step
def wrong_arguments():
    for arguments in ({"max_workers": 0}, {"max_workers": "1"}, {"initializer": 5}, {"workers": 1}):
        try:
            concurrent.futures.ThreadPoolExecutor(**arguments)
        except Exception as error:
            print(type(error).__name__, error)
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        for call in (lambda: executor.submit(), lambda: executor.submit(fn=print), lambda: executor.map()):
            try:
                call()
            except TypeError:
                print("TypeError")


@step
def daemon_threads_of_a_subclass():
    class Daemons(concurrent.futures.ThreadPoolExecutor):
        def _adjust_thread_count(self):
            if len(self._threads) < self._max_workers:
                target = getattr(of_threads, "_worker")
                arguments = (weakref.ref(self), self._work_queue, self._initializer, self._initargs)
                thread = threading.Thread(target=target, args=arguments, daemon=True, name=f"daemon-{len(self._threads)}")
                thread.start()
                self._threads.add(thread)

    executor = Daemons(1)
    print(executor.submit(lambda: (threading.current_thread().name, threading.current_thread().daemon)).result())
    executor.shutdown()


@step
def a_queue_with_a_bound():
    executor = concurrent.futures.ThreadPoolExecutor(1)
    executor._work_queue = queue.Queue(maxsize=2)
    go_on = threading.Event()
    first = executor.submit(go_on.wait, 10)
    until(first.running)
    others = [executor.submit(int, n) for n in range(2)]
    print(executor._work_queue.full())
    go_on.set()
    print([future.result() for future in others])
    executor.shutdown()


@step
def last_come_first_served():
    class LastFirst(concurrent.futures.ThreadPoolExecutor):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            self._work_queue = queue.LifoQueue()

    order, go_on = [], threading.Event()
    executor = LastFirst(max_workers=1)
    first = executor.submit(go_on.wait, 10)
    until(first.running)
    futures = [executor.submit(order.append, n) for n in range(4)]
    go_on.set()
    concurrent.futures.wait(futures)
    print(order)
    executor.shutdown(cancel_futures=True)


@step
def more_workers_later():
    executor = concurrent.futures.ThreadPoolExecutor(1)
    executor.submit(int).result()
    executor._max_workers = 2
    barrier = threading.Barrier(2)
    print(sorted(future.result() for future in [executor.submit(barrier.wait, 10) for _ in range(2)]))
    executor.shutdown()


@step
def drained_from_outside():
    go_on = threading.Event()
    executor = concurrent.futures.ThreadPoolExecutor(1)
    first = executor.submit(go_on.wait, 10)
    until(first.running)
    futures = [executor.submit(pow, 2, n) for n in range(3)]
    print(executor._work_queue.qsize(), executor._work_queue.empty())
    with executor._shutdown_lock:
        while True:
            try:
                item = executor._work_queue.get_nowait()
            except queue.Empty:
                break
            print(item.future.cancel())
    go_on.set()
    print([future.cancelled() for future in futures], first.result(), executor.submit(int, 7).result())
    executor.shutdown()


@step
def dropped_with_work_to_do():
    results = []
    executor = concurrent.futures.ThreadPoolExecutor(1)
    go_on = threading.Event()
    executor.submit(go_on.wait, 10)
    for n in range(3):
        executor.submit(results.append, n)
    threads = list(executor._threads)
    reference = weakref.ref(executor)
    del executor
    gc.collect()
    print(reference())
    go_on.set()
    for thread in threads:
        thread.join()
    print(results)


@step
def dropped_at_once():
    executor = concurrent.futures.ThreadPoolExecutor(4)
    executor.submit(int).result()
    threads = executor._threads
    del executor
    for thread in threads:
        thread.join()
    print(len(threads))


@step
def shut_down_twice_and_by_a_task():
    executor = concurrent.futures.ThreadPoolExecutor(1)

    def by_a_task(wait):
        try:
            executor.shutdown(wait=wait)
        except RuntimeError as error:
            return str(error)

    print(executor.submit(by_a_task, True).result())
    executor.shutdown()
    executor.shutdown(cancel_futures=True)
    try:
        executor.submit(int)
    except RuntimeError as error:
        print(error)


@step
def cancelled_with_the_shutdown():
    go_on = threading.Event()
    executor = concurrent.futures.ThreadPoolExecutor(1)
    first = executor.submit(go_on.wait, 10)
    until(first.running)
    others = [executor.submit(int) for _ in range(3)]
    others[0].add_done_callback(lambda future: print("called back:", future.cancelled()))
    executor.shutdown(wait=False, cancel_futures=True)
    print([future.cancelled() for future in others], first.cancel())
    go_on.set()
    print(first.result(), [future.done() for future in others])
    executor.shutdown()


@step
def what_a_task_raises():
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        for kind in (ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration):

            def fail():
                raise kind(kind.__name__)

            print(repr(executor.submit(fail).exception()))
        print(executor.submit(threading.current_thread).result() in executor._threads, len(executor._threads))
        future = executor.submit(int)
        future.result()
        future.add_done_callback(lambda future: 1 / 0)
        go_on = threading.Event()
        second = executor.submit(go_on.wait, 10)
        second.add_done_callback(lambda future: print("second", future.result()))
        go_on.set()
        second.result()


@step
def mapped():
    seen = []

    def look(n):
        seen.append(n)
        return 10 // n

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        results = executor.map(look, [5, 2, 0, 1])
        print(next(results), next(results))
        try:
            next(results)
        except ZeroDivisionError as error:
            print(error, list(results))
        go_on = threading.Event()
        slow = executor.map(lambda _: go_on.wait(10), range(3), timeout=0.01)
        try:
            next(slow)
        except TimeoutError as error:
            print(type(error).__name__, list(slow))
        go_on.set()
        print(list(executor.map(pow, [2, 3], [3, 2, 1], chunksize=7)), list(executor.map(int, [])))
    print(seen[:3])


@step
def an_initializer_that_fails():
    begun = threading.Event()

    def fail(what):
        begun.wait(10)
        raise ValueError(what)

    executor = concurrent.futures.ThreadPoolExecutor(1, initializer=fail, initargs=("no",))
    futures = [executor.submit(int) for _ in range(3)]
    begun.set()
    for future in futures:
        print(repr(future.exception()))
    try:
        executor.submit(int)
    except of_threads.BrokenThreadPool as error:
        print(type(error).__mro__[1].__name__, error, executor._broken == str(error))
    executor.shutdown()


@step
def an_initializer_that_works():
    local = threading.local()
    with concurrent.futures.ThreadPoolExecutor(2, initializer=lambda value: setattr(local, "value", value), initargs=(5,)) as executor:
        print(set(executor.map(lambda _: local.value, range(10))))


@step
def in_a_loop():
    async def main():
        loop = asyncio.get_running_loop()
        with concurrent.futures.ThreadPoolExecutor(1, "own") as executor:
            print(await loop.run_in_executor(executor, pow, 2, 5))
            print(await asyncio.wrap_future(executor.submit(lambda: threading.current_thread().name)))
            try:
                await loop.run_in_executor(executor, lambda: 1 / 0)
            except ZeroDivisionError as error:
                print(error)
        try:
            loop.set_default_executor(5)
        except TypeError as error:
            print(error)
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1, "default"))
        print(await asyncio.to_thread(lambda: threading.current_thread().name))
        await loop.shutdown_default_executor()

    asyncio.run(main())
    future = concurrent.futures.Future()
    future.set_result(3)
    print(future.result(), concurrent.futures.wait([future]).not_done)


@step
def threads_that_are_left_to_the_exit():
    executor = concurrent.futures.ThreadPoolExecutor(2)
    executor.submit(time.sleep, 0.05).add_done_callback(lambda future: print("ended at the exit", flush=True))
    print(len([queue for thread, queue in of_threads._threads_queues.items() if thread in executor._threads]))
