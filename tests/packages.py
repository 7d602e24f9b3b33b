"""Test suites of well-known packages, under `python` and under `python -m oneloom`: each test must end the same way.

`make packages` runs this; a package's name after it (`make packages PACKAGES=janus`) runs that one alone. pip fetches
the versions that stand here, into an environment for each package, so the network is needed. A test that fails both
ways is no difference: it lacks something else here. What it found is kept in docs/runner.md.
"""

import argparse
import os
import signal
import subprocess
import sys
import tarfile
import xml.etree.ElementTree
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import oneloom

FOLDER = Path(__file__).parent.parent / "target" / "packages"
DEADLINE = 900.0
RUNNERS = {"python": (), "python -m oneloom": ("-m", "oneloom")}
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")
TOOLS = ("pytest==8.4.2", "pytest-timeout==2.4.0")


@dataclass(frozen=True)
class Package:
    """What is installed, which tests run, and why some of them do not."""

    name: str
    version: str
    needs: tuple[str, ...] = ()
    tests: tuple[str, ...] = ("tests",)
    from_source: bool = True  # The tests come with the source archive, not with what is installed.
    preparation: str = ""  # Python code that its own way to run the tests would run first.


# Trio's parts about threads, signals and waiting; the others are about files, sockets and documentation.
TRIO = "_core._tests _tests.test_threads _tests.test_sync _tests.test_signals"

PACKAGES = [
    Package("asgiref", "3.8.1", needs=("pytest-asyncio==0.26.0",)),
    # test_benchmarks measures, with a plugin of its own.
    Package("janus", "2.0.0", needs=("pytest-asyncio==0.26.0",), tests=("tests", "--ignore=tests/test_benchmarks.py")),
    Package(
        "tornado",
        "6.5.1",
        # These three are about how fast a machine is: garbage collection, also of all that pytest has, within 0.2 s;
        # answers to pings in as much; programs that start and reload themselves.
        tests=("--pyargs", "tornado.test", "-k", "not RunnerGCTest and not PingTimeoutTest and not AutoreloadTest"),
        from_source=False,
        preparation="import logging; logging.getLogger('tornado.access').setLevel(logging.CRITICAL)",
    ),
    Package(
        "trio",
        "0.30.0",
        needs=("trustme==1.2.1",),
        tests=("-ptrio._tests.pytest_plugin", "--pyargs", *(f"trio.{name}" for name in TRIO.split())),
        from_source=False,
    ),
    Package("waitress", "3.0.2"),
    Package("watchdog", "6.0.0", needs=("PyYAML==6.0.2", "flaky==3.8.1")),
]


def environment(name, requirements):
    """The interpreter of an environment that has these packages, but not oneloom."""
    folder = FOLDER / f"{name}-on-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, *PIP, "install", *requirements], check=True)
    return python


def variables():
    """Environment variables by which such an interpreter finds oneloom, and nothing else that is here."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ONELOOM"))}
    return {**ours, "PYTHONPATH": str(Path(oneloom.__file__).parent.parent)}


def prepare(package):
    """The interpreter of an environment with this package, and the folder to run its tests in."""
    pinned = f"{package.name}=={package.version}"
    python = environment(pinned, [pinned, *package.needs, *TOOLS])
    sources = FOLDER / pinned
    sources.mkdir(exist_ok=True)
    if not package.from_source:
        return python, sources
    if not any(sources.iterdir()):
        download = [python, *PIP, "download", "--no-deps", "--no-binary=:all:", "--dest", sources, pinned]
        subprocess.run(download, check=True)
        with tarfile.open(next(sources.glob("*.tar.gz"))) as archive:
            archive.extractall(sources, filter="data")
    return python, next(path for path in sources.iterdir() if path.is_dir())


def outcomes(package, python, folder, runner):
    """How each test ended, by its name."""
    report = folder / "oneloom_report.xml"
    report.unlink(missing_ok=True)
    # Tornado's tests give up after 5 s, which a busy machine may need.
    env = {**variables(), "ASYNC_TEST_TIMEOUT": "60"}
    (folder / "oneloom_preparation.py").write_text(package.preparation)
    command = [python, *RUNNERS[runner], "-m", "pytest", "--quiet", "--override-ini=addopts=", "-pno:cacheprovider"]
    command += ["-poneloom_preparation", "--timeout=120", f"--junitxml={report}", *package.tests]
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=DEADLINE, preexec_fn=heed_interrupt
    )
    if not report.exists():
        sys.exit(f"{package.name} under {runner} did not come to an end:\n{done.stdout[-5000:]}\n{done.stderr[-5000:]}")
    ended = {}
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        # A test may have several entries: it may fail, and its fixture's end as well.
        name = f"{case.get('classname')}::{case.get('name')}"
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        ended[name] = " and ".join(filter(None, [ended.get(name, ""), *kinds]))
    (folder / f"{runner}.log").write_text(done.stdout)
    return ended


def heed_interrupt():
    # What is run in the background may have Ctrl-C ignored, which children inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def compare(package):
    """Print a line of the table, and each difference; True if there is none."""
    python, folder = prepare(package)
    plain, ours = (outcomes(package, python, folder, runner) for runner in RUNNERS)
    count = Counter((kinds or "passed").partition(" ")[0] for kinds in plain.values())
    other = len(plain) - count["passed"] - count["skipped"]
    different = [name for name in sorted({*plain, *ours}) if plain.get(name) != ours.get(name)]
    row = (f"{package.name} {package.version}", len(plain), count["passed"], count["skipped"], other, len(different))
    print("| " + " | ".join(map(str, row)) + " |", flush=True)
    for name in different:
        ended = [outcome.get(name, "not run") or "passed" for outcome in (plain, ours)]
        print(f"    {name}: {ended[0]}, with oneloom {ended[1]}")
    if different:
        print(f"    The output is in {folder}, in {' and '.join(f'{runner}.log' for runner in RUNNERS)}.")
    return bool(plain) and not different


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="PACKAGE", help=", ".join(package.name for package in PACKAGES))
    names = parser.parse_args().names
    if unknown := set(names) - {package.name for package in PACKAGES}:
        parser.error(f"no such package here: {', '.join(sorted(unknown))}")
    print("| package | tests | passed | skipped | failed either way | different with oneloom |")
    print("|---|---|---|---|---|---|", flush=True)
    same = [compare(package) for package in PACKAGES if not names or package.name in names]
    sys.exit(not all(same))


if __name__ == "__main__":
    main()
