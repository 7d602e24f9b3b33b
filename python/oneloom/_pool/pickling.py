"""How calls and results are pickled for another process, and what is told where they can't be.

What goes by its name is pickled plainly, as multiprocessing does it. Functions and classes that nobody could find by name
(lambdas, closures, what an interactive session defines, or the main module under `if __name__ == "__main__":`) go by
value, through cloudpickle, where that is installed.
"""

from __future__ import annotations

import io
import pickle
import sys
from functools import partial
from importlib import import_module
from linecache import getlines
from multiprocessing.reduction import ForkingPickler
from types import BuiltinFunctionType, FunctionType, ModuleType

from oneloom import _remote
from oneloom._pickling import Pickler, reduce_view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PROTOCOL = 5
_MAIN = ("__main__", "__mp_main__")
_INSTALL = (
    "install cloudpickle (pip install 'oneloom[closures]'), which sends lambdas, closures and what an interactive session "
    "defines"
)


def name_of(function: Any) -> str:
    """A function's name for messages."""
    return getattr(function, "__qualname__", None) or repr(function)


def named(function: Any) -> bytes | None:
    """The pickle of a function that goes by its name, and so is the same the next time; None for any other."""
    if isinstance(function, BuiltinFunctionType):
        if not (function.__self__ is None or isinstance(function.__self__, ModuleType)):
            return None  # A method, which takes its object along.
    elif not isinstance(function, (FunctionType, type)):
        return None
    if not _can_be_found(function):
        return None
    try:
        return bytes(ForkingPickler.dumps(function, _PROTOCOL))
    except Exception:
        return None


class Call:
    """A call that goes along with a child's start, whatever it consists of. What can't be read there fails when it is made."""

    def __init__(self, function: Any, args: tuple[Any, ...]) -> None:
        self._function = function
        self._args = args

    def __call__(self) -> None:
        self._function(*self._args)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial, (_call, dumps((self._function, self._args)))


def _call(pickled: bytes) -> None:
    function, args = pickle.loads(pickled)
    function(*args)


def dump(thing: Any, pieces: Any) -> None:
    """Pickle into `pieces`, large buffers beside the pickle."""
    if not _must_go_by_value():
        try:
            return Pickler(pieces).dump(thing)
        except Exception:
            if _cloudpickle() is None:
                raise
        pieces.clear()
    _by_value()(pieces, pieces).dump(thing)


def dumps(thing: Any) -> bytes:
    """The same as bytes, buffers among them."""
    if not _must_go_by_value():
        try:
            return bytes(ForkingPickler.dumps(thing, _PROTOCOL))
        except Exception:
            if _cloudpickle() is None:
                raise
    file = io.BytesIO()
    _by_value()(file, None).dump(thing)
    return file.getvalue()


def unpicklable(thing: Any, name: str, what: str, error: Exception) -> pickle.PicklingError:
    """The error for what can't be pickled: `what` it is, called `name`, with the part to blame."""
    part = _blame(thing, name)
    reason = f"{what} can't be pickled: {part}: {str(error) or type(error).__name__}"
    cure = ""
    if _would_need_cloudpickle(error):
        cure = or_by_value(". Likely fix: define it at the top level of a module")
    told = pickle.PicklingError(reason + cure)
    told.__cause__ = error
    return told


def _blame(thing: Any, name: str) -> str:
    """The part to blame; of a call, or of several in a chunk, by the name that their caller has for it."""
    parts = {name: thing}
    if name == "call":
        parts = dict(zip(("function", "args", "kwargs"), thing))
    elif name == "chunk":
        parts = dict(zip(("function", "star", "items"), thing[1]))
    for known_as, part in parts.items():
        try:
            dumps(part)
        except Exception:
            return _remote.blame(part, known_as, dumps)
    return _remote.blame(thing, name, dumps)


def or_by_value(cure: str) -> str:
    """That, or cloudpickle where it is not installed."""
    return cure if _cloudpickle() is not None else f"{cure}, or {_INSTALL}"


def _would_need_cloudpickle(error: Exception) -> bool:
    words = str(error)
    return "local object" in words or "<lambda>" in words or "it's not found as" in words or "not the same object" in words


