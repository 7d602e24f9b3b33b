"""`python -m oneloom PROGRAM` beside `python PROGRAM`: output, errors, tracebacks, exit status and death by signal.

Each program runs both ways and everything is compared byte for byte. Only addresses (0x7f…) are normalised; the
programs under `runner/` print no idents or times.
"""

import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from oneloom import _native

PROGRAMS = Path(__file__).parent / "runner"
DEADLINE = 60.0

ENDINGS = ("nothing zero three too-large negative text list none true subclass at-once").split()

TABLE = [
    ["identity.py"],
    ["./identity.py", "an argument", "-m", "--help", ""],
    ["../runner/identity.py"],
    *(["ending.py", way] for way in ENDINGS),
    ["failure.py"],
    ["chain.py"],
    ["recursion.py"],
    ["broken_import.py"],
    ["missing_import.py"],
    ["thread_failure.py"],
    ["thread_misuse.py"],
    ["lock_misuse.py"],
    ["daemon.py"],
    ["foreground.py"],
    ["at_exit.py"],
    *(["death.py", name] for name in ("SIGTERM", "SIGKILL", "SIGSEGV", "SIGABRT", "SIGHUP")),
    ["death.py", "SIGTERM", "in-thread"],
    *(["interrupt.py", what] for what in ("uncaught", "finally", "caught", "handled", "waiting", "subclass")),
    *(["hooks.py", which] for which in ("own", "failing", "leaving", "none", "same")),
    ["warned.py"],
    ["pickled.py"],
    ["reading.py"],
    ["unicode.py"],
    ["closed_output.py"],
    ["forked.py"],
    ["process_executors.py", "spawn"],
    # The standard library of 3.11 often does not come to its end after a worker that was forked has died.
    *([["process_executors.py", "fork"]] if sys.version_info >= (3, 12) else []),
    ["thread_executors.py"],
    ["pipeline.py"],
    ["coroutines.py"],
    ["queues.py"],
    ["logged.py"],
    ["names.py"],
    ["-m", "package"],
    ["-m", "package", "fail", "-c"],
    ["-mpackage"],
    ["-m", "package.inner.names"],
    ["-m", "package.inner"],
    ["-m", "recursion"],
    ["-m", "interrupt", "uncaught"],
    ["-m", "no_such_module"],
    ["-m", "package.no_such_module"],
    ["package", "an argument"],
    ["-c", "import sys; print(sys.argv, repr(sys.path[0]), list(globals()), __name__)", "-x", "y"],
    ["-c", "def fail():\n    1 / 0\n\nfail()"],
    ["-c", "def fail(:"],
    ["-c", "import sys; sys.exit('gone')"],
    ["-c", "from oneloom import asyncio, queue, threading; print(asyncio.run(asyncio.sleep(0, 'slept')))"],
    ["-cimport sys; print(sys.argv)", "y"],
    ["-c", "print('\udcff')"],
    ["there_is_no_such_file.py"],
    ["runner"],
]

# Programs that the compiler refuses, and some that look as if it should.
SOURCES = {
    "no_colon": b"import threading\nprint('not reached')\n\ndef f()\n    pass\n",
    "indented": b"if True:\n        one = 1\n    two = 2\n",
    "not_indented": b"for x in y:\npass\n",
    "mixed_tabs": b"if True:\n        a = 1\n\tb = 2\n",
    "unclosed": b"values = [1, 2\nprint(values)\n",
    "unterminated": b"text = '''never ends\n\n",
    "late": b"def f():\n    pass\nreturn 1\n",
    "unassignable": b"f() = 1\n",
    "bad_number": b"x = 1\ny = 0777\n",
    "bad_f_string": b"print(f'{x!z}')\n",
    "unknown_encoding": b"# coding: no-such-encoding\nprint(1)\n",
    "latin_1": "# coding: latin-1\nprint('h\xe4')\nraise ValueError('\xe4')\n".encode("latin-1"),
    "not_utf_8": b"import sys\nprint('\xff')\n",
    "null": b"print(1)\n\0print(2)\n",
    "byte_order_mark": b"\xef\xbb\xbfprint('marked')\n",
    "windows_lines": b"def f():\r\n    raise ValueError\r\n\r\nf()\r\n",
    "no_newline_at_end": b"print(1)\nraise ValueError",
    "empty": b"",
    "future": b"from __future__ import braces\n",
    "form_feed": b"\x0cprint(1)\n",
}


