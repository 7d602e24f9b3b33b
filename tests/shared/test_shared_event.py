"""A shared event: raised in one process, it lets threads and coroutines of every process go on."""

import asyncio
import signal
import time

import children
import pytest
from test_shared_travel import METHODS, PATIENCE, ended, started

from conftest import start_thread
from oneloom.shared import Event, Queue


@pytest.mark.parametrize("method", METHODS)
def test_it_is_seen_by_every_process(method):
    event, answers = Event(name="start"), Queue()
    crowd = [started(method, wait, event, answers) for wait in (children.wait_for, children.wait_for_in_a_coroutine)]
    assert not event.is_set() and "'start'" in repr(event) and repr(event).endswith("unset>")
    for _ in crowd:
        assert answers.get(timeout=PATIENCE) == "waits"
    event.set()
    assert [answers.get(timeout=PATIENCE) for _ in crowd] == [True, True]
    for child in crowd:
        ended(child)
    event.set()
    assert event.wait(0) and event.name == "start"
    event.clear()
    assert not event.wait(timeout=0.01) and not event.wait(-1)


@pytest.mark.parametrize("step", ["FlagRaised", "WordBumped", "FlagTold"])
def test_a_sleeper_goes_on_though_the_one_who_raised_it_died(step):
    event = Event()
    woken = []
    threads = [
        start_thread(lambda: woken.append(event.wait())),
        start_thread(lambda: woken.append(asyncio.run(event.wait_async()))),
    ]
    time.sleep(0.1)  # Into their long sleep, usually; right either way.
    child = started("fork", children.raise_and_die, event, step)
    for thread in threads:
        thread.join(PATIENCE)
    assert woken == [True, True]
    child.join(PATIENCE)
    assert child.exitcode == -signal.SIGKILL


def test_a_coroutine_that_gives_up_is_gone():
    async def main():
        event = Event()
        assert not await event.wait_async(timeout=0.01)
        waiting = asyncio.create_task(event.wait_async())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        event.set()
        assert await event.wait_async()

    asyncio.run(main())
