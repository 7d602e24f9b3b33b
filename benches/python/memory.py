"""How much memory an unused object takes, from what the process holds with and without a hundred thousand of them.

Prints a line of JSON for each kind. The resident set counts everything: the object, its header for the garbage collector,
what it allocated elsewhere, and what the allocators waste.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import threading
from collections.abc import Callable

import oneloom

COUNT = 100_000
PAGE = resource.getpagesize()


def resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as figures:
        return int(figures.read().split()[1]) * PAGE


def size(make: Callable[[], object]) -> float:
    """Bytes for one object, measured in a child, so that nothing freed before is used again."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        make()
        places: list[object] = [0] * COUNT
        gc.collect()
        before = resident()
        for index in range(COUNT):
            places[index] = make()
        os.write(writing, f"{(resident() - before) / COUNT:.1f}".encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        figure = answer.read()
    os.waitpid(child, 0)
    return float(figure)


KINDS = {"lock-size": oneloom.Lock, "threading-lock-size": threading.Lock}

if __name__ == "__main__":
    for key, make in KINDS.items():
        print(json.dumps({"key": key, "bytes": size(make)}))
