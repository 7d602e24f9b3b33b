"""Deadlocks and dumps in words: who waits for what, who holds it, and where each of them stands.

The native module finds and decides; it calls this module, attached to the interpreter, for everything that has
to do with names, frames and text. Participants come as ("thread", ident, native id), ("task", task, 0),
("nobody", ended, 0) or ("stranger", account, process id); waits as the tuples that `_native._waits` gives.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import sys
import threading
import time

from oneloom import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import IO, Any

    _Party = tuple[str, Any, int, Any]
    _Place = tuple[str, int, str]
    _Wait = tuple[_Party, str, str | None, int, _Party | None, str, int, bool]

# Is told the text of every report besides.
listener: Callable[[str], object] | None = None

# Gives who waits for which process's end, since when, and whether with a timeout: `_process_end` has it, once that is imported.
process_waits: Callable[[], list[tuple[_Party, str, int, bool]]] = list

# How the names of files begin whose frames are left out. Our own say nothing about the program; those of threading,
# multiprocessing and runpy are the same under every one.
uninteresting: tuple[str, ...] = (
    os.path.dirname(__file__) + os.sep,
    threading.__file__,
    os.path.join(os.path.dirname(threading.__file__), "multiprocessing", ""),
    "<frozen runpy>",
)
_DEPTH = 6
# How many bytes a thread may tell other processes.
_ROOM = 384

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
_HINT_FOR_POOLS = (
    "Likely fix: let no task wait for another of its own pool, or give that one another pool; more workers only put it off."
)
_HINT_FOR_FUTURES = "Likely fix: let no task wait for a result that needs its own."


def name_of(party: _Party) -> str:
    """A participant's name: the thread's or the task's own."""
    kind, key, native, running = party
    if kind == "task" and key is not None:
        return f"task {key.get_name()!r}"
    if kind == "thread":
        thread = threading._active.get(key)  # type: ignore[attr-defined]
        # A thread that is just starting, or was not started by Python, has no name here.
        name = f"thread {thread.name!r}" if thread is not None else f"thread {native}"
        return f"{name} in task {running.get_name()!r}" if running is not None else name
    if kind == "stranger":
        return key.partition("\n")[0] or (f"process {native}" if native else "a process that died")
    return "an owner that has ended" if key else "an unknown owner"


def account(who: _Party, what: tuple[str, str | None, int]) -> tuple[str, bool]:
    """What a thread that waits for something shared tells other processes: who it is, what it waits for, where it stands.

    And whether they must not take its wait for one that lasts: a signal handler may end it, or the end of its process.
    """
    kind, name, number = what
    thread = threading._active.get(who[1])  # type: ignore[attr-defined]
    main = thread is threading.main_thread()
    may_end = has_signal_handlers() if main else thread is None or thread.daemon
    lines = [f"{name_of(who)} of {_process()}", _thing(kind, name, number)]
    places = _lines_of_places(who)
    # There is room for a few places. The innermost tell most.
    while places and len(_plain("\n".join(lines + places))) > _ROOM:
        del places[0]
    return _plain("\n".join(lines + places)).decode(), may_end


