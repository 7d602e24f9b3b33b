"""Coroutines that call blocking functions, in threads and in processes: together they take as long as the slowest.

The calls' own times, added up, are what one call after the other would take.

It prints:

    threads: ['bread', 'milk', 'eggs']
    threads took less time than one call after the other: True
    processes: ['bread', 'milk', 'eggs']
    processes took less time than one call after the other: True
    both at once: bread by a thread, milk by a process
    both took less time than one call after the other: True
    the loop ran meanwhile: True
    an error comes back: LookupError('no shop has unicorns')
    given up after 20 ms, and the pool goes on: 'milk'
"""

import asyncio
import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

GOODS = {"bread": 0.2, "milk": 0.15, "eggs": 0.1}  # how many seconds it takes to fetch them


def fetch(what):
    """Blocks for a while. Returns what was fetched, by whom, and the seconds it took."""
    start = time.monotonic()
    if what not in GOODS:
        raise LookupError(f"no shop has {what}")
    time.sleep(GOODS[what])
    return what, os.getpid(), time.monotonic() - start


def be_there():
    return None


async def fetch_all(loop, *calls):
    """The outcomes, and whether all calls together took less time than one after the other."""
    start = time.monotonic()
    outcomes = await asyncio.gather(*(loop.run_in_executor(pool, fetch, what) for pool, what in calls))
    seconds = time.monotonic() - start
    return outcomes, seconds < sum(own for _, _, own in outcomes)


async def fetch_from_each(loop, pools):
    for kind, pool in pools.items():
        outcomes, faster = await fetch_all(loop, *((pool, what) for what in GOODS))
        print(f"{kind}: {[what for what, _, _ in outcomes]}")
        print(f"{kind} took less time than one call after the other: {faster}")
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    outcomes, faster = await fetch_all(loop, (pools["threads"], "bread"), (pools["processes"], "milk"))
    ticking.cancel()
    by = ["a thread" if process == os.getpid() else "a process" for _, process, _ in outcomes]
    print(f"both at once: bread by {by[0]}, milk by {by[1]}")
    print(f"both took less time than one call after the other: {faster}")
    print(f"the loop ran meanwhile: {ticks > 0}")


async def go_wrong(loop, pools):
    try:
        await loop.run_in_executor(pools["processes"], fetch, "unicorns")
    except LookupError as error:
        print(f"an error comes back: {error!r}")
    may_end = threading.Event()
    try:
        await asyncio.wait_for(loop.run_in_executor(pools["threads"], may_end.wait), 0.02)
    except TimeoutError:
        what, _, _ = await loop.run_in_executor(pools["threads"], fetch, "milk")
        print(f"given up after 20 ms, and the pool goes on: {what!r}")
    may_end.set()


async def main():
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(3) as threads, ProcessPoolExecutor(3) as processes:
        pools = {"threads": threads, "processes": processes}
        for pool in pools.values():  # The workers' start is not what is measured.
            await asyncio.gather(*(loop.run_in_executor(pool, be_there) for _ in range(3)))
        await fetch_from_each(loop, pools)
        await go_wrong(loop, pools)


if __name__ == "__main__":
    asyncio.run(main())
