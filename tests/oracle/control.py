"""The controller of a run: it sees when nobody can move any more, waits for the answer to a certain deadlock, and helps in
every other one, since there help from outside is possible: it releases a bare hold, cancels a task, or sends a signal
whose handler raises. So every program ends, and a DeadlockError where help was possible is caught as invented.
"""

import contextlib
import os
import queue
import signal
import threading
import time
import traceback
from dataclasses import dataclass

import oneloom

from .execute import Run
from .history import BARE
from .judge import Finding, State, judge

# How long a certain deadlock may go unanswered, and how long somebody who can move may not move.
ANSWER_DEADLINE = 15.0
MOVE_DEADLINE = 20.0
# How long nobody must take a free lock before it counts as handed to a task that cannot run.
HANDED = 0.25


@dataclass
class Verdict:
    """What came of one program."""

    program: object
    history: object
    findings: list
    errors: int  # DeadlockErrors that were raised
    rescues: int  # times that the controller helped
    given_up: bool  # its history became ambiguous: judged up to there
    stuck: bool  # it hangs still: this process cannot go on to another program


class Pool:
    """Threads that serve many programs, so that their slots are used again and again."""

    def __init__(self):
        self.idle = []

    def start(self, body):
        jobs = self.idle.pop() if self.idle else self.grow()
        jobs.put(body)

    def grow(self):
        jobs = queue.SimpleQueue()

        def serve():
            while True:
                jobs.get()()
                self.idle.append(jobs)

        threading.Thread(target=serve, daemon=True, name="pooled").start()
        return jobs


class Conductor:
    """Runs programs one after another; made and used on the main thread.

    A program that hangs may hold the main thread fast: `on_hang` is then called with its verdict on the controller's thread,
    and has to end the process.
    """

    def __init__(self, on_hang, answer_deadline=ANSWER_DEADLINE, move_deadline=MOVE_DEADLINE, **makers):
        self.on_hang = on_hang
        self.pool = Pool()
        self.answer_deadline, self.move_deadline = answer_deadline, move_deadline
        self.makers = makers
        self.jobs, self.results = queue.SimpleQueue(), queue.SimpleQueue()
        threading.Thread(target=self.serve, daemon=True, name="controller").start()

    def conduct(self, program):
        run = Run(program, **self.makers)
        before = signal.signal(signal.SIGUSR1, run.on_signal) if program.handler else None
        try:
            bodies = run.bodies()
            on_main = bodies.pop(program.main, None)
            for name, body in bodies.items():
                if program.pooled:
                    self.pool.start(body)
                else:
                    run.threads[name] = oneloom.Thread(target=body, name=name, daemon=True)
                    run.threads[name].start()
            self.jobs.put(run)
            run.go.set()
            if on_main:
                on_main()
            return self.results.get()
        finally:
            if program.handler:
                signal.signal(signal.SIGUSR1, before)

    def serve(self):
        while True:
            try:
                verdict = self.supervise(self.jobs.get())
            except BaseException:
                # Nobody would ever answer the main thread, which waits for the verdict.
                traceback.print_exc()
                os._exit(2)
            if verdict.stuck:
                self.on_hang(verdict)
            self.results.put(verdict)

    def supervise(self, run):
        events = run.history.events
        pause, seen, since, rescues = 0.0005, -1, time.monotonic(), 0
        hang = given_up = None
        while not run.ended.wait(pause):
            if len(events) != seen:
                seen, since, pause, state = len(events), time.monotonic(), 0.0005, None
                continue
            pause = min(pause * 1.5, 0.02)
            still = time.monotonic() - since
            state = state or self.state(run, events[:seen])
            moving, doomed = state.moving(), state.doomed()
            # Who could take a free lock and does not: it may have been handed to a task that cannot run to say so.
            handed = [reading for reading in state.readings() if not reading.moving()] if moving and still > HANDED else []
            if handed and not all(reading.doomed() for reading in handed):
                given_up = seen
                hang = self.see_out(run)
                break
            if moving and not handed:
                if still > self.move_deadline:
                    hang = Finding("stalled", f"{', '.join(sorted(moving))} can move, but did not for {still:.0f} s")
                    break
            elif doomed or handed:
                doomed = doomed or set.union(*(reading.doomed() for reading in handed))
                if still > self.answer_deadline:
                    hang = Finding("missed", f"nothing can ever move {', '.join(sorted(doomed))}, and nobody was told")
                    break
            elif still >= run.program.patience:
                rescues += 1
                self.rescue(run, state, rescues)
                since = time.monotonic()
        if not hang:
            for thread in run.threads.values():
                thread.join(5)
        return self.verdict(run, hang, rescues, given_up)

    @staticmethod
    def see_out(run):
        """End a program whose history has become ambiguous, by any help there is; it is judged up to here only."""
        end = time.monotonic() + MOVE_DEADLINE
        while not run.ended.wait(0.005):
            if time.monotonic() > end:
                return Finding("stalled", "it could not be ended by any help")
            for lock in run.locks:
                with contextlib.suppress(RuntimeError):
                    lock.release()
            for name in list(run.tasks):
                run.cancel(name)
            if run.program.handler and run.program.main:
                run.raise_in_main()
        return None

    @staticmethod
    def state(run, events):
        state = State.of(run.program)
        for event in events:
            state.apply(event)
        return state

    @staticmethod
    def rescue(run, state, turn):
        """Help once, by one of the ways that are open."""
        ways = []
        for actor, op in sorted(state.pending.items()):
            if not op.sync and op.kind in ("acquire", "join") and not state.frozen_by(actor):
                ways.append(lambda actor=actor: run.cancel_from_outside(actor))
        for number, hold in sorted(state.holds.items()):
            if hold.how == BARE and any(op.kind == "acquire" and op.target == number for op in state.pending.values()):
                ways.append(lambda number=number, hold=hold: run.take_over(hold.owner, number))
        if run.program.handler and run.program.main and not ways:
            ways.append(run.raise_in_main)
        if ways:
            ways[(run.program.seed + turn) % len(ways)]()

    @staticmethod
    def verdict(run, hang, rescues, given_up):
        events = run.history.events[:given_up]
        findings = judge(run.program, events)
        if hang and hang.kind not in {finding.kind for finding in findings}:
            findings.append(hang)
        if given_up is None:
            findings += [Finding("unexpected", words) for words in run.unexpected]
        if given_up is None and not hang:
            findings += [Finding("left behind", words) for words in run.left_behind()]
        errors = sum(event.outcome == "DeadlockError" for event in events)
        return Verdict(run.program, run.history, findings, errors, rescues, given_up is not None, bool(hang))

