"""Runs one part of CPython's own tests on oneloom: `python -m oneloom worker.py PART FILE`; what came of it goes to FILE.

The tests are those that the interpreter is installed with. Under the runner, what they import as `threading`, `queue`,
`asyncio` and `concurrent.futures` is oneloom's, also in the scripts that they run in processes of their own. Where a test module takes its classes
under test from elsewhere, its test cases are derived from once more here, with oneloom's classes instead.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import unittest
from functools import partial

import asyncio
import concurrent.futures
import queue
import threading

import oneloom


def module(name):
    try:
        return importlib.import_module(f"test.{name}")
    except ModuleNotFoundError as error:
        if error.name not in ("test", "test.support", f"test.{name}"):
            raise
        package = "libpython{}.{}-testsuite".format(*sys.version_info)
        sys.exit(
            f"{sys.executable} comes without {error.name}, a part of CPython's own tests; install them: they belong to the "
            f"standard library, but some distributions have them in a package of their own ({package})"
        )


def cases(of):
    """The test cases of a module, by name."""
    return {
        name: case
        for name, case in vars(of).items()
        if isinstance(case, type) and issubclass(case, unittest.TestCase) and unittest.defaultTestLoader.getTestCaseNames(case)
    }


def derived(case, name, **attributes):
    bases = (case,) if issubclass(case, unittest.TestCase) else (case, unittest.TestCase)
    return type(name, bases, {"__module__": case.__module__, **attributes})


def threading_part():
    tests = module("test_threading")
    assert tests.threading is threading is oneloom.threading
    return cases(tests)


def locks_part():
    """The cases that test_threading has no class of ours for, and all of them once more for the top level's classes."""
    tests = module("lock_tests")
    found = {"RLockTests": derived(tests.RLockTests, "RLockTests", locktype=staticmethod(threading.RLock))}
    for kind, attribute in {
        "Lock": "locktype", "RLock": "locktype", "Event": "eventtype", "Condition": "condtype",
        "Semaphore": "semtype", "BoundedSemaphore": "semtype", "Barrier": "barriertype",
    }.items():  # fmt: skip
        name = f"TopLevel{kind}Tests"
        case = getattr(tests, f"{kind}Tests")
        found[name] = derived(case, name, **{attribute: staticmethod(getattr(oneloom, kind))})
    return found


def queue_part():
    tests = module("test_queue")
    found = {}
    for kind in ("Queue", "LifoQueue", "PriorityQueue", "FailingQueue"):
        found[f"{kind}Test"] = derived(getattr(tests, f"{kind}Test"), f"{kind}Test", queue=queue)
    found["SimpleQueueTest"] = derived(tests.CSimpleQueueTest, "SimpleQueueTest", queue=queue)
    assert queue is oneloom.queue
    return found


def asyncio_part(name):
    tests = module(f"test_asyncio.{name}")
    assert tests.asyncio is asyncio is oneloom.asyncio
    return cases(tests)


def futures_part(start_method):
    """The cases about processes that are started in one way, or those about anything else."""
    assert concurrent.futures is importlib.import_module("oneloom.concurrent.futures")
    found = {}
    for name in ("future", "thread_pool", "wait", "as_completed", "init", "shutdown", "process_pool", "deadlock"):
        found |= cases(module(f"test_concurrent_futures.test_{name}"))
    return {name: case for name, case in found.items() if getattr(case, "ctx", None) == start_method}


def multiprocessing_part():
    """The cases about what is oneloom's in the drop-in, which `python -m oneloom` does not put in place, in forked processes."""
    tests = module("_test_multiprocessing")
    tests.multiprocessing = importlib.import_module("oneloom.multiprocessing")
    kinds = "Lock RLock Semaphore BoundedSemaphore Condition Event Barrier Queue JoinableQueue".split()
    ours = {kind: staticmethod(getattr(tests.multiprocessing, kind)) for kind in kinds}
    found = {}
    for name in ("Lock", "Semaphore", "Condition", "Event", "Barrier", "Queue"):
        case = type(name, (getattr(tests, f"_Test{name}"), tests.ProcessesMixin), {})
        found[f"{name}Test"] = derived(case, f"{name}Test", **ours)
    return found


PARTS = {
    "threading": threading_part,
    "locks": locks_part,
    "queue": queue_part,
    "asyncio.locks": lambda: asyncio_part("test_locks"),
    "asyncio.queues": lambda: asyncio_part("test_queues"),
    "multiprocessing": multiprocessing_part,
    "futures": lambda: futures_part(None),
    **{f"futures.{method}": partial(futures_part, method) for method in ("fork", "forkserver", "spawn")},
}


def run_scripts_on_oneloom():
    """Have the tests run their scripts, too, by `python -m oneloom`."""
    script_helper = module("support.script_helper")
    run_python = script_helper.run_python_until_end

    def run_python_on_oneloom(*arguments, **environment):
        at = arguments.index("-c")
        # Without an environment of its own, the script would not find oneloom.
        environment.setdefault("PYTHONPATH", os.pathsep.join(filter(None, sys.path[1:])))
        return run_python(*arguments[:at], "-m", "oneloom", *arguments[at:], **environment)

    script_helper.run_python_until_end = run_python_on_oneloom


class Outcomes(unittest.TestResult):
    """How each test ended, by `Class.method`: passed, failed or skipped; and why."""

    def __init__(self):
        super().__init__()
        self.found = {}

    def note(self, test, outcome, text=""):
        # Set-up that fails for a whole class has another kind of id.
        name = ".".join(test.id().split(".")[-2:]) if isinstance(test, unittest.TestCase) else str(test)
        if self.found.get(name, ["passed"])[0] == "passed":
            self.found[name] = [outcome, text]

    def addSuccess(self, test):
        self.note(test, "passed")

    def addSkip(self, test, reason):
        self.note(test, "skipped", reason)

    def addFailure(self, test, error):
        self.note(test, "failed", self._exc_info_to_string(error, test))

    addError = addFailure

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self.addFailure(test, error)

    def addExpectedFailure(self, test, error):
        self.note(test, "passed")

    def addUnexpectedSuccess(self, test):
        self.note(test, "failed", "passed, which CPython does not expect")


def main(part, file, without):
    run_scripts_on_oneloom()
    os.chdir(os.path.dirname(file))  # What the tests leave behind is left there.
    outcomes = Outcomes()
    load = unittest.defaultTestLoader.loadTestsFromTestCase
    found = PARTS[part]()
    unittest.TestSuite(load(case) for name, case in found.items() if name not in without).run(outcomes)
    with open(file, "w") as out:
        json.dump({"classes": list(found), "outcomes": outcomes.found}, out)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