def _must_go_by_value() -> bool:
    """Whether `__main__` has functions or classes whose names mean something else in a worker, or nothing."""
    return (_is_interactive() or bool(_guarded())) and _cloudpickle() is not None


def _is_interactive() -> bool:
    """Whether `__main__` is a session, a notebook or came by standard input: no child can import it."""
    main = sys.modules.get("__main__")
    return getattr(main, "__file__", None) in (None, "<stdin>") and getattr(main, "__spec__", None) is None


def _can_be_found(thing: Any) -> bool:
    """Whether a child finds by its name what `__main__` defines; true for all else."""
    if getattr(thing, "__module__", None) not in _MAIN:
        return True
    if _cloudpickle() is None:
        return True  # Nothing is better than its name.
    return not _is_interactive() and thing.__qualname__.partition(".")[0] not in _guarded()


def _guarded() -> frozenset[str]:
    """The functions and classes of `__main__` that a child which imports it anew, by another name, does not have."""
    main = sys.modules.get("__main__")
    if getattr(main, "__name__", None) != "__main__":
        return frozenset()  # This is such a child.
    path = getattr(main, "__file__", None) or ""
    if path not in _names:
        _names[path] = names_under_main_guard("".join(getlines(path)))
    return _names[path]


def names_under_main_guard(source: str) -> frozenset[str]:
    """The functions and classes that a module defines under `if __name__ == "__main__":`."""
    if "__main__" not in source:
        return frozenset()
    import ast  # It takes longer than the rest of this module.

    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError):
        return frozenset()
    names = set()
    ahead: list[ast.AST] = []
    for statement in module.body:
        if isinstance(statement, ast.If) and _is_guard(ast.unparse(statement.test)):
            ahead += statement.body
    while ahead:
        node = ahead.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif not isinstance(node, ast.expr):
            ahead += ast.iter_child_nodes(node)
    return frozenset(names)


def _is_guard(condition: str) -> bool:
    return "__name__" in condition and "'__main__'" in condition


# Filled when first asked for: cloudpickle; the pickler made of it; by the main module's file, what is under its guard.
_found: list[Any] = []
_made: list[Any] = []
_names: dict[str, frozenset[str]] = {}


def _by_value() -> Any:
    if not _made:
        _made.append(_make_by_value(_cloudpickle()))
    return _made[0]


def _make_by_value(cloudpickle: Any) -> Any:
    class _ByValuePickler(cloudpickle.Pickler):  # type: ignore[misc]
        dispatch_table: Any

        def __init__(self, file: Any, buffers: Any, whole: bool = False) -> None:
            reducers = {memoryview: reduce_view, **ForkingPickler._extra_reducers}  # type: ignore[attr-defined]
            # Looked up once, by what follows.
            self.dispatch_table = cloudpickle.Pickler.dispatch_table.new_child(reducers)
            super().__init__(file, _PROTOCOL, buffers)
            # Whether a class of the main module's guard goes by value: it is part of another one, or that itself.
            self._whole = whole

        def reducer_override(self, thing: Any) -> Any:
            if isinstance(thing, (FunctionType, type)) and thing.__module__ in _MAIN and _of_main(thing.__qualname__) is thing:
                if _can_be_found(thing):
                    return NotImplemented  # By its name, as multiprocessing does it.
                if isinstance(thing, type) and not self._whole and not _is_interactive():
                    _ByValuePickler(file := io.BytesIO(), None, whole=True).dump(thing)
                    return _guarded_class, (thing.__qualname__, file.getvalue())
            return super().reducer_override(thing)

    return _ByValuePickler


def _of_main(name: str) -> Any:
    """What the main module has by this name."""
    found: Any = sys.modules.get("__main__")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _guarded_class(name: str, pickled: bytes) -> Any:
    """The class itself in the process that has it, and in one that was forked; elsewhere one that is made of its pickle."""
    return _of_main(name) if name.partition(".")[0] in _guarded() else pickle.loads(pickled)


def _cloudpickle() -> Any:
    """The module, or None where it is not installed."""
    if not _found:
        try:
            _found.append(import_module("cloudpickle"))
        except ImportError:
            _found.append(None)
    return _found[0]
