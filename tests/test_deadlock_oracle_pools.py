"""Random programs of tasks that wait for tasks, against an oracle of their own: `oracle.pools`."""

import pytest

from conftest import STRESS, finish, program
from oracle.history import History, Op
from oracle.pools import Program, judge
from test_deadlock_oracle import run_programs

PROGRAMS = int(2_000 * STRESS)


def of_pools(*workers):
    return Program(0, workers, 1, ())


def nested(pool=0, mode="all", also=(), **more):
    """t0 runs in pool 0, has submitted t1 to `pool`, and waits for that and for others; with what came of it."""
    history = History()
    history.begin("t0", Op("submit", 0))
    history.begin("t0", Op("run"))
    history.begin("t1", Op("submit", pool))
    op = Op("wait", ("t1", *also), mode, **more)
    history.begin("t0", op)
    return history, op


def kinds(program, history):
    return [finding.kind for finding in judge(program, history.events)]


def told(history, op, actor="t0"):
    history.end(actor, op, "DeadlockError")
    return history


def test_a_task_behind_its_waiter_must_be_told_and_may_be():
    history, op = nested()
    assert kinds(of_pools(1), history) == ["missed"]
    assert kinds(of_pools(1), told(history, op)) == []


@pytest.mark.parametrize("mode", ["all", "any", "until one fails"])
@pytest.mark.parametrize("pools, where", [([2], 0), ([1, 1], 1)])
def test_an_error_is_invented_where_a_worker_is_free(mode, pools, where):
    history, op = nested(where, mode)
    assert kinds(of_pools(*pools), history) == []
    assert kinds(of_pools(*pools), told(history, op)) == ["invented"]


def test_an_error_in_a_timed_wait_is_invented():
    history, op = nested(timed=True)
    assert kinds(of_pools(1), told(history, op)) == ["invented"]


@pytest.mark.parametrize("mode, finding", [("all", []), ("any", ["invented"]), ("until one fails", ["invented"])])
def test_who_needs_any_of_two_is_told_only_when_neither_can_come(mode, finding):
    history = History()
    history.begin("t2", Op("submit", 1))
    history.begin("t2", Op("run"))
    more, op = nested(0, mode, also=["t2"])
    history = told(History(history.events + more.events), op)
    assert kinds(of_pools(1, 1), history) == finding


def test_one_that_only_waits_for_a_deadlock_must_not_be_told():
    history, _ = nested()
    history.begin("t2", Op("submit", 1))
    history.begin("t2", Op("run"))
    history.begin("t2", op := Op("wait", ("t1",), "all"))
    assert "invented" in kinds(of_pools(1, 1), told(history, op, "t2"))


def test_a_wait_that_returns_too_early_is_found():
    history, op = nested(1)
    history.end("t0", op)
    assert kinds(of_pools(1, 1), history) == ["early"]


def test_a_detector_that_is_off_is_caught_missing_a_deadlock_of_a_pool():
    code = """
    import os
    import oneloom
    from oracle import pools

    pools.DEADLINE = 0.5
    inner = pools.Task("t1", 0, (), False)
    run = pools.Run(pools.Program(1, (1,), 0, (pools.Task("t0", 0, (pools.Wait("as_completed", (inner,)),), False),)))
    with oneloom.deadlock.policy(cycles="off"):
        assert not run.conduct()
    print([finding.kind for finding in pools.judge(run.program, run.history.events)], flush=True)
    os._exit(0)
    """
    with program(code) as child:
        assert finish(child).check().out == "['missed']\n"


@pytest.mark.stress
@pytest.mark.deadline(300)
def test_no_deadlock_of_pools_is_missed_and_none_is_invented(seed):
    total = run_programs("oracle.pools", seed, PROGRAMS, timeout=250 * max(1, STRESS))
    assert total["programs"] >= PROGRAMS
    # The programs must try what they claim to try, and find ways out as well.
    for name in ("all", "any", "until one fails", "deadlocked"):
        assert total[name] > PROGRAMS * 0.05, (name, total)
    assert total["deadlocked"] < PROGRAMS * 0.9
