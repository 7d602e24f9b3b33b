"""A suite of `unittest`, which pytest runs as well: threads, coroutines, logs, and tests that fail."""
import asyncio
import logging
import threading
import unittest


class Threads(unittest.TestCase):
    def test_log_of_a_thread(self):
        with self.assertLogs("log") as logs:
            thread = threading.Thread(target=logging.getLogger("log").info, args=("hello",))
            thread.start()
            thread.join()
        self.assertEqual(logs.output, ["INFO:log:hello"])

    def test_that_fails(self):
        self.fail("on purpose")

    def test_error_of_a_lock(self):
        threading.RLock().release()


class Coroutines(unittest.IsolatedAsyncioTestCase):
    async def test_queue(self):
        jobs = asyncio.Queue(1)
        await jobs.put(1)
        self.assertEqual(await jobs.get(), 1)

    async def test_that_fails(self):
        async with asyncio.Lock():
            raise ValueError("on purpose")


if __name__ == "__main__":
    unittest.main()
