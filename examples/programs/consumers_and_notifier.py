"""Two consumers wait on a condition, a notifier wakes first one of them, then both.

`notify` wakes the one who waits longest, `notify_all` everybody. The notifier must know that both wait, or its call
would be lost; a second condition over the same lock tells it.

It prints:

    notify woke Ada
    notify_all woke Ada and Bob
    for 10 ms nobody notified: False
"""

import threading

lock = threading.Lock()
somebody_waits = threading.Condition(lock)
go_on = threading.Condition(lock)
waiting = []
woken = []


def consume(turns):
    for _ in range(turns):
        with lock:
            waiting.append(threading.current_thread().name)
            somebody_waits.notify()
            go_on.wait()
            woken.append(threading.current_thread().name)
            somebody_waits.notify()


def notify(wake, expected):
    """Call one of the notifying methods once both consumers wait, and see whom it woke."""
    with lock:
        somebody_waits.wait_for(lambda: len(waiting) == 2)
        woken.clear()
        del waiting[:expected]
        wake()
        somebody_waits.wait_for(lambda: len(woken) == expected)
        return " and ".join(sorted(woken))


def main():
    # Ada waits first, so she is the one whom `notify` wakes, and comes back once more.
    ada = threading.Thread(target=consume, args=(2,), name="Ada")
    bob = threading.Thread(target=consume, args=(1,), name="Bob")
    ada.start()
    with lock:
        somebody_waits.wait_for(lambda: waiting == ["Ada"])
    bob.start()
    print("notify woke", notify(go_on.notify, 1))
    print("notify_all woke", notify(go_on.notify_all, 2))
    ada.join()
    bob.join()
    with go_on:
        print("for 10 ms nobody notified:", go_on.wait(timeout=0.01))


if __name__ == "__main__":
    main()
