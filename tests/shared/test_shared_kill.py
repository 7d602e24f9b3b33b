"""The kill storm: processes that die by SIGKILL after every step of every protocol and at random instants, while others work.

What must hold: put = got + still there + at most one item for each receiver that was killed; nothing twice, nothing torn;
nobody hangs; a dead owner of a lock is told.
"""

import collections
import contextlib
import gc
import mmap
import multiprocessing
import os
import queue
import random
import signal
import time
import warnings

import children
import pytest
from test_shared_travel import PATIENCE

from conftest import STRESS, wait_until
from oneloom import _native
from oneloom.shared import Lock, OwnerDiedWarning, Queue

STEPS = _native._kill_at("", 0)
# A child that works with a queue and a lock alone, in a segment that is there already, never comes to these.
NEVER = {"FileGrown", "SizeWritten", "BlockCarved", "MutexTakenOver", "TailRepaired", "HeadRepaired", "MaskTaken", "ChunkMade",
         "ChunkLinked", "ChunkOwned", "TailMoved", "ChunkRetired", "HeadMoved", "FlagRaised", "FlagTold",
         "WaitLinked", "WaitWritten", "WaitShown", "VerdictEntered", "VerdictReached", "VerdictLeft", "WaitHidden"}  # fmt: skip
# Steps of priority queues alone, over which the Rust tests kill.
NEVER |= {"ItemCopied", "OrderEntered", "HeapMade", "HeapRetired", "HeapNamed", "HeapOwned", "ItemLabelled", "ItemPut", "ItemIndexed",
          "ItemCounted", "ItemTaken", "ItemRemoved", "OrderLeft", "ItemTold", "HeapRebuilt"}  # fmt: skip
# Steps of what the Rust tests kill over in a file of its own.
NEVER |= {"DepthWritten", "DepthCleared", "PermitTaken", "PermitReturned", "FreeWritten", "HoldFreed", "PermitsCounted",
          "SemaphoreLeft", "SemaphoreTold", "SeatTaken", "SeatsLinked", "SeatsOwned", "SeatNotified", "SeatWoken", "SeatRelieved",
          "SeatLeft", "PartySeated", "PartyActs", "PartyLeft", "BreakNoted", "RoundEnded", "SeatsCleared", "BarrierRepaired",
          "BarrierTold"}  # fmt: skip
NEVER |= {"ChildExpected", "ChildBorn", "HoldingsMade", "HoldingGiven", "HoldingLinked", "ItemShared", "HoldStruck",
          "HoldingUnlinked", "ItemReclaimed"}  # fmt: skip
# Steps of queues whose items are acknowledged: test_shared_acknowledge kills there.
NEVER |= {"SlotFilled", "SlotsCounted", "PageLinked", "SlotOrphaned", "SlotTakenOver", "ItemClaimed", "ItemAcknowledged", "DoneTold"}
FORK = multiprocessing.get_context("fork")


def descriptors():
    """What this process has open, and how often."""
    gc.collect()
    found = collections.Counter()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # Closed meanwhile.
            found[os.readlink(f"/proc/self/fd/{name}")] += 1
    return found


class Storm:
    """One pair of queues and a lock, which all children of a test share."""

    def __init__(self):
        self.queue, self.back, self.lock = Queue(), Queue(), Lock()
        self.killed = self.lost = self.recovered = 0
        self.round(1, delay=0.01)
        # A wait that lasts begins to watch for deaths, which keeps a descriptor of its own.
        with pytest.raises(queue.Empty):
            self.queue.get(timeout=0.1)
        self.open_at_first = descriptors()

    def end(self):
        print(f"{self.killed} killed, {self.lost} items lost, {self.recovered} locks recovered")
        # Whoever watches deaths closes the last one's descriptor in its own time.
        wait_until(lambda: not descriptors() - self.open_at_first)

    def round(self, seed, step="", passes=0, delay=None):
        counter = memoryview(mmap.mmap(-1, 4096)).cast("q")
        child = FORK.Process(target=children.busy, args=(seed, step, passes, self.queue, self.back, self.lock, counter))
        child.start()
        end = time.monotonic() + (PATIENCE if delay is None else delay)
        got = []
        given = 0
        while child.is_alive():
            if time.monotonic() > end:
                assert delay is not None, f"the child was not killed: {step} after {passes}"
                os.kill(child.pid, signal.SIGKILL)
                end = time.monotonic() + PATIENCE
                delay = None
            try:
                got.append(self.queue.get(timeout=0.001))
            except Exception:
                continue
            given += 1
            self.back.put((given, b"y" * (given % 3 * 2500)))
            if self.lock.acquire(blocking=False):
                self.lock.release()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        self.queue.put("the last")
        got.extend(iter(lambda: self.queue.get(timeout=PATIENCE), "the last"))
        # Each item once, in order, whole, and none that was not put; the child's own count lags by one at most.
        begun, put, answered = counter[0], counter[1], counter[2]
        assert [item[:2] for item in got] == [(seed, number) for number in range(1, len(got) + 1)]
        assert all(item[2] == b"x" * (item[1] % 7 * 2000) for item in got)
        assert put <= len(got) <= begun
        # The child was killed at most once as a receiver.
        self.back.put("the last")
        left = list(iter(lambda: self.back.get(timeout=PATIENCE), "the last"))
        assert given - answered - len(left) in (0, 1), (given, answered, left)
        self.lost += given - answered - len(left)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert self.lock.acquire(timeout=PATIENCE), "the lock is dead"
        assert self.lock.recovered == bool(told)
        assert all(warning.category is OwnerDiedWarning for warning in told)
        self.recovered += len(told)
        self.lock.release()
        self.killed += 1


@pytest.mark.stress
def test_after_every_step():
    storm = Storm()
    for step in STEPS:
        if step in NEVER:
            continue
        for round in range(max(1, round_count(4))):
            # What a process does only once, it must be killed over the first time.
            passes = 0 if step.startswith("Record") and step != "RecordStarted" else round * 3
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", OwnerDiedWarning)
                storm.round(len(step) * 1000 + round, step, passes)
    storm.end()


@pytest.mark.stress
def test_at_random_instants(seed):
    source = random.Random(seed)
    storm = Storm()
    for _ in range(round_count(100)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OwnerDiedWarning)
            storm.round(source.randrange(1 << 30), delay=source.random() * 0.03)
    storm.end()


def round_count(rounds):
    return int(rounds * STRESS)
