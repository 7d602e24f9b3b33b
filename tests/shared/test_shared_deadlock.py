"""Deadlocks across processes: one of them is told who waits for what and where, and nobody is told without a reason."""

import asyncio
import contextlib
import io
import os
import re
import signal
import threading

import children
import pytest
from test_shared_travel import METHODS, PATIENCE, ended, started

import oneloom
from conftest import start_thread, wait_until
from oneloom.shared import Event, Lock, OwnerDiedWarning, Queue, RLock


class Crowd:
    """Processes that hold one lock each and want another, all at once."""

    def __init__(self):
        self.ready, self.go, self.answers, self.children = Queue(), Event(), Queue(), []

    def add(self, first, second, method="fork", target=children.take_both, **options):
        child = started(method, target, first, second, self.ready, self.go, self.answers, *options.values())
        self.children.append(child)
        assert self.ready.get(timeout=PATIENCE) == child.pid
        return child

    def ended(self):
        """What each of them was told."""
        self.go.set()
        got = dict(self.answers.get(timeout=PATIENCE) for _ in self.children)
        for child in self.children:
            ended(child)
        return got


def ring_of(method, count, kind=Lock):
    """As many processes, each of which holds one lock and wants the next one's; what each of them was told."""
    locks, crowd = [kind(name=f"lock {place}") for place in range(count)], Crowd()
    for place in range(count):
        crowd.add(locks[place], locks[(place + 1) % count], method)
    got = crowd.ended()
    assert not any(lock.locked() for lock in locks)
    return got


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [2, 3])
def test_one_in_a_circle_is_told_and_the_others_go_on(method, count):
    got = ring_of(method, count)
    [text] = filter(None, got.values())
    # Each with its process, its thread, its lock, and where it stands.
    assert text.startswith("deadlock: these wait for each other, and nothing else can help:\n")
    line = r"  thread 'MainThread' of process (\d+) '\w+-\d+' waits for shared Lock '(.*)', held by thread 'MainThread' of process (\d+)"
    waits = re.findall(line, text)
    assert sorted(int(pid) for pid, _, _ in waits) == sorted(got)
    assert sorted(name for _, name, _ in waits) == [f"lock {place}" for place in range(count)]
    assert [holder for _, _, holder in waits] == [waits[(place + 1) % count][0] for place in range(count)]
    assert len(re.findall(r'    File ".*children\.py", line \d+, in take_both', text)) == count


def test_one_of_ten_is_told():
    assert len(list(filter(None, ring_of("fork", 10).values()))) == 1


def test_reentrant_locks_are_part_of_circles():
    [text] = filter(None, ring_of("fork", 2, RLock).values())
    assert "waits for shared RLock 'lock 0', held by" in text


@pytest.fixture
def pair():
    """A lock of ours and one that a child holds; the child wants ours at once."""
    return Pair()


class Pair:
    def __init__(self):
        self.ours, self.theirs, self.crowd = Lock(name="ours"), Lock(name="theirs"), Crowd()

    def child(self, **options):
        child = self.crowd.add(self.theirs, self.ours, **options)
        self.crowd.go.set()
        return child


def test_a_thread_and_another_process(pair):
    with pair.ours:
        child = pair.child()
        try:
            with pair.theirs:
                told = ""
        except oneloom.DeadlockError as error:
            told = str(error)
    [told_there] = pair.crowd.ended().values()
    assert bool(told) != bool(told_there)
    parts = [f"process {child.pid} ", f"process {os.getpid()} ", "'ours'", "'theirs'", __file__, children.__file__]
    for part in parts:
        assert part in told + told_there


def test_taking_a_lock_twice_is_told():
    lock = Lock(name="jobs")
    with lock, pytest.raises(oneloom.DeadlockError, match="waits for shared Lock 'jobs', held by thread 'MainThread'"):
        lock.acquire()
    assert not lock.locked()


def test_a_wait_with_a_timeout_is_left_alone(pair):
    with pair.ours:
        child = pair.child()
        assert not pair.theirs.acquire(timeout=0.5)
    assert pair.crowd.ended() == {child.pid: ""}


def test_a_killed_participant_is_no_part_of_a_deadlock(pair):
    with pair.ours:
        child = pair.child()
        os.kill(child.pid, signal.SIGKILL)
        with pytest.warns(OwnerDiedWarning), pair.theirs:
            child.join(PATIENCE)


def deadlocks_in(told):
    return [warning.message for warning in told if warning.category is oneloom.DeadlockWarning]


@contextlib.contextmanager
def killed_once_told(child, told):
    """Kills the child when a deadlock is among the warnings."""

    def kill_once_told():
        try:
            wait_until(lambda: deadlocks_in(told), PATIENCE)
        finally:
            os.kill(child.pid, signal.SIGKILL)

    thread = start_thread(kill_once_told)
    yield
    thread.join(PATIENCE)


