"""Random programs of processes against an oracle: no deadlock invented, none missed; and proof that the oracle can fail."""

import os

import deadlock_oracle as oracle
import pytest
from deadlock_oracle import DEADLOCK, GOT, RELEASING, WANT, History, judge

from conftest import STRESS, run_program, totals

PROGRAMS = int(200 * STRESS)


def history(*notes, gone=None):
    """Notes as (time, actor, what, lock, limited or not by `with`); every actor is a process."""
    by_actor = {}
    for when, actor, what, lock, *detail in notes:
        by_actor.setdefault(actor, []).append((when, what, lock, *(detail or [0])))
    return History(by_actor, {actor: actor for actor in by_actor}, {}, gone or {})


def crossing(bare=0, limited=0):
    return [
        (1, 0, WANT, 0), (2, 0, GOT, 0, bare), (3, 1, WANT, 1), (4, 1, GOT, 1),
        (5, 0, WANT, 1), (6, 1, WANT, 0, limited),
    ]  # fmt: skip


def test_an_error_in_a_circle_is_right():
    assert judge(history(*crossing(), (7, 1, DEADLOCK, 0))) == ([], 1)


@pytest.mark.parametrize(
    "notes",
    [
        [(1, 0, WANT, 0), (2, 0, GOT, 0), (3, 1, WANT, 0), (4, 1, DEADLOCK, 0)],
        [*crossing(bare=1), (7, 1, DEADLOCK, 0)],
        [*crossing(limited=1), (7, 0, DEADLOCK, 1)],
        [*crossing(), (7, 0, RELEASING, 0), (8, 1, DEADLOCK, 0)],
    ],
)
def test_an_error_elsewhere_is_invented(notes):
    findings, _ = judge(history(*notes))
    assert findings and findings[0].startswith("invented")


def test_the_dead_are_in_no_circle():
    findings, _ = judge(history(*crossing(), (9, 1, DEADLOCK, 0), gone={0: 5.5}))
    assert findings and findings[0].startswith("invented")
    assert judge(history(*crossing(), (9, 1, DEADLOCK, 0), gone={0: 8})) == ([], 1)


def test_a_second_error_in_a_circle_is_wrong():
    findings, _ = judge(history(*crossing(), (7, 1, DEADLOCK, 0), (7, 0, DEADLOCK, 1)))
    assert any("two were told" in finding for finding in findings)


def test_a_circle_that_stands_still_is_missed():
    still = history(*crossing())
    still.stands_still = True
    findings, _ = judge(still)
    assert findings and findings[0].startswith("missed")


@pytest.mark.parametrize("processes, found", [([0, 0, 1], True), ([0, 0, 1, 1], False)])
def test_a_circle_through_the_own_locks_of_two_processes_is_nobodys_to_see(processes, found):
    # Every second wait is for a lock of the process alone, the others for a shared one; each holds what the one before wants.
    count = len(processes)
    wanted = [oracle.LOCAL if processes[actor] == processes[(actor + 1) % count] else actor for actor in range(count)]
    notes = [(10 + actor, actor, WANT, wanted[actor - 1]) for actor in range(count)]
    notes += [(20 + actor, actor, GOT, wanted[actor - 1]) for actor in range(count)]
    still = history(*notes, *((30 + actor, actor, WANT, wanted[actor]) for actor in range(count)))
    still.process = dict(enumerate(processes))
    still.stands_still = True
    findings, _ = judge(still)
    assert bool(findings) == found and all(finding.startswith("missed") for finding in findings)


@pytest.mark.stress
@pytest.mark.deadline(300)
def test_no_deadlock_is_invented_or_missed(seed):
    """In a program of its own, which has no threads when it forks."""
    source = f"""
        import sys
        sys.path.append({os.path.dirname(oracle.__file__)!r})
        import deadlock_oracle
        deadlock_oracle.main({seed}, {PROGRAMS})
    """
    ended = run_program(source, timeout=280 * max(1, STRESS))
    assert ended.status == 0, ended.out + ended.err
    totals.append(f"processes in random programs: {ended.out.strip()}")
