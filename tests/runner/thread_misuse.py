"""A thread started twice: the error is threading's own."""
import threading

thread = threading.Thread(target=print, args=("once",))
thread.start()
thread.join()
try:
    threading.current_thread().join()
except RuntimeError as error:
    print(error)
try:
    threading.Thread().join()
except RuntimeError as error:
    print(error)
thread.start()
