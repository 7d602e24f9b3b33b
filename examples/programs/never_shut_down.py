"""Executors that nobody shuts down: what was submitted is done all the same, and then the program ends.

One executor of each kind lives as long as the program. The main thread ends while their tasks wait for it; the last
words are those of `atexit`, which comes after all of them.

It prints:

    forgotten at once: 1024 from a thread, 2048 from a process
    the main thread ends with 8 tasks undone
    at exit: threads made [0, 1, 4, 9], processes made [0, 1, 8, 27]
"""

import atexit
import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

gate = None  # in a process of the pool: what its tasks wait for


def know_gate(event):
    global gate
    gate = event


def power(number, exponent):
    gate.wait()
    return number**exponent


def say_last_words(squares, cubes):
    assert all(future.done() for future in (*squares, *cubes))
    made = [[future.result() for future in futures] for futures in (squares, cubes)]
    print(f"at exit: threads made {made[0]}, processes made {made[1]}")


def main():
    by_thread = ThreadPoolExecutor(1).submit(pow, 2, 10)
    by_process = ProcessPoolExecutor(1).submit(pow, 2, 11)
    print(f"forgotten at once: {by_thread.result()} from a thread, {by_process.result()} from a process")

    thread_gate, process_gate = threading.Event(), multiprocessing.Event()
    know_gate(thread_gate)
    threads = ThreadPoolExecutor(2)
    processes = ProcessPoolExecutor(2, initializer=know_gate, initargs=(process_gate,))
    cubes = [processes.submit(power, number, 3) for number in range(4)]
    squares = [threads.submit(power, number, 2) for number in range(4)]
    atexit.register(say_last_words, squares, cubes)
    undone = sum(not future.done() for future in (*squares, *cubes))
    print(f"the main thread ends with {undone} tasks undone", flush=True)
    thread_gate.set()
    process_gate.set()


if __name__ == "__main__":
    main()
