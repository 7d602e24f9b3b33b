"""Executors of processes, started in the way that the first argument names: results, errors, ends, and what breaks them."""
import asyncio
import concurrent.futures
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from concurrent.futures.process import BrokenProcessPool

ProcessPoolExecutor = concurrent.futures.ProcessPoolExecutor


def square(n):
    return n * n


def fail(what):
    raise ValueError(what)


def fail_twice():
    try:
        1 / 0
    except ZeroDivisionError as error:
        raise KeyError("second") from error


def leave(status):
    sys.exit(status)


def keywords(*args, **kwargs):
    return args, kwargs


def set_value(value):
    global VALUE
    VALUE = value


def get_value(_):
    return VALUE


def refuse():
    raise ValueError("no")


def lock(_=None):
    return threading.Lock()


class Unreadable:
    def __reduce__(self):
        return fail, ("when it was read",)


class Strange(Exception):
    def __init__(self, one, two):
        super().__init__(one)


def strange():
    raise Strange(1, 2)


def kind_of(error):
    return f"{type(error).__name__}({error})"


def step(function):
    print(f"-- {function.__name__.replace('_', ' ')}", flush=True)
    function()


def main(context):
    @step
    def results():
        with ProcessPoolExecutor(2, context) as executor:
            print(executor.submit(square, 3).result(), executor.submit(keywords, 1, self=2, fn=3).result())
            print(list(executor.map(square, range(10))), list(executor.map(pow, [2, 3], [3, 2, 1], chunksize=5)))
            print(executor._max_workers, executor._broken, executor._mp_context is context)
            future = executor.submit(square, 4)
            print(concurrent.futures.wait([future]).done == {future}, future.exception(), future.cancel(), future)
            called = threading.Event()
            executor.submit(square, 5).add_done_callback(lambda future: print("callback", future.result()) or called.set())
            called.wait(10)
            big = executor.submit(bytes, 3_000_000).result()
            print(len(big), type(big), executor.submit(len, bytearray(5_000_000)).result())
        print(executor._processes, executor._executor_manager_thread, executor._call_queue)
        for call in (lambda: executor.submit(square, 1), lambda: executor.map(square, [1])):
            try:
                call()
            except RuntimeError as error:
                print(error)

    @step
    def errors():
        with ProcessPoolExecutor(1, context) as executor:
            for function, *arguments in ((fail, "here"), (fail_twice,), (leave, 3), (leave, None), (open, "/none"), (strange,)):
                error = executor.submit(function, *arguments).exception()
                told = "" if error.__cause__ is None else str(error.__cause__).strip().splitlines()
                print(kind_of(error), type(error.__cause__).__name__, told and told[1], told and told[-2])

    @step
    def what_can_not_be_pickled():
        with ProcessPoolExecutor(1, context) as executor:
            for arguments in ((lambda: 1,), (square, lock()), (lock,)):
                error = executor.submit(*arguments).exception()
                print(type(error).__name__, isinstance(error, (pickle.PicklingError, TypeError, AttributeError)))
            print(executor.submit(square, 5).result())

    @step
    def unreadable():
        for function, argument in ((square, Unreadable()), (Unreadable, None)):
            with ProcessPoolExecutor(1, context) as executor:
                sys.stderr.flush()
                error = executor.submit(*((function, argument) if argument else (function,))).exception()
                print(type(error).__name__, str(error).startswith("A process in the process pool was terminated abruptly"))
                try:
                    executor.submit(int)
                except BrokenProcessPool as error:
                    print(error)

    @step
    def a_worker_that_dies():
        for how in ("kill", "exit", "idle"):
            with ProcessPoolExecutor(2, context) as executor:
                executor.submit(square, 1).result()
                waiting = [executor.submit(time.sleep, 30) for _ in range(4)] if how != "idle" else []
                if how == "exit":
                    executor.submit(os._exit, 0)
                    waiting.pop().cancel()
                    os.kill(next(iter(executor._processes)), signal.SIGTERM)
                else:
                    os.kill(next(iter(executor._processes)), signal.SIGKILL)
                print({kind_of(future.exception()) for future in waiting})
                while not executor._broken:
                    time.sleep(0.001)
                try:
                    executor.submit(int)
                except BrokenProcessPool as error:
                    print(error)

    @step
    def initializers():
        with ProcessPoolExecutor(1, context, set_value, ("set",)) as executor:
            print(set(executor.map(get_value, range(4))))
        with ProcessPoolExecutor(1, context, refuse) as executor:
            try:
                executor.submit(square, 1).result()
            except BrokenProcessPool as error:
                print(type(error).__name__)

    @step
    def wrong_arguments():
        for arguments in ({"max_workers": 0}, {"initializer": 5}, {"max_tasks_per_child": 0}, {"max_tasks_per_child": "x"}):
            try:
                ProcessPoolExecutor(mp_context=context, **arguments)
            except Exception as error:
                print(kind_of(error))

    @step
    def workers_that_are_replaced():
        if context.get_start_method() != "fork":
            with ProcessPoolExecutor(1, context, max_tasks_per_child=2) as executor:
                pids = [executor.submit(os.getpid).result() for _ in range(5)]
                print(len(set(pids)), pids[0] == pids[1], pids[2] == pids[3])

    @step
    def cancelled_and_shut_down():
        executor = ProcessPoolExecutor(1, context)
        running = executor.submit(time.sleep, 0.3)
        while not running.running():
            time.sleep(0.001)
        others = [executor.submit(square, n) for n in range(10)]
        print(others[-1].cancel(), others[-1].cancelled(), running.cancel())
        executor.shutdown(wait=False, cancel_futures=True)
        print(running.result(), sum(future.cancelled() for future in others) > 5)
        executor.shutdown()

    @step
    def in_a_loop():
        async def main():
            loop = asyncio.get_running_loop()
            with ProcessPoolExecutor(2, context) as executor:
                print(await asyncio.gather(*(loop.run_in_executor(executor, square, n) for n in range(4))))
                try:
                    await loop.run_in_executor(executor, fail, "there")
                except ValueError as error:
                    print(kind_of(error))

        asyncio.run(main())

    @step
    def left_to_the_exit():
        executor = ProcessPoolExecutor(1, context)
        executor.submit(print, "printed by a worker, at the exit", flush=True)


if __name__ == "__main__":
    # What workers say of their ends is full of the library's own frames.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    multiprocessing.set_start_method(sys.argv[1])
    main(multiprocessing.get_context(sys.argv[1]))
