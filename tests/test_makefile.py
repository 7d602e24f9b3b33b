"""The Makefile's promises that need no build: it explains itself, and refuses an interpreter it cannot serve."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TARGETS = "help demo test packages lint bench stress sanitize docs wheel".split()


def make(*arguments):
    return subprocess.run(["make", "--no-print-directory", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def interpreter(folder, version, implementation="CPython", free_threaded=0):
    """A program that answers .ci/interpreter.py as such an interpreter would."""
    script = folder / "python"
    script.write_text(
        "#!/usr/bin/env python3\nimport platform, runpy, sys, sysconfig\n"
        f"sys.version_info, platform.python_version = {version!r}, lambda: {'.'.join(map(str, version))!r}\n"
        f"platform.python_implementation = lambda: {implementation!r}\n"
        f"sysconfig.get_config_var = lambda name: {free_threaded!r}\n"
        "runpy.run_path(sys.argv[1], run_name='__main__')\n"
    )
    script.chmod(0o755)
    return script


def test_help_lists_every_target_with_what_it_does():
    told = re.findall(r"^  ([a-z-]+) +\S", make("help").stdout, flags=re.MULTILINE)
    assert set(TARGETS) <= set(told)
    assert make().stdout == make("help").stdout


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ({"version": (3, 10, 13)}, "needs Python 3.11 or newer, this is 3.10.13"),
        ({"version": (3, 12, 1), "implementation": "PyPy"}, "needs CPython, this is PyPy"),
        ({"version": (3, 14, 0), "free_threaded": 1}, "free-threaded"),
    ],
)
def test_an_interpreter_that_cannot_serve_is_refused_with_the_reason(tmp_path, kind, says):
    run = make("demo", f"PYTHON={interpreter(tmp_path, **kind)}", f"VENV={tmp_path / 'venv'}")
    assert run.returncode != 0
    assert says in run.stderr
    assert "Choose another: make PYTHON=" in run.stderr
    assert not (tmp_path / "venv").exists()


def test_an_interpreter_that_is_not_there_is_named(tmp_path):
    run = make("test-python", "PYTHON=python3.99", f"VENV={tmp_path / 'venv'}")
    assert run.returncode != 0
    assert "no such interpreter: python3.99" in run.stderr


def test_sanitizers_without_their_toolchain_fail_and_say_how_to_get_it():
    run = make("sanitize", "NIGHTLY=no-such-toolchain")
    assert run.returncode != 0
    assert "rustup toolchain install no-such-toolchain" in run.stderr
