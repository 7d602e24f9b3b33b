"""Logging through queues, and in children that were forked while a thread held one of logging's locks."""
import logging
import logging.handlers
import os
import queue
import sys
import threading
import warnings

warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads, with the process's id in its text


class Print(logging.Handler):
    def emit(self, record):
        print(record.threadName, record.getMessage(), flush=True)


records = queue.Queue()
to_queue, direct = logging.getLogger("to queue"), logging.getLogger("direct")
to_queue.addHandler(logging.handlers.QueueHandler(records))
printing = Print()
direct.addHandler(printing)
listener = logging.handlers.QueueListener(records, Print())
listener.start()
for number in range(3):
    thread = threading.Thread(target=to_queue.error, args=("number %d", number), name=f"logger-{number}")
    thread.start()
    thread.join()
listener.stop()
print([type(lock) is type(threading.RLock()) for lock in (logging._lock, printing.lock)])


def hold(lock):
    with lock:
        held.set()
        done.wait()


def fork():
    child = os.fork()
    if child == 0:
        direct.error("in the child")
        os._exit(0)
    print(os.waitpid(child, 0)[1])


for lock in (logging._lock, printing.lock):
    held, done = threading.Event(), threading.Event()
    holder = threading.Thread(target=hold, args=(lock,))
    holder.start()
    held.wait()
    # logging waits for its own lock before a fork, and resets its handlers' locks after it.
    forker = threading.Thread(target=fork)
    forker.start()
    if lock is printing.lock:
        forker.join()
    done.set()
    holder.join()
    forker.join()
