"""Daemon threads end where they stand when the program ends; all other threads are waited for.

Neither the `finally` nor the last line of a daemon thread is ever reached, whatever it was waiting for.

It prints:

    4 daemon threads wait
    the main thread is done
    a foreground thread outlives it
    at exit
"""

import atexit
import queue
import threading
import time

locked = threading.Lock()
locked.acquire()

WAYS_TO_WAIT = {
    "for an event": threading.Event().wait,
    "for an item": queue.Queue().get,
    "for a lock": locked.acquire,
    "for a better time": lambda: time.sleep(3600),
}


def wait(begun, how):
    try:
        begun.wait()
        WAYS_TO_WAIT[how]()
        print("never reached, waiting", how)
    finally:
        print("never reached either")


def outlive_the_main_thread():
    threading.main_thread().join()
    print("a foreground thread outlives it")


def main():
    atexit.register(print, "at exit")
    begun = threading.Barrier(len(WAYS_TO_WAIT) + 1)
    for how in WAYS_TO_WAIT:
        threading.Thread(target=wait, args=(begun, how), daemon=True).start()
    begun.wait()
    print(sum(thread.daemon for thread in threading.enumerate()), "daemon threads wait")
    threading.Thread(target=outlive_the_main_thread).start()
    print("the main thread is done")


if __name__ == "__main__":
    main()
