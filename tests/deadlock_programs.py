"""Child programs that end, or hang, by a rule about deadlocks; shared by the tests of suspicion and of the policy.

They take seconds each, nearly all of them asleep, so all that the selected tests want run at the same time.
"""

import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from conftest import finish, program

PREAMBLE = '''
import asyncio, ctypes, os, select, signal, subprocess, sys, threading, time
import oneloom, oneloom.asyncio, oneloom.queue, oneloom.threading

started = time.monotonic()

def say(*words):
    # In one piece: `print` writes each word by itself, and threads would mix theirs.
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()

def catch(function, *arguments):
    """Run it, and say how it ended."""
    name = threading.current_thread().name
    try:
        function(*arguments)
    except oneloom.DeadlockError as error:
        say(name, "DeadlockError", f"after {time.monotonic() - started:.1f} s", str(error).replace("\\n", " | "))
    else:
        say(name, "went on")

def thread(function, *arguments, name=None, daemon=False):
    made = oneloom.Thread(target=catch, args=(function, *arguments), name=name, daemon=daemon)
    made.start()
    return made

def until(condition, deadline=20):
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("waited too long")
        time.sleep(0.001)
'''


@dataclass
class Case:
    """A program, how long it may take, and whether it is meant to hang until then."""

    code: str
    timeout: float = 60
    hangs: bool = False
    env: dict = field(default_factory=dict)


CASES = {}


def case(name, code, **more):
    CASES[name] = Case(PREAMBLE + textwrap.dedent(code), **more)
    return name


def run_case(case):
    with program(case.code, env=case.env) as child:
        return finish(child, case.timeout)


@pytest.fixture(scope="module")
def results(request):
    """The results of the programs that the selected tests of a file want, each by its name."""
    wanted = [item.callspec.params["name"] for item in request.session.items
              if item.path == request.path and hasattr(item, "callspec") and "name" in item.callspec.params]  # fmt: skip
    with ThreadPoolExecutor(8) as pool:
        futures = {name: pool.submit(run_case, CASES[name]) for name in wanted}
        yield lambda name: futures[name].result()


def ended(results, name):
    result = results(name)
    return result if CASES[name].hangs and result.timed_out else result.check()


def reports(result):
    """How many reports a program wrote to its standard error."""
    return result.err.count("DeadlockWarning")
