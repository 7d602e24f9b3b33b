"""A fork with threads about, whose child ends by itself."""
import os
import threading
import warnings

warnings.simplefilter("ignore")
lock = threading.Lock()
done = threading.Event()
thread = threading.Thread(target=done.wait)
thread.start()
pid = os.fork()
if not pid:
    with lock:
        print("child", threading.active_count(), threading.current_thread().name, thread.is_alive(), flush=True)
    thread.join()
    raise SystemExit(7)
print("parent", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), thread.is_alive(), flush=True)
done.set()
