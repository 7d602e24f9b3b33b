"""Calls that block, in executors, so that the event loop stays free: in threads, in a process, and the way back.

It prints:

    three calls meet, each in a thread of its own: [True, True, True]
    in a named thread: reader_0
    to_thread takes the context along: Ada
    an error comes back: OSError('no such shelf')
    from a process: 3628800
    a thread fed the loop: [0, 1, 4, 9]
    a thread waited for a coroutine: 42
"""

import asyncio
import contextvars
import math
import queue
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

user = contextvars.ContextVar("user")


def meet(barrier):
    barrier.wait()
    return threading.current_thread() is not threading.main_thread()


def fail():
    raise OSError("no such shelf")


async def call_in_threads(loop):
    barrier = threading.Barrier(3)
    calls = [loop.run_in_executor(None, meet, barrier) for _ in range(3)]
    print("three calls meet, each in a thread of its own:", await asyncio.gather(*calls))
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as readers:
        thread = await loop.run_in_executor(readers, threading.current_thread)
        print("in a named thread:", thread.name)
    user.set("Ada")
    print("to_thread takes the context along:", await asyncio.to_thread(user.get))
    try:
        await asyncio.to_thread(fail)
    except OSError as error:
        print("an error comes back:", repr(error))


async def call_in_a_process(loop):
    with ProcessPoolExecutor(1) as processes:
        print("from a process:", await loop.run_in_executor(processes, math.factorial, 10))


async def cross_over(loop):
    """A thread puts into a coroutine's queue, takes from one of its own, and runs a coroutine on the loop."""
    numbers, squares = queue.Queue(), asyncio.Queue()

    def square():
        while (number := numbers.get()) is not None:
            loop.call_soon_threadsafe(squares.put_nowait, number**2)

    squaring = asyncio.create_task(asyncio.to_thread(square))
    for number in range(4):
        numbers.put(number)
    print("a thread fed the loop:", [await squares.get() for _ in range(4)])
    numbers.put(None)
    await squaring

    async def answer():
        await asyncio.sleep(0)
        return 42

    def ask():
        return asyncio.run_coroutine_threadsafe(answer(), loop).result()

    print("a thread waited for a coroutine:", await asyncio.to_thread(ask))


async def main():
    loop = asyncio.get_running_loop()
    await call_in_threads(loop)
    await call_in_a_process(loop)
    await cross_over(loop)


if __name__ == "__main__":
    asyncio.run(main())
