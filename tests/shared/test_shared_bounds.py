"""Bounds in bytes: of one shared queue, and of all the memory of a family."""

import os
import queue as standard
import subprocess
import sys

import pytest
from test_shared_travel import PATIENCE

from conftest import start_thread
from oneloom.shared import Queue


def test_a_bound_in_bytes_makes_senders_wait():
    queue = Queue(max_bytes=1000)
    assert queue.max_bytes == 1000 and Queue().max_bytes is None
    queue.put(b"x" * 600)
    queue.put(b"y" * 400)
    assert "items=2, bytes=1000/1000" in repr(queue)
    for ways in ({"block": False}, {"timeout": 0.01}):
        with pytest.raises(standard.Full):
            queue.put(b"z", **ways)
    thread = start_thread(lambda: queue.put(b"z" * 500))
    assert queue.get() == b"x" * 600
    thread.join(PATIENCE)
    assert [queue.get(), queue.get(timeout=PATIENCE)] == [b"y" * 400, b"z" * 500]


def test_what_can_never_fit_is_told_with_its_size():
    queue = Queue(max_bytes=5000)
    with pytest.raises(ValueError, match="an item of 5001 bytes.*max_bytes=5000"):
        queue.put(b"x" * 5001)
    with pytest.raises(ValueError, match="2 items at once of 6000 bytes.*max_bytes=5000"):
        queue.put_many([b"x" * 3000] * 2)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="max_bytes"):
            Queue(max_bytes=wrong)


FULL = """
import errno, sys
from oneloom.shared import Queue
queue, put = Queue(), 0
try:
    while put < 100:
        queue.put(b"x" * 100_000)
        put += 1
except OSError as error:
    assert error.errno == errno.ENOSPC and "4000000 bytes (ONELOOM_SHARED_MAX_BYTES)" in str(error), error
assert 20 < put < 40, put
try:
    queue.put_many([b"x" * 100_000] * 2)
    raise SystemExit("it was full")
except OSError:
    pass
assert queue.qsize() == put
for _ in range(3):
    assert len(queue.get_many()) == put
    queue.put_many([b"x" * 100_000] * put)
"""


OUTPUT = {"capture_output": True, "text": True, "timeout": PATIENCE}


def run(code, limit):
    return subprocess.run([sys.executable, "-c", code], env=os.environ | {"ONELOOM_SHARED_MAX_BYTES": limit}, **OUTPUT)


def test_a_family_keeps_to_its_limit_and_goes_on_when_it_is_drained():
    ended = run(FULL, "4000000")
    assert ended.returncode == 0, ended.stderr


def test_a_limit_that_is_no_number_is_told():
    ended = run("from oneloom.shared import Queue\nQueue()", "64M")
    assert 'ValueError: ONELOOM_SHARED_MAX_BYTES is "64M"' in ended.stderr
