"""Programs of tasks that wait for tasks: `python -m oracle.pools FIRST COUNT` runs those of COUNT seeds, each judged.

A task runs in a pool of threads, submits others, and waits for them in one of the ways there are; it may take locks, and
wait for the task that submitted it. Every deadlock of such a program is certain: it must be answered at once, and so every
program ends by itself. The judge asks as the other one does: starting from all who may move, whom can they help?
"""

import collections
import contextlib
import itertools
import json
import os
import random
import sys
import time
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION
from dataclasses import dataclass, field

import oneloom

from .history import History, Op
from .judge import DEADLOCK, Finding

# How long a program may take. None takes a hundredth.
DEADLINE = 20.0
MOST_DEPTH = 3


# --- programs ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """What a task does: `steps` are a `Pause`, a `With` or a `Wait`. One that `fails` raises in the end."""

    name: str
    pool: int
    steps: tuple
    fails: bool


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class With:
    lock: int
    body: tuple


@dataclass(frozen=True)
class Wait:
    """Submit `tasks`, all of one pool, and wait for them, and for `others` that run or lie there already."""

    how: str
    tasks: tuple
    others: tuple = ()
    timeout: float | None = None
    guarded: bool = False  # a DeadlockError is caught right here


@dataclass(frozen=True)
class Program:
    seed: int
    workers: tuple  # of each pool
    locks: int
    roots: tuple  # tasks

    def text(self):
        lines = [f"# program {self.seed}; pools of {self.workers} workers, {self.locks} locks"]
        return "\n".join(lines + [line for task in self.roots for line in _text(task, 0)])


def _text(step, depth):
    inner = {Task: lambda: step.steps, With: lambda: step.body, Wait: lambda: step.tasks}.get(type(step), tuple)()
    words = ", ".join(f"{name}={value!r}" for name, value in vars(step).items() if value is not inner and value not in ((), None))
    lines = ["    " * depth + f"{type(step).__name__}({words})"]
    return lines + [line for each in inner for line in _text(each, depth + 1)]


# Which of those that are waited for have to end: all, any, or all unless one has failed.
WAITS = {
    "result": "all",
    "wait": "all",
    "gather exceptions": "all",
    "first": "any",
    "as_completed": "any",
    "exception": "until one fails",
    "gather": "until one fails",
}
MAPS = {"imap": "all", "imap_unordered": "any"}


def generate(seed):
    """The program of this seed."""
    rng = random.Random(seed)
    workers = tuple(rng.choice([1, 2, 2, 3, 5]) for _ in range(rng.choice([1, 1, 2])))
    locks = rng.choice([0, 0, 1, 2])
    numbers = itertools.count()
    timed = rng.random() < 0.4

    def task(pool, depth, ancestors):
        name = f"t{next(numbers)}"
        steps = []
        for _ in range(rng.choice([1, 1, 2])):
            if rng.random() < 0.6:
                steps.append(Pause(rng.choice([0.0, 0.0, 0.0001, 0.0005])))
            if depth < MOST_DEPTH and rng.random() < 0.7 / depth**0.5:
                steps.append(wait(name, depth, ancestors))
                if locks and rng.random() < 0.4:
                    steps[-1] = With(rng.randrange(locks), (steps[-1],))
            elif locks and rng.random() < 0.4:
                steps.append(With(rng.randrange(locks), (Pause(0.0001),)))
        return Task(name, pool, tuple(steps), rng.random() < 0.15)

    def wait(name, depth, ancestors):
        how = rng.choice([*WAITS, *MAPS])
        pool = rng.randrange(len(workers))
        # Nobody has the future of what a map submits.
        above = () if how in MAPS else (*ancestors, name)
        tasks = tuple(task(pool, depth + 1, above) for _ in range(rng.randint(1, 3)))
        others = tuple(rng.sample(ancestors, 1)) if ancestors and how not in MAPS and rng.random() < 0.1 else ()
        timeout = rng.choice([0.0005, 0.003]) if timed and how not in MAPS and rng.random() < 0.25 else None
        return Wait(how, tasks, others, timeout, rng.random() < 0.2)

    roots = tuple(task(rng.randrange(len(workers)), 1, ()) for _ in range(rng.randint(1, 4)))
    return Program(seed, workers, locks, roots)


# --- running them -----------------------------------------------------------------------------------------------------


class Failed(Exception):
    """How a task fails."""


