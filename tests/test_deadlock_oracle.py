"""10,000 random programs against the oracle: no certain deadlock missed, none invented; and proof that the oracle can fail."""

import json
import os
import random
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import STRESS, finish, program
from oracle import program as p
from oracle.explore import Machine
from oracle.generate import generate
from oracle.history import BARE, RLOCK, WITH, Event, History, Op
from oracle.judge import State, judge

PROGRAMS = int(10_000 * STRESS)
QUIET_PROGRAMS = int(12 * STRESS)


# --- the oracle itself ------------------------------------------------------------------------------------------------


def two_threads(**flags):
    return p.Program(0, ("lock", "lock"), (p.Actor("T0", ()), p.Actor("T1", ())), **flags)


def acquire(lock, hold=WITH, **more):
    return Op("acquire", lock, hold, **more)


def crossing(first=WITH, second=WITH):
    """T0 has lock0 and T1 has lock1."""
    history = History()
    for actor, lock, hold in (("T0", 0, first), ("T1", 1, second)):
        history.begin(actor, acquire(lock, hold))
        history.end(actor, acquire(lock, hold))
    return history


def kinds(program, history):
    return [finding.kind for finding in judge(program, history.events)]


def test_a_deadlock_that_nobody_was_told_is_missed():
    history = crossing()
    history.begin("T0", acquire(1))
    assert kinds(two_threads(), history) == []
    history.begin("T1", acquire(0))
    assert kinds(two_threads(), history) == ["missed"]


def test_an_error_for_the_one_that_closes_the_cycle_is_right():
    history = crossing()
    history.begin("T0", acquire(1))
    history.begin("T1", acquire(0))
    history.end("T1", acquire(0), "DeadlockError")
    assert kinds(two_threads(), history) == []


def test_a_second_victim_of_one_cycle_is_invented():
    history = crossing()
    history.begin("T0", acquire(1))
    history.begin("T1", acquire(0))
    history.end("T1", acquire(0), "DeadlockError")
    history.end("T0", acquire(1), "DeadlockError")
    assert kinds(two_threads(), history) == ["invented"]


def test_an_error_before_the_cycle_closes_is_invented():
    history = crossing()
    history.begin("T0", acquire(1))
    history.end("T0", acquire(1), "DeadlockError")
    assert kinds(two_threads(), history) == ["invented"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"timed": True}, id="timed wait"),
        pytest.param({"sync": False}, id="await"),
    ],
)
def test_an_error_in_a_wait_that_may_end_otherwise_is_invented(change):
    history = crossing()
    history.begin("T0", acquire(1))
    history.begin("T1", acquire(0, **change))
    history.end("T1", acquire(0, **change), "DeadlockError")
    assert kinds(two_threads(), history) == ["invented"]


def test_an_error_is_invented_where_another_wait_of_the_cycle_is_timed():
    history = crossing()
    history.begin("T0", acquire(1, timed=True))
    history.begin("T1", acquire(0))
    history.end("T1", acquire(0), "DeadlockError")
    assert kinds(two_threads(), history) == ["invented"]


def test_an_error_is_invented_where_anyone_may_release_the_lock():
    history = crossing(first=BARE)
    history.begin("T0", acquire(1))
    history.begin("T1", acquire(0))
    assert kinds(two_threads(), history) == []
    history.end("T1", acquire(0), "DeadlockError")
    assert kinds(two_threads(), history) == ["invented"]


def test_a_signal_handler_may_help_the_main_thread():
    history = crossing()
    history.begin("T0", acquire(1))
    history.begin("T1", acquire(0))
    assert kinds(two_threads(main="T0"), history) == ["missed"]
    assert kinds(two_threads(main="T0", handler=True), history) == []
    history.end("T1", acquire(0), "DeadlockError")
    assert kinds(two_threads(main="T0"), history) == []
    assert kinds(two_threads(main="T0", handler=True), history) == ["invented"]


