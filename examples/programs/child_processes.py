"""Child processes: how each ended, whichever ends first, an answer by each start method, and a daemon that the end cuts off.

It prints:

    returning ended with 0, exiting with 7, raising with 1, terminated with -15
    quick ended before slow did
    fork, spawn and forkserver: [49, 64, 81]
    a second start: cannot start a process twice
    still there: background (a daemon)
"""

import multiprocessing
import multiprocessing.connection
import sys
import time


def raising():
    raise ValueError("broken")


def wait_for(event):
    event.wait()


def forever():
    while True:
        time.sleep(60)


def square(number, answers):
    answers.send(number**2)
    answers.close()


def ends():
    """Return, sys.exit, an exception and terminate(), by their exit codes."""
    children = [
        multiprocessing.Process(target=int, name="returning"),
        multiprocessing.Process(target=sys.exit, args=(7,), name="exiting"),
        multiprocessing.Process(target=raising, name="raising"),
        multiprocessing.Process(target=forever, name="terminated"),
    ]
    for child in children:
        child.start()
    children[-1].terminate()
    told = []
    for child in children:
        child.join()
        told.append(f"{child.name} with {child.exitcode}")
    print(", ".join(told).replace("with", "ended with", 1))
    return children[0]


def whichever_is_first():
    gate = multiprocessing.Event()
    slow = multiprocessing.Process(target=wait_for, args=(gate,), name="slow")
    quick = multiprocessing.Process(target=int, name="quick")
    slow.start()
    quick.start()
    by_sentinel = {child.sentinel: child for child in (slow, quick)}
    ended = [by_sentinel[sentinel].name for sentinel in multiprocessing.connection.wait(by_sentinel)]
    print(*ended, "ended before slow did" if slow.is_alive() else "?")
    gate.set()
    slow.join()


def answers_by_each_start_method():
    squares = []
    for number, method in enumerate(["fork", "spawn", "forkserver"], start=7):
        context = multiprocessing.get_context(method)
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=square, args=(number, there))
        child.start()
        there.close()
        squares.append(here.recv())
        child.join()
    print("fork, spawn and forkserver:", squares)


def main():
    ended = ends()
    whichever_is_first()
    answers_by_each_start_method()
    try:
        ended.start()
    except AssertionError as error:
        print("a second start:", error)
    multiprocessing.Process(target=forever, name="background", daemon=True).start()
    for child in multiprocessing.active_children():
        print(f"still there: {child.name} ({'a daemon' if child.daemon else 'no daemon'})")


if __name__ == "__main__":
    main()
