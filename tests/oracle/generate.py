"""Random programs: small ones, because small programs deadlock often and can be read when they fail."""

import random

from . import program as p

# How many steps an actor has at the top level, and how deep locks nest.
MOST_STEPS = 3
MOST_DEPTH = 3


def generate(seed):
    """The program of this seed; the same seed gives the same program on every Python."""
    return _Generator(seed).program()


class _Generator:
    def __init__(self, seed):
        self.seed = seed
        self.random = random.Random(seed)

    def program(self):
        rng = self.random
        # Names first, because joins and cancels need to know them all.
        shape = rng.choice(["threads"] * 5 + ["mixed"] * 5 + ["loop"] * 2 + ["loops"] * 2)
        threads = {"threads": rng.randint(2, 4), "mixed": rng.randint(1, 2), "loop": 0, "loops": rng.randint(0, 1)}[shape]
        loops = {"threads": 0, "mixed": 1, "loop": 1, "loops": 2}[shape]
        self.threads = [f"T{number}" for number in range(threads)]
        self.loops = [f"L{number}" for number in range(loops)]
        self.loop_of = {}
        for loop in self.loops:
            for _ in range(rng.randint(1, 2) if shape != "loop" else rng.randint(2, 3)):
                self.loop_of[f"C{len(self.loop_of)}"] = loop

        self.pooled = rng.random() < 0.4
        self.handler = rng.random() < 0.15
        self.main = rng.choice(self.threads + self.loops) if rng.random() < 0.3 else None
        self.locks = [rng.choices(["lock", "rlock"], [7, 3])[0] for _ in range(rng.randint(2, 3))]
        names = self.threads + list(self.loop_of)
        if rng.random() < 0.15 and len(names) > 1:
            self.locks.append("passing")
            self.taker, self.giver = rng.sample(names, 2)
        else:
            self.taker = self.giver = None
        # The kinds of deadlock that need no joins should not drown in those that do.
        self.joins = not self.pooled and rng.random() < 0.5
        self.certain_only = rng.random() < 0.5

        actors = tuple(p.Actor(name, self.steps(name), self.loop_of.get(name)) for name in names)
        return p.Program(
            seed=self.seed,
            locks=tuple(self.locks),
            actors=actors,
            main=self.main,
            handler=self.handler,
            pooled=self.pooled,
            uvloop=rng.random() < 0.25,
            patience=rng.choices([0.0, 0.02], [95, 5])[0],
        )

    def steps(self, name):
        steps = self.block(name, frozenset(), 1, self.random.randint(1, MOST_STEPS))
        plain = name in self.threads and name != self.main and not self.pooled
        reentrant = [number for number, kind in enumerate(self.locks) if kind == "rlock"]
        if plain and reentrant and self.random.random() < 0.12:
            steps += (p.Keep(self.random.choice(reentrant)),)
        return steps

    def block(self, name, held, depth, length):
        steps = []
        for _ in range(length):
            if self.random.random() < 0.6:
                steps.append(p.Pause(self.random.choice([0.0, 0.0, 0.00005, 0.0002, 0.0004])))
            steps.append(self.step(name, held, depth))
        return tuple(steps)

    def body(self, name, held, depth):
        if depth >= MOST_DEPTH:
            return self.random.choice([(), (p.Pause(0.0001),)])
        return self.block(name, held, depth + 1, self.random.choice([1, 1, 1, 2]))

    def lock(self, held):
        """A lock, seldom one that is held already: such deadlocks are right but dull."""
        numbers = [number for number, kind in enumerate(self.locks) if kind != "passing"]
        fresh = [number for number in numbers if number not in held or self.locks[number] == "rlock"]
        return self.random.choice(fresh if fresh and self.random.random() < 0.93 else numbers)

    def step(self, name, held, depth):
        rng = self.random
        task = name in self.loop_of
        weights = {"with": 30 if task else 60, "cancel": 5 if self.loop_of else 0, "signal": 6 if self.handler else 0}
        weights["pause"] = 6
        if task:
            weights |= {"async with": 35, "timeout": 6}
        if not self.certain_only:
            weights |= {"timed": 6, "try": 5, "bare": 6} | ({"async bare": 8, "async timed": 5} if task else {})
        if self.joins and self.join_targets(name):
            weights |= {"join": 12} | ({"async join": 8} if task else {})
        if name == self.taker:
            weights["take"] = 15
        if name == self.giver:
            weights["give"] = 15
        kind = rng.choices(list(weights), list(weights.values()))[0]

        lock = self.lock(held)
        inside = held | {lock}
        guarded = rng.random() < 0.2
        match kind:
            case "with":
                return p.With(lock, self.body(name, inside, depth), guarded)
            case "async with":
                return p.AsyncWith(lock, self.body(name, inside, depth), guarded)
            case "timed":
                return p.Acquire(lock, self.body(name, inside, depth), timeout=rng.choice([0.0002, 0.002, 0.005]))
            case "try":
                return p.Acquire(lock, self.body(name, inside, depth), blocking=False)
            case "bare":
                return p.Acquire(lock, self.body(name, inside, depth))
            case "async bare":
                return p.AcquireAsync(lock, self.body(name, inside, depth))
            case "async timed":
                return p.AcquireAsync(lock, self.body(name, inside, depth), rng.choice([0.0002, 0.002, 0.005]))
            case "timeout":
                return p.Timeout(rng.choice([0.0005, 0.003]), self.body(name, held, depth))
            case "join":
                how = rng.choice(["join", "join", "result", "timed"])
                target = rng.choice(self.join_targets(name))
                return p.Join(target, "join" if how == "timed" else how, 0.002 if how == "timed" else None)
            case "async join":
                return p.JoinAsync(rng.choice(self.join_targets(name)), rng.choice(["await", "join_async"]))
            case "cancel":
                return p.Cancel(rng.choice(list(self.loop_of)))
            case "take":
                return p.Take(self.locks.index("passing"))
            case "give":
                return p.Give(self.locks.index("passing"))
            case "signal":
                return p.Signal()
        return p.Pause(rng.choice([0.0, 0.0002, 0.0005]))

    def join_targets(self, name):
        own = self.loop_of.get(name, name)
        return [target for target in self.threads + self.loops if target not in (own, self.main)]
