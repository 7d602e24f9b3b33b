"""Threads that outlive the main thread, one of which waits for it."""
import atexit
import threading

atexit.register(print, "atexit", flush=True)


def wait_for_main():
    threading.main_thread().join()
    print("the main thread has ended", flush=True)


def wait_for(thread):
    thread.join()
    print("last", flush=True)


first = threading.Thread(target=wait_for_main)
first.start()
threading.Thread(target=wait_for, args=(first,)).start()
print("main", flush=True)
