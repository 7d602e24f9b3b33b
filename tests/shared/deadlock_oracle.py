"""Random programs of processes that take shared locks, with time limits and kills; and a judge who knows nothing of oneloom.

Every actor (a thread of a process) notes what it is about to do, and what came of it, with the time, in memory that all
processes share. The judge replays the notes. A `DeadlockError` is right if at the instant of it, or just before somebody
was killed, its actor stood in a circle: each waits without a limit for a lock that the next one alone may release (an
RLock, or taken by `with`), has noted to have, and has not begun to release. It is wrong anywhere else, wrong for a second actor of the same circle, and missing
where a circle stands still.
"""

import mmap
import os
import random
import signal
import struct
import threading
import time
import warnings
from dataclasses import dataclass, field

import oneloom
from oneloom import shared

WANT, GOT, GAVE_UP, RELEASING, DEADLOCK, END = range(6)
LOCAL = 100  # From this number on, locks of the actor's own process.
SECTION, NOTE = 1 << 14, struct.Struct("<qhhq")


@dataclass(frozen=True)
class Block:
    """Takes a lock, by `with` or with a time limit, for its body; or sleeps, where there is no lock."""

    lock: int | None
    body: tuple = ()
    timeout: float | None = None
    pause: float = 0.0
    bare: bool = False
    guarded: bool = False


@dataclass
class Program:
    """Per process, what each of its threads does; who is killed, and when; which locks are RLocks."""

    processes: list
    kills: dict = field(default_factory=dict)
    reentrant: frozenset = frozenset()


def generate(seed):
    source = random.Random(seed)
    locks = source.randint(2, 4)
    reentrant = frozenset(lock for lock in range(locks) if source.random() < 0.2)
    bare = source.random() < 0.02  # These may stand still, which takes time.
    mixed = source.random() < 0.03  # Those are found by a look after a second.
    threads = 2 if mixed or source.random() < 0.25 else 1

    def body(depth, held):
        blocks = []
        for _ in range(source.randint(1, 2)):
            kind = source.random()
            free = [lock for lock in range(locks) if lock not in held]
            if mixed and LOCAL not in held:
                free.append(LOCAL)
            if kind < 0.2 or depth == 3 or not free:
                blocks.append(Block(None, pause=source.choice([0, 0.0005, 0.002, 0.03])))
                continue
            # Mostly another one: whoever takes one twice is told for certain.
            lock = source.choice(free if source.random() < 0.99 or not held - reentrant else sorted(held - reentrant))
            timeout = source.choice([0.0, 0.001, 0.025, 0.06]) if kind < 0.4 else None
            free_hand = bare and lock != LOCAL and source.random() < 0.5
            # What was not taken by `with` is no part of a circle for certain: rarely waited for.
            inner = body(depth + 1 if timeout is None or bare else 3, held | {lock})
            blocks.append(Block(lock, inner, timeout, bare=free_hand, guarded=source.random() < 0.3))
        return tuple(blocks)

    processes = [[body(0, frozenset()) for _ in range(threads)] for _ in range(source.randint(2, 3))]
    kills = {}
    if source.random() < 0.3:
        kills[source.randrange(len(processes))] = source.uniform(0, 0.06)
    return Program(processes, kills, reentrant)


class Notes:
    """What the actors note: a section each, with its count first."""

    def __init__(self, actors):
        self.memory = mmap.mmap(-1, SECTION * actors)

    def write(self, actor, what, lock=-1, detail=0):
        begin = actor * SECTION
        count = int.from_bytes(self.memory[begin : begin + 8], "little")
        NOTE.pack_into(self.memory, begin + 8 + count * NOTE.size, time.monotonic_ns(), what, lock, detail)
        self.memory[begin : begin + 8] = (count + 1).to_bytes(8, "little")

    def read(self, actor):
        begin = actor * SECTION
        count = int.from_bytes(self.memory[begin : begin + 8], "little")
        return [NOTE.unpack_from(self.memory, begin + 8 + place * NOTE.size) for place in range(count)]


