"""What a random program is made of, and its form as text for a person who has to understand a failure.

Locks are numbered. Threads are called T0, T1 …, tasks C0, C1 …, the threads that run their loops L0, L1 ….
"""

from dataclasses import dataclass

MAIN = "main"


@dataclass(frozen=True)
class With:
    """`with lock:`; `guarded` catches a DeadlockError right here and goes on, still holding what is held outside."""

    lock: int
    body: tuple
    guarded: bool = False


@dataclass(frozen=True)
class AsyncWith:
    """`async with lock:` in a task."""

    lock: int
    body: tuple
    guarded: bool = False


@dataclass(frozen=True)
class Acquire:
    """A bare `acquire()`: blocking for ever, with a timeout, or a mere try; the body runs if it was got."""

    lock: int
    body: tuple
    blocking: bool = True
    timeout: float | None = None


@dataclass(frozen=True)
class AcquireAsync:
    """A bare `await acquire_async()`."""

    lock: int
    body: tuple
    timeout: float | None = None


@dataclass(frozen=True)
class Timeout:
    """`async with asyncio.timeout(seconds):` in a task."""

    seconds: float
    body: tuple


@dataclass(frozen=True)
class Keep:
    """Take an RLock and end the thread without releasing it."""

    lock: int


@dataclass(frozen=True)
class Take:
    """Take a passing lock by bare `acquire()`; another actor releases it with `Give`."""

    lock: int


@dataclass(frozen=True)
class Give:
    """Release a passing lock that another actor may have taken."""

    lock: int


@dataclass(frozen=True)
class Join:
    """Wait for the end of a thread: `join`, `result` or `join` with a timeout."""

    target: str
    how: str = "join"
    timeout: float | None = None


@dataclass(frozen=True)
class JoinAsync:
    """Wait for the end of a thread in a task: `await thread` or `await thread.join_async()`."""

    target: str
    how: str = "await"


@dataclass(frozen=True)
class Cancel:
    """Cancel a task, wherever it is."""

    target: str


@dataclass(frozen=True)
class Signal:
    """Send SIGUSR1 to the process; its handler is a Python function."""


@dataclass(frozen=True)
class Pause:
    """Let the others run: sleep so many seconds (a task lets its loop run)."""

    seconds: float


@dataclass(frozen=True)
class Actor:
    """A thread or task, and what it does. A task names the thread that runs its loop."""

    name: str
    steps: tuple
    loop: str | None = None


@dataclass(frozen=True)
class Program:
    """Everything that a run needs. `locks` holds the kind of each: "lock", "rlock" or "passing"."""

    seed: int
    locks: tuple
    actors: tuple
    main: str | None = None  # the actor or loop that runs on the main thread
    handler: bool = False  # a Python handler for SIGUSR1 is installed
    pooled: bool = False  # threads are taken from a pool, so that thread slots are reused
    uvloop: bool = False
    patience: float = 0.0  # how long a possible rescue is held back

    @property
    def loops(self):
        return tuple(dict.fromkeys(actor.loop for actor in self.actors if actor.loop))

    @property
    def threads(self):
        """Every name that is a thread: the plain ones and those that run loops."""
        return tuple(actor.name for actor in self.actors if not actor.loop) + self.loops

    def text(self):
        lines = [f"# program {self.seed}"]
        flags = [name for name in ("handler", "pooled", "uvloop") if getattr(self, name)]
        lines.append(f"# {', '.join(flags) or 'no flags'}; on the main thread: {self.main or 'nothing'}")
        lines += [f"lock{number} = {kind}" for number, kind in enumerate(self.locks)]
        for actor in self.actors:
            lines.append(f"{actor.name}{f' on {actor.loop}' if actor.loop else ''}:")
            lines += _text(actor.steps, 1)
        return "\n".join(lines)


def _text(steps, depth):
    lines = []
    for step in steps:
        lines.append("    " * depth + _line(step))
        if hasattr(step, "body"):
            lines += _text(step.body, depth + 1) or ["    " * (depth + 1) + "pass"]
    return lines


def _line(step):
    match step:
        case With(lock, guarded=guarded):
            return f"with lock{lock}:" + ("  # guarded" if guarded else "")
        case AsyncWith(lock, guarded=guarded):
            return f"async with lock{lock}:" + ("  # guarded" if guarded else "")
        case Acquire(lock, blocking=False):
            return f"if lock{lock}.acquire(blocking=False):"
        case Acquire(lock, timeout=timeout):
            return f"if lock{lock}.acquire(timeout={timeout}):"
        case AcquireAsync(lock, timeout=timeout):
            return f"if await lock{lock}.acquire_async(timeout={timeout}):"
        case Timeout(seconds):
            return f"async with asyncio.timeout({seconds}):"
        case Keep(lock):
            return f"lock{lock}.acquire()  # and end with it"
        case Take(lock):
            return f"lock{lock}.acquire()  # another gives it back"
        case Give(lock):
            return f"lock{lock}.release()  # another took it"
        case Join(target, how, timeout):
            return f"{target}.{how}(timeout={timeout})"
        case JoinAsync(target, "await"):
            return f"await {target}"
        case JoinAsync(target):
            return f"await {target}.join_async()"
        case Cancel(target):
            return f"{target}.cancel()"
        case Signal():
            return "os.kill(os.getpid(), SIGUSR1)"
        case Pause(seconds):
            return f"sleep({seconds})"
    raise TypeError(step)
