"""Is interrupted, and does with it what the first argument says."""
import atexit
import os
import signal
import sys
import threading
import time

atexit.register(print, "atexit", flush=True)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(30)


match sys.argv[1]:
    case "uncaught":
        interrupt()
    case "finally":
        try:
            interrupt()
        finally:
            print("finally", flush=True)
    case "caught":
        try:
            interrupt()
        except KeyboardInterrupt:
            sys.exit("interrupted")
    case "handled":
        signal.signal(signal.SIGINT, lambda number, frame: sys.exit(number))
        interrupt()
    case "waiting":
        threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            raise KeyboardInterrupt from None
    case "subclass":
        raise type("Interrupt", (KeyboardInterrupt,), {})("of a kind")
