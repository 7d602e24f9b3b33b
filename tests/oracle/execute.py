"""Runs a program on real threads and tasks through oneloom's public API, and writes its history.

Every call is written down before it is made and right after it. An actor ends quietly on the errors that a program of this
kind must expect (a deadlock, a cancel, the exception of a signal handler that came to help) and is recorded with any other.
"""

import asyncio
import contextlib
import itertools
import os
import signal
import threading
import time
import traceback
from collections import Counter

import oneloom

from . import program as p
from .history import BARE, OUTSIDE, RLOCK, WITH, History, Op


class Rescue(Exception):
    """Raised by the signal handler in the main thread when the controller asks for it."""


EXPECTED = (oneloom.DeadlockError, Rescue, asyncio.CancelledError, TimeoutError)


class Run:
    """One run of one program: its locks, threads and tasks, and what is known about them from outside."""

    def __init__(self, program, make_lock=oneloom.Lock, make_rlock=oneloom.RLock):
        self.program = program
        self.history = History()
        self.locks = [
            (make_rlock if kind == "rlock" else make_lock)(name=f"lock{number}")
            for number, kind in enumerate(program.locks)
        ]
        self.go = threading.Event()
        self.ended = threading.Event()
        self.threads = {}
        self.tasks = {}
        self.taken_over = Counter()  # by (actor, lock): bare holds that the controller released for their owner
        self.to_cancel = set()
        self.rescue = False
        self.unexpected = []
        self.left = itertools.count(1)
        self.total = len(program.actors) + len(program.loops)

    # --- starting -------------------------------------------------------------------------------------------------

    def bodies(self):
        """What each thread runs, by name."""
        plain = {a.name: lambda a=a: self.run_thread(a) for a in self.program.actors if not a.loop}
        return plain | {loop: lambda loop=loop: self.run_loop(loop) for loop in self.program.loops}

    def finish(self, name):
        self.history.end(name, Op("finish"))
        if next(self.left) == self.total:
            self.ended.set()

    def record(self, name, error):
        if not isinstance(error, EXPECTED):
            self.unexpected.append(f"{name}: {''.join(traceback.format_exception(error))}")

    def run_thread(self, actor):
        self.go.wait()
        try:
            _ThreadActor(self, actor.name).run(actor.steps)
        except BaseException as error:
            self.record(actor.name, error)
        self.finish(actor.name)

    def run_loop(self, name):
        loop = _new_loop(self.program.uvloop)
        try:
            self.go.wait()
            loop.run_until_complete(self.gather(name))
        except BaseException as error:
            self.record(name, error)
        finally:
            loop.close()
        self.finish(name)

    async def gather(self, name):
        for actor in self.program.actors:
            if actor.loop == name:
                task = asyncio.create_task(self.run_task(actor), name=actor.name)
                # A task that is cancelled before its first step never gets into its own body.
                task.add_done_callback(lambda _, name=actor.name: self.finish(name))
                self.tasks[actor.name] = task
                if actor.name in self.to_cancel:
                    task.cancel()
        # A task may end by a rescue that its loop's thread was given; the others still run to their ends.
        while waiting := [self.tasks[a.name] for a in self.program.actors if a.loop == name and not self.tasks[a.name].done()]:
            with contextlib.suppress(Rescue):
                await asyncio.wait(waiting)

    async def run_task(self, actor):
        try:
            await _TaskActor(self, actor.name).run(actor.steps)
        except BaseException as error:
            self.record(actor.name, error)

    # --- help from outside ----------------------------------------------------------------------------------------

    def cancel(self, name):
        self.to_cancel.add(name)
        task = self.tasks.get(name)
        if task is not None:
            with contextlib.suppress(RuntimeError):  # its loop has closed
                task.get_loop().call_soon_threadsafe(task.cancel)

    def cancel_from_outside(self, name):
        op = Op("cancel", name)
        self.history.begin(OUTSIDE, op)
        self.cancel(name)
        self.history.end(OUTSIDE, op)

    def take_over(self, owner, lock):
        op = Op("release", lock)
        self.taken_over[owner, lock] += 1
        self.history.begin(OUTSIDE, op)
        self.locks[lock].release()
        self.history.end(OUTSIDE, op)

    def raise_in_main(self):
        self.rescue = True
        os.kill(os.getpid(), signal.SIGUSR1)

    def on_signal(self, *_):
        """The handler of SIGUSR1 while a program with a handler runs."""
        if self.rescue and self.main_is_blocked():
            self.rescue = False
            raise Rescue

    def main_is_blocked(self):
        """Whether what runs on the main thread has begun a call and not ended it: only there may the handler raise."""
        on_main = {actor.name for actor in self.program.actors if self.program.main in (actor.name, actor.loop)}
        latest = next((event for event in reversed(self.history.events) if event.actor in on_main), None)
        return latest is not None and latest.phase == "begin" and latest.op.sync and latest.op.kind in ("acquire", "join")

    # --- after the end --------------------------------------------------------------------------------------------

    def left_behind(self):
        """What a run must not leave: waiters, and holds other than those of ended threads."""
        kept = {step.lock for actor in self.program.actors for step in actor.steps if isinstance(step, p.Keep)}
        words = []
        for number, lock in enumerate(self.locks):
            waiting = lock.statistics().waiting
            if waiting:
                words.append(f"lock{number} still has {waiting} waiters")
            if lock.locked() and number not in kept and self.program.locks[number] != "passing":
                words.append(f"lock{number} is still locked: {lock!r}")
        return words


