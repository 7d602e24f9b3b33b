"""Measures one row of rows.py in alternating rounds of one process, and prints a line of JSON for each sample.

    python benches/python/measure.py ROW ROUNDS MILLISECONDS

Each sample is long enough (some 50 ms) that the clock and the start of a round do not count; in each round another rival
goes first, so that what disturbs the machine disturbs all.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from harness import Row, Run


@dataclass
class Sample:
    """One rival's share of one round."""

    row: str
    rival: str
    round: int
    count: int
    nanoseconds: float  # of one operation


@dataclass
class Effort:
    """How long to measure."""

    rounds: int
    seconds: float  # of one sample


def measure(row: Row, effort: Effort) -> Iterator[Sample]:
    """The samples of a row, round by round."""
    assert row.rivals is not None, "a row of the Rust package"
    rivals = row.rivals()
    counts = {rival.name: scale(rival.run, effort.seconds, row.step) for rival in rivals}
    for number in range(effort.rounds):
        for turn in range(len(rivals)):
            rival = rivals[(number + turn) % len(rivals)]
            gc.collect()
            count = counts[rival.name]
            yield Sample(row.key, rival.name, number, count, rival.run(count) / count * 1e9)


def scale(run: Run, seconds: float, step: int) -> int:
    """How many operations take about so long, a multiple of `step`. Warms up, too."""
    count = step
    while (took := run(count)) * 4 < seconds:
        count *= 4
    wanted = max(int(count * seconds / took), 1)
    return -(-wanted // step) * step


def main(key: str, rounds: str, milliseconds: str) -> None:
    # Not by the children of rows that start processes: they import this module anew.
    from rows import ROWS

    row = next(row for row in ROWS if row.key == key)
    for sample in measure(row, Effort(int(rounds), float(milliseconds) / 1000)):
        print(json.dumps(vars(sample)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
