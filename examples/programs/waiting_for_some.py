"""Not all results at once: `wait` for the first, for an error, for so long, and `as_completed`.

Each task ends when it is told so: here nothing depends on how fast the machine is.

It prints:

    threads, first completed: done ['quick'], not done ['broken', 'slow']
    threads, within 20 ms: done ['quick'], not done ['broken', 'slow']
    threads, first exception: done ['broken', 'quick'], not done ['slow']
    threads, as completed within 20 ms: 'quick', then 1 (of 2) futures unfinished
    threads, all completed: done ['broken', 'quick', 'slow'], not done []
    processes, first completed: done ['quick'], not done ['broken', 'slow']
    processes, within 20 ms: done ['quick'], not done ['broken', 'slow']
    processes, first exception: done ['broken', 'quick'], not done ['slow']
    processes, as completed within 20 ms: 'quick', then 1 (of 2) futures unfinished
    processes, all completed: done ['broken', 'quick', 'slow'], not done []
    threads and processes in one wait: 20
    nothing to wait for: DoneAndNotDoneFutures(done=set(), not_done=set())
"""

import multiprocessing
import threading
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures import as_completed, wait

gates = {}  # of this process: by a task's name, what it waits for


def open_gates(these):
    gates.update(these)


def pass_gate(name):
    gates[name].wait()
    if name == "broken":
        raise ValueError(name)
    return name


def wait_for_some(kind, executor, event):
    names = {}

    def told(what, outcome):
        done, not_done = (sorted(names[future] for future in futures) for futures in outcome)
        print(f"{kind}, {what}: done {done}, not done {not_done}")

    with executor:
        for name in ("quick", "broken", "slow"):
            names[executor.submit(pass_gate, name)] = name
        quick, broken, slow = names
        event["quick"].set()
        told("first completed", wait(names, return_when=FIRST_COMPLETED))
        told("within 20 ms", wait(names, timeout=0.02))
        event["broken"].set()
        told("first exception", wait(names, return_when=FIRST_EXCEPTION))
        try:
            for future in as_completed([quick, slow], timeout=0.02):
                print(f"{kind}, as completed within 20 ms: {future.result()!r}", end=", then ")
        except TimeoutError as error:
            print(error)
        event["slow"].set()
        told("all completed", wait(names))


def wait_for_both():
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(1) as processes:
        futures = [pool.submit(pow, number, 2) for pool in (threads, processes) for number in (1, 3)]
        done, not_done = wait(futures)
        assert not not_done
        print("threads and processes in one wait:", sum(future.result() for future in as_completed(done)))
    print("nothing to wait for:", wait([]))


if __name__ == "__main__":
    for kind, pool, event in (
        ("threads", ThreadPoolExecutor, threading.Event),
        ("processes", ProcessPoolExecutor, multiprocessing.Event),
    ):
        events = {name: event() for name in ("quick", "broken", "slow")}
        wait_for_some(kind, pool(3, initializer=open_gates, initargs=(events,)), events)
    wait_for_both()
