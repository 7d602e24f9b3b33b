"""Memory without a name that a child is given at its start, by whatever method, and that is read when the child is gone."""

from __future__ import annotations

import os
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Memory:
    """A descriptor of such memory; its maker gives the memory back when this object goes."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = os.memfd_create("oneloom.Process") if descriptor is None else descriptor
        if descriptor is None:
            weakref.finalize(self, _discard, self._descriptor, os.getpid()).atexit = False

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        from multiprocessing.reduction import DupFd

        return _in_child, (type(self), DupFd(self._descriptor))


def _discard(descriptor: int, parent: int) -> None:
    """Give the memory back, also where other children have inherited it."""
    if os.getpid() == parent:
        os.ftruncate(descriptor, 0)
        os.close(descriptor)


def _in_child(kind: type[Memory], descriptor: Any) -> Memory:
    number = descriptor.detach()
    os.set_inheritable(number, False)
    return kind(number)
