"""What misuse is answered with."""
import queue
import threading


def attempt(label, call):
    try:
        print(label, call())
    except Exception as error:
        print(label, type(error).__module__, type(error).__name__, error)


attempt("lock", threading.Lock().release)
attempt("rlock", threading.RLock().release)
rlock = threading.RLock()
thread = threading.Thread(target=rlock.acquire)
thread.start()
thread.join()
attempt("somebody else's rlock", rlock.release)
attempt("bounded", threading.BoundedSemaphore().release)
attempt("semaphore", lambda: threading.Semaphore(-1))
attempt("notify", threading.Condition().notify)
attempt("wait", threading.Condition().wait)
try:
    threading.Lock().acquire(timeout=-2)
except ValueError:  # Its text is another one in each version of CPython.
    print("timeout refused")
attempt("unblocked", lambda: threading.Lock().acquire(False, 1))
attempt("task_done", queue.Queue().task_done)
attempt("empty", queue.Queue().get_nowait)
attempt("negative", lambda: queue.Queue().get(timeout=-1))
full = queue.Queue(1)
full.put(1)
attempt("full", lambda: full.put_nowait(2))
attempt("barrier", lambda: threading.Barrier(2).wait(0.01))
