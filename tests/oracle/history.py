"""The history of a run: what each actor was about to do, and what came of it, in one order.

`begin` is written before the call and `end` right after it, so the call took effect somewhere between the two. An actor
that is blocked has a `begin` without an `end`; since the program moves only by such events, a history in which nobody can
move describes the real program exactly.
"""

from typing import NamedTuple

# A hold of a Lock taken by `with`, a bare hold of a Lock, any hold of an RLock.
WITH, BARE, RLOCK = "with", "bare", "rlock"

OUTSIDE = "outside"  # the controller, where it helps


class Op(NamedTuple):
    """One operation. `sync` blocks the thread; otherwise the task awaits. `timed` ends by itself."""

    kind: str  # acquire, release, join, cancel, signal, timeout, finish; of tasks submit, run, wait
    target: object = None
    hold: str | None = None
    sync: bool = True
    timed: bool = False

    def __str__(self):
        target = f"lock{self.target}" if isinstance(self.target, int) else self.target or ""
        words = [self.kind, " ".join(target) if isinstance(target, tuple) else target, self.hold, "" if self.sync else "async", "timed" if self.timed else ""]
        return " ".join(word for word in words if word)


class Event(NamedTuple):
    """`outcome` of an end: "done", "failed" (not got in time), or the name of the exception that was raised."""

    actor: str
    phase: str  # begin or end
    op: Op
    outcome: str | None = None

    def __str__(self):
        return f"{self.actor:>8} {self.phase:5} {self.op}{f' -> {self.outcome}' if self.outcome else ''}"


class History:
    """Events in the order in which they were written; `list.append` is what makes it one order."""

    def __init__(self, events=()):
        self.events = list(events)

    def begin(self, actor, op):
        self.events.append(Event(actor, "begin", op))

    def end(self, actor, op, outcome="done"):
        self.events.append(Event(actor, "end", op, outcome))

    def text(self):
        return "\n".join(f"{index:4} {event}" for index, event in enumerate(self.events))
