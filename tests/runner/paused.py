"""Stops in the debugger, in a thread and in the main thread."""
import threading


def add_one(x):
    breakpoint()
    return x + 1


thread = threading.Thread(target=lambda: print(add_one(1)))
thread.start()
thread.join()
print(add_one(2))
