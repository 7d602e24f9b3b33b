"""Ten guests share one fork and one knife: taken in either order they wait for each other for ever, one RLock cures it.

Half of the guests take the fork first, half the knife. As soon as one holds the fork and another one the knife, nobody
goes on. The main thread notices because it joins with a timeout, and it can end all the same because the guests are
daemon threads. The cure is to have one lock for both things, and one that its owner may take twice.

    python ten_in_a_deadlock.py [SECONDS]     how long to wait for the guests

It prints:

    one RLock: 10 of 10 have eaten
    two locks: 0 of 10 have eaten, 10 still wait
"""

import sys
import threading
import time

GUESTS = 10


def lay_table(fork, knife, holders):
    """Start the guests. `holders` of them hold something at the same time before anybody takes a second thing."""
    met = threading.Barrier(holders)
    eaten = []

    def eat(first, second):
        with first:
            met.wait()
            with second:
                eaten.append(threading.current_thread().name)

    guests = [
        threading.Thread(target=eat, args=(knife, fork) if number % 2 else (fork, knife), daemon=True)
        for number in range(GUESTS)
    ]
    for guest in guests:
        guest.start()
    return guests, eaten


def main(patience=0.1):
    cutlery = threading.RLock()
    guests, eaten = lay_table(cutlery, cutlery, holders=1)
    for guest in guests:
        guest.join()
    print("one RLock:", len(eaten), "of", GUESTS, "have eaten")

    guests, eaten = lay_table(threading.Lock(), threading.Lock(), holders=2)
    deadline = time.monotonic() + patience
    for guest in guests:
        guest.join(max(0, deadline - time.monotonic()))
    waiting = sum(guest.is_alive() for guest in guests)
    print("two locks:", len(eaten), "of", GUESTS, "have eaten,", waiting, "still wait")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
