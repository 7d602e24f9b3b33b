"""Putting oneloom's modules in the place of the standard library's, in this process and in those it starts.

Only `python -m oneloom` does this; importing oneloom changes nothing.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

from oneloom._compat.mirror import is_complete

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

# asyncio.locks and asyncio.queues come with asyncio: the same class by either name.
REPLACED = (
    "threading", "queue", "asyncio", "concurrent.futures", "concurrent.futures.thread", "concurrent.futures.process",
)  # fmt: skip
SUBMODULES = {"asyncio": ("locks", "queues"), "concurrent.futures": ("_base",)}

# Modules that go on importing the originals: multiprocessing's Barrier is threading's with other insides, and trio
# takes an RLock for safe to use in signal handlers (as oneloom's is) only if its class comes from `_thread`.
ON_ORIGINALS = ("multiprocessing.synchronize", "trio._core._entry_queue")

_CHILDREN = ("from multiprocessing.spawn import ", "from multiprocessing.forkserver import ")
_originals: dict[str, ModuleType] = {}


def install() -> None:
    """Let `import threading` and its like give oneloom's modules, from now on and in multiprocessing's children."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())
    # These are in use by oneloom itself already; the rest takes effect when somebody imports it.
    for name in ("threading", "queue"):
        importlib.import_module(name)
    for name, act in _AFTER_IMPORT.items():
        if name in sys.modules:
            act(name)
    _adopt_main_thread()


def _adopt_main_thread() -> None:
    # It was there before: `isinstance(threading.main_thread(), threading.Thread)` has to hold all the same.
    import oneloom.threading as threading

    main = threading.main_thread()
    if not isinstance(main, threading.Thread):
        kind = type(main)
        main.__class__ = type(kind.__name__, (kind, threading.Thread), {"__module__": kind.__module__})


def _replace(imported: str) -> None:
    """Put a drop-in into its namesake's place; called after the import of either."""
    name = imported.removeprefix("oneloom.")
    replacement = importlib.import_module(f"oneloom.{name}")
    if not is_complete(f"oneloom.{name}") or sys.modules[name] is replacement:
        return  # It imports its namesake right now and comes here itself; or it has been here.
    original = _originals[name] = sys.modules[name]
    if hasattr(original, "__path__"):
        # For submodules that nobody has imported yet, `asyncio.__main__` among them.
        replacement.__path__ = [*replacement.__path__, *original.__path__]
    sys.modules[name] = replacement
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, replacement)
    for submodule in SUBMODULES.get(name, ()):
        sys.modules[f"{name}.{submodule}"] = importlib.import_module(f"oneloom.{name}.{submodule}")


def _reach_children(name: str) -> None:
    """Have the processes that multiprocessing starts afresh (spawn, forkserver) install this as well."""
    util: Any = sys.modules[name]
    start = util.spawnv_passfds

    def spawnv_passfds(path: Any, args: Sequence[Any], passfds: Any) -> Any:
        return start(path, [_installing_first(argument) for argument in args], passfds)

    util.spawnv_passfds = spawnv_passfds


def _installing_first(argument: Any) -> Any:
    if isinstance(argument, str) and argument.startswith(_CHILDREN):
        return f"from oneloom._compat.install import install; install(); {argument}"
    return argument


def _import_original(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    """`__import__` for a module that is to see the standard modules themselves."""
    if level == 0 and name in _originals:
        return _originals[name]
    return builtins.__import__(name, globals, locals, fromlist or (), level)


_AFTER_IMPORT: dict[str, Callable[[str], None]] = {
    **dict.fromkeys(REPLACED, _replace),
    **dict.fromkeys((f"oneloom.{name}" for name in REPLACED), _replace),
    "multiprocessing.util": _reach_children,
}


class _Finder:
    """Lets the import of a module go its usual way, and acts once the module is complete."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _AFTER_IMPORT and name not in ON_ORIGINALS:
            return None
        package = _originals.get(name.rpartition(".")[0])
        if package is not None:
            path = package.__path__  # Not the drop-in's, where another module has this name.
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(name, path, target)) is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """The module's own loader, with what is to be done before and after it."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        assert spec is not None
        spec.loader = module.__loader__ = self._loader
        if spec.name in ON_ORIGINALS:
            vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import_original}
        self._loader.exec_module(module)
        if act := _AFTER_IMPORT.get(spec.name):
            act(spec.name)
