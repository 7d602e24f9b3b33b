"""The simplest thread pool: a queue of tickets. A task gets a thread of its own, if there is a ticket for it.

A thread gives its ticket back when it ends, also when its task fails: `threading.excepthook` shows that on standard
error, and the next task has the ticket.

It prints:

    12 tasks done, at most 4 at once
    after a failure there are 4 tickets
"""

import queue
import threading


class TicketPool:
    def __init__(self, size):
        self.size = size
        self.tickets = queue.Queue(size)
        for number in range(size):
            self.tickets.put(number)

    def start(self, function, *args):
        """Run the function in a new thread, as soon as there is a ticket."""
        ticket = self.tickets.get()
        threading.Thread(target=self._run, args=(ticket, function, args)).start()

    def _run(self, ticket, function, args):
        try:
            function(*args)
        finally:
            self.tickets.put(ticket)

    def join(self):
        """Wait until every ticket is back."""
        back = [self.tickets.get() for _ in range(self.size)]
        for ticket in back:
            self.tickets.put(ticket)


class Kitchen:
    def __init__(self, cooks):
        self.all_cook = threading.Barrier(cooks)
        self.lock = threading.Lock()
        self.cooking = self.most_cooking = 0
        self.done = []

    def cook(self, dish):
        with self.lock:
            self.cooking += 1
            self.most_cooking = max(self.most_cooking, self.cooking)
        self.all_cook.wait()
        with self.lock:
            self.cooking -= 1
            self.done.append(dish)

    def burn(self, dish):
        raise RuntimeError(f"{dish} is burnt")


def main():
    pool, kitchen = TicketPool(4), Kitchen(4)
    for dish in range(12):
        pool.start(kitchen.cook, dish)
    pool.join()
    print(len(kitchen.done), "tasks done, at most", kitchen.most_cooking, "at once")
    pool.start(kitchen.burn, "the toast")
    pool.join()
    print("after a failure there are", pool.tickets.qsize(), "tickets")


if __name__ == "__main__":
    main()
