"""Queues that a program reaches into or overrides, and those inside of the standard library's thread pools."""

import collections
import concurrent.futures
import multiprocessing.dummy
import multiprocessing.pool
import queue
import threading


class Unique(queue.Queue):
    def _init(self, maxsize):
        print("_init", maxsize)
        self.queue = collections.OrderedDict()

    def _put(self, item):
        self.queue[item] = None

    def _get(self):
        return self.queue.popitem(last=False)[0]


def work(items, got):
    while True:
        item = items.get()
        if item is None:
            break
        got.append(item * item)
        items.task_done()


def throttled(number):
    with slots.not_full:
        pass
    return -number


items = Unique(100)
for number in [3, 1, 3, 2, 1]:
    items.put(number)
print(items.qsize(), list(items.queue), items.unfinished_tasks)

got = []
threads = [threading.Thread(target=work, args=(items, got)) for _ in range(3)]
for thread in threads:
    thread.start()
with items.all_tasks_done:
    items.all_tasks_done.wait_for(lambda: len(got) == 3)
    items.unfinished_tasks = 0
items.join()
# Three that the set can tell apart.
for end in threads:
    with items.not_empty:
        items.queue[None] = None
        items.not_empty.notify()
    while items.qsize():
        pass
for thread in threads:
    thread.join()
print(sorted(got))

plain = queue.PriorityQueue()
for number in [5, 2, 4]:
    plain.put(number)
with plain.mutex:
    print(plain.queue, len(plain.queue))
    plain.queue.clear()
print(plain.empty(), isinstance(plain.mutex, type(threading.Lock())), isinstance(plain.not_empty, threading.Condition))

slots = multiprocessing.dummy.JoinableQueue(4)
with multiprocessing.dummy.Pool(4) as pool:
    print(pool.map(throttled, range(20)), sum(pool.imap_unordered(throttled, range(100), chunksize=7)))
with multiprocessing.pool.ThreadPool(2) as pool:
    print(pool.apply_async(throttled, (3,)).get(10), list(pool.imap(throttled, [1, 2])))
with concurrent.futures.ThreadPoolExecutor(3) as executor:
    print(list(executor.map(throttled, range(10))))
process = multiprocessing.dummy.Process(target=slots.put, args=("from a thread",))
process.start()
print(slots.get(timeout=10), process.join(), process.exitcode)
