"""Brute force: every interleaving of a small program of threads, to check the judge itself.

A program of `with`, timed acquires, RLocks that are kept, and joins becomes a list of instructions for each thread. From a
state of that abstract program all reachable states are visited; whoever is at the same instruction in every one of them can
never move. There is no rule about cycles, owners or certainty here.
"""

from . import program as p
from .history import RLOCK, WITH, Op


def instructions(program, actor):
    """A thread's program without its nesting: (operation, where to go on if a timed acquire fails)."""
    code = []

    def add(op, otherwise=None):
        code.append([op, otherwise])
        return code[-1]

    def walk(steps):
        for step in steps:
            match step:
                case p.With(number, body) | p.Acquire(number, body):
                    if program.locks[number] != "rlock" and isinstance(step, p.Acquire):
                        raise ValueError("whoever may release a bare hold is not in the program")
                    hold = RLOCK if program.locks[number] == "rlock" else WITH
                    timed = isinstance(step, p.Acquire) and not (step.blocking and step.timeout is None)
                    entry = add(Op("acquire", number, hold, timed=timed))
                    walk(body)
                    add(Op("release", number))
                    entry[1] = len(code) if timed else None
                case p.Keep(number):
                    add(Op("acquire", number, RLOCK))
                case p.Join(target, timeout=timeout):
                    entry = add(Op("join", target, timed=timeout is not None))
                    entry[1] = len(code) if timeout is not None else None
                case p.Pause():
                    pass
                case _:
                    raise ValueError(f"no abstract form: {step}")

    walk(actor.steps)
    return tuple(map(tuple, code))


class Machine:
    """The abstract program. A state is (the next instruction of each thread, the holder of each lock with its count)."""

    def __init__(self, program):
        self.names = [actor.name for actor in program.actors]
        self.code = [instructions(program, actor) for actor in program.actors]
        self.reentrant = [kind == "rlock" for kind in program.locks]
        self.start = ((0,) * len(self.names), (None,) * len(program.locks))

    def running(self, state):
        return {name for name, at, code in zip(self.names, state[0], self.code) if at < len(code)}

    def moves(self, state):
        """Every (thread, operation, whether it succeeded, next state)."""
        places, holds = state
        for thread, (at, code) in enumerate(zip(places, self.code)):
            if at == len(code):
                continue
            op, otherwise = code[at]
            if op.timed:
                yield thread, op, False, (_put(places, thread, otherwise), holds)
            forward = _put(places, thread, at + 1)
            if op.kind == "join":
                target = self.names.index(op.target)
                if places[target] == len(self.code[target]):
                    yield thread, op, True, (forward, holds)
            elif op.kind == "release":
                owner, count = holds[op.target]
                yield thread, op, True, (forward, _put(holds, op.target, (owner, count - 1) if count > 1 else None))
            elif holds[op.target] is None:
                yield thread, op, True, (forward, _put(holds, op.target, (thread, 1)))
            elif self.reentrant[op.target] and holds[op.target][0] == thread:
                yield thread, op, True, (forward, _put(holds, op.target, (thread, holds[op.target][1] + 1)))

    def immovable(self, state):
        """The threads that are where they are now in every state that can ever be reached."""
        seen, todo, moved = {state}, [state], set()
        while todo:
            for thread, _, _, after in self.moves(todo.pop()):
                moved.add(self.names[thread])
                if after not in seen:
                    seen.add(after)
                    todo.append(after)
        return self.running(state) - moved


def _put(values, index, value):
    return values[:index] + (value,) + values[index + 1 :]
