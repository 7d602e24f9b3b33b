"""Ends in the way that the first argument names."""
import os
import sys


class Status(SystemExit):
    """An exit with a text and a status."""


ways = {
    "nothing": lambda: None,
    "zero": lambda: sys.exit(0),
    "three": lambda: sys.exit(3),
    "too-large": lambda: sys.exit(256 + 7),
    "negative": lambda: sys.exit(-1),
    "text": lambda: sys.exit("it did not work"),
    "list": lambda: sys.exit([1, "two"]),
    "none": lambda: sys.exit(None),
    "true": lambda: sys.exit(True),
    "subclass": lambda: (_ for _ in ()).throw(Status(5)),
    "at-once": lambda: os._exit(9),
}
print("before", flush=True)
ways[sys.argv[1]]()
print("after")
