"""Threads that outlive the main thread, and one that waits for it."""
import atexit
import threading
import time

atexit.register(print, "atexit", flush=True)


def wait_for_main():
    threading.main_thread().join()
    print("the main thread has ended", flush=True)


def late(gate):
    gate.wait()
    time.sleep(0.05)
    print("late", flush=True)


gate = threading.Event()
waiting = threading.Thread(target=wait_for_main)
waiting.start()
threading.Thread(target=late, args=(gate,)).start()
print("main", flush=True)
gate.set()
waiting.join(0)