def test_an_error_for_one_that_only_waits_for_a_deadlock_is_invented():
    three = p.Program(0, ("lock", "lock"), tuple(p.Actor(f"T{number}", ()) for number in range(3)))
    history = crossing()
    history.begin("T0", acquire(1))
    history.begin("T1", acquire(0))
    history.begin("T2", acquire(0))
    history.end("T2", acquire(0), "DeadlockError")
    assert "invented" in kinds(three, history)


def test_a_cycle_of_joins_must_be_told():
    history = History()
    history.begin("T0", Op("join", "T1"))
    assert kinds(two_threads(), history) == []
    history.begin("T1", Op("join", "T0"))
    assert kinds(two_threads(), history) == ["missed"]
    history.end("T1", Op("join", "T0"), "DeadlockError")
    assert kinds(two_threads(), history) == []


def test_an_rlock_of_an_ended_thread_must_be_told():
    history = History()
    history.begin("T0", acquire(0, RLOCK))
    history.end("T0", acquire(0, RLOCK))
    history.begin("T1", acquire(0, RLOCK))
    assert kinds(two_threads(), history) == []
    history.end("T0", Op("finish"))
    assert kinds(two_threads(), history) == ["missed"]
    history.end("T1", acquire(0, RLOCK), "DeadlockError")
    assert kinds(two_threads(), history) == []


def loop_with_two_tasks():
    return p.Program(0, ("lock",), (p.Actor("C0", (), "L0"), p.Actor("C1", (), "L0")))


def test_a_task_that_blocks_the_loop_of_the_owner_must_be_told():
    history = History()
    history.begin("C0", acquire(0, sync=False))
    history.end("C0", acquire(0, sync=False))
    history.begin("C1", acquire(0, sync=False))
    assert kinds(loop_with_two_tasks(), history) == []
    history.end("C1", acquire(0, sync=False), "CancelledError")
    history.begin("C1", acquire(0))
    assert kinds(loop_with_two_tasks(), history) == ["missed"]
    history.end("C1", acquire(0), "DeadlockError")
    assert kinds(loop_with_two_tasks(), history) == []


def test_two_holders_of_one_lock_are_found():
    history = crossing()
    history.begin("T1", acquire(0))
    history.end("T1", acquire(0))
    assert kinds(two_threads(), history) == ["two holders"]


def test_a_join_that_returns_too_early_is_found():
    history = History()
    history.begin("T0", Op("join", "T1"))
    history.end("T0", Op("join", "T1"))
    assert kinds(two_threads(), history) == ["early"]


def abstract_programs(seed, count):
    """Random programs of threads that have an abstract form."""
    found = 0
    while found < count:
        seed += 1
        candidate = generate(seed)
        try:
            machine = Machine(candidate)
        except ValueError:
            continue
        if not candidate.loops and not candidate.handler:
            found += 1
            yield candidate, machine


def test_the_judge_agrees_with_every_interleaving(seed):
    """Walks at random through abstract programs: whom the judge calls doomed cannot move in any interleaving that is left,
    and when nobody can go on, the judge calls everybody doomed."""
    rng, deadlocks = random.Random(seed), 0
    for candidate, machine in abstract_programs(seed, 200):
        for _ in range(5):
            state, history = machine.start, History()
            while True:
                moves = list(machine.moves(state))
                # Whoever has something to do next has begun it.
                view = State.of(candidate)
                for event in history.events:
                    view.apply(event)
                for at, code, name in zip(state[0], machine.code, machine.names):
                    if at == len(code):
                        view.finished.add(name)
                    else:
                        view.apply(Event(name, "begin", code[at][0]))
                doomed = view.doomed()
                assert doomed <= machine.immovable(state), f"{candidate.text()}\n{history.text()}\n{doomed}"
                if not moves:
                    assert doomed == machine.running(state), f"{candidate.text()}\n{history.text()}\n{doomed}"
                    deadlocks += bool(doomed)
                    break
                thread, op, done, state = rng.choice(moves)
                history.begin(machine.names[thread], op)
                history.end(machine.names[thread], op, "done" if done else "failed")
    assert deadlocks > 20


