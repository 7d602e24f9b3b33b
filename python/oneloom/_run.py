"""The runner behind `python -m oneloom`: an unedited program, on oneloom's modules, behaving as under plain `python`.

What the program can see of the runner: two or three frames below its own in a walk of the whole stack
(`traceback.print_stack`, `warnings` with a high `stacklevel`), and a recursion limit raised by as many.
"""

from __future__ import annotations

import builtins
import os
import runpy
import sys
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from importlib.util import decode_source
from types import ModuleType

from oneloom import _native
from oneloom._compat.install import install

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, TracebackType
    from typing import Any

USAGE = """\
usage: python -m oneloom PROGRAM [ARGUMENT ...]
       python -m oneloom -m MODULE [ARGUMENT ...]
       python -m oneloom -c COMMAND [ARGUMENT ...]
       python -m oneloom --help | --version

Runs a Python program as `python` does, with oneloom's modules in the place of threading, queue, concurrent.futures
and asyncio's locks and queues. PROGRAM is a file, a directory or zip file with a __main__.py, or - for standard input.
Processes that the program starts by multiprocessing run on them too; those it starts by other means, as by
subprocess, are plain Python's. Options of Python's own go before -m oneloom: python -X dev -m oneloom PROGRAM.

ONELOOM_DEADLOCK=raise|warn|off says what a deadlock does (raise, unless it says otherwise).
"""


def main() -> None:
    """Run what the command line asks for. SystemExit(2) with the usage if it can't be understood."""
    how, arguments = _understand(sys.argv[1:])
    install()
    try:
        how(arguments)
    except BaseException as error:
        # Under -i, `sys.exit` is shown like any error.
        if sys.flags.inspect or not isinstance(error, SystemExit):
            _show_without_runner(error)
        raise


def _understand(arguments: list[str]) -> tuple[Any, list[str]]:
    match arguments:
        case ["-h" | "--help", *_]:
            print(USAGE, end="")
            sys.exit()
        case ["-V" | "--version", *_]:
            print(f"oneloom {_native.__version__} on Python {sys.version.partition(' ')[0]}")
            sys.exit()
        case ["-m", _, *_]:
            return _run_module, arguments
        case ["-c", _, *_]:
            return _run_command, arguments
        case ["-", *_]:
            return _run_standard_input, arguments
        case [option, *rest] if option.startswith(("-m", "-c")) and len(option) > 2:
            return _understand([option[:2], option[2:], *rest])
        case [option, *_] if option.startswith("-"):
            print(f"python -m oneloom: unknown or incomplete option {option}\n\n{USAGE}", end="", file=sys.stderr)
            sys.exit(2)
        case []:
            print(USAGE, end="", file=sys.stderr)
            sys.exit(2)
    return _run_program, arguments


def _run_module(arguments: list[str]) -> None:
    _new_main(BuiltinImporter)
    sys.argv[:] = ["-m", *arguments[2:]]
    _give_recursion_back()
    runpy._run_module_as_main(arguments[1])  # type: ignore[attr-defined]


def _run_command(arguments: list[str]) -> None:
    _, command, *rest = arguments
    sys.argv[:] = ["-c", *rest]
    _set_path("")
    module = _new_main(BuiltinImporter)
    try:
        code = compile(command, "<string>", "exec", dont_inherit=True)
    except UnicodeEncodeError:
        print("Unable to decode the command from the command line:", file=sys.stderr)
        raise
    if sys.version_info >= (3, 13):
        # Since then, tracebacks quote the command.
        import linecache

        linecache.cache["<string>"] = (len(command), None, command.splitlines(keepends=True), "<string>")
    _give_recursion_back(calls_from_c=1)
    exec(code, vars(module))


def _run_standard_input(arguments: list[str]) -> None:
    sys.argv[:] = arguments
    _set_path("")
    source = sys.stdin.buffer.read()
    _run_code(_new_main(BuiltinImporter), "<stdin>", _compile(source, "<stdin>"))


