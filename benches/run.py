"""Measures oneloom beside its peers: every row with its rivals in alternating rounds, Python and Rust, in one command.

    python benches/run.py [--quick] [--only PATTERN]

A full run keeps every sample in benches/results/, and one by CPython 3.13 writes the README's table and the plot from
them; `--quick` and `--only` write nothing. Ends with status 1 if a row is below its goal, unless docs/performance.md
lists it under "Below the goal" with what the profile shows.
"""

from __future__ import annotations

import argparse
import compileall
import datetime
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RUST = HERE / "rust"
RESULTS = HERE / "results"
PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "performance.svg"
README = ROOT / "README.md"
REFERENCE = (3, 13)  # The interpreter whose figures the README shows.
PEERS = ("janus", "culsans", "aiologic", "faster-fifo", "loky", "pebble", "mpire", "joblib")
CRATES = ("parking_lot", "crossbeam-channel", "flume", "ipc-channel", "rayon")

sys.path.insert(0, str(HERE / "python"))

import report  # noqa: E402
from harness import Bound, Row  # noqa: E402
from report import Record  # noqa: E402
from rows import BOUNDS, ROWS  # noqa: E402


@dataclass(frozen=True)
class Effort:
    """Each row is measured by several processes, because one process may be lucky with where its memory lies."""

    processes: int
    rounds: int
    milliseconds: int


FULL = Effort(processes=3, rounds=5, milliseconds=60)
QUICK = Effort(processes=1, rounds=3, milliseconds=5)


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def lines(command: list[object], **options: object) -> Iterator[Record]:
    """Runs a program and yields its lines of JSON; its failure is ours."""
    done = subprocess.run([str(part) for part in command], check=False, stdout=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]
    if done.returncode != 0:
        raise SystemExit(f"error: status {done.returncode} from {' '.join(map(str, command))}")
    for line in done.stdout.splitlines():
        yield json.loads(line)


def build_rust() -> Path:
    """Builds the Rust package in release; returns the folder of its programs."""
    progress("building the Rust peers ...")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "benches"
    command = ["cargo", "build", "--release", "--locked", "--quiet", "--target-dir", str(target)]
    if subprocess.run(command, cwd=RUST, check=False).returncode != 0:
        raise SystemExit("error: the Rust peers were not built")
    return target / "release"


def compile_python() -> None:
    """Has bytecode for all that is imported, as there is for the peers since pip has installed them."""
    for folder in (ROOT / "python", HERE / "python"):
        compileall.compile_dir(folder, quiet=1)


def measure(row: Row, effort: Effort, programs: Path | None) -> Iterator[Record]:
    """The samples of one row."""
    program = [programs / "oneloom-benches"] if programs else [sys.executable, HERE / "python" / "measure.py"]
    for process in range(effort.processes):
        arguments = [row.key, effort.rounds, effort.milliseconds]
        for sample in lines([*program, *arguments]):
            yield sample | {"process": process}


def weigh(bounds: list[Bound], programs: Path | None) -> list[Record]:
    """What the programs say of memory."""
    found = list(lines([sys.executable, HERE / "python" / "memory.py"]))
    if programs:
        found += lines([programs / "memory"])
    keys = {bound.key for bound in bounds}
    return [size for size in found if size["key"] in keys]


def environment() -> dict[str, object]:
    """Where and with what it was measured."""
    processor = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), flags=re.MULTILINE)
    locked = tomllib.loads((RUST / "Cargo.lock").read_text())["package"]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "processor": processor[1] if processor else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "rustc": subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True).stdout.split()[1],
        "peers": {name: importlib.metadata.version(name) for name in PEERS}
        | {package["name"]: package["version"] for package in locked if package["name"] in CRATES},
    }


def about(record: Record) -> str:
    """The sentences above the table."""
    machine, effort = record["environment"], record["effort"]
    peers = ", ".join(f"{name} {version}" for name, version in machine["peers"].items())
    return (
        f"Measured {machine['date']} with CPython {machine['python']} and rustc {machine['rustc']} on {machine['cores']} "
        f"cores of a virtual {machine['processor']}; peers: the standard library, {peers}. Medians of "
        f"{effort['processes'] * effort['rounds']} alternating rounds; the ratio is that of the medians. How, what "
        "cannot be faster and why, and the raw samples: [docs/performance.md](docs/performance.md).\n\n"
        "![Ratios to each peer, with the goals](docs/performance.svg)"
    )