class Run:
    """One run of a program through the public API. Everything is written down before it begins and after it has ended."""

    def __init__(self, program):
        self.program = program
        self.history = History()
        self.pools = [oneloom.ThreadPool(workers, name=f"pool{number}") for number, workers in enumerate(program.workers)]
        self.locks = [oneloom.Lock(name=f"lock{number}") for number in range(program.locks)]
        self.futures = {}
        self.unexpected = []

    def conduct(self):
        """Run it to its end; whether it has ended."""
        for task in self.program.roots:
            self.submit(task)
        known = 0
        while known < len(self.futures):
            known = len(self.futures)
            if oneloom.wait(list(self.futures.values()), timeout=DEADLINE).not_done:
                return False
        # What a task has left behind that gave up a map may run still.
        closer = oneloom.Thread(target=lambda: [pool.shutdown() for pool in self.pools], daemon=True)
        closer.start()
        closer.join(DEADLINE)
        return not closer.is_alive()

    def submit(self, task):
        self.history.begin(task.name, Op("submit", task.pool))
        future = self.pools[task.pool].submit(self.run, task)
        self.futures[task.name] = future
        return future

    def run(self, task):
        self.history.begin(task.name, Op("run"))
        failed = True
        try:
            self.take(task.name, task.steps)
            failed = task.fails
        except (oneloom.DeadlockError, Failed):
            pass
        except BaseException as error:
            if "after shutdown" not in str(error):
                self.unexpected.append(f"{task.name}: {error!r}")
        self.history.end(task.name, Op("run"), "failed" if failed else "done")
        if failed:
            raise Failed(task.name)
        return task.name

    def take(self, name, steps):
        for step in steps:
            match step:
                case Pause(seconds):
                    time.sleep(seconds)
                case With(lock, body):
                    self.take_lock(name, lock, body)
                case Wait(how, tasks, others, timeout, guarded):
                    with contextlib.suppress(oneloom.DeadlockError, TimeoutError) if guarded else contextlib.suppress(TimeoutError):
                        if how in MAPS:
                            self.wait_for_map(name, how, tasks)
                        else:
                            self.wait(name, how, tasks, others, timeout)

    def take_lock(self, name, lock, body):
        taken = False
        op = Op("acquire", lock)
        self.history.begin(name, op)
        try:
            with self.locks[lock]:
                taken = True
                self.history.end(name, op)
                try:
                    self.take(name, body)
                finally:
                    self.history.begin(name, Op("release", lock))
        except BaseException as error:
            if not taken:
                self.history.end(name, op, type(error).__name__)
            raise
        finally:
            if taken:
                self.history.end(name, Op("release", lock))

    @contextlib.contextmanager
    def waiting(self, name, targets, mode, timeout=None):
        op = Op("wait", tuple(targets), mode, timed=timeout is not None)
        self.history.begin(name, op)
        try:
            yield
        except BaseException as error:
            self.history.end(name, op, type(error).__name__)
            if not isinstance(error, Failed):
                raise
        else:
            self.history.end(name, op)

    def wait(self, name, how, tasks, others, timeout):
        futures = {task.name: self.submit(task) for task in tasks}
        for other in others:
            while other not in self.futures:
                time.sleep(0)
            futures[other] = self.futures[other]
        mode = WAITS[how]
        if how == "result":
            for target, future in futures.items():
                with self.waiting(name, [target], mode, timeout):
                    future.result(timeout)
        elif how == "as_completed":
            names = {future: target for target, future in futures.items()}
            ends = oneloom.as_completed(futures.values(), timeout)
            while names:
                with self.waiting(name, names.values(), mode, timeout):
                    names.pop(next(ends))
        else:
            with self.waiting(name, futures, mode, timeout):
                match how:
                    case "wait":
                        oneloom.wait(futures.values(), timeout)
                    case "first":
                        oneloom.wait(futures.values(), timeout, FIRST_COMPLETED)
                    case "exception":
                        oneloom.wait(futures.values(), timeout, FIRST_EXCEPTION)
                    case _:
                        oneloom.gather(*futures.values(), return_exceptions=how != "gather").result(timeout)

    def wait_for_map(self, name, how, tasks):
        for task in tasks:
            self.history.begin(task.name, Op("submit", task.pool))
        names = [task.name for task in tasks]
        results = getattr(self.pools[tasks[0].pool], how)(self.run, tasks)
        while names:
            with self.waiting(name, names[:1] if how == "imap" else names, MAPS[how]):
                try:
                    ended = next(results)
                except Failed as error:
                    (ended,) = error.args
            names.remove(ended)


