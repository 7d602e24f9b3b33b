"""A process that can be awaited: its target's value comes back to the coroutine, so does its exception, and so does its death.

    python examples/await_process.py
"""

import asyncio
import os

import oneloom


def largest_prime_factor(number: int) -> int:
    factor = 2
    while factor * factor <= number:
        if number % factor:
            factor += 1
        else:
            number //= factor
    return number


def parse(text: str) -> int:
    return int(text)


async def main() -> None:
    numbers = [600_851_475_143, 999_999_000_001]
    processes = [oneloom.Process(target=largest_prime_factor, args=(number,)) for number in numbers]
    for process in processes:
        process.start()
    print(*await asyncio.gather(*processes))  # the loop is free while the processes work, each on a core of its own

    # What fails in a process is printed there as ever, and raised here, with the traceback there as its cause.
    failing = oneloom.Process(target=parse, args=("seven",))
    failing.start()
    try:
        await failing
    except ValueError as error:
        print(f"the process failed: {error}")

    dying = oneloom.Process(target=os.abort, name="native code", start_method="spawn")
    dying.start()
    try:
        await dying
    except oneloom.WorkerDied as error:
        print(error)

    long = oneloom.Process(target=largest_prime_factor, args=(1_000_000_016_000_000_063,), daemon=True)
    long.start()
    try:
        await asyncio.wait_for(long, 0.1)  # giving up leaves the process running ...
    except TimeoutError:
        long.kill()  # ... until it is told to end
        await long.join_async()
        print("ended with", long.exitcode)


if __name__ == "__main__":
    oneloom.run(main())
