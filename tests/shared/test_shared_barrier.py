"""Shared barriers: parties of several processes, and what becomes of a barrier where one of them died."""

import os
import signal
from threading import BrokenBarrierError

import children
import pytest
from test_shared_travel import METHODS, PATIENCE, ended, started

from conftest import start_thread, wait_until
from oneloom.shared import Barrier, Queue


@pytest.mark.parametrize("method", METHODS)
def test_parties_of_every_process_pass_together(method):
    barrier, answers = Barrier(4, action=children.nothing, name="start"), Queue()
    crowd = [started(method, meet, barrier, answers) for meet in (children.meet, children.meet, children.meet_in_a_coroutine)]
    mine = [barrier.wait(PATIENCE) for _ in range(3)]
    theirs = [answers.get(timeout=PATIENCE) for _ in range(9)]
    assert sorted(mine + theirs) == sorted([0, 1, 2, 3] * 3)
    for child in crowd:
        ended(child)
    assert (barrier.n_waiting, barrier.broken) == (0, False) and "'start'" in repr(barrier)


def test_a_process_that_dies_breaks_it_for_the_others():
    barrier, ends = Barrier(3), []
    child = started("fork", children.meet, barrier, Queue())

    def meet():
        try:
            barrier.wait()
        except BrokenBarrierError:
            ends.append("broken")

    thread = start_thread(meet)
    wait_until(lambda: barrier.n_waiting == 2, PATIENCE)
    os.kill(child.pid, signal.SIGKILL)
    thread.join(PATIENCE)
    assert ends == ["broken"] and barrier.broken and repr(barrier).endswith("broken>")
    barrier.reset()
    assert not barrier.broken
    child.join()


def test_an_action_that_raises_breaks_it_for_other_processes():
    def fail():
        raise OSError("not now")

    barrier, answers = Barrier(2, action=fail), Queue()
    child = started("fork", children.meet_and_tell, barrier, answers)
    wait_until(lambda: barrier.n_waiting == 1, PATIENCE)
    with pytest.raises(OSError, match="not now"):
        barrier.wait()
    assert answers.get(timeout=PATIENCE) == "broken"
    ended(child)


def test_there_is_a_limit_to_its_parties():
    with pytest.raises(ValueError, match="at most 1048576 parties"):
        Barrier(1 << 21)
