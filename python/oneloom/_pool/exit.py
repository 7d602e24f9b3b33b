"""What becomes of pools when the interpreter ends: they finish what they were given, unless the program ends by Ctrl-C."""

from __future__ import annotations

import os
import sys
import threading
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class _Ending(Protocol):
        """A pool, or what there is of one also when nobody has it any more."""

        def shutdown(self, wait: bool) -> None: ...

        def terminate(self) -> None: ...


_living: weakref.WeakKeyDictionary[_Ending, None] = weakref.WeakKeyDictionary()


def end_at_exit(ending: _Ending) -> None:
    """Have it ended when the interpreter ends, if it is still there."""
    _living[ending] = None


def living() -> list[_Ending]:
    """All of them that are still there."""
    # The list of references is made at once, whatever other threads do meanwhile.
    return [ending for reference in _living.keyrefs() if (ending := reference()) is not None]


def end_all() -> None:
    """Let all finish; but not after Ctrl-C, nor when it comes meanwhile. One that comes after that ends the waiting."""
    endings = living()
    if not issubclass(getattr(sys, "last_type", None) or Exception, KeyboardInterrupt):
        try:
            # First of all: tasks of one may wait for those of another.
            for ending in endings:
                ending.shutdown(wait=False)
            for ending in endings:
                ending.shutdown(wait=True)
            return
        except KeyboardInterrupt:
            pass
    for ending in endings:
        ending.terminate()
    for ending in endings:
        ending.shutdown(wait=True)


# Before the interpreter waits for threads and children.
threading._register_atexit(end_all)  # type: ignore[attr-defined]
os.register_at_fork(after_in_child=_living.clear)
