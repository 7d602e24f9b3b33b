"""The programs of examples/programs: under `python` and under `python -m oneloom` each does the same, and what it says.

What a program prints stands at the end of its docstring; how it ends otherwise, in ENDINGS. Output, tracebacks and exit
status are compared byte for byte.
"""

import ast
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from conftest import PROGRAM_DEADLINE, finish, program, wait_until

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "programs"
PROGRAMS = sorted(path.name for path in FOLDER.glob("*.py"))
RUNNERS = {"python": (), "python -m oneloom": ("-m", "oneloom")}

# Exit status and last line on standard error, where these are not 0 and nothing.
ENDINGS = {
    "async_gather_and_wait.py": (1, "ValueError: broken"),
    "child_processes.py": (0, "ValueError: broken"),
    "ticket_pool.py": (0, "RuntimeError: the toast is burnt"),
    "waiting_for_a_database.py": (0, "ConnectionError: archive did not come up, tried 3 times"),
}


def run(name, runner, *arguments):
    with program(None, command=[sys.executable, *RUNNERS[runner], str(FOLDER / name), *arguments]) as child:
        return finish(child)


def sleeps(pid):
    """Whether a program's main thread, for 30 ms, has neither run nor wanted to: then it reads.

    Ctrl-C right before it began to read would be noticed only after the next line. Waiting for the interpreter is no
    such sleep, it ends every 5 ms.
    """
    before = scheduled(pid)
    time.sleep(0.03)
    return before == scheduled(pid) and "S (sleeping)" in before[0]


def scheduled(pid):
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return [line for line in status if line.startswith(("State", "voluntary", "nonvoluntary"))]


def run_typed_lines(runner, path, lines):
    """Type a line whenever the program asks for one, and press Ctrl-C instead of the last."""
    command = [sys.executable, *RUNNERS[runner], str(FOLDER / "typed_lines.py"), str(path)]
    with program(None, command=command, stdin=subprocess.PIPE) as child:
        seen = child.stdout.readline()
        for line in lines:
            child.stdin.write(f"{line}\n")
            child.stdin.flush()
            seen += child.stdout.readline()
        wait_until(lambda: sleeps(child.pid))
        child.send_signal(signal.SIGINT)
        child.wait(PROGRAM_DEADLINE)  # Standard input stays open, or its end might come before the signal.
        done = finish(child).check()
    return seen + done.out, done.err, path.read_text()


def promised_output(name):
    """What its docstring says that the program prints."""
    docstring = ast.get_docstring(ast.parse((FOLDER / name).read_text()))
    _, found, output = docstring.rpartition("prints:\n\n")
    assert found, f"the docstring of {name} does not say what it prints"
    return textwrap.dedent(output) + "\n"


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "typed_lines.py"])
def test_a_program_does_what_it_says_under_either_runner(name):
    plain, under_oneloom = (run(name, runner) for runner in RUNNERS)
    assert plain.out == promised_output(name)
    status, last_line = ENDINGS.get(name, (0, ""))
    assert (plain.status, "".join(plain.err.splitlines()[-1:])) == (status, last_line)
    assert (under_oneloom.status, under_oneloom.out, under_oneloom.err) == (plain.status, plain.out, plain.err)


@pytest.mark.parametrize("runner", RUNNERS)
def test_typed_lines_are_all_written_before_ctrl_c_ends_the_program(runner, tmp_path):
    out, err, written = run_typed_lines(runner, tmp_path / "lines.txt", ["hello", "one more"])
    assert (out, err) == (promised_output("typed_lines.py"), "")
    assert written == "HELLO\nONE MORE\n"


def test_ten_in_a_deadlock_are_reported_but_none_is_chosen_while_the_main_thread_waits_with_a_timeout():
    done = run("ten_in_a_deadlock.py", "python -m oneloom", "2").check()
    assert done.out == promised_output("ten_in_a_deadlock.py")
    assert "DeadlockError" not in done.err
    assert done.err.count("DeadlockWarning: suspected deadlock") == 1
    assert len(re.findall(r"^  thread 'Thread-\d+ \(eat\)' waits for Lock at .*, held by thread", done.err, re.M)) == 2


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_unedited(name):
    assert "oneloom" not in (FOLDER / name).read_text()


def test_the_folders_page_tells_of_every_program():
    table = re.findall(r"^\| \[(\w+\.py)\]\((\w+\.py)\) \| \S", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert sorted(name for name, _ in table) == PROGRAMS
    assert all(name == target for name, target in table)
