"""What functions given to `setprofile` and `settrace` see, of this thread and of others."""
import queue
import sys
import threading
import tracemalloc

seen = []


def watch(frame, event, argument):
    if frame.f_code.co_name in ("work", "helper"):
        seen.append((threading.current_thread().name, event, frame.f_code.co_name, frame.f_lineno))
    return watch


def work():
    return helper()


def helper():
    return [bytes(1000) for _ in range(100)]


def tell(what):
    print(what, seen)
    seen.clear()


def in_thread():
    thread = threading.Thread(target=work, name="other")
    thread.start()
    thread.join()


threading.setprofile(watch)
in_thread()
threading.setprofile(None)
tell("threading.setprofile")
threading.settrace(watch)
in_thread()
threading.settrace(None)
tell("threading.settrace")

calls = []
lock, jobs = threading.Lock(), queue.Queue()
sys.setprofile(lambda frame, event, argument: calls.append((event, getattr(argument, "__name__", None))))
lock.acquire()
lock.release()
sys.setprofile(None)
print(calls)

if sys.version_info >= (3, 12):
    go = threading.Event()
    thread = threading.Thread(target=lambda: go.wait() and work(), name="running")
    thread.start()
    threading.setprofile_all_threads(watch)
    go.set()
    thread.join()
    threading.setprofile_all_threads(None)
    tell("threading.setprofile_all_threads")

tracemalloc.start()
kept = []
thread = threading.Thread(target=lambda: kept.append(helper()))
thread.start()
thread.join()
here = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, __file__)])
largest = here.statistics("lineno")[0]
print(largest.traceback[0].lineno, largest.size > 100_000)
