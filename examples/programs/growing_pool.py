"""A thread pool that grows: workers are made when they are needed, up to a maximum, and tell how a task went.

An idle worker waits at its own letter box; a task goes to an idle worker, else to a new one, else onto the pile. How a
task went comes back through a callback, with a status and a result. `close` lets what was asked for be done first,
`terminate` throws the pile away.

It prints:

    first pool: 3 workers for 9 tasks
    True 0, True 1, True 4, True 9, True 16, True 25, True 128, True 256
    False ZeroDivisionError('division by zero')
    closed: this pool takes no more tasks
    second pool: 1 worker, 2 tasks thrown away, done: ['the one that ran']
"""

import queue
import threading
from collections import deque

STOP = object()


class GrowingPool:
    def __init__(self, most_workers):
        self.most_workers = most_workers
        self.lock = threading.Lock()  # guards all that follows
        self.workers = []
        self.idle = []  # the letter boxes of those who wait
        self.pile = deque()
        self.closed = False

    def run(self, function, *args, callback):
        task = function, args, callback
        with self.lock:
            if self.closed:
                raise RuntimeError("this pool takes no more tasks")
            if self.idle:
                self.idle.pop().put(task)
            elif len(self.workers) < self.most_workers:
                worker = threading.Thread(target=self._work, args=(task,))
                self.workers.append(worker)
                worker.start()
            else:
                self.pile.append(task)

    def _work(self, task):
        letter_box = queue.SimpleQueue()
        while task is not STOP:
            function, args, callback = task
            try:
                status, result = True, function(*args)
            except Exception as error:
                status, result = False, error
            callback(status, result)
            task = self._next_task(letter_box)

    def _next_task(self, letter_box):
        with self.lock:
            if self.pile:
                return self.pile.popleft()
            if self.closed:
                return STOP
            self.idle.append(letter_box)
        return letter_box.get()

    def close(self):
        """Take no more tasks; the workers stop when all is done."""
        with self.lock:
            self.closed = True
            while self.idle:
                self.idle.pop().put(STOP)

    def terminate(self):
        """Close, and throw away what nobody has begun. Returns how many tasks that were."""
        with self.lock:
            thrown_away = len(self.pile)
            self.pile.clear()
        self.close()
        return thrown_away

    def join(self):
        for worker in self.workers:
            worker.join()


def square_together(number, together):
    together.wait()  # nobody ends before three have begun
    return number**2


def close_a_pool():
    outcomes = queue.SimpleQueue()

    def note(status, result):
        outcomes.put((status, result))

    pool = GrowingPool(3)
    together = threading.Barrier(3)
    for number in range(6):
        pool.run(square_together, number, together, callback=note)
    for power in (7, 8):
        pool.run(pow, 2, power, callback=note)
    pool.run(lambda: 1 / 0, callback=note)
    pool.close()
    pool.join()
    print("first pool:", len(pool.workers), "workers for", outcomes.qsize(), "tasks")
    outcomes = [outcomes.get() for _ in range(outcomes.qsize())]
    print(", ".join(f"{status} {result}" for status, result in sorted(pair for pair in outcomes if pair[0])))
    print(", ".join(f"{status} {result!r}" for status, result in outcomes if not status))
    try:
        pool.run(print, callback=note)
    except RuntimeError as error:
        print("closed:", error)


def terminate_a_pool():
    done = []
    running, may_end = threading.Event(), threading.Event()

    def take_long():
        running.set()
        may_end.wait()
        return "the one that ran"

    pool = GrowingPool(1)
    pool.run(take_long, callback=lambda status, result: done.append(result))
    for name in ("one on the pile", "another on the pile"):
        pool.run(str, name, callback=lambda status, result: done.append(result))
    running.wait()
    thrown_away = pool.terminate()
    may_end.set()
    pool.join()
    print(f"second pool: {len(pool.workers)} worker, {thrown_away} tasks thrown away, done: {done}")


if __name__ == "__main__":
    close_a_pool()
    terminate_a_pool()
