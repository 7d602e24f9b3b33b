"""Threads around a queue and a lock, and a pool: what a profiler, a tracer or a debugger is run on."""
import queue
import threading
from concurrent.futures import ThreadPoolExecutor

jobs = queue.Queue()
lock = threading.Lock()
total = 0


def work():
    global total
    while (item := jobs.get()) is not None:
        with lock:
            total += item


def main():
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(10):
        jobs.put(number)
    for _ in threads:
        jobs.put(None)
    for thread in threads:
        thread.join()
    with ThreadPoolExecutor(2) as pool:
        print(total, list(pool.map(abs, [-1, -2])))


main()
