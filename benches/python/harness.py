"""What a row of the bench is made of: rivals behind one interface.

A rival is a function that does its operation so many times and returns the seconds which the work alone took.
"""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from time import perf_counter

OURS = "oneloom"
UNROLLED = 10  # A statement is repeated so often in the loop's body, that the loop itself hardly counts.
LONGEST = 60.0  # Seconds after which a rival that does not get on is an error.

Run = Callable[[int], float]


@dataclass(frozen=True)
class Rival:
    """One implementation of an operation."""

    name: str
    run: Run


@dataclass(frozen=True)
class Row:
    """An operation, those who compete in it, and how many times as fast as each peer oneloom must be at least.

    A peer without a goal is shown all the same.
    """

    key: str
    operation: str
    goals: Mapping[str, float | None]
    rivals: Callable[[], list[Rival]] | None = None  # None: measured by the Rust package
    step: int = 8 * UNROLLED  # A sample's operations: a multiple of this divides by unrolled statements, among eight workers.
    group: str = ""  # The heading that it stands under.

    @property
    def in_rust(self) -> bool:
        return self.rivals is None


@dataclass(frozen=True)
class Bound:
    """Something measured in bytes, and at most how much it may be."""

    key: str
    what: str
    at_most: float | None

    @property
    def in_rust(self) -> bool:
        return self.key.startswith("rust-")


def statement(body: str, setup: str = "pass", **names: object) -> Run:
    """Times a statement; `setup` makes its variables, which are locals, once per sample."""
    return _compiled("def work(count):", body, setup, names)


def awaited(body: str, setup: str = "pass", **names: object) -> Run:
    """Times a statement inside a coroutine; starting and ending the loop is not timed."""
    work = _compiled("async def work(count):", body, setup, names)
    return lambda count: on_a_loop(work(count))  # type: ignore[arg-type]


def on_a_loop(coroutine: Coroutine[object, object, float]) -> float:
    """Runs it. Only here is asyncio imported: a program without it has less to ask when it takes a lock."""
    import asyncio

    return asyncio.run(coroutine)


def _compiled(head: str, body: str, setup: str, names: dict[str, object]) -> Run:
    lines = [
        head,
        *textwrap.indent(setup, "    ").splitlines(),
        "    turns = range(count // UNROLLED)",
        "    start = perf_counter()",
        "    for _ in turns:",
        *textwrap.indent("\n".join([body] * UNROLLED), "        ").splitlines(),
        "    return perf_counter() - start",
    ]
    scope = {"perf_counter": perf_counter, "UNROLLED": UNROLLED} | names
    exec(compile("\n".join(lines), f"<{body}>", "exec"), scope)  # noqa: S102: each rival has bytecode of its own
    return scope["work"]  # type: ignore[return-value]


def in_threads(prepare: Callable[[int], list[Callable[[], object]]]) -> Run:
    """Times threads from the moment when the first of them goes on after all were ready until the last one is done.

    The threads look at the clock themselves: another one would get the interpreter only when they had long begun.
    """

    def run(count: int) -> float:
        works = prepare(count)
        ready = threading.Barrier(len(works))
        starts: list[float] = []
        ends: list[float] = []

        def start(work: Callable[[], object]) -> None:
            ready.wait()
            starts.append(perf_counter())
            work()
            ends.append(perf_counter())

        threads = [threading.Thread(target=start, args=(work,), daemon=True) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONGEST)
            if thread.is_alive():
                raise TimeoutError(f"{count} operations took longer than {LONGEST:.0f} s")
        if len(ends) < len(works):
            raise RuntimeError("a thread has failed")
        return max(ends) - min(starts)

    return run


def rivals(**runs: Run) -> Callable[[], list[Rival]]:
    """oneloom's way first; a peer's name has its dots back."""
    return lambda: [Rival(name.replace("__", "."), run) for name, run in runs.items()]


def same(
    body: str, ours: str, peer: str, *, peers_body: str = "", setup: str = "", timed: Callable[..., Run] = statement
) -> Callable[[], list[Rival]]:
    """Rivals that run the same statement, each on an object of its own class; looked up in the process that measures."""

    def find() -> list[Rival]:
        setting = f"{setup}\nsubject = make()"
        return [
            Rival(OURS, timed(body, setting, make=resolve_name(ours))),
            Rival(peer, timed(peers_body or body, setting, make=resolve_name(peer))),
        ]

    return find
