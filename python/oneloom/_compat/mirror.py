"""Modules that stand in for a standard one: what they do not define themselves, they read and write there."""

from __future__ import annotations

import sys
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MISSING = object()


class _Mirror(ModuleType):
    """A module in front of another, whose state stays in one place: `threading.excepthook = hook` on either counts."""

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(_originals[self.__name__], name)
        except AttributeError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self) or name in _OF_THE_IMPORT_SYSTEM or f"{self.__name__}.{name}" in sys.modules:
            super().__setattr__(name, value)
        else:
            original = _originals[self.__name__]
            _overwritten.setdefault((original, name), []).append(getattr(original, name, _MISSING))
            setattr(original, name, value)

    def __delattr__(self, name: str) -> None:
        if name in vars(self):
            super().__delattr__(name)
            return
        # Tools that patch an attribute undo it by deletion where the object's `__dict__` did not have it before.
        original = _originals[self.__name__]
        values = _overwritten.get((original, name))
        value = values.pop() if values else _MISSING
        if value is _MISSING:
            delattr(original, name)
        else:
            setattr(original, name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(_originals[self.__name__])})


_OF_THE_IMPORT_SYSTEM = {"__class__", "__file__", "__loader__", "__package__", "__path__", "__spec__"}

_originals: dict[str, ModuleType] = {}
_overwritten: dict[tuple[ModuleType, str], list[Any]] = {}


def is_complete(name: str) -> bool:
    """Whether the module of this name has come as far as `mirror`."""
    return name in _originals


def original(name: str) -> Any:
    """The standard module of this name, for the drop-in of the same name.

    `from concurrent.futures import thread` asks the package, which may be the drop-in already and know the drop-in by it.
    """
    __import__(name)
    return sys.modules[name]


def mirror(name: str, standard: ModuleType) -> None:
    """Let the module of this name, which is complete by now, pass everything else on to `standard`."""
    _originals[name] = standard
    sys.modules[name].__class__ = _Mirror
