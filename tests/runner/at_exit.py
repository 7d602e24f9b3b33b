"""What runs at exit, in its order, after an exception."""
import atexit
import sys
import threading


class Last:
    def __del__(self):
        print("deleted", flush=True)


def failing():
    raise LookupError("at exit")


atexit.register(print, "first registered", flush=True)
atexit.register(failing)
atexit.register(lambda: print(sys.argv[0], "__file__" in globals(), flush=True))
threading._register_atexit(print, "before the threads are joined", flush=True)
last = Last()
raise SystemError("main")