def kept(version: tuple[int, int]) -> Path:
    """Where an interpreter's samples are kept."""
    return RESULTS / f"cpython-{version[0]}.{version[1]}.json"


def keep(record: Record) -> None:
    """Keeps the samples; the reference interpreter's become the README's table and the plot."""
    path = kept(sys.version_info[:2])
    RESULTS.mkdir(exist_ok=True)
    head = json.dumps({name: value for name, value in record.items() if name != "samples"}, indent=1)
    samples = ",\n".join(f"  {json.dumps(sample)}" for sample in record["samples"])
    path.write_text(f'{head[:-2]},\n "samples": [\n{samples}\n ]\n}}\n')
    progress(f"samples: {path.relative_to(ROOT)}")
    if sys.version_info[:2] == REFERENCE:
        render(record)


def readme(record: Record) -> str:
    """The README with the record's table in it."""
    table = report.table(report.results(ROWS, record["samples"]), report.sizes(BOUNDS, record["sizes"]), about(record))
    return report.between_markers(README.read_text(), table)


def render(record: Record) -> None:
    """Writes the README's table and the plot."""
    README.write_text(readme(record))
    report.plot(report.results(ROWS, record["samples"]), PLOT)
    progress(f"written: {README.relative_to(ROOT)}, {PLOT.relative_to(ROOT)}")


def judge(results: list[report.Result], sizes: list[report.Size]) -> int:
    """Says which rows are below their goal; the exit status."""
    told = report.explained(PAGE.read_text())
    below = report.misses(results, sizes)
    for key in below:
        progress(f"below its goal{' (docs/performance.md says why)' if key in told else ''}: {key}")
    for key in told & {result.row.key for result in results} - set(below):
        progress(f"meets its goal, though docs/performance.md lists it as below: {key}")
    return 1 if set(below) - told else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short rounds: whether it runs, not how fast")
    parser.add_argument("--only", metavar="PATTERN", default="", help="rows whose key, group or operation this regex finds")
    parser.add_argument("--list", action="store_true", help="print what can be measured and end")
    parser.add_argument("--render", action="store_true", help="write the README's table and the plot from the kept samples")
    parser.add_argument("--check", action="store_true", help="whether the README's table is that of the kept samples")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    if options.render or options.check:
        record = json.loads(kept(REFERENCE).read_text())
        if options.render:
            render(record)
        if readme(record) != README.read_text():
            raise SystemExit("error: the README's table is not that of the kept samples: benches/run.py --render")
        return 0
    wanted = re.compile(options.only)
    rows = [row for row in ROWS if any(wanted.search(text) for text in (row.key, row.group, row.operation))]
    bounds = [bound for bound in BOUNDS if wanted.search(bound.key) or wanted.search(bound.what)]
    if options.list or not (rows or bounds):
        print("\n".join(f"{row.key:<30}{row.group}: {row.operation}" for row in ROWS))
        print("\n".join(f"{bound.key:<30}{bound.what}" for bound in BOUNDS))
        return 0 if options.list else 2
    effort = QUICK if options.quick else FULL
    compile_python()
    in_rust = any(row.in_rust for row in rows) or any(bound.in_rust for bound in bounds)
    programs = build_rust() if in_rust else None
    samples: list[Record] = []
    for number, row in enumerate(rows, 1):
        progress(f"[{number}/{len(rows)}] {row.key}")
        samples += measure(row, effort, programs if row.in_rust else None)
    sizes = weigh(bounds, programs) if bounds else []
    results, memory = report.results(ROWS, samples), report.sizes(BOUNDS, sizes)
    print(report.table(results, memory, f"CPython {platform.python_version()}"))
    if options.quick:
        return 0
    if not options.only:
        keep({"environment": environment(), "effort": vars(effort), "sizes": sizes, "samples": samples})
    return judge(results, memory)


if __name__ == "__main__":
    sys.exit(main())
