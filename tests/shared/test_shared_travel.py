"""Shared objects reach every process of the family, however it was started; elsewhere they are refused with a reason."""

import multiprocessing
import pickle
import subprocess
import sys

import children
import pytest

import oneloom
from conftest import wait_until
from oneloom.shared import Lock, Queue

METHODS = ["fork", "spawn", "forkserver"]
PATIENCE = 30


def started(method, target, *args):
    child = multiprocessing.get_context(method).Process(target=target, args=args, daemon=True)
    child.start()
    return child


def ended(child):
    child.join(PATIENCE)
    assert child.exitcode == 0


@pytest.mark.parametrize("method", METHODS)
def test_arguments_queues_and_children_pass_objects_on(method):
    mailbox, lock = Queue(name="mail"), Lock(name="a lock")
    child = started(method, children.answer_what_comes, mailbox)
    reply = Queue()
    mailbox.put((reply, lock))
    assert reply.get(timeout=PATIENCE) == (child.pid, "a lock")
    ended(child)
    child = started(method, children.make_and_send, mailbox)
    queue, lock = mailbox.get(timeout=PATIENCE)
    assert queue.name == "of the child" and lock.locked()
    queue.put("ab")
    assert lock.acquire(timeout=PATIENCE)
    assert mailbox.get(timeout=PATIENCE) == "abab"
    ended(child)


@pytest.mark.parametrize("method", METHODS)
def test_pools_of_the_standard_library_take_them(method):
    queue, lock = Queue(), Lock()
    with multiprocessing.get_context(method).Pool(2, initializer=children.use_inherited, initargs=(queue, lock)):
        assert [queue.get(timeout=PATIENCE) for _ in range(2)] == ["by fork"] * 2


@pytest.mark.parametrize("method", METHODS)
def test_many_objects_need_one_descriptor(method):
    queues = [Queue() for _ in range(50)]
    child = started(method, children.put_all, queues[0], queues)
    assert [queues[0].get(timeout=PATIENCE).qsize() is not None for _ in queues] == [True] * 50
    ended(child)


def test_a_child_of_a_fork_uses_what_it_inherits():
    queue, lock = Queue(), Lock()
    child = started("fork", children.use_inherited, queue, lock)
    assert queue.get(timeout=PATIENCE) == "by fork"
    ended(child)


def test_a_handle_names_the_same_object():
    queue = Queue(name="one")
    again = pickle.loads(pickle.dumps(queue))
    again.put(1)
    assert queue.get() == 1 and again.name == "one"
    assert repr(queue) == repr(again)


def test_another_family_is_refused():
    handle = pickle.dumps(Lock())
    program = f"import pickle; pickle.loads({handle!r})"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "belongs to another family of processes" in result.stderr


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda handle: handle[:-1], "not 24 bytes"),
        (lambda handle: b"\0" + handle[1:], "does not begin as one"),
        (lambda handle: handle[:1] + b"\x63" + handle[2:], "another version"),
        (lambda handle: handle[:16] + bytes(8), "is gone"),
        (lambda handle: handle[:16] + b"\xff" * 8, "is gone"),
        (lambda handle: handle[:2] + b"\x04" + handle[3:], "another kind"),
    ],
)
def test_what_is_no_handle_is_refused(damage, words):
    lock = Lock()
    rebuild, (kind, handle, *_) = lock.__reduce__()
    with pytest.raises(ValueError, match=words):
        kind._open(damage(handle), None)


def test_a_descriptor_that_is_no_segment_is_refused(tmp_path):
    short = tmp_path / "short"
    short.write_bytes(b"oneloom\0")
    long = tmp_path / "long"
    long.write_bytes(bytes(200_000))
    for path, words in (short, "truncated to 8 bytes"), (long, "does not begin as one"):
        with path.open("rb+") as file, pytest.raises(ValueError, match=words):
            oneloom._native._join_family(__import__("os").dup(file.fileno()))


def test_objects_that_stay_here_leave_no_memory_behind():
    """Made and dropped, they take the same memory again: their numbers, which are places, repeat."""
    program = """
import oneloom.shared as shared
def number(thing): return repr(thing).split("number ")[1].split(":")[0]
seen = set()
for _ in range(20_000):
    queue = shared.Queue(); queue.put(b"x" * 9000)
    seen.add(number(queue)); seen.add(number(shared.Lock()))
print(len(seen))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 10


def test_nothing_is_left_of_a_family(tmp_path):
    """Neither descriptors in children that have ended nor names in the file system: the memory has none."""
    queue = Queue()
    for _ in range(3):
        ended(started("fork", children.put_all, queue, [1]))
    wait_until(lambda: not multiprocessing.active_children())
    names = subprocess.run(["ls", "/dev/shm"], capture_output=True, text=True, check=True).stdout
    assert "oneloom" not in names
