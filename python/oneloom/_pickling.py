"""How an object is pickled for a shared queue: as multiprocessing does it, but with large buffers beside the pickle.

A pickler hands them to `pieces`, which the native module writes into shared memory, and a memoryview pickles as well.
"""

from __future__ import annotations

from multiprocessing.reduction import ForkingPickler
from pickle import PickleBuffer, PicklingError
from struct import calcsize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Pickler(ForkingPickler):
    """Writes to `pieces`, and calls it with each buffer that stays outside."""

    def __init__(self, pieces: Any) -> None:
        super().__init__(pieces, 5, True, pieces)
        self.dispatch_table.setdefault(memoryview, reduce_view)


def reduce_view(view: memoryview) -> tuple[Callable[..., memoryview], tuple[Any, ...]]:
    """How a memoryview pickles, with what it views beside the pickle."""
    code = view.format.removeprefix("@")
    if code not in tuple("cbB?hHiIlLqQnNfdP") or calcsize(code) != view.itemsize:
        raise PicklingError(f"a memoryview of format {view.format!r} can't be sent, only one of a native type's: send what it views")
    buffer = PickleBuffer(view if view.c_contiguous else view.tobytes())
    return _view, (buffer, view.format, view.shape)


def _view(buffer: Any, format: str, shape: tuple[int, ...]) -> memoryview:
    flat = memoryview(buffer).cast("B")
    # What is empty has no other form.
    return flat.cast(format, shape) if flat.nbytes else flat  # type: ignore[call-overload]
