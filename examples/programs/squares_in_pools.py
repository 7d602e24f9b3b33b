"""Squares over a pool of processes and over one of threads; the results are read when the pools have been shut down.

`shutdown` waits for all that was submitted, and leaving `with` does the same. A future keeps its outcome, an error, too,
whatever has become of its pool. Afterwards the pool takes nothing more.

It prints:

    processes: [0, 1, 4, 9, 16, 25, 36, 49], each by another process: True
    processes: TypeError("unsupported operand type(s) for ** or pow(): 'str' and 'int'")
    processes: cannot schedule new futures after shutdown
    threads: [0, 1, 4, 9, 16, 25, 36, 49], each by another thread: True
    threads: TypeError("unsupported operand type(s) for ** or pow(): 'str' and 'int'")
    threads: cannot schedule new futures after shutdown
    not waited for: done when its pool is shut down False, in the end [64, 81]
    cancelled: [False, True, True], the one that ran: 100
"""

import os
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor


def square(number):
    """The square, and who computed it: a process and a thread of it."""
    return number**2, (os.getpid(), threading.get_ident())


def squares(kind, executor):
    here = os.getpid(), threading.get_ident()
    with executor:
        futures = [executor.submit(square, number) for number in range(8)]
        wrong = executor.submit(square, "eight")
    assert wrong.done() and all(future.done() for future in futures)
    numbers, workers = zip(*(future.result() for future in futures))
    elsewhere = [worker[0] != here[0] if kind == "process" else worker != here for worker in workers]
    kinds = {"process": "processes", "thread": "threads"}[kind]
    print(f"{kinds}: {list(numbers)}, each by another {kind}: {all(elsewhere)}")
    print(f"{kinds}: {wrong.exception()!r}")
    try:
        executor.submit(square, 9)
    except RuntimeError as error:
        print(f"{kinds}: {error}")


def do_not_wait():
    may_end = threading.Event()

    def square_late(number):
        may_end.wait()
        return number**2

    executor = ThreadPoolExecutor(1)
    futures = [executor.submit(square_late, number) for number in (8, 9)]
    executor.shutdown(wait=False)
    done = any(future.done() for future in futures)
    may_end.set()
    print(f"not waited for: done when its pool is shut down {done}, in the end {[f.result() for f in futures]}")


def cancel_the_rest():
    running, may_end = threading.Event(), threading.Event()

    def square_late(number):
        running.set()
        may_end.wait()
        return number**2

    executor = ThreadPoolExecutor(1)
    futures = [executor.submit(square_late, number) for number in (10, 11, 12)]
    running.wait()
    executor.shutdown(wait=False, cancel_futures=True)
    may_end.set()
    executor.shutdown()
    print(f"cancelled: {[future.cancelled() for future in futures]}, the one that ran: {futures[0].result()}")


if __name__ == "__main__":
    squares("process", ProcessPoolExecutor(2))
    squares("thread", ThreadPoolExecutor(2))
    do_not_wait()
    cancel_the_rest()