def run(command, *, where=PROGRAMS, stdin=b""):
    """Status, output and errors of a program."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ONELOOM"))}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    if "PYTHONPATH" in os.environ:
        environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=where,
        env=environment,
        input=stdin,
        capture_output=True,
        timeout=DEADLINE,
        start_new_session=True,
        preexec_fn=without_core,
    )
    return done.returncode, done.stdout, done.stderr


def without_addresses(text):
    return re.sub(rb"\b0x[0-9a-f]{6,}\b", b"0xADDRESS", text)


def without_core():
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A test run in the background may have these ignored, which children inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def compare(arguments, *, options=(), **how):
    plain = run([*options, *arguments], **how)
    under_oneloom = run([*options, "-m", "oneloom", *arguments], **how)
    assert without_addresses(plain[1]) == without_addresses(under_oneloom[1])
    assert without_addresses(plain[2]) == without_addresses(under_oneloom[2])
    assert plain[0] == under_oneloom[0]
    return plain


@pytest.mark.parametrize("arguments", TABLE, ids=" ".join)
def test_program_behaves_as_under_plain_python(arguments):
    compare(arguments, stdin=b"Ada\nLovelace\nthe rest\n")


def test_the_table_has_the_endings_it_means_to_have():
    assert compare(["death.py", "SIGSEGV"])[0] == -signal.SIGSEGV
    assert compare(["interrupt.py", "uncaught"])[0] == -signal.SIGINT
    assert compare(["ending.py", "too-large"])[0] == 7
    assert compare(["closed_output.py"])[0] == 120
    assert compare(["there_is_no_such_file.py"])[0] == 2
    assert b"previous line repeated" in compare(["recursion.py"])[2].lower()


@pytest.mark.parametrize("name", SOURCES)
def test_source_is_compiled_as_by_plain_python(name, tmp_path):
    (tmp_path / "program.py").write_bytes(SOURCES[name])
    compare(["program.py"], where=tmp_path)


@pytest.mark.parametrize(
    "source",
    [
        b"import sys\nprint(sys.argv, __name__)\n1 / 0\n",
        b"print(input())\n",
        b"def f(:\n",
        b"print(1)\n\0\n",
        b"print('\xe4')\n",
        b"",
    ],
)
def test_program_from_standard_input(source):
    compare(["-", "an argument"], stdin=source)


def test_program_in_a_zip_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "program.zip", "w") as archive:
        archive.writestr("__main__.py", "import helper, sys\nprint(sys.path[0], sys.argv, __file__)\nhelper.fail()\n")
        archive.writestr("helper.py", "def fail():\n    raise ValueError('zipped')\n")
    compare(["program.zip", "an argument"], where=tmp_path)


@pytest.mark.parametrize("name", ["folder", "folder/", "./folder", "folder/.", ".", "./", ""])
def test_program_that_is_a_folder(name, tmp_path):
    where = tmp_path / "folder"
    where.mkdir()
    (where / "__main__.py").write_text("import sys\nprint(sys.path[0], sys.argv, __file__)\n")
    compare([name, "an argument"], where=tmp_path if "folder" in name else where)


def test_program_behind_a_symbolic_link_finds_its_neighbours(tmp_path):
    (tmp_path / "link.py").symlink_to(PROGRAMS / "broken_import.py")
    compare(["link.py"], where=tmp_path)


def test_compiled_program(tmp_path):
    import py_compile

    py_compile.compile(str(PROGRAMS / "failure.py"), cfile=str(tmp_path / "failure.pyc"))
    compare(["failure.pyc"], where=tmp_path)


@pytest.mark.parametrize(
    "options", [["-O"], ["-W", "error"], ["-X", "dev"], ["-u"], ["-B", "-s"], ["-P"]], ids=" ".join
)
@pytest.mark.parametrize("program", ["warned.py", "identity.py", "failure.py"])
def test_interpreter_options_keep_their_meaning(options, program):
    compare([program], options=options)


@pytest.mark.parametrize("arguments", [["identity.py"], ["failure.py"], ["ending.py", "three"], ["-c", "x = 1"]], ids=" ".join)
def test_interpreter_that_stays_for_inspection_shows_what_the_program_left(arguments):
    compare(arguments, options=["-i"], stdin=b"print(__name__, sorted(globals()))\nimport sys\nsys.last_value\n")


def test_safe_path_is_kept_safe(tmp_path):
    (tmp_path / "__main__.py").write_text("import sys; print(sys.path[0])")
    for arguments in (["identity.py"], [str(tmp_path)], ["-c", "import sys; print(sys.path[0])"]):
        compare(arguments, options=["-P"])


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_inherit_oneloom(method):
    status, out, errors = run(["-m", "oneloom", "children.py", method])
    assert (status, errors) == (0, b"")
    assert b"['oneloom', 'oneloom', 'oneloom.asyncio'] oneloom.threading" in out
    assert b"[1, 2, 3] 0\nmanaged 0 0 True\n" in out


def test_standard_modules_are_replaced_whenever_they_are_imported():
    program = (
        "import asyncio.locks, queue, threading, oneloom.asyncio, oneloom.queue, oneloom.threading\n"
        "assert threading is oneloom.threading and queue is oneloom.queue and asyncio is oneloom.asyncio\n"
        "assert asyncio.locks.Lock is oneloom.asyncio.Lock\n"
    )
    assert run(["-m", "oneloom", "-c", program]) == (0, b"", b"")


def test_module_that_asks_for_the_interpreter_s_own_lock_gets_it(tmp_path):
    (tmp_path / "trio" / "_core").mkdir(parents=True)
    for name in ("__init__", "_core/__init__", "_core/_entry_queue"):
        (tmp_path / "trio" / f"{name}.py").write_text("import threading\nlock = threading.RLock()\n")
    (tmp_path / "program.py").write_text(
        "import trio, trio._core._entry_queue as asking, threading\n"
        "print([type(lock).__module__ for lock in (trio.lock, asking.lock)], threading.__name__)\n"
    )
    done = run(["-m", "oneloom", "program.py"], where=tmp_path)
    assert done == (0, b"['oneloom.threading', '_thread'] oneloom.threading\n", b"")


def test_importing_oneloom_replaces_nothing():
    program = (
        "import sys\nbefore = sys.meta_path[:]\n"
        "import oneloom, oneloom.threading, oneloom.queue, oneloom.asyncio, threading, queue, asyncio\n"
        "assert sys.meta_path == before\n"
        "assert [m.__name__ for m in (threading, queue, asyncio)] == ['threading', 'queue', 'asyncio']\n"
    )
    assert run(["-c", program]) == (0, b"", b"")


def test_asyncio_is_not_imported_for_a_program_that_does_not():
    program = "import sys, threading, queue; sys.exit(any(name.partition('.')[0] == 'asyncio' for name in sys.modules))"
    assert run(["-m", "oneloom", "-c", program])[0] == 0


@pytest.mark.parametrize("arguments", [["--help"], ["-h"]])
def test_help_explains_the_runner(arguments):
    status, out, errors = run(["-m", "oneloom", *arguments])
    assert (status, errors) == (0, b"")
    assert b"python -m oneloom PROGRAM" in out


def test_processes_that_the_program_starts_by_subprocess_are_plain_python_s():
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import threading; print(threading)'])"
    status, out, errors = run(["-m", "oneloom", "-c", program])
    assert (status, errors) == (0, b"") and b"<module 'threading' from" in out


@pytest.mark.parametrize("arguments", [["--version"], ["-V"]])
def test_version(arguments):
    version = f"oneloom {_native.__version__} on Python {sys.version.split()[0]}\n"
    assert run(["-m", "oneloom", *arguments]) == (0, version.encode(), b"")


@pytest.mark.parametrize("arguments", [[], ["-m"], ["-c"], ["--nonsense"]])
def test_command_line_that_makes_no_sense_is_answered_with_the_usage(arguments):
    status, out, errors = run(["-m", "oneloom", *arguments])
    assert (status, out) == (2, b"")
    assert b"usage: python -m oneloom" in errors
