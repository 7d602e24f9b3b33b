"""The standard library's tools on a program under `python -m oneloom`: profilers, debuggers, tests, logs, executors.

Compared with plain `python` as in test_runner.py: byte for byte, where what is printed is not a measurement. The
programs stand in `runner/`; packages from elsewhere have their tests run by packages.py.
"""

import re

import pytest

from test_runner import compare, run

TRACE = ["-m", "trace", "--trace"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["pool.py"],
        ["hooked.py"],
        ["log_queue.py"],
        ["executors.py"],
        ["server.py"],
        [*TRACE, "--ignore-dir=$prefix:$exec_prefix:/", "failure.py"],
        ["-m", "trace", "--listfuncs", "failure.py"],
        ["-m", "doctest", "-v", "pool.py"],
        *(["process_pool.py", method] for method in ("fork", "spawn", "forkserver")),
    ],
    ids=" ".join,
)
def test_program_with_tools_behaves_as_under_plain_python(arguments):
    compare(arguments)


@pytest.mark.parametrize("profiler", ["cProfile", "profile"])
@pytest.mark.parametrize("program", [["pool.py"], ["-m", "pool"]], ids=" ".join)
def test_profiler_counts_the_same_calls_of_the_program(profiler, program):
    def counts(runner):
        status, out, errors = run([*runner, "-m", profiler, *program])
        lines = [line.split() for line in out.decode().splitlines() if "pool.py:" in line]
        assert (status, errors, out.partition(b"\n")[0]) == (0, b"", b"45 [1, 2]")
        return sorted((line[0], line[-1]) for line in lines)

    assert counts([]) == counts(["-m", "oneloom"]) != []


DEBUGGED = {
    "stops in a function, in a thread's as well": (["-m", "pdb", "pool.py"], "b main\nb work\nc\np total\nc\nc\nq\n"),
    "starts a module": (["-m", "pdb", "-m", "pool"], "b main\nc\nn\nn\np len(threads)\nq\n"),
    "shows an error after its end": (["-m", "pdb", "failure.py"], "c\nw\nq\n"),
    "starts again": (["-m", "pdb", "pool.py"], "c\nq\n"),
    "breakpoint() in threads": (["paused.py"], "p x\nc\np x\nu\np thread.is_alive()\nc\n"),
    "leaves from breakpoint()": (["paused.py"], "q\nq\n"),
}


@pytest.mark.parametrize("session", DEBUGGED)
def test_debugger(session):
    arguments, typed = DEBUGGED[session]
    assert b"(Pdb)" in compare(arguments, stdin=typed.encode())[1]


PYTEST = ["-m", "pytest", "-v", "-p", "no:cacheprovider"]


@pytest.mark.parametrize(
    "arguments", [["tested.py", "-v"], ["-m", "unittest", "-v", "tested"], [*PYTEST, "tested.py"]], ids=" ".join
)
def test_test_runners_report_the_same(arguments):
    plain, under_oneloom = (run([*runner, *arguments]) for runner in ([], ["-m", "oneloom"]))
    untimed = [
        [re.sub(rb" in \d+\.\d+s", b" in a moment", re.sub(rb"0x\w+", b"0x", stream)) for stream in streams]
        for _, *streams in (plain, under_oneloom)
    ]
    assert untimed[0] == untimed[1]
    assert plain[0] == under_oneloom[0] == 1
    assert b"on purpose" in b"".join(plain[1:])