# --- judging them -----------------------------------------------------------------------------------------------------


@dataclass
class State:
    """The program at one point of its history."""

    workers: tuple
    pools: dict = field(default_factory=dict)  # task -> pool
    running: set = field(default_factory=set)
    ended: set = field(default_factory=set)
    failed: set = field(default_factory=set)
    pending: dict = field(default_factory=dict)
    holds: dict = field(default_factory=dict)

    def apply(self, event):
        actor, phase, op, outcome = event
        match op.kind, phase:
            case "submit", _:
                self.pools[actor] = op.target
            case "run", "begin":
                self.running.add(actor)
            case "run", _:
                self.running.discard(actor)
                self.ended.add(actor)
                if outcome == "failed":
                    self.failed.add(actor)
            case "release", "begin":
                del self.holds[op.target]
            case ("wait" | "acquire"), "begin":
                self.pending[actor] = op
            case ("wait" | "acquire"), _:
                self.pending.pop(actor)
                if op.kind == "acquire" and outcome == "done":
                    if op.target in self.holds:
                        return Finding("two holders", f"{actor} got lock{op.target} while {self.holds[op.target]} had it")
                    self.holds[op.target] = actor
                if op.kind == "wait" and outcome == "done" and not op.timed and not self.is_over(op):
                    return Finding("early", f"{actor} went on, {op}")
        return None

    def is_over(self, op):
        ended = [target in self.ended for target in op.target]
        return all(ended) or (op.hold == "any" and any(ended)) or (op.hold == "until one fails" and not self.failed.isdisjoint(op.target))

    def helpers(self, task):
        """Who could help a task on: a list of groups, of each of which one has to. Empty where it needs nobody."""
        op = self.pending.get(task)
        if task not in self.running:
            team = [other for other in self.running if self.pools[other] == self.pools[task]]
            return [team] if len(team) == self.workers[self.pools[task]] else []
        if op is None or op.timed:
            return []
        if op.kind == "acquire":
            return [[self.holds[op.target]]] if op.target in self.holds else []
        left = [target for target in op.target if target not in self.ended]
        if self.is_over(op):
            return []
        return [[target] for target in left] if op.hold == "all" else [left]

    def doomed(self):
        """All whom nothing can ever move again."""
        left, alive = set(self.pools) - self.ended, set()
        while more := {task for task in left if all(not alive.isdisjoint(group) for group in self.helpers(task))}:
            alive |= more
            left -= more
        return left

    def closes(self, actor):
        """Whether following the waits from this task leads back to it."""
        seen, todo = set(), [actor]
        while todo:
            for helper in itertools.chain(*self.helpers(todo.pop())):
                if helper == actor:
                    return True
                if helper not in seen:
                    seen.add(helper)
                    todo.append(helper)
        return False


def judge(program, events):
    """Replay a history: every error must have been right at its moment, and nobody must be left who can never move."""
    state, findings = State(program.workers), []
    for index, event in enumerate(events):
        if event.outcome == DEADLOCK:
            doomed = state.doomed()
            if event.op.timed or event.actor not in doomed or not state.closes(event.actor):
                findings.append(Finding("invented", f"event {index}: {event}; doomed: {sorted(doomed)}"))
        if finding := state.apply(event):
            findings.append(Finding(finding.kind, f"event {index}: {finding.words}"))
    if doomed := state.doomed():
        findings.append(Finding("missed", f"nothing can ever move {', '.join(sorted(doomed))}"))
    return findings


def main(first, count):
    sys.setswitchinterval(0.0001)
    total = collections.Counter()
    for seed in range(first, first + count):
        run = Run(program := generate(seed))
        ended = run.conduct()
        events = list(run.history.events)
        findings = judge(program, events) + [Finding("unexpected", words) for words in run.unexpected]
        if not ended and not findings:
            findings.append(Finding("stalled", "it did not end, and nobody knows why"))
        total.update(programs=1, failures=bool(findings), deadlocked=any(event.outcome == DEADLOCK for event in events))
        total.update({event.op.hold: 1 for event in events if event.outcome == DEADLOCK and event.op.hold})
        if findings:
            print(program.text(), History(events).text(), *(f"! {each.kind}: {each.words}" for each in findings), sep="\n", flush=True)
            if not ended or total["failures"] > 4:
                break
    print(json.dumps(total), flush=True)
    # What hangs is left where it is.
    os._exit(1 if total["failures"] else 0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
