"""Queues that choose what comes next: the last one in with LifoQueue, the smallest one with PriorityQueue.

A stack holds anything. What a priority queue holds is compared: tuples by their first element and, where that is equal,
by the next; so payloads that can't be compared want a serial number before them, or a class that compares by priority.

It prints:

    the stack from its top: <built-in function len>, None, {'a': 1}, (1, 2), 3.5, 'text'
    by priority and age: fix the roof, {'feed': 'cat'}, read, None
    by a class: urgent ['bell'], usual {'post'}, some day None
    equal priorities: '<' not supported between instances of 'str' and 'dict'
    full, and empty: Full(), Empty()
"""

import itertools
import queue
from dataclasses import dataclass, field


@dataclass(order=True)
class Errand:
    priority: int
    name: str = field(compare=False)
    payload: object = field(compare=False, default=None)


def all_of(items):
    """Take out what is there."""
    while not items.empty():
        yield items.get()


def stack():
    items = queue.LifoQueue()
    for item in ["text", 3.5, (1, 2), {"a": 1}, None, len]:
        items.put(item)
    print("the stack from its top:", ", ".join(map(repr, all_of(items))))


def with_serial_numbers():
    serial = itertools.count()
    items = queue.PriorityQueue()
    for priority, payload in [(2, {"feed": "cat"}), (2, "read"), (1, "fix the roof"), (9, None)]:
        items.put((priority, next(serial), payload))
    print("by priority and age:", ", ".join(str(payload) for _, _, payload in all_of(items)))


def with_a_class():
    items = queue.PriorityQueue()
    for errand in [Errand(5, "some day"), Errand(1, "urgent", ["bell"]), Errand(3, "usual", {"post"})]:
        items.put(errand)
    print("by a class:", ", ".join(f"{errand.name} {errand.payload}" for errand in all_of(items)))


def with_equal_priorities():
    items = queue.PriorityQueue()
    items.put((1, {"feed": "cat"}))
    try:
        items.put((1, "read"))
    except TypeError as error:
        print("equal priorities:", error)


def full_and_empty():
    one = queue.PriorityQueue(maxsize=1)
    one.put(1)
    problems = []
    for attempt in [lambda: one.put(2, block=False), one.get_nowait, lambda: one.get(timeout=0.01)]:
        try:
            attempt()
        except (queue.Full, queue.Empty) as problem:
            problems.append(problem)
    print("full, and empty:", ", ".join(map(repr, problems)))


if __name__ == "__main__":
    stack()
    with_serial_numbers()
    with_a_class()
    with_equal_priorities()
    full_and_empty()
