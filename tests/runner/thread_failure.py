"""Threads that end by exceptions: uncaught, hooked, and the quiet one."""
import sys
import threading


def fail(what):
    raise ValueError(what)


class Worker(threading.Thread):
    def run(self):
        self.depth(3)

    def depth(self, n):
        if n:
            self.depth(n - 1)
        raise RuntimeError("in a subclass")


for thread in [threading.Thread(target=fail, args=("one",)), Worker(name="worker"), threading.Thread(target=sys.exit)]:
    thread.start()
    thread.join()

threading.excepthook = lambda args: print("hooked", args.exc_type, args.exc_value, args.thread.name)
thread = threading.Thread(target=fail, args=("two",))
thread.start()
thread.join()
threading.excepthook = threading.__excepthook__
timer = threading.Timer(0, fail, ["three"])
timer.start()
timer.join()
