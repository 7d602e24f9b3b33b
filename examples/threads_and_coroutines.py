"""The shared queue in a few lines: a coroutine puts, a thread gets, and the answers come back the same way.

    python examples/threads_and_coroutines.py
"""

import asyncio

import oneloom

questions: oneloom.Queue[int] = oneloom.Queue(maxsize=10)
answers: oneloom.Queue[str] = oneloom.Queue()


def square() -> None:
    for number in questions:  # ends when the queue is shut down and empty
        answers.put(f"{number} * {number} = {number * number}")
    answers.shutdown()


async def ask() -> None:
    for number in range(1, 6):
        await questions.put_async(number)
    questions.shutdown()


async def main() -> None:
    oneloom.Thread(target=square).start()
    asking = asyncio.create_task(ask())
    async for answer in answers:
        print(answer)
    await asking


if __name__ == "__main__":
    oneloom.run(main())
