"""CPython's own tests of `threading`, `queue`, asyncio's locks and queues, `multiprocessing`'s, and `concurrent.futures`, run on oneloom.

They are run as they are installed. Each part runs in a process of its own, by `cpython/worker.py`. Whatever does not pass is listed below with its reason; an
entry that has nothing to say any more fails. `_thread`, which oneloom does not stand in for, is not a part.
"""

import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import child_environment, finish, program, totals

WORKER = Path(__file__).parent / "cpython" / "worker.py"
PARTS = ["threading", "locks", "queue", "asyncio.locks", "asyncio.queues", "multiprocessing"]
# These sleep more than they work, and so run at the same time.
FUTURES = ["futures", "futures.fork", "futures.forkserver", "futures.spawn"]
# The Makefile of these releases does not install test_concurrent_futures.
WITHOUT_FUTURES = [(3, 11, 7), (3, 12, 1)]

# Test cases that are not run.
LEFT_OUT = {
    "threading": {
        "PyRLockTests": "tests threading._PyRLock, which stays the standard library's; ours is in `locks`",
        "CRLockTests": "tests threading._CRLock, which stays the standard library's; ours is in `locks`",
    },
}

# Tests that are run, and fail.
FAILING = {
    "threading": {
        "ThreadTests.test_import_from_another_thread": "wants threading not to be imported yet, but the runner did",
        "MiscTestCase.test__all__": "knows public names by a __module__ of the standard library; tests/test_dropin_names.py "
        "compares ours",
    },
    **{
        f"futures.{kind.lower()}": {
            f"ProcessPool{kind}ProcessPoolExecutorTest.test_python_finalization_error": "lets a second thread fail to start, "
            "and wants the executor broken; there is none",
        }
        for kind in ("Fork", "Forkserver", "Spawn")
    },
}

# CPython's own skips. They may pass elsewhere, as in a debug build.
SKIPPED = {
    "threading": {
        "ThreadTests.test_debug_deprecation": "needs a debug build",
        "ConditionAsRLockTests.test_recursion_count": "a Condition has no _recursion_count",
    },
    "futures.fork": {
        "ProcessPoolForkProcessPoolShutdownTest.test_hang_gh83386": "hangs on CPython itself",
        "ProcessPoolForkProcessPoolExecutorTest.test_max_workers_too_large": "is about Windows",
        "ProcessPoolForkProcessPoolExecutorTest.test_idle_process_reuse_one": "forks start all processes at once",
        "ProcessPoolForkProcessPoolExecutorTest.test_idle_process_reuse_multiple": "forks start all processes at once",
        "ProcessPoolForkProcessPoolExecutorTest.test_max_tasks_early_shutdown": "no limit of tasks for forks",
    },
    "futures.forkserver": {
        "ProcessPoolForkserverProcessPoolShutdownTest.test_hang_gh83386": "hangs on CPython itself",
        "ProcessPoolForkserverProcessPoolExecutorTest.test_max_workers_too_large": "is about Windows",
    },
    "futures.spawn": {
        "ProcessPoolSpawnProcessPoolShutdownTest.test_hang_gh83386": "hangs on CPython itself",
        "ProcessPoolSpawnProcessPoolExecutorTest.test_max_workers_too_large": "is about Windows",
    },
}


def run_part(part, folder, *, command=(str(WORKER),), without=(), env=None):
    """How the worker ended, and what it found."""
    file = folder / "outcomes.json"
    arguments = [sys.executable, "-m", "oneloom", *command, part, str(file), *without]
    with program("", command=arguments, env=env) as child:
        ended = finish(child, timeout=240)
    return ended, json.loads(file.read_text()) if file.exists() else None


def unexpected(part, found):
    """What contradicts the lists above, in words, with the reason that the test gives."""
    outcomes = found["outcomes"]
    lines = [f"{name} is listed as left out, but does not exist" for name in {*LEFT_OUT.get(part, ())} - {*found["classes"]}]
    for name, (outcome, text) in outcomes.items():
        listed = FAILING if outcome == "failed" else SKIPPED
        if outcome != "passed" and name not in listed.get(part, ()):
            lines.append(f"{name} {outcome}: {text}")
    for name in FAILING.get(part, ()):
        if outcomes.get(name, ["missing"])[0] != "failed":
            lines.append(f"{name} is listed as failing, but {outcomes.get(name, ['does not exist'])[0]}")
    return lines


def check(part, ended, found):
    assert found is not None, f"the tests of {part} did not come to an end\n{ended}"
    assert not unexpected(part, found), "\n".join(unexpected(part, found))
    assert ended.check()
    count = Counter(outcome for outcome, _ in found["outcomes"].values())
    assert count["passed"] > 20
    not_run = len(LEFT_OUT.get(part, ()))
    totals.append(
        f"CPython's tests of {part}: {count['passed']} passed, {count['failed']} listed as failing, "
        f"{count['skipped']} skipped by CPython, {not_run} test cases left out"
    )


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.deadline(300)
def test_cpythons_own_tests_pass(part, tmp_path):
    check(part, *run_part(part, tmp_path, without=LEFT_OUT.get(part, ())))


@pytest.mark.deadline(300)
def test_cpythons_own_tests_of_futures_pass(tmp_path):
    if sys.version_info[:3] in WITHOUT_FUTURES:
        totals.append("CPython's tests of futures: not installed with this release of CPython")
        return

    def run(part):
        folder = tmp_path / part
        folder.mkdir()
        return run_part(part, folder, without=LEFT_OUT.get(part, ()))

    with ThreadPoolExecutor(len(FUTURES)) as executor:
        for part, (ended, found) in zip(FUTURES, executor.map(run, FUTURES), strict=True):
            check(part, ended, found)


def test_a_planted_fault_is_noticed(tmp_path):
    fault = f"""
import runpy
from oneloom import asyncio
asyncio.Queue._format = lambda self: ""
runpy.run_path({str(WORKER)!r}, run_name="__main__")
"""
    ended, found = run_part("asyncio.queues", tmp_path, command=("-c", fault))
    assert found, ended
    assert "QueueBasicTests.test_repr failed" in "\n".join(unexpected("asyncio.queues", found))


def test_lists_can_not_rot():
    passed = {name: ["passed", ""] for name in FAILING["threading"]}
    classes = [*LEFT_OUT["threading"]]
    assert len(unexpected("threading", {"classes": classes, "outcomes": passed})) == len(passed)
    assert len(unexpected("threading", {"classes": classes, "outcomes": {}})) == len(passed)
    failed = {name: ["failed", ""] for name in FAILING["threading"]}
    assert unexpected("threading", {"classes": classes, "outcomes": failed}) == []
    assert "does not exist" in unexpected("threading", {"classes": classes[1:], "outcomes": failed})[0]


def test_missing_tests_are_a_failure_that_says_what_to_install(tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "__init__.py").touch()
    path = child_environment()["PYTHONPATH"]
    ended, found = run_part("locks", tmp_path, env={"PYTHONPATH": f"{tmp_path}:{path}"})
    assert found is None and ended.status == 1
    assert "comes without test" in ended.err and f"libpython3.{sys.version_info.minor}-testsuite" in ended.err
