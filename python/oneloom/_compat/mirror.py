"""Modules that stand in for a standard one: what they do not define themselves, they read and write there."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Mirror(ModuleType):
    """A module in front of another, whose state stays in one place: `threading.excepthook = hook` on either counts."""

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(_originals[self.__name__], name)
        except AttributeError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self) or _is_special(name) or _is_submodule(self, name):
            super().__setattr__(name, value)
        else:
            setattr(_originals[self.__name__], name, value)

    def __delattr__(self, name: str) -> None:
        if name in vars(self):
            super().__delattr__(name)
        else:
            delattr(_originals[self.__name__], name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(_originals[self.__name__])})


_originals: dict[str, ModuleType] = {}


def _is_special(name: str) -> bool:
    # What the import system keeps about this module itself; `__excepthook__` and its like are state.
    return name in {"__class__", "__file__", "__loader__", "__package__", "__path__", "__spec__", "__warningregistry__"}


def _is_submodule(module: ModuleType, name: str) -> bool:
    return f"{module.__name__}.{name}" in sys.modules


def mirror(name: str, original: ModuleType) -> None:
    """Let the module of this name, which is complete by now, pass everything else on to `original`."""
    _originals[name] = original
    sys.modules[name].__class__ = _Mirror
