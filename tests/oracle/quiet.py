"""Programs whose deadlocks show only when the whole process is quiet: `python -m oracle.quiet SEED` runs one of them.

Threads take locks by bare `acquire()`, which anyone might release, and main waits for them at exit; there is no controller,
so nobody can help. The process must end by itself, and each error must come at a moment when either a deadlock was certain
or really every thread was waiting. The verdict is printed at exit.
"""

import atexit
import random
import sys

import oneloom

from . import program as p
from .execute import Run
from .judge import DEADLOCK, Finding, State, wrong_error


def generate(seed):
    """Two to four threads that take two or three locks in random orders; some holds are by `with`, some waits are timed."""
    rng = random.Random(seed)
    locks = rng.randint(2, 3)
    actors = []
    for number in range(rng.randint(2, 4)):
        order = rng.sample(range(locks), 2)
        form = rng.choice(["take", "take", "bare", "with"])
        pause = p.Pause(rng.choice([0.001, 0.002]))
        if form == "take":
            # Dies holding what it has when it is the victim.
            steps = (p.Take(order[0]), pause, p.Take(order[1]), p.Give(order[1]), p.Give(order[0]))
        elif form == "bare":
            steps = (p.Acquire(order[0], (pause, p.Acquire(order[1], ()))),)
        else:
            steps = (p.With(order[0], (pause, p.Acquire(order[1], (), timeout=rng.choice([None, 0.01])))),)
        actors.append(p.Actor(f"T{number}", steps))
    return p.Program(seed, ("passing",) * locks, tuple(actors))


def findings_of(program, events):
    """As `judge`, but an error is also right when nobody at all was able to move."""
    state, findings = State.of(program), []
    for index, event in enumerate(events):
        if event.outcome == DEADLOCK and state.moving() and (words := wrong_error(state, event)):
            findings.append(Finding("invented", f"event {index}: {words}"))
        if finding := state.apply(event):
            findings.append(finding)
    if state.running():
        findings.append(Finding("missed", f"{sorted(state.running())} never ended"))
    return findings


def main(seed):
    program = generate(seed)
    run = Run(program)

    @atexit.register
    def verdict():
        findings = findings_of(program, run.history.events) + [Finding("unexpected", words) for words in run.unexpected]
        if findings:
            print(program.text(), run.history.text(), *findings, sep="\n")
        print("errors", sum(event.outcome == DEADLOCK for event in run.history.events), "findings", len(findings))

    for name, body in run.bodies().items():
        oneloom.Thread(target=body, name=name).start()
    run.go.set()


if __name__ == "__main__":
    main(int(sys.argv[1]))
