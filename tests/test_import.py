"""Importing oneloom is cheap and changes nothing but `sys.modules`."""

import json
import statistics

import pytest

from conftest import run_program, totals

# What a program, or the next module, could notice. Addresses would differ from one object to the next, so identity is
# kept by holding the objects.
STATE = """
import atexit, builtins, gc, json, os, queue, signal, sys, threading, warnings

def namespace(module):
    return {name: value for name, value in vars(module).items() if name != "__warningregistry__"}

def state():
    with open("/proc/self/status") as status:
        masks = [line for line in status if line.startswith("Sig") and not line.startswith("SigQ")]
    return {
        "threads": os.listdir("/proc/self/task"),
        "enumerated threads": threading.enumerate(),
        "signal masks": masks,
        "signal handlers": [signal.getsignal(number) for number in sorted(signal.valid_signals())],
        "wake-up descriptor": signal.set_wakeup_fd(-1),
        "descriptors": {number: os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")
                        if os.path.exists(f"/proc/self/fd/{number}")},
        "environment": dict(os.environ),
        "folder and mask": (os.getcwd(), os.umask(os.umask(0o077))),
        "exit callbacks": (atexit._ncallbacks(), list(threading._threading_atexits)),
        "import system": (list(sys.meta_path), list(sys.path_hooks), list(sys.path)),
        "hooks": (sys.excepthook, sys.unraisablehook, sys.displayhook, sys.breakpointhook, threading.excepthook,
                  sys.gettrace(), sys.getprofile(), sys.get_asyncgen_hooks()),
        "settings": (sys.getswitchinterval(), sys.getrecursionlimit(), gc.isenabled(), gc.get_threshold(), gc.get_debug()),
        "collector's callbacks": list(gc.callbacks),
        "warning filters": list(warnings.filters),
        "builtins": namespace(builtins),
        "threading": namespace(threading),
        "threading.Thread": dict(vars(threading.Thread)),
        "queue": namespace(queue),
    }
"""


@pytest.mark.parametrize("name", ["oneloom", "oneloom.threading", "oneloom.queue"])
def test_import_changes_nothing(name):
    run = run_program(
        STATE
        + f"""
before, modules = state(), dict(sys.modules)
import {name}
after = state()
for what in before:
    assert before[what] == after[what], (what, before[what], after[what])
for module in modules:
    assert sys.modules[module] is modules[module], module
""",
        options=["-W", "error"],
    )
    assert run.check().out == run.err == ""


def test_a_planted_side_effect_is_noticed():
    run = run_program(
        STATE
        + """
before = state()
atexit.register(int)
threading.Thread(target=signal.pause, daemon=True).start()
descriptor = os.eventfd(0)
after = state()
print(json.dumps([what for what in before if before[what] != after[what]]))
"""
    )
    assert {"threads", "enumerated threads", "descriptors", "exit callbacks"} <= {*json.loads(run.check().out)}


# What oneloom itself uses, with what that imports in turn.
FEW = ["__future__", "contextlib", "queue", "threading", "warnings"]


@pytest.mark.parametrize("name", ["oneloom", "oneloom.threading", "oneloom.queue"])
def test_import_brings_along_only_a_few_light_modules(name):
    program = "import sys\n{}\nprint(*(name for name in sys.modules if not name.startswith('oneloom')))"
    allowed = run_program(program.format("import " + ", ".join(FEW))).check().out.split()
    imported = run_program(program.format(f"import {name}")).check().out.split()
    assert set(imported) <= set(allowed)
    assert "asyncio" not in allowed and "typing" not in allowed


def test_import_costs_less_than_asyncios():
    names = ["oneloom", "oneloom.threading", "oneloom.queue", "asyncio"]
    program = """
import sys, time
started = time.process_time_ns()
__import__(sys.argv[1])
print(time.process_time_ns() - started)
"""
    # In turn, so that whatever slows the machine down slows them all.
    costs = {name: [] for name in names}
    for _ in range(7):
        for name in names:
            costs[name].append(int(run_program(program, name).check().out))
    medians = {name: statistics.median(found) / 1e6 for name, found in costs.items()}
    totals.append("CPU time of an import: " + ", ".join(f"{name} {cost:.1f} ms" for name, cost in medians.items()))
    print(json.dumps(costs))
    for name in names[:-1]:
        assert medians[name] < medians["asyncio"]
