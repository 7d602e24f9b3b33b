"""An ordinary program with a mistake: two threads take two locks in opposite order, and wait for each other.

It knows nothing of oneloom. Under plain Python it hangs; under oneloom it says why, and ends:

    python examples/two_locks.py
    python -m oneloom examples/two_locks.py
"""

import threading

savings = threading.Lock()
current = threading.Lock()
both_hold_one = threading.Barrier(2)


def transfer(source, target, text):
    with source:
        both_hold_one.wait()
        with target:
            print(text, flush=True)


def main():
    threads = [
        threading.Thread(target=transfer, args=(savings, current, "moved from savings to current"), name="Ada"),
        threading.Thread(target=transfer, args=(current, savings, "moved from current to savings"), name="Bob"),
    ]
    print("Ada and Bob move money between two accounts", flush=True)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("both are done", flush=True)


if __name__ == "__main__":
    main()
