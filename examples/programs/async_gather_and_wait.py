"""Many coroutines at once: `gather`, `wait`, `as_completed`, `wait_for` and TaskGroup, and what becomes of errors.

Who is done first is decided by events, not by the clock. The last error is nobody's, and ends the program with its
traceback and status 1.

It prints:

    gather keeps the order: ['slow', 'quick']
    gather, errors as results: ['quick', ValueError('broken')]
    gather, first error: broken; the other one went on: slow
    wait, first completed: done ['quick'], pending ['slow']
    wait, first exception: done ['broken'], pending ['slow']
    wait, 10 ms: done [], pending ['slow']
    as_completed: ['quick', 'slow']
    wait_for, 10 ms: TimeoutError, cancelled True
    group: broken, and the slow one was cancelled: True
"""

import asyncio


async def quick():
    return "quick"


async def slow(may_end):
    await may_end.wait()
    return "slow"


async def broken():
    raise ValueError("broken")


def names(tasks):
    return sorted(task.get_name() for task in tasks)


async def gather():
    may_end = asyncio.Event()

    async def let_end():
        may_end.set()
        return "quick"

    print("gather keeps the order:", await asyncio.gather(slow(may_end), let_end()))
    print("gather, errors as results:", await asyncio.gather(quick(), broken(), return_exceptions=True))
    may_end.clear()
    other = asyncio.create_task(slow(may_end))
    try:
        await asyncio.gather(other, broken())
    except ValueError as error:
        may_end.set()
        print(f"gather, first error: {error}; the other one went on: {await other}")


async def wait(label, *others, **how):
    may_end = asyncio.Event()
    tasks = [asyncio.create_task(slow(may_end), name="slow")]
    tasks += [asyncio.create_task(other(), name=other.__name__) for other in others]
    done, pending = await asyncio.wait(tasks, **how)
    print(f"wait, {label}: done {names(done)}, pending {names(pending)}")
    may_end.set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def as_completed():
    may_end = asyncio.Event()
    results = []
    for next_one in asyncio.as_completed([slow(may_end), quick()]):
        results.append(await next_one)
        may_end.set()
    print("as_completed:", results)


async def wait_for():
    never = asyncio.create_task(slow(asyncio.Event()))
    try:
        await asyncio.wait_for(never, timeout=0.01)
    except TimeoutError as error:
        print(f"wait_for, 10 ms: {type(error).__name__}, cancelled {never.cancelled()}")


async def group():
    try:
        async with asyncio.TaskGroup() as tasks:
            never = tasks.create_task(slow(asyncio.Event()))
            tasks.create_task(broken())
    except* ValueError as errors:
        print(f"group: {errors.exceptions[0]}, and the slow one was cancelled: {never.cancelled()}")


async def main():
    await gather()
    await wait("first completed", quick, return_when=asyncio.FIRST_COMPLETED)
    await wait("first exception", broken, return_when=asyncio.FIRST_EXCEPTION)
    await wait("10 ms", timeout=0.01)
    await as_completed()
    await wait_for()
    await group()
    await broken()


if __name__ == "__main__":
    asyncio.run(main())