def _new_loop(use_uvloop):
    if use_uvloop:
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


class _Actor:
    """What threads and tasks do alike: every step that blocks the thread, or does not wait at all."""

    def __init__(self, run, name):
        self.run_of, self.name = run, name
        self.begin = lambda op: run.history.begin(name, op)
        self.end = lambda op, outcome="done": run.history.end(name, op, outcome)

    def acquire_op(self, number, hold, sync=True, timed=False):
        return Op("acquire", number, RLOCK if self.run_of.program.locks[number] == "rlock" else hold, sync, timed)

    @contextlib.contextmanager
    def releasing(self, number):
        op = Op("release", number)
        self.begin(op)
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, oneloom.DeadlockError):
                raise
            self.end(op, "RuntimeError")
            # Only the giver of a passing lock may find it released already.
            if self.run_of.program.locks[number] != "passing":
                raise
        else:
            self.end(op)

    def release(self, number):
        if self.run_of.taken_over[self.name, number]:
            self.run_of.taken_over[self.name, number] -= 1
            return
        with self.releasing(number):
            self.run_of.locks[number].release()

    def wait(self, op, call):
        """One blocking call, written down; returns what it gave."""
        self.begin(op)
        try:
            value = call()
        except BaseException as error:
            self.end(op, type(error).__name__)
            raise
        self.end(op, "failed" if value is False else "done")
        return value

    def simple(self, step):
        """The steps that have no body; returns False if this is none of them."""
        match step:
            case p.Keep(number):
                self.wait(self.acquire_op(number, BARE), self.run_of.locks[number].acquire)
            case p.Take(number):
                self.wait(self.acquire_op(number, BARE), self.run_of.locks[number].acquire)
            case p.Give(number):
                with self.releasing(number):
                    self.run_of.locks[number].release()
            case p.Join(target, how, timeout):
                thread = self.run_of.threads[target]
                if timeout is None:
                    self.wait(Op("join", target), lambda: getattr(thread, how)() and None)
                else:
                    self.wait(Op("join", target, timed=True), lambda: (thread.join(timeout), not thread.is_alive())[1])
            case p.Cancel(target):
                op = Op("cancel", target)
                self.begin(op)
                self.run_of.cancel(target)
                self.end(op)
            case p.Signal():
                op = Op("signal")
                self.begin(op)
                os.kill(os.getpid(), signal.SIGUSR1)
                self.end(op)
            case _:
                return False
        return True