def test_a_warning_is_all_that_happens_where_that_is_wanted(pair):
    with pair.ours, oneloom.deadlock.policy(cycles="warn"):
        child = pair.child(scoped=True, policy="warn")
        with pytest.warns((OwnerDiedWarning, oneloom.DeadlockWarning)) as told, killed_once_told(child, told), pair.theirs:
            child.join(PATIENCE)
    [report] = deadlocks_in(told)
    assert str(report).startswith("deadlock: these wait for each other")


def test_nothing_happens_where_that_is_wanted(pair):
    with pair.ours, oneloom.deadlock.policy(cycles="off"):
        child = pair.child(scoped=True, policy="off")
        doom = threading.Timer(1.5, os.kill, (child.pid, signal.SIGKILL))
        doom.start()
        with pytest.warns((OwnerDiedWarning, oneloom.DeadlockWarning)) as told, pair.theirs:
            child.join(PATIENCE)
        doom.join()
    assert not deadlocks_in(told)


def test_locks_of_one_process_are_part_of_its_circles(pair):
    own = oneloom.Lock(name="own")

    def hold_own():
        with own, contextlib.suppress(oneloom.DeadlockError), pair.theirs:
            pass

    with pair.ours:
        child = pair.child()
        # A daemon's wait might end with its process.
        thread = threading.Thread(target=hold_own)
        thread.start()
        wait_until(lambda: "waits for shared Lock 'theirs'" in dump())
        try:
            with own:
                told = ""
        except oneloom.DeadlockError as error:
            told = str(error)
    thread.join(PATIENCE)
    [told_there] = pair.crowd.ended().values()
    # As a rule the one that closes the circle is told; the child, if it is so slow that it closes it.
    assert bool(told) != bool(told_there) or not told_there
    if told:
        assert "waits for Lock 'own', held by thread" in told and f"of process {child.pid}" in told


@pytest.mark.parametrize("method", METHODS)
def test_joining_a_process_that_wants_what_one_holds_is_told(method):
    lock, answers = Lock(name="ours"), Queue()
    child = oneloom.Process(target=children.want, args=(lock, answers), start_method=method)
    told = ""
    with lock:
        child.start()
        try:
            child.join()
        except oneloom.DeadlockError as error:
            told = str(error)
    child.join(PATIENCE)
    assert child.exitcode == 0
    told_there = answers.get(timeout=PATIENCE)
    assert bool(told) != bool(told_there)
    text = told or told_there
    assert f"process {os.getpid()} 'MainProcess' waits for the end of process '{child.name}' (pid {child.pid})\n" in text
    assert f"of process {child.pid} '{child.name}' waits for shared Lock 'ours', held by thread 'MainThread' of" in text


def test_joining_a_process_with_a_timeout_is_left_alone():
    lock, answers = Lock(), Queue()
    child = oneloom.Process(target=children.want, args=(lock, answers), start_method="fork")
    with lock:
        child.start()
        child.join(0.5)
    child.join()
    assert answers.get(timeout=PATIENCE) == ""


def test_tasks_that_await_are_only_suspected(pair):
    with pair.ours:
        child = pair.child(target=children.take_both_in_a_coroutine, tasks="warn")
        # A thread in the circle looks after a second, when the task may not have shown its wait yet, and then again.
        with pytest.warns((OwnerDiedWarning, oneloom.DeadlockWarning)) as told, killed_once_told(child, told):
            with pair.theirs:
                child.join(PATIENCE)
    assert any(str(message).startswith("suspected deadlock") for message in deadlocks_in(told))


def test_tasks_raise_where_that_is_wanted():
    locks, crowd = [Lock(name="one"), Lock(name="other")], Crowd()
    for first, second in (locks, locks[::-1]):
        crowd.add(first, second, target=children.take_both_in_a_coroutine, tasks="raise")
    [text] = filter(None, crowd.ended().values())
    assert text.startswith("deadlock: these wait for each other; they go on only if somebody else helps:\n")
    assert len(re.findall(r"  task 'Task-\d+' of process \d+ '\w+-\d+' waits for shared Lock '\w+', held by task", text)) == 2
    assert len(re.findall(r'    File ".*children\.py", line \d+, in main', text)) == 2


def test_tasks_of_one_process_raise_where_that_is_wanted():
    one, other = Lock(name="one"), Lock(name="other")

    async def take(first, second, mine, yours):
        async with first:
            mine.set()
            await yours.wait()
            async with second:
                return "got both"

    async def main():
        events = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(take(one, other, *events), take(other, one, *events[::-1]), return_exceptions=True)

    with oneloom.deadlock.policy(tasks="raise"):
        ends = asyncio.run(main())
    assert sorted(str(end).partition(":")[0] for end in ends) == ["deadlock", "got both"]


def test_a_dump_tells_who_holds_what_is_waited_for(pair):
    with pair.ours:
        child = pair.child()
        waiting = start_thread(pair.theirs.acquire)
        text = wait_until(lambda: dump() if "'theirs'" in dump() else "")
        assert f"waits for shared Lock 'theirs', held by process {child.pid} (for " in text
    waiting.join(PATIENCE)
    pair.theirs.release()
    assert pair.crowd.ended() == {child.pid: ""}


def dump():
    file = io.StringIO()
    oneloom.dump(file)
    return file.getvalue()
