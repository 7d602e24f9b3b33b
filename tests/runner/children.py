"""Whose threading do the children of multiprocessing have? Started by the method that the first argument names."""
import multiprocessing
import sys
import threading


def report(connection):
    import asyncio
    import queue

    def grandchild(connection):
        connection.send(threading.Lock.__module__)

    connection.send([thing.__module__ for thing in (threading.Thread, queue.Queue, asyncio.Queue)])
    context = multiprocessing.get_context("fork")
    process = context.Process(target=grandchild, args=(connection,))
    process.start()
    process.join()


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    ours, theirs = context.Pipe()
    child = context.Process(target=report, args=(theirs,))
    child.start()
    theirs.close()
    print(ours.recv(), ours.recv())
    child.join()
    with context.Pool(2) as pool:
        print(pool.map(abs, [-1, -2, -3]), child.exitcode)
    with context.Manager() as manager:
        jobs, lock, barrier = manager.Queue(), manager.Lock(), manager.Barrier(1)
        with lock:
            jobs.put("managed")
        print(jobs.get(), barrier.wait(), context.Barrier(1).wait(), context.Lock().acquire())