class _ThreadActor(_Actor):
    def run(self, steps):
        for step in steps:
            match step:
                case p.Pause(seconds):
                    time.sleep(seconds)
                case p.With(number, body, guarded):
                    with contextlib.suppress(oneloom.DeadlockError) if guarded else contextlib.nullcontext():
                        self.with_lock(number, body)
                case p.Acquire(number, body, blocking, timeout):
                    timed = timeout is not None or not blocking
                    arguments = {"timeout": timeout} if blocking else {"blocking": False}
                    lock = self.run_of.locks[number]
                    if self.wait(self.acquire_op(number, BARE, timed=timed), lambda: lock.acquire(**arguments)):
                        try:
                            self.run(body)
                        finally:
                            self.release(number)
                case _:
                    assert self.simple(step), step

    def with_lock(self, number, body):
        acquire, release = self.acquire_op(number, WITH), Op("release", number)
        entered = False
        self.begin(acquire)
        try:
            with self.run_of.locks[number]:
                entered = True
                self.end(acquire)
                try:
                    self.run(body)
                finally:
                    self.begin(release)
        except BaseException as error:
            if entered:
                self.end(release)
            else:
                self.end(acquire, type(error).__name__)
            raise
        self.end(release)


class _TaskActor(_Actor):
    async def run(self, steps):
        for step in steps:
            match step:
                case p.Pause(seconds):
                    await asyncio.sleep(seconds)
                case p.With(number, body, guarded) | p.AsyncWith(number, body, guarded):
                    with contextlib.suppress(oneloom.DeadlockError) if guarded else contextlib.nullcontext():
                        await self.with_lock(number, body, isinstance(step, p.With))
                case p.Acquire(number, body, blocking, timeout):
                    timed = timeout is not None or not blocking
                    arguments = {"timeout": timeout} if blocking else {"blocking": False}
                    lock = self.run_of.locks[number]
                    if self.wait(self.acquire_op(number, BARE, timed=timed), lambda: lock.acquire(**arguments)):
                        await self.run_holding(number, body)
                case p.AcquireAsync(number, body, timeout):
                    op = self.acquire_op(number, BARE, sync=False, timed=timeout is not None)
                    if await self.wait_async(op, self.run_of.locks[number].acquire_async(timeout=timeout)):
                        await self.run_holding(number, body)
                case p.Timeout(seconds, body):
                    await self.with_timeout(seconds, body)
                case p.JoinAsync(target, how):
                    thread = self.run_of.threads[target]
                    await self.wait_async(Op("join", target, sync=False), thread if how == "await" else thread.join_async())
                case _:
                    assert self.simple(step), step

    async def run_holding(self, number, body):
        try:
            await self.run(body)
        finally:
            self.release(number)

    async def wait_async(self, op, awaitable):
        self.begin(op)
        try:
            value = await awaitable
        except BaseException as error:
            self.end(op, type(error).__name__)
            raise
        self.end(op, "failed" if value is False else "done")
        return value

    async def with_timeout(self, seconds, body):
        op = Op("timeout")
        self.begin(op)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.run(body)
        finally:
            self.end(op)

    async def with_lock(self, number, body, sync):
        acquire, release = self.acquire_op(number, WITH, sync), Op("release", number)
        lock = self.run_of.locks[number]
        entered = False

        async def inside():
            nonlocal entered
            entered = True
            self.end(acquire)
            try:
                await self.run(body)
            finally:
                self.begin(release)

        self.begin(acquire)
        try:
            if sync:
                with lock:
                    await inside()
            else:
                async with lock:
                    await inside()
        except BaseException as error:
            if entered:
                self.end(release)
            else:
                self.end(acquire, type(error).__name__)
            raise
        self.end(release)
