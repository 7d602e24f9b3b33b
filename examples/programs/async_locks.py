"""Coroutines that wait for each other: asyncio's Lock, Event, Condition and semaphores, each first come, first served.

It prints:

    lock: ['Ada in', 'Ada out', 'Bob in', 'Bob out', 'Cyd in', 'Cyd out']
    lock, after a cancelled and a timed-out wait: free
    event: before False, woken in order ['Ada', 'Bob', 'Cyd']
    condition: notify(2) woke ['Ada', 'Bob'], then notify_all ['Ada', 'Bob', 'Cyd']
    condition: wait_for saw 3
    semaphore: 6 visits, at most 2 at once
    bounded semaphore: BoundedSemaphore released too many times
    not held: Lock is not acquired.
"""

import asyncio

NAMES = ("Ada", "Bob", "Cyd")


async def take_turns():
    lock, told = asyncio.Lock(), []

    async def visit(name):
        async with lock:
            told.append(f"{name} in")
            await asyncio.sleep(0)
            told.append(f"{name} out")

    await asyncio.gather(*map(visit, NAMES))
    print("lock:", told)


async def give_up():
    lock = asyncio.Lock()
    async with lock:
        impatient = asyncio.create_task(lock.acquire())
        await asyncio.sleep(0)
        impatient.cancel()
        try:
            await asyncio.wait_for(lock.acquire(), timeout=0.01)
        except TimeoutError:
            pass
    print("lock, after a cancelled and a timed-out wait:", "taken" if lock.locked() else "free")


async def wait_for_an_event():
    event, woken = asyncio.Event(), []

    async def wait(name):
        await event.wait()
        woken.append(name)

    before = event.is_set()
    async with asyncio.TaskGroup() as group:
        for name in NAMES:
            group.create_task(wait(name))
        await asyncio.sleep(0)
        event.set()
    print(f"event: before {before}, woken in order {woken}")


async def notify():
    condition, woken = asyncio.Condition(), []

    async def wait(name):
        async with condition:
            await condition.wait()
            woken.append(name)

    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(wait(name)) for name in NAMES]
        await asyncio.sleep(0)
        async with condition:
            condition.notify(2)
        await asyncio.wait(waiting[:2])
        first = list(woken)
        async with condition:
            condition.notify_all()
    print(f"condition: notify(2) woke {first}, then notify_all {woken}")


async def wait_for_a_number():
    condition, number = asyncio.Condition(), 0

    async def count():
        nonlocal number
        for _ in range(5):
            async with condition:
                number += 1
                condition.notify()
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    async with condition:
        await condition.wait_for(lambda: number >= 3)
        print("condition: wait_for saw", number)
    await counting


async def share_two_permits():
    permits, inside, most_inside, visits = asyncio.Semaphore(2), 0, 0, 0

    async def visit():
        nonlocal inside, most_inside, visits
        async with permits:
            inside += 1
            visits += 1
            most_inside = max(most_inside, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(visit() for _ in range(6)))
    print(f"semaphore: {visits} visits, at most {most_inside} at once")


async def make_mistakes():
    try:
        asyncio.BoundedSemaphore(1).release()
    except ValueError as error:
        print("bounded semaphore:", error)
    try:
        asyncio.Lock().release()
    except RuntimeError as error:
        print("not held:", error)


async def main():
    await take_turns()
    await give_up()
    await wait_for_an_event()
    await notify()
    await wait_for_a_number()
    await share_two_permits()
    await make_mistakes()


if __name__ == "__main__":
    asyncio.run(main())
