"""A hundred threads each take one away from a shared number: unguarded some of it gets lost, with a lock nothing does.

Taking one away is three steps: read, subtract, write. Who reads before another has written, writes what that one
wrote, and one of the two was for nothing. How often that happens is luck; `take_at_worst` makes sure that it always
does, with a barrier that holds every thread between its reading and its writing.

It prints:

    unguarded, as luck has it: something between 0 and 99
    unguarded, at worst: 99
    with a lock: 0
"""

import threading
import time

THREADS = 100


class Stock:
    def __init__(self):
        self.number = THREADS
        self.lock = threading.Lock()
        self.all_have_read = threading.Barrier(THREADS)

    def take(self):
        number = self.number
        time.sleep(0)  # here another thread may run, as it may anywhere
        self.number = number - 1

    def take_at_worst(self):
        number = self.number
        self.all_have_read.wait()
        self.number = number - 1

    def take_with_lock(self):
        with self.lock:
            self.take()


def left_after(take):
    """What is left of a stock when a hundred threads have taken one each."""
    stock = Stock()
    threads = [threading.Thread(target=take, args=(stock,)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return stock.number


def main():
    by_luck = left_after(Stock.take)
    print("unguarded, as luck has it:", "something between 0 and 99" if 0 <= by_luck <= 99 else by_luck)
    print("unguarded, at worst:", left_after(Stock.take_at_worst))
    print("with a lock:", left_after(Stock.take_with_lock))


if __name__ == "__main__":
    main()
