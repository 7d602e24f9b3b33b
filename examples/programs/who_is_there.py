"""Who runs in this process: threads by name, ident and state, before, during and after their lives.

It prints:

    only the main thread: ['MainThread'], 1
    not started: ident None, native_id None, alive False
    repr: <Thread(Ada, initial)>
    started, in order: ['MainThread', 'Ada', 'Thread-1 (wait)', 'Thread-2', 'Thread-3']
    repr: <Thread(Ada, started IDENT)>, <Clock(Thread-3, started daemon IDENT)>
    5 threads have 5 idents, 5 native ids
    renamed: 'Augusta', which she sees herself: ['Augusta']
    one that threading did not start: Dummy-4, daemon True
    all gone: ['MainThread'], repr <Thread(Augusta, stopped IDENT)>
    its ident stays: True, and 0 threads are alive
"""

import _thread
import queue
import re
import threading


class Clock(threading.Thread):
    def __init__(self, may_leave):
        super().__init__(daemon=True)
        self.may_leave = may_leave

    def run(self):
        self.may_leave.wait()


def names():
    return [thread.name for thread in threading.enumerate()]


def shown(thread):
    return re.sub(r"\b[0-9]{5,}\b", "IDENT", repr(thread))


def main():
    print(f"only the main thread: {names()}, {threading.active_count()}")
    may_leave, seen = threading.Event(), queue.Queue()

    def look():
        may_leave.wait()
        seen.put(threading.current_thread().name)

    ada = threading.Thread(target=look, name="Ada")
    print(f"not started: ident {ada.ident}, native_id {ada.native_id}, alive {ada.is_alive()}")
    print("repr:", shown(ada))
    unnamed = threading.Thread(target=may_leave.wait)
    timer = threading.Timer(3600, print, ["the timer rings"])
    threads = [ada, unnamed, timer, Clock(may_leave)]
    for thread in threads:
        thread.start()
    print("started, in order:", names())
    print(f"repr: {shown(ada)}, {shown(threads[-1])}")
    idents = {thread.ident for thread in threading.enumerate()}
    native_ids = {thread.native_id for thread in threading.enumerate()}
    print(threading.active_count(), "threads have", len(idents), "idents,", len(native_ids), "native ids")
    assert threading.get_ident() == threading.main_thread().ident
    assert threading.get_native_id() == threading.current_thread().native_id

    ada.name = "Augusta"
    timer.cancel()
    may_leave.set()
    for thread in threads:
        thread.join()
    print(f"renamed: {ada.name!r}, which she sees herself: {[seen.get()]}")

    def introduce():
        stranger = threading.current_thread()
        seen.put(f"{stranger.name}, daemon {stranger.daemon}")

    _thread.start_new_thread(introduce, ())
    print("one that threading did not start:", seen.get())
    print(f"all gone: {[name for name in names() if not name.startswith('Dummy')]}, repr {shown(ada)}")
    alive = sum(thread.is_alive() for thread in threads)
    print(f"its ident stays: {ada.ident in idents}, and {alive} threads are alive")


if __name__ == "__main__":
    main()