# Runs real programs with a detector that is broken on purpose.
BROKEN = """
import os, sys
import oneloom
from oracle import program as p
from oracle.control import Conductor
from oracle.worker import report

def hang(verdict):
    print(report(verdict), flush=True)
    os._exit(0)

inner = p.Pause(0.02)
cross = lambda one, two: (p.With(one, (inner, p.With(two, ()))),)
program = p.Program(1, ("lock", "lock"), (p.Actor("T0", cross(0, 1)), p.Actor("T1", cross(1, 0))))
"""


def test_a_detector_that_is_off_is_caught_missing_a_deadlock():
    code = BROKEN + "with oneloom.deadlock.policy(cycles='off'): Conductor(hang, answer_deadline=0.3).conduct(program)"
    with program(code) as child:
        assert "! missed: nothing can ever move T0, T1" in finish(child).check().out


def test_a_detector_that_errs_is_caught_inventing_a_deadlock():
    code = (
        BROKEN
        + """
class Nervous:
    def __init__(self, name): self.lock = oneloom.Lock(name=name)
    def __getattr__(self, name): return getattr(self.lock, name)
    def __enter__(self):
        if self.lock.locked(): raise oneloom.DeadlockError("I was afraid")
        return self.lock.__enter__()
    def __exit__(self, *error): return self.lock.__exit__(*error)

program = p.Program(2, ("lock",), (p.Actor("T0", (p.With(0, (inner,)),)), p.Actor("T1", (p.Pause(0.005), p.With(0, ())))))
print(report(Conductor(hang, make_lock=Nervous).conduct(program)), flush=True)
"""
    )
    with program(code) as child:
        assert "! invented: event" in finish(child).check().out


# --- oneloom against the oracle ---------------------------------------------------------------------------------------


def run_module(name, *arguments, timeout):
    with program("", command=[sys.executable, "-m", name, *map(str, arguments)]) as child:
        return finish(child, timeout)


def run_programs(name, seed, programs, timeout):
    """Have a few processes run so many random programs and judge them; the sum of what they count."""
    workers = max(2, min(os.cpu_count(), 8))
    each = programs // workers + 1
    # Drawn wide apart, so that two workers share no program.
    firsts = [random.Random(seed + number).randrange(2**48) for number in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        results = list(pool.map(lambda first: run_module(name, first, each, timeout=timeout), firsts))
    total = Counter()
    for first, result in zip(firsts, results):
        print(f"programs {first} to {first + each - 1}")
        total.update(json.loads(result.check().out.splitlines()[-1]))
    print(dict(total))
    return total


@pytest.mark.stress
@pytest.mark.deadline(900)
def test_no_certain_deadlock_is_missed_and_none_is_invented(seed):
    total = run_programs("oracle.worker", seed, PROGRAMS, timeout=800 * max(1, STRESS))
    assert total["programs"] >= PROGRAMS
    assert total["given_up"] < PROGRAMS * 0.02
    # The programs must try what they claim to try.
    assert total["deadlocked"] > PROGRAMS * 0.2
    for name in ("rescued", "timed_out", "cancelled"):
        assert total[name] > PROGRAMS * 0.05, (name, total)


@pytest.mark.stress
@pytest.mark.deadline(300)
def test_uncertain_deadlocks_end_when_the_process_is_quiet(seed):
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda number: run_module("oracle.quiet", seed + number, timeout=60), range(QUIET_PROGRAMS)))
    for result in results:
        result.check()
        assert result.out.splitlines()[-1].endswith("findings 0"), result
    assert any(not result.out.splitlines()[-1].startswith("errors 0") for result in results)
