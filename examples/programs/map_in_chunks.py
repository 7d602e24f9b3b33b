"""`map` over pools: in order, over several iterables, in chunks, with an error or too little time in the middle.

A chunk of arguments travels to a process at once and comes back at once: a chunk with an error in it is lost whole.
Threads need no chunks and take no notice of their size.

It prints:

    in order: [0, 1, 8, 27, 64, 125, 216, 343, 512, 729]
    over two iterables, as long as the shorter one: [1, 4, 27, 256]
    chunks of 4: each in one process: True
    chunks of 1 up to an error: ['0', '1', '2', '3', '4'], then 'five' is no number
    chunks of 3 up to an error: ['0', '1', '2'], then 'five' is no number
    threads, chunks of 3 up to an error: ['0', '1', '2', '3', '4'], then 'five' is no number
    chunks of 0: chunksize must be >= 1.
    within 20 ms: ['quick'], then TimeoutError
    what was submitted before anybody asks: 5 of 5
"""

import os
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

CHUNK = 4


def cube(number):
    return number**3


def process_id(_):
    return os.getpid()


def digit(text):
    if not text.isdigit():
        raise ValueError(f"{text!r} is no number")
    return text


def up_to_an_error(results):
    """What an iterator gives before it raises, and what it raises."""
    seen = []
    try:
        for result in results:
            seen.append(result)
    except ValueError as error:
        return f"{seen}, then {error}"


def map_over_processes():
    texts = ["0", "1", "2", "3", "4", "five", "6", "7"]
    with ProcessPoolExecutor(2) as pool:
        print("in order:", list(pool.map(cube, range(10), chunksize=3)))
        powers = list(pool.map(pow, range(1, 5), range(1, 100), chunksize=2))
        print("over two iterables, as long as the shorter one:", powers)
        workers = list(pool.map(process_id, range(5 * CHUNK), chunksize=CHUNK))
        chunks = [set(workers[start : start + CHUNK]) for start in range(0, len(workers), CHUNK)]
        print(f"chunks of {CHUNK}: each in one process:", all(len(chunk) == 1 for chunk in chunks))
        for size in (1, 3):
            print(f"chunks of {size} up to an error:", up_to_an_error(pool.map(digit, texts, chunksize=size)))
        with ThreadPoolExecutor(2) as threads:
            print("threads, chunks of 3 up to an error:", up_to_an_error(threads.map(digit, texts, chunksize=3)))
        try:
            pool.map(cube, [1], chunksize=0)
        except ValueError as error:
            print("chunks of 0:", error)


def map_in_too_little_time():
    may_end = threading.Event()

    def wait_if_slow(name):
        if name == "slow":
            may_end.wait()
        return name

    with ThreadPoolExecutor(2) as pool:
        seen = []
        try:
            for name in pool.map(wait_if_slow, ["quick", "slow"], timeout=0.02):
                seen.append(name)
        except TimeoutError as error:
            print(f"within 20 ms: {seen}, then {type(error).__name__}")
        may_end.set()


def map_before_anybody_asks():
    begun = threading.Semaphore(0)
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda _: begun.release(), range(5))
        for _ in range(5):
            begun.acquire()
        print("what was submitted before anybody asks:", len(list(results)), "of 5")


if __name__ == "__main__":
    map_over_processes()
    map_in_too_little_time()
    map_before_anybody_asks()
