"""A thread that can be awaited: its target's value comes back to the coroutine, and so does its exception.

    python examples/await_thread.py
"""

import asyncio
import threading
import zlib

import oneloom


def checksum(data: bytes) -> int:
    return zlib.crc32(data)


def parse(text: str) -> int:
    return int(text)


async def main() -> None:
    threads = [oneloom.Thread(target=checksum, args=(bytes([byte]) * 1_000_000,)) for byte in range(3)]
    for thread in threads:
        thread.start()
    for value in await asyncio.gather(*threads):  # the loop is free while the threads work
        print(f"checksum {value:08x}")

    # A thread's exception is also shown by threading.excepthook, as ever; here awaiting it is enough.
    threading.excepthook = lambda details: None
    failing = oneloom.Thread(target=parse, args=("seven",))
    failing.start()
    try:
        await failing
    except ValueError as error:
        print(f"the thread failed: {error}")


if __name__ == "__main__":
    oneloom.run(main())
