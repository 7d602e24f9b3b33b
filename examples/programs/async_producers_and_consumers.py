"""Coroutines that produce and consume through a small asyncio.Queue; every step is told, because the order is certain.

Two producers share a queue with room for two. Consumers never end by themselves: `join` says when all is done, then
they are cancelled.

It prints:

    bakery: put bread 1
    dairy: put milk 1
    Ada got bread 1
    Ada got milk 1
    bakery: put bread 2
    Bob got bread 2
    dairy: put milk 2
    Ada got milk 2
    bakery: put bread 3
    Bob got bread 3
    dairy: put milk 3
    Ada got milk 3
    all 6 goods dealt with; cancelled: [True, True]
    urgent first: pay, write, sleep
"""

import asyncio


async def produce(shop, goods, queue):
    for number in (1, 2, 3):
        await queue.put(f"{goods} {number}")
        print(f"{shop}: put {goods} {number}")
        await asyncio.sleep(0)  # let the others have their turn


async def consume(name, queue, dealt_with):
    while True:
        goods = await queue.get()
        print(f"{name} got {goods}")
        dealt_with.append(goods)
        queue.task_done()


async def trade():
    queue = asyncio.Queue(maxsize=2)
    dealt_with = []
    consumers = [asyncio.create_task(consume(name, queue, dealt_with)) for name in ("Ada", "Bob")]
    await asyncio.gather(produce("bakery", "bread", queue), produce("dairy", "milk", queue))
    await queue.join()
    for consumer in consumers:
        consumer.cancel()
    ends = await asyncio.gather(*consumers, return_exceptions=True)
    cancelled = [isinstance(end, asyncio.CancelledError) for end in ends]
    print(f"all {len(dealt_with)} goods dealt with; cancelled: {cancelled}")


async def choose():
    queue = asyncio.PriorityQueue()
    for errand in [(2, "write"), (9, "sleep"), (1, "pay")]:
        queue.put_nowait(errand)
    print("urgent first:", ", ".join([(await queue.get())[1] for _ in range(queue.qsize())]))


if __name__ == "__main__":
    asyncio.run(trade())
    asyncio.run(choose())
