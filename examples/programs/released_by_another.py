"""A Lock has no owner: another thread may release it, a timer too. An RLock has one, and minds.

It prints:

    taken by the main thread, and free again by thread 'Ada'
    taken again; the timer let the main thread in
    within 10 ms nobody released it: False
    releasing a free one: release unlocked lock
    an RLock refuses one who does not hold it: RuntimeError
    held twice, released twice, and now free for others: True
"""

import threading


def let_another_release(lock):
    lock.acquire()
    ada = threading.Thread(target=lock.release, name="Ada")
    ada.start()
    lock.acquire()
    print(f"taken by the main thread, and free again by thread {ada.name!r}")
    lock.release()


def let_a_timer_release(lock):
    lock.acquire()
    threading.Timer(0.02, lock.release).start()
    with lock:
        print("taken again; the timer let the main thread in")
        print("within 10 ms nobody released it:", lock.acquire(timeout=0.01))


def release_once_too_often(lock):
    try:
        lock.release()
    except RuntimeError as error:
        print("releasing a free one:", error)


def refuse_to_release(lock):
    def release():
        try:
            lock.release()
        except RuntimeError as error:
            print("an RLock refuses one who does not hold it:", type(error).__name__)

    def try_to_take():
        print("held twice, released twice, and now free for others:", lock.acquire(blocking=False))

    with lock, lock:
        call_in_thread(release)
    call_in_thread(try_to_take)


def call_in_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


if __name__ == "__main__":
    lock = threading.Lock()
    let_another_release(lock)
    let_a_timer_release(lock)
    release_once_too_often(lock)
    refuse_to_release(threading.RLock())
