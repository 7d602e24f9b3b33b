"""asyncio: queues, locks, threads, and an error at the end."""
import asyncio
import asyncio.subprocess
import sys
from asyncio.queues import Queue


async def produce(queue):
    for number in range(5):
        await queue.put(number)


async def fail():
    await asyncio.sleep(0)
    raise LookupError("in a task")


async def main():
    queue, lock, event = asyncio.Queue(2), asyncio.Lock(), asyncio.Event()
    print(isinstance(queue, Queue), queue.full(), lock.locked())
    producer = asyncio.create_task(produce(queue))
    async with lock:
        print([await queue.get() for _ in range(5)])
    await producer
    try:
        await asyncio.wait_for(event.wait(), 0.01)
    except TimeoutError as error:
        print(repr(error))
    print(await asyncio.to_thread(sum, [1, 2, 3]))
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "print('child')", stdout=asyncio.subprocess.PIPE)
    print(await child.communicate(), child.returncode)
    async with asyncio.TaskGroup() as group:
        group.create_task(fail())


asyncio.run(main())
