"""Deadlocks and dumps in words: who waits for what, who holds it, and where each of them stands.

The native module finds and decides; it calls this module, attached to the interpreter, for everything that has
to do with names, frames and text. Participants come as ("thread", ident, native id), ("task", task, 0) or
("nobody", ended, 0); waits as the tuples that `_native._waits` gives.
"""

from __future__ import annotations

import _signal
import os
import sys
import threading
import time

from oneloom import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType, FrameType
    from typing import IO, Any

    Party = tuple[str, Any, int, Any]
    Wait = tuple[Party, str, str | None, int, Party | None, str, int, bool]

_HERE = os.path.dirname(__file__) + os.sep
_DEPTH = 6

_HEADS = {
    "certain": "these wait for each other, and nothing else can help:",
    "suspected": "these wait for each other; they go on only if somebody else helps:",
    "quiescent": "nothing in this process can move any more:",
}
_HINTS = {
    "certain": "Likely fix: take locks in the same order everywhere, or give one acquire a timeout.",
    "suspected": "Likely fix: take locks in the same order everywhere, and with `with`, or give one acquire a timeout.",
    "quiescent": "Likely fix: release what is held (use `with`), or shut down the queues that are waited for.",
}


def name_of(party: Party) -> str:
    """A participant's name: the thread's or the task's own."""
    kind, key, native, running = party
    if kind == "task" and key is not None:
        return f"task {key.get_name()!r}"
    if kind == "thread":
        thread = threading._active.get(key)  # type: ignore[attr-defined]
        # A thread that is just starting, or was not started by Python, has no name here.
        name = f"thread {thread.name!r}" if thread is not None else f"thread {native}"
        return f"{name} in task {running.get_name()!r}" if running is not None else name
    return "an owner that has ended" if key else "an unknown owner"


def describe(title: str, certainty: str, waits: list[Wait]) -> str:
    """The text of a deadlock: a line and a few frames for each participant."""
    lines = [f"{title}: {_HEADS[certainty]}"]
    holder_ended = any(how == "ended" for *_, how, _, _ in waits)
    if holder_ended:
        lines[0] = f"{title}: what is waited for is held by a thread or task that has ended:"
    for wait in waits:
        lines += _lines_of(wait)
    lines.append(_HINTS[certainty])
    return "\n".join(lines)


def _lines_of(wait: Wait) -> list[str]:
    who, kind, name, address, other, how, _, _ = wait
    thing = f"{kind} {name!r}" if name is not None else f"{kind} at {address:#x}"
    if kind == "thread" and other is not None:
        line = f"  {name_of(who)} waits for the end of {name_of(other)}"
    elif how == "runs on":
        line = f"  {name_of(who)} can't go on while {name_of(other)}, which runs its event loop, is blocked"  # type: ignore[arg-type]
    elif how == "ended":
        line = f"  {name_of(who)} waits for {thing}, held by {name_of(other)}, which has ended"  # type: ignore[arg-type]
    elif other is not None:
        line = f"  {name_of(who)} waits for {thing}, held by {name_of(other)}"
    else:
        line = f"  {name_of(who)} waits for {thing}"
    return [line, *(f"    {place}" for place in _places(who))]


def _places(party: Party) -> Iterable[str]:
    """Where a participant stands, outermost first. It is blocked or suspended, so its frames stand still."""
    kind, key, *_ = party
    if kind == "thread":
        frame = sys._current_frames().get(key)
        return _from_frame(frame)
    if kind == "task" and key is not None:
        return _from_coroutine(key.get_coro())
    return ()


def _from_frame(frame: FrameType | None) -> list[str]:
    places: list[str] = []
    while frame is not None and len(places) < _DEPTH:
        _add(places, frame.f_code, frame.f_lineno)
        frame = frame.f_back
    return places[::-1]


def _from_coroutine(coroutine: Any) -> list[str]:
    places: list[str] = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is None:
            break
        _add(places, frame.f_code, frame.f_lineno)
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return places[-_DEPTH:]


def _add(places: list[str], code: CodeType, line: int | None) -> None:
    # Our own frames say nothing about the program, and threading's are the same under every thread.
    if not code.co_filename.startswith(_HERE) and code.co_filename != threading.__file__:
        places.append(f'File "{code.co_filename}", line {line}, in {code.co_name}')


def warn(text: str) -> None:
    """Report without raising: a DeadlockWarning on standard error, whatever filters are set for other warnings."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("always", _native.DeadlockWarning)
        warnings.warn_explicit(text, _native.DeadlockWarning, *_main_place())


def _main_place() -> tuple[str, int]:
    # The report names its places itself; the line of whoever happened to notice would only mislead.
    return "oneloom", 0


def has_signal_handlers() -> bool:
    """Whether the program has a signal handler of its own, which may run at any time and release something."""
    for number in range(1, _signal.NSIG):
        try:
            handler = _signal.getsignal(number)
        except ValueError:
            continue
        if callable(handler) and handler is not _signal.default_int_handler and not _is_runners(handler):
            return True
    return False


def _is_runners(handler: Any) -> bool:
    # asyncio.Runner's own handler of Ctrl-C only cancels its main task, on its loop, which stands still here.
    function = getattr(handler, "func", None)
    return getattr(function, "__qualname__", "") == "Runner._on_sigint"


def dump(file: IO[str] | None = None) -> None:
    """Print who waits in oneloom, for what, since when, who holds it, and where each of them stands.

    To `file`, standard error by default. Looks without stopping anybody: what moves meanwhile may show twice or not.
    """
    file = sys.stderr if file is None else file
    if file is None:
        return
    waits = _native._waits()
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    lines = [f"oneloom: {len(waits)} wait in process {os.getpid()}" if waits else f"oneloom: nobody waits in process {os.getpid()}"]
    for wait in waits:
        head, *places = _lines_of(wait)
        seconds = max(0, now - wait[6]) / 1e9
        limit = ", with a timeout" if wait[7] else ""
        lines += [f"{head} (for {seconds:.1f} s{limit})", *places]
    print("\n".join(lines), file=file, flush=True)


def dump_on_signal(signal: int) -> None:
    """Let a signal print what `dump` prints to standard error, from now on.

    Answered by a thread of oneloom's own, so it works while the main thread is blocked.

    >>> import oneloom, signal
    >>> oneloom.dump_on_signal(signal.SIGUSR2)
    """
    _native._dump_on_signal(int(signal))
