"""What tests see of the memory itself: whether an array stands there, and how large it is."""

import os
from pathlib import Path


def is_shared(array):
    """Whether an array's first byte stands in the memory of a family."""
    start = array.__array_interface__["data"][0]
    lines = (line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines() if "/memfd:oneloom" in line)
    return any(int(begin, 16) <= start < int(end, 16) for begin, end in (line[0].split("-") for line in lines))


def segment_size():
    """How many bytes the families of this process have; they never get fewer."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            # What processes leave their results in is called after it.
            if os.readlink(f"/proc/self/fd/{name}") == "/memfd:oneloom (deleted)":
                status = os.stat(f"/proc/self/fd/{name}")
                found[status.st_ino] = status.st_size
        except OSError:
            continue  # The one that lists them.
    return sum(found.values())
