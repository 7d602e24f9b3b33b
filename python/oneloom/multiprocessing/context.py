"""Drop-in for `multiprocessing.context`: contexts that make oneloom's locks and start processes as the standard library's do.

Which start method the program has chosen is kept in the standard module alone, as is everything else but the contexts.
"""

from __future__ import annotations

import multiprocessing.context as _original

from oneloom._compat.mirror import mirror as _mirror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from oneloom.multiprocessing import queues, synchronize

__all__: tuple[str, ...] = ()


class BaseContext(_original.BaseContext):
    """What the contexts of all start methods can do."""

    def get_context(self, method: str | None = None) -> Any:
        """The context of that start method; without one, this. ValueError if there is no such method."""
        return self if method is None else _concrete_contexts[super().get_context(method).get_start_method()]

    def Lock(self) -> synchronize.Lock:
        """A lock that anybody may release."""
        from oneloom.multiprocessing.synchronize import Lock

        return Lock(ctx=self.get_context())

    def RLock(self) -> synchronize.RLock:
        """A lock that its holder may take again."""
        from oneloom.multiprocessing.synchronize import RLock

        return RLock(ctx=self.get_context())

    def Condition(self, lock: Any = None) -> Any:
        """Where processes wait to be notified."""
        from oneloom.multiprocessing import synchronize

        if lock is None or isinstance(lock, (synchronize.Lock, synchronize.RLock)):
            return synchronize.Condition(lock, ctx=self.get_context())
        return super().Condition(lock)  # A lock of the standard library's own.

    def Semaphore(self, value: int = 1) -> synchronize.Semaphore:
        """A number of permits."""
        from oneloom.multiprocessing.synchronize import Semaphore

        return Semaphore(value, ctx=self.get_context())

    def BoundedSemaphore(self, value: int = 1) -> synchronize.BoundedSemaphore:
        """A number of permits that never grows."""
        from oneloom.multiprocessing.synchronize import BoundedSemaphore

        return BoundedSemaphore(value, ctx=self.get_context())

    def Event(self) -> synchronize.Event:
        """A flag that processes wait for."""
        from oneloom.multiprocessing.synchronize import Event

        return Event(ctx=self.get_context())

    def Barrier(
        self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None
    ) -> synchronize.Barrier:
        """Where processes wait for each other."""
        from oneloom.multiprocessing.synchronize import Barrier

        return Barrier(parties, action, timeout, ctx=self.get_context())

    def Queue(self, maxsize: int = 0) -> queues.Queue[Any]:
        """A queue for processes, of at most `maxsize` items."""
        from oneloom.multiprocessing.queues import Queue

        return Queue(maxsize, ctx=self.get_context())

    def JoinableQueue(self, maxsize: int = 0) -> queues.JoinableQueue[Any]:
        """A queue for processes that can be waited for until all is done."""
        from oneloom.multiprocessing.queues import JoinableQueue

        return JoinableQueue(maxsize, ctx=self.get_context())


class ForkContext(BaseContext, _original.ForkContext):
    """Children are forks."""


class SpawnContext(BaseContext, _original.SpawnContext):
    """Children are interpreters of their own."""


class ForkServerContext(BaseContext, _original.ForkServerContext):
    """Children are forks of a server that has nothing but what it was told to import."""


class DefaultContext(BaseContext, _original.DefaultContext):
    """The context of the start method that the program has chosen."""

    def get_context(self, method: str | None = None) -> Any:
        """The context of that start method, of the chosen one without any. ValueError if there is no such method."""
        return _concrete_contexts[_original._default_context.get_context(method).get_start_method()]

    def set_start_method(self, method: str | None, force: bool = False) -> None:
        """Choose how processes are started. RuntimeError if that was chosen before, unless by `force`."""
        _original._default_context.set_start_method(method, force)

    def get_start_method(self, allow_none: bool = False) -> Any:
        """How processes are started. None if nothing was chosen yet, where that is allowed; else the default is chosen by this."""
        return _original._default_context.get_start_method(allow_none)


_concrete_contexts = {context._name: context for context in (ForkContext(), SpawnContext(), ForkServerContext())}
_default_context = DefaultContext(_concrete_contexts["fork"])

_mirror(__name__, _original)
