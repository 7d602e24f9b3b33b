"""What the tests of processes share: starting one, and what it runs, importable so that every start method finds it."""

import os
import signal
import sys
import threading
import time

import oneloom
from oneloom import WorkerDied

METHODS = ["fork", "spawn", "forkserver"]
PATIENCE = 60


def started(target=None, *args, method="fork", **kwargs):
    process = oneloom.Process(target=target, args=args, start_method=method, **kwargs)
    process.start()
    return process


async def awaited(process):
    return await process


def fail(*args):
    error = ValueError(*args)
    error.add_note("a note")
    raise error


class Secretive(Exception):
    """An exception that pickles, and can't be unpickled."""

    def __init__(self, one, two):
        super().__init__(one)


class Disguised(Exception):
    """An exception that comes out of a pickle as something else."""

    def __reduce__(self):
        return str, ("no error",)


class Holder:
    def __init__(self):
        self.lock = threading.Lock()


def give_unpicklable():
    return {"fine": 1, "found": [2, (3, Holder())]}


def give_cyclic():
    cycle = [1]
    cycle.append(cycle)
    cycle.append(threading.Lock())
    return cycle


def give_function():
    return lambda: 5


def raise_unpicklable():
    raise KeyError("key", threading.Lock())


def raise_disguised():
    raise Disguised


def raise_secretive():
    raise Secretive(1, 2)


def raise_worker_died():
    raise WorkerDied("a worker of mine", 7)


def give_bytes(size):
    return b"x" * size


def exit_with(status):
    sys.exit(status)


def leave(status):
    os._exit(status)


def die(number):
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    time.sleep(60)


def wait_for(event):
    return event.wait(60)


def take_and_give(numbers, answers, lock):
    for number in numbers:
        with lock:
            answers.put(2 * number)
    return os.getpid()


def fork_and_return(event):
    """Comes back twice: in the child, and in a grandchild that ends later."""
    pid = os.fork()
    if pid:
        return pid
    event.wait(60)
    return "the grandchild's"


def fork_and_leave():
    """Its grandchild returns; it does not."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        os._exit(3)
    return "the grandchild's"


def end_late(event):
    """Its thread goes on when the target has returned."""
    threading.Thread(target=event.wait, args=(60,)).start()
    return "early"


def start_another(method):
    process = oneloom.Process(target=pow, args=(3, 2), start_method=method)
    process.start()
    return process.result(), os.getpid()


class Counting(oneloom.Process):
    def __init__(self, number):
        super().__init__(name=f"counting {number}", start_method="spawn")
        self.number = number

    def run(self):
        return list(range(self.number))


class Around(oneloom.Process):
    def run(self):
        self.before = True
        super().run()
