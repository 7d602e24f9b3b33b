"""A program that starts before its database: it tries three times, waiting longer each time, and then gives up.

An event says that the database is up. One database comes up after the first try, the other one never does; giving up
is an exception in the thread that tried, which `threading.excepthook` shows on standard error.

It prints:

    orders: try 1, nobody answers
    orders: connected at try 2
    archive: try 1, nobody answers
    archive: try 2, nobody answers
    archive: try 3, nobody answers
"""

import threading


class Database:
    def __init__(self, name):
        self.name = name
        self.is_up = threading.Event()
        self.was_called = threading.Event()

    def come_up_when_called(self):
        self.was_called.wait()
        self.is_up.set()


def connect(database, patience):
    for number, seconds in enumerate(patience, 1):
        if database.is_up.wait(timeout=seconds):
            print(f"{database.name}: connected at try {number}")
            return
        print(f"{database.name}: try {number}, nobody answers")
        database.was_called.set()
    raise ConnectionError(f"{database.name} did not come up, tried {number} times")


def main():
    orders, archive = Database("orders"), Database("archive")
    threading.Thread(target=orders.come_up_when_called).start()
    for database, patience in [(orders, (0.01, 10, 10)), (archive, (0.01, 0.02, 0.04))]:
        client = threading.Thread(target=connect, args=(database, patience), name=f"client of {database.name}")
        client.start()
        client.join()


if __name__ == "__main__":
    main()
