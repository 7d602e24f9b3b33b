"""The judge: replays a history and finds what oneloom did wrong. It shares no idea with oneloom's own detector.

oneloom follows waits from owner to owner. The judge instead asks, for a state of the program, who may ever move again: it
starts from everyone who may, by the promised rules, be moved by something, and lets them help whoever waits for them,
until nobody else can be helped. Who is left over can never move: that is a certain deadlock, and must be answered by an
error; an error anywhere else was invented.
"""

import dataclasses
import itertools
from dataclasses import dataclass, field

from .history import BARE, RLOCK

DEADLOCK = "DeadlockError"


@dataclass
class Hold:
    """Who has a lock, how, and whether its release has begun."""

    owner: str
    how: str
    count: int = 1
    leaving: bool = False
    handed: bool = False  # the owner has not yet come to say that it has it


@dataclass(frozen=True)
class Finding:
    """Something wrong: its kind, and the words for a person."""

    kind: str
    words: str


@dataclass
class State:
    """The program at one point of its history."""

    loop_of: dict  # task -> the thread that runs its loop
    main: str | None = None
    handler: bool = False
    holds: dict = field(default_factory=dict)
    pending: dict = field(default_factory=dict)
    finished: set = field(default_factory=set)
    cancelled: set = field(default_factory=set)
    timeouts: dict = field(default_factory=dict)
    surplus: dict = field(default_factory=dict)
    releasing: dict = field(default_factory=dict)
    actors: set = field(default_factory=set)

    @classmethod
    def of(cls, program):
        loop_of = {actor.name: actor.loop for actor in program.actors if actor.loop}
        state = cls(loop_of, program.main, program.handler)
        state.actors = {actor.name for actor in program.actors} | set(program.loops)
        return state

    # --- replay ---------------------------------------------------------------------------------------------------

    def apply(self, event):
        """Take one event in; returns a finding when it cannot have happened, else None."""
        actor, phase, op, outcome = event
        if phase == "begin":
            self.pending[actor] = op
            if op.kind == "release":
                hold = self.holds.get(op.target)
                self.releasing[actor] = hold
                if hold and (hold.how != RLOCK or hold.count == 1):
                    hold.leaving = True
            elif op.kind == "cancel":
                self.cancelled.add(op.target)
            elif op.kind == "timeout":
                self.timeouts[actor] = self.timeouts.get(actor, 0) + 1
                del self.pending[actor]
            return None
        self.pending.pop(actor, None)
        if op.kind == "acquire" and outcome == "done":
            return self._acquired(actor, op)
        if op.kind == "release":
            self._released(actor, op, outcome)
        elif op.kind == "timeout":
            self.timeouts[actor] -= 1
        elif op.kind == "finish":
            self.finished.add(actor)
            self.cancelled.discard(actor)
        elif op.kind == "join" and outcome == "done" and op.target not in self.finished:
            return Finding("early", f"{actor} joined {op.target}, which had not ended")
        return None

    def _acquired(self, actor, op):
        hold = self.holds.get(op.target)
        if hold and hold.how == RLOCK and hold.owner == actor:
            hold.count += 1
            return None
        self.holds[op.target] = Hold(actor, op.hold)
        if hold and not hold.leaving:
            return Finding("two holders", f"{actor} got lock{op.target} while {hold.owner} had it")
        if self.surplus.get(op.target):
            # Somebody released this hold before its owner came to write that it had it.
            self.surplus[op.target] -= 1
            del self.holds[op.target]
        return None

    def _released(self, actor, op, outcome):
        hold = self.releasing.pop(actor, None)
        if outcome != "done":
            if hold:
                hold.leaving = False
            return
        if hold is None:
            if self.holds.pop(op.target, None) is None:
                self.surplus[op.target] = self.surplus.get(op.target, 0) + 1
        elif hold.count > 1:
            hold.count -= 1
        elif self.holds.get(op.target) is hold:
            del self.holds[op.target]

    # --- who can move ---------------------------------------------------------------------------------------------

    def running(self):
        return self.actors - self.finished

    def enabled(self, actor):
        """Whether the actor's next step needs nobody's help, its loop left aside."""
        op = self.pending.get(actor)
        if op is None:
            # A loop's thread moves by its tasks; anyone else without a pending call is on the way to the next.
            return actor not in self.loop_of.values() or all(
                task in self.finished for task, loop in self.loop_of.items() if loop == actor
            )
        if op.timed or op.kind not in ("acquire", "join"):
            return True
        if not op.sync and (actor in self.cancelled or self.timeouts.get(actor)):
            return True
        if op.kind == "join":
            return op.target in self.finished
        hold = self.holds.get(op.target)
        return hold is None or hold.leaving or (hold.owner == actor and (hold.how == RLOCK or hold.handed))

    def blocker(self, loop):
        """The task that keeps a loop's thread blocked in a call, if one does."""
        for task in self.loop_of:
            op = self.pending.get(task)
            if self.loop_of[task] == loop and op and op.sync and not self.enabled(task):
                return task
        return None

    def frozen_by(self, actor):
        """The other task that keeps this task's loop from running, if one does."""
        blocker = self.blocker(self.loop_of.get(actor)) if actor in self.loop_of else None
        return blocker if blocker != actor else None

    def beside_a_call(self, actor):
        """Whether another task of the same loop is inside a call that may block its thread."""
        loop = self.loop_of.get(actor)
        return any(
            self.loop_of.get(other) == loop and op.sync and op.kind in ("acquire", "join")
            for other, op in self.pending.items()
            if other != actor
        )

    def moving(self):
        """Those who will move by themselves."""
        return {actor for actor in self.running() if self.enabled(actor) and not self.frozen_by(actor)}

    def signals_help(self, actor):
        """Whether a signal handler of the program may end this actor's wait by raising."""
        return self.handler and self.main is not None and self.main in (actor, self.loop_of.get(actor))

    def doomed(self):
        """Everyone whom nothing can ever move again."""
        alive = set()
        while True:
            more = {actor for actor in self.running() - alive if self._may_move(actor, alive)}
            if not more:
                return self.running() - alive
            alive |= more

    def _may_move(self, actor, alive):
        blocker = self.blocker(actor) if actor in self.loop_of.values() else self.frozen_by(actor)
        if blocker:
            return blocker in alive or self.signals_help(actor)
        op = self.pending.get(actor)
        if op is None or not op.sync or op.timed or op.kind not in ("acquire", "join") or self.signals_help(actor):
            return True
        if op.kind == "join":
            return op.target in self.finished or op.target in alive
        hold = self.holds.get(op.target)
        if hold is None or hold.leaving or hold.how == BARE:
            return True
        return hold.owner in alive or (hold.how == RLOCK and hold.owner == actor)

    def readings(self):
        """This state, and the others that the same history may mean: a lock that was released may have been handed to a
        task that waits for it and cannot run to say so, because another task blocks its loop."""
        choices = {}
        for actor, op in self.pending.items():
            if op.kind == "acquire" and not op.sync and self.beside_a_call(actor):
                hold = self.holds.get(op.target)
                if hold is None or hold.leaving:
                    choices.setdefault(op.target, [None]).append(actor)
        for chosen in itertools.product(*choices.values()):
            handed = {lock: Hold(actor, self.pending[actor].hold, handed=True) for lock, actor in zip(choices, chosen) if actor}
            yield dataclasses.replace(self, holds=self.holds | handed)

    def closes(self, actor):
        """Whether following the waits from this actor leads back to it, or at once to an owner that has ended."""
        seen, at = [], actor
        while at not in seen:
            seen.append(at)
            blocker = self.blocker(at) if at in self.loop_of.values() else self.frozen_by(at)
            if blocker:
                at = blocker
                continue
            op = self.pending.get(at)
            if op is None:
                return False
            if op.kind == "join":
                at = op.target
                continue
            hold = self.holds.get(op.target)
            if hold is None:
                return False
            if hold.owner in self.finished:
                return at == actor
            at = hold.owner
        return at == actor


def judge(program, events):
    """Replay a whole history: every error that was raised must have been right at that moment."""
    state = State.of(program)
    findings = []
    for index, event in enumerate(events):
        if event.phase == "end" and event.outcome == DEADLOCK and event.op.kind in ("acquire", "join"):
            words = wrong_error(state, event)
            if words:
                findings.append(Finding("invented", f"event {index}: {words}"))
        finding = state.apply(event)
        if finding:
            findings.append(Finding(finding.kind, f"event {index}: {finding.words}"))
    if not state.moving() and state.doomed():
        findings.append(Finding("missed", f"nothing can ever move {', '.join(sorted(state.doomed()))}"))
    return findings


def wrong_error(state, event):
    """Why the DeadlockError of this event was wrong, or None when it was right."""
    actor, _, op, _ = event
    if op.timed:
        return f"{actor}: a timed wait raised"
    if not op.sync:
        return f"{actor}: an await raised, which something unseen may cancel"
    told = "somebody could still end this wait"
    for reading in state.readings():
        if actor in reading.doomed():
            if reading.closes(actor):
                return None
            told = "it waits for a deadlock, but is not in it"
    return f"{actor} in {op}: {told}; doomed: {sorted(state.doomed())}"