# --- running ----------------------------------------------------------------------------------------------------------


class Actor:
    """Runs what one thread does."""

    def __init__(self, number, notes, locks):
        self.number, self.notes, self.locks = number, notes, locks

    def run(self, blocks):
        try:
            self.act(blocks)
        except oneloom.DeadlockError:
            pass
        self.notes.write(self.number, END)

    def act(self, blocks):
        for block in blocks:
            if block.lock is None:
                time.sleep(block.pause)
                continue
            try:
                self.take(block)
            except oneloom.DeadlockError:
                if not block.guarded:
                    raise

    def take(self, block):
        lock, note = self.locks[block.lock], self.notes.write
        limited = block.timeout is not None
        note(self.number, WANT, block.lock, limited)
        try:
            if not limited and not block.bare:
                got = lock.__enter__()
            else:
                got = lock.acquire() if not limited else lock.acquire(timeout=block.timeout)
        except oneloom.DeadlockError:
            note(self.number, DEADLOCK, block.lock)
            raise
        if not got:
            note(self.number, GAVE_UP, block.lock)
            return
        note(self.number, GOT, block.lock, (limited or block.bare) and not isinstance(lock, shared.RLock))
        try:
            self.act(block.body)
        finally:
            note(self.number, RELEASING, block.lock)
            lock.release()


def run_process(first, threads, notes, locks):
    warnings.simplefilter("ignore")
    locks = {**locks, LOCAL: oneloom.Lock()}
    actors = [
        threading.Thread(target=Actor(first + place, notes, locks).run, args=(blocks,), daemon=False)
        for place, blocks in enumerate(threads)
    ]
    for actor in actors[1:]:
        actor.start()
    actors[0].run()
    for actor in actors[1:]:
        actor.join()


@dataclass
class History:
    """What happened: notes of each actor; its process; when that was about to be killed, and was gone."""

    notes: dict
    process: dict
    killed: dict
    gone: dict
    stands_still: bool = False


