"""What the workers of the measured pools run: a module of its own, so that a worker that begins imports nothing else.

Each task gives back something by which the bench sees that it ran.
"""

from __future__ import annotations

import os
from typing import Any

ARRAY = 8 << 20  # Bytes.

array: Any = None  # A worker's own, made by its first task.


def same(number: int) -> int:
    """Does nothing."""
    return number


def large() -> Any:
    """An array, which the caller gets through whatever its pool has for that."""
    global array
    if array is None:
        import numpy

        array = numpy.ones(ARRAY // 8)
    return array


def meet(path: str, way: int) -> int:
    """Two tasks that end only together, so that they need two workers: each opens its end of a named pipe."""
    os.close(os.open(path, way))
    return os.getpid()
