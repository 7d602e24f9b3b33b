"""A pool of processes, started in the way that the first argument names."""
import concurrent.futures
import multiprocessing
import os
import queue
import sys
import threading


def fail(what):
    raise ValueError(what)


def whose(_):
    return threading.RLock().__class__.__module__, queue.Queue.__module__


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        print(list(pool.map(abs, [-1, -2])), pool.submit(whose, 0).result() == whose(0))
        try:
            pool.submit(fail, "in a process").result()
        except ValueError as error:
            print(repr(error))
        try:
            pool.submit(os._exit, 3).result()
        except concurrent.futures.BrokenExecutor as error:
            print(repr(error))
