"""Under oneloom's asyncio classes tasks go on in the very order in which they do under asyncio's own.

Random programs, each run twice: the tasks of a program share one object and tell every step that they made, and what
the object looked like. Nothing is timed, so what they tell is certain, and must be the same both times. Left out is
what asyncio's versions order in ways of their own: a cancelled wait on a Condition, and semaphores before Python 3.13.
"""

import asyncio
import random
import re
import sys

import pytest

import oneloom.asyncio
from conftest import STRESS

PROGRAMS = int(60 * STRESS)
STEPS = {}


def step(*kinds):
    """A step that a task may make with an object of these kinds; `number` is 0 to 3."""

    def register(function):
        for kind in kinds:
            STEPS.setdefault(kind, []).append(function)
        return function

    return register


async def pass_turns(number):
    for _ in range(number):
        await asyncio.sleep(0)


LOCKS = ("Lock", "Condition", "Semaphore", "BoundedSemaphore")
QUEUES = ("Queue", "LifoQueue", "PriorityQueue")


@step(*LOCKS, "Event", "Barrier", *QUEUES)
async def look(subject, tell, number):
    tell(re.sub(r"^<\S+( object)? at \w+", "", repr(subject)))


@step(*LOCKS)
async def hold(subject, tell, number):
    async with subject:
        tell("in")
        await pass_turns(number)


@step("Lock", "Semaphore", "BoundedSemaphore")
async def acquire(subject, tell, number):
    await subject.acquire()
    tell("in")
    await pass_turns(number)
    subject.release()


@step("Semaphore", "BoundedSemaphore")
async def release(subject, tell, number):
    subject.release()


@step("Event")
async def raise_flag(subject, tell, number):
    subject.set()


@step("Event")
async def lower_flag(subject, tell, number):
    subject.clear()


@step("Event")
async def wave_flag(subject, tell, number):
    subject.set()
    subject.clear()


@step("Event", "Barrier")
async def wait(subject, tell, number):
    tell(await subject.wait())


@step("Condition")
async def wait_inside(subject, tell, number):
    async with subject:
        await subject.wait()
        tell("woken")
        await pass_turns(number)


@step("Condition")
async def notify(subject, tell, number):
    async with subject:
        subject.notify(number)
        await pass_turns(number)


@step("Condition")
async def notify_all(subject, tell, number):
    async with subject:
        subject.notify_all()


@step("Barrier")
async def reset(subject, tell, number):
    await subject.reset()


@step("Barrier")
async def abort(subject, tell, number):
    if number == 0:
        await subject.abort()


@step(*QUEUES)
async def put(subject, tell, number):
    await subject.put(number)


@step(*QUEUES)
async def get(subject, tell, number):
    tell(await subject.get())


@step(*QUEUES)
async def put_nowait(subject, tell, number):
    subject.put_nowait(number)


@step(*QUEUES)
async def get_nowait(subject, tell, number):
    tell(subject.get_nowait())


@step(*QUEUES)
async def finish_one(subject, tell, number):
    subject.task_done()


@step(*QUEUES)
async def join(subject, tell, number):
    if number == 0:
        await subject.join()


async def history(library, kind, seed, cancelling):
    """What the tasks of one program tell."""
    generator = random.Random(seed)
    arguments = [] if kind in ("Lock", "Condition", "Event") else [generator.randint(1, 3)]
    subject = getattr(library, kind)(*arguments)
    told = []

    async def follow(name, script):
        for place, (make_step, number) in enumerate(script):

            def tell(*what):
                told.append((name, place, make_step.__name__, *what))

            try:
                await make_step(subject, tell, number)
                tell("done")
            except asyncio.CancelledError:
                tell("cancelled")
                if number == 0:
                    raise
            except Exception as error:
                tell(type(error).__name__, str(error))

    scripts = [
        [(generator.choice(STEPS[kind]), generator.randrange(4)) for _ in range(generator.randint(1, 8))]
        for _ in range(generator.randint(2, 6))
    ]
    tasks = [asyncio.create_task(follow(name, script)) for name, script in enumerate(scripts)]
    for _ in range(generator.randint(5, 40)):
        await asyncio.sleep(0)
        if cancelling and generator.random() < 0.3:
            victim = generator.choice(tasks)
            told.append(("cancel", tasks.index(victim), victim.cancel()))
    await pass_turns(100)
    result = [*told, [task.done() for task in tasks]]
    while not all(task.done() for task in tasks):
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0)
    return result


CASES = [(kind, False) for kind in STEPS] + [(kind, True) for kind in ("Lock", "Event", *QUEUES)]
SEMAPHORES = ("Semaphore", "BoundedSemaphore")
if sys.version_info >= (3, 13):
    CASES += [(kind, True) for kind in SEMAPHORES]
else:
    CASES = [case for case in CASES if case[0] not in SEMAPHORES]


@pytest.mark.stress
@pytest.mark.parametrize(
    ("kind", "cancelling"), CASES, ids=[f"{kind}-cancelled" if cancelling else kind for kind, cancelling in CASES]
)
def test_tasks_go_on_in_the_order_of_asyncio(kind, cancelling, seed):
    with asyncio.Runner() as runner:
        for number in range(seed, seed + PROGRAMS):
            expected = runner.run(history(asyncio, kind, number, cancelling))
            assert runner.run(history(oneloom.asyncio, kind, number, cancelling)) == expected, f"program {number}"