def _run_program(arguments: list[str]) -> None:
    program = arguments[0]
    sys.argv[:] = arguments
    path = os.path.join(os.getcwd(), program) if program not in ("", ".") else os.getcwd()
    if os.path.isdir(path) or _is_archive(path):
        _new_main(BuiltinImporter)
        _set_path(path, always=True)
        _give_recursion_back()
        runpy._run_module_as_main("__main__", False)  # type: ignore[attr-defined]
        return
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        reason = f"[Errno {error.errno}] {os.strerror(error.errno or 0)}"
        print(f"{sys.orig_argv[0]}: can't open file {path!r}: {reason}", file=sys.stderr)
        sys.exit(2)
    _set_path(os.path.dirname(os.path.realpath(path)))
    if path.endswith(".pyc"):
        loader = SourcelessFileLoader("__main__", path)
        code = loader.get_code("__main__")
        assert code is not None
        _run_code(_new_main(loader), path, code)
    else:
        module = _new_main(SourceFileLoader("__main__", path))
        _run_code(module, path, _compile(source, path))


def _compile(source: bytes, path: str) -> CodeType:
    try:
        return compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        if not _is_text(source):
            if path == "<stdin>":
                with open(os.memfd_create(path), "wb") as again:
                    again.write(source)
                    again.seek(0)
                    os.dup2(again.fileno(), 0)
            _leave_to_python()
        raise


def _is_text(source: bytes) -> bool:
    try:
        return "\0" not in decode_source(source)
    except (SyntaxError, UnicodeError):
        return False


def _leave_to_python() -> None:
    """Have the interpreter itself say what is wrong with a file that it reads differently from `compile`."""
    *options, before, last = sys.orig_argv[: -len(sys.argv)]
    if last == "oneloom":  # -m oneloom, -Xm oneloom
        options.append(before.removesuffix("m"))
    else:  # -moneloom
        options += [before, last.removesuffix("moneloom")]
    os.execv(sys.executable, [option for option in options if option != "-"] + sys.argv)


def _is_archive(path: str) -> bool:
    from zipimport import ZipImportError, zipimporter

    try:
        zipimporter(path)
    except ZipImportError:
        return False
    return True


def _new_main(loader: Any) -> ModuleType:
    """A `__main__` as the interpreter makes it, in the place of the runner's own."""
    module = ModuleType("__main__")
    module.__loader__ = loader
    if sys.version_info < (3, 14):
        module.__annotations__ = {}
    vars(module)["__builtins__"] = builtins
    sys.modules["__main__"] = module
    return module


def _set_path(entry: str, always: bool = False) -> None:
    if not sys.flags.safe_path:
        sys.path[0] = entry
    elif always:
        sys.path.insert(0, entry)


def _run_code(module: ModuleType, path: str, code: CodeType) -> None:
    namespace = vars(module)
    namespace["__file__"] = path
    namespace["__cached__"] = None
    try:
        _give_recursion_back(calls_from_c=1)
        exec(code, namespace)
    finally:
        namespace.pop("__file__", None)
        namespace.pop("__cached__", None)


def _give_recursion_back(calls_from_c: int = 0) -> None:
    """Raise the recursion limit by what stands below the program here and not under plain `python`.

    To be called by the function that starts the program, right before it does so.
    """
    depth = 1
    frame = sys._getframe(1)
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    if sys.version_info < (3, 12):
        depth += 1 + calls_from_c  # Calls of `exec` counted as well; runpy made one.
    sys.setrecursionlimit(sys.getrecursionlimit() + depth)


def _show_without_runner(error: BaseException) -> None:
    """Have the interpreter show this error as if the runner were not there.

    The interpreter does the rest: calls `sys.excepthook`, and ends by the right status or signal.
    """
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
        traceback = traceback.tb_next
    original = sys.excepthook

    def excepthook(kind: type[BaseException], value: BaseException, _: TracebackType | None) -> None:
        sys.excepthook = original
        value.__traceback__ = sys.last_traceback = traceback
        try:
            original(kind, value, traceback)
        except BaseException as second:
            if second.__traceback__ is not None:
                second.__traceback__ = second.__traceback__.tb_next
            raise

    sys.excepthook = excepthook