def run(program, patience=30.0):
    """Runs a program in children of this process; they are gone afterwards."""
    threads = len(program.processes[0])
    notes = Notes(len(program.processes) * threads)
    kinds = {number: shared.RLock if number in program.reentrant else shared.Lock for number in range(4)}
    locks = {number: kind(name=f"lock {number}") for number, kind in kinds.items()}
    started, children = time.monotonic(), {}
    for process, blocks in enumerate(program.processes):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                run_process(process * threads, blocks, notes, locks)
                code = 0
            finally:
                os._exit(code)
        children[child] = process
    process_of = {actor: actor // threads for actor in range(len(program.processes) * threads)}
    history = History({}, process_of, {}, {})
    kills = dict(program.kills)
    counts, moved = None, time.monotonic()
    while children:
        now = time.monotonic()
        for child, process in list(children.items()):
            if process in kills and now - started >= kills[process]:
                del kills[process]
                history.killed[process] = time.monotonic_ns()
                os.kill(child, signal.SIGKILL)
            reaped, status = os.waitpid(child, os.WNOHANG)
            if reaped:
                del children[child]
                if os.WIFSIGNALED(status):
                    history.gone[process] = time.monotonic_ns()
                assert status in (0, signal.SIGKILL), f"a child ended with {status}"
        seen = [len(notes.read(actor)) for actor in process_of]
        if seen != counts:
            counts, moved = seen, now
        elif now - moved > patience or now - moved > 1.5 and only_suspected(history, notes):
            history.stands_still = True
            break
        time.sleep(0.0003)
    history.notes = {actor: notes.read(actor) for actor in process_of}
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return history


def only_suspected(history, notes):
    """Whether somebody stands in a circle, but nobody in one that is to be answered."""
    history.notes = {actor: notes.read(actor) for actor in history.process}
    state = state_at(history, time.monotonic_ns())
    circles = [found for actor in state.waits if (found := circle(state, actor))]
    return bool(circles) and not any(by_with for _, by_with in circles)


# --- judging ----------------------------------------------------------------------------------------------------------


@dataclass
class State:
    """What every actor waits for at an instant, and what it has."""

    waits: dict = field(default_factory=dict)
    holder: dict = field(default_factory=dict)


def place_of(history, actor, lock):
    return (history.process[actor], lock) if lock >= LOCAL else lock


def state_at(history, instant):
    state = State()
    for actor, notes in history.notes.items():
        if history.gone.get(history.process[actor], instant) < instant:
            continue
        last = None
        for number, (when, what, lock, detail) in enumerate(notes):
            if when > instant:
                break
            where = place_of(history, actor, lock)
            if what == GOT and state.holder.get(where, (when,))[-1] <= when:
                # The latest, where one who had it before was killed.
                state.holder[where] = (actor, not detail, when)
            elif what == RELEASING and state.holder.get(where, (None,))[0] == actor:
                del state.holder[where]
            last = (number, when, what, where, detail)
        if last and last[2] == WANT and not last[4]:
            state.waits[actor] = (last[3], last[0], last[1])
    return state


def circle(state, start):
    """The waits of a circle through `start`, each as (actor, number of its note, when), and whether all holds were by `with`."""
    found, actor, by_with = [], start, True
    while actor in state.waits and actor not in [step[0] for step in found]:
        lock, number, when = state.waits[actor]
        found.append((actor, number, when))
        if lock not in state.holder:
            return None
        actor, scoped, _ = state.holder[lock]
        by_with = by_with and scoped
    return (found, by_with) if found and actor == start else None


def in_sight(state, steps):
    """Whether somebody can see the whole circle: nobody sees who waits for a lock of another process's own."""
    waited_for = (state.waits[actor][0] for actor, *_ in steps)
    return len({lock[0] for lock in waited_for if isinstance(lock, tuple)}) < 2


def judge(history):
    """What was wrong, in words; nothing if all was right. Also how many errors there were."""
    findings, answered, errors = [], {}, 0
    for actor, notes in history.notes.items():
        for number, (when, what, lock, _) in enumerate(notes):
            if what != DEADLOCK:
                continue
            errors += 1
            begun = notes[number - 1][0]
            assert notes[number - 1][1:3] == (WANT, lock)
            instants = [when - 1]
            instants += [at for at in (*history.killed.values(), *history.gone.values()) if begun < at < when]
            seen = [found for instant in instants if (found := circle(state_at(history, instant), actor))]
            if not any(by_with for _, by_with in seen):
                findings.append(f"invented: actor {actor}, lock {lock}, note {number}; in a circle: {bool(seen)}")
            for waits in {frozenset(step[:2] for step in steps) for steps, _ in seen}:
                if answered.setdefault(waits, actor) != actor:
                    findings.append(f"two were told of one circle: actors {answered[waits]} and {actor}")
    if history.stands_still:
        state = state_at(history, time.monotonic_ns())
        circles = [found for actor in state.waits if (found := circle(state, actor))]
        certain = [steps for steps, by_with in circles if by_with and in_sight(state, steps)]
        if certain:
            findings.append(f"missed: {certain[0]}")
        elif not circles:
            findings.append("it stands still without a circle")
    return findings, errors


def main(seed, count):
    """Runs random programs; prints what was wrong and fails, or says how many errors there were."""
    source, errors, killed = random.Random(seed), 0, 0
    for place in range(count):
        each = source.randrange(1 << 48)
        history = run(generate(each))
        findings, told = judge(history)
        errors, killed = errors + told, killed + len(history.gone)
        if findings:
            print(f"program {place} of seed {seed}, itself of seed {each}: {findings}")
            print(generate(each), history, sep="\n")
            raise SystemExit(1)
    print(f"{count} programs, {errors} deadlocks, {killed} processes killed")
