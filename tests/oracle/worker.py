"""A child process of the oracle's test: `python -m oracle.worker FIRST COUNT` runs the programs of COUNT seeds.

Its last line is a summary as JSON. A program that fails is printed as text, with its history; after five failures, or a
program that hangs, the process ends with status 1 and the summary says how far it came.
"""

import json
import os
import sys

from .control import Conductor
from .generate import generate

MOST_FAILURES = 5


class Tally:
    """Counts over many programs."""

    def __init__(self):
        names = ("programs", "errors", "deadlocked", "rescued", "given_up", "timed_out", "cancelled", "failures")
        self.counts = dict.fromkeys(names, 0)

    def add(self, verdict):
        events = verdict.history.events
        self.counts["programs"] += 1
        self.counts["errors"] += verdict.errors
        self.counts["deadlocked"] += verdict.errors > 0
        self.counts["rescued"] += verdict.rescues > 0
        self.counts["timed_out"] += any(event.outcome == "failed" for event in events)
        self.counts["cancelled"] += any(event.outcome == "CancelledError" for event in events)
        self.counts["given_up"] += verdict.given_up
        if verdict.findings:
            self.counts["failures"] += 1
            print(report(verdict), flush=True)

    def show(self):
        print(json.dumps(self.counts), flush=True)


def report(verdict):
    """A failing program for a person."""
    findings = "\n".join(f"! {finding.kind}: {finding.words}" for finding in verdict.findings)
    return f"{verdict.program.text()}\n\n{verdict.history.text()}\n\n{findings}\n"


def main(first, count):
    tally = Tally()

    def on_hang(verdict):
        tally.add(verdict)
        tally.show()
        os._exit(1)

    # Many more switches between threads than usual: the programs are short.
    sys.setswitchinterval(0.0001)
    conductor = Conductor(on_hang)
    for seed in range(first, first + count):
        tally.add(conductor.conduct(generate(seed)))
        if tally.counts["failures"] >= MOST_FAILURES:
            break
    tally.show()
    # Pooled threads of a failed run may be anywhere; the verdicts are what counts.
    sys.stdout.flush()
    os._exit(1 if tally.counts["failures"] else 0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
