"""Callbacks of futures: they see the result, the exception or that nothing came of it, and may submit what comes next.

They are called in the order in which they were added, in the process that submitted; where the future is done already,
at once, by who adds them.

It prints:

    threads: 6 * 7 came to 42
    threads: int('seven') failed: ValueError("invalid literal for int() with base 10: 'seven'")
    threads: int('8') was cancelled
    threads: first, then second, in the submitting process: True
    threads: added when it was done, called at once by the same thread: True
    threads: a chain of callbacks: [2, 4, 16, 256, 65536]
    processes: 6 * 7 came to 42
    processes: int('seven') failed: ValueError("invalid literal for int() with base 10: 'seven'")
    processes: first, then second, in the submitting process: True
    processes: added when it was done, called at once by the same thread: True
    processes: a chain of callbacks: [2, 4, 16, 256, 65536]
"""

import functools
import multiprocessing
import operator
import os
import queue
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

gate = None  # in each process: what `pass_gate` waits for


def know_gate(event):
    global gate
    gate = event


def pass_gate():
    gate.wait()


def told(outcomes, what, future):
    if future.cancelled():
        outcomes.put(f"{what} was cancelled")
    elif error := future.exception():
        outcomes.put(f"{what} failed: {error!r}")
    else:
        outcomes.put(f"{what} came to {future.result()}")


def tell_outcomes(kind, executor):
    outcomes = queue.SimpleQueue()
    for what, function, arguments in (
        ("6 * 7", operator.mul, (6, 7)),
        ("int('seven')", int, ("seven",)),
    ):
        future = executor.submit(function, *arguments)
        future.add_done_callback(functools.partial(told, outcomes, what))
        print(f"{kind}: {outcomes.get()}")


def cancel_one():
    """In a pool of one thread that is busy, so that the next task is certain to be still there."""
    outcomes, may_end = queue.SimpleQueue(), threading.Event()
    with ThreadPoolExecutor(1) as executor:
        executor.submit(may_end.wait)
        future = executor.submit(int, "8")
        future.add_done_callback(functools.partial(told, outcomes, "int('8')"))
        future.cancel()
        print("threads:", outcomes.get())
        may_end.set()


def see_who_calls(kind, executor, event):
    seen = queue.SimpleQueue()
    future = executor.submit(pass_gate)
    future.add_done_callback(lambda future: seen.put("first"))
    future.add_done_callback(lambda future: seen.put("second"))
    future.add_done_callback(lambda future: seen.put(os.getpid()))
    event.set()
    first, second, process = (seen.get() for _ in range(3))
    print(f"{kind}: {first}, then {second}, in the submitting process: {process == os.getpid()}")
    future.add_done_callback(lambda future: seen.put(threading.get_ident()))
    same_thread = seen.get_nowait() == threading.get_ident()
    print(f"{kind}: added when it was done, called at once by the same thread: {same_thread}")


def square_again_and_again(kind, executor):
    """Each callback submits the next task, until the number is large."""
    numbers, reached = [2], threading.Event()

    def go_on(future):
        numbers.append(future.result())
        if numbers[-1] < 50_000:
            executor.submit(pow, numbers[-1], 2).add_done_callback(go_on)
        else:
            reached.set()

    executor.submit(pow, 2, 2).add_done_callback(go_on)
    reached.wait()
    print(f"{kind}: a chain of callbacks: {numbers}")


if __name__ == "__main__":
    for kind, pool, event in (
        ("threads", ThreadPoolExecutor, threading.Event()),
        ("processes", ProcessPoolExecutor, multiprocessing.Event()),
    ):
        with pool(2, initializer=know_gate, initargs=(event,)) as executor:
            tell_outcomes(kind, executor)
            if kind == "threads":
                cancel_one()
            see_who_calls(kind, executor, event)
            square_again_and_again(kind, executor)