def _plain(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _process() -> str:
    module = sys.modules.get("multiprocessing.process")
    return f"process {os.getpid()}" + (f" {module.current_process().name!r}" if module else "")


def _thing(kind: str, name: str | None, number: int) -> str:
    if kind == "process":
        return f"the end of process {name!r} (pid {number})"
    if kind == "ends":
        return "the first end of several"
    if name is not None:
        return f"{kind} {name!r}"
    return f"{kind} number {number:#x}" if kind.startswith("shared") else f"{kind} at {number:#x}"


def describe(title: str, certainty: str, waits: list[_Wait]) -> str:
    """The text of a deadlock: a line and a few frames for each participant."""
    lines = [f"{title}: {_HEADS[certainty]}"]
    holder_ended = any(how == "ended" for *_, how, _, _ in waits)
    if holder_ended:
        lines[0] = f"{title}: what is waited for is held by a thread or task that has ended:"
    everywhere = any(who[0] == "stranger" for who, *_ in waits)
    for wait, (holder, *_) in zip(waits, [*waits[1:], *waits[:1]]):
        lines += _lines_of(wait, holder if everywhere else None)
    lines.append(_hint(certainty, waits))
    return "\n".join(lines)


def _hint(certainty: str, waits: list[_Wait]) -> str:
    if any(how == "any of" for *_, how, _, _ in waits):
        return _HINT_FOR_POOLS
    if certainty == "certain" and all(kind == "future" for _, kind, *_ in waits):
        return _HINT_FOR_FUTURES
    return _HINTS[certainty]


def _lines_of(wait: _Wait, holder: _Party | None = None) -> list[str]:
    """A wait in words; `holder` where several processes take part, and each is to be named."""
    who, kind, name, address, other, how, _, _ = wait
    if who[0] == "stranger":
        _, _, told = who[1].partition("\n")
        thing, _, places = told.partition("\n")
        return [_line(name_of(who), thing or _thing(kind, name, address), _name_with_process(holder)), *places.splitlines()]
    thing = _thing(kind, name, address)
    if holder is not None and how in ("held", "elsewhere"):
        return [_line(_name_with_process(who), thing, _name_with_process(holder)), *_lines_of_places(who)]
    if kind == "thread" and other is not None:
        line = f"  {name_of(who)} waits for the end of {name_of(other)}"
    elif how == "runs on":
        line = f"  {name_of(who)} can't go on while {name_of(other)}, which runs its event loop, is blocked"  # type: ignore[arg-type]
    elif how == "ended":
        line = f"  {name_of(who)} waits for {thing}, held by a thread or task that has ended"
    elif how == "any of" and kind == "future":
        line = f"  {name_of(who)} waits for {thing}, which no worker of its pool is free to begin"
    elif other is not None:
        line = _line(name_of(who), thing, name_of(other))
    else:
        line = f"  {name_of(who)} waits for {thing}"
    return [line, *_lines_of_places(who)]


def _line(who: str, thing: str, holder: str) -> str:
    # What ends is held by nobody.
    if thing.startswith("the end of "):
        held = ""
    else:
        held = f", which {holder} works at" if thing.startswith("future ") else f", held by {holder}"
    return f"  {who} waits for {thing}{held}"


def _name_with_process(party: _Party | None) -> str:
    if party is None or party[0] == "stranger":
        return "an unknown owner" if party is None else name_of(party)
    return f"{name_of(party)} of {_process()}"


def _lines_of_places(who: _Party) -> list[str]:
    return [f'    File "{file}", line {number}, in {name}' for file, number, name in _places(who)]


def _places(party: _Party) -> list[_Place]:
    """Where a participant stands, outermost first. It is blocked or suspended, so its frames stand still."""
    kind, key, *_ = party
    if kind == "thread":
        frame = sys._current_frames().get(key)
        return _from_frame(frame)
    if kind == "task" and key is not None:
        return _from_coroutine(key.get_coro())
    return []


def _from_frame(frame: FrameType | None) -> list[_Place]:
    places: list[_Place] = []
    while frame is not None and len(places) < _DEPTH:
        _add(places, frame.f_code, frame.f_lineno)
        frame = frame.f_back
    return places[::-1]


def _from_coroutine(coroutine: Any) -> list[_Place]:
    places: list[_Place] = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is None:
            break
        _add(places, frame.f_code, frame.f_lineno)
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return places[-_DEPTH:]


def _add(places: list[_Place], code: CodeType, line: int | None) -> None:
    if not code.co_filename.startswith(uninteresting):
        places.append((code.co_filename, line or 0, code.co_name))


def warn(title: str, certainty: str, waits: list[_Wait]) -> None:
    """Report without raising: a DeadlockWarning on standard error, whatever filters are set for other warnings."""
    import warnings

    places = _places(waits[0][0]) if waits else []
    file, number, _ = places[-1] if places else ("oneloom", 0, "")
    text = describe(title, certainty, waits)
    message = _native.DeadlockWarning(text)
    # Past the filters: setting them for a moment is not safe while other threads warn too. No source line
    # (that is, an empty one): the report shows where each participant stands.
    warnings.showwarning(message, _native.DeadlockWarning, file, number, line="")
    if listener is not None:
        listener(text)


def has_signal_handlers() -> bool:
    """Whether the program has a signal handler of its own, which may run at any time and release something."""
    for number in range(1, _signal.NSIG):
        try:
            handler = _signal.getsignal(number)
        except ValueError:
            continue
        if callable(handler) and handler is not _signal.default_int_handler and not _releases_nothing(handler):
            return True
    return False


def _releases_nothing(handler: Any) -> bool:
    # asyncio.Runner's own handler of Ctrl-C only cancels its main task, on its loop, which stands still here.
    function = getattr(handler, "func", None)
    if getattr(function, "__qualname__", "") == "Runner._on_sigint":
        return True
    # Our pytest plugin's only ends a wait whose time is over anyway.
    return str(getattr(handler, "__module__", "")).startswith("pytest_oneloom.")


def dump(file: IO[str] | None = None) -> None:
    """Print who waits in oneloom, for what, since when, who holds it, and where each of them stands.

    To `file`, standard error by default. Looks without stopping anybody: what moves meanwhile may show twice or not.
    """
    file = sys.stderr if file is None else file
    if file is None:
        return
    # Waits for a process's end are told by `process_waits`, from the first moment on.
    waits = [(_lines_of(wait), wait[6], wait[7]) for wait in _native._waits() if wait[1] != "process"]
    waits += [
        ([f"  {name_of(who)} waits for the end of {process}", *_lines_of_places(who)], since, is_timed)
        for who, process, since, is_timed in process_waits()
    ]
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    lines = [f"oneloom: {len(waits)} wait in process {os.getpid()}" if waits else f"oneloom: nobody waits in process {os.getpid()}"]
    for (head, *places), since, is_timed in waits:
        seconds = max(0, now - since) / 1e9
        limit = ", with a timeout" if is_timed else ""
        lines += [f"{head} (for {seconds:.1f} s{limit})", *places]
    print("\n".join(lines), file=file, flush=True)


def elsewhere() -> str:
    """Where the threads stand that wait for nothing in oneloom, and the tasks of the calling thread's event loop."""
    waiting = [party for who, *_ in _native._waits() for party in (who[1], who[3])]
    parties: list[_Party] = []
    for thread in threading.enumerate():
        if thread.ident not in waiting and thread is not threading.current_thread():
            parties.append(("thread", thread.ident, 0, None))
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and (loop := asyncio._get_running_loop()) is not None:
        tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
        parties += [("task", task, 0, None) for task in tasks if task not in waiting]
    lines = ["elsewhere:"] if parties else []
    for party in parties:
        lines += [f"  {name_of(party)}", *_lines_of_places(party)]
    return "\n".join(lines)


def dump_on_signal(signal: int) -> None:
    """Let a signal print what `dump` prints to standard error, from now on.

    Answered by a thread of oneloom's own, so it works while the main thread is blocked.

    >>> import oneloom, signal
    >>> oneloom.dump_on_signal(signal.SIGUSR2)
    """
    _native._dump_on_signal(int(signal))
