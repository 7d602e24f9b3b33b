"""Daemon threads, which the end of the program cuts off."""
import threading
import time

started = threading.Event()


def forever():
    started.set()
    while True:
        time.sleep(3600)


def blocked():
    threading.Event().wait()


for target in [forever, blocked]:
    threading.Thread(target=target, daemon=True).start()
started.wait()
print("the end")
