"""Executors: results, errors, time-outs, one that is never shut down, one whose workers can't start, and the exit."""
import atexit
import concurrent.futures
import concurrent.futures.thread
import logging
import threading
import traceback

pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="worker")
go_on = threading.Event()


def fail():
    raise ValueError("in the pool")


def at_the_end():
    go_on.wait()
    print("done", threading.current_thread().name, flush=True)


print(pool.submit(pow, 2, 3).result(), concurrent.futures.wait([pool.submit(int)]).done.pop().result())
print(len(concurrent.futures.thread._threads_queues))
try:
    pool.submit(fail).result()
except ValueError as error:
    # The frames between these two are the library's own.
    print(repr(error), [frame.name for frame in traceback.extract_tb(error.__traceback__) if frame.filename == __file__])
try:
    concurrent.futures.Future().result(timeout=0.01)
except TimeoutError as error:
    print(type(error).__name__)
with concurrent.futures.ThreadPoolExecutor(1) as other:
    other.submit(go_on.wait, 0.1)
    waiting = other.submit(int)
    print(waiting.cancel(), waiting.cancelled())
try:
    other.submit(int)
except RuntimeError as error:
    print(error)
logging.getLogger("concurrent.futures").addHandler(logging.NullHandler())
broken = concurrent.futures.ThreadPoolExecutor(1, initializer=fail)
try:
    broken.submit(int).result()
except concurrent.futures.BrokenExecutor as error:
    print(repr(error))


def after_shutdown():
    try:
        pool.submit(int)
    except RuntimeError as error:
        print(error, flush=True)
    go_on.set()


atexit.register(print, "last", flush=True)
threading._register_atexit(after_shutdown)
pool.submit(at_the_end)
