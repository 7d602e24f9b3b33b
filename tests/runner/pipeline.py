"""Producers and consumers over a bounded queue, an executor that nobody shuts down, a lock, a barrier, a timer."""
import queue
import threading
from concurrent.futures import ThreadPoolExecutor

jobs, results = queue.Queue(3), queue.SimpleQueue()
lock, total = threading.Lock(), 0
barrier = threading.Barrier(4)


def produce(start):
    barrier.wait()
    for number in range(start, start + 100):
        jobs.put(number)


def consume():
    global total
    barrier.wait()
    while (number := jobs.get()) is not None:
        with lock:
            total += number
        jobs.task_done()
    results.put(threading.current_thread().name)


consumers = [threading.Thread(target=consume) for _ in range(2)]
producers = [threading.Thread(target=produce, args=(start,)) for start in (0, 100)]
for thread in consumers + producers:
    thread.start()
for thread in producers:
    thread.join()
jobs.join()
for _ in consumers:
    jobs.put(None)
for thread in consumers:
    thread.join()
print(total, sorted(results.get() for _ in consumers), results.empty(), jobs.qsize())
print(list(ThreadPoolExecutor(3).map(str.upper, "abc")))
finished = threading.Condition()
with finished:
    timer = threading.Timer(0.01, lambda: finished.acquire() and (finished.notify_all(), finished.release()))
    timer.start()
    print(finished.wait(10))
try:
    jobs.get(timeout=0.01)
except queue.Empty as error:
    print(repr(error))
