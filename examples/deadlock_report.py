"""Two threads take two `oneloom.Lock`s in opposite order: one of them gets an error at once, the other one goes on.

    python examples/deadlock_report.py
"""

import threading
import time

import oneloom

savings = oneloom.Lock(name="savings")
current = oneloom.Lock(name="current")
both_hold_one = oneloom.Barrier(2)


def transfer(source: oneloom.Lock, target: oneloom.Lock) -> None:
    name = threading.current_thread().name
    with source:
        both_hold_one.wait()
        start = time.perf_counter()
        try:
            with target:
                print(f"{name} moved money from {source.name} to {target.name}")
        except oneloom.DeadlockError as error:
            milliseconds = (time.perf_counter() - start) * 1000
            print(f"{name} was told after {milliseconds:.1f} ms:\n{error}\n")


def main() -> None:
    threads = [
        oneloom.Thread(target=transfer, args=(savings, current), name="Ada"),
        oneloom.Thread(target=transfer, args=(current, savings), name="Bob"),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
